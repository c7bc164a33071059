// The frame around all pages: who is logged in, where one can go, and which page the address names.

import { get, session } from "./api.js";
import { assetPage } from "./asset.js";
import { newAsset } from "./assetform.js";
import { consentPage } from "./consent.js";
import { consentsPage } from "./consents.js";
import { h, put } from "./dom.js";
import { energyPage } from "./energy.js";
import { jobsPage } from "./jobs.js";
import { marketPage } from "./market.js";
import { overview } from "./overview.js";
import { pairingPage } from "./pairing.js";
import { signIn } from "./signin.js";
import { statementsPage } from "./statements.js";
import { streamPage } from "./stream.js";
import { streamsPage } from "./streams.js";
import { transactionsPage } from "./transactions.js";
import { problem, repeat } from "./ui.js";
import { setMoney, time } from "./units.js";
import { refreshWallet } from "./wallet.js";

const PAGES = [
  [/^$/, overview, "Overview"],
  [/^assets\/new$/, newAsset, "Add a device"],
  [/^assets\/(0x[0-9a-f]{40})(?:\/(overview|settings|transactions))?$/i, assetPage, "Asset"],
  [/^consents$/, consentsPage, "Consents"],
  [/^consents\/(0x[0-9a-f]{64})$/i, consentPage, "Consent"],
  [/^streams$/, streamsPage, "Streams"],
  [/^streams\/(0x[0-9a-f]{64})$/i, streamPage, "Stream"],
  [/^pairing$/, pairingPage, "Pairing"],
  [/^more$/, morePage, "More"],
  [/^energy$/, energyPage, "Energy"],
  [/^transactions$/, transactionsPage, "Transactions"],
  [/^market$/, marketPage, "Market"],
  [/^statements$/, statementsPage, "Statements"],
  [/^jobs$/, jobsPage, "Jobs"],
];
const WALLET_EVERY_S = 10;
const MOST_LINKS = 5;
const MAY = { admin: "You may act", consent: "You may decide on consents", read: "You may look" };

let leaving = new AbortController();
let present = null;

async function start() {
  // The secret of a link stands behind the #: it is in no request, no log and no referrer, and now in no history either.
  const link = /^#open=([\w-]+)$/.exec(location.hash);
  if (link) history.replaceState(null, "", "#/");
  try {
    const mine = link ? await session.enter(link[1]) : await session.show();
    await enter(mine);
  } catch (error) {
    // Who comes without a link and without a session has done nothing wrong.
    ended(link || error.status !== 401 ? error : null);
  }
}

// Without a session this is where everything ends up.
function ended(error) {
  leaving.abort();
  present?.over.abort();
  present = null;
  document.title = "Wattpact";
  leaving = new AbortController();
  put(document.body, signIn(error, enter, leaving.signal));
}

async function enter(mine) {
  const status = await get("/status");
  const wallet = await get("/wallet").catch((error) => {
    if (error.status === 401) throw error;
    return null;
  });
  if (wallet) setMoney(wallet);
  present?.over.abort();
  present = {
    admin: mine.scope === "admin", decides: mine.scope !== "read", roles: status.roles, over: new AbortController(),
    owner: status.owner, links: linksOf(status), main: h("main", { id: "main", tabindex: -1 }), wallet: h("div", { class: "wallet-place" }),
  };
  put(document.body, h("div", { class: "shell" }, sidebar(status, mine), present.main));
  // The main wallet is a household's; a market or a gateway has money of another kind.
  if (wallet && status.roles.includes("home")) {
    const { admin, wallet: place } = present;
    const fresh = () => refreshWallet(place, admin).catch((error) => (error.status === 401 ? ended(error) : null));
    repeat(fresh, WALLET_EVERY_S, present.over.signal);
  }
  await show();
}

// Where one can go, the most wanted first: a phone shows four, and the others behind More.
function linksOf({ roles, energy_token: energy }) {
  const has = (...names) => names.some((name) => roles.includes(name));
  const links = [["#/", "Overview"]];
  // A community is there for its energy; to a household its consents come first.
  if (energy && has("community")) links.push(["#/energy", "Energy"]);
  if (has("home", "provider")) links.push(["#/consents", "Consents"]);
  if (has("home", "provider", "gateway")) links.push(["#/streams", "Streams"]);
  links.push(["#/transactions", "Transactions"]);
  if (energy && !has("community") && has("home", "gateway")) links.push(["#/energy", "Energy"]);
  if (has("market")) links.push(["#/market", "Market"]);
  if (has("home", "gateway")) links.push(["#/pairing", "Pairing"]);
  if (has("market", "gateway")) links.push(["#/statements", "Statements"]);
  links.push(["#/jobs", "Jobs"]);
  return links;
}

function navLinks(links) {
  const many = links.length > MOST_LINKS;
  const kind = (i) => (many && i >= MOST_LINKS - 1 ? "rest" : null);
  return [links.map(([href, label], i) => h("a", { href, class: kind(i) }, label)),
    many ? h("a", { href: "#/more", class: "more" }, "More") : null];
}

function morePage({ main, links }) {
  put(main, h("h1", null, "More"), h("nav", { class: "list", "aria-label": "More pages" },
    links.slice(MOST_LINKS - 1).map(([href, label]) => h("a", { href }, label))));
}

function sidebar(status, mine) {
  const out = h("button", { type: "button", onclick: logOut }, "Log out");
  return h("aside", null,
    h("a", { class: "brand", href: "#/" }, h("img", { src: "pages/icon.svg", alt: "", width: 28, height: 28 }), h("span", null, status.name)),
    h("nav", { class: "main-nav", "aria-label": "Pages" }, navLinks(present.links)),
    present.wallet,
    h("div", { class: "session" },
      h("p", { class: "muted" }, `${MAY[mine.scope] ?? MAY.read} until ${time(mine.expires_at).slice(0, 16)}`),
      out));
}

async function logOut() {
  try {
    await session.leave();
  } catch (error) {
    if (error.status !== 401) return put(present.main, problem(error));
  }
  return ended(null);
}

async function show() {
  if (!present) return;
  leaving.abort();
  leaving = new AbortController();
  document.querySelectorAll("dialog").forEach((box) => box.close());
  const place = location.hash.replace(/^#\/?/, "");
  const { signal } = leaving;
  const top = `#/${place.split("/")[0].replace(/^assets$/, "")}`;
  const hidden = document.querySelector(`.main-nav a.rest[href="${CSS.escape(top)}"]`) !== null;
  for (const link of document.querySelectorAll(".main-nav a")) {
    const target = link.getAttribute("href");
    if (target === top || (hidden && target === "#/more")) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  const [page, parts, title] = found(place);
  document.title = `${title} · Wattpact`;
  if (!page) {
    return put(present.main, problem({ message: "There is no such page.", remedy: "Go back to the overview." }));
  }
  try {
    await page({ ...present, signal, parts, reload: show });
  } catch (error) {
    if (signal.aborted) return undefined;
    if (error.status === 401) return ended(error);
    return put(present.main, problem(error));
  }
  return undefined;
}

function found(place) {
  for (const [pattern, page, title] of PAGES) {
    const match = pattern.exec(place);
    if (match) return [page, match.slice(1), title];
  }
  return [null, [], "No such page"];
}

addEventListener("hashchange", () => {
  if (location.hash.startsWith("#open=")) return start();
  scrollTo(0, 0);
  // Whoever listens or uses the keyboard is taken to the new page as well.
  present?.main.focus({ preventScroll: true });
  return show();
});
addEventListener("unhandledrejection", (event) => {
  if (event.reason?.status !== 401) return;
  event.preventDefault();
  ended(event.reason);
});
start();
