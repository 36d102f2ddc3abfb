/* A look at the page for tests: copies and numbers, nothing that changes it. */

import { candidates } from "./commands.js";

export function handle(page) {
  const copy = (value) => (value === undefined || value === null ? null : structuredClone(value));
  return Object.freeze({
    ready: () => page.person !== null,
    person: () => page.person && copy({ id: page.person.id, points: page.person.points, box: page.person.box, doc: page.person.doc }),
    shown: (k) => copy(page.person?.shown(k)),
    open: () => copy(page.person?.open()),
    uncertain: () => copy(page.person?.uncertain()),
    selected: () => page.deeds.selected,
    mode: () => page.deeds.mode,
    camera: () => ({ scale: page.view.camera.scale, tx: page.view.camera.tx, ty: page.view.camera.ty }),
    point: (k) => copy(page.view.clientPoint(k)),
    candidates: (k) => copy(candidates(page, k)),
    heat: () => ({ show: page.heat.show, loaded: page.heat.loaded }),
    queue: () => copy(page.queue?.items.map((item) => item.instance_id)),
    progress: () => copy(page.queue?.progress),
    here: (id) => page.people.here(id) !== null,
    waiting: () => copy(page.outbox?.waiting().map((entry) => entry.edit)),
    refused: () => copy(page.outbox?.refused().map((entry) => entry.edit)),
    savedAt: () => page.outbox?.savedAt ?? null,
    away: () => page.outbox?.away ?? null,
    history: () => ({ done: page.history.done.length, undone: page.history.undone.length }),
  });
}
