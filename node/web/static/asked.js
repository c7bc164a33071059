// What is asked for and by whom, as a person sees it before they decide.

import { h } from "./dom.js";
import { facts } from "./ui.js";
import { interval, minute, short, streamWords } from "./units.js";

/** Beside the name of a household, which proves nothing: the beginning of its address, and the whole of it on demand. */
export function addressBeside(address) {
  return h("span", { class: "muted", title: address }, ` ${short(address)}`);
}

/** A name proves nothing, so the state of the domain stands beside it, or a household's address, which has none. */
export function partyOf(row) {
  const { party } = row;
  const name = party?.name || short(row.reader ?? party?.address);
  const domain = party?.domain ? `${party.domain}, ${party.domain_verified ? "verified" : "not verified"}` : "";
  return h("span", null, h("strong", { class: "wrap" }, name), domain ? h("span", { class: "muted wrap" }, ` (${domain})`) : null,
    row.direction === "sent" ? addressBeside(party.address) : null);
}

/** The same in full: why a domain is not verified, and when it was asked last. */
export function domainOf(row) {
  const { party } = row;
  if (!party?.domain) return null;
  const asked = party.domain_checked_at ? `Asked ${minute(party.domain_checked_at)}.` : "";
  const state = party.domain_verified ? "It shows this party's signed card." : `Not verified. ${party.domain_reason ?? ""}`;
  return h("span", { class: "wrap" }, [`${party.domain}: ${state}`, asked].filter(Boolean).join(" "));
}

/** What is asked, whole: nothing of it is hidden behind a click. */
export function askedFacts(request) {
  return facts([
    ["Who", partyOf(request)],
    ["Domain", domainOf(request)],
    ["Purpose", h("span", { class: "wrap" }, request.purpose)],
    ["Streams", h("ul", { class: "plain" }, request.streams.map((each) => h("li", null, streamWords(each.name))))],
    ["Time", interval(request.start, request.end)],
    ["Contact", request.party.contact ? h("span", { class: "wrap" }, request.party.contact) : null],
    ["Policy", policyLink(request.party.policy_url)],
    ["Their address", h("code", { class: "wrap" }, request.party.address)],
  ]);
}

/** A link that somebody else chose: followed over https only, and told nothing. */
export function policyLink(url) {
  if (!url) return null;
  if (!/^https:\/\//i.test(url)) return h("span", { class: "wrap" }, url);
  return h("a", { href: url, rel: "noopener noreferrer", target: "_blank", class: "wrap" }, url);
}
