// The form of a device: added (M-74, M-75) and changed (M-78). Where no gateway is paired yet, that comes first.

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { pairForm } from "./pairing.js";
import { pictureField } from "./picture.js";
import { busy, choice, facts, field, loading, repeat, toast } from "./ui.js";
import { kwhField, moneyField, symbol, typedKwh, typedMoney } from "./units.js";

const ROLES = [["producer", "Producer"], ["consumer", "Consumer"], ["prosumer", "Producer and consumer"]];
const CARRIERS = [["electric", "Electric"], ["thermal", "Thermal"]];
const LOOK_EVERY_S = 2;
const YES_NO = [["yes", "Yes"], ["no", "No"]];
const NEW = {
  name: "", role: "producer", carrier: "electric", market: "", area: "", location: "", description: "", image: "",
  offer_price: 0, limit_price: 0, min_offer_wh: 1000, delivery_s: 900, status: "running", dashboard: false,
};

/** The page "Add a new device". */
export async function newAsset({ main, signal, admin, reload }) {
  put(main, loading());
  const pairing = await get("/pairing");
  if (signal.aborted) return;
  const body = pairing.state === "paired" ? deviceForm(pairing, admin)
    : pairing.state === "unpaired" ? firstPair(reload) : pairingGoesOn(signal, reload);
  put(main, h("p", { class: "crumbs" }, h("a", { href: "#/" }, "Overview")), h("h1", null, "Add a new device"), body);
}

function deviceForm(pairing, admin) {
  const done = (asset) => {
    toast("The device has taken its settings, and registers at the market.");
    location.hash = `#/assets/${asset.device.toLowerCase()}`;
  };
  return assetForm({ asset: null, device: pairing.peer, admin, done });
}

// The identity of a device is its gateway's; a code that the gateway shows proves who stands before it.
function firstPair(reload) {
  return h("section", null, h("p", null, h("strong", null, "No gateway is paired with this home yet.")), pairForm(reload));
}

// Both have signed; it counts once the chain has it for good.
function pairingGoesOn(signal, reload) {
  repeat(async () => {
    const { state } = await get("/pairing", {}, signal);
    if (state === "paired" || state === "unpaired") reload();
  }, LOOK_EVERY_S, signal);
  return h("div", { class: "card" }, h("p", { role: "status" }, "The pairing is on its way to the chain; this page goes on by itself."));
}

/** `asset` null: a new one, of the gateway `device`. `done` gets what the node answered. */
export function assetForm({ asset, device, admin, done }) {
  const now = asset ?? NEW;
  const prices = h("div");
  const role = choice("role", ROLES, now.role);
  const input = (name, more) => h("input", { name, value: now[name], maxlength: 200, ...more });
  const offer = h("input", { name: "offer_price", inputmode: "decimal", required: true, value: moneyField(now.offer_price) });
  const limit = h("input", { name: "limit_price", inputmode: "decimal", required: true, value: moneyField(now.limit_price) });
  const [least, most] = [
    field(`Energy price: the least it takes, ${symbol()} per kWh`, offer),
    field(`Energy price: the most it pays, ${symbol()} per kWh`, limit),
  ];
  const fit = () => put(prices, role.value !== "consumer" ? least : null, role.value !== "producer" ? most : null);
  role.addEventListener("change", fit);
  fit();
  const told = h("div");
  const picture = pictureField(now.image);
  const send = h("button", { type: "submit", class: "primary" }, asset ? "Save" : "Add device");
  const form = h("form", { class: "card" },
    facts([["Device", h("code", { class: "wrap" }, asset?.device ?? device)]]),
    h("div", { class: "columns" },
      field("Type", role),
      field("Name", input("name", { required: true })),
      prices,
      field("Minimum offer or request, kWh", h("input", { name: "min_offer", inputmode: "decimal", required: true, value: kwhField(now.min_offer_wh) })),
      field("Running", choice("running", YES_NO, now.status === "running" ? "yes" : "no"), "Whether it trades at once."),
      field("Enable transaction dashboard", choice("dashboard", YES_NO, now.dashboard ? "yes" : "no"),
        "Whether the jobs of the device's node are shown."),
      field("URL of the market", input("market", { type: "url", required: true, maxlength: 512, placeholder: "https://market.example:8750" })),
      field("Location", input("location"), "For you alone."),
      field("Area", input("area"), "As the market names its areas; the market is told."),
      field("Energy", choice("carrier", CARRIERS, now.carrier)),
      field("Length of a delivery, minutes", h("input", { name: "delivery", type: "number", min: 1, max: 1440, required: true, value: Math.round(now.delivery_s / 60) })),
      field("Description (optional)", h("textarea", { name: "description", rows: 3, maxlength: 2000 }, now.description), "For you alone."),
      picture.element),
    told,
    h("div", { class: "buttons" }, h("a", { class: "button", href: asset ? `#/assets/${asset.device.toLowerCase()}` : "#/" }, "Cancel"), admin ? send : null));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    busy(send, async () => done(await post("/assets", formOf(new FormData(form), now, picture.value()))), told);
  });
  return form;
}

// A price that the type does not need keeps its former value.
function formOf(data, now, image) {
  const paid = (name, what) => (data.has(name) ? typedMoney(data.get(name), what) : now[name]);
  const minutes = Number(data.get("delivery")) * 60;
  return {
    market: data.get("market").trim(),
    role: data.get("role"),
    carrier: data.get("carrier"),
    offer_price: paid("offer_price", "The least price"),
    limit_price: paid("limit_price", "The highest price"),
    min_offer_wh: typedKwh(data.get("min_offer"), "The minimum"),
    // A length that is no whole number of minutes stays as it is unless somebody changes it.
    delivery_s: minutes === Math.round(now.delivery_s / 60) * 60 ? now.delivery_s : minutes,
    running: data.get("running") === "yes",
    dashboard: data.get("dashboard") === "yes",
    name: data.get("name").trim(),
    area: data.get("area").trim(),
    location: data.get("location").trim(),
    description: data.get("description"),
    image,
  };
}
