// Who has no session: how to get one.

import { h } from "./dom.js";
import { problem } from "./ui.js";

/** `error` says why there is none, if there was one or a link failed. */
export function signIn(error) {
  return h(
    "main",
    { class: "signin" },
    h("h1", null, h("img", { src: "pages/icon.svg", alt: "", width: 40, height: 40 }), "Wattpact"),
    error ? problem(error) : null,
    h("p", null, "You are not logged in. On the machine of this node, run"),
    h("p", null, h("code", { class: "big" }, "wattpact open")),
    h("p", null, "and open the link that it prints in this browser. The link works once, within ten minutes."),
    h("p", { class: "muted" }, "There is no password that could be guessed or lost. To let somebody look without acting: ",
      h("code", null, "wattpact open --scope read"), "."),
  );
}
