// Calls of the REST interface under this browser's session. Every error is a Problem: one sentence, and what to do.

const PAGE = { "X-Wattpact-Page": "1" };

/** RFC 9457, as the node writes it. */
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail ?? `The node answered with status ${status}.`);
    this.status = status;
    this.remedy = document.remedy ?? "";
    this.field = document.field ?? null;
    this.errors = document.errors ?? [];
  }
}

// Money may have more digits than a JavaScript number keeps: such ones become BigInt where the browser tells the source.
function whole(_key, value, context) {
  const exact = typeof value !== "number" || Number.isSafeInteger(value) || !/^-?\d+$/.test(context?.source ?? "");
  return exact ? value : BigInt(context.source);
}

function written(body) {
  return JSON.stringify(body, (_key, value) => {
    if (typeof value !== "bigint") return value;
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
    if (JSON.rawJSON) return JSON.rawJSON(value.toString());
    throw new Problem(0, { detail: "This browser cannot send so large an amount.", remedy: "Use a newer browser." });
  });
}

function once() {
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

async function fetched(method, path, body, signal, key = once()) {
  const headers = { ...PAGE };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method === "POST") headers["Idempotency-Key"] = key;
  let response;
  let text;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : written(body), signal });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted || error instanceof Problem) throw error;
    const remedy = "See whether `wattpact run` is running on its machine; the page goes on by itself.";
    throw new Problem(0, { detail: "The node does not answer.", remedy });
  }
  const document = read(text);
  if (!response.ok && !(response.status === 503 && document.checks)) throw new Problem(response.status, document);
  return document;
}

// What is no JSON says nothing; its status does.
function read(text) {
  try {
    return text ? JSON.parse(text, whole) : {};
  } catch {
    return {};
  }
}

/** GET below /api/v1, with a query. */
export function get(path, query = {}, signal = undefined) {
  const asked = tail(query);
  return fetched("GET", `api/v1${path}${asked ? `?${asked}` : ""}`, undefined, signal);
}

// What is chosen of a query, as it stands in an address.
function tail(query) {
  return new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "")).toString();
}

/** GET of a list that comes page by page: all of it. */
export async function all(path) {
  let page = await get(path);
  const items = [...page.items];
  while (page.next) {
    page = await get(path, { before: page.next });
    items.push(...page.items);
  }
  return items;
}

/** GET of a file below /api/v1, which the browser then keeps under the name that the node gives it. A file that broke off on
 *  the way is a Problem, and is not kept. */
export async function download(path, query) {
  let response;
  let file;
  try {
    response = await fetch(`api/v1${path}?${tail(query)}`, { headers: PAGE });
    file = await response.blob();
  } catch {
    throw new Problem(0, { detail: "The file broke off on its way.", remedy: "Try again; if it happens again, the log of the node says why." });
  }
  if (!response.ok) throw new Problem(response.status, read(await file.text()));
  const name = /filename="([^"]+)"/.exec(response.headers.get("Content-Disposition") ?? "")?.[1] ?? "statement";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(file);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60000);
}

/** POST below /api/v1. */
export function post(path, body) {
  return fetched("POST", `api/v1${path}`, body);
}

/** POST below /api/v1 for a form that somebody may send again because no answer came: the same words act once. */
export function postOnce(path) {
  let [key, sent] = [once(), null];
  return async (body) => {
    const words = written(body);
    if (words !== sent) [key, sent] = [once(), words];
    try {
      return await fetched("POST", `api/v1${path}`, body, undefined, key);
    } catch (error) {
      // An answer that says no is kept under its key; the world may have changed when the same is asked again.
      if (error.status >= 400 && error.status < 500 && error.status !== 409) sent = null;
      throw error;
    }
  };
}

/** What this node shows of itself to others: its card, without the signature. */
export async function ownCard() {
  return (await fetched("GET", ".well-known/wattpact.json")).card;
}

/** DELETE below /api/v1. */
export function remove(path) {
  return fetched("DELETE", `api/v1${path}`);
}

/** The session of this browser; raises a Problem of status 401 where there is none. */
export const session = {
  show: () => fetched("GET", "pages/session"),
  enter: (code) => fetched("POST", "pages/session", { code }),
  challenge: (address) => fetched("POST", "pages/session/challenge", { address }),
  sign: (nonce, signature) => fetched("POST", "pages/session/wallet", { nonce, signature }),
  leave: () => fetched("DELETE", "pages/session"),
};

/** Follows the market over WebSocket until `signal` ends it. `take` gets every message. Connects again by itself. */
export function follow(path, take, signal) {
  let wait = 1000;
  const open = () => {
    const address = new URL(`api/v1${path}`, document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    signal.addEventListener("abort", () => socket.close());
    socket.addEventListener("message", (event) => {
      wait = 1000;
      take(JSON.parse(event.data, whole));
    });
    socket.addEventListener("close", () => {
      if (signal.aborted) return;
      take({ type: "gone" });
      setTimeout(() => signal.aborted || open(), wait);
      wait = Math.min(wait * 2, 30000);
    });
  };
  open();
}
