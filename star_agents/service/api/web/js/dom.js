// Elements made of text. Law: what a run says reaches the page through textContent and nothing else.

export const byId = (id) => document.getElementById(id);

// An element with attributes, a class, and children: elements, texts, or null for none.
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === false) continue;
    if (key in made && typeof value !== "string") made[key] = value;
    else made.setAttribute(key === "className" ? "class" : key, value);
  }
  made.append(...children.filter((child) => child !== null).map(asNode));
  return made;
}

export function replace(host, ...children) {
  host.replaceChildren(...children.filter((child) => child !== null).map(asNode));
}

// Sets a text only where it changes, so that screen readers and selections are left in peace.
export function say(host, text) {
  if (host.textContent !== text) host.textContent = text;
}

// A table from column heads and lines of cells; a cell is a text or {text, className, title}.
export function table(heads, lines) {
  const head = heads.map((cell) => cellOf("th", cell, { scope: "col" }));
  const body = lines.map(([first, ...rest]) =>
    el("tr", {}, cellOf("th", first, { scope: "row" }), ...rest.map((cell) => cellOf("td", cell))),
  );
  return el("table", {}, el("thead", {}, el("tr", {}, ...head)), el("tbody", {}, ...body));
}

function cellOf(name, cell, attributes = {}) {
  const { text, className = "", title = null } = typeof cell === "object" ? cell : { text: cell };
  return el(name, { ...attributes, className, title }, text);
}

function asNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
