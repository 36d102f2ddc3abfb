/* The students look at one person: when that is asked for, and by themselves at whom they have not seen as it is now. */

import { opening } from "./about.js";
import { Away } from "./api.js";

const LINGER = 200; // milliseconds for which a person must be shown: who is only passed by costs no prediction

/** Let the students look at a person's present box; resolves to whether there is a new prediction. */
export async function predict(page, id, words = "The students look again") {
  if (page.people.here(id)?.person.doc.blind) return void page.say("Held-out people get no predictions");
  const run = page.person?.doc.run_id ?? null;
  if (page.people.imported.has(run)) return void page.say("An imported model cannot look again: choose a run");
  page.say(words);
  try {
    const newer = await page.people.predict(id, run);
    if (!newer || page.person?.id !== id) return false;
    page.reload();
    page.say("New prediction");
    return true;
  } catch (error) {
    page.say(error instanceof Away ? "The server is away: ask again when it is back" : error.message);
    return false;
  }
}

/** Whether the person in hand has something open and students who could look, but no prediction of the present box. */
function unseen({ person, session }) {
  const { blind, hidden, iscrowd, prediction_id: seen, stale, run_id: run } = person.doc;
  const able = run ? session.runs.some((one) => one.run_id === run) : session.runs.length > 0;
  return able && !blind && !hidden && !iscrowd && (seen === null || stale) && person.open().length > 0;
}

/** The students look at the person in hand if they have not yet; once, whatever comes of it. */
export async function look(page, wait = () => new Promise((go) => { setTimeout(go, LINGER); })) {
  const { person, deeds } = page;
  const once = `${person.id} ${person.doc.box.revision} ${person.doc.run_id}`;
  if (!unseen(page) || page.looked.has(once)) return;
  await wait();
  if (page.person !== person || page.looked.has(once)) return;
  page.looked.add(once);
  const { selected } = deeds;
  if (!(await predict(page, person.id, "The students look at this person"))) return;
  if (deeds.selected === selected && person.flagged === null && person.points[selected].state === "open") {
    deeds.selected = person.uncertain()[0] ?? selected;
    page.selected();
    page.redraw();
  }
  page.say(opening(page));
}
