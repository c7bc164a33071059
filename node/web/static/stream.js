// One stream: facts, members, a day of it as a picture and as figures, and its newest readings.

import { all, get } from "./api.js";
import { dayChart, hasPicture, valuesOf } from "./daychart.js";
import { h, put } from "./dom.js";
import { figures, legend } from "./charts.js";
import { readersOf, titleOf } from "./streams.js";
import { empty, facts, loading, problem, repeat, table } from "./ui.js";
import { ago, interval, minute, quantity, short, time } from "./units.js";

const EVERY_S = 5;
const NEWEST = 10;
const STEP_S = 900;
const CURVE_EVERY_S = 120;

export async function streamPage(place) {
  const { main, signal, parts } = place;
  const sid = parts[0].toLowerCase();
  put(main, loading());
  const first = await get(`/streams/${sid}`);
  if (signal.aborted) return;
  const [about, members, newest, told] = [h("section"), h("section"), h("section"), h("div")];
  put(main,
    h("p", { class: "crumbs" }, h("a", { href: "#/streams" }, "Streams")),
    h("h1", null, titleOf(first)), told,
    first.relation === "writer" ? null : daySection(first, signal), members, newest, about);
  await repeat(async () => {
    try {
      const [stream, consents, status] = await Promise.all([get(`/streams/${sid}`), all("/consents"), get("/status")]);
      const rows = stream.last_reading_at === null ? [] : await lastOf(stream);
      if (signal.aborted) return;
      put(told);
      put(about, h("h2", null, "This stream"), aboutOf(stream, status.now));
      put(members, h("h2", null, "Who can read it now"), membersOf(stream, consents, status.now));
      put(newest, stream.relation === "writer" ? [] : [h("h2", null, "Newest readings"), readingsTable(rows)]);
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(told, problem(error));
    }
  }, EVERY_S, signal);
}

function aboutOf(stream, now) {
  const newest = stream.last_reading_at === null ? "none yet" : `${time(stream.last_reading_at)} (${ago(now - stream.last_reading_at)} ago)`;
  return facts([
    ["Newest reading", stream.relation === "writer" ? null : newest],
    ["Readings kept here", stream.readings === null ? null : `${stream.readings.toLocaleString("en")}, from ${minute(stream.first_reading_at)} on`],
    ["Epoch", `${stream.epoch}; it changes when somebody loses the right to read`],
    ["One key opens", `${stream.slot_seconds} seconds (a slot)`],
    ["Began", minute(stream.genesis)],
    ["Owner", h("code", { class: "wrap" }, stream.owner)],
    ["Writer", stream.writer ? h("code", { class: "wrap" }, stream.writer) : "none: its gateway was unpaired"],
    ["Id", h("code", { class: "wrap" }, stream.sid)],
    ["Alarms", String(stream.alarms)],
  ]);
}

function membersOf(stream, consents, now) {
  if (stream.relation === "writer") return h("p", null, `${stream.live_readers ?? "No"} keys open it; whose they are the household's node shows.`);
  const live = readersOf(stream.sid, consents, now);
  const item = (each, words) => h("li", null, h("a", { href: `#/consents/${each.grant_id}` }, words), ` – ${interval(each.start, each.end)}`);
  if (stream.relation === "reader") {
    return live.length ? h("ul", { class: "plain" }, live.map((each) => item(each, "this node, by consent")))
      : empty("No consent opens it now.", "What was read before stays.");
  }
  return h("ul", { class: "plain" }, h("li", null, "this household"), live.map((each) => item(each, each.party?.name || short(each.reader))));
}

// The newest ones: a stream's readings lie about as far apart as its name says, and twice that is asked for.
async function lastOf(stream) {
  const apart = { "1s": 1, "15min": 900, "1h": 3600 }[stream.name?.split("/")[1]] ?? STEP_S;
  const from = Math.max(0, stream.last_reading_at - 2 * NEWEST * apart);
  const { items } = await get(`/streams/${stream.sid}/readings`, { from, limit: 4 * NEWEST });
  return items.slice(-NEWEST).reverse();
}

function readingsTable(rows) {
  if (!rows.length) return empty("There is no reading yet.", "The first one comes with the meter's next telegram.");
  const names = valuesOf(rows[0].values);
  const today = time(rows[0].time).slice(0, 10) === time(rows.at(-1).time).slice(0, 10);
  return table([
    ["Time", (row) => time(row.time).slice(today ? 11 : 5)],
    ...names.map((name) => [quantity(name).label, (row) => quantity(name, row.values[name]).text, "number"]),
    ["Checked", (row) => (row.provisional ? "not yet" : "yes")],
  ], rows, { compact: true });
}

function daySection(stream, signal) {
  const [plot, told] = [h("div"), h("div")];
  const today = minute(Date.now() / 1000).slice(0, 10);
  const day = h("input", { type: "date", name: "day", value: today, max: today, "aria-label": "Day" });
  let turn = 0;
  const draw = async () => {
    const mine = ++turn;
    const from = Math.floor(new Date(`${day.value || today}T00:00`).getTime() / 1000);
    const next = new Date(from * 1000);
    next.setDate(next.getDate() + 1);
    try {
      const curve = await get(`/streams/${stream.sid}/curve`, { from, to: next.getTime() / 1000, step: STEP_S }, signal);
      if (signal.aborted || mine !== turn) return;
      put(told);
      put(plot, drawn(curve));
    } catch (error) {
      if (signal.aborted || mine !== turn) return;
      if (error.status === 401) throw error;
      put(plot);
      put(told, problem(error));
    }
  };
  const move = (days) => () => {
    const at = new Date(`${day.value || today}T12:00`);
    at.setDate(at.getDate() + days);
    const wanted = minute(at.getTime() / 1000).slice(0, 10);
    if (wanted <= today) day.value = wanted;
    draw();
  };
  day.addEventListener("change", draw);
  put(plot, loading());
  repeat(draw, CURVE_EVERY_S, signal);
  return h("section", null,
    h("div", { class: "title-row" }, h("h2", null, "A day"),
      h("div", { class: "day" }, h("button", { type: "button", "aria-label": "The day before", onclick: move(-1) }, "‹"), day,
        h("button", { type: "button", "aria-label": "The day after", onclick: move(1) }, "›"))),
    told, plot);
}

function drawn(curve) {
  if (!curve.items.length) return empty("Nothing was read of this day.", "Choose another day.");
  if (!hasPicture(curve)) return empty("These readings have no picture yet.", "Their figures stand below.");
  const { chart, kinds, columns, rows } = dayChart(curve);
  return [legend(...kinds), chart, figures(columns, rows, { compact: true })];
}
