// One asset: overview, settings and transactions as tabs (M-76, M-77, M-78, M-79).

import { get, post } from "./api.js";
import { assetForm } from "./assetform.js";
import { byTime, energyChart, figures, legend, priceChart } from "./charts.js";
import { h, put } from "./dom.js";
import { balanceOf } from "./overview.js";
import { transactions } from "./transactions.js";
import { action, dialog, empty, facts, loading, pill, problem, repeat, toast } from "./ui.js";
import { kwh, money, price, short, time } from "./units.js";
import { fund } from "./wallet.js";

const TABS = [["overview", "Overview"], ["settings", "Settings"], ["transactions", "Transactions"]];
const EVERY_S = 10;
const MOST = 1000;

export async function assetPage(place) {
  const { main, signal, parts } = place;
  const device = parts[0].toLowerCase();
  const tab = parts[1] ?? "overview";
  put(main, loading());
  const asset = await get(`/assets/${device}`);
  if (signal.aborted) return;
  const body = h("div");
  const tabs = TABS.map(([name, label]) =>
    h("a", { href: `#/assets/${device}/${name}`, "aria-current": name === tab ? "page" : null }, label));
  put(main,
    h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Overview")),
    h("div", { class: "title-row" },
      h("h1", null, asset.image ? h("img", { src: asset.image, alt: "", class: "thumb" }) : null,
        asset.name || short(asset.device)), pill(asset.status)),
    h("nav", { class: "tabs", "aria-label": "Asset" }, tabs),
    body);
  if (tab === "settings") settings(body, asset, place);
  else if (tab === "transactions") await ofAccount(body, asset, place);
  else await overviewTab(body, asset, place);
}

async function overviewTab(body, first, { signal, admin, reload }) {
  const [state, totals, plots] = [h("section"), h("section"), h("section")];
  put(body, totals, plots, state);
  let next = first;
  let shown = "";
  await repeat(async () => {
    try {
      const asset = next ?? (await get(`/assets/${first.device}`));
      next = null;
      const news = JSON.stringify(asset, (_key, value) => (typeof value === "bigint" ? String(value) : value));
      if (signal.aborted || news === shown) return;
      put(totals, totalsOf(asset));
      put(state, stateOf(asset, admin, reload));
      put(plots, asset.account ? await plotsOf(asset, signal) : []);
      shown = news;
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(totals, problem(error));
    }
  }, EVERY_S, signal);
}

function totalsOf({ totals }) {
  if (!totals) return empty("The asset has not told its account in the market yet.", "It does once its node has registered there; this page shows it then.");
  const cell = (name, value) => h("div", { class: "stat" }, h("p", { class: "muted" }, name), h("p", { class: "figure" }, value));
  return h("div", { class: "stats" },
    cell("Produced", kwh(totals.produced_wh)),
    cell("Consumed", kwh(totals.consumed_wh)),
    cell("Transactions", String(totals.contracts)),
    cell("Average price", price(totals.mean_price)),
    cell("Income", money(totals.income)),
    cell("Cost", money(totals.cost)));
}

async function plotsOf(asset, signal) {
  const { items } = await get("/market/trades", { account: asset.account, limit: MOST }, signal);
  const found = byTime(items, asset.account.toLowerCase());
  if (!found.rows.length) return [h("h2", null, "Over time"), empty("Nothing was delivered yet.", "Energy and price are drawn here once a contract was delivered.")];
  const columns = [
    ["From", (row) => time(row.start)],
    ["Produced", (row) => kwh(row.produced), "number"],
    ["Consumed", (row) => kwh(row.consumed), "number"],
    ["Mean price", (row) => price(row.price), "number"],
  ];
  const cut = items.length === MOST ? h("p", { class: "muted" }, `The newest ${MOST} contracts.`) : null;
  return [
    h("h2", null, "Energy (kWh)"), legend(["produced", "produced"], ["consumed", "consumed"]), energyChart(found),
    h("h2", null, "Price per kWh"), priceChart(found.rows), cut, figures(columns, found.rows),
  ];
}

function stateOf(asset, admin, reload) {
  const told = h("div");
  const change = (verb, done) => async () => {
    await post(`/assets/${asset.device}/${verb}`);
    toast(done);
    reload();
  };
  const buttons = [];
  if (admin && asset.status === "running") {
    buttons.push(action("Pause operation", change("pause", "Paused: it offers and asks for nothing more."), { where: told }));
  }
  if (admin && asset.status === "paused") {
    buttons.push(action("Continue operation", change("continue", "It trades again."), { where: told, kind: "primary" }));
  }
  if (admin && asset.status !== "retired") {
    if (asset.account) buttons.push(action("Fund", () => fund(asset, reload), { where: told }));
    buttons.push(h("button", { type: "button", class: "danger", onclick: () => remove(asset) }, "Delete"));
  }
  return [
    h("h2", null, "State and money"),
    facts([
      ["Status", pill(asset.status)],
      ["Balance", money(balanceOf(asset))],
      ["in its wallet", money(asset.wallet)],
      ["in the market's book", money(asset.balance)],
      ["Device", h("code", { class: "wrap" }, asset.device)],
      ["Account", asset.account ? h("code", { class: "wrap" }, asset.account) : null],
      ["Market", h("span", { class: "wrap" }, asset.market)],
    ]),
    h("div", { class: "buttons" }, buttons), told,
  ];
}

function remove(asset) {
  const name = asset.name || short(asset.device);
  const left = balanceOf(asset) ?? 0n;
  return dialog(`Delete ${name} for good?`, [
    h("p", null, "It stops trading at once and cannot be started again. Its name, location, description and picture are "
      + "erased on this node, on its gateway and at the market. Its contracts stay provable."),
    left > 0n ? h("p", { class: "warning" }, `It still has ${money(left)}. Take that out first: `,
      h("code", null, "wattpact market withdraw"), " on its gateway.") : null,
  ], {
    label: "Delete for good",
    kind: "danger",
    submit: async () => {
      await post(`/assets/${asset.device}/retire`);
      toast(`${name} is deleted.`);
      location.hash = "#/";
    },
  });
}

function settings(body, asset, { admin, reload }) {
  if (asset.status === "retired") return put(body, empty("This asset was deleted.", "Its settings are gone; its transactions stay."));
  return put(body, assetForm({ asset, admin, done: () => { toast("The device has taken the settings."); reload(); } }));
}

async function ofAccount(body, asset, { signal }) {
  if (!asset.account) return put(body, empty("The asset has not told its account in the market yet.", "Its transactions are shown then."));
  return transactions(body, { account: asset.account, signal });
}
