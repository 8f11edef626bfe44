// One row whole: the seed, every candidate, what it scored, what the judge said of it. Every text of a model stands in
// an element of its own, as text.

import { isTold } from "./api.js";
import { byId, el, replace, say } from "./dom.js";
import { count, fixed, latency, share } from "./format.js";

export class RowDialog {
  #service;
  #dialog = byId("row");
  #number = 0;

  constructor(service) {
    this.#service = service;
    byId("row-close").addEventListener("click", () => this.#dialog.close());
    byId("row-newer").addEventListener("click", () => this.open(this.#number + 1));
    byId("row-older").addEventListener("click", () => this.open(this.#number - 1));
  }

  async open(number) {
    if (number < 1) return;
    try {
      const row = await this.#service.get(`/rows/${number}`);
      this.#number = number;
      this.#draw(row);
    } catch (error) {
      if (!isTold(error)) throw error;
      replace(byId("row-body"), el("p", {}, error.message));
    }
    if (!this.#dialog.open) this.#dialog.showModal();
    byId("row-body").scrollTop = 0;
  }

  #draw(row) {
    say(byId("row-title"), `Row ${count(row.seq)} · seed ${count(row.seed)} · ${outcomeOf(row)}`);
    const { instruction, context, response, source_id: source } = row.seed_row;
    const drawn = `batch ${count(row.batch)}, drawn with weights of version ${count(row.weights_version)}`;
    const facts = source ? `${drawn}, ${source} in the source` : drawn;
    replace(
      byId("row-body"),
      el("p", { className: "what" }, facts),
      el("h3", {}, "Seed"),
      ...said("instruction", instruction),
      ...(context ? said("input", context) : []),
      ...(response ? said("response", response) : []),
      el("h3", {}, "Candidates"),
      ...row.slots.map(candidate),
    );
  }
}

function outcomeOf(row) {
  const why = row.reason ? ` (${row.reason})` : "";
  return row.pair ? `${row.source}: ${row.pair}, π ${fixed(row.pi)}${why}` : `${row.source}${why}`;
}

function candidate(slot) {
  const badges = [
    [slot.is_selected, "selected", "good"],
    [slot.is_base, "base", "soft"],
    [slot.from_memory, "from memory", "soft"],
    [slot.failure, "failed", "bad"],
    [slot.finish_reason === "length", "cut short", "warn"],
  ];
  const head = el(
    "header",
    {},
    el("h3", {}, slot.pair),
    ...badges.filter(([is]) => is).map(([, name, look]) => el("span", { className: `badge ${look}` }, name)),
    el("span", { className: "what" }, slot.model ?? ""),
  );
  const texts = slot.failure
    ? said("why", `${slot.failure.reason}: ${slot.failure.message}`)
    : [...said("instruction", slot.instruction), ...said("response", slot.response)];
  return el(
    "article",
    { className: `candidate${slot.is_selected ? " selected" : ""}${slot.failure ? " failed" : ""}` },
    head,
    ...texts,
    el("div", { className: "columns" }, scoresOf(slot), verdictOf(slot)),
    callsOf(slot),
  );
}

const said = (name, text) => [
  el("p", { className: "what" }, name),
  el("div", { className: "text", tabIndex: 0, role: "group", "aria-label": name }, text || "(empty)"),
];

const factsOf = (facts) =>
  el("dl", { className: "facts" }, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

function scoresOf({ scores, grade, propensity }) {
  const [small, large] = [scores?.small, scores?.large];
  return factsOf([
    ["IFD small / large", `${ifdOf(small)} / ${ifdOf(large)}`],
    ["gap", fixed(grade?.gap)],
    ["π dual", fixed(grade?.pi_dual)],
    ["π judge", fixed(grade?.pi_llm)],
    ["π", fixed(grade?.pi)],
    ...(grade?.reason ? [["not graded", grade.reason]] : []),
    ["probability of the draw", share(propensity, 2)],
  ]);
}

const ifdOf = (score) => (score ? (score.ifd === null ? score.status : fixed(score.ifd)) : "–");

function verdictOf({ verdict }) {
  if (!verdict) return factsOf([["verdict", "not judged"]]);
  const facts = [
    ["verdict by", verdict.source],
    ["orders said", verdict.labels.join(", ") || "–"],
  ];
  if (verdict.suspicions.length)
    facts.push([el("strong", { className: "bad" }, "addresses the judge"), verdict.suspicions.join(", ")]);
  return factsOf(facts);
}

// Every call behind a candidate; what the judge wrote is its reason.
function callsOf({ calls }) {
  const judged = calls.filter((call) => call.purpose.startsWith("judge"));
  const shown = calls.map((call) =>
    el(
      "div",
      {},
      el(
        "p",
        { className: "what" },
        [
          call.purpose.replace("_", " "),
          call.agent,
          `${call.model ?? "no answer"} at ${call.endpoint}`,
          latency(call.latency_s),
          `${count(call.input_tokens)} + ${count(call.output_tokens)} tokens`,
          ...(call.attempts > 1 ? [`${call.attempts} tries`] : []),
        ].join(" · "),
      ),
      ...(call.purpose === "respond" ? [] : [el("div", { className: "text" }, call.text || "(empty)")]),
      ...(call.reasoning ? said("reasoning", call.reasoning) : []),
    ),
  );
  return el(
    "details",
    { open: judged.length > 0 },
    el(
      "summary",
      {},
      calls.length === 1 ? "1 call" : `${count(calls.length)} calls`,
      judged.length ? ", with what the judge said" : "",
    ),
    ...shown,
  );
}
