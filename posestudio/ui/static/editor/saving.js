/* What the server's answers to edits mean for the page: "saved at", revisions, new people, refused edits. */

import { clock, count, few, spoken } from "./dom.js";
import { conflicts } from "./conflicts.js";
import { changed, touched } from "./outbox.js";
import { drawHistory } from "./panel.js";

/** Deeds after which others in the photo look different. */
const BESIDE = new Set(["merge", "hand", "hide", "restore"]);

export function listenToOutbox(page) {
  const { outbox } = page;
  outbox.addEventListener("change", () => drawSaved(page));
  outbox.addEventListener("saved", ({ detail }) => saved(page, detail));
  outbox.addEventListener("refused", ({ detail }) => refused(page, detail));
}

/** The words about what is saved: only the server's answer makes an edit "saved". */
export function drawSaved(page) {
  const { outbox, part } = page;
  const waiting = outbox.waiting().length;
  const undecided = outbox.refused().length;
  const kind = undecided ? "bad" : outbox.away ? "away" : waiting ? "busy" : outbox.savedAt ? "good" : "";
  const words = [];
  if (undecided) words.push(`${count(undecided, "edit")} to decide`);
  const why = outbox.told || "the server is away";
  if (waiting) words.push(outbox.away ? `${waiting} waiting: ${why}` : `saving ${waiting}`);
  else if (outbox.away) words.push(why);
  else if (outbox.savedAt && !undecided) words.push(`saved at ${clock(outbox.savedAt)}`);
  if (outbox.onlyInMemory) words.push("the browser keeps nothing: do not close this page");
  part.saved.textContent = words.join(", ") || "all is saved";
  part.saved.className = `pe-saved ${kind}`;
  if (outbox.told && part.saved.title !== outbox.told) page.say(outbox.told); // all of it, once
  part.saved.title = outbox.told;
}

function saved(page, { entry, result, foreign }) {
  const { edit, effect } = entry;
  const shown = page.person?.id;
  const others = foreign ? touched(edit) : []; // by another page: their revisions count here once they are seen
  if (Number.isInteger(result.revision)) {
    page.people.saved(edit.instance_id, foreign ? [] : changed(entry), result.revision, { at: result.saved_at });
  }
  for (const id of others) if (id !== shown) page.people.forget(id);
  const mine = page.history.done.find((one) => one.edit_id === edit.edit_id);
  if (edit.deed === "merge" && mine) {
    mine.moved = result.moved ?? [];
    mine.back = result.moved?.length ? { deed: "undo", instance_id: edit.into, undoes: edit.edit_id } : { deed: "restore" };
  }
  if (edit.deed === "undo" && !edit.undoes && !foreign) earlier(page, edit, result);
  if (edit.deed === "add" && Number.isInteger(result.instance_id)) added(page, edit, result.instance_id, foreign);
  else if (BESIDE.has(edit.deed) || (edit.deed === "undo" && !effect.length) || others.includes(shown)) beside(page);
  if (shown === edit.instance_id && edit.deed === "mark") page.refresh(shown); // a document on its way may not know it
  if (shown === edit.instance_id) {
    drawHistory(page);
    page.redraw();
  }
}

/** An edit of an earlier sitting was taken back: redo brings it again, and it is said what it was. */
async function earlier(page, { edit_id, instance_id: instance }, { undone }) {
  const entry = { edit_id, instance, deed: "undo", more: { undoes: edit_id }, before: [], after: [], back: { deed: "undo", undoes: edit_id } };
  if (!page.history.done.length) page.history.undone.push({ ...entry, words: "the edit of an earlier sitting" });
  try {
    const { rows } = await page.server.get(`/api/people/${instance}/history`);
    const own = rows.filter((row) => row.edit_id === undone);
    const what = few(own.map((row) => spoken(row.name)));
    page.say(`Undone: ${what} of person ${instance}, your edit of ${clock(own[0].at)}. Ctrl+Shift+Z does it again`);
  } catch {
    page.say("An edit of an earlier sitting is undone. Ctrl+Shift+Z does it again");
  }
}

/** Somebody in this photo has changed: ask for everybody in it anew. */
function beside(page) {
  if (!page.person) return;
  page.people.forgetPhoto(page.person.doc.image_id, page.person.id);
  page.refresh(page.person.id);
}

/** Somebody is new in a photo: one that was drawn here opens, if the photo is still shown. */
async function added(page, { edit_id, image_id, iscrowd }, id, foreign) {
  const entry = { edit_id, instance: id, deed: "restore", more: {}, before: [], after: [], back: { deed: "hide" } };
  if (!foreign) page.history.push({ ...entry, words: `${iscrowd ? "region" : "person"} ${id} is new` });
  const drawn = page.drawn.delete(edit_id);
  const here = () => page.person?.doc.image_id === image_id;
  if (here()) beside(page);
  if (drawn) await page.deeds.rest();
  if (drawn && here()) page.open(id, { from: page.person.id });
}

function refused(page, { entry: { edit }, result }) {
  page.history.forget(edit.edit_id);
  if (page.quietly.delete(edit.edit_id) && result.error?.kind !== "conflict") {
    page.outbox.drop(edit.edit_id);
    page.say(result.error.message);
  } else {
    conflicts(page);
  }
}
