/* Deeds on whole people: boxes, adding, hiding, merging, handing over, marks, and the way through the queue. */

import { drawHead } from "./about.js";
import { cut, listed, spoken } from "./dom.js";
import { boxBetween } from "./geometry.js";
import { comment, confirm, reason } from "./dialogs.js";
import { RESOLVED } from "./model.js";
import { ended } from "./modes.js";
import { predict } from "./predicting.js";

const LEAST_BOX = 8; // CSS pixels; a smaller drawing was a click
const REASON_LENGTH = 200;

/** Send an edit of the whole person, with the one that takes it back. */
function send(deeds, edit, back, words, { before = [], after = [], seen = after } = {}) {
  const { page, person } = deeds;
  const { deed, ...more } = edit;
  const bases = person.bases(seen.map((change) => change.keypoint));
  person.apply(after);
  const { edit: { edit_id } } = page.send({ instance_id: person.id, ...edit }, { bases, effect: after });
  const undo = back.deed === "undo" ? { ...back, undoes: edit_id } : back;
  page.history.push({ edit_id, instance: person.id, deed, more, before, after, words, back: undo });
}

/** Say something of the person. */
function mark(deeds, kind, words, more = {}) {
  const { page, person } = deeds;
  send(deeds, { deed: "mark", kind, ...more }, { deed: "undo" }, words);
  person.said({ kind, ...more }, { who: page.who, at: new Date().toISOString() });
}

/** Marks by which a person is passed by. */
const PASSING = ["skip", "cannot_tell"];

/** Pass a person by, and go on. */
function pass(deeds, words) {
  const { page } = deeds;
  page.queue.finish(deeds.person.id, 0, true);
  deeds.say(words);
  return onwards(deeds);
}

/** The next person that is left, or the news that nobody is. */
function onwards(deeds) {
  const { page, person } = deeds;
  page.drawQueue();
  const [next] = page.queue.upcoming(person.id);
  const other = page.queue.items.length ? null : person.doc.neighbors?.after;
  if (next ?? other) return void page.open(next ?? other, { from: person.id });
  return page.finished();
}

/** The person `by` places on in the queue, or beside this one in the project. */
function step({ page }, by) {
  const { person, queue } = page;
  const beside = by > 0 ? person?.doc.neighbors?.after : person?.doc.neighbors?.before;
  const id = queue.step(person?.id ?? null, by) ?? (queue.item(person?.id) ? null : beside) ?? null;
  if (id === null) return page.say(by > 0 ? "This is the last person" : "This is the first person");
  return void page.open(id, { from: person?.id ?? null });
}

const focus = (deeds) => deeds.page.stage.focus({ preventScroll: true });

export const WHOLE = {
  /** All is decided, or the rest is left open on purpose. */
  finish(deeds) {
    const { page, person } = deeds;
    const left = person.open().length || person.suspects.length || person.marks.some((one) => !["seen", "comment"].includes(one.kind));
    if (left) mark(deeds, "seen", `person ${person.id} is done`); // decided by looking, not by a label
    page.queue.finish(person.id, page.secondsOf(person.id));
    return onwards(deeds);
  },

  /** Suspect labels are right after all. */
  keepSuspect(deeds, keypoints) {
    mark(deeds, "seen", "the labels are kept", keypoints.length === 1 ? { keypoint: keypoints[0] } : {});
    WHOLE.settled(deeds, keypoints);
  },

  /** These keypoints are suspect no longer. */
  settled(deeds, keypoints) {
    const { person } = deeds;
    person.suspects = person.suspects.filter((one) => !keypoints.includes(one.keypoint) && !keypoints.includes(one.partner));
  },

  /** A deed of this person was taken back, or done again: it is to do again, or passed by again. */
  stepped({ page, person }, { more }, back) {
    if (back) page.queue.again(person.id);
    else if (PASSING.includes(more.kind)) page.queue.finish(person.id, 0, true);
    page.drawQueue();
  },

  /** The box has moved: save it, and let the students look again. */
  commitBox(deeds, box) {
    const was = deeds.person.box;
    if (box.every((value, i) => value === was[i])) return;
    send(deeds, { deed: "box", box }, { deed: "box", box: [...was] }, "the box");
    WHOLE.moved(deeds, box);
    deeds.say("Box saved");
  },

  moved(deeds, box) {
    deeds.person.box = [...box];
    if (!deeds.person.doc.blind) predict(deeds.page, deeds.person.id);
  },

  drawBox(deeds, from, to) {
    deeds.drawnBox = boxBetween([from[0] + 0.5, from[1] + 0.5], [to[0] + 0.5, to[1] + 0.5], deeds.person.size);
    deeds.redraw();
  },

  drawn(deeds, from, to) {
    WHOLE.drawBox(deeds, from, to);
    const [, , w, h] = deeds.drawnBox;
    if (Math.min(w, h) * deeds.page.view.camera.scale >= LEAST_BOX) return WHOLE.take(deeds);
    deeds.drawnBox = null;
    return deeds.redraw();
  },

  /** The drawn box is a person, or a region to ignore. */
  take(deeds) {
    const { page, person, drawnBox: box, mode } = deeds;
    ended(deeds);
    const region = mode === "region";
    const { edit } = page.send({ deed: "add", image_id: person.doc.image_id, box, iscrowd: region });
    if (!region) page.drawn.add(edit.edit_id);
    deeds.say(region ? "Region to ignore: kept" : "New person: it opens as soon as the server has it");
    deeds.redraw();
  },

  /** A click on somebody else: go there, or what the mode says. */
  pickOther(deeds, id) {
    const { page, person, mode } = deeds;
    const other = person.doc.others.find((one) => one.instance_id === id);
    if (!other) return;
    if (mode === null || mode === "other") {
      if (other.iscrowd) deeds.say(`Region ${id} is ignored`);
      page.open(id, { from: person.id });
      return;
    }
    const { handing } = deeds;
    ended(deeds);
    if (mode === "merge") WHOLE.merge(deeds, id);
    else if (mode === "hand") WHOLE.hand(deeds, id, handing);
    deeds.redraw();
  },

  async merge(deeds, into, ask = confirm) {
    const { page, person } = deeds;
    const words = `Person ${person.id} is hidden; keypoints that person ${into} lacks go over to it.`;
    const sure = await ask(page.root, `Merge into person ${into}?`, words, "Merge");
    if (!sure || person !== deeds.person) return focus(deeds);
    send(deeds, { deed: "merge", into }, { deed: "undo" }, "the merge", { seen: person.points });
    page.queue.finish(person.id, 0, true);
    page.open(into, { from: person.id });
    return focus(deeds);
  },

  hand(deeds, to, keypoints) {
    const { person } = deeds;
    const before = keypoints.map((k) => person.change(k));
    const after = keypoints.map((k) => ({ keypoint: k, state: "open", x: null, y: null, v: 0, reason: null }));
    send(deeds, { deed: "hand", to, keypoints }, { deed: "undo" }, "the handing over", { before, after });
    deeds.say(`Handed ${listed(keypoints.map((k) => spoken(person.names[k])))} to person ${to}`);
  },

  /** Nothing of this sitting is left to undo: the server knows older edits. */
  async undoOnServer(deeds) {
    const { page, person } = deeds;
    if (page.outbox.waiting(person.id).length) return deeds.say("Wait until everything is saved");
    const { edit } = page.send({ deed: "undo", instance_id: person.id }, { bases: person.bases(person.points.map((_, k) => k)) });
    page.quietly.add(edit.edit_id);
    return deeds.say("Undoing an edit of an earlier sitting");
  },
};

/** The commands of the table of keys and of the menu. */
export const PEOPLE = {
  async hide(deeds) {
    const { page, person } = deeds;
    const hidden = !person.doc.hidden;
    send(deeds, { deed: hidden ? "hide" : "restore" }, { deed: hidden ? "restore" : "hide" }, hidden ? "hiding" : "bringing back");
    person.doc.hidden = hidden;
    drawHead(page, person);
    deeds.say(hidden ? `Person ${person.id} is hidden: Shift+Delete or Ctrl+Z brings it back` : `Person ${person.id} is back`);
  },
  predictAgain: (deeds) => void predict(deeds.page, deeds.person.id),

  nextPerson: (deeds) => step(deeds, 1),
  lastPerson: (deeds) => step(deeds, -1),
  back: (deeds) => deeds.page.goBack(),
  skip(deeds) {
    mark(deeds, "skip", `skipping person ${deeds.person.id}`);
    return pass(deeds, `Skipped person ${deeds.person.id}`);
  },
  async cannotTellPerson(deeds) {
    const { person, page } = deeds;
    const why = await reason(page.root);
    focus(deeds);
    if (!why || person !== deeds.person) return undefined;
    mark(deeds, "cannot_tell", `person ${person.id} cannot be told`, { text: cut(why, REASON_LENGTH) });
    return pass(deeds, `Person ${person.id}: cannot tell, ${why}`);
  },
  flag(deeds) {
    const { page, person } = deeds;
    const on = !person.marks.some((one) => one.kind === "flag");
    mark(deeds, on ? "flag" : "unflag", on ? "the flag" : "taking the flag away");
    drawHead(page, person);
    return deeds.say(on ? "Flagged" : "No flag any more");
  },
  async comment(deeds) {
    const { person, page } = deeds;
    const text = await comment(page.root, person.id, person.marks.filter((one) => one.kind === "comment"));
    focus(deeds);
    if (!text || person !== deeds.person) return undefined;
    const resolved = text.toLowerCase() === RESOLVED;
    mark(deeds, "comment", resolved ? "resolving the comments" : "the comment", { text });
    drawHead(page, person);
    return deeds.say(resolved ? "The comments are resolved" : "Comment kept");
  },
};
