// Tokens a second, read and written, stacked by endpoint, over the wall time of all starts. Nothing is drawn where the
// run was not up.

import { Chart, sampleOf } from "./chart.js";
import { byId, el, replace } from "./dom.js";
import { brief, clock } from "./format.js";
import { colours, onTheme } from "./theme.js";

const BINS = 160;

export class Throughput {
  #chart;
  #legend = byId("throughput-legend");
  #span = byId("throughput-span");
  #samples = [];
  #names = [];
  #rates = [];

  constructor() {
    this.#chart = new Chart(byId("throughput"), options, (index) => this.#tell(index));
    this.#span.addEventListener("change", () => this.#draw());
    onTheme(() => this.#tell(null));
  }

  show(samples) {
    this.#samples = samples;
    this.#draw();
  }

  #draw() {
    const samples = recent(this.#samples, Number(this.#span.value));
    if (samples.length < 2) return;
    const names = [...new Set(samples.flatMap((one) => Object.keys(one.tokens)))].sort();
    const { times, rates } = binned(samples, names);
    this.#names = names;
    this.#rates = rates;
    const stacked = names.map((_, at) => rates.map((rate) => rate && sum(rate.slice(0, at + 1))));
    const drawn = [...stacked].reverse(); // the whole first, so that each lies on those below it
    this.#chart.draw([times, ...drawn], names.join(), (now) =>
      [...names].reverse().map((name, at) => {
        const colour = now.series[(names.length - 1 - at) % now.series.length];
        return {
          label: name,
          stroke: colour,
          fill: colour,
          width: 0.5,
          points: { show: false },
          paths: uPlot.paths.stepped({ align: 1 }),
        };
      }),
    );
    const last = rates.findLast((rate) => rate) ?? [];
    this.#chart.describe(
      `Tokens a second by endpoint; of late ${names.map((name, at) => `${name} ${brief(last[at])}`).join(", ")}`,
    );
    this.#tell(null);
  }

  #tell(index) {
    const now = colours();
    const rate = index === null ? this.#rates.findLast((one) => one) : this.#rates[index];
    replace(
      this.#legend,
      ...this.#names.map((name, at) =>
        el(
          "span",
          { className: "key" },
          sampleOf(now.series[at % now.series.length]),
          name,
          el("span", { className: "soft" }, rate ? `${brief(rate[at])}/s` : "–"),
        ),
      ),
    );
  }
}

function recent(samples, seconds) {
  if (!seconds || !samples.length) return samples;
  const since = secondsOf(samples.at(-1)) - seconds;
  return samples.filter((one) => secondsOf(one) >= since);
}

// Mean rates between samples at least a bin apart. Between two starts there is none.
function binned(samples, names) {
  const width = (secondsOf(samples.at(-1)) - secondsOf(samples[0])) / BINS;
  const times = [];
  const rates = [];
  let first = samples[0];
  for (const [at, sample] of samples.entries()) {
    const isNew = sample.start !== first.start;
    const isWide = secondsOf(sample) - secondsOf(first) >= width || samples[at + 1]?.start !== sample.start;
    const lasted = secondsOf(sample) - secondsOf(first);
    if (isNew) {
      if (rates.length && rates.at(-1) !== null) push(first, null);
      first = sample;
    } else if (isWide && lasted > 0) {
      push(
        first,
        names.map((name) => Math.max(0, (sample.tokens[name] ?? 0) - (first.tokens[name] ?? 0)) / lasted),
      );
      first = sample;
    }
  }
  push(samples.at(-1), rates.at(-1) ?? null);
  return { times, rates };

  function push(sample, rate) {
    const time = secondsOf(sample);
    if (times.length && time <= times.at(-1)) return;
    times.push(time);
    rates.push(rate);
  }
}

const secondsOf = (sample) => Date.parse(sample.at) / 1000;
const sum = (values) => values.reduce((total, value) => total + value, 0);

const options = () => ({
  padding: [10, 28, 0, 0], // half of a time stands beyond the last tick
  scales: { y: { range: (_, low, high) => [0, Math.max(1, high * 1.08)] } },
  axes: [
    { size: 30, values: (_, ticks, axis, space, step) => ticks.map((tick) => clock(tick, step)) },
    { label: "tokens / s", size: 56, values: (_, ticks) => ticks.map(brief) },
  ],
});
