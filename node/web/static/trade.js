// One transaction unfolded: its terms and every event (M-81); an event checked against database, channels and chain
// (M-82). What others wrote is shown as text.

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { empty, facts, loading, pill, problem, sheet } from "./ui.js";
import { kwh, money, price, short, span, time } from "./units.js";

const WORDS = {
  contract: "Contract created", matched: "Contract created", reported: "Delivery reported", contested: "The reports differ",
  delivered: "Payment requested", paid: "Payment processed", confirmed: "Payment confirmed", claimed: "Claim issued",
  disputed: "Claim disputed", cured: "Claim cured", resolved: "Claim resolved", cancelled: "Cancelled",
  progress: "Meter counted",
};
const KINDS = { "trade.final": "Final on the chain", "trade.progress": "Meter counted", "trade.twin": "Entry in the digital twin" };
const FIELDS = { wh: "energy", delivered_wh: "delivered", price: "price per kWh", amount: "value" };
const MONEY = new Set(["price", "amount", "due", "paid"]);
const ENERGY = new Set(["wh", "delivered_wh"]);

/** Fills `place` with what is known of a contract. */
export async function details(place, trade, signal) {
  put(place, loading());
  let events;
  try {
    const twin = await twinOf(trade.id, signal);
    events = twin ? fromTwin(trade, twin) : fromFeed(await feedOf(trade.id, signal));
  } catch (error) {
    if (signal.aborted) return;
    events = problem(error);
  }
  put(place, h("div", { class: "unfolded" }, terms(trade), h("h2", null, "Events"), events));
}

async function twinOf(id, signal) {
  try {
    return await get(`/market/trades/${id}/twin`, {}, signal);
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

async function feedOf(id, signal) {
  try {
    return (await get("/events", { aggregate: `trade/${id}`, limit: 1000 }, signal)).items;
  } catch (error) {
    // Who may only look is not shown the feed of everything.
    if (error.status === 403) return [];
    throw error;
  }
}

function terms(trade) {
  const code = (text) => h("code", { class: "wrap" }, text);
  return facts([
    ["Id", code(trade.id)],
    ["Delivery", trade.start === null ? null : span(trade.start, trade.end)],
    ["Unit price", price(trade.price)],
    ["Value", money(trade.amount)],
    ["Delivered", trade.delivered_wh === null ? null : kwh(trade.delivered_wh)],
    ["Due", trade.due === null ? null : money(trade.due)],
    ["Paid", money(trade.paid)],
    ["Seller", code(trade.seller)],
    ["Buyer", code(trade.buyer)],
    ["Final on the chain", trade.final ? "yes" : "not yet"],
  ]);
}

// The same fact stands in every party's log: one event here, with all who wrote it.
function fromTwin(trade, twin) {
  const found = new Map();
  for (const entry of twin.entries) {
    const key = JSON.stringify(Object.entries(entry.message).sort());
    const event = found.get(key) ?? { message: entry.message, entries: [] };
    event.entries.push(entry);
    found.set(key, event);
  }
  if (!found.size) return empty("No party has written about this contract yet.", "Entries come once it is final on the chain.");
  const items = [...found.values()].map((event) => {
    const parties = [...new Set(event.entries.map((entry) => entry.party))].join(", ");
    return h("li", null, h("button", { type: "button", class: "event", onclick: () => check(trade, event) },
      h("span", null, named(event.message)), amounts(event.message),
      h("span", { class: "muted" }, `${time(event.entries[0].at)} · written by ${parties}`)));
  });
  return h("ol", { class: "events" }, items);
}

const named = (message) => WORDS[message.status] ?? WORDS[message.event] ?? message.status ?? message.event;

function amounts(message) {
  const parts = [];
  if (message.wh) parts.push(kwh(message.wh));
  if (message.amount) parts.push(money(message.amount));
  return parts.length ? h("span", null, parts.join(", ")) : null;
}

// A node without a twin (a third party, or one that was paired later) still has its own feed.
function fromFeed(events) {
  if (!events.length) return empty("This node has kept no event of this contract.", "Its market or one of its partners has them.");
  return [
    h("ol", { class: "events" }, events.map((event) => h("li", null,
      h("button", { type: "button", class: "event", onclick: () => sheet("Event", json(event)) },
        h("span", null, KINDS[event.kind] ?? WORDS[event.data?.status] ?? event.kind), h("span", { class: "muted" }, time(event.recorded_at)))))),
    h("p", { class: "muted" }, "This node holds no digital twin of this contract, so there is nothing to compare it with."),
  ];
}

const json = (value) => h("pre", { class: "json", tabindex: 0 },
  JSON.stringify(value, (_key, each) => (typeof each === "bigint" ? String(each) : each), 2));

// Fetched anew, so that what is shown was looked up now: database, every log, chain.
async function check(trade, event) {
  const body = h("div", null, loading());
  sheet(named(event.message), body);
  try {
    const twin = await get(`/market/trades/${trade.id}/twin`);
    const entries = twin.entries.filter((entry) => event.entries.some((each) => each.hash === entry.hash));
    put(body, verdict(twin, entries), h("h3", null, "Field by field"), compared(twin.fields),
      h("h3", null, "As it was written"), entries.map(written));
  } catch (error) {
    put(body, problem(error));
  }
}

function verdict(twin, entries) {
  const said = (copy) => twin.fields.filter((field) => copy in field.values);
  const differs = (copy) => said(copy).filter((field) => !field.agrees).length;
  const logs = twin.damage === null && !twin.fork && !twin.missing.length && !twin.contradicted.length;
  const onChain = entries.map((entry) => entry.on_chain).filter((each) => each !== null);
  const anchored = entries.find((entry) => entry.anchored !== null)?.anchored;
  const line = (name, good, words) => h("li", null, pill(good ? "yes" : "no", good ? "agrees" : "differs"), h("strong", null, name), h("span", null, words));
  const block = onChain.length ? (onChain.every(Boolean) ? "the block that it names is the chain's" : "the block that it names is not the chain's") : "it names no block";
  const chain = onChain.every(Boolean) && !differs("chain") && !twin.unproven.length;
  return h("ul", { class: "verdict", "data-agrees": String(twin.agrees) },
    line("Database", !differs("database"), `${said("database").length} fields compared`),
    line("Channel", logs && entries.length > 0, entries.length ? `signed by ${entries.map((entry) => entry.party).join(", ")}; signatures verified` : "the entry is gone"),
    line("Chain", chain, anchored ? `${block}; its root stands in block ${anchored}` : block),
    troubles(twin).map((words) => h("li", { class: "warning" }, words)));
}

function troubles(twin) {
  return [
    twin.damage,
    twin.fork ? `${twin.fork.author} signed two entries that contradict each other.` : null,
    ...twin.missing.map((each) => `Missing here: ${each}.`),
    ...twin.contradicted.map((each) => `${each}: one tells of another entry than its author wrote.`),
    ...twin.unproven.map((each) => `The root ${each} is not on the chain.`),
  ].filter(Boolean);
}

function compared(fields) {
  const copies = [...new Set(fields.flatMap((field) => Object.keys(field.values)))];
  const show = (field, copy) => {
    const value = field.values[copy];
    if (value === undefined) return "–";
    if (MONEY.has(field.field)) return money(value);
    if (ENERGY.has(field.field)) return kwh(value);
    // Ids are as long as they are; all of one is worth its place where it differs, and stands in the JSON below.
    const long = field.agrees && /^0x[0-9a-f]{20,}$/i.test(value);
    return h("span", { class: "wrap", title: String(value) }, long ? short(value) : String(value));
  };
  const rows = fields.map((field) => h("tr", { class: field.agrees ? null : "differs" },
    h("th", { scope: "row" }, FIELDS[field.field] ?? field.field.replaceAll("_", " "), field.agrees ? null : [" ", pill("no", "differs")]),
    copies.map((copy) => h("td", { "data-label": copy }, show(field, copy)))));
  const head = h("tr", null, h("th", { scope: "col" }, "Field"), copies.map((copy) => h("th", { scope: "col" }, copy)));
  return h("div", { class: "scroll", tabindex: 0 }, h("table", { class: "compare" }, h("thead", null, head), h("tbody", null, rows)));
}

function written(entry) {
  return h("section", { class: "entry" },
    h("p", null, h("strong", null, `${entry.party}'s log`), ` entry ${entry.seq}, ${time(entry.at)}`),
    json({ message: entry.message, signature: entry.signature }));
}
