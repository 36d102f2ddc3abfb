/* What a run's training wrote down about a keypoint of a person, step by step. */

import { el } from "../editor/dom.js";
import { heard } from "../shared/page.js";
import { placed } from "./paint.js";

const answers = new Map(); // "instance run" -> promise of the steps

/** The section on keypoint k, or null when training wrote nothing down about this person. */
export async function loggedSteps(look, k, name) {
  const key = `${look.place.instance} ${look.run}`;
  if (!answers.has(key)) {
    const query = new URLSearchParams({ instance: look.place.instance, run: look.run });
    answers.set(key, fetch(`/api/inspect/logged?${query}`, { headers: look.headers }).then((answer) => (answer.ok ? answer.json() : { steps: [] })).catch(() => {
      answers.delete(key);
      return { steps: [] };
    }));
  }
  const { steps } = await answers.get(key);
  const mine = steps.map(({ step, rows }) => ({ step, rows: rows.filter((row) => row.keypoint === k) })).filter(({ rows }) => rows.length);
  if (!steps.length) return null;
  const head = el("h3", {}, "As training logged it");
  if (!mine.length) return el("div", {}, head, el("p.ps-note", {}, `No step that saw this person asked about the ${name}.`));
  const body = el("div.pi-step");
  const choice = heard(el("select.ps-select", { "aria-label": "Step of training" },
    ...mine.map(({ step }, i) => el("option", { value: i }, `step ${step.toLocaleString("en-US")}`))), {
    change: () => body.replaceChildren(...shown(look, mine[choice.value])),
  });
  body.append(...shown(look, mine[0]));
  return el("div", {}, head, el("p.ps-note", {}, `${mine.length} of ${steps.length} logged steps. Views, votes and verdicts of run `
    + `${look.run} as they were; the maps were not kept, so positions are shown.`), choice, body);
}

function shown(look, { rows }) {
  const crop = el("div.pi-tile.pi-step-crop", { role: "img", "aria-label": "Peaks of the votes (dots) and of the offers (crosses)" });
  for (const row of rows) {
    row.view_x.forEach((x, v) => crop.append(placed(look, {
      at: look.toCrop([x, row.view_y[v]]), kind: row.view_agrees[v] ? "candidate" : "candidate.pi-outlying",
      words: `vote of ${row.voter}: ${row.view_score[v].toFixed(2)}`,
    })));
    crop.append(placed(look, { at: look.toCrop([row.x, row.y]), kind: "peak", words: `offer of ${row.voter}` }));
  }
  return [crop, el("ul.pi-why", {}, ...rows.map((row) => el("li", {}, row.words)))];
}
