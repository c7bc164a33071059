// The market: order book and prices as they move, and what was traded (only where this node is a market).

import { follow, get } from "./api.js";
import { depthChart, figures, legend, priceChart } from "./charts.js";
import { h, put } from "./dom.js";
import { empty, loading, pill, problem, table } from "./ui.js";
import { kwh, money, price, short, span, symbol } from "./units.js";

const FILLS = 20;
const AFTER_MS = 500;
const DAYS = 7;

export async function marketPage({ main, signal }) {
  const [state, book, history, fills] = [h("span"), h("section"), h("section"), h("section")];
  put(book, loading());
  put(main, h("div", { class: "title-row" }, h("h1", null, "Market"), state), book, history, fills);
  const slots = new Map();
  const select = h("select", { "aria-label": "Time of delivery" });
  let drawn = "";
  const draw = () => {
    const open = [...slots.values()].filter((slot) => slot.offers.length || slot.requests.length).sort((a, b) => a.start - b.start);
    const names = JSON.stringify(open.map((slot) => [slot.start, slot.end]));
    if (names !== drawn) {
      const chosen = select.value;
      put(select, open.map((slot) => h("option", { value: key(slot), selected: key(slot) === chosen }, span(slot.start, slot.end))));
      drawn = names;
    }
    put(book, bookOf(open, select));
  };
  select.addEventListener("change", draw);
  let waiting = 0;
  follow("/market/live", (message) => {
    put(state, message.type === "gone" ? pill("no", "not connected") : pill("live"));
    if (message.type === "problem") put(book, problem({ message: message.problem.detail, remedy: message.problem.remedy }));
    if (message.type === "hello") draw();
    if (message.type !== "slot") return;
    slots.set(key(message.slot), message.slot);
    draw();
    // Many slots may move at once; what was traded is asked for once they are through.
    waiting ||= setTimeout(() => {
      waiting = 0;
      past(history, fills, signal);
    }, AFTER_MS);
  }, signal);
  await past(history, fills, signal);
}

const key = (slot) => `${slot.start}-${slot.end}`;

function bookOf(open, select) {
  const title = h("div", { class: "title-row" }, h("h2", null, "Order book"), open.length ? select : null);
  if (!open.length) return [title, empty("The book is empty.", "Offers and requests are shown here the moment they come.")];
  const slot = open.find((each) => key(each) === select.value) ?? open[0];
  const side = (name, levels) => levels.map((level) => ({ side: name, ...level }));
  const columns = [
    ["Side", (row) => row.side],
    ["Price", (row) => price(row.price), "number"],
    ["Energy", (row) => kwh(row.wh), "number"],
    ["Orders", (row) => String(row.orders), "number"],
  ];
  return [
    title, legend(["offers", "offers"], ["requests", "requests"]), depthChart(slot),
    table(columns, [...side("offer", slot.offers), ...side("request", slot.requests)]),
  ];
}

async function past(history, fills, signal) {
  try {
    const since = Math.floor(Date.now() / 1000) - DAYS * 86400;
    const asked = [get("/market/prices", { start: since }, signal), get("/market/fills", { limit: FILLS }, signal)];
    const [prices, traded] = await Promise.all(asked);
    if (signal.aborted) return;
    put(history, h("h2", null, `Prices of the last ${DAYS} days and of what is to come`), pricesOf(prices.items));
    put(fills, h("h2", null, "Newest contracts"), fillsOf(traded.items));
  } catch (error) {
    if (signal.aborted) return;
    put(history, problem(error));
  }
}

function pricesOf(items) {
  if (!items.length) return empty("Nothing was traded for these days.", "Mean prices by time of delivery are drawn here.");
  const columns = [
    ["Delivery", (row) => span(row.start, row.end)],
    ["Lowest", (row) => price(row.low), "number"],
    ["Mean", (row) => price(row.mean), "number"],
    ["Highest", (row) => price(row.high), "number"],
    ["Energy", (row) => kwh(row.wh), "number"],
    ["Contracts", (row) => String(row.contracts), "number"],
  ];
  const rows = [...items].sort((a, b) => a.start - b.start);
  const what = h("p", { class: "muted" }, `Mean price of each time of delivery, ${symbol()} per kWh.`);
  return [what, priceChart(rows.map((row) => ({ start: row.start, price: row.mean }))), figures(columns, rows)];
}

function fillsOf(items) {
  if (!items.length) return empty("There is no contract yet.", "Each is shown here with unit price and total.");
  return table([
    ["Id", (row) => short(row.id)],
    ["Delivery", (row) => span(row.start, row.end)],
    ["Energy", (row) => kwh(row.wh), "number"],
    ["Unit price", (row) => price(row.price), "number"],
    ["Total", (row) => money(row.amount), "number"],
    ["Final", (row) => (row.final ? "yes" : "not yet")],
  ], items);
}
