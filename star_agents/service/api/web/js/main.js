// The page of a run: it follows the stream of snapshots, shows each, and says so when there is none to follow.

import { Gone, Refused, Service } from "./api.js";
import { Cost } from "./cost.js";
import { byId, say } from "./dom.js";
import { showEndpoints } from "./endpoints.js";
import { showJudge } from "./judge.js";
import { isOver, showHead, showPhase, showTiles } from "./overview.js";
import { showOrders } from "./orders.js";
import { paced } from "./pace.js";
import { Pairs } from "./pairs.js";
import { RowDialog } from "./row.js";
import { Rows } from "./rows.js";
import { ScorePlots } from "./scores.js";
import { forgetToken, keepToken, takeToken } from "./session.js";
import { showStages } from "./stages.js";
import { Steering } from "./steer.js";
import { events } from "./stream.js";
import { startTheme } from "./theme.js";
import { Throughput } from "./throughput.js";
import { Weights } from "./weights.js";

const AGAIN_MS = 3000;
const TIMELINE_MS = 5000;

const service = new Service(takeToken());
const steering = new Steering(service);
const parts = partsOf();
let ended = null;

startTheme(byId("theme"));
addEventListener("hashchange", () => location.reload()); // another address was pasted over this one
byId("token-form").addEventListener("submit", (event) => {
  event.preventDefault();
  keepToken(byId("token").value);
  byId("token-dialog").close();
  location.reload();
});
if (service.token) follow();
else askForToken();

function partsOf() {
  const dialog = new RowDialog(service);
  const rows = new Rows(service, (number) => dialog.open(number));
  const weights = new Weights(service, {
    host: byId("weights"),
    legend: byId("weights-legend"),
    note: byId("weights-note"),
  });
  const [pairs, cost, scores, throughput, samples] = [
    new Pairs(),
    new Cost(),
    new ScorePlots(service),
    new Throughput(),
    [],
  ];
  const timeline = paced(TIMELINE_MS, async () => {
    samples.push(...(await service.get(`/timeline?after=${samples.at(-1)?.number ?? 0}`)).samples);
    throughput.show(samples);
  });
  const ofStatus = [
    showHead,
    showTiles,
    showStages,
    showOrders,
    showEndpoints,
    showJudge,
    (now) => pairs.show(now),
    (now) => cost.show(now),
  ];
  const ofStore = [(now) => weights.show(now), (now) => scores.show(now), (now) => rows.show(now), timeline];
  return (status) => {
    for (const show of ofStatus) show(status);
    if (status.phase !== "starting") for (const show of ofStore) show(status);
  };
}

async function follow() {
  for (;;) {
    const why = await watched().catch(whyNot);
    if (why === "token") return askForToken();
    if (ended) return tell(ended, false);
    showPhase("not connected", "bad");
    steering.hide();
    tell(`No answer from the service (${why}). Asking again; the figures are old.`, true);
    await new Promise((again) => setTimeout(again, AGAIN_MS));
  }
}

// Follows one stream to its end.
async function watched() {
  await steering.ask();
  for await (const status of events(service, "/events")) {
    ended = isOver(status) ? lastWords(status) : null;
    tell(status.phase === "running" ? "" : status.message, false);
    steering.show(status);
    parts(status);
  }
  return "it has closed the stream";
}

// Of a run at rest the service says how it stands; one that ends while it is watched leaves its last picture.
function lastWords({ phase, message, ending }) {
  return phase === "finished" ? `The run has ended: ${ending ?? "complete"}. This is its last picture.` : message;
}

function whyNot(error) {
  if (error instanceof Refused) return error.status === 401 ? "token" : error.message;
  if (error instanceof Gone) return "nobody listens there";
  throw error;
}

function tell(text, isAlarm) {
  byId("message").classList.toggle("alarm", isAlarm);
  say(byId("message"), text);
}

function askForToken() {
  forgetToken();
  showPhase("needs a token", "warn");
  byId("token-dialog").showModal();
}
