/* The list of keypoints beside the photo: what each is, how sure the students are, and its history on demand. */

import { clock, el, keepInView, percent, set, spoken, stateWords, sv } from "./dom.js";
import { finite, round } from "./geometry.js";
import { shape } from "./view.js";

const DETAILS = {
  visible: "2", hidden: "1", outside: "0", "cannot tell": "0", predicted: "", open: "", untaught: "",
};

/** The mark of a keypoint's state: filled, hollow, dashed, dotted, a cross, or a dash. */
function glyph(side, state) {
  const kind = { visible: "filled", hidden: "hollow", predicted: "predicted", open: "unset" }[state];
  if (kind) return sv(`svg.pe-glyph.${side}.${kind}`, { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, shape(side, 5.4));
  const d = state === "untaught" ? "M-4 0H4" : "M-4-4 4 4M4-4-4 4";
  return sv(`svg.pe-glyph.${side}.crossed`, { viewBox: "-8 -8 16 16", "aria-hidden": "true" }, sv("path", { d }));
}

/** How sure the students are: the probability of an error, or the score, which is named where the others are errors. */
export function sure({ error, score }, calibrated) {
  if (finite(error)) return percent(error);
  if (!finite(score)) return "\u2013";
  return `${calibrated ? "score " : ""}${score.toFixed(2)}`;
}

export class Panel {
  #rows = [];
  #seen = [];

  /** act: {select(k), run(command, event)}. */
  constructor(act, signal) {
    this.measure = el("span.pe-measure", { title: "The probability of an error where it is calibrated, else the peak of the heatmap" });
    this.limit = el("input", { type: "number", min: 0, max: 100, step: 1, "aria-label": "Error limit in percent" });
    this.limiter = el("label.pe-limit", { title: "Ctrl+Enter stops at keypoints whose probability of an error is above this. Kept for the project" },
      "stop over", this.limit, "%");
    this.list = el("div.pe-list", { role: "listbox", tabindex: "0", "aria-label": "Keypoints" });
    this.node = el("section.pe-keypoints", { "aria-label": "Keypoints" },
      el("div.pe-panel-head", {}, el("h2", {}, "Keypoints"), this.measure, this.limiter), this.list);
    const row = (event) => event.target instanceof Element && event.target.closest(".pe-row");
    this.list.addEventListener("click", (event) => row(event) && act.select(Number(row(event).dataset.k), true), { signal });
    this.list.addEventListener("contextmenu", (event) => {
      if (!row(event)) return;
      event.preventDefault();
      act.select(Number(row(event).dataset.k));
      act.run("cycle", event);
    }, { signal });
    this.list.addEventListener("keydown", (event) => {
      const command = { ArrowDown: "nextKeypoint", ArrowUp: "lastKeypoint", Enter: "accept" }[event.key];
      if (!command || event.ctrlKey || event.altKey || event.shiftKey) return;
      event.preventDefault();
      event.stopPropagation();
      act.run(command, event);
    }, { signal });
  }

  #build(person, sides) {
    this.#rows = person.names.map((name, k) => {
      const row = el("div.pe-row", { role: "option", id: `pe-row-${k}`, "data-k": k },
        el("span.pe-number", {}, String(k + 1)), el("span.pe-mark"), el("span.pe-word", {}, spoken(name)),
        el("span.pe-state"), el("span.pe-sure"));
      row.classList.add(sides[k]);
      return row;
    });
    this.#seen = this.#rows.map(() => "");
    this.list.replaceChildren(...this.#rows);
  }

  /** Bring the rows along with the person. */
  draw(person, skeleton, selected, limit) {
    if (this.#rows.length !== person.points.length) this.#build(person, skeleton.sides);
    const calibrated = !person.doc.blind && person.doc.calibrated;
    this.measure.textContent = person.doc.blind ? "" : calibrated ? "error," : "score, not calibrated";
    this.limiter.hidden = !calibrated;
    if (document.activeElement !== this.limit) this.limit.value = round(100 * limit, 1);
    this.#rows.forEach((row, k) => {
      const state = stateWords(person, k);
      const over = person.over(k, limit);
      const suspect = person.suspects.find((one) => one.keypoint === k || one.partner === k);
      const guess = person.points[k].state === "open" ? person.prediction(k) : null;
      const number = guess ? sure(guess, calibrated) : "";
      const key = [state, over, suspect?.kind ?? "", number, k === selected].join("|");
      if (key === this.#seen[k]) return;
      this.#seen[k] = key;
      const [, mark, , words, last] = row.children;
      mark.replaceChildren(glyph(skeleton.sides[k], state));
      words.textContent = suspect ? "suspect" : DETAILS[state] ? `${DETAILS[state]} ${state}` : state;
      last.textContent = over ? `${number} !` : number;
      row.classList.toggle("over", over);
      row.classList.toggle("suspect", Boolean(suspect));
      row.classList.toggle("untaught", state === "untaught");
      row.classList.toggle("undecided", state === "predicted" || state === "open");
      row.classList.toggle("selected", k === selected);
      set(row, { "aria-selected": String(k === selected), title: suspect?.reason ?? null });
    });
    const id = `pe-row-${selected}`;
    if (this.list.getAttribute("aria-activedescendant") !== id) {
      this.list.setAttribute("aria-activedescendant", id);
      keepInView(this.list, this.#rows[selected]);
    }
  }
}

const isAt = (row) => row?.state === "placed" && finite(row.x) && finite(row.y);
const placeWords = (row) => `(${round(row.x, 1)}, ${round(row.y, 1)})`;

/** What one row of the history did to a keypoint, given the row before it. */
export function deedWords(row, before) {
  const seen = row.v === 1 ? "hidden" : "visible";
  if (row.origin === "undo") return `took back: ${isAt(row) ? `${seen} at ${placeWords(row)}` : row.state}`;
  if (row.state === "absent") return `declared ${row.reason === "cannot tell" ? "impossible to tell" : "outside the photo"}`;
  if (row.state === "open") return "opened again";
  if (row.origin === "import") return `imported, ${seen} at ${placeWords(row)}`;
  if (row.origin === "accept") return `accepted as predicted at ${placeWords(row)}`;
  if (!isAt(before) && row.predicted) {
    const [x, y] = row.predicted;
    const far = round(Math.hypot(row.x - x, row.y - y), 1);
    return far ? `moved ${far} px from the prediction of ${row.run_id} to ${placeWords(row)}, ${seen}` : `${seen} where ${row.run_id} predicted it`;
  }
  if (!isAt(before)) return `placed, ${seen}, at ${placeWords(row)}`;
  const far = Math.hypot(row.x - before.x, row.y - before.y);
  const parts = [];
  if (far >= 0.05) parts.push(`moved ${round(far, 1)} px to ${placeWords(row)}`);
  if (row.v !== before.v) parts.push(`now ${seen}`);
  return parts.join(", ") || "saved again";
}

const histories = new WeakMap(); // list -> who asked last: answers may overtake one another

/** The history of the keypoint in hand, while its part of the page is open. */
export async function drawHistory(page) {
  const { part, person, deeds: { selected } } = page;
  if (!part.historyBox.open || !person) return;
  const turn = {};
  histories.set(part.history, turn);
  const stale = () => histories.get(part.history) !== turn || person !== page.person || selected !== page.deeds.selected;
  try {
    const { rows } = await page.server.get(`/api/people/${person.id}/history`);
    if (!stale()) part.history.replaceChildren(...historyItems(rows, selected));
  } catch (error) {
    if (!stale()) part.history.replaceChildren(el("li.pe-quiet", {}, error.message));
  }
}

/** The history of one keypoint as list items, the newest first. */
function historyItems(rows, k) {
  const own = rows.filter((row) => row.keypoint === k);
  if (!own.length) return [el("li.pe-quiet", {}, "Nobody has decided this keypoint yet.")];
  return own.map((row, i) => {
    const more = [row.origin === "accept" && row.run_id && `run ${row.run_id}`, row.queued_for, finite(row.seconds) && `${round(row.seconds, 1)} s`];
    return el("li", {}, el("b", {}, row.who ?? "nobody"), ` ${deedWords(row, own[i - 1])} `,
      el("span.pe-quiet", {}, [clock(row.at), ...more.filter(Boolean)].join(" · ")));
  }).reverse();
}
