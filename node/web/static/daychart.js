// A day of one stream: mean power where it tells power, energy or gas by interval where it tells that.

import { ABOVE, HIGH, LEFT, PLOT, above, fit, frame } from "./charts.js";
import { s } from "./dom.js";
import { minute, quantity } from "./units.js";

// [what is drawn, from which value, how a step becomes one number]
const mean = (value) => Math.round(value.sum / value.count);
const sum = (value) => value.sum;
const PICTURES = [
  ["import_w", [["consumed", "import_w", "taken from the grid"], ["produced", "export_w", "fed into the grid"]], mean, "Power over the day"],
  ["interval_import_wh", [["consumed", "interval_import_wh", "taken from the grid"], ["produced", "interval_export_wh", "fed into the grid"]], sum, "Energy over the day"],
  ["interval_gas_l", [["consumed", "interval_gas_l", "gas"]], sum, "Gas over the day"],
];
const SHOWN = ["import_w", "export_w", "interval_import_wh", "interval_export_wh", "import_wh", "export_wh", "interval_gas_l", "gas_l"];

/** Of the values of a reading the two that people look for first. */
export function valuesOf(values) {
  const known = SHOWN.filter((name) => name in values);
  return (known.length ? known : Object.keys(values)).slice(0, 2);
}

function pictureOf(curve) {
  return PICTURES.find(([name]) => curve.items.some((step) => name in step.values));
}

export function hasPicture(curve) {
  return pictureOf(curve) !== undefined;
}

/** The picture, its colours in words, and its figures. */
export function dayChart(curve) {
  const [, lines, fold, title] = pictureOf(curve);
  const rows = curve.items.map((step) => ({
    start: step.start, readings: step.readings,
    drawn: lines.map(([, name]) => (step.values[name] ? fold(step.values[name]) : null)),
  }));
  const columns = [
    ["From", (row) => minute(row.start)],
    ...lines.map(([, name, words], i) => [words, (row) => quantity(name, row.drawn[i]).text, "number"]),
    ["Readings", (row) => String(row.readings), "number"],
  ];
  return { chart: picture(curve, lines, rows, title), kinds: lines.map(([kind, , words]) => [kind, words]), columns, rows };
}

function picture({ start, end, step }, lines, rows, title) {
  const wide = fit();
  const highest = above(Math.max(...rows.flatMap((row) => row.drawn)));
  const x = (at) => LEFT + ((at - start) / (end - start)) * (wide - LEFT);
  const y = (value) => ABOVE + PLOT * (1 - value / highest);
  const room = (x(start + step) - x(start)) / lines.length;
  const bars = rows.flatMap((row) => lines.map(([kind, name, words], i) => {
    const value = row.drawn[i] ?? 0;
    const said = s("title", null, `${words} ${quantity(name, value).text}, ${minute(row.start)}`);
    return s("rect", { x: x(row.start) + i * room, y: y(value), width: Math.max(room, 0.8), height: PLOT + ABOVE - y(value), class: kind }, said);
  }));
  const unit = lines[0][1];
  const heights = [0, 0.5, 1].map((part) => {
    const at = y(highest * part);
    return [s("line", { x1: LEFT, x2: wide, y1: at, y2: at, class: "grid" }),
      s("text", { x: LEFT - 6, y: at + 4, class: "axis end" }, quantity(unit, Math.round(highest * part)).text)];
  });
  const hours = [0, 6, 12, 18, 24].map((hour) =>
    s("text", { x: LEFT + (hour / 24) * (wide - LEFT), y: HIGH - 6, class: hour === 24 ? "axis end" : hour ? "axis middle" : "axis" }, `${hour}:00`));
  return frame(title, [heights, hours, bars]);
}
