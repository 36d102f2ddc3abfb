/* Images: the photos of the project, found, chosen and put in order; and one photo with its boxes.
   The address says what is shown: /?split=train&status=open&sort=doubt&p=2, and /?image=12 for one photo. */

import { Away, Server } from "../editor/api.js";
import { el } from "../editor/dom.js";
import { Toasts, button, heard, isFree, keysDialog, many } from "../shared/page.js";
import { Intake } from "./adding.js";
import { Edits } from "./edits.js";
import { choosers } from "./files.js";
import { filters } from "./filters.js";
import { Selection, columns, grid, noDoubts, nothingFits, nothingYet, pager, writeDoubts } from "./grid.js";
import { path } from "./path.js";
import { KEYS as PHOTO_KEYS, PhotoView } from "./photo.js";

const PAGE = 48;
const MOST = 5000; // photos of one deed
const FILTERS = ["split", "status", "mark", "name", "run", "sort", "doubtful"];
const RETRY = 1500;
const COUNT_AFTER = 800; // milliseconds after the last change of a box

const KEYS = [
  ["← → ↑ ↓", "from photo to photo"], ["Enter", "open the photo"], ["Space", "select it; with Shift all up to it"],
  ["Ctrl+A", "select the whole page"], ["H", "hide the selected photos"], ["PgUp PgDn", "page before, after"], ["/", "find by file name"],
  ["Esc", "select nothing"], ["?", "these keys"],
];

/** Make the page in an element. */
export function mount(root) {
  const page = new Images(root);
  page.start();
  return page;
}

class Images {
  constructor(root) {
    this.root = root;
    this.toasts = new Toasts();
    // the overview has the session's token, also while the project has no skeleton yet
    this.server = new Server((address, options) => fetch(address.replace("/api/session", "/api/overview"), options));
    const at = new URL(location.href).searchParams;
    this.asked = Object.fromEntries(FILTERS.map((key) => [key, at.get(key) ?? ""]));
    this.page = Math.max(0, (Number.parseInt(at.get("p") ?? "1", 10) || 1) - 1);
    this.selection = new Selection(() => this.#drawSelection());
    this.close = () => this.#leavePhoto();
    this.turn = 0;
  }

  async start() {
    try {
      this.overview = await this.server.session();
    } catch (error) {
      this.root.replaceChildren(el("div.ps-empty", {}, el("b", {}, "The studio does not answer"), el("p", {}, error.message)));
      setTimeout(() => this.start(), RETRY);
      return;
    }
    this.edits = new Edits(this.server, this.overview);
    this.#layout();
    const image = new URL(location.href).searchParams.get("image");
    await (/^\d{1,15}$/.test(image ?? "") ? this.#openPhoto(Number(image)) : this.load());
    if (!this.overview.counts.images) this.top.querySelector("#pg-add").focus();
  }

  #layout() {
    this.summary = el("p.ps-summary");
    this.top = el("div.pg-top", {}, this.summary, choosers((files) => this.intake.ask(files)),
      button("?", () => keysDialog("Keys of Images", this.view ? PHOTO_KEYS : KEYS), "button.ps-button", { "aria-label": "Show the keys", title: "Keys (?)" }));
    this.intake = new Intake(this);
    this.pathBox = el("div");
    this.filter = filters(this.asked, this.overview, (change) => this.#filtered(change));
    this.body = el("div.pg-body");
    this.pagers = [true, false].map((told) => pager(told, (by) => this.#turn(by)));
    this.selected = el("div.pg-selected-bar", { hidden: true, role: "region", "aria-label": "Selected photos" });
    this.filter.node.append(this.pagers[0].node);
    this.list = el("div.pg-list", {}, this.pathBox, this.filter.node, this.body, this.pagers[1].node);
    this.photoBox = el("div", { hidden: true });
    this.root.replaceChildren(this.top, this.intake.panel, this.list, this.photoBox, this.selected, this.intake.over);
    this.#drawOverview();
    this.#listen();
  }

  #listen() {
    document.addEventListener("keydown", (event) => this.#key(event));
    window.addEventListener("popstate", () => this.#followAddress());
    this.intake.listen();
  }

  // The grid

  /** Load the page of photos that is asked for. */
  async load() {
    this.loading?.abort();
    this.loading = new AbortController();
    try {
      const found = await this.server.get("/api/gallery", { ...this.#query(), limit: PAGE, offset: this.page * PAGE }, this.loading.signal);
      const last = Math.max(0, Math.ceil(found.total / PAGE) - 1);
      if (this.page > last) {
        this.page = last;
        return this.load();
      }
      this.found = found;
      this.#draw();
      this.#address();
      this.#askDoubts();
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      this.toasts.say(error.message, error instanceof Away ? ["Try again", () => this.load()] : null, "bad");
    }
    return undefined;
  }

  #query() {
    return { ...this.asked, sort: this.asked.sort || "oldest" };
  }

  #draw() {
    const { images, total } = this.found;
    const start = this.page * PAGE + 1;
    const words = `${start.toLocaleString("en-US")} to ${(start + images.length - 1).toLocaleString("en-US")} of ${many(total, "photo")}`;
    this.pages = { first: this.page === 0, last: start + images.length > total };
    this.pagers.forEach(({ node, where, before, after }, i) => {
      where.textContent = images.length ? words : "";
      before.disabled = this.pages.first;
      after.disabled = this.pages.last;
      node.hidden = !total || (i > 0 && this.pages.first && this.pages.last);
    });
    if (images.length) {
      this.body.replaceChildren(grid(images, {
        open: (id) => this.go(id), selected: this.selection.ids, keypoints: this.overview.keypoints,
        toggle: (id, event) => this.selection.toggle(id, this.shown, event.shiftKey), href: (id) => `?image=${id}`, predicted: this.overview.models.length > 0,
      }));
      if (this.asked.sort === "doubt" && this.found.run_id === null) this.toasts.say("Nobody is predicted yet, so nobody is doubtful: train a pair of students first.");
    } else {
      const { counts, statuses } = this.overview;
      this.body.replaceChildren(counts.images || statuses.hidden ? nothingFits(() => this.filter.clear(), this.asked.doubtful && noDoubts(this.found)) : nothingYet());
    }
  }

  get shown() {
    return this.found?.images.map((image) => image.image_id) ?? [];
  }

  async #askDoubts() {
    const people = this.found.images.flatMap((image) => image.people.map((person) => person.instance_id));
    if (!people.length || !this.overview.models.length) return;
    try {
      const found = await this.server.get("/api/doubts", { people: people.join(","), run: this.asked.run }, this.loading.signal);
      writeDoubts(this.body, found);
    } catch {
      // shown without
    }
  }

  #filtered(change) {
    Object.assign(this.asked, change);
    this.page = 0;
    this.load();
  }

  #turn(by) {
    this.page = Math.max(0, this.page + by);
    this.load().then(() => window.scrollTo({ top: 0 }));
  }

  /** Read the numbers anew. */
  async renew() {
    try {
      this.overview = await this.server.session();
      this.#drawOverview();
    } catch {
      // the old numbers stay
    }
  }

  #drawOverview() {
    const { counts, statuses } = this.overview;
    const split = (name) => `${name} ${counts.splits[name].people.toLocaleString("en-US")}`;
    const labeled = Object.values(counts.splits).reduce((sum, one) => sum + one.people - one.open, 0);
    this.summary.replaceChildren(el("b", {}, many(counts.images, "photo")), ` · ${many(counts.people, "person", "people")} · ${labeled.toLocaleString("en-US")} with labels`
      + ` · people by split: ${["train", "val", "unlabeled"].map(split).join(", ")}`);
    this.filter.counts(statuses);
    this.filter.node.hidden = !counts.images && !statuses.hidden;
    this.pathBox.replaceChildren(...path(this.overview, { aside: () => this.#aside(), add: () => this.top.querySelector("#pg-add").click() }));
  }

  // Many photos

  #drawSelection() {
    const { ids } = this.selection;
    for (const node of this.body.querySelectorAll("[data-image]")) {
      const on = ids.has(Number(node.dataset.image));
      node.classList.toggle("pg-selected", on);
      node.querySelector("input").checked = on;
    }
    this.selected.hidden = !ids.size;
    this.root.classList.toggle("pg-selecting", ids.size > 0);
    if (!ids.size) return;
    const split = heard(el("select.ps-select", { "aria-label": "Move to a split" }, el("option", { value: "" }, "Move to split …"),
      ...["train", "val", "unlabeled"].map((name) => el("option", { value: name }, name))), {
      change: () => split.value && this.setSplit([...ids], split.value),
    });
    const away = this.asked.status === "hidden";
    this.selected.replaceChildren(el("b", { role: "status" }, `${many(ids.size, "photo")} selected`), split,
      button("Whole-photo boxes", () => this.#whole([...ids])),
      button("Find people", () => this.intake.detect([...ids]), "button.ps-button", { title: this.overview.detector.words || null }),
      button(away ? "Bring back" : "Hide", () => (away ? this.#restore([...ids]) : this.hidePhotos([...ids]))),
      button("Select page", () => this.selection.all(this.shown)), button("Clear", () => this.selection.clear()));
  }

  /** A deed on many photos, and the page drawn anew. */
  async #deed(deed, images, more = {}) {
    try {
      const answer = await this.server.post(`/api/photos/${deed}`, { images, who: this.edits.who, edit_id: crypto.randomUUID(), ...more });
      await this.changed();
      return answer;
    } catch (error) {
      this.toasts.say(error.message, null, "bad");
      return null;
    }
  }

  async setSplit(images, split) {
    const answer = await this.#deed("split", images, { split });
    if (!answer) return null;
    const more = answer.images - images.length;
    this.toasts.say(`${many(answer.images, "photo")} now in ${split}${more > 0 ? `: groups move as a whole, so ${more} more came along` : ""}.`);
    this.selection.clear();
    return answer;
  }

  async #whole(images) {
    const answer = await this.#deed("whole", images);
    if (!answer) return;
    const left = images.length - answer.people.length;
    this.toasts.say(`${many(answer.people.length, "whole-photo box", "whole-photo boxes")} made${left ? `; ${many(left, "photo")} had boxes already` : ""}.`);
    this.selection.clear();
  }

  /** Whole-photo boxes for any number of photos, in parts; how many were made. */
  async whole(images) {
    let made = 0;
    for (let at = 0; at < images.length; at += MOST) made += (await this.#deed("whole", images.slice(at, at + MOST)))?.people.length ?? 0;
    return made;
  }

  /** Put photos away, with the way back. */
  async hidePhotos(images) {
    const answer = await this.#deed("hide", images);
    if (!answer) return;
    this.selection.clear();
    if (this.view && images.includes(this.view.photo.image_id)) this.#leavePhoto();
    if (!answer.images.length) return; // hidden already
    this.toasts.say(`${many(answer.images.length, "photo")} hidden, with everybody in them. Nothing is deleted.`, ["Undo", () => this.#restore(answer.images)]);
  }

  async #restore(images) {
    const answer = await this.#deed("restore", images);
    if (!answer) return;
    this.selection.clear();
    this.toasts.say(`${many(answer.images.length, "photo")} back, with ${many(answer.people, "person", "people")}.`);
  }

  async #aside() {
    const answer = await this.#deed("aside", [0]);
    const learned = answer?.learned ? ` ${answer.learned} of them taught a run, which gets no score by them.` : "";
    if (answer) this.toasts.say(`${many(answer.people, "person", "people")} set aside as val: they judge the students and teach none.${learned}`);
  }

  /** Files came in: the newest photos are shown first where not all fit. */
  came({ images }) {
    if (this.overview.counts.images > PAGE && images) return this.filter.set({ sort: "newest" });
    return this.load();
  }

  // One photo

  /** Open a photo, with an entry in the browser's history. */
  go(image) {
    const at = new URL(location.href);
    const first = !at.searchParams.has("image");
    at.searchParams.set("image", image);
    history[first ? "pushState" : "replaceState"](null, "", at);
    this.scrolled = first ? window.scrollY : this.scrolled;
    return this.#openPhoto(image);
  }

  async #openPhoto(image) {
    const turn = ++this.turn;
    const { sent, state: { waiting } } = this.edits;
    try {
      const photo = await this.server.get(`/api/gallery/${image}`, this.#query());
      if (turn !== this.turn) return; // somebody went on meanwhile
      if (!this.view) {
        this.view = new PhotoView(this);
        this.photoBox.replaceChildren(this.view.node);
      }
      this.list.hidden = this.top.hidden = true;
      this.photoBox.hidden = false;
      this.selected.hidden = true;
      this.view.show(photo);
      if (waiting || sent !== this.edits.sent) this.view.renew(this.#query()); // it may not know of these edits
      for (const near of [photo.after, photo.before]) if (near !== null) new Image().src = `media/${near}`;
    } catch (error) {
      if (turn !== this.turn) return;
      this.toasts.say(error.message, error instanceof Away ? ["Try again", () => this.#openPhoto(image)] : null, "bad");
      if (!this.view && !this.found) this.#leavePhoto();
    }
  }

  #leavePhoto() {
    const at = new URL(location.href);
    at.searchParams.delete("image");
    history.replaceState(null, "", at);
    this.#showList();
  }

  async #showList() {
    this.turn += 1;
    const image = this.view?.photo.image_id;
    this.view?.leave();
    this.view = null;
    this.photoBox.hidden = true;
    this.photoBox.replaceChildren();
    this.list.hidden = this.top.hidden = false;
    const late = this.edits.state.waiting > 0;
    await this.load();
    if (late) this.edits.settled().then(() => !this.view && this.changed());
    this.#drawSelection();
    window.scrollTo({ top: this.scrolled ?? 0 });
    this.body.querySelector(`[data-image="${image}"] .pg-link`)?.focus({ preventScroll: this.scrolled !== undefined });
  }

  #followAddress() {
    const image = new URL(location.href).searchParams.get("image");
    if (/^\d{1,15}$/.test(image ?? "")) this.#openPhoto(Number(image));
    else if (this.view) this.#showList();
    else {
      this.turn += 1; // one on its way is not wanted any more
      if (!this.found) this.load();
    }
  }

  /** Photos were changed: numbers and pictures are read anew, quietly. */
  async changed() {
    await this.renew();
    await (this.view ? this.view.renew(this.#query()) : this.load());
  }

  /** A box was changed, as its view shows already: only the numbers are read anew, once for several changes. */
  counted() {
    clearTimeout(this.counting);
    this.counting = setTimeout(() => this.renew(), COUNT_AFTER);
  }

  #address() {
    const at = new URL(location.href);
    for (const key of FILTERS) {
      const value = this.asked[key];
      if (value && !(key === "sort" && value === "oldest")) at.searchParams.set(key, value);
      else at.searchParams.delete(key);
    }
    if (this.page > 0) at.searchParams.set("p", this.page + 1);
    else at.searchParams.delete("p");
    history.replaceState(null, "", at);
  }

  #key(event) {
    const undo = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "z";
    const all = (event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a";
    if (!(undo || all ? !document.querySelector("dialog[open]") && !event.target.closest?.("input:not([type=checkbox]), select, textarea") : isFree(event))) return;
    if (event.key === "?") keysDialog(this.view ? "Keys of a photo" : "Keys of Images", this.view ? PHOTO_KEYS : KEYS);
    else if (this.view ? !this.view.key(event) : !this.#gridKey(event, all)) return;
    event.preventDefault();
  }

  #gridKey(event, all) {
    const at = document.activeElement?.closest?.("[data-image]");
    const id = at ? Number(at.dataset.image) : null;
    const wide = columns(this.body);
    const across = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -wide, ArrowDown: wide }[event.key];
    if (all) this.selection.all(this.shown);
    else if (across !== undefined && (at || event.key === "ArrowRight")) this.#step(id, across);
    else if (event.key === " " && id !== null) this.selection.toggle(id, this.shown, event.shiftKey);
    else if (event.key === "PageDown" && !this.pages?.last) this.#turn(1);
    else if (event.key === "PageUp" && !this.pages?.first) this.#turn(-1);
    else if (event.key === "Escape" && this.selection.ids.size) this.selection.clear();
    else if (event.key.toLowerCase() === "h" && this.selection.ids.size) { if (!event.repeat) this.hidePhotos([...this.selection.ids]); }
    else if (event.key === "/") this.filter.node.querySelector("input[type=search]").focus();
    else return false;
    return true;
  }

  #step(id, by) {
    const place = id === null ? -1 : this.shown.indexOf(id);
    const to = this.shown[place + by] ?? (id === null ? this.shown[0] : id);
    this.body.querySelector(`[data-image="${to}"] .pg-link`)?.focus();
  }
}

