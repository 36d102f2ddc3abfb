/* The contact sheet: one keypoint of many people. Wrong ones are marked and flagged, the others become labels. */

import { Away, Server } from "../editor/api.js";
import { clock, el, set, spoken } from "../editor/dom.js";
import { Outbox } from "../editor/outbox.js";
import { Toasts, button, glyph, heard, isFree, keysDialog, many, once } from "../shared/page.js";
import { Grid } from "./grid.js";

const PAGE = 24;
const WHO = "posestudio/who";
const LAST = "posestudio/sheet/keypoint";
const ORDERS = [["doubt", "Doubtful first"], ["sure", "Sure first"]];
const SPLITS = [["", "All but val"], ["train", "train"], ["unlabeled", "unlabeled"]];
const KEYS = [
  ["← → ↑ ↓", "Go from picture to picture"],
  ["Space", "Mark the picture as wrong, or take the mark away (also a click)"],
  ["Enter", "Accept the others as labels, flag the wrong ones, next sheet"],
  ["Ctrl+Z", "Undo the last sheet"],
  ["I", "Invert the marks"],
  ["N", "Skip this sheet: nothing is decided"],
  ["[ ]", "Keypoint before, next keypoint"],
  ["O", "Open the person in Correct"],
  ["?", "These keys"],
];

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

/** A sheet whose edits are on their way: edits {edit_id: item}, results {edit_id: result}; `whole` waits for them all. */
function decided(sheet) {
  const made = { ...sheet, edits: new Map(), results: new Map() };
  made.whole = new Promise((resolve) => { made.finish = resolve; });
  return made;
}

class Sheet {
  #past = []; // sheets that were decided, the last at the end: with keypoint, order, split, wrong, size
  #next = null;
  #turn = 0;

  constructor(root) {
    this.root = root;
    this.server = new Server();
    this.toasts = new Toasts();
    this.grid = new Grid(() => this.drawDeeds());
    this.done = 0;
    this.skipped = 0;
    this.busy = true;
    this.left = 0; // people who are not decided, skipped ones among them
  }

  async start() {
    this.session = await this.#patiently(() => this.server.begun());
    const name = this.session.project_id;
    this.outbox = new Outbox({
      project: name, post: (edits) => this.server.post("/api/edits", { edits }), storage: localStorage,
      locks: navigator.locks ?? null, channel: new BroadcastChannel(`posestudio/${name}`),
    });
    for (const kind of ["saved", "refused"]) this.outbox.addEventListener(kind, ({ detail }) => this.#settled(detail));
    this.outbox.addEventListener("change", () => this.drawSaved());
    this.outbox.hurry();
    this.#layout();
    document.addEventListener("keydown", (event) => this.#key(event));
    await this.load();
  }

  async #patiently(ask) {
    for (;;) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof Away)) throw error;
        this.root.textContent = "The studio does not answer. Trying again…";
        await sleep(2000);
      }
    }
  }

  #layout() {
    const asked = new URL(location.href).searchParams;
    const { skeleton: { keypoints }, taught } = this.session;
    const known = taught.some(Boolean) ? keypoints.filter((_, k) => taught[k]) : keypoints;
    const wanted = [asked.get("keypoint"), localStorage.getItem(LAST)].find((one) => known.includes(one));
    const chooser = (label, rows, value) => heard(el("select.ps-select", { "aria-label": label },
      ...rows.map(([key, words]) => el("option", { value: key, selected: key === value }, words))), { change: () => this.restart() });
    this.keypoint = chooser("Keypoint", known.map((one) => [one, spoken(one)]), wanted ?? known[0]);
    this.order = chooser("Order", ORDERS, asked.get("order"));
    this.split = chooser("Split", SPLITS, asked.get("split"));
    this.question = el("span.sh-question");
    this.progress = el("span.sh-progress", { role: "status" });
    this.bar = el("progress.sh-bar", { max: 1, value: 0, "aria-label": "Looked at" });
    this.saved = el("span.sh-saved", { role: "status" });
    this.flagged = el("a.sh-flagged", { href: "correct?order=marked", hidden: true });
    this.acceptor = button("", once(() => this.accept()), "button.ps-button.ps-primary.sh-accept");
    this.undoer = button(["Undo last sheet ", el("kbd", {}, "Ctrl+Z")], () => this.undo());
    this.skipper = button(["Skip ", el("kbd", {}, "N")], once(() => this.skip()), "button.ps-button", { title: "Go on without deciding anything" });
    const help = button("?", () => keysDialog("Keys of the sheet", KEYS), "button.ps-button", { "aria-label": "Keys" });
    this.body = el("div.sh-body", {}, this.grid.node);
    this.root.replaceChildren(
      el("div.sh-bar-row", {}, this.keypoint, this.order, this.split, this.progress, this.bar, el("span.sh-grow"), this.flagged, this.saved, help),
      el("div.sh-bar-row", {}, this.question, el("span.sh-grow"), this.undoer, this.skipper, this.acceptor),
      this.body);
    this.root.removeAttribute("aria-busy");
  }

  /** Another keypoint, order or split: from its beginning. */
  restart() {
    this.done = this.skipped = 0;
    this.#next = null;
    localStorage.setItem(LAST, this.keypoint.value);
    const at = new URL(location.href);
    for (const name of ["keypoint", "order", "split"]) {
      if (this[name].value && this[name].value !== "doubt") at.searchParams.set(name, this[name].value);
      else at.searchParams.delete(name);
    }
    history.replaceState(null, "", at);
    return this.load();
  }

  #ask(offset) {
    const asked = { keypoint: this.keypoint.value, order: this.order.value, split: this.split.value, offset, limit: PAGE };
    return this.server.get("/api/sheet", asked);
  }

  /** When every sheet that was decided is answered: until then the server still counts its people as open. */
  async #quiet() {
    await Promise.all(this.#past.map((sheet) => sheet.whole));
  }

  /** Show the sheet that comes now: one that was asked for ahead, or a fresh one. `wrong` is marked from the start. */
  async load(wrong = new Set()) {
    const turn = (this.#turn += 1), ahead = this.#next;
    this.#next = null;
    this.#busy(true);
    try {
      if (!ahead) await this.#quiet();
      const found = ahead ?? (turn === this.#turn ? await this.#ask(this.skipped) : null);
      if (turn !== this.#turn) return;
      if (!ahead) this.left = found.total;
      this.found = found;
      this.#show(found, wrong);
    } catch (error) {
      if (turn === this.#turn) this.#tell(error instanceof Away ? "The studio does not answer. Reload the page when it is open again." : error.message);
    }
    if (turn === this.#turn) this.#busy(false);
  }

  /** While the next sheet is on its way, the one that is still shown is decided and takes no key. */
  #busy(busy) {
    this.busy = busy;
    set(this.body, { "aria-busy": busy ? "true" : null, inert: busy });
    this.drawDeeds();
    if (!busy && document.activeElement === document.body) this.grid.focus(0);
  }

  #show(found, wrong) {
    const k = this.session.skeleton.keypoints.indexOf(found.keypoint), side = this.session.skeleton.sides[k];
    this.question.replaceChildren(glyph(side), el("span", {}, `Mark each ring that is not on the ${spoken(found.keypoint)}`
      + `${side === "center" ? "" : " (the person's own " + side + ")"}. `, el("span.sh-quiet", {}, found.calibrated
        ? "Errors are calibrated probabilities." : "No calibrated error yet: the peak of the heatmap is told.")));
    if (found.items.length) {
      this.body.replaceChildren(this.grid.node);
      this.grid.show(found.items, found.keypoint, side, wrong);
      this.#lookAhead();
    } else this.#empty(found);
    this.drawDeeds();
    this.drawSaved();
  }

  #empty(found) {
    this.grid.show([], found.keypoint, "center");
    const name = spoken(found.keypoint);
    const words = found.run_id === null ? ["Nobody has predicted anything yet", "Train a pair of students first, then come back."]
      : this.skipped ? [`The end of the sheets of the ${name}`, `${many(this.skipped, "person", "people")} were skipped.`]
        : [`No open ${name} is left here`, "Everybody's is decided, flagged or has no fresh prediction."];
    this.body.replaceChildren(el("div.ps-empty", {}, el("b", {}, words[0]), el("p", {}, words[1]),
      found.run_id === null ? el("p", {}, el("a", { href: "train" }, "Train")) : el("p", {}, button("Next keypoint", () => this.turn(1)), " ",
        this.skipped ? button("Back to the skipped ones", () => this.restart()) : null)));
  }

  /** Ask for the sheet after this one, and for its pictures. */
  async #lookAhead() {
    const turn = this.#turn;
    await this.#quiet();
    if (turn !== this.#turn) return;
    const found = await this.#ask(this.skipped + this.grid.items.length).catch(() => null); // asked again when needed
    if (turn !== this.#turn || !found) return;
    this.#next = found;
    for (const item of found.items) new Image().src = item.crop;
  }

  #tell(words) {
    this.body.replaceChildren(el("div.ps-empty", {}, el("b", {}, "This sheet cannot be shown"), el("p", {}, words)));
    this.grid.show([], this.keypoint.value, "center");
    this.drawDeeds();
  }

  /** The unmarked ones become labels, the marked ones are flagged, and the next sheet comes. */
  accept() {
    const { items, wrong } = this.grid;
    if (!items.length || this.busy || this.undoing) return;
    const { index: keypoint, keypoint: name, run_id: run } = this.found;
    const sheet = decided({ keypoint: name, order: this.order.value, split: this.split.value, wrong: new Set(wrong), size: items.length });
    this.#past.push(sheet);
    for (const item of items) {
      const text = `${spoken(name)} looks wrong on the contact sheet`;
      const edit = wrong.has(item.instance_id) ? { deed: "mark", kind: "flag", keypoint, text }
        : { deed: "accept", keypoints: [keypoint], run, prediction_id: item.prediction_id, queued_for: `sheet: ${spoken(name)}` };
      this.#send(sheet, item, { base_revision: item.revision, ...edit });
    }
    this.done += items.length;
    this.left -= items.length;
    this.load();
  }

  #send(sheet, item, edit) {
    const who = localStorage.getItem(WHO) || this.session.who;
    const entry = this.outbox.add({ instance_id: item.instance_id, who, ...edit });
    sheet.edits.set(entry.edit.edit_id, item);
  }

  /** An edit of a sheet came through or was refused. */
  #settled({ entry, result }) {
    const sheet = [...this.#past, this.undoing].find((one) => one?.edits.has(entry.edit.edit_id));
    if (!sheet) return;
    sheet.results.set(entry.edit.edit_id, result);
    if (!result.ok) this.outbox.drop(entry.edit.edit_id);
    if (sheet.results.size === sheet.edits.size) this.#whole(sheet);
    this.drawDeeds();
  }

  #whole(sheet) {
    const refused = [...sheet.results.values()].filter((one) => !one.ok);
    if (refused.length) {
      const others = refused.filter((one) => one.error.kind === "conflict").length;
      const why = others ? `${many(others, "person was", "people were")} changed by somebody else meanwhile and stay as they are.` : refused[0].error.message;
      this.toasts.say(`${refused.length} of ${sheet.edits.size} were not saved. ${why}`, null, "bad");
    }
    sheet.finish();
  }

  /** Take the last sheet back and show it again, with its marks. */
  async undo() {
    const sheet = this.#past.at(-1);
    if (!sheet || this.undoing) return;
    this.undoing = decided({});
    this.drawDeeds();
    await sheet.whole; // its revisions are needed
    this.#past.pop();
    for (const [edit_id, item] of sheet.edits) {
      const result = sheet.results.get(edit_id);
      if (!result.ok) continue;
      this.#send(this.undoing, item, { deed: "undo", undoes: edit_id, base_revision: result.revision });
    }
    if (this.undoing.edits.size) await this.undoing.whole;
    this.undoing = null;
    const same = ["keypoint", "order", "split"].every((name) => this[name].value === sheet[name]);
    for (const name of ["keypoint", "order", "split"]) this[name].value = sheet[name];
    this.done = same ? Math.max(0, this.done - sheet.size) : 0;
    if (!same) this.skipped = 0;
    this.#next = null;
    await this.load(sheet.wrong);
    this.toasts.say("The last sheet is taken back.");
  }

  /** Go on without deciding. */
  skip() {
    if (!this.grid.items.length || this.busy || this.undoing) return;
    this.skipped += this.grid.items.length;
    this.load();
  }

  /** The keypoint `by` places on. */
  turn(by) {
    const next = this.keypoint.selectedIndex + by;
    if (next < 0 || next >= this.keypoint.options.length) return;
    this.keypoint.selectedIndex = next;
    this.restart();
  }

  drawDeeds() {
    const { items, wrong } = this.grid, right = items.length - wrong.size;
    const words = !items.length ? "Accept" : !right ? `Flag ${wrong.size}` : wrong.size ? `Accept ${right}, flag ${wrong.size}` : `Accept ${right}`;
    this.acceptor.replaceChildren(`${words} `, el("kbd", {}, "Enter"));
    this.acceptor.disabled = this.skipper.disabled = !items.length || this.busy || Boolean(this.undoing);
    const last = this.#past.at(-1);
    this.undoer.disabled = !last || Boolean(this.undoing);
    const seen = this.done + this.skipped, all = Math.max(this.left + this.done, seen);
    this.progress.textContent = all ? `${seen.toLocaleString("en-US")} of ${all.toLocaleString("en-US")}` : "";
    set(this.bar, { max: Math.max(all, 1), value: seen, hidden: !all });
    const flags = this.#past.reduce((sum, one) => sum + one.wrong.size, 0);
    set(this.flagged, { hidden: !flags });
    this.flagged.textContent = `Correct ${many(flags, "flagged person", "flagged people")}`;
  }

  drawSaved() {
    const waiting = this.outbox.waiting().length;
    const state = this.outbox.away && waiting ? "away" : waiting ? "busy" : this.outbox.savedAt ? "good" : "";
    this.saved.className = `sh-saved ${state}`;
    this.saved.textContent = { away: `not saved yet: ${waiting} kept here, trying again`, busy: `saving ${waiting}…`,
      good: `saved ${clock(this.outbox.savedAt)}` }[state] ?? "";
  }

  #key(event) {
    if ((event.ctrlKey || event.metaKey) && !event.shiftKey && event.key.toLowerCase() === "z") return this.#run(event, () => this.undo());
    if (!isFree(event)) return undefined;
    const control = event.target instanceof Element ? event.target.closest("button, a, select") : null;
    const elsewhere = control && !this.grid.node.contains(control);
    const moves = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Enter" && event.repeat && (this.busy || this.undoing || elsewhere)) return event.preventDefault();
    if (this.busy || this.undoing) return undefined;
    if (moves[event.key]) return this.#run(event, () => this.grid.move(...moves[event.key]));
    if (event.key === "Enter") return elsewhere ? undefined : this.#run(event, () => this.accept());
    const keys = {
      Home: () => this.grid.focus(0), End: () => this.grid.focus(PAGE), i: () => this.grid.invert(), n: () => this.skip(),
      "[": () => this.turn(-1), "]": () => this.turn(1), "?": () => keysDialog("Keys of the sheet", KEYS),
      o: () => this.grid.current && location.assign(`correct?instance=${this.grid.current.instance_id}`),
    };
    const does = keys[event.key.length === 1 ? event.key.toLowerCase() : event.key];
    return does ? this.#run(event, does) : undefined;
  }

  #run(event, does) {
    event.preventDefault();
    if (!event.repeat || event.key.startsWith("Arrow")) does();
  }
}

/** Open the page in its host. */
export async function mount(root) {
  const sheet = new Sheet(root);
  window.psSheet = sheet; // for tests
  try {
    await sheet.start();
  } catch (error) {
    root.removeAttribute("aria-busy");
    root.replaceChildren(el("div.ps-empty", {}, el("b", {}, "The sheet cannot be shown"), el("p", {}, error.message)));
  }
}
