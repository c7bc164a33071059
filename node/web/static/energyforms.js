// What is said yes to, and what is sent: each with what will be signed, before it is.

import { Problem, post } from "./api.js";
import { h } from "./dom.js";
import { askedFacts, whatOf } from "./sources.js";
import { dialog, field, toast } from "./ui.js";
import { counted, typed } from "./units.js";

const SHARES = "1000000";

/** A home's yes to what its gateway proposed. */
export function acceptDialog(row, seen) {
  return yes("Accept this source?", row, seen, {
    words: "You sign that this meter's readings make energy of the community, and that its shares are yours. The community decides next.",
    label: "Accept", verb: "accept", done: "Accepted. It counts once the community has approved it.",
  });
}

/** The yes of a community's registrar. */
export function approveDialog(row, seen) {
  return yes("Approve this source?", row, seen, {
    words: "You sign that the community admits this meter: from then on its signed readings mint energy for whoever holds its shares.",
    label: "Approve", verb: "approve", done: "Approved. It counts once the chain has it.",
  });
}

// The digest goes along: should another proposal have come under this number, it is not signed unseen.
function yes(title, row, seen, { words, label, verb, done }) {
  return dialog(title, [
    h("p", null, words), askedFacts(row, seen),
    h("details", null, h("summary", null, "What is signed, word for word"),
      h("pre", { class: "json", tabindex: 0 }, JSON.stringify(row.typed_data, null, 2)),
      h("p", { class: "muted" }, "Its digest: ", h("code", { class: "wrap" }, row.digest))),
  ], {
    label,
    submit: async () => {
      await post(`/energy/sources/${row.source}/${verb}`, { digest: row.digest });
      toast(done);
      await seen.draw();
    },
  });
}

/** A gateway's meter for a community. */
export function proposeDialog(seen) {
  const community = h("input", { name: "community", type: "url", required: true, placeholder: "https://community.example:8750" });
  const power = h("input", { name: "max_power_w", inputmode: "decimal", required: true });
  const shares = h("input", { name: "shares", inputmode: "numeric", required: true, value: SHARES });
  return dialog("Propose this meter", [
    h("p", null, "The device signs its counter as it stands now. Its household says yes next, then the community."),
    field("URL of the community's node", community),
    field("Greatest power, kW", power, "What the source can make at most; readings that say more mint nothing."),
    field("Shares", shares, "All of them go to the household, which can send them on."),
  ], {
    label: "Propose",
    submit: async (form) => {
      await post("/energy/sources", {
        community: form.get("community").trim(),
        max_power_w: figure(form, "max_power_w", 3, "The power"), shares: figure(form, "shares", 0, "The number of shares"),
      });
      toast("Proposed. It waits for the yes of its household.");
      await seen.draw();
    },
  });
}

/** Shares of this account for somebody else. */
export function sharesDialog(row, seen) {
  const receiver = h("input", { name: "receiver", required: true, placeholder: "0x…", autocomplete: "off", spellcheck: "false" });
  const shares = h("input", { name: "shares", inputmode: "numeric", required: true });
  return dialog("Send shares", [
    h("p", null, `${whatOf(row, seen.mine)}: you hold ${counted(row.shares)} of ${counted(row.all_shares)} shares. What they earned so far stays yours; what the sent ones earn from then on is the receiver's.`),
    field("To the address", receiver, "Shares that went to a wrong address do not come back."),
    field("Shares", shares),
  ], {
    label: "Send",
    kind: "danger",
    submit: async (form) => {
      const to = form.get("receiver").trim();
      if (!/^0x[0-9a-f]{40}$/i.test(to)) wrong("receiver", "An address is 0x and 40 digits.");
      const wanted = figure(form, "shares", 0, "The number of shares");
      if (wanted > BigInt(row.shares)) wrong("shares", `You hold ${counted(row.shares)} shares.`, "Send no more than that.");
      await post("/energy/shares", { source: row.source, receiver: to, shares: wanted });
      toast("The shares are on their way; what you hold changes once the chain has it.");
      await seen.draw();
    },
  });
}

// What is wrong with a field, and what to do.
function wrong(field, detail, remedy = "") {
  throw new Problem(0, { detail, remedy, field });
}

function figure(form, name, places, what) {
  let found = 0n;
  try {
    found = typed(form.get(name), places, what);
  } catch (error) {
    wrong(name, error.message);
  }
  if (!found) wrong(name, `${what} is more than 0.`);
  return found;
}
