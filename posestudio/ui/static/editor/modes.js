/* Modes: while one is on, keys and clicks are about a box, somebody else or the whole person, and about no keypoint. */

import { spoken } from "./dom.js";
import { around, boxBetween, dragged, resized } from "./geometry.js";
import { arrowStep } from "./keys.js";
import { WHOLE } from "./whole.js";

const GROW = 1.05;

/** Commands whose keys do in every mode what they do without one, unless the mode has a deed of its own for them. */
export const FREE = new Set(["leave", "fit", "zoomIn", "zoomOut", "help"]);

/** Begin a mode, or end it when it is on; the words say what to do. */
export function enter(deeds, mode, words) {
  const on = deeds.mode !== mode;
  ended(deeds);
  if (!on) return deeds.say("Ended");
  deeds.mode = mode;
  return tell(deeds, words);
}

/** Say what to do in a mode, over the photo too. */
function tell(deeds, words) {
  deeds.told = words;
  deeds.page.banner(words);
  deeds.say(words);
}

/** No mode is on any more. */
export function ended(deeds) {
  Object.assign(deeds, { mode: null, told: "", drawnBox: null, other: null });
  deeds.page.banner("");
}

const end = (deeds) => {
  ended(deeds);
  deeds.say("Ended");
};

const box = {
  nudge: (deeds, event) => deeds.changeBox((now, size) => dragged(now, "move", ...arrowStep(event), size)),
  zoomIn: (deeds) => deeds.changeBox((now, size) => resized(now, GROW, size)),
  zoomOut: (deeds) => deeds.changeBox((now, size) => resized(now, 1 / GROW, size)),
};

/** The first Enter puts a box as large as the person's in the middle of what is seen, the second takes it. */
function put(deeds) {
  if (deeds.drawnBox) return WHOLE.take(deeds);
  const { view: { camera, room }, person: { box: [, , w, h], size } } = deeds.page;
  const [x, y] = camera.toImage(room[0] / 2, room[1] / 2).map((value) => value + 0.5);
  deeds.drawnBox = boxBetween([x - w / 2, y - h / 2], [x + w / 2, y + h / 2], size);
  return tell(deeds, "Arrows move the box, + and \u2212 scale it. Enter takes it, Escape ends.");
}

const drawing = { ...box, accept: put };

/** The next of the others in the photo, told and drawn; regions to ignore only where one may go there. */
export function nextOther(deeds) {
  const { page, person } = deeds;
  const others = (person.doc.others ?? []).filter((one) => deeds.mode === null || deeds.mode === "other" || !one.iscrowd);
  if (!others.length) return deeds.say("There is nobody else in this photo");
  const at = (others.findIndex((one) => one.instance_id === deeds.other) + 1) % others.length;
  const { instance_id: id, iscrowd, box: [x, y, w, h] } = others[at];
  deeds.other = id;
  if (!page.view.sees(x + w / 2, y + h / 2)) page.view.fit(true);
  const which = others.length === 1 ? "the only other" : `${at + 1} of ${others.length} others`;
  const who = `${iscrowd ? "Region to ignore" : "Person"} ${id}, ${which}`;
  const words = { merge: "Enter merges into it", hand: "Enter hands over" }[deeds.mode] ?? "Enter goes there";
  if (deeds.mode === null) deeds.mode = "other";
  return tell(deeds, `${who}. ${words}, ${others.length === 1 ? "" : "J is the next, "}Escape ends.`);
}

const choosing = {
  nextOther,
  accept: (deeds) => (deeds.other === null ? nextOther(deeds) : WHOLE.pickOther(deeds, deeds.other)),
};

function scale(deeds, factor) {
  const shown = deeds.person.points.flatMap((_, k) => deeds.person.shown(k) ?? []);
  const near = around(shown.map((point) => [point.x, point.y]));
  if (near) deeds.scalePerson(factor, near[0] + near[2] / 2, near[1] + near[3] / 2);
}

/** What keys do in each mode, by the command that they name otherwise. */
export const KEYS = {
  box: { ...box, accept: end, editBox: end },
  add: { ...drawing, addPerson: end },
  region: drawing,
  merge: choosing,
  hand: { ...choosing, handOver: end },
  other: choosing,
  person: {
    nudge: (deeds, event) => deeds.nudgePerson(...arrowStep(event)),
    zoomIn: (deeds) => scale(deeds, GROW),
    zoomOut: (deeds) => scale(deeds, 1 / GROW),
    accept: end,
  },
};

const others = (deeds) => (deeds.person.doc.others ?? []).filter((one) => !one.iscrowd);

/** Keypoints go over to somebody who is chosen next. */
function handing(deeds, keypoints) {
  if (!others(deeds).length) return deeds.say("There is nobody else in this photo");
  if (!keypoints.length) return deeds.say("Only a placed keypoint can be handed over");
  const what = keypoints.length === 1 ? spoken(deeds.person.names[keypoints[0]]) : `${keypoints.length} keypoints`;
  enter(deeds, "hand", `Click the person who gets the ${what}, or choose by J and Enter. Escape ends.`);
  deeds.handing = keypoints;
  return true;
}

/** The commands that begin a mode. */
export const MODES = {
  editBox: (deeds) => enter(deeds, "box", "Drag the box or its handles; arrows move it, + and \u2212 scale it. Enter or Escape ends."),
  addPerson: (deeds) => enter(deeds, "add", "Draw a box around the new person, or press Enter for one. Escape ends."),
  addRegion: (deeds) => enter(deeds, "region", "Draw a box around a crowd that nobody shall label, or press Enter for one. Escape ends."),
  movePerson: (deeds) => enter(deeds, "person", "Drag to move the whole person, pinch to scale it; or arrows, + and \u2212. Enter or Escape ends."),
  nextOther,
  mergeInto(deeds) {
    if (!others(deeds).length) return deeds.say("There is nobody else in this photo");
    return enter(deeds, "merge", "Click the person that this one is a duplicate of, or choose by J and Enter. Escape ends.");
  },
  handOver(deeds) {
    const { person, selected } = deeds;
    return handing(deeds, person.points[selected].state === "placed" ? [selected] : []);
  },
  handAll: (deeds) => handing(deeds, deeds.person.points.flatMap((point, k) => (point.state === "placed" ? [k] : []))),
};
