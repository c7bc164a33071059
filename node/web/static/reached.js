// By what a provider asks this household: its address, or the mailbox of a node that has none.

import { get, ownCard } from "./api.js";
import { h, put } from "./dom.js";
import { copyable, facts, problem } from "./ui.js";

const MACHINE = /^(localhost|.*\.localhost|127\.[\d.]+|0\.0\.0\.0|\[::1?\])$/;
const NEAR = /^(10\.[\d.]+|172\.(1[6-9]|2\d|3[01])\.[\d.]+|192\.168\.[\d.]+|169\.254\.[\d.]+|100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.[\d.]+|\[(f[cd][0-9a-f]|fe[89ab])[0-9a-f]:.*\]|[^.[]+|.*\.(local|lan|internal|home\.arpa))$/;
const code = (words) => h("code", null, words);

/** Who reaches an address, where by its looks not everybody does. Whether a firewall lets others in it does not say. */
export function whoReaches(address) {
  const { hostname } = new URL(address);
  if (MACHINE.test(hostname)) return "Only programs on this machine";
  return NEAR.test(hostname) ? "Only computers in the same network" : null;
}

/** Shows in `place` what to give a provider, and what to do where others cannot reach that. */
export async function showReached(place, signal) {
  try {
    const { inbox_url: address } = await ownCard();
    // Only a node without an address shows its card beside its mailbox; another one cannot be asked there.
    const mailbox = address ? null : (await get("/status")).broker.mailbox;
    if (signal.aborted) return;
    put(place, facts([["Address of this home", address ? copyable(address) : null], ["Mailbox of this home", mailbox ? copyable(mailbox) : null]]),
      h("p", { class: "hint" }, address ? missing(whoReaches(address))
        : "This home has no address that others reach. A provider at the same broker asks by the mailbox."));
  } catch (error) {
    if (error.status === 401) throw error;
    if (!signal.aborted) put(place, problem(error));
  }
}

function missing(who) {
  if (!who) return "Give it to a provider; it asks there.";
  return [`${who} reach that address. For others set `, code("node.public_url"), " in the config file to one that they reach. Where there is none set ",
    code("node.outbound_only = true"), " in its stead: then they ask by a mailbox at the broker."];
}
