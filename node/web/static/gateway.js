// What a gateway's own asset has: money in its markets, and its orders (M-86). Settings are its household's (M-78).

import { get, post } from "./api.js";
import { h } from "./dom.js";
import { action, dialog, empty, field, pill, table, toast } from "./ui.js";
import { kwh, money, price, span, symbol, typedMoney } from "./units.js";

const SHOWN = 20;

/** The two cards for the overview. `told` is where the last refusal is shown. */
export async function gatewayCards(admin, told) {
  const [markets, orders] = await Promise.all([get("/market/accounts"), get("/market/orders")]);
  return [marketsCard(markets.items, admin, told), ordersCard(orders.items)];
}

function marketsCard(items, admin, told) {
  const title = h("div", { class: "title-row" }, h("h2", null, "This asset's money"),
    admin ? h("button", { type: "button", onclick: join }, "Join a market") : null);
  if (!items.length) return [title, empty("This asset trades nowhere yet.", "Its household sets it up, or it joins a market here.")];
  const columns = [
    ["Market", (row) => h("span", { class: "wrap" }, row.name || row.url)],
    ["In its wallet", (row) => money(row.wallet), "number"],
    ["In the book", (row) => money(row.balance), "number"],
    ["Move", (row) => (admin && row.url ? buttons(row, told) : [])],
  ];
  return [title, told, table(columns, items)];
}

function buttons(row, told) {
  const out = async () => {
    await post("/market/withdrawals/out", { market: row.url });
    toast("What was withdrawn is on its way to the wallet.");
  };
  return h("div", { class: "buttons" },
    h("button", { type: "button", class: "small", onclick: () => move(row, "Deposit", "/market/deposits", row.wallet, "Its wallet has") }, "Deposit"),
    h("button", { type: "button", class: "small", onclick: () => move(row, "Withdraw", "/market/withdrawals", row.balance, "The book has") }, "Withdraw"),
    action("Take out", out, { kind: "small", where: told }));
}

function move(row, verb, path, there, words) {
  const amount = h("input", { name: "amount", inputmode: "decimal", required: true });
  const later = verb === "Withdraw" ? "It waits as the contract says; then take it out." : null;
  return dialog(verb, [h("p", null, `${words} ${money(there)}.`), field(`Amount in ${symbol()}`, amount, later)], {
    label: verb,
    submit: async (form) => {
      await post(path, { market: row.url, amount: typedMoney(form.get("amount"), "The amount") });
      toast("It is on its way; the balances change in some seconds.");
    },
  });
}

function join() {
  const market = h("input", { name: "market", type: "url", required: true, placeholder: "https://market.example:8750" });
  return dialog("Join a market", field("URL of the market", market), {
    label: "Join",
    submit: async (form) => {
      await post("/market/accounts", { market: form.get("market").trim() });
      toast("The asset has an account there.");
    },
  });
}

function ordersCard(items) {
  const title = h("h2", null, "Offers and requests");
  if (!items.length) return [title, empty("There is no offer or request yet.", "The asset makes them by itself once it counts energy.")];
  return [title, table([
    ["Side", (row) => row.side],
    ["Energy", (row) => kwh(row.wh), "number"],
    ["Filled", (row) => kwh(row.filled_wh), "number"],
    ["Price", (row) => price(row.price), "number"],
    ["Delivery", (row) => span(row.start, row.end)],
    ["State", (row) => pill(row.state, row.reason ? `Refused: ${row.reason}` : row.waits || row.seed_status || row.state)],
  ], items.slice(0, SHOWN))];
}
