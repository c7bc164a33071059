// A home and its gateway find each other, and part (permissions.md 2).

import { get, post, remove } from "./api.js";
import { h, put } from "./dom.js";
import { action, busy, copyable, dialog, empty, facts, field, loading, problem, repeat, toast } from "./ui.js";
import { minute } from "./units.js";

const LOOK_EVERY_S = 2;

/** The page, at a home or at a gateway. */
export async function pairingPage({ main, signal, admin, roles }) {
  const [state, told, line] = [h("section"), h("div"), h("p", { class: "muted", role: "status" })];
  put(main, h("h1", null, "Pairing"), told, state, line);
  put(state, loading());
  const draw = roles.includes("home") ? homeSide : gatewaySide;
  let shown = "";
  const look = async () => {
    try {
      const pairing = await get("/pairing", {}, signal);
      // While a code waits its picture must stay where it is.
      const news = JSON.stringify([pairing.state === "waiting" ? "unpaired" : pairing.state, pairing.device_hash]);
      if (signal.aborted) return;
      put(told);
      put(line, waiting(pairing));
      if (news !== shown) put(state, draw(pairing, admin, look));
      shown = news;
    } catch (error) {
      if (signal.aborted) return;
      if (error.status === 401) throw error;
      put(told, problem(error));
    }
  };
  return repeat(look, LOOK_EVERY_S, signal);
}

function waiting(pairing) {
  if (pairing.state !== "waiting") return [];
  return `A code waits until ${minute(pairing.code_expires_at)}; ${pairing.tries_left} ${pairing.tries_left === 1 ? "try is" : "tries are"} left.`;
}

function pairedFacts(pairing, whose) {
  return facts([
    [whose, h("code", { class: "wrap" }, pairing.peer)],
    ["Since", minute(pairing.since)],
    ["Device's hash", h("code", { class: "wrap" }, pairing.device_hash)],
    ["Streams", pairing.streams.length ? h("a", { href: "#/streams" }, String(pairing.streams.length)) : null],
  ]);
}

function homeSide(pairing, admin, look) {
  if (pairing.state === "unpaired") return [h("h2", null, "No gateway is paired"), admin ? pairForm(look) : lookOnly()];
  if (pairing.state !== "paired") return [h("h2", null, "Pairing"), h("p", { role: "status" }, "The pairing is on its way to the chain; this page goes on by itself.")];
  const end = admin ? h("div", { class: "buttons" }, h("button", { type: "button", class: "danger", onclick: () => unpair(look) }, "Unpair …")) : null;
  return [h("h2", null, "Paired"), pairedFacts(pairing, "Gateway"), end,
    h("p", { class: "hint" }, "To take a second gateway in this one's place: ", h("code", null, "wattpact gateway move"), ".")];
}

function lookOnly() {
  return empty("Pairing is for whoever may act.", "Open the pages by `wattpact open` without --scope.");
}

/** Field and button for the code that a gateway shows; `done` once both have signed. */
export function pairForm(done) {
  const code = h("input", { name: "code", required: true, minlength: 4, autocomplete: "off", spellcheck: "false" });
  const url = h("input", { name: "url", type: "url", placeholder: "http://192.168.1.7:8750", pattern: "https?://.*" });
  const told = h("div");
  const send = h("button", { type: "submit", class: "primary" }, "Pair");
  const form = h("form", null,
    h("p", null, "On the gateway's page Pairing, or there by ", h("code", null, "wattpact pair new"),
      ", let it show a code; type or paste here what it shows."),
    field("Code, or the text of the QR code", code),
    field("Address of the gateway", url, "Only with a typed code."),
    told, h("div", { class: "buttons" }, send));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(send, async () => {
      const body = { code: code.value.trim() };
      if (url.value.trim()) body.url = url.value.trim();
      await post("/pairing", body);
      await done();
    }, told);
  });
  return form;
}

function unpair(look) {
  return dialog("Unpair the gateway?", [
    h("p", null, "It acts at once, whether the gateway answers or not: it can write nothing more, and its streams have no writer until it is paired again."),
    h("p", null, "What was read stays readable; consents stay, and wait for a writer."),
  ], {
    label: "Unpair",
    kind: "danger",
    submit: async () => {
      await remove("/pairing");
      toast("Unpaired. The chain has it in some blocks.");
      await look();
    },
  });
}

function gatewaySide(pairing, admin) {
  if (pairing.state === "paired") {
    return [h("h2", null, "Paired"), pairedFacts(pairing, "Household"),
      h("p", { class: "hint" }, "The household unpairs on its own node. A gateway without its household: ", h("code", null, "wattpact gateway reset"), ".")];
  }
  if (pairing.state === "pairing") return [h("h2", null, "Pairing"), h("p", { role: "status" }, "A home is pairing with this gateway; this page goes on by itself.")];
  if (!admin) return [h("h2", null, "Not paired"), lookOnly()];
  const [shown, told] = [h("div"), h("div")];
  const show = async () => put(shown, codeOf(await post("/pairing/code")));
  return [h("h2", null, "Not paired"), h("p", null, "A code counts once, and for some minutes; a new one takes the place of the one before."),
    action("Show a new code", show, { kind: "primary", where: told }), told, shown];
}

function codeOf(made) {
  return h("div", { class: "code" },
    h("img", { src: made.picture, alt: "QR code of the pairing", class: "qr" }),
    h("div", null,
      facts([
        ["Code to type", h("code", { class: "big" }, made.code)],
        ["Address of the gateway", made.url ? copyable(made.url) : "none: it is met over the broker, by the QR code"],
        ["Valid until", minute(made.expires_at)],
      ]),
      h("p", { class: "muted" }, "Text of the QR code, to be pasted at the home:"), copyable(made.qr)));
}
