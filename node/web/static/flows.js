// A community's flows: what its members fed in and took, and who used whose production, of a day or a month.

import { get } from "./api.js";
import { figures, legend } from "./charts.js";
import { h, put } from "./dom.js";
import { flowChart } from "./flowchart.js";
import { whoOf } from "./sources.js";
import { choice, empty, loading, problem, repeat, some, table } from "./ui.js";
import { counted, fingerprint, kwh, minute, percent } from "./units.js";

const EVERY_S = 60;
const QUARTER_S = 900;
const AT_ONCE = 12;
const NOBODY = `0x${"0".repeat(40)}`;
const FIGURES = ["produced_wh", "consumed_wh", "green_wh", "export_wh", "import_wh"];
const KINDS = [["produced", "used, from members"], ["consumed", "used, from the grid"], ["away", "into the grid"]];

/** The section with its own choice of time; it keeps itself fresh. */
export function flowsSection(place) {
  const { signal } = place;
  const [plot, told] = [h("div"), h("div")];
  const today = minute(Date.now() / 1000).slice(0, 10);
  const by = choice("by", [["day", "Day"], ["month", "Month"]], "day");
  by.setAttribute("aria-label", "Day or month");
  const day = h("input", { type: "date", name: "day", value: today, max: today, "aria-label": "Day, or a day of the month" });
  let turn = 0;
  let shown = "";
  const draw = async () => {
    const mine = ++turn;
    try {
      const found = await flowsOf(span(by.value, day.value || today), signal);
      const news = fingerprint(found);
      if (signal.aborted || mine !== turn || news === shown) return;
      shown = news;
      put(told);
      put(plot, drawn(found, place));
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      if (error.status === 401) throw error;
      shown = "";
      put(plot);
      put(told, problem(error));
    }
  };
  const move = (steps) => () => {
    const at = new Date(`${day.value || today}T12:00`);
    if (by.value === "day") at.setDate(at.getDate() + steps);
    else at.setMonth(at.getMonth() + steps, 1);
    const wanted = minute(at.getTime() / 1000).slice(0, 10);
    if (wanted <= today) day.value = wanted;
    draw();
  };
  by.addEventListener("change", draw);
  day.addEventListener("change", draw);
  put(plot, loading());
  repeat(draw, EVERY_S, signal);
  return h("section", null,
    h("div", { class: "title-row" }, h("h2", null, "Energy flows (kWh)"),
      h("div", { class: "period" }, by,
        h("div", { class: "day" }, h("button", { type: "button", "aria-label": "Before", onclick: move(-1) }, "‹"), day,
          h("button", { type: "button", "aria-label": "After", onclick: move(1) }, "›")))),
    told, plot);
}

// A day is the person's own, in quarter hours; the days of a month are the chain's, in UTC.
function span(by, day) {
  const [year, month] = day.split("-").map(Number);
  const begin = by === "day" ? new Date(`${day}T00:00`) : new Date(Date.UTC(year, month - 1, 1));
  const end = new Date(begin);
  if (by === "day") end.setDate(end.getDate() + 1);
  else end.setUTCMonth(end.getUTCMonth() + 1);
  const from = begin.getTime() / 1000;
  // What is still to come is not missing.
  const now = Math.floor(Date.now() / 1000 / QUARTER_S) * QUARTER_S;
  return { by: by === "day" ? "quarter" : "day", from, end: end.getTime() / 1000, to: Math.max(from + QUARTER_S, Math.min(end.getTime() / 1000, now)) };
}

// Steps without their members, and the members of all of it: a member of every quarter hour would be far too much.
async function flowsOf({ by, from, to, end }, signal) {
  const [steps, whole] = await Promise.all([
    get("/energy/flows", { from, to, by, member: NOBODY }, signal),
    get("/energy/flows", { from, to, by: "year", pairs: "yes" }, signal),
  ]);
  return { by, from, end, units: whole.units, rows: steps.items, ...summed(whole.items) };
}

// A time over the turn of a year comes in two rows.
function summed(items) {
  const add = (sum, row) => {
    for (const name of FIGURES) sum[name] = (sum[name] ?? 0) + Number(row[name]);
    return sum;
  };
  const [members, pairs] = [new Map(), new Map()];
  for (const row of items) {
    for (const each of row.members) members.set(each.member, add(members.get(each.member) ?? { member: each.member }, each));
    for (const each of row.pairs) {
      const key = each.producer + each.consumer;
      pairs.set(key, { ...each, wh: Number(each.wh) + (pairs.get(key)?.wh ?? 0) });
    }
  }
  const sum = (name) => items.reduce((all, row) => all + row[name], 0);
  return {
    total: items.reduce(add, {}), missing: sum("missing"), partial: sum("partial"),
    members: [...members.values()], pairs: [...pairs.values()].sort((a, b) => b.wh - a.wh),
  };
}

function drawn(found, place) {
  if (!found.units && !found.rows.length) {
    const asks = place.roles.includes("provider") ? "Ask households for electricity/15min on the page Consents" : "Give this node the role provider, then ask households for electricity/15min";
    return empty("No member lets this community read its quarter hours yet.", `${asks}; what they used of each other's production is drawn here.`);
  }
  if (!found.rows.length) return empty("Nothing was measured in this time.", "Choose another day or month.");
  return [totals(found), note(found), legend(...KINDS), flowChart(found), figures(stepColumns, found.rows), pairTable(found, place), memberTable(found, place)];
}

function totals({ total }) {
  const cell = (name, value) => h("div", { class: "stat" }, h("p", { class: "muted" }, name), h("p", { class: "figure" }, value));
  return h("div", { class: "stats" },
    cell("Produced", kwh(total.produced_wh)),
    cell("Used", kwh(total.consumed_wh)),
    cell("Used within the community", kwh(total.green_wh)),
    cell("Self-sufficiency", percent(total.green_wh, total.consumed_wh)),
    cell("Into the grid", kwh(total.export_wh)),
    cell("From the grid", kwh(total.import_wh)));
}

function note({ units, missing, partial, by }) {
  const gaps = [missing ? `${counted(missing)} quarter hours of members are missing and in no figure` : "", partial ? `${counted(partial)} are not whole or not checked yet` : ""].filter(Boolean);
  const days = by === "day" && new Date().getTimezoneOffset() ? " Days are those of UTC." : "";
  return h("p", { class: "hint" }, `Of ${counted(units)} ${units === 1 ? "household" : "households"}, by their meters: what was fed in is produced, what was taken is used.${days}`,
    gaps.length ? ` ${gaps.join("; ")}.` : "");
}

const stepColumns = [
  ["From", (row) => minute(row.start)],
  ["Produced", (row) => kwh(row.produced_wh), "number"],
  ["Used", (row) => kwh(row.consumed_wh), "number"],
  ["From members", (row) => kwh(row.green_wh), "number"],
  ["From the grid", (row) => kwh(row.import_wh), "number"],
  ["Into the grid", (row) => kwh(row.export_wh), "number"],
];

// The first rows of what may be a long list, and more on demand.
function few(columns, rows) {
  const parts = Array.from({ length: Math.ceil(rows.length / AT_ONCE) }, (_, i) => rows.slice(i * AT_ONCE, (i + 1) * AT_ONCE));
  return some(parts, 1, (part) => table(columns, part));
}

function pairTable({ pairs, members }, place) {
  if (!pairs.length) return [h("h3", null, "Who used whose production"), h("p", { class: "muted" }, "Nobody used what a member fed in.")];
  const used = new Map(members.map((each) => [each.member, each.consumed_wh]));
  return [h("h3", null, "Who used whose production"), few([
    ["Made by", (row) => whoOf(row.producer, place)],
    ["Used by", (row) => (row.producer === row.consumer ? "itself" : whoOf(row.consumer, place))],
    ["Energy", (row) => kwh(row.wh), "number"],
    ["Of what it used", (row) => percent(row.wh, used.get(row.consumer)), "number"],
  ], pairs)];
}

function memberTable({ members }, place) {
  return [h("h3", null, "Members"), few([
    ["Member", (row) => whoOf(row.member, place)],
    ["Produced", (row) => kwh(row.produced_wh), "number"],
    ["Used", (row) => kwh(row.consumed_wh), "number"],
    ["From members", (row) => kwh(row.green_wh), "number"],
    ["Self-sufficiency", (row) => percent(row.green_wh, row.consumed_wh), "number"],
  ], [...members].sort((a, b) => b.consumed_wh - a.consumed_wh))];
}
