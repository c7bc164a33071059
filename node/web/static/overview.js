// The first page: how the node does, what needs a person, and the household's assets (M-72).

import { get } from "./api.js";
import { h, put } from "./dom.js";
import { gatewayCards } from "./gateway.js";
import { empty, facts, loading, pill, problem, repeat, table } from "./ui.js";
import { ago, money, short, time } from "./units.js";

const EVERY_S = 5;

export function overview({ main, signal, admin, roles }) {
  const [node, needs, assets, own, orders] = Array.from({ length: 5 }, () => h("section"));
  const told = h("div");
  put(node, loading());
  put(main, h("h1", null, "Overview"), needs, assets, own, orders, node);
  const draw = async (place, work) => {
    try {
      const found = await work();
      if (!signal.aborted) put(place, found);
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(place, problem(error));
    }
  };
  return repeat(async () => {
    await draw(node, nodeCard);
    await draw(needs, needsYou);
    if (roles.includes("home")) await draw(assets, () => assetsCard(admin));
    if (roles.includes("gateway")) {
      await draw(own, async () => {
        const [money, offers] = await gatewayCards(admin, told);
        if (!signal.aborted) put(orders, offers);
        return money;
      });
    }
  }, EVERY_S, signal);
}

async function nodeCard() {
  const status = await get("/status");
  const { chain, broker } = status;
  const head = chain.head_block === null ? "none seen" : `block ${chain.head_block}, ${ago(chain.head_age_s)} old`;
  return [
    h("h2", null, "This node"),
    facts([
      ["Name", status.name],
      ["Roles", status.roles.map((role) => [pill(role), " "])],
      ["State", pill(status.ready ? "ready" : "no", status.ready ? "ready" : "not ready")],
      ["Chain", `${chain.chain_id}, ${head}`],
      ["Broker", broker.connected ? "connected" : "not connected"],
      ["Pairing", status.roles.some((role) => role === "home" || role === "gateway") ? h("a", { href: "#/pairing" }, status.pairing) : null],
      ["Owner", status.owner ? h("code", { class: "wrap" }, status.owner) : null],
      ["Work in the outbox", h("a", { href: "#/jobs" }, String(status.outbox_pending))],
      ["Running since", `${time(status.started_at)} (${ago(status.now - status.started_at)})`],
      ["Version", status.version],
    ]),
  ];
}

// Open alarms and checks that fail: each with what to do.
async function needsYou() {
  const [readiness, alarms, status] = await Promise.all([get("/readiness"), get("/alarms"), get("/status")]);
  const failing = readiness.checks.filter((check) => !check.ok);
  const open = alarms.items.filter((alarm) => alarm.cleared_at === null);
  const items = [
    ...failing.map((check) => [`${check.name}: ${check.detail || "not well"}`, check.remedy]),
    ...open.map((alarm) => [alarm.message, alarm.remedy]),
  ];
  const waiting = status.roles.includes("home") ? status.pending_requests : 0;
  if (waiting) {
    const asked = waiting === 1 ? "Somebody asks for your consent." : `${waiting} requests wait for your consent.`;
    items.unshift([h("a", { href: "#/consents" }, asked), "Grant it, grant a part of it, or deny it."]);
  }
  const sources = status.pending_sources;
  if (sources) {
    const asked = sources === 1 ? "A source of energy waits for your yes." : `${sources} sources of energy wait for your yes.`;
    items.unshift([h("a", { href: "#/energy" }, asked), "See what is signed, and decide."]);
  }
  if (!items.length) return [];
  const list = items.map(([what, remedy]) => h("li", null, h("strong", null, what), remedy ? h("p", null, remedy) : null));
  return [h("h2", null, "Needs you"), h("ul", { class: "needs" }, list)];
}

async function assetsCard(admin) {
  let items;
  try {
    ({ items } = await get("/assets"));
  } catch (error) {
    if (error.status !== 403) throw error;
    return [h("h2", null, "Assets"), empty("This home follows no market.", "Set settlement.market in its config file to trade.")];
  }
  const title = h("div", { class: "title-row" }, h("h2", null, "Assets"),
    admin ? h("a", { class: "button primary", href: "#/assets/new" }, "Add a device") : null);
  if (!items.length) return [title, empty("No asset is set up yet.", "Add the paired gateway's device to trade with it.")];
  const link = (asset) => `#/assets/${asset.device.toLowerCase()}`;
  const columns = [
    ["Name", (asset) => h("a", { href: link(asset), class: "row-link" },
      asset.image ? h("img", { src: asset.image, alt: "", class: "thumb" }) : null, asset.name || short(asset.device))],
    ["Type", (asset) => asset.role],
    ["Balance", (asset) => money(balanceOf(asset)), "number"],
    ["Status", (asset) => pill(asset.status)],
  ];
  const open = (asset) => ({ class: "link", onclick: (event) => event.target.closest("a") || (location.hash = link(asset)) });
  return [title, table(columns, items, { attributes: open })];
}

/** Wallet and market's book together; null until the asset has told its account. */
export function balanceOf(asset) {
  if (asset.wallet === null || asset.balance === null) return null;
  return BigInt(asset.wallet) + BigInt(asset.balance);
}
