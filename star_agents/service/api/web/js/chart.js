// One uPlot in a box: made anew when its series or the colours change, given new data otherwise, as wide as its box.

import { el } from "./dom.js";
import { colours, onTheme } from "./theme.js";

export class Chart {
  #host;
  #options;
  #plot = null;
  #shape = "";
  #data = null;
  #series = [];

  // `options(colours)` are uPlot's beside the series; `onCursor(index)` is told the point below the pointer, or null.
  constructor(host, options, onCursor = () => {}) {
    this.#host = host;
    this.#options = options;
    this.onCursor = onCursor;
    this.#host.setAttribute("role", "img");
    this.describe("Nothing to draw yet");
    this.#host.append(el("p", { className: "empty" }, "nothing to draw yet"));
    new ResizeObserver(() => this.#plot?.setSize(this.#size())).observe(host);
    onTheme(() => this.#make());
  }

  // `series(colours)` are uPlot's, one for each column of `data` behind the first.
  draw(data, shape, series) {
    this.#data = data;
    this.#series = series;
    if (this.#plot && shape === this.#shape) this.#plot.setData(data);
    else this.#make();
    this.#shape = shape;
  }

  describe(text) {
    this.#host.setAttribute("aria-label", text);
  }

  #make() {
    if (!this.#data) return;
    this.#plot?.destroy();
    this.#host.replaceChildren();
    const now = colours();
    const { axes = [{}, {}], bands = () => [], ...others } = this.#options(now);
    const series = this.#series(now);
    const options = {
      ...this.#size(),
      legend: { show: false },
      padding: [10, 12, 0, 0],
      cursor: { points: { size: 7 }, drag: { x: false, y: false } },
      ...others,
      series: [{}, ...series],
      bands: bands(series),
      axes: axes.map((axis) => ({ ...axisOf(now), ...axis })),
      hooks: { setCursor: [(plot) => this.onCursor(plot.cursor.idx ?? null)] },
    };
    this.#plot = new uPlot(options, this.#data, this.#host);
  }

  #size() {
    return { width: Math.max(this.#host.clientWidth, 120), height: this.#host.clientHeight };
  }
}

function axisOf(now) {
  const font = "12px system-ui, sans-serif";
  const grid = { stroke: now.line, width: 1 };
  return { stroke: now.soft, font, labelFont: font, labelSize: 18, grid, ticks: grid, size: 46 };
}

// The short line or square that stands for a series in a legend.
export function sampleOf(colour, dash = null) {
  const SVG = "http://www.w3.org/2000/svg";
  const drawn = document.createElementNS(SVG, "svg");
  const shape = document.createElementNS(SVG, dash ? "line" : "rect");
  const places = dash
    ? { x1: 0, y1: 6, x2: 26, y2: 6, stroke: colour, "stroke-width": 3, "stroke-dasharray": dash.join(" ") || "none" }
    : { x: 0, y: 1, width: 11, height: 11, rx: 2, fill: colour };
  for (const [name, value] of Object.entries(places)) shape.setAttribute(name, value);
  for (const [name, value] of Object.entries({ width: dash ? 26 : 11, height: 12, "aria-hidden": "true" }))
    drawn.setAttribute(name, value);
  drawn.append(shape);
  return drawn;
}
