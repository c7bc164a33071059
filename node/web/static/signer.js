// Who signs a decision of the household: this node, or the owner's wallet in this browser. The node sends it either way.

import { post } from "./api.js";
import { h } from "./dom.js";
import { choice, field } from "./ui.js";
import { signTyped, wallets } from "./wallets.js";

/** A field to choose the signer by (null where there is nothing to choose), and `send`, which brings the decision on its
 *  way. `owner` is the account that owns this household's streams. */
export function signer(owner) {
  const known = owner ? wallets() : [];
  const select = choice("signer", [["", "this node's key"], ...known.map((wallet, i) => [String(i), wallet.name])], "");
  const hint = `A wallet must hold this node's account, ${owner}. The node pays.`;
  return {
    element: known.length ? field("Signed by", select, h("span", { class: "wrap" }, hint)) : null,
    async send(path, body) {
      const wallet = known[select.value === "" ? -1 : Number(select.value)];
      if (!wallet) return post(path, body);
      const { typed_data: typed } = await post(`${path}/unsigned`, body);
      const signature = await signTyped(wallet, owner, typed);
      return post(path, { ...body, external: { signature, typed_data: typed } });
    },
  };
}
