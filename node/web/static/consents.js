// Who asks for what, what was granted, and to whom: the list (permissions.md 1).

import { all, get, post } from "./api.js";
import { askDialog } from "./askform.js";
import { addressBeside, askedFacts, partyOf } from "./asked.js";
import { h, put } from "./dom.js";
import { grantDialog } from "./grant.js";
import { showReached } from "./reached.js";
import { action, dialog, empty, field, loading, pill, problem, repeat, some, someRows, toast } from "./ui.js";
import { interval, minute, short } from "./units.js";

const EVERY_S = 4;
const AT_ONCE = 20;
const seen = new Set();
const WORDS = { pending: "waiting for the chain", requested: "asked", live: "live", revoked: "revoked", expired: "over" };

/** A state of a consent or request as people say it. */
export function stateOf(state) {
  return pill(state, WORDS[state] ?? state);
}

export async function consentsPage(place) {
  const { main, signal, roles, decides, owner } = place;
  const [asked, sent, list, earlier] = Array.from({ length: 4 }, () => h("section"));
  const home = roles.includes("home");
  const [told, they, reached] = [h("div"), h("div"), h("div", { class: "reached" })];
  const title = h("div", { class: "title-row" }, h("h1", null, "Consents"));
  put(main, title, told, asked, sent, list, earlier);
  if (home) put(asked, they, reached);
  put(list, loading());
  let shown = "";
  let rounds = 0;
  const draw = async () => {
    const round = ++rounds;
    try {
      const [requests, consents, streams] = await Promise.all([all("/requests"), all("/consents"), get("/streams")]);
      const news = JSON.stringify([requests, consents, streams.items.map((each) => each.name)]);
      // A round that began before something was asked or decided must not take it off the page again.
      if (signal.aborted || round !== rounds || news === shown) return;
      shown = news;
      const known = new Set(consents.map((each) => each.grant_id));
      const open = requests.filter((each) => each.state === "requested");
      const own = new Set(streams.items.filter((each) => each.relation === "owner").map((each) => each.name));
      const received = open.filter((each) => each.direction === "received");
      if (home) put(they, h("h2", null, "They ask"), received.length ? some(received, AT_ONCE, (each) => requestCard(each, { own, owner }, decides, draw))
        : empty("Nobody waits for an answer.", "A provider asks by the address of this home, or by its mailbox, as it stands below."));
      put(sent, sentOf(open.filter((each) => each.direction === "sent")));
      const coming = requests.filter((each) => each.state === "granted" && each.grant_id && !known.has(each.grant_id));
      put(list, h("h2", null, home ? "Granted" : "Granted to this node"), consentTable(consents, coming));
      put(earlier, earlierOf(requests.filter((each) => ["denied", "expired", "failed"].includes(each.state))));
    } catch (error) {
      if (error.status === 401) throw error;
      shown = "";
      if (!signal.aborted) put(list, problem(error));
    }
  };
  if (decides && roles.includes("provider")) title.append(action("Ask for consent …", () => askDialog(draw), { kind: "primary", where: told }));
  await repeat(draw, EVERY_S, signal);
  if (home) await showReached(reached, signal);
}

// That a person had it before them is part of its life. Who may not answer is not that person; failing is no harm.
function note(request) {
  if (seen.has(request.id)) return;
  seen.add(request.id);
  post(`/requests/${request.id}/shown`).catch(() => seen.delete(request.id));
}

function requestCard(request, household, decides, changed) {
  if (decides) note(request);
  const told = h("div");
  const missing = request.streams.filter((each) => !household.own.has(each.name));
  const buttons = decides
    ? h("div", { class: "buttons" },
        action("Grant …", () => grantDialog(request, household, changed), { kind: "primary", where: told }),
        h("button", { type: "button", onclick: () => deny(request, changed) }, "Deny …"))
    : null;
  return h("article", { class: "asked", "aria-label": `Request of ${request.party.name}` },
    askedFacts(request),
    missing.length ? h("p", { class: "warning" }, `This household has no stream ${missing.map((each) => each.name).join(", ")} (yet).`) : null,
    h("p", { class: "muted" }, `Asked ${minute(request.created_at)}. You may answer until ${minute(request.expires_at)}.`),
    buttons, told);
}

function deny(request, changed) {
  const reason = h("input", { name: "reason", maxlength: 500, autocomplete: "off" });
  return dialog(`Deny ${request.party.name}?`, [h("p", null, "They get nothing, and are told so."), field("Reason (optional)", reason, "They can read it.")], {
    label: "Deny",
    submit: async (form) => {
      await post(`/requests/${request.id}/deny`, { reason: form.get("reason").trim() });
      toast("Denied.");
      await changed();
    },
  });
}

const names = (row) => row.streams.map((each) => each.name ?? short(each.sid)).join(", ");

function whoOf(row, href) {
  const [name, household] = [row.party?.name, row.direction === "received" ? row.owner : null];
  return h("span", { class: "who" }, h("a", { href, class: "row-link" }, name || short(household ?? row.reader)), name && household ? addressBeside(household) : null);
}

function consentTable(items, coming) {
  if (!items.length && !coming.length) return empty("There is no consent yet.", "One is shown here once a request was granted.");
  const rank = { pending: 0, live: 1 };
  const rows = [...items].sort((a, b) => (rank[a.state] ?? 2) - (rank[b.state] ?? 2) || b.start - a.start);
  const waiting = coming.map((request) => ({ ...request, state: "pending", coming: true }));
  const link = (row) => `#/consents/${row.grant_id}`;
  const columns = [
    ["Who", (row) => (row.coming ? partyOf(row) : whoOf(row, link(row)))],
    ["Purpose", (row) => h("span", { class: "wrap" }, row.purpose ?? "–")],
    ["Streams", (row) => h("span", null, names(row))],
    ["Time", (row) => interval(row.start, row.end)],
    ["State", (row) => stateOf(row.state)],
  ];
  const open = (row) => (row.coming ? {} : { class: "link", onclick: (event) => event.target.closest("a") || (location.hash = link(row)) });
  return someRows(columns, [...waiting, ...rows], { attributes: open });
}

function sentOf(rows) {
  if (!rows.length) return [];
  return [h("h2", null, "Asked by this node"), someRows([
    ["Household", partyOf],
    ["Purpose", (row) => h("span", { class: "wrap" }, row.purpose)],
    ["Streams", (row) => names(row)],
    ["Time", (row) => interval(row.start, row.end)],
    ["Answer until", (row) => minute(row.expires_at)],
    ["State", (row) => stateOf(row.state)],
  ], rows)];
}

function earlierOf(rows) {
  if (!rows.length) return [];
  return [h("h2", null, "Earlier requests"), someRows([
    ["Who", partyOf],
    ["Purpose", (row) => h("span", { class: "wrap" }, row.purpose)],
    ["Asked", (row) => minute(row.created_at)],
    ["State", (row) => stateOf(row.state)],
    ["Reason", (row) => (row.reason ? h("span", { class: "wrap" }, row.reason) : [])],
  ], [...rows].sort((a, b) => b.created_at - a.created_at))];
}
