/* The commands that keys and buttons name, on keypoints and on the view. Those on whole people are in whole.js. */

import { help } from "./dialogs.js";
import { few, spoken, stateWords } from "./dom.js";
import { finite } from "./geometry.js";
import { fit, nextHeat, toggleOverlay, zoom } from "./looking.js";
import { arrowStep } from "./keys.js";
import { limbFrom } from "./model.js";
import { MODES, ended } from "./modes.js";
import { PEOPLE, WHOLE } from "./whole.js";

const SAME_PLACE = 0.75; // image pixels within which a keypoint counts as being at a candidate
const CLOSE = 0.015; // of the box's height: candidates that are closer are one

/** Commands that need no person. */
export const ALWAYS = new Set(["help", "undo", "redo", "back", "nextPerson", "lastPerson", "leave"]);

/** Commands that a held key does not repeat. */
export const ONCE = new Set(["accept", "acceptAll", "cycle", "cannotTell", "swap", "swapAll", "skip", "flag", "hide", "copyPrevious", "reopen"]);

const name = (deeds, k = deeds.selected) => spoken(deeds.person.names[k]);

/** Change keypoints and say what became of the one in hand. */
function change(deeds, changes, none = "Nothing to change") {
  if (!changes.length) return deeds.say(none);
  deeds.label(changes);
  return deeds.say(`${name(deeds)}: ${stateWords(deeds.person, deeds.selected)}`);
}

/** The keypoint `by` places on in the list, over those that are asked about. */
function beside(deeds, by) {
  const { person } = deeds;
  const count = person.points.length;
  for (let i = 1; i <= count; i += 1) {
    const k = (deeds.selected + by * i + count * i) % count;
    if (person.asked[k] || person.points[k].state !== "open") return deeds.select(k);
  }
  return undefined;
}

function uncertain(deeds, by) {
  const order = deeds.person.uncertain();
  if (!order.length) {
    deeds.say("Nothing is open here: Ctrl+Enter goes on");
    return beside(deeds, by);
  }
  const at = order.indexOf(deeds.selected);
  const next = at < 0 ? (by > 0 ? 0 : order.length - 1) : (at + by + order.length) % order.length;
  return deeds.select(order[next]);
}

/** Where else the keypoint in hand may be: the suspect's other place, peaks of both students, its mirrored partner. */
export function candidates(page, k) {
  const { person } = page;
  if (!person || person.doc.blind) return [];
  const found = person.suspects.filter((one) => one.keypoint === k).map(({ x, y }) => ({ x, y, tag: "?" }));
  const peaks = [...(person.doc.keypoints[k].candidates ?? []), ...(page.peaks?.[k] ?? [])];
  for (const { x, y, student } of peaks) found.push({ x, y, tag: student ?? "" });
  const partner = page.skeleton.flip[k];
  const mirrored = partner === k ? null : person.shown(partner);
  if (mirrored) found.push({ x: mirrored.x, y: mirrored.y, tag: "mirrored" });
  const near = Math.max(2, person.box[3] * CLOSE);
  return found.filter((one, i) => finite(one.x) && finite(one.y)
    && found.findIndex((other) => Math.hypot(other.x - one.x, other.y - one.y) < near) === i);
}

/** Commands on keypoints and the view, by name. */
const KEYPOINT = {
  accept: (deeds) => deeds.acceptOne(),
  acceptAll: (deeds) => deeds.acceptAll(),
  cycle: (deeds) => change(deeds, deeds.person.cycle(deeds.selected)),
  cannotTell: (deeds) => change(deeds, deeds.person.cannotTell(deeds.selected)),
  reopen: (deeds) => change(deeds, deeds.person.reopen(deeds.selected), `${name(deeds)} is open already`),
  nudge(deeds, event) {
    const { person, selected: k } = deeds;
    if (!person.shown(k)) return deeds.say(`${name(deeds)} is not placed: click where it is`);
    deeds.nudge(k, ...arrowStep(event));
    return true;
  },
  candidate(deeds) {
    const found = candidates(deeds.page, deeds.selected);
    if (!found.length) return deeds.say(`No candidates for ${name(deeds)}`);
    const now = deeds.person.shown(deeds.selected);
    const at = now ? found.findIndex((one) => Math.hypot(one.x - now.x, one.y - now.y) < SAME_PLACE) : -1;
    const next = found[(at + 1) % found.length];
    deeds.label(deeds.person.place(deeds.selected, next.x, next.y, now?.v ?? 2));
    return deeds.say(`${name(deeds)}: candidate ${(at + 1) % found.length + 1} of ${found.length} (${next.tag})`);
  },
  swap(deeds) {
    const { person, page } = deeds;
    const suspect = person.suspicion(deeds.selected);
    const what = suspect?.swap ? suspect.keypoints : limbFrom(deeds.selected, page.skeleton);
    const changes = person.swapped(what, page.skeleton.flip);
    if (!changes.length) return deeds.say(`${name(deeds)} has no other side: Shift+X swaps the whole person`);
    deeds.label(changes);
    WHOLE.settled(deeds, what);
    return deeds.say(`Swapped left and right: ${few(what.map((k) => spoken(person.names[k])))}`);
  },
  swapAll(deeds) {
    const { person, page } = deeds;
    const all = person.points.map((_, k) => k);
    const changes = person.swapped(all, page.skeleton.flip);
    if (!changes.length) return deeds.say("Nothing to swap");
    deeds.label(changes);
    WHOLE.settled(deeds, all);
    return deeds.say("Swapped left and right of the whole person");
  },
  copyPrevious(deeds) {
    const { person } = deeds;
    const before = person.doc.previous;
    if (!before) return deeds.say("There is no labeled person in the frame before");
    const changes = person.copied(before.points);
    if (!changes.length) return deeds.say("Nothing to copy: no keypoint is open, or the frame before has none of them");
    deeds.label(changes);
    return deeds.say(`Copied ${changes.length} from person ${before.instance_id} of the frame before: now move what differs`);
  },
  nextUncertain: (deeds) => uncertain(deeds, 1),
  lastUncertain: (deeds) => uncertain(deeds, -1),
  nextKeypoint: (deeds) => beside(deeds, 1),
  lastKeypoint: (deeds) => beside(deeds, -1),
  pick: (deeds, event) => deeds.pick(Number(event.key), event.timeStamp ?? 0),
  undo: (deeds) => void deeds.step(true),
  redo: (deeds) => void deeds.step(false),
  heat: (deeds) => nextHeat(deeds.page),
  overlay: (deeds) => toggleOverlay(deeds.page),
  fit: (deeds) => fit(deeds.page),
  zoomIn: (deeds) => zoom(deeds.page, 1.25),
  zoomOut: (deeds) => zoom(deeds.page, 0.8),
  help: (deeds) => void help(deeds.page.root).then(() => deeds.page.stage.focus({ preventScroll: true })),
  /** Escape: end a mode, then a gesture, then leave the photo, so that Tab moves on through the page. */
  leave(deeds) {
    const { page, mode } = deeds;
    deeds.cancel();
    if (mode !== null) {
      ended(deeds);
      return deeds.say("Ended");
    }
    if (document.activeElement === page.stage) {
      page.part.view.querySelector("button").focus();
      return deeds.say("Left the photo. Tab moves through the page; Shift+Tab comes back");
    }
    return deeds.say("");
  },
};

/** Every command that a key or a button may name: (deeds, event) -> false when there was nothing to do. */
export const COMMANDS = new Map(Object.entries({ ...KEYPOINT, ...MODES, ...PEOPLE }));
