/* The stage: the photo, the heat layer and everything drawn over them. Draws what it is told, at once, from numbers. */

import { Camera, HANDLES, around, grown, union } from "./geometry.js";
import { el, set, spoken, sv } from "./dom.js";

const ROUNDED = 100;
const LARGEST_FIT = 8; // a person of few pixels is no clearer when it is larger
const PIXELS = 16; // scale from which single pixels are drawn as squares
const px = (value) => Math.round(value * ROUNDED) / ROUNDED;

/** Left is a circle, right a square, the middle a diamond; of half-size r around (0, 0). */
export function shape(side, r, kind = "") {
  const classes = kind ? `.${kind}` : "";
  if (side === "left") return sv(`circle${classes}`, { r });
  if (side === "right") return sv(`rect${classes}`, { x: -0.9 * r, y: -0.9 * r, width: 1.8 * r, height: 1.8 * r });
  const d = 1.25 * r;
  return sv(`path${classes}`, { d: `M0 ${-d}L${d} 0 0 ${d} ${-d} 0Z` });
}

/** The side of a limb: that of both ends, or of the one that is not in the middle. */
export function limbSide(a, b) {
  if (a === b) return a;
  return a === "center" ? b : b === "center" ? a : "center";
}

export class View {
  camera = new Camera();
  person = null;
  room = [1, 1];
  #skeleton = null;
  #limbs = [];
  #joints = [];
  #others = [];

  /** stage: an empty element with a size of its own. heat: its canvas, laid between photo and drawing. */
  constructor(stage, heat) {
    this.stage = stage;
    this.photo = el("img", { alt: "", draggable: "false" });
    this.heat = heat;
    this.world = el("div.pe-world", {}, this.photo, heat);
    this.layers = Object.fromEntries(
      ["others", "limbs", "box", "ghosts", "joints", "tags", "front"].map((name) => [name, sv(`g.pe-${name}`)]),
    );
    this.othersAt = sv("g");
    this.layers.others.append(this.othersAt);
    this.name = sv("text.pe-name");
    this.layers.front.append(this.name);
    this.svg = sv("svg.pe-drawing", { "aria-hidden": "true" }, ...Object.values(this.layers));
    stage.append(this.world, this.svg);
  }

  /** Read the stage's size in CSS pixels; kept in `room`, because reading it while drawing would lay the page out. */
  measure() {
    this.room = [this.stage.clientWidth, this.stage.clientHeight];
  }

  /** Client coordinates of an event to the stage's. */
  local(event) {
    const at = this.svg.getBoundingClientRect();
    return [event.clientX - at.left, event.clientY - at.top];
  }

  /** Client coordinates of an event to image pixels. */
  toImage(event) {
    return this.camera.toImage(...this.local(event));
  }

  /** Another person: its photo (a decoded image element), limbs and neighbors. */
  show(person, skeleton, photo) {
    const samePhoto = this.person?.doc.image_id === person.doc.image_id;
    this.person = person;
    if (skeleton !== this.#skeleton) this.#build(skeleton);
    if (photo !== this.photo) {
      this.photo.replaceWith(photo);
      this.photo = photo;
    }
    this.measure();
    const [w, h] = person.size;
    set(this.photo, { width: w, height: h });
    this.#buildOthers();
    return samePhoto;
  }

  #build(skeleton) {
    this.#skeleton = skeleton;
    this.#limbs = skeleton.limbs.map(([a, b]) => {
      const side = limbSide(skeleton.sides[a], skeleton.sides[b]);
      return { a, b, node: sv(`g.pe-limb.${side}`, {}, sv("line.case"), sv("line")) };
    });
    this.layers.limbs.replaceChildren(...this.#limbs.map((limb) => limb.node));
    this.#joints = skeleton.keypoints.map((name, k) => {
      const side = skeleton.sides[k];
      const node = sv(`g.pe-joint.${side}`, { "data-k": k }, sv("circle.hit", { r: 14 }), sv("circle.ring", { r: 11 }),
        shape(side, 6, "case"), shape(side, 6, "dot"), sv("path.aim", { d: "M-15 0h9M6 0h9M0-15v9M0 6v9" }));
      node.append(sv("title", {}, spoken(name)));
      return node;
    });
    this.layers.joints.replaceChildren(...this.#joints);
  }

  #buildOthers() {
    this.#others = (this.person.doc.others ?? []).map((other) => {
      const known = other.points.map(([x, y, v]) => (v > 0 ? [x + 0.5, y + 0.5] : null));
      const lines = this.#skeleton.limbs.filter(([a, b]) => known[a] && known[b])
        .map(([a, b]) => `M${px(known[a][0])} ${px(known[a][1])}L${px(known[b][0])} ${px(known[b][1])}`).join("");
      const dots = known.filter(Boolean).map(([x, y]) => `M${px(x)} ${px(y)}h0`).join("");
      const [x, y, w, h] = other.box;
      const node = sv("g.pe-other", { "data-id": other.instance_id }, sv("rect", { x, y, width: w, height: h }));
      if (other.iscrowd) node.classList.add("crowd");
      if (other.source === "prediction") node.classList.add("predicted");
      for (const d of [lines, dots]) {
        if (d) node.append(sv("path.case", { d }), sv("path", { d }));
        if (d) node.append(sv("path.hit", { d }));
      }
      node.lastChild.classList.add("dots");
      const tag = sv("g.pe-tag", { "data-id": other.instance_id }, sv("rect", { rx: 4, height: 24, y: -24 }),
        sv("text", { x: 7, y: -7.5 }, other.iscrowd ? `${other.instance_id} ignored` : String(other.instance_id)));
      tag.append(sv("title", {}, other.iscrowd ? "A region to ignore" : `Person ${other.instance_id}: click to go there`));
      return { id: other.instance_id, node, tag, box: other.box, width: 0 };
    });
    this.othersAt.replaceChildren(...this.#others.map((other) => other.node));
    this.layers.tags.replaceChildren(...this.#others.map((other) => other.tag));
    for (const other of this.#others) {
      const [rect, text] = other.tag.children;
      other.width = Math.max(24, text.textContent.length * 7.2 + 14);
      rect.setAttribute("width", other.width);
    }
  }

  /** The box to fit a person: its box and all that is shown of it. */
  personBox() {
    const { person } = this;
    const points = person.points.flatMap((_, k) => {
      const now = person.shown(k);
      return now ? [[now.x, now.y]] : [];
    });
    const near = around(points);
    return grown(near ? union(person.box, near) : person.box, 0.12, person.size);
  }

  /** Fit the person, or the whole photo. */
  fit(whole) {
    const box = whole ? [0, 0, ...this.person.size] : this.personBox();
    this.camera.fit(box, ...this.room, 16, LARGEST_FIT);
    this.fitted = whole ? "photo" : "person";
  }

  /** Draw everything. `what`: {selected, limit, ghosts, rivals, boxing, drawn, other, held, hidden}. */
  draw(what) {
    const { camera, person } = this;
    if (!person) return;
    camera.hold(...person.size, ...this.room);
    const { scale, tx, ty } = camera;
    this.world.style.transform = `matrix(${scale},0,0,${scale},${tx},${ty})`;
    this.world.classList.toggle("pixels", scale >= PIXELS);
    this.othersAt.setAttribute("transform", `matrix(${scale},0,0,${scale},${tx},${ty})`);
    this.svg.classList.toggle("off", Boolean(what.hidden));
    this.#drawTags(what);
    const now = person.points.map((_, k) => person.shown(k));
    const at = now.map((point) => (point ? camera.toScreen(point.x, point.y).map(px) : null));
    this.#drawLimbs(now, at);
    this.#drawJoints(now, at, what);
    this.#drawGhosts(what);
    this.#drawBox(what);
    this.#drawName(at, what);
  }

  /** The others' numbers, at their boxes, as long as these are in view. */
  #drawTags({ other = null }) {
    const { scale, tx, ty } = this.camera;
    const [width, height] = this.room;
    for (const { id, node, tag, width: own, box: [x, y, w, h] } of this.#others) {
      for (const part of [node, tag]) part.classList.toggle("chosen", id === other);
      const [left, top] = [x * scale + tx, y * scale + ty];
      const seen = left < width && top < height && left + w * scale > 0 && top + h * scale > 0;
      tag.style.display = seen ? "" : "none";
      const across = Math.min(Math.max(0, left), width - own);
      if (seen) tag.setAttribute("transform", `translate(${px(across)} ${px(Math.max(24, top))})`);
    }
  }

  #drawLimbs(now, at) {
    for (const { a, b, node } of this.#limbs) {
      const there = at[a] && at[b];
      node.style.display = there ? "" : "none";
      if (!there) continue;
      const ends = { x1: at[a][0], y1: at[a][1], x2: at[b][0], y2: at[b][1] };
      for (const line of node.children) set(line, ends);
      node.classList.toggle("predicted", now[a].by === "prediction" || now[b].by === "prediction");
      node.classList.toggle("hidden", now[a].v === 1 || now[b].v === 1);
    }
  }

  #drawJoints(now, at, { selected, limit, held }) {
    this.#joints.forEach((node, k) => {
      node.style.display = at[k] ? "" : "none";
      if (!at[k]) return;
      node.setAttribute("transform", `translate(${at[k][0]} ${at[k][1]})`);
      const { classList } = node;
      classList.toggle("predicted", now[k].by === "prediction");
      classList.toggle("hollow", now[k].v === 1);
      classList.toggle("over", this.person.over(k, limit));
      classList.toggle("suspect", this.person.isSuspect(k));
      classList.toggle("selected", k === selected);
      classList.toggle("held", k === held);
    });
    const front = this.#joints[selected];
    if (front && front !== this.layers.joints.lastChild && held === null) this.layers.joints.append(front);
  }

  /** Ghosts: candidates of the keypoint in hand, and another version of the labels in a conflict. */
  #drawGhosts({ ghosts = [], rivals = [] }) {
    const marks = ghosts.map(({ x, y, tag }) => {
      const [sx, sy] = this.camera.toScreen(x, y).map(px);
      return sv("g.pe-ghost", { transform: `translate(${sx} ${sy})` }, sv("circle.case", { r: 7 }), sv("circle", { r: 7 }),
        sv("text", { x: 10, y: 4 }, tag));
    });
    const theirs = rivals.map(({ x, y, from }) => {
      const [sx, sy] = this.camera.toScreen(x, y).map(px);
      const node = sv("g.pe-rival", {}, shape("left", 7), sv("title", {}, "The other version"));
      node.firstChild.setAttribute("transform", `translate(${sx} ${sy})`);
      if (from) {
        const [fx, fy] = this.camera.toScreen(from.x, from.y).map(px);
        node.prepend(sv("line", { x1: fx, y1: fy, x2: sx, y2: sy }));
      }
      return node;
    });
    this.layers.ghosts.replaceChildren(...theirs, ...marks);
  }

  #drawBox({ boxing = false, drawn = null }) {
    const { scale, tx, ty } = this.camera;
    const rect = ([x, y, w, h], kind) => sv(`rect.${kind}`, {
      x: px(x * scale + tx), y: px(y * scale + ty), width: px(w * scale), height: px(h * scale),
    });
    const parts = [rect(this.person.box, "case"), rect(this.person.box, boxing ? "editing" : "box")];
    if (boxing) {
      const [x, y, w, h] = this.person.box;
      for (const [name, sx, sy] of HANDLES) {
        const [hx, hy] = [(x + (w * (sx + 1)) / 2) * scale + tx, (y + (h * (sy + 1)) / 2) * scale + ty];
        parts.push(sv(`g.pe-handle.${name}`, { "data-handle": name, transform: `translate(${px(hx)} ${px(hy)})` },
          sv("circle.hit", { r: 14 }), sv("rect", { x: -5, y: -5, width: 10, height: 10 })));
      }
    }
    if (drawn) parts.push(rect(drawn, "case"), rect(drawn, "editing"));
    this.layers.box.replaceChildren(...parts);
  }

  #drawName(at, { selected, held }) {
    const there = at[selected] && held === null;
    this.name.style.display = there ? "" : "none";
    if (!there) return;
    this.name.textContent = spoken(this.person.names[selected]);
    const [width] = this.room;
    const left = at[selected][0] > width - 130;
    set(this.name, { x: at[selected][0] + (left ? -17 : 17), y: at[selected][1] - 12, "text-anchor": left ? "end" : "start" });
  }

  /** Whether a point of the photo is in view. */
  sees(x, y) {
    const [sx, sy] = this.camera.toScreen(x, y);
    return sx >= 0 && sy >= 0 && sx <= this.room[0] && sy <= this.room[1];
  }

  /** Where a keypoint is on the page, in client coordinates; null when it is not shown. */
  clientPoint(k) {
    const now = this.person?.shown(k);
    if (!now) return null;
    const at = this.svg.getBoundingClientRect();
    const [x, y] = this.camera.toScreen(now.x, now.y);
    return [at.left + x, at.top + y];
  }
}
