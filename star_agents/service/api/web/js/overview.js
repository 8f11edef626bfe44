// The head of the page and the tiles: where the run is, how fast it goes, when it will be done, what it has cost.

import { byId, el, replace, say } from "./dom.js";
import { brief, count, lasting, share, usd } from "./format.js";

const LOOKS = { running: "good", paused: "warn", draining: "warn", starting: "soft", finished: "good" };

// Nothing more comes of it: it has ended, or its folder is looked at and nobody runs it.
export const isOver = ({ phase }) => phase === "finished" || phase === "not running";

export function showHead(status) {
  say(byId("name"), status.name);
  document.title = `${status.phase} · ${status.name}`;
  showPhase(status.phase);
  const { seeds_done: done, seeds_total: total } = status;
  const bar = byId("progress");
  bar.hidden = !total;
  bar.max = Math.max(total, 1);
  bar.value = done;
  // Never 100 % before the run is over: as on the terminal, for more may be fed.
  const part = total ? Math.min(Math.floor((1000 * done) / total) / 10, isOver(status) ? 100 : 99.9) : null;
  const left = typeof status.eta_s === "number" ? ` · ${lasting(status.eta_s)} left` : "";
  say(
    byId("progress-text"),
    part === null ? `${count(done)} seeds` : `${count(done)} of ${count(total)} seeds · ${part.toFixed(1)} %${left}`,
  );
}

export function showPhase(phase, look = LOOKS[phase] ?? "soft") {
  const badge = byId("phase");
  say(badge, phase);
  badge.className = `badge ${look}`;
}

export function showTiles(status) {
  const { bill, judging } = status;
  const kept = status.seeds_done ? status.seeds_kept / status.seeds_done : null;
  const improved = status.events["row.candidate"] ?? 0;
  replace(
    byId("tiles"),
    ...(status.endpoints.length ? paceTiles(status) : [tile("seeds done", count(status.seeds_done), "")]),
    tile(
      "spent",
      bill ? usd(bill.total.usd, bill.total.is_at_least) : "–",
      bill ? `${brief(bill.total.input_tokens + bill.total.output_tokens + bill.total.wasted_tokens)} tokens` : "",
    ),
    tile("rows improved", share(status.seeds_done ? improved / status.seeds_done : null), `${share(kept)} kept`),
    tile("judge spared", share(judging?.spared_share ?? null), `${count(judging?.asked ?? null)} asked`),
    ...(status.endpoints.length ? machineTiles(status) : []),
  );
}

// What only a run that is up has.
const paceTiles = ({ seeds_per_s, seeds_in_flight, endpoints }) => [
  tile("seeds / s", brief(seeds_per_s), `${count(seeds_in_flight)} in flight`),
  tile(
    "tokens written / s",
    brief(sumOf(endpoints, "tokens_per_s")),
    `${count(sumOf(endpoints, "in_flight"))} calls in flight`,
  ),
];

function machineTiles({ scorer, endpoints, elapsed_s }) {
  const ok = endpoints.filter((one) => one.state === "ok").length;
  return [
    tile(
      "scorer",
      scorer ? `${count(scorer.busy)} of ${count(scorer.workers)} busy` : "–",
      scorer ? `${brief(scorer.tokens_per_s)} tokens / s` : "",
    ),
    tile("endpoints", `${count(ok)} of ${count(endpoints.length)} ok`, `this start ${lasting(elapsed_s)}`),
  ];
}

const sumOf = (items, name) => items.reduce((sum, one) => sum + one[name], 0);

const tile = (name, value, more) =>
  el(
    "div",
    { className: "tile" },
    el("p", { className: "name" }, name),
    el("p", { className: "value" }, value),
    el("p", { className: "more" }, more),
  );
