/* What a person at the screen can do to keypoints: every key, click and drag ends here. An edit is committed when it
   ends; nothing waits for a timer. Deeds on whole people are in whole.js. */

import { drawHead } from "./about.js";
import { ALWAYS, COMMANDS, ONCE } from "./commands.js";
import { cut, few, listed, percent, spoken, stateWords } from "./dom.js";
import { dragged } from "./geometry.js";
import { FREE, KEYS } from "./modes.js";
import { WHOLE } from "./whole.js";

const HELD = new Set(["nudge", "zoomIn", "zoomOut"]); // what they change is one edit until the key is let go
const TWO_DIGITS = 900; // milliseconds within which two digits are one number
const REASON_LENGTH = 200;

export class Deeds {
  mode = null; // null, or one of KEYS
  told = ""; // what to do in it
  other = null; // somebody else in the photo who is chosen by keys
  #gesture = null;
  #resting = [];
  #digit = { value: 0, at: -Infinity };
  #warned = "";

  constructor(page) {
    this.page = page;
    this.selected = 0;
    this.held = null;
    this.drawnBox = null;
  }

  get person() {
    return this.page.person;
  }

  /** Whether a click would place the keypoint in hand, because there is nothing yet to start from. */
  get placing() {
    return Boolean(this.person) && !this.person.shown(this.selected);
  }

  /** Do a command of the table of keys; false when there is nothing to do it to. */
  run(command, event = {}) {
    const own = event.key !== undefined ? KEYS[this.mode] : undefined; // a button means what it says in every mode
    const deed = own ? own[command] ?? (FREE.has(command) ? COMMANDS.get(command) : () => this.say(this.told)) : COMMANDS.get(command);
    if (!deed || (!this.person && !ALWAYS.has(command))) return false;
    if (event.repeat && ONCE.has(command)) return true; // a key held down decides once
    if (!HELD.has(command)) this.end();
    const done = deed(this, event);
    this.redraw();
    return done !== false;
  }

  redraw() {
    this.page.redraw();
  }

  say(words) {
    this.page.say(words);
  }

  // Edits

  /** Commit changes of keypoints: shown at once, kept in the outbox, and in the history for undo. */
  #commit(deed, changes, more, before = changes.map((change) => this.person.change(change.keypoint))) {
    const { page, person } = this;
    if (!changes.length) return false;
    const bases = person.bases(changes.map((change) => change.keypoint));
    person.apply(changes, { who: page.who, at: new Date().toISOString(), origin: deed === "accept" ? "accept" : "edit" });
    const work = { queued_for: this.#queuedFor(), seconds: page.spend() };
    const { edit } = page.send({ deed, instance_id: person.id, ...more, ...work }, { bases, effect: changes });
    page.history.push({
      edit_id: edit.edit_id, instance: person.id, deed, before, after: changes, more,
      back: { deed: "undo", undoes: edit.edit_id },
    });
    if (person.settle(changes.map((change) => change.keypoint))) drawHead(page, person);
    this.#warned = "";
    return true;
  }

  /** Commit a label edit; each keypoint says whose prediction was shown in its place, if one was. */
  label(changes, before = changes.map((change) => this.person.change(change.keypoint))) {
    const { person } = this;
    const run = ({ keypoint, state }) => (state === "open" && person.prediction(keypoint) ? person.doc.run_id : null);
    const labels = changes.map((change, i) => ({ ...change, run_id: run(before[i]) }));
    return this.#commit("label", changes, { labels }, before);
  }

  /** Commit that predictions are right. */
  accept(keypoints) {
    const { person } = this;
    const changes = person.accepted(keypoints);
    const more = { keypoints: changes.map((change) => change.keypoint), run: person.doc.run_id ?? null, over_limit: true };
    if (Number.isInteger(person.doc.prediction_id)) more.prediction_id = person.doc.prediction_id;
    return this.#commit("accept", changes, more);
  }

  #queuedFor() {
    const reason = this.page.queue.item(this.person.id)?.reason;
    return reason ? cut(reason, REASON_LENGTH) : null;
  }

  /** Take the last edit back, or do it again, wherever it was. One after another, however fast the keys come. */
  step(back) {
    this.#stepping = this.#stepping ? this.#stepping.then(() => this.#step(back)) : this.#step(back);
    const mine = this.#stepping;
    mine?.finally(() => { if (this.#stepping === mine) this.#stepping = null; });
  }

  #stepping = null;

  /** At once when the person is here; a promise when it has to come first. */
  #step(back) {
    const { page } = this;
    this.end();
    const last = () => (back ? page.history.done : page.history.undone).at(-1);
    const entry = last();
    if (!entry && back && this.person) return WHOLE.undoOnServer(this);
    if (!entry) return void this.say(back ? "There is nothing to undo" : "There is nothing to redo");
    if (entry.deed === "merge" && page.outbox.waiting(entry.instance).some(({ edit }) => edit.edit_id === entry.edit_id)) {
      return void this.say("Wait until the merge is saved"); // its answer says what takes it back
    }
    if (this.person?.id === entry.instance) return void this.#take(entry, back);
    return page.open(entry.instance).then((there) => there && last() === entry && this.#take(entry, back)); // unless an edit came first
  }

  #take(entry, back) {
    const { page, person } = this;
    const id = crypto.randomUUID();
    if (back) page.history.undo();
    else page.history.redo(id, { deed: "undo", undoes: id });
    const changes = back ? entry.before : entry.after;
    const keypoints = changes.map((change) => change.keypoint);
    const bases = this.#bases(entry, keypoints, back);
    person.apply(changes, { who: page.who, at: new Date().toISOString(), origin: back ? "undo" : "edit" });
    const edit = back ? entry.back : { edit_id: id, deed: entry.deed, ...entry.more };
    page.send({ instance_id: entry.instance, ...edit }, { bases, effect: changes });
    if (edit.box) WHOLE.moved(this, edit.box);
    if (keypoints.length && !keypoints.includes(this.selected)) [this.selected] = keypoints;
    else if (Number.isInteger(entry.more.keypoint)) this.selected = entry.more.keypoint;
    WHOLE.stepped(this, entry, back);
    page.selected();
    const words = entry.words ?? listed(keypoints.map((k) => spoken(person.names[k])));
    this.say(`${back ? "Undone" : "Done again"}: ${words}`);
    this.redraw();
  }

  /** What is known of the keypoints that taking an edit back, or doing it again, changes. */
  #bases({ deed, moved, more }, keypoints, back) {
    if (deed === "merge" && back) return this.page.people.here(more.into)?.person.bases(moved ?? []) ?? {};
    return this.person.bases(["undo", "merge"].includes(deed) ? this.#all : keypoints);
  }

  // Gestures: one edit from the press to the release, whatever happens in between.

  #begin(kind, keypoints) {
    if (this.#gesture?.kind === kind) return this.#gesture;
    this.end();
    const { person } = this;
    this.#gesture = {
      kind, person, before: keypoints.map((k) => person.change(k)), box: [...person.box],
      start: keypoints.map((k) => person.shown(k)), factor: 1, by: [0, 0],
    };
    return this.#gesture;
  }

  get #all() {
    return this.person.points.map((_, k) => k);
  }

  /** Take what is going on; whoever waits for its end goes on after it. */
  #close() {
    const gesture = this.#gesture;
    this.#gesture = null;
    this.held = null;
    for (const go of this.#resting.splice(0)) go();
    return gesture;
  }

  /** Resolves when nothing is going on. */
  async rest() {
    while (this.#gesture) await new Promise((go) => { this.#resting.push(go); });
  }

  /** End what is going on, and commit it if anything changed. */
  end() {
    const gesture = this.#close();
    if (!gesture || gesture.person !== this.person) return;
    const { person } = this;
    if (gesture.kind === "box") {
      const box = person.box;
      person.box = gesture.box;
      WHOLE.commitBox(this, box);
      return;
    }
    const changed = gesture.before.filter((was) => !same(was, person.change(was.keypoint)));
    if (!changed.length) return;
    const after = changed.map((was) => person.change(was.keypoint));
    this.label(after, changed);
    const [first] = after;
    const one = `${spoken(person.names[first.keypoint])} moved, ${stateWords(person, first.keypoint)}`;
    this.say(after.length === 1 ? one : "The whole person moved");
    this.redraw();
  }

  /** Leave what is going on as if it had not begun. */
  cancel() {
    const gesture = this.#close();
    this.drawnBox = null;
    if (gesture && gesture.person === this.person) {
      this.person.apply(gesture.before);
      this.person.box = gesture.box;
    }
    this.redraw();
  }

  /** A key moves a keypoint until it is let go. */
  nudge(k, dx, dy) {
    this.#begin(`nudge ${k}`, [k]);
    this.person.apply(this.person.nudge(k, dx, dy));
  }

  nudgePerson(dx, dy) {
    const gesture = this.#begin("person", this.#all);
    gesture.by = [gesture.by[0] + dx, gesture.by[1] + dy];
    this.dragPerson(...gesture.by);
  }

  /** Keys change the person's box until they are let go, or the one that is drawn. */
  changeBox(change) {
    const { person } = this;
    if (this.mode === "box") {
      this.#begin("box", []);
      person.box = change(person.box, person.size);
    } else if (this.drawnBox) {
      this.drawnBox = change(this.drawnBox, person.size);
    } else {
      this.say(this.told);
    }
  }

  /** A digit picks a keypoint by its number; a second one soon after makes a number of both. */
  pick(digit, at) {
    const count = this.person.points.length;
    const both = at - this.#digit.at < TWO_DIGITS ? 10 * this.#digit.value + digit : digit;
    const number = both >= 1 && both <= count ? both : digit;
    this.#digit = { value: number, at };
    if (number >= 1 && number <= count) this.select(number - 1);
  }

  // Pointer

  select(k, toStage = false) {
    if (k !== this.selected) {
      this.selected = k;
      this.page.selected();
      this.say(this.page.about(k));
    }
    if (toStage) this.page.stage.focus({ preventScroll: true });
    this.redraw();
  }

  dragPoint(k, dx, dy) {
    const { start: [from] } = this.#begin(`point ${k}`, [k]);
    this.held = k;
    this.person.apply(this.person.place(k, from.x + dx, from.y + dy, from.v));
    this.redraw();
  }

  dragPerson(dx, dy) {
    const gesture = this.#begin("person", this.#all);
    this.person.apply(gesture.before);
    this.person.apply(this.person.moved(dx, dy));
    this.redraw();
  }

  scalePerson(factor, x, y) {
    const gesture = this.#begin("scale", this.#all);
    gesture.factor *= factor;
    gesture.at ??= [x, y];
    this.person.apply(gesture.before);
    this.person.apply(this.person.scaled(gesture.factor, ...gesture.at));
    this.redraw();
  }

  dragBox(handle, dx, dy) {
    const gesture = this.#begin("box", []);
    this.person.box = dragged(gesture.box, handle, dx, dy, this.person.size);
    this.redraw();
  }

  drawBox(from, to) {
    WHOLE.drawBox(this, from, to);
  }

  drawn(from, to) {
    WHOLE.drawn(this, from, to);
  }

  pickOther(id) {
    WHOLE.pickOther(this, id);
  }

  /** A click on the photo: place the keypoint in hand if nobody has placed it. */
  click(x, y, hidden) {
    const { person, selected } = this;
    if (!person || this.mode !== null || this.page.hidden) return;
    if (person.points[selected].state === "placed") {
      this.say(`${spoken(person.names[selected])} is placed: drag it to move it`);
      return;
    }
    this.label(person.place(selected, x, y, hidden ? 1 : 2));
    const more = this.onwards() ? "" : ". Nothing is open: Ctrl+Enter goes on";
    this.say(`${spoken(person.names[selected])} placed, ${hidden ? "hidden" : "visible"}${more}`);
    this.redraw();
  }

  /** Take the next uncertain keypoint in hand after one is decided. */
  onwards(list = this.person.uncertain()) {
    const left = list.filter((k) => k !== this.selected && (this.person.points[k].state === "open" || this.person.isSuspect(k)));
    if (!left.length) return false;
    const missing = left.filter((k) => !this.person.shown(k));
    const guided = missing.length === left.length; // from scratch: in the order of the list
    this.selected = guided ? missing.find((k) => k > this.selected) ?? missing[0] : left[0];
    this.page.selected();
    return true;
  }

  // Accepting

  acceptOne() {
    const { person, selected: k } = this;
    const order = person.uncertain();
    const name = spoken(person.names[k]);
    const suspect = person.suspicion(k);
    if (suspect) {
      WHOLE.keepSuspect(this, suspect.keypoints);
    } else if (person.points[k].state === "open") {
      if (!person.prediction(k)) return this.say(`${name} has no prediction: click where it is, or V for outside the photo`);
      if (!this.accept([k])) return this.say(`${name} is predicted outside the photo: drag it, or V for outside`);
    }
    const what = suspect ? `Kept: ${few(suspect.keypoints.map((one) => spoken(person.names[one])))}` : `${name} ${stateWords(person, k)}`;
    const more = this.onwards([...order.slice(order.indexOf(k) + 1), ...order]);
    return this.say(more ? `${what}. Next: ${this.page.about(this.selected)}` : `${what}. Nothing is open: Ctrl+Enter goes on`);
  }

  /** Accept all that is sure enough; stop once at what is not, at what lies outside, and at what nobody has placed. */
  acceptAll() {
    const { person, page } = this;
    const { accept, over, weak, outside } = person.acceptable(page.limit);
    if (accept.length) this.accept(accept);
    const missing = person.missing();
    const doubtful = [...over, ...weak];
    const stops = [...doubtful, ...outside, ...missing];
    const warned = `${person.id}: ${stops.join(" ")}`;
    if (stops.length && this.#warned !== warned) {
      this.#warned = warned;
      this.selected = stops[0];
      page.selected();
      const names = (keypoints) => few(keypoints.map((k) => spoken(person.names[k])));
      const parts = [];
      if (over.length) parts.push(`${names(over)} over the error limit of ${percent(page.limit)}`);
      if (weak.length) parts.push(`${names(weak)} doubtful, not calibrated yet`);
      if (outside.length) parts.push(`${names(outside)} predicted outside the photo: drag it in, or V`);
      if (missing.length) parts.push(`${names(missing)} not placed`);
      const which = doubtful.length < stops.length ? names(doubtful) : "them";
      const again = doubtful.length ? `accepts ${which} and goes on` : "goes on without";
      return page.stop(`Look first: ${parts.join("; ")}. Ctrl+Enter again ${again}.`);
    }
    if (doubtful.length) this.accept(doubtful);
    return WHOLE.finish(this);
  }
}

/** Two changes that leave a keypoint the same. */
function same(a, b) {
  return ["state", "x", "y", "v", "reason"].every((name) => a[name] === b[name]);
}
