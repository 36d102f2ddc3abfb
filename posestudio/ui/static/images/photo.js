/* A photo's own view: its people's boxes to draw, move, scale and hide, and where to go from here. */

import { clock, el, set } from "../editor/dom.js";
import { button, heard, many, once } from "../shared/page.js";
import { Boxes, typed } from "./boxes.js";
import { markWords, statusOf } from "./grid.js";
import { Looks } from "./looks.js";

export const KEYS = [
  ["drag", "draw a box on empty ground, move one, scale it by its handles"], ["B", "a new box in the middle"],
  ["Tab", "the next box"], ["← → ↑ ↓", "move the box by a pixel, with Shift by ten"], ["+ −", "scale the box"],
  ["Delete", "hide the person"], ["Ctrl+Z", "undo"], ["wheel", "zoom; drag with the right button or Space to pan"],
  ["F", "fit the photo"], ["A D", "photo before, after"], ["Esc", "back to all photos"],
];

export class PhotoView {
  /** page: {edits, server, asked, toasts, overview, intake, close(), go(image), setSplit(), hidePhotos(), counted()}. */
  constructor(page) {
    this.page = page;
    this.undo = [];
    this.looks = new Looks(page);
    this.boxes = new Boxes({
      select: () => this.#drawSide(), changed: (person, before) => this.#moved(person, before),
      added: (box) => this.#add(box), removed: (person) => this.#hide(person),
    });
    this.title = el("h2.pg-photo-name");
    this.saved = el("span.pg-saved", { role: "status" });
    this.before = button("Previous", () => page.go(this.photo.before), "button.ps-button", { title: "Photo before (A)" });
    this.after = button("Next", () => page.go(this.photo.after), "button.ps-button", { title: "Photo after (D)" });
    this.place = el("span.pg-place");
    this.split = heard(el("select.ps-select", { id: "pg-photo-split" }, ...["train", "val", "unlabeled"].map((value) => el("option", { value }, value))), {
      change: () => this.#setSplit(),
    });
    const tools = el("div.pg-tools", { role: "toolbar", "aria-label": "Boxes" },
      button("New box", once(() => this.newBox(), () => this.boxes.focus()), "button.ps-button", { title: "New box (B), or drag on the photo" }),
      button("Whole photo", once(() => this.#add([0, 0, ...this.boxes.size]), () => this.boxes.focus())),
      button("Find people", () => page.intake.detect([this.photo.image_id]), "button.ps-button", { title: page.overview.detector.words || null }),
      this.undoButton = button("Undo", () => this.takeBack(), "button.ps-button", { title: "Undo (Ctrl+Z)" }),
      el("span.pg-gap"),
      button("−", () => this.boxes.zoom(1 / 1.3), "button.ps-button", { "aria-label": "Zoom out" }),
      button("Fit", () => this.boxes.fit(), "button.ps-button", { title: "Fit (F)" }),
      button("+", () => this.boxes.zoom(1.3), "button.ps-button", { "aria-label": "Zoom in" }));
    heard(tools, { click: ({ detail }) => detail && this.boxes.focus() }); // by pointer: the keys are the photo's again
    this.side = el("aside.pg-side", { "aria-label": "People of the photo" });
    this.node = el("section.pg-view", { "aria-label": "One photo" },
      el("div.pg-view-bar", {}, button("← All photos", page.close, "button.ps-button", { title: "All photos (Esc)" }), this.title, this.place,
        this.before, this.after, el("label", { for: "pg-photo-split" }, "Split"), this.split, el("span.pg-gap"), this.saved),
      el("div.pg-view-body", {}, el("div.pg-view-main", {}, tools, this.boxes.node), this.side));
    this.left = new AbortController();
    page.edits.addEventListener("change", () => this.#drawSaved(), { signal: this.left.signal });
  }

  /** The view is taken away for good. */
  leave() {
    this.left.abort();
    this.turn = null;
  }

  /** Show a photo as /api/gallery/IMAGE answers it. */
  show(photo) {
    const same = this.photo?.image_id === photo.image_id;
    if (!same) this.boxes.end();
    this.photo = photo;
    if (!same) this.undo = [];
    this.title.textContent = photo.file_name ?? `image ${photo.image_id}`;
    this.title.title = this.title.textContent;
    this.place.textContent = photo.place === null ? "" : `${(photo.place + 1).toLocaleString("en-US")} of ${many(photo.total, "photo")}`;
    this.before.disabled = photo.before === null;
    this.after.disabled = photo.after === null;
    this.split.value = photo.split;
    const shown = same ? [...this.people, ...this.away] : []; // undo knows these objects
    const known = (given) => {
      const person = this.#person(given);
      return Object.assign(shown.find(({ key }) => key === person.key) ?? {}, person);
    };
    this.people = photo.people.map(known);
    this.away = photo.away.map(known);
    if (same) this.boxes.set(this.people);
    else this.boxes.show(`media/${photo.image_id}`, [photo.width, photo.height], this.people);
    this.#drawSide();
    this.#drawSaved();
    if (!same && !this.node.querySelector(":focus-visible")) this.boxes.focus(); // unless somebody goes by keyboard
  }

  /** Read the photo anew. An answer does not know the edits that were made meanwhile: then it is asked for again. */
  async renew(query) {
    const { photo: { image_id: image }, page: { server, edits } } = this;
    const turn = (this.turn = {});
    const here = () => this.turn === turn && this.photo.image_id === image;
    try {
      for (let sent = null; here() && sent !== edits.sent;) {
        await edits.settled();
        ({ sent } = edits);
        const photo = await server.get(`/api/gallery/${image}`, query);
        if (here() && sent === edits.sent) this.show(photo);
      }
    } catch {
      // shown as it was
    }
  }

  async #setSplit() {
    if (!(await this.page.setSplit([this.photo.image_id], this.split.value))) this.split.value = this.photo.split;
  }

  #person(person) {
    const [words, kind] = statusOf(person, this.page.overview.keypoints);
    return { ...person, image: this.photo.image_id, split: this.photo.split, key: String(person.instance_id), name: String(person.instance_id), box: [...person.box_xywh], kind,
      status: words, words: `Person ${person.instance_id}, ${words}` };
  }

  /** A box of a third of the photo's size in the middle of what is in view. */
  newBox() {
    const [w, h] = this.boxes.size;
    const [rw, rh] = this.boxes.room;
    const [x, y] = this.boxes.camera.toImage(rw / 2, rh / 2);
    const [bw, bh] = [w / 4, h / 2];
    const left = Math.max(0, Math.min(w - bw, x - bw / 2));
    const top = Math.max(0, Math.min(h - bh, y - bh / 2));
    this.#add([left, top, bw, bh].map((value) => Math.round(value)));
  }

  #add(box) {
    const fresh = {
      image: this.photo.image_id, split: this.photo.split, key: crypto.randomUUID(), name: "new", box, kind: "open", status: "not labeled", words: "A new person, not labeled",
      instance_id: null, marks: [], placed: 0, absent: 0, reviewed: false, iscrowd: false,
    };
    this.people.push(fresh);
    this.boxes.set(this.people);
    this.boxes.select(fresh);
    this.boxes.focus();
    fresh.known = this.page.edits.add(this.photo.image_id, box).then(({ instance_id: id }) => {
      fresh.instance_id = id;
      Object.assign(fresh, { key: String(id), name: String(id), words: `Person ${id}, not labeled` });
      this.boxes.set(this.people);
      this.#drawSide();
      this.page.counted();
      this.#look(fresh, id);
      return id;
    });
    fresh.known.catch((error) => this.#failed(error, () => this.#remove(fresh)));
    this.#did(`box of person ${fresh.name}`, () => this.#hide(fresh, false));
    this.#drawSide();
  }

  #moved(person, before) {
    const now = [...person.box];
    this.#send(person, (id) => this.#sendBox(person, id, now), () => { person.box = before; this.boxes.draw(); });
    this.#did("move", () => {
      person.box = before;
      this.boxes.draw();
      this.#drawSide();
      this.#send(person, (id) => this.#sendBox(person, id, before));
    });
    this.#drawSide();
  }

  async #sendBox(person, id, box) {
    await this.page.edits.box(id, box);
    this.#look(person, id);
  }

  /** The students look at a box that is saved; whoever is labeled, a region to ignore or of val is left alone. */
  #look(person, id) {
    if (!person.reviewed && !person.iscrowd && person.split !== "val") this.looks.ask(id);
  }

  #hide(person, tell = true) {
    this.#putAway(person);
    this.#send(person, (id) => this.page.edits.hide(id), () => this.#bringBack(person));
    this.page.counted();
    if (!tell) return;
    const back = () => {
      this.undo = this.undo.filter((one) => one !== deed);
      this.#bringBack(person);
      this.#send(person, (id) => this.page.edits.restore(id), () => this.#putAway(person));
      this.page.counted();
    };
    const deed = this.#did(`hiding person ${person.name}`, back);
    this.page.toasts.say(`Person ${person.name} is hidden. Labels are kept.`, ["Undo", back]);
  }

  /** Bring somebody back who was hidden, perhaps long ago. */
  #restore(person) {
    this.#bringBack(person);
    this.#send(person, (id) => this.page.edits.restore(id), () => this.#putAway(person));
    this.page.counted();
    this.#did(`bringing back person ${person.name}`, () => this.#hide(person, false));
    this.#drawSide();
  }

  #putAway(person) {
    if (person.image === this.photo.image_id && !this.away.includes(person)) this.away.push(person);
    this.#remove(person);
  }

  #remove(person) {
    this.people = this.people.filter((one) => one !== person);
    if (this.boxes.selected === person) this.boxes.select(null);
    this.boxes.set(this.people);
    this.#drawSide();
  }

  /** Somebody is there again, unless another photo is shown by now. */
  #bringBack(person) {
    if (person.image !== this.photo.image_id || this.people.some(({ key }) => key === person.key)) return;
    this.away = this.away.filter(({ key }) => key !== person.key);
    this.people.push(person);
    this.boxes.set(this.people);
    this.boxes.select(person);
    this.#drawSide();
  }

  /** Send an edit of a person, once its number is known. */
  #send(person, edit, back = null) {
    const id = person.instance_id === null ? person.known : Promise.resolve(person.instance_id);
    id.then(edit).then(() => this.page.counted(), (error) => this.#failed(error, back));
  }

  #failed(error, back) {
    back?.();
    this.#drawSide();
    this.page.toasts.say(error.message, null, "bad");
  }

  #did(words, back) {
    const deed = { words, back };
    this.undo.push(deed);
    this.undoButton.disabled = false;
    return deed;
  }

  /** Undo the last deed on this photo. */
  takeBack() {
    const deed = this.undo.pop();
    if (!deed) return;
    deed.back();
    this.undoButton.disabled = !this.undo.length;
  }

  #drawSide() {
    this.undoButton.disabled = !this.undo.length;
    const { selected } = this.boxes;
    const rows = this.people.map((person) => this.#row(person, person === selected));
    const empty = this.people.length ? null : el("p.ps-note", {}, "Nobody is marked yet. Drag a box around each person, or press B.");
    const group = this.photo.group.length;
    const facts = [["Photo", `${this.photo.width} x ${this.photo.height} px, image ${this.photo.image_id}`]];
    if (group) facts.push(["Group", `moves between splits with ${many(group, "other photo")}`]);
    this.side.replaceChildren(el("h3", {}, many(this.people.length, "person", "people")), ...(empty ? [empty] : []),
      el("ul.pg-rows", {}, ...rows), ...this.#awayRows(), el("dl.ps-facts", {}, ...facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)])),
      button("Hide this photo", () => this.page.hidePhotos([this.photo.image_id]), "button.ps-button"));
  }

  /** Who was hidden on this photo, with the way back. */
  #awayRows() {
    if (!this.away.length) return [];
    const rows = this.away.map((person) => el("li", {}, el("span", {}, el("b", {}, `Person ${person.name}`), ` ${person.status}`),
      button("Bring back", () => this.#restore(person), "button.ps-button", { "aria-label": `Bring back person ${person.name}` })));
    return [el("h3", {}, `${many(this.away.length, "hidden person", "hidden people")}`), el("ul.pg-rows.pg-away", {}, ...rows)];
  }

  #row(person, open) {
    const id = person.instance_id;
    const marks = markWords(person);
    const head = button([el(`i.pg-dot.pg-${person.kind}`, { "aria-hidden": "true" }), el("b", {}, id === null ? "new" : `Person ${id}`), ` ${person.status}`,
      ...(marks ? [` · ${marks}`] : [])],
    () => { this.boxes.select(person); this.boxes.focus(); }, "button.pg-row-head", { "aria-expanded": String(open) });
    if (!open) return el("li", {}, head);
    const fields = ["x", "y", "width", "height"].map((name, i) => el("label", {}, name, heard(el("input.ps-field", {
      type: "number", step: "any", value: Math.round(person.box[i] * 10) / 10, "data-i": i,
    }), { change: (event) => this.#type(person, event.target) })));
    const links = id === null ? [] : [el("a.ps-button", { href: `correct?instance=${id}` }, "Correct"), el("a.ps-button", { href: `inspect?instance=${id}` }, "Inspect")];
    return el("li.pg-row-open", {}, head, el("div.pg-numbers", {}, ...fields), el("p.pg-row", {}, ...links, button("Hide", () => this.#hide(person))));
  }

  #type(person, field) {
    const before = [...person.box];
    const values = [...field.closest(".pg-numbers").querySelectorAll("input")].map((input) => input.value);
    const box = typed(values, this.boxes.size);
    if (!box) {
      this.page.toasts.say("A box is four numbers, at least a pixel wide and high and on the photo.", null, "bad");
      this.#drawSide();
      return;
    }
    person.box = box;
    this.boxes.draw();
    this.#moved(person, before);
  }

  #drawSaved() {
    const { waiting, away, savedAt } = this.page.edits.state;
    const words = away && waiting ? `The studio is away: ${many(waiting, "edit")} kept here` : waiting ? "saving …" : savedAt ? `saved ${clock(savedAt)}` : "";
    if (this.saved.textContent !== words) set(this.saved, {}).textContent = words;
  }

  /** Keys of the view; true when it was one. */
  key(event) {
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z" && !event.shiftKey) return this.takeBack() ?? true;
    if (event.ctrlKey || event.metaKey || event.altKey) return false;
    switch (event.key.toLowerCase()) {
      case "b": if (!event.repeat) this.newBox(); return true;
      case "f": this.boxes.fit(); return true;
      case "a": if (this.photo.before !== null) this.page.go(this.photo.before); return true;
      case "d": if (this.photo.after !== null) this.page.go(this.photo.after); return true;
      case "escape": this.boxes.selected ? this.boxes.select(null) : this.page.close(); return true;
      default: return false;
    }
  }
}

