/* The grid: a photo a card with its people's boxes, split and status, and which photos are selected. */

import { el, percent, sv } from "../editor/dom.js";
import { button, heard, many } from "../shared/page.js";

const CHIPS = 5; // people named on a card

export const STATUS = {
  labeled: { words: "labeled", kind: "done" },
  partly: { words: "partly labeled", kind: "partly" },
  open: { words: "not labeled", kind: "open" },
  empty: { words: "no box", kind: "open" },
};

/** How far a person is labeled: [words, kind]. */
export function statusOf(person, keypoints) {
  if (person.iscrowd) return ["a region to ignore", "crowd"];
  if (person.reviewed) return [person.placed ? `labeled ${person.placed}/${keypoints}` : "reviewed, nothing placed", "done"];
  if (person.placed + person.absent) return [`partly labeled ${person.placed + person.absent}/${keypoints}`, "partly"];
  return ["not labeled", "open"];
}

/** What people can have said of a person, in words. */
export const MARKS = { flag: "flagged", comment: "commented", cannot_tell: "cannot tell", skip: "skipped today", seen: "seen" };

/** What people said of a person, in words. */
export const markWords = (person) => [...new Set(person.marks)].map((kind) => MARKS[kind] ?? kind).join(", ");

/**
 * The cards of a page. given: `open(image)`, `selected` (Set of ids), `toggle(id, event)`, `href(id)`, `keypoints` (of the
 * skeleton), `predicted` (whether doubts will be written later, so that there is room for them).
 */
export function grid(images, given) {
  const cards = images.map((image) => card(image, given));
  return el("div.pg-grid", { role: "list", "aria-label": "Photos" }, ...cards);
}

/** What stands in place of the cards before there are photos. */
export const nothingYet = () => el("div.ps-empty.pg-first", {}, el("b", {}, "No photos yet"),
  el("p", {}, "Drop photos, folders, zips, videos or COCO keypoint files anywhere on this page, or add them with the buttons above."),
  el("p.ps-quiet", {}, "Photos are copied into the project on this machine and go nowhere else."));

/** What stands there when the filters leave none; all(): take them away. why: [title, words] where there is more to say. */
export const nothingFits = (all, why) => el("div.ps-empty", {}, el("b", {}, why?.[0] ?? "No photo fits"),
  el("p", {}, why?.[1] ?? "Choose other filters, or all photos."), el("p", {}, button("All photos", all)));

/** Why nobody can be called doubtful, as [title, words]; null when somebody could. found: a page of /api/gallery. */
export function noDoubts({ run_id: run, calibrated }) {
  if (calibrated) return null;
  if (run === null) return ["Nobody is predicted yet", "So nobody is doubtful. Train a pair of students on the page Train first."];
  return ["Nobody is known to be doubtful", `How often ${run} errs is not known: too few labels that it has not learned. Label some people on Correct, `
    + "or look at the photos in the order “most doubtful first”."];
}

/** How many photos stand in a row. */
export function columns(root) {
  const cards = [...root.querySelectorAll("[data-image]")];
  return Math.max(1, cards.filter((card) => card.offsetTop === cards[0].offsetTop).length);
}

/** Where in all photos this page is, and the ways on: turn(-1) and turn(1). */
export function pager(told, turn) {
  const where = el("span.ps-pager", told ? { role: "status" } : {});
  const before = button("Previous", () => turn(-1));
  const after = button("Next", () => turn(1));
  return { node: el("div.pg-pager", {}, where, before, after), where, before, after };
}

function card(image, { open, selected, toggle, keypoints, href, predicted }) {
  const name = image.file_name ?? `image ${image.image_id}`;
  const box = heard(el("input", { type: "checkbox", "aria-label": `Select ${name}`, checked: selected.has(image.image_id) }), {
    click: (event) => toggle(image.image_id, event),
  });
  const { width, height } = image;
  const boxes = image.people.map((person) => drawn(person, image, keypoints));
  const fit = el("div.pg-fit", {}, el("img", { loading: "lazy", width, height, alt: "", src: `media/${image.image_id}?w=320`, draggable: "false" }),
    sv("svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" }, ...boxes));
  fit.style.setProperty("--w", width);
  fit.style.setProperty("--h", height);
  const told = image.people.length ? many(image.people.length, "person", "people") : "no person box";
  const link = heard(el("a.pg-link", { href: href(image.image_id), "aria-label": `${name}, ${told}, ${image.split}` }, fit), {
    click: (event) => {
      if (event.metaKey || event.ctrlKey || event.button) return;
      event.preventDefault();
      if (event.shiftKey) toggle(image.image_id, event);
      else open(image.image_id);
    },
  });
  const chips = image.people.slice(0, CHIPS).map((person) => chip(person, keypoints, predicted && image.split !== "val"));
  if (image.people.length > CHIPS) chips.push(el("span.pg-more", {}, `and ${image.people.length - CHIPS} more`));
  if (!image.people.length) chips.push(el("span.pg-more", {}, "no person box"));
  const node = el("div.ps-image.pg-card", { role: "listitem", "data-image": image.image_id }, el("label.pg-check", {}, box), link,
    el("div.pg-line", {}, el("span.ps-name", { title: name }, name.split("/").at(-1)), el(`span.ps-chip.ps-split-${image.split}`, {}, image.split)),
    el("div.pg-people", {}, ...chips));
  node.classList.toggle("pg-selected", selected.has(image.image_id));
  return node;
}

function drawn(person, image, keypoints) {
  const [x, y, w, h] = person.box_xywh;
  const left = Math.max(0, x);
  const top = Math.max(0, y);
  const size = { x: left, y: top, width: Math.max(0, Math.min(x + w, image.width) - left), height: Math.max(0, Math.min(y + h, image.height) - top) };
  return sv(`g.pg-${statusOf(person, keypoints)[1]}`, {}, sv("rect.case", size), sv("rect", size));
}

function chip(person, keypoints, predicted) {
  const [words, kind] = statusOf(person, keypoints);
  const marks = markWords(person);
  const number = person.instance_id;
  return el(`a.ps-chip.ps-person.ps-${kind}`, { href: `inspect?instance=${number}`, "data-person": number,
    "aria-label": ["Inspect person", number, words, marks].filter(Boolean).join(", ").replace("person,", "person") },
  el("b", {}, String(number)), ` ${words}`, person.marks.includes("flag") ? el("i.pg-flag", { title: marks }, "⚑") : marks ? el("i.pg-mark", {}, marks) : null,
  predicted && !person.reviewed && !person.iscrowd ? el("i.pg-doubt.pg-wait", { "aria-hidden": "true" }) : null);
}

/** Write how doubtful people are on their chips. */
export function writeDoubts(root, { doubts, calibrated }) {
  for (const node of root.querySelectorAll("[data-person]")) {
    const doubt = doubts[node.dataset.person];
    node.querySelector(".pg-doubt")?.remove();
    if (doubt === undefined) continue;
    const words = calibrated ? percent(doubt) : doubt.toFixed(2);
    const title = calibrated ? `Its three most doubtful open keypoints are wrong with a mean probability of ${words}`
      : `Doubt ${words} from 0 to 1, not calibrated`;
    const mark = el("i.pg-doubt", { title, "aria-label": title }, words);
    mark.style.setProperty("--doubt", doubt);
    node.append(mark);
  }
}

/** Which photos are selected; shift goes on from the last one. */
export class Selection {
  constructor(changed) {
    this.ids = new Set();
    this.last = null;
    this.changed = changed;
  }

  /** Turn a photo on or off; with shift all between it and the last one, in the order of `shown` (ids). */
  toggle(id, shown, range = false) {
    const on = !this.ids.has(id);
    const [from, to] = [shown.indexOf(this.last), shown.indexOf(id)];
    const touched = range && from >= 0 && to >= 0 ? shown.slice(Math.min(from, to), Math.max(from, to) + 1) : [id];
    for (const one of touched) on ? this.ids.add(one) : this.ids.delete(one);
    this.last = id;
    this.changed();
  }

  all(shown) {
    shown.forEach((id) => this.ids.add(id));
    this.changed();
  }

  clear() {
    this.ids.clear();
    this.changed();
  }
}
