// The queues between the stages, and which stage holds the others back.

import { byId, el, replace, say } from "./dom.js";
import { count } from "./format.js";

const QUEUES = {
  plans: ["planned", "the endpoints that write"],
  candidates: ["to score", "the scorer"],
  unjudged: ["to judge", "the judge"],
  marks: ["to join", "scorer or judge"],
  marked: ["to learn", "the store"],
};
const FULL = 0.8;

export function showStages(status) {
  const { channels } = status;
  replace(
    byId("stages"),
    ...channels.map((channel) => {
      const [name] = QUEUES[channel.name] ?? [channel.name];
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
  say(byId("bottleneck"), held(status));
}

const isFull = (channel) => channel.capacity > 1 && channel.depth >= FULL * channel.capacity;

// The last queue that is full stands before the stage that is too slow; where none is, the models are.
function held({ phase, channels, endpoints }) {
  if (phase !== "running" && phase !== "draining") return "";
  const full = channels.findLast(isFull);
  if (full) return `bottleneck: ${QUEUES[full.name]?.[1] ?? full.name}`;
  const waited = [...endpoints].sort((a, b) => b.waiting - a.waiting)[0];
  return waited?.waiting ? `bottleneck: endpoint ${waited.name}` : "";
}
