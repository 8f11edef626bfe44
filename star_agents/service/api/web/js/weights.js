// Figure 5 of the paper, live: the weight p of every pair over the rows that it was learnt from, all starts included.

import { Chart, sampleOf } from "./chart.js";
import { el, replace, say } from "./dom.js";
import { count, fixed } from "./format.js";
import { paced } from "./pace.js";
import { colours, DASHES, onTheme } from "./theme.js";

const MOST = 1200; // versions drawn; beyond it every second one goes
const FEW = 600; // versions asked for at first
const NAMED = 8; // pairs with a colour; the others are thin and grey
const SURE = 4; // of the heaviest, as they are now
const LOOK_MS = 2000;

export class Weights {
  #service;
  #chart;
  #legend;
  #note;
  #versions = [];
  #step = 1;
  #hidden = new Set();
  #pairs = [];
  #coloured = [];

  constructor(service, { host, legend, note }) {
    this.#service = service;
    this.#legend = legend;
    this.#note = note;
    this.#chart = new Chart(host, options, (index) => this.#tell(index));
    this.show = paced(LOOK_MS, (status) => this.#look(status));
    onTheme(() => this.#key());
  }

  async #look(status) {
    const before = this.#versions.at(-1)?.version ?? 0;
    if (!this.#versions.length) this.#step = Math.max(1, Math.ceil(status.weights_version / FEW));
    if (status.weights_version < before + this.#step && this.#versions.length) return;
    const { versions } = await this.#service.get(`/weights/history?after=${before}&step=${this.#step}`);
    if (!versions.length) return;
    this.#versions.push(...versions);
    while (this.#versions.length > MOST) {
      this.#step *= 2;
      this.#versions = this.#versions.filter((one) => one.version % this.#step === 0);
    }
    this.#draw();
  }

  #draw() {
    const newest = this.#versions.at(-1).p;
    const known = new Set(this.#versions.flatMap((one) => Object.keys(one.p)));
    const pairs = [...known].sort((a, b) => (newest[b] ?? -1) - (newest[a] ?? -1));
    this.#colour(pairs);
    this.#pairs = pairs;
    const drawn = [...pairs].reverse(); // the heaviest are drawn last, on top
    const data = [
      this.#versions.map((one) => one.applied_seq ?? one.version),
      ...drawn.map((pair) => this.#versions.map((one) => one.p[pair] ?? null)),
    ];
    this.#chart.draw(data, [drawn, this.#coloured, [...this.#hidden]].join("|"), (now) =>
      drawn.map((pair) => ({
        label: pair,
        show: !this.#hidden.has(pair),
        points: { show: this.#versions.length < 3 },
        ...this.#lookOf(pair, now),
      })),
    );
    const top = pairs
      .slice(0, 3)
      .map((pair) => `${pair} ${fixed(newest[pair])}`)
      .join(", ");
    this.#chart.describe(`Weights of ${pairs.length} pairs over rows learnt from; the heaviest now: ${top}`);
    this.#tell(null);
  }

  // The heaviest always have a colour; each keeps its own for as long as it has one.
  #colour(pairs) {
    const kept = this.#coloured.filter((pair) => pairs.includes(pair));
    const before = kept.join();
    for (const pair of pairs.slice(0, NAMED)) if (kept.length < NAMED && !kept.includes(pair)) kept.push(pair);
    for (const pair of pairs.slice(0, SURE)) {
      if (kept.includes(pair)) continue;
      const lightest = kept.reduce((a, b) => (pairs.indexOf(a) > pairs.indexOf(b) ? a : b));
      kept[kept.indexOf(lightest)] = pair;
    }
    this.#coloured = kept;
    if (before !== kept.join()) this.#legend.replaceChildren(); // it is made anew
  }

  #lookOf(pair, now) {
    const at = this.#coloured.indexOf(pair);
    return at < 0 ? { stroke: now.faint, width: 1 } : { stroke: now.series[at], width: 2.25, dash: DASHES[at] };
  }

  // The legend: a switch for each pair, with its weight at the pointer or the newest.
  #tell(index) {
    if (!this.#versions.length) return;
    const at = this.#versions[index ?? this.#versions.length - 1];
    say(this.#note, `after ${count(at.applied_seq ?? 0)} rows, version ${count(at.version)}`);
    if (this.#legend.childElementCount !== this.#pairs.length) this.#key();
    for (const button of this.#legend.children) say(button.lastChild, fixed(at.p[button.value]));
  }

  #key() {
    const now = colours();
    const held = document.activeElement?.value;
    replace(
      this.#legend,
      ...this.#pairs.map((pair) => {
        const look = this.#lookOf(pair, now);
        const button = el(
          "button",
          { type: "button", "aria-pressed": String(!this.#hidden.has(pair)), value: pair },
          sampleOf(look.stroke, look.dash ?? []),
          el("span", {}, pair),
          el("span", { className: "soft" }, ""),
        );
        button.addEventListener("click", () => this.#toggle(pair));
        return button;
      }),
    );
    if (held) [...this.#legend.children].find((button) => button.value === held)?.focus();
  }

  #toggle(pair) {
    if (!this.#hidden.delete(pair)) this.#hidden.add(pair);
    this.#key();
    this.#draw();
  }
}

// What changed is what is looked at: the axis is as long as the curves need, and never below 0.
function around(low, high) {
  const room = Math.max(0.08 * (high - low), 0.005);
  return [Math.max(0, low - room), high + room];
}

const options = () => ({
  scales: { x: { time: false }, y: { range: (_, low, high) => around(low, high) } },
  axes: [
    { label: "rows learnt from", size: 34 },
    { label: "weight p", size: 58 },
  ],
});
