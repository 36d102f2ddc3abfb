/* Inspect: one person, and what both students believe about every keypoint. The address says what is shown. */

import { el, percent, spoken } from "../editor/dom.js";
import { Away } from "../editor/api.js";
import { Toasts, button, glyph, heard, isFree, keysDialog } from "../shared/page.js";
import { Look, ask } from "./data.js";
import { loggedSteps } from "./logged.js";
import { Palettes, SCALES } from "./paint.js";
import { photo } from "./photo.js";
import { strip } from "./strip.js";
import { LAYERS, TOGETHER, matrix, overview } from "./tables.js";

const KEPT = 8; // looks that are kept, about a megabyte each
const SLOW = 150; // milliseconds after which a wait is shown

const KEYS = [
  ["← →", "keypoint before, after"], ["↑ ↓", "person before, after"], ["Esc", "all keypoints"],
  ["1 … 6", "what the overview shows"], ["Shift+arrows", "move the cross hair by a cell"],
  ["C", "correct this person"], ["?", "these keys"],
];

/** Make the page in an element; setup: {project, palettes, uncertainty_top, explain}. */
export function mount(root, setup) {
  const page = new Inspect(root, setup);
  page.open();
  return page;
}

class Inspect {
  constructor(root, setup) {
    this.root = root;
    this.setup = setup;
    SCALES.uncertainty.top = setup.uncertainty_top;
    this.palettes = new Palettes(setup.palettes);
    this.toasts = new Toasts();
    this.hidden = new Set();
    this.kept = new Map(); // "instance run" -> Look, the last used at the end
    this.tiles = [];
    this.cell = null;
    const at = new URL(location.href).searchParams;
    this.state = {
      instance: whole(at.get("instance")), run: at.get("run"), keypoint: at.get("keypoint"),
      layer: LAYERS.includes(at.get("show")) ? at.get("show") : LAYERS[0],
    };
    this.#layout();
    document.addEventListener("keydown", (event) => this.#key(event));
  }

  #layout() {
    this.number = heard(el("input.pi-number", { type: "number", min: 1, step: 1, id: "pi-person" }), {
      change: () => { const to = whole(this.number.value); if (to !== null) this.go(to); },
    });
    this.before = button("Previous", () => this.step(-1), "button.ps-button", { title: "Previous person (↑)" });
    this.after = button("Next", () => this.step(1), "button.ps-button", { title: "Next person (↓)" });
    this.runs = heard(el("select.ps-select", { id: "pi-run" }), { change: () => this.load({ run: this.runs.value }) });
    this.correct = el("a.ps-button.ps-primary", { href: "correct" }, "Correct this person");
    const keys = button("?", () => keysDialog("Keys of Inspect", KEYS), "button.ps-button", { "aria-label": "Show the keys", title: "Keys (?)" });
    const opacity = heard(el("input", { type: "range", min: 0, max: 1, step: 0.05, value: this.palettes.opacity,
      "aria-label": "Opacity of the maps over the photo" }), { input: () => this.#fade(Number(opacity.value)) });
    this.readout = el("output.pi-readout", { "aria-live": "off" });
    this.bar = el("div.pi-bar-row", {},
      el("div.pi-group", {}, this.before, el("label", { for: "pi-person" }, "Person"), this.number, this.after),
      el("div.pi-group.pi-grow", {}, el("label", { for: "pi-run" }, "Run"), this.runs),
      this.correct, keys);
    const strips = [el("span.pi-scale", { title: "Distance between the students' peaks in the photo; the dashed line is 5 % of the box's height" },
      el("i.pi-apart-key", { "aria-hidden": "true" }), "a and b apart, px"),
    el("span.pi-scale", {}, "error probability", el("b", {}, "0"), el("i.pi-risk-key", { "aria-hidden": "true" }), el("b", {}, "1"))];
    this.scales = el("div.pi-scales", {}, ...strips, this.palettes.bar("belief", "belief"), this.palettes.bar("difference", "a − b"),
      this.palettes.bar("uncertainty", "uncertainty"), el("label.pi-scale", {}, "photo", opacity, "map"), this.readout);
    this.stripBox = el("div.pi-strip-box");
    this.side = el("aside.pi-side", { "aria-label": "The person" });
    this.main = el("div.pi-main");
    this.wait = el("div.pi-wait", { hidden: true }, "Asking the students …");
    this.body = el("div.pi-body", {}, this.side, this.main);
    heard(this.body, { pointermove: (event) => this.#hover(event), pointerleave: () => this.#aim(null) });
    this.root.replaceChildren(this.bar, this.stripBox, this.scales, this.body, this.wait);
  }

  open() {
    this.load({});
  }

  /** Another person, by number. */
  go(instance) {
    return this.load({ instance });
  }

  /** The person before (-1) or after (1). */
  step(by) {
    const to = by < 0 ? this.place?.before : this.place?.after;
    this.heading = by;
    if (to !== null && to !== undefined) this.go(to);
  }

  /** Show another person or run; what is shown stays until the new one is there. */
  async load(change) {
    const wanted = { ...this.state, ...change };
    const key = `${wanted.instance} ${wanted.run}`;
    if (key === this.coming) return undefined; // a key that is held asks once
    this.coming = key;
    this.loading?.abort();
    this.loading = new AbortController();
    const slow = setTimeout(() => { this.wait.hidden = false; }, SLOW);
    try {
      const look = this.#keep(this.#known(wanted) ?? (await ask(wanted, this.setup.project, this.loading.signal)));
      if (look.empty) return this.#nothing(look.empty, look.place);
      if (look.asked_run) this.toasts.say(`There is no run ${look.asked_run} with students; this is ${look.run}.`);
      this.state = { ...this.state, instance: look.place.instance, run: look.run }; // a keypoint or map chosen meanwhile stays
      this.look = look;
      this.#show();
      this.#prefetch();
    } catch (error) {
      if (error.name === "AbortError") return undefined;
      if (this.look) [this.number.value, this.runs.value] = [this.look.place.instance, this.look.run];
      else this.#nothing(["This cannot be shown", error.message]);
      this.toasts.say(error.message, error instanceof Away ? ["Try again", () => this.load(change)] : null, "bad");
    } finally {
      clearTimeout(slow);
      if (this.coming === key) {
        this.coming = null;
        this.wait.hidden = true;
      }
    }
    return undefined;
  }

  #known({ instance, run }) {
    return this.kept.get(`${instance} ${run}`);
  }

  #keep(look) {
    if (!(look instanceof Look)) return look;
    const key = `${look.place.instance} ${look.run}`;
    this.kept.delete(key);
    this.kept.set(key, look);
    while (this.kept.size > KEPT) {
      const [oldest, gone] = this.kept.entries().next().value;
      this.kept.delete(oldest);
      gone.close();
    }
    return look;
  }

  /** Ask for the next person in the direction that was gone last, while this one is looked at. */
  async #prefetch() {
    const next = this.heading < 0 ? this.look.place.before : this.look.place.after;
    const wanted = { instance: next, run: this.state.run };
    if (!this.heading || next === null || this.#known(wanted)) return;
    try {
      const found = await ask(wanted, this.setup.project, this.loading.signal);
      if (found instanceof Look) this.kept.set(`${found.place.instance} ${found.run}`, found);
    } catch {
      // asked again when it is wanted
    }
  }

  #nothing([what, next], place = this.place) {
    this.look = null;
    this.#at(place);
    this.stripBox.replaceChildren();
    this.side.replaceChildren();
    this.scales.hidden = true;
    const links = [["Images", "."], ["Train", "train"]].map(([name, href]) => el("a.ps-button", { href }, `Go to ${name}`));
    this.main.replaceChildren(el("div.ps-empty", {}, el("b", {}, what), el("p", {}, next), el("p", {}, ...links)));
    this.body.classList.add("pi-empty");
  }

  /** Index of the chosen keypoint, or null for all of them. */
  get chosen() {
    const found = this.look.keypoints.findIndex((keypoint) => keypoint.name === this.state.keypoint);
    return found < 0 ? null : found;
  }

  choose(k) {
    this.state.keypoint = k === null ? null : this.look.keypoints[k].name;
    this.#show();
  }

  showLayer(layer) {
    this.state.layer = layer;
    this.#show();
  }

  #show() {
    const { look, chosen } = this;
    this.scales.hidden = false;
    this.body.classList.remove("pi-empty");
    this.#address();
    this.#at(look.place);
    this.runs.replaceChildren(...look.runs.map(([id, words]) => el("option", { value: id, selected: id === look.run }, words)));
    this.correct.href = `correct?instance=${look.place.instance}&run=${encodeURIComponent(look.run)}`;
    const focus = this.stripBox.contains(document.activeElement);
    this.stripBox.replaceChildren(strip(look, chosen, (k) => this.choose(k)));
    if (focus) this.stripBox.querySelector('[tabindex="0"]').focus();
    this.#showSide(chosen);
    this.#showMain(chosen);
    this.#aim(null);
  }

  /** Say which person this is, and where the buttons before and after lead. */
  #at(place) {
    this.place = place;
    this.number.value = place?.instance ?? "";
    this.before.disabled = (place?.before ?? null) === null;
    this.after.disabled = (place?.after ?? null) === null;
    if (place) this.correct.href = `correct?instance=${place.instance}`;
  }

  #showSide(chosen) {
    const { look } = this;
    const crop = photo(look, chosen, this.hidden, (k) => this.choose(k));
    const facts = look.facts.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    const about = chosen === null ? [] : this.#about(chosen);
    this.side.classList.toggle("pi-one", chosen !== null);
    this.side.replaceChildren(...about, crop.node, crop.legend, el("dl.ps-facts", {}, ...facts));
    this.root.style.setProperty("--ground", `url(${look.photoUrl})`);
    this.root.style.setProperty("--ratio", `${look.crop[1]}/${look.crop[0]}`);
  }

  /** The keypoint's name, the chance that it is wrong, and why it is taught or not. */
  #about(k) {
    const { look } = this;
    const keypoint = look.keypoints[k];
    const error = look.errors[k];
    const meter = el("div.pi-error");
    if (error === null) {
      meter.append(el("span", {}, look.blind ? this.setup.blind : this.setup.no_errors));
    } else {
      const bar = el("i.pi-risk", { "aria-hidden": "true" });
      bar.style.setProperty("--risk", error);
      const how = look.calibrated ? "calibrated on held-out labels" : "not calibrated";
      meter.append(el("span", {}, "Error probability "), el("b", {}, percent(error)), bar, el("span", {}, how));
    }
    return [
      el("h2.pi-title", {}, glyph(keypoint.side), keypoint.spoken), meter,
      el("h3.pi-why-head", {}, "Why is it taught, or not?"),
      el("ul.pi-why", {}, ...keypoint.why.map((words) => el("li", {}, words))),
    ];
  }

  #showMain(chosen) {
    const { look, state } = this;
    const shown = chosen === null && state.layer !== TOGETHER
      ? overview(look, state.layer, (k) => this.choose(k)) : matrix(look, chosen);
    this.tiles = shown.tiles;
    for (const tile of this.tiles) tile.draw(this.palettes);
    const notes = el("details.pi-notes", {}, el("summary", {}, "How these pictures were made"),
      el("ul", {}, ...look.method.map((words) => el("li", {}, words))));
    if (chosen !== null) {
      this.main.replaceChildren(shown.node, el("div.pi-below", {}, this.#places(chosen), this.#logged(chosen)), notes);
      return;
    }
    const tabs = el("div.pi-tabs", { role: "group", "aria-label": "What is shown of every keypoint" },
      ...LAYERS.map((layer) => button(layer, () => this.showLayer(layer), "button.ps-button", { "aria-pressed": String(layer === state.layer) })));
    this.main.replaceChildren(tabs, el("p.ps-note", {}, this.setup.explain[state.layer]), shown.node, notes);
  }

  /** Where else the keypoint could be: peaks of both maps, and what imported models say. */
  #places(k) {
    const { look } = this;
    const at = (point) => look.toImage(point).map((value) => value.toFixed(1)).join(", ");
    const row = (who, value, point) => el("tr", {}, el("th", { scope: "row" }, who), el("td", {}, value), el("td", {}, at(point)));
    const rows = [
      ...look.keypoints[k].candidates.map((one) => row(`student ${one.student}`, one.score.toFixed(2), one.xy)),
      ...look.others.map((other) => row(other.name, other.scores[k].toFixed(2), other.points[k])),
    ];
    if (look.keypoints[k].label) rows.unshift(row("label of a person", `v ${look.keypoints[k].label.v}`, look.keypoints[k].label.xy));
    return el("section.pi-places", {}, el("h3", {}, "Candidate places"), el("table", {},
      el("thead", {}, el("tr", {}, ...["whose", "height", "x, y in the photo"].map((words) => el("th", { scope: "col" }, words)))),
      el("tbody", {}, ...rows)));
  }

  #logged(k) {
    const box = el("section.pi-logged");
    loggedSteps(this.look, k, spoken(this.look.keypoints[k].name)).then((node) => node && box.append(node));
    return box;
  }

  #fade(opacity) {
    this.palettes.setOpacity(opacity);
    for (const tile of this.tiles) tile.draw(this.palettes);
  }

  #hover(event) {
    const at = event.target instanceof Element ? event.target.closest(".pi-tile:not(.pi-none)") : null;
    if (!at) return this.#aim(null);
    const { left, top, width, height } = at.getBoundingClientRect();
    const [x, y] = [(event.clientX - left) / width, (event.clientY - top) / height];
    return this.#aim([x, y]);
  }

  /** The cross hair in all tiles at a share of their width and height, or none. */
  #aim(at) {
    this.aimed = at;
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.#read(this.aimed);
    });
  }

  #read(at) {
    this.root.classList.toggle("pi-aiming", at !== null);
    if (at === null || !this.look) {
      for (const tile of this.tiles) tile.read(null);
      this.readout.textContent = "";
      this.cell = null;
      return;
    }
    const [h, w] = this.look.size;
    this.cell = [Math.min(w - 1, Math.floor(at[0] * w)), Math.min(h - 1, Math.floor(at[1] * h))];
    this.root.style.setProperty("--x", `${(100 * at[0]).toFixed(2)}%`);
    this.root.style.setProperty("--y", `${(100 * at[1]).toFixed(2)}%`);
    for (const tile of this.tiles) tile.read(this.cell);
    const crop = [at[0] * this.look.crop[1] - 0.5, at[1] * this.look.crop[0] - 0.5];
    const image = this.look.toImage(crop).map((value) => value.toFixed(1));
    this.readout.textContent = `photo ${image.join(", ")} px · crop ${crop.map((value) => value.toFixed(1)).join(", ")}`;
  }

  /** Move the cross hair by cells; it starts at the peak of student a. */
  #nudge(dx, dy) {
    const { look, chosen } = this;
    const [h, w] = look.size;
    const start = look.points[0][chosen ?? 0].map((value, axis) => Math.floor(((value + 0.5) * [w, h][axis]) / look.crop[1 - axis]));
    const from = this.cell ?? start;
    const to = [Math.max(0, Math.min(w - 1, from[0] + dx)), Math.max(0, Math.min(h - 1, from[1] + dy))];
    this.aimed = [(to[0] + 0.5) / w, (to[1] + 0.5) / h]; // a frame that waits reads the same
    this.#read(this.aimed);
  }

  #key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const [dx, dy] = arrows[event.key] ?? [0, 0];
    if (!isFree(event) || !(this.look || (this.place && dy && !event.shiftKey))) return;
    if (event.shiftKey && (dx || dy)) this.#nudge(dx, dy);
    else if (dx) this.#turn(dx);
    else if (dy) this.step(dy);
    else if (event.key === "Escape") this.choose(null);
    else if (LAYERS[Number(event.key) - 1]) this.showLayer(LAYERS[Number(event.key) - 1]);
    else if (event.key === "c" || event.key === "C") this.correct.click();
    else if (event.key === "?") keysDialog("Keys of Inspect", KEYS);
    else return;
    event.preventDefault();
  }

  /** The keypoint before or after; before the first and after the last are all of them. */
  #turn(by) {
    const many = this.look.keypoints.length;
    const at = (this.chosen ?? -1) + 1;
    const to = (at + by + many + 1) % (many + 1);
    this.choose(to === 0 ? null : to - 1);
  }

  #address() {
    const at = new URL(location.href);
    const put = (name, value) => (value === null ? at.searchParams.delete(name) : at.searchParams.set(name, value));
    put("instance", this.state.instance);
    put("run", this.state.run);
    put("keypoint", this.state.keypoint);
    put("show", this.state.layer === LAYERS[0] ? null : this.state.layer);
    history.replaceState(null, "", at);
  }
}

const whole = (text) => (/^\d{1,15}$/.test(text ?? "") ? Number(text) : null);
