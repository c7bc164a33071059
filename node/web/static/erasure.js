// What was read under a consent that is over is destroyed, and its reader signs a receipt.

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { dialog, facts, field, toast } from "./ui.js";
import { minute, short } from "./units.js";

const STATES = { asked: "asked of the reader's node", due: "being done", done: "done, with a signed receipt" };

/** The section of a consent that is over (null: it is not). Draws anew only what changed, so that what is open stays. */
export async function showErasure(place, consent, decides, signal) {
  if (!consent) return put(place);
  const found = await get(`/consents/${consent.grant_id}/erasure`, {}, signal).catch((error) => {
    if (error.status === 404) return null;
    throw error;
  });
  const news = JSON.stringify([found?.state, decides]);
  if (place.dataset.shown === news) return place;
  place.dataset.shown = news;
  const again = () => showErasure(place, consent, decides, signal);
  return put(place, h("h2", null, "What they have read"), found ? erasureOf(found, consent) : offer(consent, decides, again));
}

function offer(consent, decides, again) {
  const given = consent.direction === "given";
  return [
    h("p", null, given ? "They keep what they have read until they are asked to erase it." : "This node keeps what it has read until it is erased."),
    decides ? h("div", { class: "buttons" }, h("button", { type: "button", onclick: () => ask(consent, given, again) }, given ? "Ask them to erase it …" : "Erase it …")) : null,
  ];
}

function ask(consent, given, again) {
  const reason = h("input", { name: "reason", maxlength: 500, autocomplete: "off" });
  const words = given
    ? "Their node destroys keys and data, and signs a receipt of what went. A receipt proves what they signed, not that no copy was made before."
    : "Keys and data of this consent are destroyed here, for good; the household gets a signed receipt.";
  return dialog(given ? "Ask them to erase it?" : "Erase it?", [h("p", null, words), field("Reason (optional)", reason, "It is part of the receipt.")], {
    label: given ? "Ask" : "Erase for good",
    kind: given ? "primary" : "danger",
    submit: async (form) => {
      await post(`/consents/${consent.grant_id}/erase`, { reason: form.get("reason").trim() });
      toast(given ? "Asked; the receipt is shown here once they have signed it." : "It is being erased.");
      await again();
    },
  });
}

function erasureOf(found, consent) {
  const name = (sid) => consent.streams.find((each) => each.sid === sid)?.name ?? short(sid);
  const went = found.receipt?.receipt.streams ?? [];
  return [
    facts([
      ["Erasure", STATES[found.state]],
      ["Asked", found.asked_at === null ? null : minute(found.asked_at)],
      ["Reason", found.reason ? h("span", { class: "wrap" }, found.reason) : null],
      ["Done", found.done_at === null ? null : minute(found.done_at)],
      ["Destroyed", went.length ? h("ul", { class: "plain" }, went.map((each) => h("li", null, `${name(each.sid)}: ${each.readings} readings, ${each.envelopes} envelopes`))) : null],
    ]),
    found.receipt ? h("details", null, h("summary", null, "The signed receipt"), h("pre", { class: "json", tabindex: 0 }, JSON.stringify(found.receipt, null, 2)),
      h("p", { class: "muted" }, "Kept as a file it is checked by ", h("code", null, "wattpact verify-receipt"), ".")) : null,
  ];
}
