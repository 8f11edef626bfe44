// The finished rows, a page at a time, newest first. A page is asked for by number, so the last of 100,000 costs no
// more than the first; while the newest are shown they follow the run.

import { isTold } from "./api.js";
import { byId, el, replace, say } from "./dom.js";
import { count, fixed } from "./format.js";
import { paced } from "./pace.js";

const PAGE = 50;
const LOOK_MS = 3000;
const SOURCES = { candidate: "candidate", base: "base pair", seed: "seed kept", dropped: "dropped" };

export class Rows {
  #service;
  #open;
  #top = null;
  #last = 0;
  #done = -1;
  #body = byId("rows").tBodies[0];

  // `open(number)` shows one row whole.
  constructor(service, open) {
    this.#service = service;
    this.#open = open;
    this.show = paced(LOOK_MS, (status) => this.#follow(status));
    byId("newest").addEventListener("click", () => this.#turn(null));
    byId("newer").addEventListener("click", () => this.#turn(this.#shownTop() + PAGE));
    byId("older").addEventListener("click", () => this.#turn(this.#shownTop() - PAGE));
    byId("pager").addEventListener("submit", (event) => this.#jump(event));
  }

  #shownTop() {
    return this.#top ?? this.#last;
  }

  // `#top` is the newest row of the page; null is the newest of all, whatever that is by then.
  #go(top) {
    this.#top = top === null || top >= this.#last ? null : Math.max(top, Math.min(PAGE, this.#last));
    return this.#load();
  }

  async #turn(top) {
    try {
      await this.#go(top);
    } catch (error) {
      if (!isTold(error)) throw error;
      say(byId("rows-note"), error.message);
    }
  }

  async #follow(status) {
    if (status.seeds_done === this.#done) return;
    if (this.#top === null) await this.#load();
    this.#done = status.seeds_done;
  }

  async #load() {
    const first = this.#top === null ? Math.max(1, this.#last - PAGE + 1) : Math.max(1, this.#top - PAGE + 1);
    let { last, rows } = await this.#service.get(`/rows/page?first=${first}&limit=${PAGE}`);
    if (this.#top === null && last !== this.#last) {
      // it has grown since
      ({ last, rows } = await this.#service.get(`/rows/page?first=${Math.max(1, last - PAGE + 1)}&limit=${PAGE}`));
    }
    this.#last = last;
    this.#draw(rows.reverse());
  }

  #draw(rows) {
    const held = this.#body.contains(document.activeElement) ? document.activeElement.value : null;
    replace(this.#body, ...rows.map((row) => this.#line(row)));
    if (held) [...this.#body.querySelectorAll("button")].find((button) => button.value === held)?.focus();
    const told = rows.length
      ? `${count(rows[0].seq)} to ${count(rows.at(-1).seq)} of ${count(this.#last)}`
      : "no row is finished yet";
    say(byId("rows-note"), told);
    byId("newer").disabled = byId("newest").disabled = this.#top === null;
    byId("older").disabled = !rows.length || rows.at(-1).seq <= 1;
  }

  #line(row) {
    const open = el(
      "button",
      { type: "button", value: String(row.seq), "aria-label": `Row ${row.seq}, whole` },
      count(row.seq),
    );
    open.addEventListener("click", () => this.#open(row.seq));
    const cells = [
      [SOURCES[row.source] ?? row.source, ""],
      [row.pair ?? "–", ""],
      [fixed(row.pi), "num"],
      [row.instruction, ""],
    ];
    return el(
      "tr",
      {},
      el("td", { className: "num" }, open),
      el("td", { className: "num" }, count(row.seed)),
      ...cells.map(([text, className]) => el("td", { className, title: String(text) }, text)),
    );
  }

  async #jump(event) {
    event.preventDefault();
    const [row, seed] = [byId("goto"), byId("goto-seed")];
    try {
      if (seed.value) row.value = (await this.#service.get(`/seeds/${encodeURIComponent(seed.value)}`)).row;
      const number = Number(row.value);
      if (!number) return;
      await this.#go(number + Math.floor(PAGE / 2));
      this.#open(number);
    } catch (error) {
      if (!isTold(error)) throw error;
      say(byId("rows-note"), error.message);
    }
    seed.value = "";
  }
}
