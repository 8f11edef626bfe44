// The pool as a heat map, instruction agents by response agents: viridis, and every figure in its cell as well.

import { byId, el, replace } from "./dom.js";
import { count, fixed, share } from "./format.js";

// Viridis at ninths (matplotlib, CC0).
const VIRIDIS = [
  "#440154",
  "#482878",
  "#3e4989",
  "#31688e",
  "#26828e",
  "#1f9e89",
  "#35b779",
  "#6ece58",
  "#b5de2b",
  "#fde725",
];

const FIGURES = {
  p: { of: (pair) => pair.p, text: (value) => fixed(value) },
  win: { of: (pair) => (pair.draws ? pair.wins / pair.draws : null), text: (value) => share(value, 0) },
  pi: { of: (pair) => pair.mean_pi, text: (value) => fixed(value) },
  draws: { of: (pair) => pair.draws, text: count },
};

export class Pairs {
  #host = byId("pairs");
  #choice = byId("pairs-figure");
  #status = null;
  #shown = "";

  constructor() {
    this.#choice.addEventListener("change", () => this.#draw());
  }

  show(status) {
    this.#status = status;
    this.#draw();
  }

  #draw() {
    const { pairs } = this.#status ?? { pairs: [] };
    const state = this.#choice.value + JSON.stringify(pairs);
    if (state === this.#shown || !pairs.length) return;
    this.#shown = state;
    const { of, text } = FIGURES[this.#choice.value];
    const split = pairs.map((pair) => ({ ...pair, ...namesOf(pair.pair), value: of(pair) }));
    const most = Math.max(...split.map((pair) => pair.value ?? 0), 1e-9);
    const rows = distinct(split.map((pair) => pair.row));
    const columns = distinct(split.map((pair) => pair.column));
    const cellAt = (row, column) => split.find((pair) => pair.row === row && pair.column === column);
    replace(
      this.#host,
      el(
        "table",
        { className: "heat" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", { scope: "col" }, "asks ↓  answers →"),
            ...columns.map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        el(
          "tbody",
          {},
          ...rows.map((row) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, row),
              ...columns.map((column) => cell(cellAt(row, column), most, text)),
            ),
          ),
        ),
      ),
    );
  }
}

function cell(pair, most, text) {
  if (!pair) return el("td", { className: "none" }, "·");
  const isOut = pair.p === null && !pair.is_base;
  const won = `${count(pair.wins)} of ${count(pair.draws)} draws won`;
  const told = `${pair.pair}: weight ${fixed(pair.p)}, ${won}, mean π ${fixed(pair.mean_pi)}`;
  const note = pair.is_base ? "base" : isOut ? "retired" : null;
  const made = el(
    "td",
    { className: pair.is_base ? "base" : "", title: told },
    text(pair.value),
    note && el("span", { className: "sub" }, note),
  );
  if (typeof pair.value === "number" && !isOut) {
    const at = Math.min(VIRIDIS.length - 1, Math.floor((pair.value / most) * VIRIDIS.length));
    made.style.backgroundColor = VIRIDIS[at];
    made.style.color = at < 4 ? "#ffffff" : "#000000";
  }
  return made;
}

// Agents' names hold no plus sign.
function namesOf(pair) {
  const at = pair.indexOf("+");
  return { row: pair.slice(0, at), column: pair.slice(at + 1) };
}

const distinct = (names) => [...new Set(names)];
