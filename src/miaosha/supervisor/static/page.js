// Lists the sales and counts down to the next one, on the server's clock.
"use strict";

const list = document.getElementById("sales");
const REFRESH_MS = 5000;
let sales = [];
let offsetMs = 0;

function element(tag, text, className) {
  const made = document.createElement(tag);
  made.textContent = text;
  if (className) made.className = className;
  return made;
}

function money(price) {
  try {
    const format = new Intl.NumberFormat(undefined, { style: "currency", currency: price.currency });
    const digits = format.resolvedOptions().maximumFractionDigits;
    return format.format(price.amount / 10 ** digits);
  } catch {
    return `${price.currency} ${price.amount}`;
  }
}

function span(ms) {
  const s = Math.max(0, Math.ceil(ms / 1000));
  const parts = [Math.floor(s / 3600), Math.floor(s / 60) % 60, s % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
}

function timing(sale, now) {
  if (sale.phase === "settled" || now >= sale.closes_at_ms) return "over";
  if (now < sale.opens_at_ms) return `opens in ${span(sale.opens_at_ms - now)}`;
  return `closes in ${span(sale.closes_at_ms - now)}`;
}

function draw() {
  const now = Date.now() + offsetMs;
  if (sales.length === 0) {
    list.replaceChildren(element("li", "No sale yet.", "quiet"));
    return;
  }
  list.replaceChildren(...sales.map((sale) => {
    const item = document.createElement("li");
    const row = element("p", "", "row");
    row.append(
      element("span", sale.phase, "phase"),
      element("span", timing(sale, now), "count"),
      element("span", `${sale.stock} units at ${money(sale.price)}`),
      element("span", sale.available ? "" : "sold out", "quiet"),
    );
    item.append(element("h3", sale.title), element("p", sale.product.name, "quiet"), row);
    return item;
  }));
}

async function refresh() {
  try {
    const answer = await fetch("/api/v1/sales", { headers: { accept: "application/json" } });
    if (!answer.ok) throw new Error(String(answer.status));
    sales = (await answer.json()).items;
    if (sales.length > 0) offsetMs = sales[0].server_time_ms - Date.now();
  } catch {
    if (sales.length === 0) list.replaceChildren(element("li", "The shop does not answer.", "quiet"));
    return;
  }
  draw();
}

refresh();
setInterval(refresh, REFRESH_MS);
setInterval(draw, 1000);
