/* Mouse, pen and touch on the stage. Says what was meant to `deeds`; moves the view itself.

   A drag is counted from where it began, in image pixels, so it is exact at every zoom and scroll. */

import { ended } from "./modes.js";

const SLACK = { mouse: 3, pen: 4, touch: 8 };
const WHEEL = 0.0016;
const LINE = 16;

export class Pointer {
  #drag = null;
  #fingers = new Map();
  #pinch = null;
  space = false;

  constructor(stage, view, deeds, signal) {
    Object.assign(this, { stage, view, deeds });
    const on = (target, name, listener, options = {}) =>
      target.addEventListener(name, listener.bind(this), { signal, ...options });
    on(stage, "pointerdown", this.down);
    on(stage, "pointermove", this.move);
    on(stage, "pointerup", this.up);
    on(stage, "pointercancel", this.cancel);
    on(stage, "lostpointercapture", this.lost);
    on(stage, "contextmenu", this.menu);
    on(stage, "wheel", this.wheel, { passive: false });
    on(stage, "keydown", (event) => this.#spaceKey(event, true));
    on(document, "keyup", this.keyUp);
    on(window, "blur", () => this.#spaceOff());
    on(stage, "dragstart", (event) => event.preventDefault());
  }

  down(event) {
    this.stage.focus({ preventScroll: true });
    if (event.pointerType === "touch" && this.#finger(event)) return;
    if (this.#drag || event.button === 2) return;
    const target = event.target instanceof Element ? event.target : this.stage;
    if (target.closest("button,label,input,select,a")) return;
    event.preventDefault();
    this.deeds.end();
    if (this.deeds.mode === "other") ended(this.deeds); // chosen by keys; the pointer chooses anew
    const at = this.view.toImage(event);
    this.#drag = {
      id: event.pointerId, from: [event.clientX, event.clientY], last: [event.clientX, event.clientY], at,
      slack: SLACK[event.pointerType] ?? SLACK.mouse, moved: false, shift: event.shiftKey, ...this.#meant(event, target),
    };
    this.stage.setPointerCapture(event.pointerId);
    if (this.#drag.kind === "joint" && !this.#drag.click) this.deeds.select(this.#drag.k);
    if (this.#drag.kind === "pan") this.stage.classList.add("panning");
  }

  /** What a press at this place is for: a kind of drag, and what a click there does. */
  #meant(event, target) {
    if (event.button === 1 || this.space) return { kind: "pan", click: null };
    const { mode } = this.deeds;
    const handle = target.closest(".pe-handle");
    if (mode === "box" && handle) return { kind: "box", handle: handle.dataset.handle, click: null };
    if (mode === "person") return { kind: "person", click: null };
    if (mode === "add" || mode === "region") return { kind: "draw", click: null };
    const other = target.closest("[data-id]");
    const go = other && (() => this.deeds.pickOther(Number(other.dataset.id)));
    if (mode === "merge" || mode === "hand") return { kind: "pan", click: go };
    const joint = target.closest(".pe-joint");
    const place = ([x, y], shift) => this.deeds.click(x, y, shift);
    const hold = () => this.deeds.select(Number(joint.dataset.k));
    if (mode === null && (event.altKey || event.shiftKey)) { // some desktops keep Alt and drag for themselves
      return { kind: "person", click: joint && !this.deeds.placing ? hold : event.shiftKey ? place : null };
    }
    if (joint && mode === null) {
      // a keypoint that lies nowhere yet may belong right beside another: a click places it, a drag moves the other
      return { kind: "joint", k: Number(joint.dataset.k), click: this.deeds.placing ? place : null };
    }
    if (mode === "box") return { kind: this.#inBox(event) ? "box" : "pan", handle: "move", click: null };
    const tag = target.closest(".pe-tag");
    if (go && (tag || !this.deeds.placing)) return { kind: "pan", click: go };
    return { kind: "pan", click: place };
  }

  #inBox(event) {
    const [x, y] = this.view.toImage(event);
    const [bx, by, w, h] = this.view.person.box;
    return x >= bx - 0.5 && y >= by - 0.5 && x <= bx + w && y <= by + h;
  }

  move(event) {
    if (this.#fingers.has(event.pointerId)) {
      this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
      if (this.#pinch) return this.#pinched();
    }
    const drag = this.#drag;
    if (!drag || drag.id !== event.pointerId) return undefined;
    const far = Math.hypot(event.clientX - drag.from[0], event.clientY - drag.from[1]);
    if (!drag.moved && far < drag.slack) return undefined;
    if (!drag.moved && drag.kind === "joint") this.deeds.select(drag.k);
    drag.moved = true;
    const [x, y] = this.view.toImage(event);
    const by = [x - drag.at[0], y - drag.at[1]];
    if (drag.kind === "joint") this.deeds.dragPoint(drag.k, ...by);
    else if (drag.kind === "person") this.deeds.dragPerson(...by);
    else if (drag.kind === "box") this.deeds.dragBox(drag.handle, ...by);
    else if (drag.kind === "draw") this.deeds.drawBox(drag.at, [x, y]);
    else this.#pan(drag, event);
    return undefined;
  }

  #pan(drag, event) {
    this.view.camera.panBy(event.clientX - drag.last[0], event.clientY - drag.last[1]);
    drag.last = [event.clientX, event.clientY];
    this.view.fitted = null;
    this.deeds.redraw();
  }

  up(event) {
    this.#fingers.delete(event.pointerId);
    if (this.#pinch) return this.#endPinch();
    const drag = this.#take(event);
    if (!drag) return undefined;
    if (drag.moved && drag.kind === "draw") this.deeds.drawn(drag.at, this.view.toImage(event));
    else if (drag.moved) this.deeds.end();
    else drag.click?.(drag.at, drag.shift);
    return undefined;
  }

  cancel(event) {
    this.#fingers.delete(event.pointerId);
    if (this.#pinch) this.#endPinch();
    if (this.#take(event)) this.deeds.cancel();
  }

  // The capture goes with the pointer; without an up or cancel before it, the drag still ends as it stands.
  lost(event) {
    if (this.#take(event)?.moved) this.deeds.end();
  }

  /** Whether something is being dragged; keys rest until it is let go, but for Escape. */
  get dragging() {
    return Boolean(this.#drag?.moved);
  }

  /** Leave a drag as if it had not begun. */
  abort() {
    this.#drag = null;
    this.stage.classList.remove("panning");
    this.deeds.cancel();
  }

  #take(event) {
    const drag = this.#drag;
    if (!drag || drag.id !== event.pointerId) return null;
    this.#drag = null;
    this.stage.classList.remove("panning");
    return drag;
  }

  menu(event) {
    event.preventDefault();
    const joint = event.target instanceof Element && event.target.closest(".pe-joint");
    if (!joint || this.deeds.mode !== null) return;
    this.abort();
    this.deeds.select(Number(joint.dataset.k));
    this.deeds.run("cycle", event);
  }

  wheel(event) {
    event.preventDefault();
    const delta = (event.deltaY || event.deltaX) * (event.deltaMode === 1 ? LINE : event.deltaMode === 2 ? 10 * LINE : 1);
    const factor = Math.exp(-Math.max(-240, Math.min(240, delta)) * (event.ctrlKey ? 5 : 1) * WHEEL);
    if ((event.altKey || event.shiftKey) && this.deeds.mode === null) {
      this.deeds.scalePerson(Math.exp(-Math.sign(delta) * 0.02), ...this.view.toImage(event));
      return;
    }
    this.view.camera.zoomAt(...this.view.local(event), factor);
    this.view.fitted = null;
    this.deeds.redraw();
  }

  /** A finger comes down; true when it is the second, which makes a pinch of both. */
  #finger(event) {
    this.#fingers.set(event.pointerId, [event.clientX, event.clientY]);
    if (this.#fingers.size !== 2) return this.#fingers.size > 2;
    event.preventDefault();
    this.stage.setPointerCapture(event.pointerId);
    if (this.#drag?.moved) this.deeds.cancel();
    this.#drag = null;
    this.#pinch = this.#between();
    return true;
  }

  /** Middle of two fingers on the stage, and their distance. */
  #between() {
    const [[ax, ay], [bx, by]] = [...this.#fingers.values()];
    const middle = this.view.local({ clientX: (ax + bx) / 2, clientY: (ay + by) / 2 });
    return { middle, apart: Math.max(1, Math.hypot(ax - bx, ay - by)) };
  }

  #pinched() {
    const [was, now] = [this.#pinch, this.#between()];
    this.#pinch = now;
    if (this.deeds.mode === "person") {
      this.deeds.scalePerson(now.apart / was.apart, ...this.view.camera.toImage(...now.middle));
      return;
    }
    this.view.camera.panBy(now.middle[0] - was.middle[0], now.middle[1] - was.middle[1]);
    this.view.camera.zoomAt(...now.middle, now.apart / was.apart);
    this.view.fitted = null;
    this.deeds.redraw();
  }

  #endPinch() {
    if (this.#fingers.size >= 2) return;
    this.#pinch = null;
    this.deeds.end();
  }

  #spaceKey(event) {
    if (event.key !== " " || event.target !== this.stage) return;
    event.preventDefault();
    this.space = true;
    this.stage.classList.add("space");
  }

  keyUp(event) {
    if (event.key === " ") this.#spaceOff();
    if (!this.#drag && (["Alt", "Shift", "+", "=", "-"].includes(event.key) || event.key.startsWith("Arrow"))) this.deeds.end();
  }

  #spaceOff() {
    this.space = false;
    this.stage.classList.remove("space");
  }
}
