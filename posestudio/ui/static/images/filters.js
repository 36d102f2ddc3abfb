/* Filters and order of the grid. */

import { el, percent } from "../editor/dom.js";
import { button, heard } from "../shared/page.js";
import { MARKS, STATUS } from "./grid.js";

const SORTS = { oldest: "first added first", newest: "last added first", name: "by file name", doubt: "most doubtful first" };
const WAIT = 250; // milliseconds after the last letter of a name

/** {node, counts, set, clear}; `asked` is changed by nobody but `apply(change)`. */
export function filters(asked, overview, apply) {
  const set = (change) => {
    const whole = timer === null ? change : { name: name.value.trim(), ...change }; // with what was typed a moment ago
    clearTimeout(timer);
    timer = null;
    Object.assign(asked, whole);
    draw();
    apply(whole);
  };
  const statuses = ["", ...Object.keys(STATUS), "hidden"].map((value) => button([], () => set({ status: value }), "button.pg-status", { "data-status": value }));
  const choose = (key, words, options) => heard(el("select.ps-select", { "aria-label": words }, ...options.map(([value, text]) => el("option", { value }, text))), {
    change: (event) => set({ [key]: event.target.value }),
  });
  const split = choose("split", "Split", [["", "any split"], ["train", "train"], ["val", "val"], ["unlabeled", "unlabeled"]]);
  const mark = choose("mark", "What people said", [["", "any mark"], ...Object.entries(MARKS)]);
  const sort = choose("sort", "Order", Object.entries(SORTS));
  const runs = overview.models.map(({ model }) => [model, overview.run_words[model] ?? model]);
  const run = choose("run", "Doubt by the predictions of", [["", "doubt by newest run"], ...runs]);
  const doubtful = heard(el("input", { type: "checkbox" }), { change: () => set({ doubtful: doubtful.checked ? "1" : "" }) });
  const likely = `Photos with somebody whose three most doubtful open keypoints are wrong with a mean probability of ${percent(overview.error_limit)} or more`;
  let timer = null;
  const name = heard(el("input.ps-field", { type: "search", placeholder: "file name", "aria-label": "Find by file name" }), {
    input: () => { clearTimeout(timer); timer = setTimeout(() => set({}), WAIT); },
  });
  const fields = { split, mark, sort, run, name };
  const node = el("div.pg-filter", { role: "search", "aria-label": "Which photos" },
    el("div.pg-statuses", { role: "group", "aria-label": "Status" }, ...statuses), split, mark, name,
    el("span.pg-gap"), runs.length ? el("label.pg-check-label", { title: likely }, doubtful, "doubtful") : null,
    runs.length > 1 ? run : null, sort);
  const words = { "": "All", hidden: "Hidden", ...Object.fromEntries(Object.entries(STATUS).map(([key, { words: said }]) => [key, said[0].toUpperCase() + said.slice(1)])) };
  let numbers = {};
  const draw = () => {
    for (const [key, field] of Object.entries(fields)) if (document.activeElement !== field) field.value = asked[key] || (key === "sort" ? "oldest" : "");
    doubtful.checked = asked.doubtful === "1";
    const all = Object.entries(numbers).reduce((sum, [key, count]) => (key === "hidden" ? sum : sum + count), 0);
    for (const status of statuses) {
      const key = status.dataset.status;
      status.setAttribute("aria-pressed", String(asked.status === key));
      status.replaceChildren(words[key], " ", el("b", {}, (key === "" ? all : numbers[key] ?? 0).toLocaleString("en-US")));
      status.hidden = key === "hidden" && !numbers.hidden && asked.status !== "hidden";
    }
  };
  draw();
  return {
    node, set,
    counts: (found) => { numbers = found; draw(); },
    clear: () => set({ split: "", status: "", mark: "", name: "", doubtful: "" }),
  };
}
