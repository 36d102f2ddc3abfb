/* Edits that the server refused: both versions are shown, and the person chooses. Nothing is dropped unseen. */

import { clock, el, listed, spoken } from "./dom.js";

/** Refusals after which the same edit may pass, as with another name. */
const AGAIN = new Set(["invalid", "failed"]);

/** One person's refused edits as one: what they wanted at last, in order. */
function gathered(entries) {
  const wanted = new Map();
  for (const { effect } of entries) for (const change of effect) wanted.set(change.keypoint, change);
  return [...wanted.values()];
}

/** Draw the bar about the first person with refused edits, and their version as ghosts when it is in view. */
export function conflicts(page) {
  const { outbox, part, person } = page;
  const refused = outbox.refused();
  page.rivals = [];
  part.conflict.hidden = !refused.length;
  if (!refused.length) return page.redraw();
  const own = refused.filter((entry) => entry.edit.instance_id === person?.id);
  const group = own.length ? own : refused.filter((entry) => entry.edit.instance_id === refused[0].edit.instance_id);
  const id = group[0].edit.instance_id;
  if (!own.length && Number.isInteger(id)) {
    const open = el("button.pe-tool", { type: "button" }, "Look");
    open.addEventListener("click", () => page.open(id, { from: person?.id ?? null }));
    part.conflict.replaceChildren(el("span", {}, `An edit of person ${id} was not saved: ${group[0].error?.message ?? ""}`), open);
    return page.redraw();
  }
  const clash = group.filter((entry) => entry.error?.kind === "conflict").at(-1);
  const wanted = gathered(group);
  const theirs = clash?.document?.keypoints ?? person?.doc.keypoints ?? [];
  const differ = wanted.filter((change) => theirs[change.keypoint]);
  page.rivals = differ.flatMap((change) => {
    const other = theirs[change.keypoint];
    return other.state === "placed" ? [{ x: other.x, y: other.y, from: change.state === "placed" ? change : null }] : [];
  });
  const names = listed(differ.map((change) => spoken(person.names[change.keypoint])));
  const [first] = differ;
  const whose = first ? theirs[first.keypoint] : null;
  const words = clash && whose?.who
    ? `${names} of this person was also changed by ${whose.who} at ${clock(whose.at)}. The other version is drawn in pink.`
    : group[0].error?.message ?? "The server refused this edit.";
  const again = clash ? wanted.length > 0 : group.every((entry) => AGAIN.has(entry.error?.kind));
  const keep = el("button.pe-tool.primary", { type: "button" }, "Keep mine");
  const take = el("button.pe-tool", { type: "button" }, clash ? "Take the other" : "Drop my edit");
  keep.addEventListener("click", () => (clash ? keepMine(page, group, wanted, clash) : sendAgain(page, group)));
  take.addEventListener("click", () => takeTheirs(page, group, clash));
  const table = el("div.pe-versions", {}, ...differ.slice(0, 4).map((change) => version(person, change, theirs[change.keypoint])));
  part.conflict.replaceChildren(el("span", {}, words), table, ...(again ? [keep] : []), take);
  return page.redraw();
}

function version(person, mine, theirs) {
  const said = (one) => (one.state === "placed"
    ? `(${Number(one.x).toFixed(1)}, ${Number(one.y).toFixed(1)}) ${one.v === 1 ? "hidden" : "visible"}`
    : one.state === "absent" ? one.reason ?? one.absent_reason ?? "absent" : "open");
  return el("p", {}, el("b", {}, spoken(person.names[mine.keypoint])), ` mine ${said(mine)}; the other ${said(theirs)}`);
}

function settle(page, group, document) {
  for (const entry of group) page.outbox.drop(entry.edit.edit_id);
  if (document) page.people.take(document);
}

function keepMine(page, group, wanted, clash) {
  settle(page, group, clash.document);
  page.reload();
  page.deeds.label(wanted);
  page.say("Your version goes to the server again");
  conflicts(page);
}

/** Refused edits go to the server as they were, under the name of now. */
function sendAgain(page, group) {
  settle(page, group, null);
  for (const { edit, bases, effect } of group) {
    if (edit.instance_id === page.person?.id) page.person.apply(effect);
    page.send({ ...edit, who: page.who }, { bases, effect });
  }
  page.say("Your edit goes to the server again");
  conflicts(page);
}

async function takeTheirs(page, group, clash) {
  const id = page.person?.id;
  settle(page, group, clash?.document);
  page.people.forget(id);
  if (id !== undefined) await page.open(id);
  page.say(clash ? "The other version is shown now" : "Your edit is dropped");
  conflicts(page);
}
