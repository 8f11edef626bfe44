// What was ordered of the run lately, by which door, and what came of it; and files whose rows are lost.

import { byId, el, replace } from "./dom.js";
import { count, moment } from "./format.js";

const UNDONE = new Set(["refused", "void"]);

export function showOrders({ orders, lost }) {
  replace(byId("lost"), ...lost.map((one) => el("li", {}, `${one.file}: ${one.why}: ${what(one)}`)));
  byId("lost").hidden = !lost.length;
  const lines = orders.map((order) =>
    el(
      "li",
      {},
      el("span", { className: "soft num" }, moment(order.at)),
      " ",
      el("strong", {}, order.verb),
      order.told ? ` ${order.told}` : "",
      el("span", { className: UNDONE.has(order.outcome) ? "warn" : "soft" }, ` ${order.outcome}, by ${order.actor}`),
    ),
  );
  replace(byId("orders"), ...(lines.length ? lines : [el("li", { className: "soft" }, "nothing was ordered yet")]));
}

const what = (one) =>
  one.holds === "rows" ? `${count(one.rows)} rows are lost with it` : `the calls of ${count(one.rows)} rows are lost with it`;
