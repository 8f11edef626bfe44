// The endpoints: what each does, how long it takes, what went wrong, and why it is not asked.

import { byId, el, replace, table } from "./dom.js";
import { brief, count, lasting, latency } from "./format.js";

const right = (text, title = null) => ({ text, className: "num", title });
const HEADS = [
  "endpoint",
  "state",
  right("in flight / limit"),
  right("waiting"),
  right("tokens / s"),
  right("p50"),
  right("p95"),
  right("sent"),
  right("retries"),
  "faults",
];
const LOOKS = { ok: ["● ok", "good"], paused: ["❚❚ paused", "warn"], open: ["✕ no answer", "bad"] };

export function showEndpoints(status) {
  const shown = status.endpoints.length
    ? table(HEADS, status.endpoints.map(line))
    : el("p", { className: "soft" }, "none is asked: the run is not up");
  replace(byId("endpoints"), shown);
}

function line(one) {
  const [word, look] = LOOKS[one.state] ?? [one.state, ""];
  const wait = one.paused_for_s ? ` for ${lasting(one.paused_for_s)}` : "";
  return [
    { text: one.name, title: one.models.join(", ") },
    { text: `${word}${wait}${one.reason ? `: ${one.reason}` : ""}`, className: look },
    right(`${count(one.in_flight)} / ${count(one.limit)}`, one.limit_reason),
    right(count(one.waiting)),
    right(brief(one.tokens_per_s)),
    right(latency(one.latency_p50_s)),
    right(latency(one.latency_p95_s)),
    right(brief(one.requests)),
    right(count(one.retries)),
    faults(one),
  ];
}

function faults(one) {
  const told = (counts) =>
    Object.entries(counts)
      .map(([reason, number]) => `${reason} ${count(number)}`)
      .join(", ");
  const [all, lost] = [told(one.faults), told(one.failures)];
  return {
    text: all || "none",
    className: lost ? "bad" : all ? "warn" : "soft",
    title: lost ? `given up: ${lost}` : all ? "all mended by a further try" : null,
  };
}
