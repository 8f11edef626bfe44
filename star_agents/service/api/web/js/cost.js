// What the run has cost, over all starts: by endpoint, agent or pair, and how much of the budget that is.

import { byId, el, replace, table } from "./dom.js";
import { brief, count, share, usd } from "./format.js";

const right = (text) => ({ text, className: "num" });

export class Cost {
  #by = byId("cost-by");
  #status = null;

  constructor() {
    this.#by.addEventListener("change", () => this.show(this.#status));
  }

  show(status) {
    this.#status = status;
    if (!status?.bill) return;
    const { bill, budget } = status;
    const lines = [...bill[this.#by.value]].sort((a, b) => (b.usd ?? 0) - (a.usd ?? 0) || tokensOf(b) - tokensOf(a));
    replace(
      byId("cost"),
      table(
        ["charged to", right("dollars"), right("calls"), right("in"), right("out"), right("wasted")],
        [{ ...bill.total, name: "all" }, ...lines].map((line) => [
          line.name,
          right(usd(line.usd, line.is_at_least)),
          right(brief(line.calls)),
          right(brief(line.input_tokens)),
          right(brief(line.output_tokens)),
          right(brief(line.wasted_tokens)),
        ]),
      ),
    );
    replace(byId("budget"), ...(budget ? [meterOf(budget)] : []));
  }
}

function meterOf(budget) {
  const byUsd = budget.usd !== null;
  const [spent, most] = byUsd ? [budget.spent_usd, budget.usd] : [budget.spent_tokens, budget.tokens];
  const told = byUsd ? `${usd(spent)} of ${usd(most)}` : `${count(spent)} of ${count(most)} tokens`;
  return el(
    "label",
    {},
    `budget: ${told} (${share(spent / most)})`,
    el("meter", { min: 0, max: most, high: 0.9 * most, value: spent }),
  );
}

const tokensOf = (line) => line.input_tokens + line.output_tokens;
