// The queues between the stages, and which stage holds the others back.

import { byId, el, replace, say } from "./dom.js";
import { count } from "./format.js";

const NAMES = {
  plans: "planned",
  candidates: "to score",
  unjudged: "to judge",
  marks: "to join",
  marked: "to learn",
};
const FULL = 0.8;

export function showStages(status) {
  const { channels } = status;
  replace(
    byId("stages"),
    ...channels.map((channel) => {
      const name = NAMES[channel.name] ?? channel.name;
      const meter = el("meter", {
        min: 0,
        max: channel.capacity,
        value: channel.depth,
        "aria-label": `${name}: ${channel.depth} of ${channel.capacity}`,
      });
      return el(
        "div",
        {
          className: `queue${isFull(channel) ? " full" : ""}`,
          title: `at most ${channel.peak} waited; ${count(channel.passed)} went through`,
        },
        el("span", { className: "name" }, name),
        meter,
        el("span", { className: "num" }, `${count(channel.depth)} / ${count(channel.capacity)}`),
      );
    }),
  );
  if (!channels.length) replace(byId("stages"), el("p", { className: "soft" }, "nothing waits: the run is not up"));
  say(byId("bottleneck"), held(status));
}

const isFull = (channel) => channel.capacity > 1 && channel.depth >= FULL * channel.capacity;

// Which stage it is the service decides, as for the terminal; here it is only said.
function held(status) {
  const { bottleneck } = status;
  if (bottleneck) return `bottleneck: ${bottleneck.stage} (${bottleneck.why})`;
  if (status.phase !== "running") return "";
  if (!status.seeds_in_flight && status.seeds_done >= status.seeds_total)
    return "waiting: every seed that is there is done";
  return "bottleneck: none, no stage waits for another";
}
