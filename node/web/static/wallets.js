// Wallets in this browser: found by EIP-6963, spoken to by EIP-1193. They sign; nothing is ever sent by them.

import { Problem } from "./api.js";

const found = new Map();
const told = new Set();

addEventListener("eip6963:announceProvider", (event) => {
  const { info, provider } = event.detail ?? {};
  if (!info?.uuid || typeof provider?.request !== "function" || found.has(info.uuid)) return;
  found.set(info.uuid, { name: String(info.name || "wallet").slice(0, 40), icon: picture(info.icon), provider });
  told.forEach((each) => each());
});
dispatchEvent(new Event("eip6963:requestProvider"));

// An icon is a wallet's own word: taken as a picture in itself only.
function picture(icon) {
  return typeof icon === "string" && /^data:image\/(png|svg\+xml|webp|jpeg|gif)[;,]/.test(icon) && icon.length < 100000 ? icon : null;
}

/** Those that are there: { name, icon, provider }. One that knows EIP-1193 alone counts where there is no other. */
export function wallets() {
  if (found.size) return [...found.values()];
  return typeof window.ethereum?.request === "function" ? [{ name: "the browser's wallet", icon: null, provider: window.ethereum }] : [];
}

/** Calls `again` when another wallet announces itself, until `signal` ends it. */
export function onWallet(again, signal) {
  told.add(again);
  signal?.addEventListener("abort", () => told.delete(again));
}

async function asked(wallet, method, params) {
  try {
    return await wallet.provider.request({ method, params });
  } catch (error) {
    const known = {
      4001: ["You said no in the wallet.", "Press the button again to sign."],
      4100: ["The wallet does not allow this page to ask.", "Unlock it, and connect it with this page."],
      "-32002": ["The wallet waits for your answer to what it was asked before.", "Open the wallet and answer there."],
    }[error?.code];
    const [detail, remedy] = known ?? [`${wallet.name} answered: ${String(error?.message ?? error).slice(0, 200)}`, "Look into the wallet, then try again."];
    throw new Problem(0, { detail, remedy });
  }
}

/** The accounts that the person lets this page see. */
async function accountsOf(wallet) {
  const accounts = await asked(wallet, "eth_requestAccounts", []);
  if (!accounts?.length) throw new Problem(0, { detail: "The wallet shows no account.", remedy: "Unlock it, and connect an account with this page." });
  return accounts;
}

/** What signs for the account that the person chose: { address, sign(text) }. */
export async function person(wallet) {
  const [address] = await accountsOf(wallet);
  const hex = (text) => `0x${[...new TextEncoder().encode(text)].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`;
  return { address, sign: (text) => asked(wallet, "personal_sign", [hex(text), address]) };
}

/** The wallet's signature of EIP-712 typed data by this account (eth_signTypedData_v4). */
export async function signTyped(wallet, account, typed) {
  const accounts = await accountsOf(wallet);
  const mine = accounts.find((each) => each.toLowerCase() === account.toLowerCase());
  if (!mine) {
    const remedy = "Choose it in the wallet and connect it with this page; a wallet has it that was set up with this node's recovery words.";
    throw new Problem(0, { detail: `The wallet does not offer ${account}, which owns the streams.`, remedy });
  }
  await onChain(wallet, Number(typed.domain.chainId));
  return asked(wallet, "eth_signTypedData_v4", [mine, JSON.stringify(typed)]);
}

// Wallets refuse typed data of another chain than the one they are on.
async function onChain(wallet, chain) {
  if (Number(await asked(wallet, "eth_chainId", [])) === chain) return;
  const chainId = `0x${chain.toString(16)}`;
  try {
    await wallet.provider.request({ method: "wallet_switchEthereumChain", params: [{ chainId }] });
  } catch (error) {
    if (error?.code === 4001) throw new Problem(0, { detail: "The wallet is on another chain.", remedy: `Let it switch to chain ${chain}.` });
    throw new Problem(0, { detail: `The wallet does not know chain ${chain}.`, remedy: "Add it in the wallet, with the RPC address that this node uses." });
  }
}
