// The household's main wallet (M-73): what it has, add funds, withdraw; money for an asset by hand (M-62).

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { copyable, dialog, field, sheet, toast } from "./ui.js";
import { money, symbol, typedMoney } from "./units.js";

/** The card with the balance. `wallet` null: this node follows no market. */
export function walletCard(wallet, admin, changed) {
  if (!wallet) return h("div");
  const buttons = admin
    ? h("div", { class: "buttons" },
        h("button", { type: "button", onclick: () => addFunds(wallet, changed) }, "Add funds"),
        h("button", { type: "button", onclick: () => withdraw(wallet, changed) }, "Withdraw"))
    : null;
  return h("section", { class: "wallet", "aria-label": "Main wallet" },
    h("p", { class: "muted" }, "Main wallet"),
    h("p", { class: "figure", id: "wallet-balance" }, money(wallet.balance)),
    buttons);
}

function addFunds(wallet, changed) {
  const how = h("p", null, `Send ${symbol()} to this address, on the chain that this node follows:`);
  if (!wallet.test_money) {
    return sheet("Add funds", h("div", null, how, copyable(wallet.account)));
  }
  const amount = h("input", { name: "amount", inputmode: "decimal", required: true, value: "100" });
  return dialog("Add funds", [how, h("p", null, copyable(wallet.account)),
    h("p", null, "This is a devnet: its money is worth nothing and can be made."), field(`Make ${symbol()}`, amount)],
  {
    label: "Make test money",
    submit: async (form) => {
      await post("/wallet/test-money", { amount: typedMoney(form.get("amount"), "The amount") });
      toast("The money is on its way; the balance changes in some seconds.");
      changed();
    },
  });
}

function withdraw(wallet, changed) {
  const to = h("input", { name: "receiver", required: true, placeholder: "0x…", autocomplete: "off", spellcheck: "false" });
  const amount = h("input", { name: "amount", inputmode: "decimal", required: true });
  return dialog("Withdraw", [
    h("p", null, `The main wallet has ${money(wallet.balance)}.`),
    field("To the address", to, "A transfer to a wrong address cannot be taken back."),
    field(`Amount in ${symbol()}`, amount),
  ], {
    label: "Withdraw",
    submit: async (form) => {
      const body = { receiver: form.get("receiver").trim(), amount: typedMoney(form.get("amount"), "The amount") };
      await post("/wallet/withdrawals", body);
      toast("The transfer is on its way; the balance changes in some seconds.");
      changed();
    },
  });
}

/** Money of the main wallet for an asset's own (M-62). */
export async function fund(asset, changed) {
  const wallet = await get("/wallet");
  const amount = h("input", { name: "amount", inputmode: "decimal", required: true });
  return dialog(`Fund ${asset.name || "this asset"}`, [
    h("p", null, `The main wallet has ${money(wallet.balance)}; the asset's wallet has ${money(asset.wallet)}.`),
    field(`Amount in ${symbol()}`, amount),
  ], {
    label: "Fund",
    submit: async (form) => {
      await post(`/assets/${asset.device}/fund`, { amount: typedMoney(form.get("amount"), "The amount") });
      toast("The transfer is on its way; the balances change in some seconds.");
      changed();
    },
  });
}

/** Shows the wallet in an element, and keeps it fresh there. */
export async function refreshWallet(place, admin) {
  let wallet = null;
  try {
    wallet = await get("/wallet");
  } catch (error) {
    if (error.status !== 404 && error.status !== 403) throw error;
  }
  const again = () => setTimeout(() => refreshWallet(place, admin).catch(() => {}), 2500);
  put(place, walletCard(wallet, admin, again));
  return wallet;
}
