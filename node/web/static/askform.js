// The form in which a provider asks a household for consent, with what the household will be shown of it.

import { ownCard, postOnce, Problem } from "./api.js";
import { askedFacts } from "./asked.js";
import { h, put } from "./dom.js";
import { dialog, field, group, toast } from "./ui.js";
import { minute, minuteField, streamWords, typedMinute, zone } from "./units.js";

const STREAMS = ["electricity/15min", "electricity/1s", "gas/1h"];
const YEAR_S = 365 * 86400;

/** Opens it; `changed` draws the list anew, the new request in it. */
export async function askDialog(changed) {
  const card = await ownCard();
  const send = postOnce("/requests");
  const shown = h("div");
  const draw = () => put(shown, askedFacts(asTheySeeIt(bodyOf(new FormData(shown.closest("form"))), card)));
  const box = dialog("Ask for consent", h("div", { oninput: draw }, fields(), preview(card, shown)), {
    label: "Ask",
    submit: async (form) => {
      const body = bodyOf(form);
      if (!body.streams.length) {
        throw new Problem(0, { detail: "No stream is chosen.", remedy: "Choose what you need; each is asked for by itself.", field: "streams" });
      }
      const made = await send(body);
      toast(`Asked. They may answer until ${minute(made.expires_at)}.`);
      await changed();
    },
  });
  draw();
  return box;
}

function fields() {
  const home = h("input", {
    name: "home", required: true, maxlength: 500, placeholder: "https://home.example", inputmode: "url",
    autocomplete: "off", autocapitalize: "none", spellcheck: "false",
  });
  const purpose = h("textarea", { name: "purpose", rows: 3, required: true, maxlength: 500 });
  const boxes = STREAMS.map((name, i) =>
    h("label", { class: "check" }, h("input", { type: "checkbox", name: "stream", value: name, checked: i === 0 }), h("span", null, streamWords(name))));
  const start = h("input", { type: "datetime-local", name: "start" });
  const end = h("input", { type: "datetime-local", name: "end", value: minuteField(Math.floor(Date.now() / 1000) + YEAR_S) });
  const tag = h("input", { type: "number", name: "purpose_tag", required: true, min: 0, max: 2 ** 32 - 1, value: 0 });
  return [
    field("Address of the home", home, "Its public URL, or its mailbox, as its own consents page shows it."),
    field("Purpose", purpose, "What the data is for, in words for people. They are part of what the household signs."),
    group("Streams", "streams", boxes, "The household may grant fewer, and for a shorter time."),
    h("fieldset", null, h("legend", null, `Time (${zone()})`), h("div", { class: "columns" },
      field("From", start, "Empty: from now on. Earlier includes the past."),
      field("Until", end, "Empty: until somebody revokes."))),
    field("Number of the purpose", tag, "In a list that you have agreed on with others; 0 is none."),
  ];
}

function preview(card, shown) {
  const domain = card.domain ? `, your domain ${card.domain} with whether it shows this node's card` : "";
  return h("details", { open: true }, h("summary", null, "What the household is shown"), shown,
    h("p", { class: "hint wrap" }, `And the time until which they may answer${domain}. Name, domain, contact and policy are those of [node] in this node's config file.`));
}

function bodyOf(form) {
  return {
    home: form.get("home").trim(),
    streams: form.getAll("stream"),
    purpose: form.get("purpose").trim(),
    purpose_tag: Number(form.get("purpose_tag")),
    start: typedMinute(form.get("start")),
    end: typedMinute(form.get("end")),
  };
}

// The domain is the household's node's to find out, so nothing is said of it here.
function asTheySeeIt(body, card) {
  return {
    party: { name: card.name, address: card.address, contact: card.contact, policy_url: card.policy_url, domain: null },
    purpose: body.purpose || "–",
    streams: body.streams.map((name) => ({ name })),
    start: body.start ?? Math.floor(Date.now() / 1000),
    end: body.end,
  };
}
