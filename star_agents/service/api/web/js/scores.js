// IFD of the newest rows' candidates under both models (Eq. 4): point by point, and how each is spread. How far a point
// is from the diagonal is what the two models disagree on (Eq. 5).

import { Chart, sampleOf } from "./chart.js";
import { byId, el, replace, say } from "./dom.js";
import { count, fixed } from "./format.js";
import { paced } from "./pace.js";
import { colours, onTheme } from "./theme.js";

const LOOK_MS = 8000;
const ROWS = 500;
const BINS = 32;
const GROUPS = [
  ["other", "candidate", 4],
  ["base", "base", 1],
  ["selected", "selected", 2],
];

export class ScorePlots {
  #service;
  #points;
  #spread;
  #groups = null;
  #done = -1;
  #ends = [0, 1];

  constructor(service) {
    this.#service = service;
    this.#points = new Chart(byId("scores"), () => pointOptions(() => this.#ends));
    this.#spread = new Chart(byId("spread"), spreadOptions);
    this.show = paced(LOOK_MS, (status) => this.#look(status));
    onTheme(() => this.#groups && this.#keys());
  }

  async #look(status) {
    if (status.seeds_done === this.#done || !status.seeds_done) return;
    this.#groups = await this.#service.get(`/scores?rows=${ROWS}`);
    this.#done = status.seeds_done;
    const all = Object.values(this.#groups).flat();
    if (!all.length) return;
    this.#drawPoints(all);
    this.#drawSpread(all);
    this.#keys();
  }

  #drawPoints(all) {
    const marked = GROUPS.flatMap(([group]) => this.#groups[group].map(([small, large]) => ({ small, large, group })));
    marked.sort((a, b) => a.small - b.small);
    const ends = endsOf(all.flat());
    this.#ends = ends;
    const x = [ends[0], ...marked.map((one) => one.small), ends[1]];
    const columns = GROUPS.map(([group]) => [
      null,
      ...marked.map((one) => (one.group === group ? one.large : null)),
      null,
    ]);
    const diagonal = [ends[0], ...marked.map((one) => one.small), ends[1]];
    this.#points.draw([x, diagonal, ...columns], "points", (now) => [
      { stroke: now.soft, width: 1, dash: [4, 4], points: { show: false } },
      ...GROUPS.map(([, , at], nth) => ({
        paths: () => null,
        points: { show: true, size: 4 + nth, width: 0, fill: `${now.series[at - 1]}b0`, stroke: now.series[at - 1] },
      })),
    ]);
    this.#points.describe(`${count(marked.length)} candidates: IFD under the small model against the large one`);
    say(
      byId("scores-note"),
      `${count(marked.length)} candidates of the newest ${ROWS} rows; far from the line: the models disagree`,
    );
  }

  #drawSpread(all) {
    const [low, high] = endsOf(all.flat());
    const width = (high - low) / BINS || 1;
    const middles = Array.from({ length: BINS }, (_, at) => low + (at + 0.5) * width);
    const shares = (of) => {
      const counts = new Array(BINS).fill(0);
      for (const point of all) counts[Math.max(0, Math.min(BINS - 1, Math.floor((of(point) - low) / width)))] += 1;
      return counts.map((number) => number / all.length);
    };
    const stepped = uPlot.paths.stepped({ align: 0 });
    this.#spread.draw([middles, shares(([small]) => small), shares(([, large]) => large)], "spread", (now) =>
      [0, 1].map((at) => ({
        stroke: now.series[at],
        fill: `${now.series[at]}30`,
        width: 2,
        dash: at ? [8, 4] : [],
        paths: stepped,
        points: { show: false },
      })),
    );
    this.#spread.describe("How IFD is spread under the small and the large model");
  }

  #keys() {
    const now = colours();
    replace(
      byId("scores-legend"),
      ...GROUPS.map(([group, name, at]) => key(sampleOf(now.series[at - 1]), name, count(this.#groups[group].length))),
    );
    const all = Object.values(this.#groups).flat();
    replace(
      byId("spread-legend"),
      ...["small", "large"].map((name, at) =>
        key(sampleOf(now.series[at], at ? [8, 4] : []), name, `median ${fixed(median(all.map((point) => point[at])))}`),
      ),
    );
  }
}

const key = (sample, name, figure) =>
  el("span", { className: "key" }, sample, name, el("span", { className: "soft" }, figure));

// Where the axis begins and ends: a few stray values must not squeeze all others.
function endsOf(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (part) => sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))];
  return [Math.min(at(0.002), 0.9), Math.max(at(0.995), 1.0)];
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

// Both axes alike, so that the diagonal is one.
const pointOptions = (ends) => ({
  scales: { x: { time: false, range: () => ends() }, y: { range: () => ends() } },
  cursor: { show: false },
  axes: [
    { label: "IFD, small model", size: 34 },
    { label: "IFD, large model", size: 50 },
  ],
});

const spreadOptions = () => ({
  scales: { x: { time: false }, y: { range: (_, low, high) => [0, high * 1.08 || 1] } },
  axes: [
    { label: "IFD", size: 34 },
    {
      label: "share of candidates",
      size: 54,
      values: (_, ticks) => ticks.map((tick) => `${Math.round(tick * 100)} %`),
    },
  ],
});
