/* A person's keypoints, and what a person at the screen may do to them. Pure state: no DOM, no network.

   A change is {keypoint, state, x, y, v, reason}: what a keypoint becomes. Every command gives a list of changes;
   `Person.apply` makes them and gives back the changes that undo them. */

import { finite, inside, isInside, round } from "./geometry.js";

export const OUTSIDE = "outside";
export const CANNOT_TELL = "cannot tell";
export const RESOLVED = "resolved"; // the comment that settles those before it
const WEAK = 0.5; // score below which a prediction without a known probability of an error is looked at
const FAR = 0.05; // of the box's height, as in the queue: students farther apart than this disagree
const STATES = ["open", "placed", "absent"];

const open = (keypoint) => ({ keypoint, state: "open", x: null, y: null, v: 0, reason: null });
const absent = (keypoint, reason) => ({ ...open(keypoint), state: "absent", reason });
const placed = (keypoint, x, y, v) => ({
  keypoint, state: "placed", x: round(x), y: round(y), v: v === 1 ? 1 : 2, reason: null,
});

const spot = (given) => (given && finite(given.x) && finite(given.y) ? given : null);

/** One person as the server's document says, with the changes of edits that still wait on top. */
export class Person {
  constructor(doc, waiting = []) {
    this.id = doc.instance_id;
    this.load(doc, waiting);
  }

  /** Take a newer document over; `waiting` are lists of changes that it does not know yet. */
  load(doc, waiting = []) {
    this.doc = doc;
    this.size = [doc.image.width, doc.image.height];
    this.box = doc.box.xywh.map(Number);
    this.points = doc.keypoints.map((given, k) => this.#point(given, k));
    this.last = this.points.map((point, k) => spot(point) ?? this.prediction(k));
    this.suspects = (doc.suspects ?? []).filter((one) => this.points[one.keypoint]);
    this.asked = doc.keypoints.map((given) => given.asked !== false && !doc.iscrowd);
    for (const changes of waiting) this.apply(changes);
  }

  #point(given, k) {
    const state = STATES.includes(given.state) ? given.state : "open";
    const kept = { who: given.who ?? null, at: given.at ?? null, origin: given.origin ?? null };
    const change = state === "placed" && spot(given)
      ? { ...placed(k, given.x, given.y, given.v), x: given.x, y: given.y }
      : state === "absent" ? absent(k, given.absent_reason ?? OUTSIDE) : open(k);
    return { ...change, ...kept, revision: given.revision ?? 0 };
  }

  get names() {
    return this.doc.keypoints.map((given) => given.name);
  }

  /** What was said of the person and stands. */
  get marks() {
    return this.doc.marks ?? [];
  }

  /** The keypoint of the newest flag that stands, or null. */
  get flagged() {
    return this.marks.findLast((one) => one.kind === "flag" && Number.isInteger(one.keypoint))?.keypoint ?? null;
  }

  /** Something is said of the person: what stands then, until the server tells. */
  said({ kind, keypoint = null, text = null }, stamp) {
    const comments = ({ kind: one }) => one === "comment";
    if (kind === "unflag") this.doc.marks = this.marks.filter(comments);
    else if (kind === "comment" && text.toLowerCase() === RESOLVED) this.doc.marks = this.marks.filter((one) => !comments(one));
    else this.doc.marks = [...this.marks, { kind, keypoint, text, ...stamp }];
  }

  /** Labels end what was said before; comments, flags of the person and of other keypoints stay. Whether any ended. */
  settle(keypoints) {
    const { marks } = this;
    this.doc.marks = marks.filter(({ kind, keypoint }) => kind === "comment" || (kind === "flag" && !keypoints.includes(keypoint)));
    return marks.length > this.doc.marks.length;
  }

  /** What the students say about an open keypoint: {x, y, score, error, ...}; null for people who are kept blind. */
  prediction(k) {
    const given = this.doc.blind || this.doc.keypoints[k].taught === false ? null : this.doc.keypoints[k].prediction;
    return spot(given);
  }

  /** What is drawn for a keypoint: {x, y, v, by: "label" | "prediction"}, or null. */
  shown(k) {
    const point = this.points[k];
    if (point.state === "placed") return { x: point.x, y: point.y, v: point.v, by: "label" };
    const guess = point.state === "open" ? this.prediction(k) : null;
    return guess ? { x: guess.x, y: guess.y, v: 2, by: "prediction" } : null;
  }

  /** A keypoint as the change that would make it what it is. */
  change(k) {
    const { keypoint, state, x, y, v, reason } = this.points[k];
    return { keypoint, state, x, y, v, reason };
  }

  /** Make changes; returns those that take them back. `stamp` may say who and when. */
  apply(changes, stamp = {}) {
    const before = changes.map((change) => this.change(change.keypoint));
    for (const change of changes) {
      Object.assign(this.points[change.keypoint], change, stamp);
      if (spot(change)) this.last[change.keypoint] = { x: change.x, y: change.y };
    }
    return before;
  }

  /** How doubtful an open keypoint is: the probability of an error where it is known, else 1 - score. */
  doubt(k) {
    const guess = this.prediction(k);
    if (!guess) return 0;
    return finite(guess.error) ? guess.error : finite(guess.score) ? 1 - guess.score : 0;
  }

  isSuspect(k) {
    return this.suspects.some((one) => one.keypoint === k || one.partner === k);
  }

  /** The suspicion that a keypoint is part of: its keypoints, and whether left and right look swapped; or null. */
  suspicion(k) {
    const own = this.suspects.find((one) => one.keypoint === k || one.partner === k);
    if (!own) return null;
    if (own.kind !== "swap") return { swap: false, keypoints: [own.keypoint], reason: own.reason };
    const both = this.suspects.filter((one) => one.kind === "swap").flatMap((one) => [one.keypoint, one.partner ?? one.keypoint]);
    return { swap: true, keypoints: [...new Set(both)], reason: "left and right look swapped" };
  }

  /** Keypoints that a person is asked about and nobody has decided. */
  open() {
    return this.points.flatMap((point, k) => (point.state === "open" && this.asked[k] ? [k] : []));
  }

  /** Open ones without anything to start from. */
  missing() {
    return this.open().filter((k) => !this.prediction(k));
  }

  /** Where Tab goes: suspect labels first, then open keypoints, the most doubtful first, missing ones in order. */
  uncertain() {
    const suspects = this.points.flatMap((_, k) => (this.isSuspect(k) ? [k] : []));
    const doubtful = this.open().filter((k) => this.prediction(k)).sort((a, b) => this.doubt(b) - this.doubt(a));
    return [...new Set([...suspects, ...doubtful, ...this.missing()])];
  }

  /** Whether a keypoint's probability of an error is over the project's limit. */
  over(k, limit) {
    const guess = this.points[k].state === "open" ? this.prediction(k) : null;
    return Boolean(guess) && finite(guess.error) && guess.error > limit;
  }

  /** Whether an open keypoint whose probability of an error nobody knows is doubtful by a plain rule. */
  weak(k) {
    const guess = this.points[k].state === "open" ? this.prediction(k) : null;
    if (!guess || finite(guess.error)) return false;
    const [a, b] = ["a", "b"].map((name) => spot(this.doc.keypoints[k].students?.[name]));
    const apart = a && b ? Math.hypot(a.x - b.x, a.y - b.y) : 0;
    return guess.score < WEAK || apart > FAR * this.box[3];
  }

  /** Whether a keypoint is predicted where no label may be. */
  outside(k) {
    const guess = this.prediction(k);
    return Boolean(guess) && !isInside([guess.x, guess.y], this.size);
  }

  /** What accept-all takes over, and what it leaves: outside the photo, over the limit, or weak and not calibrated. */
  acceptable(limit) {
    const groups = { accept: [], outside: [], over: [], weak: [] };
    for (const k of this.open().filter((one) => this.prediction(one))) {
      groups[this.outside(k) ? "outside" : this.over(k, limit) ? "over" : this.weak(k) ? "weak" : "accept"].push(k);
    }
    return groups;
  }

  // Commands: each gives a list of changes.

  accepted(keypoints) {
    return keypoints.flatMap((k) => {
      const guess = this.prediction(k);
      return guess && !this.outside(k) ? [{ ...placed(k, 0, 0, 2), x: guess.x, y: guess.y }] : [];
    });
  }

  place(k, x, y, v = this.points[k].v || 2) {
    return [placed(k, ...inside([x, y], this.size), v)];
  }

  nudge(k, dx, dy) {
    const now = this.shown(k);
    return now ? this.place(k, now.x + dx, now.y + dy, now.v) : [];
  }

  /** Visible, hidden, outside, visible, ...; a keypoint that lies nowhere can only be declared outside or open. */
  cycle(k) {
    const now = this.shown(k);
    if (now?.by === "prediction" && this.outside(k)) return [absent(k, OUTSIDE)];
    if (now?.v === 2) return this.place(k, now.x, now.y, 1);
    if (this.points[k].state !== "absent") return [absent(k, OUTSIDE)];
    const { x, y } = this.last[k] ?? {};
    return finite(x) ? this.place(k, x, y, 2) : [open(k)];
  }

  /** Cannot tell where it is; again takes that back. */
  cannotTell(k) {
    const again = this.points[k].state === "absent" && this.points[k].reason === CANNOT_TELL;
    return [again ? open(k) : absent(k, CANNOT_TELL)];
  }

  reopen(k) {
    return this.points[k].state === "open" ? [] : [open(k)];
  }

  /** Move every keypoint that is shown. */
  moved(dx, dy) {
    return this.#each((now) => [now.x + dx, now.y + dy]);
  }

  /** Scale every keypoint that is shown about a point. */
  scaled(factor, cx, cy) {
    return this.#each((now) => [cx + (now.x - cx) * factor, cy + (now.y - cy) * factor]);
  }

  #each(where) {
    return this.points.flatMap((_, k) => {
      const now = this.shown(k);
      return now ? this.place(k, ...where(now), now.v) : [];
    });
  }

  /** Exchange keypoints with their mirrored partners, whatever each is now. */
  swapped(keypoints, flip) {
    const both = [...new Set(keypoints.flatMap((k) => (flip[k] === k ? [] : [k, flip[k]])))];
    return both.flatMap((k) => {
      const [other, now] = [this.shown(flip[k]), this.change(flip[k])];
      if (!other && now.state === "open" && this.points[k].state === "open" && !this.shown(k)) return [];
      return [other ? placed(k, ...inside([other.x, other.y], this.size), other.v) : { ...now, keypoint: k }];
    });
  }

  /** Take points [[x, y, v], ...] of another frame for the keypoints that nobody has decided. */
  copied(points) {
    return this.open().flatMap((k) => {
      const [x, y, v] = points[k] ?? [];
      return v > 0 && finite(x) && finite(y) ? this.place(k, x, y, v) : [];
    });
  }

  /** The newest revisions seen of keypoints, by index: what their next edit follows. */
  bases(keypoints) {
    return Object.fromEntries(keypoints.map((k) => [k, this.points[k].revision]));
  }
}

/** A keypoint and what hangs on it alone on the same side: the left elbow has the left wrist, a hip knee and ankle. */
export function limbFrom(k, { limbs, flip, sides }) {
  if (flip[k] === k) return [k];
  const links = flip.map(() => []);
  for (const [a, b] of limbs) {
    links[a].push(b);
    links[b].push(a);
  }
  const found = [k];
  for (const start of links[k]) {
    const part = new Set([start]);
    for (const at of part) for (const next of links[at]) if (next !== k) part.add(next);
    if ([...part].every((one) => sides[one] === sides[k])) found.push(...part);
  }
  return [...new Set(found)];
}

/** Undo and redo without end, across people. An entry: {edit_id, instance, deed, more, before, after, back}: the
   edit with its fields `more`, the changes either way, and the edit that takes it back. */
export class History {
  constructor(saved = {}) {
    this.done = Array.isArray(saved.done) ? saved.done : [];
    this.undone = Array.isArray(saved.undone) ? saved.undone : [];
  }

  push(entry) {
    this.done.push(entry);
    this.undone = [];
  }

  /** The entry to take back next, moved to the redo side; null when there is none. */
  undo() {
    const entry = this.done.pop() ?? null;
    if (entry) this.undone.push(entry);
    return entry;
  }

  /** The entry to do again; its new edit has a new id, and an undo of it takes back that one. */
  redo(edit_id, back) {
    const entry = this.undone.pop() ?? null;
    if (entry) this.done.push({ ...entry, edit_id, back: entry.back.undoes ? { ...entry.back, ...back } : entry.back });
    return entry;
  }

  /** Forget an edit that the server refused. */
  forget(edit_id) {
    const other = (entry) => entry.edit_id !== edit_id;
    this.done = this.done.filter(other);
    this.undone = this.undone.filter(other);
  }
}
