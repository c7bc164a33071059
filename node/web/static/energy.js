// Energy: sources and what waits for somebody's yes, shares and what they earned, and a community's flows.

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { acceptDialog, approveDialog, proposeDialog, sharesDialog } from "./energyforms.js";
import { flowsSection } from "./flows.js";
import { askedFacts, earns, stateOf, waiting, whatOf, whoOf } from "./sources.js";
import { action, empty, loading, pill, problem, repeat, some, someRows, toast } from "./ui.js";
import { counted, fingerprint, minute, mwh } from "./units.js";

const EVERY_S = 4;
const AT_ONCE = 20;
const GOING_S = 60;

export async function energyPage(place) {
  const { main, signal, roles } = place;
  const [needs, own, list, told] = [h("section"), h("section"), h("section"), h("div")];
  put(main, h("h1", null, "Energy"), loading());
  // A claim takes some blocks: until what is to be claimed has changed, it is on its way. By source.
  const going = new Map();
  const mine = await ownMeters(roles);
  let shown = "";
  const draw = async () => {
    try {
      const energy = await get("/energy");
      for (const row of energy.sources) if (!onItsWay(going, row)) going.delete(row.source);
      const news = fingerprint([energy, [...going]]);
      if (signal.aborted || news === shown) return;
      shown = news;
      const seen = { ...place, energy, mine, going, draw, told };
      put(needs, needsOf(seen));
      put(own, ownOf(seen));
      put(list, listOf(seen));
    } catch (error) {
      if (error.status === 401) throw error;
      shown = "";
      if (!signal.aborted) put(list, problem(error));
    }
  };
  if (signal.aborted) return undefined;
  put(list, loading());
  put(main, h("h1", null, "Energy"), needs, own, told, list, roles.includes("community") ? flowsSection(place) : null);
  return repeat(draw, EVERY_S, signal);
}

const onItsWay = (going, row) => {
  const found = going.get(row.source);
  return found !== undefined && BigInt(row.claimable_mwh) >= BigInt(found.mwh) && Date.now() - found.at < GOING_S * 1000;
};

// The meters that are this node's own, by the address of their device: how the person calls them.
async function ownMeters(roles) {
  const found = new Map();
  if (roles.includes("gateway")) {
    const { device } = await get("/status");
    if (device) found.set(device.toLowerCase(), "This meter");
  }
  if (roles.includes("home")) {
    const { peer } = await get("/pairing");
    if (peer) found.set(peer.toLowerCase(), "Your gateway's meter");
    const assets = await get("/assets").catch((error) => {
      // Without a market there are no assets, and so no names.
      if (error.status !== 403 && error.status !== 404) throw error;
      return { items: [] };
    });
    for (const each of assets.items) if (each.name) found.set(each.device.toLowerCase(), each.name);
  }
  return found;
}

function needsOf(seen) {
  const mine = waiting(seen.energy.asked, seen.roles);
  if (!mine.length) return [];
  return [h("h2", null, "Needs you"), some(mine, AT_ONCE, (row) => askedCard(row, seen))];
}

function askedCard(row, seen) {
  const owner = row.waits_for === "owner";
  const decide = () => (owner ? acceptDialog : approveDialog)(row, seen);
  return h("article", { class: "asked", "aria-label": `Source ${row.source}` },
    h("p", null, h("strong", null, owner
      ? `${whatOf(row, seen.mine)} is proposed as a source of energy. It counts once you and the community say yes.`
      : "A meter asks to be a source of energy here. Its household and its device have signed.")),
    askedFacts(row, seen),
    seen.admin
      ? h("div", { class: "buttons" }, h("button", { type: "button", class: "primary", onclick: decide }, owner ? "Accept …" : "Approve …"))
      : h("p", { class: "muted" }, "Whoever may act decides on it."));
}

// Energy and shares of this account.
function ownOf(seen) {
  const { energy } = seen;
  const rows = energy.sources.filter(earns);
  if (!rows.length && !BigInt(energy.balance_mwh)) return [];
  const open = rows.reduce((sum, row) => sum + BigInt(row.claimable_mwh), 0n);
  const cell = (name, value) => h("div", { class: "stat" }, h("p", { class: "muted" }, name), h("p", { class: "figure" }, value));
  return [
    h("h2", null, "Your energy"),
    h("div", { class: "stats" }, cell("Claimed", mwh(energy.balance_mwh)), cell("Earned, not claimed yet", mwh(open)), cell("Made by all sources", mwh(energy.supply_mwh))),
    rows.length ? someRows([
      ["Source", (row) => whatOf(row, seen.mine)],
      ["Your shares", (row) => sharesOf(row), "number"],
      ["Earned, not claimed", (row) => mwh(row.claimable_mwh), "number"],
      ["What to do", (row) => (seen.admin ? ownButtons(row, seen) : [])],
    ], rows) : h("p", { class: "muted" }, "You hold no shares now; what you claimed stays yours."),
  ];
}

/** Shares with their part of all, in tenths of a percent, rounded down. */
function sharesOf(row) {
  if (!row.all_shares) return counted(row.shares);
  const tenths = (BigInt(row.shares) * 1000n) / BigInt(row.all_shares);
  return `${counted(row.shares)} of ${counted(row.all_shares)} (${tenths / 10n}.${tenths % 10n} %)`;
}

function ownButtons(row, seen) {
  const claim = async () => {
    await post(`/energy/sources/${row.source}/claim`);
    seen.going.set(row.source, { mwh: String(row.claimable_mwh), at: Date.now() });
    toast("The claim is on its way; the energy is yours once the chain has it.");
    await seen.draw();
  };
  const open = BigInt(row.claimable_mwh) > 0n;
  return h("div", { class: "buttons" },
    seen.going.has(row.source) ? pill("going", "claim on its way") : open ? action("Claim", claim, { kind: "small primary", where: seen.told }) : null,
    BigInt(row.shares) > 0n ? h("button", { type: "button", class: "small", onclick: () => sharesDialog(row, seen) }, "Send shares …") : null);
}

// All sources: first those that concern this person, then those of others behind a click.
function listOf(seen) {
  const { energy, roles, mine, owner, admin } = seen;
  const needed = new Set(waiting(energy.asked, roles).map((row) => row.source));
  const near = (row) => roles.includes("community") || mine.has(row.device.toLowerCase()) || earns(row) || (roles.includes("home") && row.owner.toLowerCase() === owner?.toLowerCase());
  const asked = energy.asked.filter((row) => !needed.has(row.source));
  const [own, others] = [energy.sources.filter(near), energy.sources.filter((row) => !near(row))];
  const gateway = roles.includes("gateway") && admin;
  const title = h("div", { class: "title-row" }, h("h2", null, roles.includes("community") ? "Sources" : "Your sources"),
    gateway ? h("button", { type: "button", onclick: () => proposeDialog(seen) }, "Propose this meter …") : null);
  const rows = [...asked, ...own];
  return [
    title,
    rows.length ? someRows(columns(seen), rows) : needed.size ? h("p", { class: "muted" }, "None is registered yet.") : nothing(roles),
    others.length ? h("details", null, h("summary", null, `Sources of others (${counted(others.length)})`), someRows(columns(seen), others)) : null,
  ];
}

function nothing(roles) {
  if (roles.includes("community")) return empty("There is no source yet.", "A member's gateway proposes its meter to this node's address; its household accepts, and it waits here for your yes.");
  if (roles.includes("gateway")) return empty("This meter is no source of energy yet.", "Propose it to a community; its household accepts, the community approves, and its signed readings mint energy.");
  return empty("You have no source of energy yet.", "On the gateway's Energy page the meter is proposed to a community, or by `wattpact energy propose`. It waits here for your yes.");
}

function columns(seen) {
  return [
    ["Source", (row) => whatOf(row, seen.mine)],
    ["Owner", (row) => whoOf(row.owner, seen)],
    ["State", (row) => stateOf(row, seen.roles)],
    ["Energy minted", (row) => mwh(row.minted_mwh), "number"],
    ["Newest reading", (row) => reading(row)],
    ["Shares", (row) => (row.waits_for ? counted(row.shares) : counted(row.all_shares)), "number"],
  ];
}

function reading(row) {
  if (row.waits_for) return "–";
  return row.read_at === null ? "none yet" : h("span", null, minute(row.read_at), h("br"), h("span", { class: "muted" }, `number ${counted(row.readings)}`));
}
