// Sources as people know them: which meter, whose, and how far its way to the chain is.

import { h } from "./dom.js";
import { facts, pill } from "./ui.js";
import { counted, kw, kwh, minute, short } from "./units.js";

/** Proposals and applications that only this node's person can go on with. */
export function waiting(asked, roles) {
  return asked.filter((row) => (row.waits_for === "owner" && roles.includes("home")) || (row.waits_for === "community" && roles.includes("community")));
}

/** Whether this account has something of a source. */
export function earns(row) {
  return BigInt(row.shares) > 0n || BigInt(row.claimable_mwh) > 0n;
}

/** Which meter it is. `mine`: names of this node's own meters by their device's address. */
export function whatOf(row, mine) {
  return mine.get(row.device.toLowerCase()) ?? `Source ${row.source}`;
}

/** Whose it is, in short. */
export function whoOf(address, { owner, roles }) {
  const own = address.toLowerCase() === owner?.toLowerCase();
  if (own) return roles.includes("home") ? "this household" : "this node";
  return h("code", { title: address }, short(address));
}

/** How far it is, in words. */
export function stateOf(row, roles) {
  if (row.waits_for === "owner") return pill("asked", roles.includes("home") ? "proposed, waits for you" : "proposed, waits for its household");
  if (row.waits_for === "community") return pill("asked", roles.includes("community") ? "accepted, waits for you" : "accepted, waits for the community");
  if (row.waits_for === "chain") return pill("asked", "approved, waits for the chain");
  if (row.state === "paused") return pill("paused", "paused, mints nothing");
  return pill("ready", row.read_at === null ? "approved, no reading yet" : "approved, mints");
}

/** Everything that is signed for a source, and until when it can be. */
export function askedFacts(row, { owner, roles }) {
  const own = row.owner.toLowerCase() === owner?.toLowerCase() && roles.includes("home");
  return facts([
    ["Owner", own ? "this household" : h("code", { class: "wrap" }, row.owner)],
    ["Community", h("span", { class: "wrap" }, row.community)],
    ["Its address", h("span", { class: "wrap" }, row.community_url)],
    ["Greatest power", kw(row.max_power_w)],
    ["Shares", row.shares ? `${counted(row.shares)}, all to the owner` : "none yet"],
    ["Minted from", `a counter of ${kwh(row.initial_counter_wh)} on`],
    ["Meter's device", h("code", { class: "wrap" }, row.device)],
    ["Number", String(row.source)],
    ["Open until", minute(row.deadline)],
  ]);
}
