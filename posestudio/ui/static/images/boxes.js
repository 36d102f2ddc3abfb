/* A photo with its person boxes: drawn, moved and scaled by mouse, pen, touch and keyboard. Says what was meant.

   Boxes are [x, y, width, height] in image pixels and count from corners: the first pixel reaches from 0 to 1. */

import { el, set, sv } from "../editor/dom.js";
import { Camera, HANDLES, boxBetween, dragged, finite, resized, round } from "../editor/geometry.js";

const SLACK = { mouse: 3, pen: 4, touch: 8 };
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const GROW = 1.05;
const MARGIN = 16;

export class Boxes {
  camera = new Camera();
  people = [];
  selected = null;
  size = [1, 1];
  #drag = null;
  #fingers = new Map();
  #nudged = null;
  #space = false;

  /**
   * on: select(person or null), changed(person, box before), added(box), removed(person). A person is an object with
   * `key`, `box`, `words`, `kind` and `name`.
   */
  constructor(on) {
    this.on = on;
    this.photo = el("img.pg-photo", { alt: "", draggable: "false" });
    this.layer = sv("g");
    this.preview = sv("rect.pg-preview", { hidden: true });
    this.svg = sv("svg.pg-drawing", {}, this.layer, this.preview);
    this.node = el("div.pg-stage", { tabindex: -1, role: "group", "aria-label": "Photo and boxes" }, this.photo, this.svg);
    const listen = (target, name, deed, options = {}) => target.addEventListener(name, deed.bind(this), options);
    listen(this.node, "pointerdown", this.down);
    listen(this.node, "pointermove", this.move);
    listen(this.node, "pointerup", this.up);
    listen(this.node, "pointercancel", this.cancel);
    listen(this.node, "wheel", this.wheel, { passive: false });
    listen(this.node, "contextmenu", (event) => event.preventDefault());
    listen(this.node, "keydown", this.key);
    listen(this.node, "keyup", this.keyUp);
    listen(this.node, "focusout", this.blur);
    new ResizeObserver(() => this.#resized()).observe(this.node);
  }

  /** Show a photo of [width, height] pixels. */
  show(source, size, people) {
    this.size = size;
    set(this.photo, { src: source, width: size[0], height: size[1] });
    this.set(people);
    this.fit();
  }

  /** Other people on the same photo; whoever was selected stays so. */
  set(people) {
    const key = this.selected?.key;
    this.people = people;
    this.selected = people.find((person) => person.key === key) ?? null;
    this.#build();
  }

  select(person) {
    if (this.selected === person) return;
    this.#settle();
    this.selected = person;
    this.#build();
    this.on.select(person);
  }

  /** Focus the selected person's box, or the stage when nobody is selected: the keys are theirs. */
  focus() {
    (this.layer.querySelector("[aria-pressed=true]") ?? this.node).focus({ preventScroll: true });
  }

  get room() {
    return [this.node.clientWidth, this.node.clientHeight];
  }

  fit() {
    this.camera.fit([0, 0, ...this.size], ...this.room, MARGIN);
    this.fitted = true;
    this.draw();
  }

  zoom(factor) {
    const [w, h] = this.room;
    this.camera.zoomAt(w / 2, h / 2, factor);
    this.fitted = false;
    this.draw();
  }

  #resized() {
    if (this.fitted) this.fit();
    else this.draw();
  }

  #build() {
    const focus = this.layer.contains(document.activeElement);
    this.layer.replaceChildren(...this.people.map((person) => {
      const mine = person === this.selected;
      const node = sv(`g.pg-box.pg-${person.kind}`, { tabindex: 0, role: "button", "aria-pressed": String(mine), "data-key": person.key });
      node.append(sv("rect.hit"), sv("rect.case"), sv("rect.line"), sv("g.pg-tag", {}, sv("rect", { rx: 4, height: 20 }), sv("text", { x: 6, y: 14 }, person.name)));
      if (mine) node.append(...HANDLES.map(([name]) => sv("g.pg-handle", { "data-handle": name }, sv("circle.hit", { r: 13 }), sv("circle", { r: 5.5 }))));
      node.addEventListener("focus", () => { if (this.selected !== person && !this.#drag) this.select(person); });
      person.node = node;
      return node;
    }));
    this.draw();
    if (focus) this.focus();
  }

  /** Put everything where it is now. */
  draw() {
    const { scale, tx, ty } = this.camera;
    this.photo.style.transform = `translate(${tx}px, ${ty}px) scale(${scale})`;
    for (const person of this.people) this.#place(person);
  }

  #place(person) {
    const { scale, tx, ty } = this.camera;
    const [x, y, w, h] = person.box;
    const at = { x: x * scale + tx, y: y * scale + ty, width: w * scale, height: h * scale };
    const { node } = person;
    for (const rect of node.querySelectorAll(":scope > rect")) set(rect, at);
    const tag = node.querySelector(".pg-tag");
    set(tag, { transform: `translate(${at.x} ${at.y - 20 < 2 ? at.y : at.y - 20})` });
    set(tag.firstChild, { width: 12 + 7.4 * person.name.length });
    set(node, { "aria-label": `${person.words}, box at ${round(x, 0)}, ${round(y, 0)}, ${round(w, 0)} by ${round(h, 0)} pixels` });
    for (const handle of node.querySelectorAll(".pg-handle")) {
      const [, sx, sy] = HANDLES.find(([name]) => name === handle.dataset.handle);
      set(handle, { transform: `translate(${at.x + ((sx + 1) / 2) * at.width} ${at.y + ((sy + 1) / 2) * at.height})` });
    }
  }

  /** Where an event is, in image pixels from the corner. */
  #at(event) {
    const from = this.svg.getBoundingClientRect();
    const [x, y] = this.camera.toImage(event.clientX - from.left, event.clientY - from.top);
    return [x + 0.5, y + 0.5];
  }

  down(event) {
    if (event.pointerType === "touch" && this.#finger(event)) return;
    if (this.#drag) return;
    const target = event.target instanceof Element ? event.target : this.node;
    event.preventDefault();
    this.#settle();
    const handle = target.closest(".pg-handle")?.dataset.handle ?? null;
    const person = this.people.find(({ node }) => node.contains(target)) ?? null;
    const pan = event.button !== 0 || this.#space;
    if (person && !pan) this.select(person);
    this.#drag = {
      id: event.pointerId, from: [event.clientX, event.clientY], last: [event.clientX, event.clientY], at: this.#at(event),
      slack: SLACK[event.pointerType] ?? 3, moved: false, kind: pan ? "pan" : person ? "box" : "draw", person,
      handle: handle ?? "move", before: person ? [...person.box] : null,
    };
    this.node.setPointerCapture(event.pointerId);
    this.focus();
  }

  move(event) {
    if (this.#fingers.has(event.pointerId)) this.#pinch(event);
    const drag = this.#drag;
    if (!drag || drag.id !== event.pointerId) return;
    if (!drag.moved && Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]) < drag.slack) return;
    drag.moved = true;
    const at = this.#at(event);
    if (drag.kind === "pan") {
      this.camera.panBy(event.clientX - drag.last[0], event.clientY - drag.last[1]);
      this.camera.hold(...this.size, ...this.room);
      this.fitted = false;
      drag.last = [event.clientX, event.clientY];
      this.draw();
    } else if (drag.kind === "box") {
      drag.person.box = dragged(drag.before, drag.handle, at[0] - drag.at[0], at[1] - drag.at[1], this.size);
      this.#place(drag.person);
    } else {
      drag.box = boxBetween(drag.at, at, this.size);
      const { scale, tx, ty } = this.camera;
      const [x, y, w, h] = drag.box;
      set(this.preview, { hidden: false, x: x * scale + tx, y: y * scale + ty, width: w * scale, height: h * scale });
    }
  }

  up(event) {
    this.#fingers.delete(event.pointerId);
    const drag = this.#drag;
    if (!drag || drag.id !== event.pointerId) return;
    this.#drag = null;
    set(this.preview, { hidden: true });
    if (drag.kind === "box" && drag.moved) this.on.changed(drag.person, drag.before);
    if (drag.kind === "draw") {
      const large = drag.box && Math.min(drag.box[2], drag.box[3]) * this.camera.scale >= 6;
      if (large) this.on.added(drag.box);
      else this.select(null);
    }
  }

  cancel(event) {
    this.#fingers.delete(event.pointerId);
    this.#drop();
  }

  /** End what is in hand before another photo is shown: keys are done, a drag is dropped. */
  end() {
    this.#settle();
    this.#drop();
  }

  #drop() {
    if (this.#drag?.before) {
      this.#drag.person.box = this.#drag.before;
      this.draw();
    }
    set(this.preview, { hidden: true });
    this.#drag = null;
  }

  wheel(event) {
    event.preventDefault();
    const from = this.svg.getBoundingClientRect();
    const by = event.deltaMode === 1 ? 16 * event.deltaY : event.deltaY;
    this.camera.zoomAt(event.clientX - from.left, event.clientY - from.top, Math.exp(-0.0016 * by));
    this.camera.hold(...this.size, ...this.room);
    this.fitted = false;
    this.draw();
  }

  /** A second finger turns a drag into a pinch. */
  #finger(event) {
    this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.#fingers.size < 2) return false;
    this.cancel({ pointerId: null });
    return true;
  }

  #pinch(event) {
    const before = [...this.#fingers.values()];
    this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (before.length !== 2) return;
    const after = [...this.#fingers.values()];
    const middle = (points) => [(points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2];
    const apart = (points) => Math.hypot(points[0][0] - points[1][0], points[0][1] - points[1][1]);
    const from = this.svg.getBoundingClientRect();
    const [x, y] = middle(after);
    this.camera.panBy(x - middle(before)[0], y - middle(before)[1]);
    this.camera.zoomAt(x - from.left, y - from.top, apart(after) / Math.max(1, apart(before)));
    this.fitted = false;
    this.draw();
  }

  /** Keys of a focused box: arrows move it, plus and minus scale it, Delete removes it. */
  key(event) {
    if (event.key === " ") {
      this.#space = true;
      event.preventDefault();
      return;
    }
    const person = this.selected;
    if (!person || !this.layer.contains(event.target) || event.ctrlKey || event.metaKey || event.altKey) return;
    const arrow = ARROWS[event.key];
    const step = event.shiftKey ? 10 : 1;
    if (arrow) this.#change(person, dragged(person.box, "move", arrow[0] * step, arrow[1] * step, this.size));
    else if (event.key === "+" || event.key === "=") this.#change(person, resized(person.box, GROW, this.size));
    else if (event.key === "-") this.#change(person, resized(person.box, 1 / GROW, this.size));
    else if (event.key === "Delete" || event.key === "Backspace") this.on.removed(person);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  keyUp(event) {
    if (event.key === " ") this.#space = false;
    else this.#settle();
  }

  blur({ relatedTarget: to }) {
    this.#settle();
    if (!this.node.contains(to)) this.#space = false; // its end is told to others
  }

  #change(person, box) {
    this.#nudged ??= { person, before: [...person.box] };
    person.box = box;
    this.#place(person);
  }

  /** A change by keys ends when the key is let go. */
  #settle() {
    const nudged = this.#nudged;
    this.#nudged = null;
    if (nudged && nudged.before.some((value, i) => value !== nudged.person.box[i])) this.on.changed(nudged.person, nudged.before);
  }
}

/** A box from typed numbers, or null when they make none. */
export function typed(values, size) {
  const [x, y, w, h] = values.map(Number);
  if (![x, y, w, h].every(finite) || w < 1 || h < 1) return null;
  const box = boxBetween([x, y], [x + w, y + h], size);
  return box[2] >= 1 && box[3] >= 1 ? box : null;
}
