/* The pictures of a sheet: one button each, pressed when its keypoint is wrong. One of them takes the focus by Tab. */

import { el, percent, set, spoken, sv } from "../editor/dom.js";

const SHAPES = {
  left: ["circle", { cx: 12, cy: 12, r: 9 }],
  right: ["rect", { x: 3.5, y: 3.5, width: 17, height: 17 }],
  center: ["polygon", { points: "12,1.5 22.5,12 12,22.5 1.5,12" }],
};

/** A dashed ring in the form of the side, open in the middle so that the pixel under it can be seen. */
const ring = (side) => sv(`svg.sh-ring.${side}`, { viewBox: "0 0 24 24", "aria-hidden": "true" },
  sv(...rim("case", side)), sv(...rim("dash", side)));

const rim = (kind, side) => [`${SHAPES[side][0]}.${kind}`, SHAPES[side][1]];

const cross = () => sv("svg.sh-cross", { viewBox: "0 0 100 100", "aria-hidden": "true", preserveAspectRatio: "none" },
  sv("path.case", { d: "M6 6 94 94M94 6 6 94" }), sv("path", { d: "M6 6 94 94M94 6 6 94" }));

/** How doubtful it is, in words: a probability where there is one, else the height of the peak. */
const doubt = (item) => (item.error === null ? `peak ${item.score.toFixed(2)}` : `error ${percent(Math.max(item.error, 1e-6))}`);

export class Grid {
  #cards = [];
  #at = 0;

  /** toggled: called after a picture was marked or unmarked. */
  constructor(toggled) {
    this.node = el("div.sh-grid", { role: "group", "aria-label": "People" });
    this.toggled = toggled;
    this.wrong = new Set();
    this.items = [];
  }

  /** Show people; `wrong` are the instance ids that are marked from the start. */
  show(items, keypoint, side, wrong = new Set()) {
    this.items = items;
    this.wrong = new Set(wrong);
    this.#cards = items.map((item, i) => this.#card(item, i, keypoint, side));
    this.node.replaceChildren(...this.#cards);
    this.#at = 0;
    this.#rove();
  }

  #card(item, i, keypoint, side) {
    const name = `Person ${item.instance_id}, ${spoken(keypoint)}, ${doubt(item)}, wrong`;
    const image = el("img", { src: item.crop, alt: "", width: 320, height: 320, decoding: "async", draggable: "false" });
    const card = el("button.sh-card", { type: "button", "aria-label": name, "data-instance": item.instance_id },
      el("span.sh-picture", {}, image, ring(side), cross()),
      el("span.sh-caption", { "aria-hidden": "true" }, el("span", {}, String(item.instance_id)), el("span", {}, doubt(item))));
    card.addEventListener("click", () => this.toggle(i));
    card.addEventListener("focus", () => { this.#at = i; this.#rove(); });
    image.addEventListener("error", () => card.classList.add("broken"));
    this.#draw(card, item);
    return card;
  }

  #draw(card, item) {
    set(card, { "aria-pressed": String(this.wrong.has(item.instance_id)) });
  }

  #rove() {
    this.#cards.forEach((card, i) => { card.tabIndex = i === this.#at ? 0 : -1; });
  }

  /** The person whose picture has, or would take, the focus. */
  get current() {
    return this.items[this.#at] ?? null;
  }

  focus(i = this.#at) {
    this.#cards[Math.min(Math.max(i, 0), this.#cards.length - 1)]?.focus({ preventScroll: false });
  }

  /** Move the focus by columns and rows; it stays in the grid. */
  move(columns, rows) {
    if (!this.node.contains(document.activeElement)) return this.focus();
    const wide = this.#columns(), next = this.#at + columns + rows * wide;
    if (next >= 0 && next < this.#cards.length) this.focus(next);
    return undefined;
  }

  #columns() {
    const top = this.#cards[0]?.offsetTop;
    const below = this.#cards.findIndex((card) => card.offsetTop !== top);
    return below < 0 ? Math.max(this.#cards.length, 1) : below;
  }

  toggle(i) {
    const item = this.items[i];
    if (!this.wrong.delete(item.instance_id)) this.wrong.add(item.instance_id);
    this.#draw(this.#cards[i], item);
    this.toggled();
  }

  /** Wrong becomes right and the other way round, for sheets on which most are wrong. */
  invert() {
    this.items.forEach((_, i) => this.toggle(i));
  }
}
