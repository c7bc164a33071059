// One consent: what was agreed, what was delivered under it, its life, and its end.

import { get } from "./api.js";
import { domainOf, partyOf, policyLink } from "./asked.js";
import { stateOf } from "./consents.js";
import { h, put } from "./dom.js";
import { showErasure } from "./erasure.js";
import { signer } from "./signer.js";
import { choice, dialog, facts, field, loading, problem, repeat, table, toast } from "./ui.js";
import { interval, minute, short, streamWords, time } from "./units.js";

const EVERY_S = 4;
const STEPS = {
  asked: "Asked", shown: "Shown to a person", granted: "Granted", on_chain: "On the chain, not final yet",
  live: "Final: it opens from now on", key_renewed: "The reader's key was renewed", revoked: "Revoked",
  voided: "Revoked before it began", ended: "Ran out", undone: "Taken back by the chain; waits to be there again",
};

export async function consentPage(place) {
  const { main, signal, parts, decides } = place;
  const path = `/consents/${parts[0].toLowerCase()}`;
  put(main, loading());
  const first = await get(path);
  if (signal.aborted) return undefined;
  const [state, streams, life] = [h("span"), h("section"), h("section")];
  const [buttons, told, erased] = [h("div", { class: "buttons" }), h("div"), h("section")];
  put(main,
    h("p", { class: "crumbs" }, h("a", { href: "#/consents" }, "Consents")),
    h("div", { class: "title-row" }, h("h1", null, titleOf(first)), state),
    streams, agreed(first, buttons), erased, life, told);
  let next = first;
  return repeat(async () => {
    try {
      const consent = next ?? (await get(path));
      next = null;
      const steps = (await get(`${path}/life`)).items;
      if (signal.aborted) return;
      put(told);
      put(state, stateOf(consent.state));
      const open = ["pending", "live"].includes(consent.state);
      put(streams, h("h2", null, `${consent.direction === "given" ? "What they" : "What this node"} ${open ? "can" : "could"} read`), streamTable(consent));
      put(life, h("h2", null, "Life"), lifeOf(steps, consent));
      const over = ["revoked", "expired"].includes(consent.state);
      await showErasure(erased, over ? consent : null, decides, signal);
      const ends = decides && open;
      put(buttons, ends ? h("button", { type: "button", class: "danger", onclick: () => revoke(consent, place) }, "Revoke …") : []);
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(told, problem(error));
    }
  }, EVERY_S, signal);
}

function titleOf(consent) {
  return consent.party?.name || (consent.direction === "received" ? `Household ${short(consent.owner)}` : short(consent.reader));
}

function agreed(consent, buttons) {
  return h("section", null,
    h("h2", null, "What was agreed"),
    facts([
      ["Who reads", consent.direction === "given" ? partyOf(consent) : "this node"],
      ["Domain", consent.direction === "given" ? domainOf(consent) : null],
      ["Whose data", consent.direction === "given" ? "this household's" : [consent.party ? [h("strong", { class: "wrap" }, consent.party.name), " "] : null, h("code", { class: "wrap" }, consent.owner)]],
      ["Purpose", h("span", { class: "wrap" }, consent.purpose ?? "–")],
      ["Time", interval(consent.start, consent.end)],
      ["Contact", consent.party?.contact ? h("span", { class: "wrap" }, consent.party.contact) : null],
      ["Policy", policyLink(consent.party?.policy_url)],
      ["Reader's address", h("code", { class: "wrap" }, consent.reader)],
      ["Consent's id", h("code", { class: "wrap" }, consent.grant_id)],
    ]),
    buttons,
    h("details", null, h("summary", null, "The accepted text, word for word"),
      consent.text ? h("pre", { class: "json", tabindex: 0 }, pretty(consent.text)) : h("p", { class: "muted" }, "This node does not hold it."),
      h("p", { class: "muted" }, "Its SHA-256 stands in the signed grant on the chain: ", h("code", { class: "wrap" }, consent.text_hash))));
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function streamTable(consent) {
  const columns = [
    ["Stream", (row) => (row.name ? streamWords(row.name) : short(row.sid))],
    ["Slots", (row) => slotsOf(row)],
    [consent.direction === "given" ? "Delivered so far" : "Received so far", (row) => (row.readings === null ? "–" : `${row.readings.toLocaleString("en")} readings`), "number"],
    ["First", (row) => minute(row.first_reading_at)],
    ["Newest", (row) => (row.last_reading_at === null ? "–" : time(row.last_reading_at))],
    ["State", (row) => stateOf(row.state)],
  ];
  const revoked = consent.streams.some((each) => each.revoked_at !== null);
  const kept = consent.direction === "given" ? h("p", { class: "hint" }, "Readings that this home itself still keeps are counted",
    revoked ? ", up to the revocation; some of the seconds in which the keys changed may have been read as well." : ".") : null;
  return [table(columns, consent.streams), kept];
}

// A slot is what one key opens.
function slotsOf(row) {
  if (row.first_slot === null) return "–";
  const every = row.slot_seconds ? `, ${row.slot_seconds % 3600 ? `${row.slot_seconds / 60} min` : `${row.slot_seconds / 3600} h`} each` : "";
  return `${row.first_slot} to ${row.end_slot === null ? "…" : row.end_slot - 1}${every}`;
}

function lifeOf(steps, consent) {
  const name = (sid) => consent.streams.find((each) => each.sid === sid)?.name ?? short(sid);
  return h("ol", { class: "life" }, steps.map((each) =>
    h("li", null, h("time", { class: "muted" }, time(each.at)), h("span", null, STEPS[each.step] ?? each.step, each.sid ? `: ${name(each.sid)}` : ""))));
}

function revoke(consent, { owner, reload }) {
  const by = signer(consent.direction === "given" ? owner : null);
  const open = consent.streams.filter((each) => ["pending", "live"].includes(each.state));
  const which = choice("sid", [["", "All of it"], ...open.map((each) => [each.sid, each.name ? streamWords(each.name) : short(each.sid)])], "");
  return dialog(`Revoke for ${titleOf(consent)}?`, [
    h("p", null, "It acts at once and for good: the keys change, and they can read nothing that comes after. What they have read before stays with them."),
    open.length > 1 ? field("What", which) : null,
    by.element,
  ], {
    label: "Revoke",
    kind: "danger",
    submit: async () => {
      await by.send(`/consents/${consent.grant_id}/revoke`, { sid: which.value || null });
      toast("Revoked.");
      reload();
    },
  });
}
