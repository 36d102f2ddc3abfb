/* The way from photos to a model, shown until there is one: what is done, and what comes next. */

import { el } from "../editor/dom.js";
import { button, many } from "../shared/page.js";

const ENOUGH = 20; // labeled people from which a first training is worth its time

/** The steps of a new project, and the offer to set people aside as val; nothing once both are settled. */
export function path(overview, { aside, add }) {
  const { counts, statuses, runs, val } = overview;
  const shown = [];
  if (!runs && (counts.images || !statuses.hidden)) shown.push(steps(overview, add));
  if (val.offer > 0 && counts.images) {
    shown.push(el("div.pg-offer", {}, el("p", {}, el("b", {}, "No val set yet: "),
      `without one a run gets no score. Set ${many(val.offer, "labeled person", "labeled people")} of ${val.labeled} aside to judge the students?`),
    button(`Set ${val.offer} aside for val`, aside)));
  }
  return shown;
}

function steps({ counts, statuses, val }, add) {
  const boxed = counts.images - statuses.empty;
  const rows = [
    ["Add photos", counts.images ? many(counts.images, "photo") : "drop them on this page", counts.images > 0, button("Add files", add)],
    ["Give boxes", counts.images ? `${boxed.toLocaleString("en-US")} of ${many(counts.images, "photo")} have one` : "one around each person",
      counts.images > 0 && statuses.empty === 0, el("a.ps-button", { href: "?status=empty" }, "Photos without a box")],
    ["Correct", val.labeled ? `${many(val.labeled, "person", "people")} labeled, ${ENOUGH} make a start` : "place the keypoints of about 20 people",
      val.labeled >= ENOUGH, el("a.ps-button", { href: "correct" }, "Correct")],
    ["Train", "two students learn from the labels and from each other", false, el("a.ps-button", { href: "train" }, "Train")],
  ];
  const now = rows.findIndex(([, , done]) => !done);
  const items = rows.map(([name, words, done, go], i) => el(done ? "li.pg-done" : i === now ? "li.pg-now" : "li", i === now ? { "aria-current": "step" } : {},
    el("i", { "aria-hidden": "true" }, done ? "✓" : String(i + 1)), el("div", {}, el("b", {}, name), el("span", {}, words)), i === now ? go : null));
  return el("ol.pg-steps", { "aria-label": "From photos to a model" }, ...items);
}
