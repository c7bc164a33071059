// What all pages are made of: messages, tables, fields, dialogs.

import { h, put } from "./dom.js";

const ROWS = 50;

/** One sentence and what to do. Anything that is no Problem is a defect of ours and is said as such. */
export function problem(error) {
  const fields = (error.errors ?? []).slice(1).map((each) => h("li", null, `${each.field}: ${each.message}`));
  return h(
    "div",
    { class: "problem", role: "alert" },
    h("p", null, h("strong", null, error.message || "Something went wrong in this page.")),
    error.remedy ? h("p", null, error.remedy) : null,
    fields.length ? h("ul", null, fields) : null,
  );
}

export function empty(sentence, remedy) {
  return h("div", { class: "empty" }, h("p", null, sentence), remedy ? h("p", { class: "muted" }, remedy) : null);
}

export function loading() {
  return h("p", { class: "muted", role: "status" }, "Loading …");
}

/** Says for some seconds what became of an action. */
export function toast(sentence) {
  let box = document.getElementById("toasts");
  if (!box) {
    box = h("div", { id: "toasts", role: "status", "aria-live": "polite" });
    document.body.append(box);
  }
  const note = h("p", null, sentence);
  box.append(note);
  setTimeout(() => note.remove(), 6000);
}

const GOOD = new Set(["running", "confirmed", "ready", "cured", "yes", "live"]);
const BAD = new Set(["failed", "claimed", "disputed", "contested", "no", "refused"]);

/** A state as a pill; the word itself says it, the colour only repeats it. */
export function pill(state, label) {
  const kind = GOOD.has(state) ? "good" : BAD.has(state) ? "bad" : "";
  return h("span", { class: `pill ${kind}` }, label ?? state);
}

/** Names and values. */
export function facts(pairs) {
  const rows = pairs.filter((pair) => pair[1] !== null && pair[1] !== undefined && pair[1] !== "");
  return h("dl", { class: "facts" }, rows.map(([name, value]) => [h("dt", null, name), h("dd", null, value)]));
}

/** A table that becomes cards on a phone, unless it is compact. `columns`: title, what a row shows, and a class. */
export function table(columns, rows, { caption, attributes, compact } = {}) {
  const head = columns.map(([title, , kind]) => h("th", { scope: "col", class: kind }, title));
  const body = rows.map((row) =>
    h(
      "tr",
      attributes?.(row),
      columns.map(([title, show, kind]) => h("td", { "data-label": title, class: kind }, show(row))),
    ),
  );
  return h(
    "table",
    { class: compact ? "compact" : "cards" },
    caption ? h("caption", null, caption) : null,
    h("thead", null, h("tr", null, head)),
    h("tbody", null, body),
  );
}

/** The first of many things, and a button for more of them. */
export function some(items, count, show) {
  const place = h("div");
  const more = (from) => {
    place.querySelector(":scope > .more-of")?.remove();
    place.append(...items.slice(from, from + count).map(show));
    if (from + count < items.length) place.append(h("button", { type: "button", class: "more-of", onclick: () => more(from + count) }, "Show more"));
  };
  more(0);
  return place;
}

/** A table of which the first rows are there, and others on demand. */
export function someRows(columns, rows, options) {
  return some(Array.from({ length: Math.ceil(rows.length / ROWS) }, (_, i) => rows.slice(i * ROWS, (i + 1) * ROWS)), 1, (part) => table(columns, part, options));
}

/** A table of rows that unfold. `titles`: what stands above, and whether below it stand numbers. */
export function unfoldingTable(titles, rows) {
  const head = titles.map(([title, kind]) => h("th", { scope: "col", class: kind }, title));
  return h("table", { class: "cards unfolding" }, h("thead", null, h("tr", null, head)), h("tbody", null, rows));
}

/** Such a row, and the one below it that `fill` fills when it is first opened. The first of the cells is the button `id`;
 *  `cells`: what a phone knows each by, what it shows, and a class. */
export function unfoldingRow(id, cells, fill) {
  const place = h("td", { colspan: cells.length + 1 });
  const more = h("tr", { class: "more", hidden: true }, place);
  const open = h("button", { type: "button", class: "unfold", "aria-expanded": "false" }, id);
  const turn = () => {
    more.hidden = !more.hidden;
    open.setAttribute("aria-expanded", String(!more.hidden));
    if (!more.hidden && !place.firstChild) fill(place);
  };
  const shown = cells.map(([label, what, kind]) => h("td", { "data-label": label, class: kind }, what));
  return [h("tr", { class: "link", onclick: turn }, h("td", { "data-label": "Id" }, open), shown), more];
}

let numbered = 0;

// What belongs to a control beside its label: a hint, and a place for what is wrong with it.
function about(control, hint) {
  const id = `f${++numbered}`;
  control.id = id;
  const notes = [hint ? h("p", { class: "hint", id: `${id}-hint` }, hint) : null, h("div", { class: "wrong", id: `${id}-wrong` })].filter(Boolean);
  control.setAttribute("aria-describedby", notes.map((each) => each.id).join(" "));
  return notes;
}

/** A labelled field. `control` is an input, a select or a textarea. */
export function field(label, control, hint) {
  const notes = about(control, hint);
  return h("div", { class: "field" }, h("label", { for: control.id }, label), control, notes);
}

/** Controls that are one thing together, under the name that the interface has for it. */
export function group(legend, name, controls, hint) {
  const set = h("fieldset", { name });
  return put(set, h("legend", null, legend), controls, about(set, hint));
}

// Where what is wrong with a member of the input is said, if the form has it.
function placeOf(form, member) {
  const found = member ? form.elements.namedItem(String(member).split(".")[0]) : null;
  return found?.id ? document.getElementById(`${found.id}-wrong`) : null;
}

const sentence = (words) => `${words.charAt(0).toUpperCase()}${words.slice(1)}${/[.!?]$/.test(words) ? "" : "."}`;

/** Says what a Problem says of fields of the form at these, with what to do, and goes to the first. False, and nothing is
 *  said, where it names none of them or something else as well. */
function atFields(form, error) {
  const named = error.errors?.length ? error.errors.map((each) => [each.field, sentence(each.message)]) : [[error.field, error.message]];
  const places = named.map(([member]) => placeOf(form, member));
  if (!places.every(Boolean)) return false;
  named.forEach(([, message], i) => {
    places[i].append(problem({ message, remedy: i ? "" : error.remedy }));
    const control = document.getElementById(places[i].id.replace("-wrong", ""));
    if (control.localName !== "fieldset") control.setAttribute("aria-invalid", "true");
    if (!i) (control.querySelector("input") ?? control).focus();
  });
  return true;
}

function clearFields(form) {
  form.querySelectorAll(".wrong").forEach((place) => put(place));
  form.querySelectorAll("[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
}

export function choice(name, options, chosen) {
  return h(
    "select",
    { name },
    options.map(([value, label]) => h("option", { value, selected: value === chosen }, label)),
  );
}

/** A button that cannot be pressed twice while its work goes on, and shows what went wrong in `where`. */
export function action(label, work, { kind = "", where }) {
  const button = h("button", { type: "button", class: kind }, label);
  button.addEventListener("click", () => busy(button, work, where));
  return button;
}

/** Runs `work` with the button blocked; a Problem is shown at the fields of `form` that it names, or in `where`. */
export async function busy(button, work, where, form = null) {
  button.disabled = true;
  put(where);
  if (form) clearFields(form);
  try {
    await work();
  } catch (error) {
    if (!form || !atFields(form, error)) put(where, problem(error));
  } finally {
    button.disabled = false;
  }
}

/** A dialog with a form. `submit` does what the form says and may throw; the dialog closes when it is done. */
export function dialog(title, content, { label, kind = "primary", submit }) {
  const told = h("div");
  const send = h("button", { type: "submit", class: kind }, label);
  const close = () => box.close();
  const form = h(
    "form",
    null,
    h("h2", null, title),
    content,
    told,
    h("div", { class: "buttons" }, h("button", { type: "button", onclick: close }, "Cancel"), send),
  );
  const box = h("dialog", { "aria-label": title }, form);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(send, async () => {
      await submit(new FormData(form));
      close();
    }, told, form);
  });
  return shown(box);
}

/** A dialog that only shows something. */
export function sheet(title, content) {
  const head = h("div", { class: "sheet-head" }, h("h2", null, title));
  const box = h("dialog", { class: "wide", "aria-label": title }, head, content);
  head.append(h("button", { type: "button", onclick: () => box.close() }, "Close"));
  return shown(box);
}

function shown(box) {
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  box.showModal();
  return box;
}

/** Text that a button copies. */
export function copyable(text) {
  const said = h("button", { type: "button", class: "small" }, "Copy");
  const code = h("code", { class: "wrap" }, text);
  said.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      said.textContent = "Copied";
    } catch {
      // Without https, or where the browser says no: the text is marked, and the person copies it.
      getSelection().selectAllChildren(code);
    }
  });
  return h("span", { class: "copyable" }, code, said);
}

/** Does `work` now and every `seconds` until `signal` ends it, rarer where it takes long; rests while nobody looks.
 *  Errors are `work`'s own. */
export function repeat(work, seconds, signal) {
  const round = async () => {
    if (signal.aborted) return;
    const began = performance.now();
    if (!document.hidden) await work();
    // A node with thousands of consents has better things to do than to list them all the time.
    const pause = Math.max(seconds * 1000, Math.min(60000, 10 * (performance.now() - began)));
    if (!signal.aborted) setTimeout(round, pause);
  };
  return round();
}
