// Who has no session: how to get one, by a link or by the owner's wallet (EIP-4361).

import { session } from "./api.js";
import { h, put } from "./dom.js";
import { action, problem } from "./ui.js";
import { onWallet, person, wallets } from "./wallets.js";

/** `error` says why there is none, if there was one or a link failed; `entered` takes a session. */
export function signIn(error, entered, signal) {
  const [told, choices] = [h("div"), h("div")];
  const draw = () => put(choices, walletChoices(entered, told));
  onWallet(draw, signal);
  draw();
  return h(
    "main",
    { class: "signin" },
    h("h1", null, h("img", { src: "pages/icon.svg", alt: "", width: 40, height: 40 }), "Wattpact"),
    error ? problem(error) : null,
    h("p", null, "You are not logged in. On the machine of this node, run"),
    h("p", null, h("code", { class: "big" }, "wattpact open")),
    h("p", null, "and open the link that it prints in this browser. The link works once, within ten minutes."),
    choices, told,
    h("p", { class: "muted" }, "There is no password that could be guessed or lost. To let somebody look without acting: ",
      h("code", null, "wattpact open --scope read"), "."),
  );
}

function walletChoices(entered, told) {
  const known = wallets();
  if (!known.length) return h("p", { class: "muted" }, "A wallet in this browser that holds this node's account could sign in, too; there is none.");
  const button = (wallet) => {
    const made = action(`Sign in with ${wallet.name}`, async () => entered(await signed(wallet)), { where: told });
    if (wallet.icon) made.prepend(h("img", { src: wallet.icon, alt: "", class: "wallet-icon" }));
    return made;
  };
  return [h("p", null, "Or, if a wallet in this browser holds this node's account:"), h("div", { class: "buttons" }, known.map(button))];
}

async function signed(wallet) {
  const who = await person(wallet);
  const { message, nonce } = await session.challenge(who.address);
  return session.sign(nonce, await who.sign(message));
}
