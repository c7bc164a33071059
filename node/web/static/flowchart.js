// Flows over a day or a month: above the line what members used, from each other and from the grid; below it what left.

import { ABOVE, HIGH, LEFT, PLOT, above, fit, frame } from "./charts.js";
import { s } from "./dom.js";
import { kwh, minute } from "./units.js";

const LETTERS = 14;
const STEP_S = { quarter: 900, day: 86400 };
const bare = (text) => text.replace(/ .*$/, "");

/** `rows`: steps with their flows in Wh; `by`, `from`, `end`: how long one is, and the whole. */
export function flowChart({ by, from, end, rows }) {
  const wide = fit();
  const figure = (row, name) => Number(row[name]);
  const up = above(Math.max(...rows.map((row) => figure(row, "consumed_wh"))));
  const most = Math.max(...rows.map((row) => figure(row, "export_wh")));
  const down = most ? above(most) : 0;
  const unit = PLOT / (up + down);
  const line = ABOVE + up * unit;
  const x = (at) => LEFT + ((at - from) / (end - from)) * (wide - LEFT);
  const room = x(from + STEP_S[by]) - x(from);
  const bars = rows.flatMap((row) => {
    const [green, grid, away] = ["green_wh", "import_wh", "export_wh"].map((name) => figure(row, name) * unit);
    const part = (kind, y, high, words, wh) => (high ? s("rect", { x: x(row.start), y, width: Math.max(room * 0.85, 0.8), height: high, class: kind },
      s("title", null, `${words} ${kwh(wh)}, ${minute(row.start)}`)) : null);
    return [
      part("produced", line - green, green, "used, from members", row.green_wh),
      part("consumed", line - green - grid, grid, "used, from the grid", row.import_wh),
      part("away", line, away, "into the grid", row.export_wh),
    ].filter(Boolean);
  });
  const places = [[line, 0], [ABOVE, up], [line + down * unit, down], [line - (up / 2) * unit, up / 2]];
  // What has no room beside a line that is there already is left out.
  const kept = places.filter(([y], i) => places.slice(0, i).every(([other]) => Math.abs(other - y) >= LETTERS));
  const heights = kept.map(([y, wh]) => [
    s("line", { x1: LEFT, x2: wide, y1: y, y2: y, class: "grid" }),
    s("text", { x: LEFT - 6, y: y + 4, class: "axis end" }, bare(kwh(Math.round(wh)))),
  ]);
  return frame("Energy flows of the community", [heights, times(by, from, end, wide), bars]);
}

function times(by, from, end, wide) {
  const mark = (part, words) => s("text", { x: LEFT + part * (wide - LEFT), y: HIGH - 6, class: part === 1 ? "axis end" : part ? "axis middle" : "axis" }, words);
  if (by === "quarter") return [0, 6, 12, 18, 24].map((hour) => mark(hour / 24, `${hour}:00`));
  const date = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
  return [mark(0, date(from)), mark(1, date(end - 1))];
}
