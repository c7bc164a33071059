// What the node has to do and what it could not (M-69, M-70).

import { get, post } from "./api.js";
import { h, put } from "./dom.js";
import { action, choice, empty, field, pill, problem, repeat, table, toast } from "./ui.js";
import { time } from "./units.js";

const STATES = [["", "All"], ["failed", "Failed"], ["running", "Running"], ["queued", "Queued"]];
const EVERY_S = 5;

export function jobsPage({ main, signal, admin }) {
  const [list, told] = [h("div"), h("div")];
  const state = choice("state", STATES, "");
  put(main, h("h1", null, "Jobs"), h("p", { class: "muted" }, "Messages to be sent, transactions to be brought onto the chain. What cannot be done now is tried again by itself; what failed waits for you."),
    h("div", { class: "tools" }, field("State", state)), told, list);
  if (!admin) return put(list, empty("Jobs are shown to whoever may act.", "Open the pages by `wattpact open` without --scope."));
  const draw = async () => {
    try {
      const { items } = await get("/jobs", { state: state.value });
      if (!signal.aborted) put(list, items.length ? jobsTable(items, draw, told) : empty("There is nothing to do.", "All work is done."));
    } catch (error) {
      if (error.status === 401) throw error;
      if (!signal.aborted) put(list, problem(error));
    }
  };
  state.addEventListener("change", draw);
  return repeat(draw, EVERY_S, signal);
}

function jobsTable(items, draw, told) {
  const act = (job, verb, done) => async () => {
    await post(`/jobs/${job.id}/${verb}`);
    toast(done);
    await draw();
  };
  return table([
    ["Job", (job) => job.kind],
    ["About", (job) => h("span", { class: "wrap" }, job.about)],
    ["State", (job) => pill(job.state)],
    ["Tries", (job) => String(job.attempts), "number"],
    ["Next try", (job) => (job.state === "failed" ? "–" : time(job.due_at))],
    ["Last error", (job) => h("span", { class: "wrap" }, job.error)],
    ["What to do", (job) => [
      job.state === "failed" ? action("Try again", act(job, "retry", "The job is tried again."), { where: told, kind: "small" }) : null,
      job.state === "running" ? null : action("Call off", act(job, "cancel", "The job is called off."), { where: told, kind: "small" }),
    ]],
  ], items);
}
