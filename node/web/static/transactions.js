// Transactions as a table: pages, page size, filter by status, search by id or time, rows that unfold (M-80, M-81).

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { details } from "./trade.js";
import { choice, empty, field, loading, pill, problem, unfoldingRow, unfoldingTable } from "./ui.js";
import { kwh, money, short, time } from "./units.js";

const SIZES = [10, 20, 50, 100];
const FIRST = 200;
const NEXT = 1000;
const STATUSES = [
  ["", "All"], ["matched", "Contract created"], ["reported", "One side reported"], ["contested", "Reports differ"],
  ["delivered", "Payment requested"], ["paid", "Payment processed"], ["confirmed", "Payment confirmed"],
  ["claimed", "Claim issued"], ["disputed", "Claim disputed"], ["cured", "Claim cured"], ["resolved", "Claim resolved"],
  ["cancelled", "Cancelled"],
];
const DAY = /^(\d{4})-(\d{2})-(\d{2})(?:[ T](\d{2})(?::(\d{2})(?::(\d{2}))?)?)?$/;

/** The page of all contracts that this node knows. */
export function transactionsPage({ main, signal }) {
  const body = h("div");
  put(main, h("h1", null, "Transactions"), body);
  return transactions(body, { signal });
}

/** What somebody typed as a query: the beginning of an id, or a day, hour, minute or second. Raises with a sentence. */
export function asQuery(text) {
  const wanted = text.trim();
  if (!wanted) return {};
  const found = DAY.exec(wanted);
  if (found) {
    const [year, month, day, hour, minute, second] = found.slice(1).map((part) => (part === undefined ? null : Number(part)));
    const from = new Date(year, month - 1, day, hour ?? 0, minute ?? 0, second ?? 0);
    const to = new Date(from);
    if (second !== null) to.setSeconds(second + 1);
    else if (minute !== null) to.setMinutes(minute + 1);
    else if (hour !== null) to.setHours(hour + 1);
    else to.setDate(day + 1);
    return { from: from.getTime() / 1000, to: to.getTime() / 1000 };
  }
  if (/^(0x)?[0-9a-f]{1,64}$/i.test(wanted)) return { id: wanted };
  throw new Error("Type the beginning of an id, or a time such as 2026-11-29 or 2026-11-29 14:05.");
}

/** The table in an element; of one account, or of all. */
export async function transactions(place, { account, signal }) {
  const state = { size: SIZES[0], page: 0, status: "", text: "", rows: [], over: false };
  const [list, pages, told] = [h("div"), h("nav", { class: "pages", "aria-label": "Pages of the table" }), h("div")];
  const loaded = async (from, limit) => {
    const query = { account, status: from.status, limit, before: from.rows.at(-1)?.number, ...asQuery(from.text) };
    const { items } = await get("/market/trades", query, signal);
    return { ...from, rows: [...from.rows, ...items], over: items.length < limit };
  };
  const draw = () => {
    const from = state.page * state.size;
    put(list, rowsOf(state.rows.slice(from, from + state.size), signal, Boolean(state.status || state.text)));
    put(pages, pageList(state, go));
  };
  // Who searches again before the former answer is there wants the later one only.
  let turn = 0;
  const newest = async (work) => {
    const mine = ++turn;
    put(told);
    try {
      const { rows, over, page } = await work();
      if (signal.aborted || mine !== turn) return;
      Object.assign(state, { rows, over, page });
      draw();
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      if (error.status === 401) throw error;
      put(told, problem(error));
    }
  };
  const again = () => newest(() => loaded({ ...state, rows: [], page: 0, over: false }, FIRST));
  const go = (page) => newest(async () => {
    // The last page that is known may have others behind it.
    let next = { ...state };
    while (!next.over && (page + 1) * next.size >= next.rows.length) next = await loaded(next, NEXT);
    return { ...next, page: Math.min(page, Math.max(0, Math.ceil(next.rows.length / next.size) - 1)) };
  });
  put(place, tools(state, again, draw), told, list, pages);
  put(list, loading());
  await again();
}

function tools(state, again, draw) {
  const status = choice("status", STATUSES, "");
  const size = choice("size", SIZES.map((each) => [String(each), String(each)]), String(state.size));
  const search = h("input", { type: "search", name: "search", placeholder: "id or time", autocomplete: "off", spellcheck: "false" });
  status.addEventListener("change", () => { state.status = status.value; again(); });
  size.addEventListener("change", () => {
    const first = state.page * state.size;
    state.size = Number(size.value);
    state.page = Math.floor(first / state.size);
    draw();
  });
  const form = h("form", { class: "tools", role: "search" },
    field("Search", search), h("button", { type: "submit" }, "Search"), field("Status", status), field("Rows", size));
  form.addEventListener("submit", (event) => { event.preventDefault(); state.text = search.value; again(); });
  // The little cross that empties the field.
  search.addEventListener("search", () => { if (!search.value && state.text) { state.text = ""; again(); } });
  return form;
}

function rowsOf(rows, signal, filtered) {
  if (!rows.length) {
    return filtered ? empty("No transaction is like this.", "Change the search or the status.")
      : empty("There is no transaction yet.", "One is shown here once an offer and a request were matched.");
  }
  const body = rows.map((trade) => unfoldingRow(short(trade.id), [
    ["Time", time(trade.made_at)],
    ["Amount", kwh(trade.wh), "number"],
    ["Value", money(trade.amount), "number"],
    ["Status", pill(trade.status, trade.seed_status)],
  ], (place) => details(place, trade, signal)));
  return unfoldingTable([["Id"], ["Time"], ["Amount", "number"], ["Value", "number"], ["Status"]], body);
}

// First, last, and those around the present one; "older" where the node has more than was asked for.
function pageList(state, go) {
  const count = Math.max(1, Math.ceil(state.rows.length / state.size));
  const near = new Set([0, 1, state.page - 1, state.page, state.page + 1, count - 2, count - 1]);
  const shown = [...near].filter((page) => page >= 0 && page < count).sort((a, b) => a - b);
  const items = [];
  shown.forEach((page, i) => {
    if (i && page - shown[i - 1] > 1) items.push(h("span", { class: "muted" }, "…"));
    const here = page === state.page;
    items.push(h("button", { type: "button", class: "small", "aria-current": here ? "page" : null, onclick: () => go(page) }, String(page + 1)));
  });
  const arrow = (label, page, words) => h("button",
    { type: "button", class: "small", "aria-label": words, disabled: page < 0 || (page >= count && state.over), onclick: () => go(page) }, label);
  const total = `${state.rows.length}${state.over ? "" : "+"} transactions`;
  return [arrow("‹", state.page - 1, "Previous page"), items, arrow("›", state.page + 1, "Next page"), h("span", { class: "muted" }, total)];
}
