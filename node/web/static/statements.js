// Settlement statements: who pays and receives what for a time, and every line as a file (a market's, or an asset's own).

import { download, get } from "./api.js";
import { h, put } from "./dom.js";
import { action, busy, choice, empty, facts, field, loading, some, table, toast, unfoldingRow, unfoldingTable } from "./ui.js";
import { day, kwh, money, short, typedDay } from "./units.js";

const DAY = 86400;
const SHOWN = 50;
const PERIODS = [["all", "The whole time"], ["month", "Each month"], ["day", "Each day"]];
const KINDS = {
  energy: "Energy", shortfall: "Delivered too little", excess: "Delivered too much", grid_fee: "Grid fee", cancellation: "Cancelled",
};
const FILES = [["invoices", "csv", "Invoices, CSV"], ["invoices", "xml", "Invoices, XML"],
  ["export", "csv", "Every line, CSV"], ["export", "xml", "Every line, XML"]];

/** The page: a time, its sums, its invoices, and the files of both. It begins with the present month. */
export async function statementsPage({ main, roles, signal }) {
  const accounts = roles.includes("market") ? null : (await get("/market/accounts", {}, signal)).items;
  if (accounts && !accounts.length) {
    return put(main, h("h1", null, "Statements"), empty("This asset trades in no market yet.", "What it delivers and takes there is shown here."));
  }
  const [told, sums, list] = [h("div"), h("section"), h("section")];
  const show = h("button", { type: "submit", class: "primary" }, "Show");
  const form = h("form", { class: "card" }, fields(accounts), h("div", { class: "buttons" }, show));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(show, () => fill(chosen(form), sums, list, signal), told);
  });
  put(main, h("h1", null, "Statements"), form, told, sums, list);
  put(sums, loading());
  return busy(show, () => fill(chosen(form), sums, list, signal), told);
}

function fields(accounts) {
  const today = day(Date.now() / 1000);
  const date = (name, value) => h("input", { type: "date", name, value, required: true });
  const party = accounts
    ? choice("party", accounts.map((each) => [each.account, each.name || each.url || short(each.account)]))
    : h("input", { name: "party", placeholder: "0x…", autocomplete: "off", spellcheck: "false", pattern: "\\s*0x[0-9a-fA-F]{40}\\s*" });
  return h("div", { class: "columns" },
    field("From", date("from", `${today.slice(0, 8)}01`), "Deliveries that begin on this day or later; days are those of UTC."),
    field("To the end of", date("to", today)),
    field("One invoice for", choice("period", PERIODS, "all")),
    field(accounts ? "Market" : "Account (optional)", party, accounts ? null : "Only what this account pays and receives."));
}

// What is asked for. Raises with a sentence.
function chosen(form) {
  const data = new FormData(form);
  const [from, to] = [typedDay(data.get("from")), typedDay(data.get("to")) + DAY];
  if (from >= to) throw new Error("The first day is later than the last one.");
  return { from, to, period: data.get("period"), party: data.get("party").trim() };
}

async function fill(query, sums, list, signal) {
  put(list);
  put(sums, loading());
  let found;
  try {
    found = await get("/market/statement", query, signal);
  } catch (error) {
    if (signal.aborted) return;
    put(sums);
    throw error;
  }
  put(sums, inAll(found), files(query));
  const invoices = found.invoices;
  put(list, h("h2", null, "Invoices"), invoices.length
    ? some(chunks(invoices), 1, (part) => invoicesOf(part))
    : empty("No delivery was settled in this time.", "A contract is in the statements once its payment is final on the chain."));
}

const chunks = (rows) => Array.from({ length: Math.ceil(rows.length / SHOWN) }, (_, i) => rows.slice(i * SHOWN, (i + 1) * SHOWN));

// Each line has a debtor and a creditor: what is given is what is taken, where all parties are seen.
function inAll(found) {
  const gained = found.invoices.reduce((sum, each) => (each.total > 0 ? sum + BigInt(each.total) : sum), 0n);
  const owed = found.invoices.reduce((sum, each) => (each.total < 0 ? sum - BigInt(each.total) : sum), 0n);
  return [h("h2", null, "In all"), facts([
    ["Market", h("code", { class: "wrap" }, found.operator)],
    ["Contracts", found.contracts.toLocaleString("en")],
    ["Lines", found.lines.toLocaleString("en")],
    ["To be received", money(gained)],
    ["To be paid", money(owed)],
    ["All lines together", money(found.balance)],
  ])];
}

function files(query) {
  const told = h("div");
  const one = ([what, format, label]) => action(label, async () => {
    const period = what === "invoices" ? query.period : null; // lines stand by themselves
    await download(`/market/statement/${what}`, { ...query, period, format });
    toast("The file is with your downloads.");
  }, { where: told });
  return [h("div", { class: "buttons" }, FILES.map(one)), told];
}

function invoicesOf(rows) {
  const body = rows.map((invoice) => unfoldingRow(short(invoice.number), [
    ["Time", days(invoice)],
    ["Amount", short(invoice.party)],
    ["Value", money(invoice.total), "number"],
  ], (place) => put(place, positions(invoice))));
  return unfoldingTable([["Invoice"], ["Time"], ["Party"], ["Value", "number"]], body);
}

function positions(invoice) {
  return h("div", { class: "unfolded" },
    facts([["Invoice", h("code", { class: "wrap" }, invoice.number)], ["Party", h("code", { class: "wrap" }, invoice.party)]]),
    table([
      ["For", (row) => KINDS[row.kind] ?? row.kind],
      ["Carrier", (row) => row.carrier],
      ["Side", (row) => (row.owes ? "pays" : "receives")],
      ["Lines", (row) => row.lines.toLocaleString("en"), "number"],
      ["Energy", (row) => kwh(row.wh), "number"],
      ["Amount", (row) => money(row.amount), "number"],
    ], invoice.positions));
}

// The days of an invoice, the last one included.
function days(invoice) {
  const [first, last] = [day(invoice.start), day(invoice.end - 1)];
  return first === last ? first : `${first} to ${last}`;
}
