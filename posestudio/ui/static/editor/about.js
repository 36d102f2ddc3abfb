/* A person and its keypoints in words. */

import { clock, el, percent, spoken, stateWords } from "./dom.js";
import { finite } from "./geometry.js";

/** One keypoint: what it is and how sure the students are. */
export function aboutKeypoint({ person, limit }, k) {
  const guess = person.points[k].state === "open" ? person.prediction(k) : null;
  const parts = [stateWords(person, k)];
  if (guess && finite(guess.error)) parts.push(`error probability ${percent(guess.error)}`);
  else if (guess && finite(guess.score)) parts.push(`score ${guess.score.toFixed(2)}, not calibrated`);
  if (person.over(k, limit)) parts.push("over the limit");
  const suspect = person.suspicion(k);
  const ways = suspect?.swap ? `X swaps ${suspect.keypoints.length}, Enter keeps` : "C moves it, Enter keeps";
  if (suspect) parts.push(`suspect: ${suspect.reason}. ${ways}`);
  return `${spoken(person.names[k])}: ${parts.join(", ")}`;
}

/** What is said when a person is opened. */
export function opening(page) {
  const { person, deeds: { selected } } = page;
  const open = person.open();
  if (person.isSuspect(selected)) return `Person ${person.id}: ${aboutKeypoint(page, selected)}`;
  if (!open.length) return `Person ${person.id}: nothing is open. Ctrl+Enter goes on`;
  if (person.missing().length === open.length) return aboutKeypoint(page, selected);
  const many = open.length === 1 ? "1 open keypoint" : `${open.length} open keypoints`;
  return `Person ${person.id}: ${many}. ${aboutKeypoint(page, selected)}`;
}

/** Which click comes next when nothing is predicted; "" otherwise. */
export function guide({ person, deeds, skeleton }) {
  const { selected } = deeds;
  const scratch = person.points.every((_, k) => !person.prediction(k));
  if (!scratch || !deeds.placing || person.points[selected].state !== "open") return "";
  const whose = skeleton.sides[selected] === "center" ? "the" : "the person\u2019s";
  return `Click ${whose} ${spoken(person.names[selected])}. Shift and click: hidden. V: outside the photo. S: later.`;
}

/** The line over the photo: who this is, its marks, and why it is asked about. */
export function drawHead(page, person) {
  const { part } = page;
  const { doc } = person;
  const chips = [];
  const chip = (kind, words, title = null) => chips.push(el("span.pe-chip", { title, "data-kind": kind }, words));
  chip(doc.split, doc.split);
  if (doc.blind) chip("blind", "held out: no predictions", "Its labels judge the models, so no model is shown");
  if (doc.hidden) chip("warn", "hidden");
  if (doc.iscrowd) chip("warn", "ignored region");
  if (doc.stale) chip("warn", "prediction older than the box");
  const marks = person.marks.filter((one) => !["seen", "comment"].includes(one.kind));
  const words = ({ kind, keypoint }) => [kind.replace("_", " "), spoken(person.names[keypoint] ?? "")].filter(Boolean).join(": ");
  for (const mark of new Set(marks.map(words))) chip("mark", mark);
  const comment = person.marks.findLast((one) => one.kind === "comment");
  if (comment) chip("mark", `\u201c${comment.text}\u201d`, `${comment.who}, ${clock(comment.at)}`);
  const file = doc.file_name ?? "";
  part.title.replaceChildren(el("b", {}, `Person ${person.id}`), el("span.pe-file", { title: file }, file), ...chips);
  const why = page.queue.item(person.id)?.reason ?? doc.reason ?? "";
  part.why.textContent = why;
  part.why.title = why;
  part.who.textContent = page.who;
}
