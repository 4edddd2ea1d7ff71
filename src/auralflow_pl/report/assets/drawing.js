// Elements, numbers and axes that both pages draw with.
const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);
const NS = "http://www.w3.org/2000/svg";

function make(name, attributes = {}, ...children) {
  const node = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (value !== undefined && value !== null) node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

function draw(name, attributes = {}, text) {
  const node = document.createElementNS(NS, name);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

const number = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const percent = (value) => (value === null || value === undefined ? "–" : `${Math.round(100 * value)} %`);
const titled = (heading) => (heading.unit ? `${heading.label} [${heading.unit}]` : heading.label);
const colour = (index) => `var(--c${index % 6})`;
const quantile = (sorted, share) => {
  const place = share * (sorted.length - 1), low = Math.floor(place);
  return sorted[low] + (place - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
};

function ticks(low, high, count = 5) {
  const rough = (high - low || 1) / count, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const found = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(+(k * step).toPrecision(10));
  return found;
}

function table(target, columns, rows) {
  const head = make("tr", {}, ...columns.map((c) => make("th", { class: c.text ? "text" : "", title: typeof c.title === "string" ? c.title : "", scope: "col" }, c.label)));
  const body = rows.map((row) => make("tr", {}, ...columns.map((c) => make("td", { class: c.text ? "text" : "", title: typeof c.title === "function" ? c.title(row) : "" }, c.show(row)))));
  target.replaceChildren(make("thead", {}, head), make("tbody", {}, ...body));
}
