// Streams: who writes, who reads, what came last (architecture.md, home and provider).

import { all, get } from "./api.js";
import { h, put } from "./dom.js";
import { empty, loading, problem, repeat, table } from "./ui.js";
import { ago, interval, short, streamWords } from "./units.js";

const EVERY_S = 10;

/** Consents that open a stream now: live, begun, not over. */
export function readersOf(sid, consents, now) {
  return consents.filter((each) => each.state === "live" && each.start <= now && (each.end === null || now < each.end)
    && each.streams.some((stream) => stream.sid === sid && stream.state === "live"));
}

export function titleOf(stream) {
  return stream.name ? streamWords(stream.name) : short(stream.sid);
}

export function streamsPage({ main, signal }) {
  const list = h("section");
  put(main, h("h1", null, "Streams"), list);
  put(list, loading());
  return repeat(async () => {
    try {
      const [streams, consents, status] = await Promise.all([get("/streams"), all("/consents"), get("/status")]);
      if (!signal.aborted) put(list, listOf(streams.items, consents, status));
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(list, problem(error));
    }
  }, EVERY_S, signal);
}

function listOf(items, consents, { now, roles }) {
  if (!items.length) {
    const remedy = roles.includes("provider") ? "Ask a household for consent: `wattpact consent request`." : "Pair with a gateway; it offers its meter's streams.";
    return empty("There is no stream yet.", remedy);
  }
  const link = (row) => `#/streams/${row.sid}`;
  const columns = [
    ["Stream", (row) => h("a", { href: link(row), class: "row-link" }, titleOf(row))],
    ["Whose", (row) => (row.relation === "reader" ? short(row.owner) : row.relation === "owner" ? "this household's" : "written here")],
    ["Who can read", (row) => readers(row, consents, now)],
    ["Newest reading", (row) => (row.last_reading_at === null ? "–" : `${ago(now - row.last_reading_at)} ago`)],
    ["Epoch", (row) => String(row.epoch), "number"],
    ["Alarms", (row) => (row.alarms ? h("strong", null, String(row.alarms)) : "0"), "number"],
  ];
  const open = (row) => ({ class: "link", onclick: (event) => event.target.closest("a") || (location.hash = link(row)) });
  return table(columns, items, { attributes: open });
}

function readers(row, consents, now) {
  if (row.relation === "writer") return row.live_readers === null ? "–" : `${row.live_readers} keys`;
  if (row.relation === "reader") {
    const [mine] = readersOf(row.sid, consents, now);
    return mine ? `this node, ${interval(mine.start, mine.end)}` : "this node, for what it was granted";
  }
  const found = readersOf(row.sid, consents, now).map((each) => each.party?.name || short(each.reader));
  return h("span", { class: "wrap" }, ["this household", ...new Set(found)].join(", "));
}
