// How energy, money, times and ids look to people. Integers inside; decimals here only.

let token = { symbol: "", decimals: 0 };

/** The money that the node's market counts in. Without a market amounts are shown as they are. */
export function setMoney(found) {
  token = found;
}

export function symbol() {
  return token.symbol || "minor units";
}

// An integer with the point moved: exact, at least `least` and at most `places` digits behind it.
function decimal(value, places, least) {
  const big = BigInt(value);
  const digits = (big < 0n ? -big : big).toString().padStart(places + 1, "0");
  const front = digits.slice(0, digits.length - places);
  const back = digits.slice(digits.length - places).replace(/0+$/, "").padEnd(Math.min(least, places), "0");
  return `${big < 0n ? "−" : ""}${BigInt(front).toLocaleString("en")}${back ? `.${back}` : ""}`;
}

/** Minor units as an amount with its symbol. */
export function money(minor) {
  return minor === null || minor === undefined ? "–" : `${decimal(minor, token.decimals, 2)} ${symbol()}`;
}

/** Minor units per kWh. */
export function price(minor) {
  return minor === null || minor === undefined ? "–" : `${money(minor)}/kWh`;
}

/** Wh as kWh. */
export function kwh(wh) {
  return wh === null || wh === undefined ? "–" : `${decimal(wh, 3, 0)} kWh`;
}

/** mWh, in which energy is minted, as kWh: whole watt-hours where there are any, rounded down. */
export function mwh(value) {
  if (value === null || value === undefined) return "–";
  const wh = BigInt(value) / 1000n;
  return wh ? kwh(wh) : `${decimal(value, 6, 0)} kWh`;
}

/** W as kW. */
export function kw(watts) {
  return `${decimal(watts, 3, 0)} kW`;
}

/** Anything that the node told, as text to compare it by. */
export function fingerprint(found) {
  return JSON.stringify(found, (_key, value) => (typeof value === "bigint" ? String(value) : value));
}

/** A count. */
export function counted(value) {
  return value.toLocaleString("en");
}

/** A part of a whole in tenths of a percent, rounded down: only all of it is 100. */
export function percent(part, whole) {
  if (!whole) return "–";
  const tenths = Math.floor((1000 * Number(part)) / Number(whole));
  return `${decimal(tenths, 1, 1)} %`;
}

/** What a person types ("12.5") as an integer with `places` digits behind the point. Raises with a sentence. */
export function typed(text, places, what) {
  const found = /^(\d{1,24})(?:[.,](\d+))?$/.exec(text.trim().replace(/[\s’']/g, ""));
  if (!found) throw new Error(`${what} is a number such as 12.5.`);
  const back = (found[2] ?? "").replace(/0+$/, "");
  if (back.length > places) throw new Error(`${what} has at most ${places} digits behind the point.`);
  return BigInt(found[1] + back.padEnd(places, "0"));
}

export const typedMoney = (text, what) => typed(text, token.decimals, what);
export const typedKwh = (text, what) => typed(text, 3, what);

/** An integer as it stands in a form's field. */
export const moneyField = (minor) => decimal(minor, token.decimals, 0).replaceAll(",", "");
export const kwhField = (wh) => decimal(wh, 3, 0).replaceAll(",", "");

// What readings measure: how it is called, and its unit with the point moved.
const QUANTITIES = {
  import_w: ["Taken", "W"], export_w: ["Fed in", "W"],
  interval_import_wh: ["Taken", "kWh", 3], interval_export_wh: ["Fed in", "kWh", 3],
  import_wh: ["Register taken", "kWh", 3], export_wh: ["Register fed in", "kWh", 3],
  interval_gas_l: ["Gas", "m³", 3], gas_l: ["Gas register", "m³", 3],
};

/** A value of a reading: its label, and the number as people read it. */
export function quantity(name, value) {
  const [label, unit, places] = QUANTITIES[name] ?? [name, ""];
  const known = value !== null && value !== undefined;
  return { label, text: known ? `${decimal(value, places ?? 0, 0)} ${unit}`.trim() : "–" };
}

const two = (number) => String(number).padStart(2, "0");

/** Seconds since 1970 as local time. */
export function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  const at = new Date(seconds * 1000);
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return `${day} ${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
}

/** Seconds since 1970 as local time, to the minute. */
export const minute = (seconds) => time(seconds).slice(0, 16);

/** Seconds since 1970 as a day of UTC, and the first second of such a day. */
export const day = (seconds) => new Date(Math.floor(seconds) * 1000).toISOString().slice(0, 10);

export function typedDay(text) {
  const at = Date.parse(`${text}T00:00:00Z`);
  if (Number.isNaN(at)) throw new Error("Type a day such as 2026-11-29.");
  return at / 1000;
}

/** From when to when; without an end until somebody revokes. */
export function interval(start, end) {
  return end === null || end === undefined ? `from ${minute(start)} until revoked` : `${minute(start)} to ${minute(end)}`;
}

/** A time as a field of the kind datetime-local takes it, and back to seconds. */
export const minuteField = (seconds) => minute(seconds).replace(" ", "T");

export function typedMinute(text) {
  return text ? Math.floor(new Date(text).getTime() / 1000) : null;
}

/** The time zone of all these times: its name, and how far it is from UTC now. */
export function zone() {
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone === "UTC") return "UTC";
  const ahead = -new Date().getTimezoneOffset();
  const minutes = Math.abs(ahead);
  return `${timeZone ?? "local time"}, now UTC${ahead < 0 ? "−" : "+"}${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;
}

const KINDS = { "1s": "every second", "15min": "every 15 minutes", "1h": "every hour", "1d": "every day" };

/** A stream's name as people say it: what, and how often. */
export function streamWords(name) {
  const [what, every] = name.split("/");
  return KINDS[every] ? `${what}, ${KINDS[every]}` : name;
}

/** A span of delivery: the day once. */
export function span(start, end) {
  if (start === null || start === undefined) return "–";
  const [day, from] = time(start).split(" ");
  const [last, to] = time(end).split(" ");
  const places = start % 60 || end % 60 ? 8 : 5; // seconds only where they say something
  return `${day} ${from.slice(0, places)} to ${last === day ? "" : `${last} `}${to.slice(0, places)}`;
}

/** The beginning of an id, as people compare it. */
export function short(id) {
  return id ? `${id.slice(0, 10)}…` : "–";
}

/** "3 min ago". */
export function ago(seconds) {
  if (seconds === null || seconds === undefined) return "never";
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  }
  return `${Math.max(0, Math.floor(seconds))} s`;
}
