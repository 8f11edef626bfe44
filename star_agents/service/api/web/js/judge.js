// How the judge does, and where the rows came from.

import { byId, el, replace } from "./dom.js";
import { count, share } from "./format.js";

export function showJudge({ judging, events, seeds_done: done }) {
  const of = (name) => events[name] ?? 0;
  const row = (source) => (done ? `${count(of(`row.${source}`))} (${share(of(`row.${source}`) / done, 0)})` : "–");
  const probes = judging?.probes;
  const facts = [
    ["rows from a candidate", row("candidate")],
    ["from the base pair", row("base")],
    ["the seed as it was", row("seed")],
    ["dropped", row("dropped")],
    ["comparisons asked", count(judging?.asked)],
    ["spared, as they could not win", share(judging?.spared_share)],
    ["verdicts not readable", share(judging?.unparsed_rate)],
    ["orders that disagree", share(judging?.disagreement_rate)],
    ["… for the first / the second", `${count(judging?.favoured_first)} / ${count(judging?.favoured_second)}`],
    ["answers that address the judge", `${count(judging?.suspects)}, ${count(judging?.suspects_selected)} selected`],
    [
      "gold probes right",
      probes?.asked ? `${share(probes.right / probes.asked)} of ${count(probes.asked)}` : "none asked",
    ],
  ];
  if (probes?.is_alarmed)
    facts.unshift([el("strong", { className: "bad" }, "the judge has drifted"), `${count(probes.alarms)} alarms`]);
  replace(byId("judge"), ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));
}
