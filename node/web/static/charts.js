// Pictures of numbers as SVG, drawn by hand: few points, no library. Behind each stands a table with the same figures.

import { h, s } from "./dom.js";
import { kwh, price, time } from "./units.js";
import { table } from "./ui.js";

// A phone gets a narrower picture with the same letters, not a shrunken one.
let WIDE = 640;
export const HIGH = 200;
export const LEFT = 72;
const BELOW = 24;
export const ABOVE = 10;
export const PLOT = HIGH - BELOW - ABOVE;

const STEPS = [900, 3600, 14400, 86400, 604800, 2592000];
const MOST = 48;

/** Contracts of one account summed by time: { start, produced, consumed, price } with the mean price by energy. */
export function byTime(trades, account) {
  const done = trades.filter((trade) => trade.delivered_wh !== null && (trade.start ?? trade.made_at));
  if (!done.length) return { step: 0, rows: [] };
  const at = (trade) => trade.start ?? trade.made_at;
  const first = Math.min(...done.map(at));
  const last = Math.max(...done.map(at));
  const step = STEPS.find((each) => (last - first) / each < MOST) ?? STEPS.at(-1);
  const found = new Map();
  for (const trade of done) {
    const start = Math.floor(at(trade) / step) * step;
    const row = found.get(start) ?? { start, produced: 0, consumed: 0, money: 0, wh: 0 };
    const wh = Number(trade.delivered_wh);
    if (trade.seller.toLowerCase() === account) row.produced += wh;
    if (trade.buyer.toLowerCase() === account) row.consumed += wh;
    row.wh += wh;
    row.money += wh * Number(trade.price);
    found.set(start, row);
  }
  const rows = [...found.values()].sort((a, b) => a.start - b.start);
  return { step, rows: rows.map((row) => ({ ...row, price: row.wh ? Math.floor(row.money / row.wh) : null })) };
}

/** Settles how wide pictures are, and tells it. */
export function fit() {
  WIDE = innerWidth < 640 ? 330 : 640;
  return WIDE;
}

/** A picture with its name. */
export function frame(title, children) {
  return s("svg", { viewBox: `0 0 ${WIDE} ${HIGH}`, role: "img", "aria-label": title, class: "chart" }, children);
}

const ROUND = [1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10];

/** Where a picture ends at the top: a round figure whose half is one too, so that the lines are read at a glance. */
export function above(highest) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(2, highest)));
  return Math.max(2, Math.round(unit * ROUND.find((each) => unit * each >= highest - unit / 1e6)));
}

// Three lines to read heights by, and the first and last time.
function axes(highest, show, times) {
  const lines = [0, 0.5, 1].map((part) => {
    const y = ABOVE + PLOT * (1 - part);
    return [
      s("line", { x1: LEFT, x2: WIDE, y1: y, y2: y, class: "grid" }),
      s("text", { x: LEFT - 6, y: y + 4, class: "axis end" }, show(Math.round(highest * part))),
    ];
  });
  const [first, last] = [times[0], times.at(-1)];
  const alone = last === first; // its one mark stands in the middle
  const place = alone ? { x: (LEFT + WIDE) / 2, class: "axis middle" } : { x: LEFT, class: "axis" };
  const foot = [s("text", { y: HIGH - 6, ...place }, time(first).slice(0, 16))];
  if (!alone) foot.push(s("text", { x: WIDE, y: HIGH - 6, class: "axis end" }, time(last).slice(WIDE > 400 ? 0 : 5, 16)));
  return [lines, foot];
}

const bare = (text) => text.replace(/ .*$/, "");

/** Produced and consumed energy as bars beside each other. */
export function energyChart({ step, rows }) {
  fit();
  const highest = above(Math.max(...rows.map((row) => Math.max(row.produced, row.consumed))));
  const slots = Math.max(1, Math.round((rows.at(-1).start - rows[0].start) / step) + 1);
  const room = (WIDE - LEFT) / slots;
  const bar = Math.max(1, Math.min(room * 0.4, 28));
  const bars = rows.flatMap((row) => {
    const middle = LEFT + room * ((row.start - rows[0].start) / step + 0.5);
    return [["produced", middle - bar], ["consumed", middle]].map(([kind, x]) => {
      const high = (row[kind] / highest) * PLOT;
      const what = s("title", null, `${kind} ${kwh(row[kind])}, ${time(row.start)}`);
      return s("rect", { x, y: ABOVE + PLOT - high, width: bar, height: high, class: kind }, what);
    });
  });
  const title = "Energy over time: produced and consumed";
  return frame(title, [axes(highest, (wh) => bare(kwh(wh)), rows.map((row) => row.start)), bars]);
}

/** A price over time, as steps with a dot each. `rows`: { start, price }. */
export function priceChart(rows) {
  fit();
  const known = rows.filter((row) => row.price !== null);
  const highest = above(Math.max(...known.map((row) => Number(row.price))));
  const first = known[0].start;
  const length = Math.max(1, known.at(-1).start - first);
  const x = (row) => (known.length === 1 ? (LEFT + WIDE) / 2 : LEFT + 6 + ((row.start - first) / length) * (WIDE - LEFT - 12));
  const y = (row) => ABOVE + PLOT * (1 - Number(row.price) / highest);
  const path = known.map((row, i) => (i ? `H${x(row)}V${y(row)}` : `M${x(row)} ${y(row)}`)).join("");
  const dots = known.map((row) =>
    s("circle", { cx: x(row), cy: y(row), r: 3, class: "price-dot" }, s("title", null, `${price(row.price)}, ${time(row.start)}`)),
  );
  const scale = axes(highest, (minor) => bare(price(minor)), known.map((row) => row.start));
  return frame("Price over time", [scale, s("path", { d: path, class: "price-line" }), dots]);
}

/** Depth of one time of delivery: what can be had at most at each price, both sides. */
export function depthChart(slot) {
  fit();
  const sides = [
    ["offers", [...slot.offers].sort((a, b) => Number(a.price) - Number(b.price))],
    ["requests", [...slot.requests].sort((a, b) => Number(b.price) - Number(a.price))],
  ];
  const levels = [...slot.offers, ...slot.requests];
  const dearest = Math.max(1, ...levels.map((level) => Number(level.price))) * 1.1;
  const most = above(Math.max(...sides.map(([, side]) => side.reduce((sum, level) => sum + Number(level.wh), 0))));
  const x = (at) => LEFT + (at / dearest) * (WIDE - LEFT);
  const y = (wh) => ABOVE + PLOT * (1 - wh / most);
  const steps = sides.map(([kind, side]) => {
    if (!side.length) return null;
    let sum = 0;
    let path = `M${x(Number(side[0].price))} ${y(0)}`;
    for (const level of side) {
      path += `H${x(Number(level.price))}`;
      sum += Number(level.wh);
      path += `V${y(sum)}`;
    }
    path += `H${kind === "offers" ? WIDE : LEFT}`;
    return s("path", { d: path, class: `depth ${kind}` }, s("title", null, `${kind}: ${kwh(sum)} in all`));
  });
  const marks = [0, 0.5, 1].map((part) => [
    s("line", { x1: LEFT, x2: WIDE, y1: y(most * part), y2: y(most * part), class: "grid" }),
    s("text", { x: LEFT - 6, y: y(most * part) + 4, class: "axis end" }, bare(kwh(Math.round(most * part)))),
  ]);
  const foot = [
    s("text", { x: LEFT, y: HIGH - 6, class: "axis" }, "0"),
    s("text", { x: WIDE, y: HIGH - 6, class: "axis end" }, price(Math.round(dearest))),
  ];
  return frame("Order book: energy by price", [marks, foot, steps]);
}

/** The colours of a picture in words. */
export function legend(...kinds) {
  return h("p", { class: "legend" }, kinds.map(([kind, words]) => [h("span", { class: `key ${kind}` }), `${words}  `]));
}

/** The figures of a picture, for whoever cannot see it. */
export function figures(columns, rows, options) {
  return h("details", null, h("summary", null, "Figures"), table(columns, rows, options));
}
