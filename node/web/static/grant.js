// The form in which a person grants a request, whole or in part: fewer streams, a shorter time.

import { h } from "./dom.js";
import { signer } from "./signer.js";
import { dialog, field, toast } from "./ui.js";
import { interval, minuteField, streamWords, typedMinute } from "./units.js";

/** `own`: names of the household's streams; `owner`: the account that they belong to. */
export function grantDialog(request, { own, owner }, changed) {
  const by = signer(owner);
  const boxes = request.streams.map((each) => {
    const there = own.has(each.name);
    const box = h("input", { type: "checkbox", name: "stream", value: each.name, checked: there, disabled: !there });
    return h("label", { class: "check" }, box, h("span", null, streamWords(each.name), there ? "" : " (this household has none)"));
  });
  const start = h("input", { type: "datetime-local", name: "start", value: minuteField(request.start) });
  const end = h("input", { type: "datetime-local", name: "end", value: request.end ? minuteField(request.end) : "" });
  const before = Math.round((Date.now() / 1000 - request.start) / 86400);
  return dialog(`Grant ${request.party.name}`, [
    h("p", { class: "muted wrap" }, request.purpose),
    h("fieldset", null, h("legend", null, "Streams"), boxes),
    h("div", { class: "columns" },
      field("From", start, before > 0 ? `Includes ${before} days of the past.` : "Later than asked is possible, earlier is not."),
      field("Until", end, request.end ? "Earlier than asked is possible." : "Empty: until you revoke.")),
    h("p", null, `Asked: ${interval(request.start, request.end)}. They can read this until it ends or you revoke; what they have read by then stays with them.`),
    by.element,
  ], {
    label: "Grant",
    submit: async (form) => {
      const streams = form.getAll("stream");
      if (!streams.length) throw new Error("Choose at least one stream, or deny the request.");
      // What nobody touched is left as it was asked, to the second.
      const changedTime = (input) => (input.value === input.defaultValue ? null : typedMinute(input.value));
      const all = streams.length === request.streams.length;
      const body = { streams: all ? null : streams, start: changedTime(start), end: changedTime(end) };
      await by.send(`/requests/${request.id}/grant`, body);
      toast("Granted. It opens once the chain has it for good.");
      await changed();
    },
  });
}
