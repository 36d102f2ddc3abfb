/* People as they come from the server, kept for a while, with the edits that still wait on top; and ahead of time
   their photos and heatmaps, so that the next person is there at once. */

import { decode } from "./heat.js";
import { Person } from "./model.js";

const KEPT = 40;
const PHOTOS = 12;
const ASKED = 5; // times at most for one document

/** Only photos of this studio are shown. */
const OWN_PHOTO = /^\/media\/\d+(\?[\w=&.-]*)?$/;

export class People {
  #kept = new Map();
  #newest = new Map(); // of each person, the newest revision that the server has told of
  #photos = new Map();
  #turn = 0; // of the newest question
  #since = 0; // the turn of the last clear: what was asked before is of another run
  #taken = new Map(); // of each person, the turn whose answer is here: answers may overtake one another
  run = "";
  runs = 0; // how many runs have students
  imported = new Set(); // models without any

  /** rest: resolves when no gesture is under way; until then nobody's points are replaced. */
  constructor(server, outbox, rest = async () => {}) {
    Object.assign(this, { server, outbox, rest });
  }

  /** Forget everybody, such as for another run; who is shown is asked for again when opened. */
  clear(run, shown = null) {
    this.run = run;
    this.#since = this.#next();
    for (const [id, { ready }] of this.#kept) {
      if (id === shown && ready) Object.assign(ready, { heat: null, at: 0 });
      else this.#kept.delete(id);
    }
  }

  /** Forget a person who is here; #load sees to one who is on the way. */
  forget(id) {
    if (this.here(id)) this.#kept.delete(id);
  }

  /** A person who is here already: {person, photo, heat, at}, or null. */
  here(id) {
    const found = this.#kept.get(id);
    return found?.ready ?? null;
  }

  /** Forget everybody in a photo but one. */
  forgetPhoto(image, but) {
    for (const [id, { ready }] of this.#kept) if (id !== but && ready?.person.doc.image_id === image) this.#kept.delete(id);
  }

  /** A person with a decoded photo; asks the server when it is not here. Throws Away or Refused. */
  get(id) {
    let found = this.#kept.get(id);
    if (!found) {
      found = { ready: null, coming: this.#load(id) };
      this.#kept.set(id, found);
      found.coming.then((ready) => { found.ready = ready; }, () => {
        if (this.#kept.get(id) === found) this.#kept.delete(id);
      });
    }
    this.#kept.delete(id); // the newest last
    this.#kept.set(id, found);
    for (const old of [...this.#kept.keys()].slice(0, -KEPT)) this.#kept.delete(old);
    return found.coming;
  }

  async #load(id) {
    for (let i = 0; ; i += 1) {
      const doc = await this.server.get(`/api/people/${id}`, { run: this.run });
      const photo = await this.photo(doc.image.url);
      if (this.#old(doc) && i < ASKED) continue; // an edit was saved while the answer was on its way
      const person = new Person(doc);
      this.#fill(person, doc);
      return { person, photo, heat: null, at: Date.now() };
    }
  }

  #next() {
    this.#turn += 1;
    return this.#turn;
  }

  #old(doc) {
    return (doc.revision ?? 0) < (this.#newest.get(doc.instance_id) ?? 0);
  }

  /** A document, with the edits that wait on top of it. */
  #fill(person, doc) {
    const waiting = this.outbox.waiting(person.id).filter(({ edit }) => edit.instance_id === person.id);
    person.load(doc, waiting.map((entry) => entry.effect));
    this.outbox.see(waiting);
    for (const { edit } of waiting) {
      if (edit.deed === "mark") person.said(edit, { who: edit.who, at: null });
      if (edit.deed === "box") person.box = [...edit.box];
      if (edit.deed === "hide" || edit.deed === "restore") doc.hidden = edit.deed === "hide";
    }
  }

  /** A newer document of a person; one that is older than what is known here is left. Returns whether it was taken. */
  take(doc, turn = this.#next()) {
    const ready = this.here(doc.instance_id);
    if (!ready) return false;
    if (this.#old(doc) || turn < this.#since || turn < this.#taken.get(doc.instance_id)) return false;
    this.#taken.set(doc.instance_id, turn);
    this.#fill(ready.person, doc);
    ready.at = Date.now();
    return true;
  }

  /** Ask for a person again; resolves to whether something newer came. */
  async refresh(id) {
    const turn = this.#next();
    const doc = await this.server.get(`/api/people/${id}`, { run: this.run });
    await this.rest();
    return this.take(doc, turn);
  }

  /** Let the students of a run look again; resolves to whether something newer came. */
  async predict(id, run) {
    await this.outbox.flush();
    const turn = this.#next();
    const { document: doc } = await this.server.post(`/api/people/${id}/predict`, { run });
    await this.rest();
    const ready = this.here(id);
    if (!ready || !doc) return false;
    ready.heat = null;
    return this.take(doc, turn) || this.refresh(id);
  }

  /** An edit was saved: the keypoints that it touched have this revision now. */
  saved(id, keypoints, revision, stamp) {
    this.#newest.set(id, Math.max(this.#newest.get(id) ?? 0, revision));
    const person = this.here(id)?.person;
    for (const k of keypoints) if (person?.points[k]) Object.assign(person.points[k], { revision, ...stamp });
  }

  /** The heatmaps of a person, asked for once; null for people who are kept blind and where there are none. */
  heat(id) {
    const ready = this.here(id);
    if (!ready || !this.runs || ready.person.doc.blind) return Promise.resolve(null);
    const run = this.imported.has(this.run) ? "" : this.run; // an imported model has no students: those of the newest run
    ready.heat ??= this.server.get(`/api/people/${id}/heat`, { run })
      .then((answer) => ({ ...decode(answer, ready.person.points.length), candidates: answer.candidates ?? null }))
      .catch((error) => {
        if (error.kind === undefined) ready.heat = null; // the server was away: ask again next time
        return null;
      });
    return ready.heat;
  }

  /** Fetch who comes next, one after another, quietly. */
  async ahead(ids) {
    for (const id of ids) {
      try {
        await this.get(id);
        await this.heat(id);
      } catch {
        return; // asked for again when it is wanted
      }
    }
  }

  /** A photo as a decoded image element; the same element for the same photo. */
  async photo(url) {
    if (!OWN_PHOTO.test(url)) throw new Error("The photo has an address that is not of this studio.");
    if (!this.#photos.has(url)) {
      const image = new Image();
      image.decoding = "sync";
      image.draggable = false;
      image.alt = ""; // the list of keypoints says what is drawn
      image.src = url;
      this.#photos.set(url, image.decode().then(() => image));
      this.#photos.get(url).catch(() => this.#photos.delete(url));
      for (const old of [...this.#photos.keys()].slice(0, -PHOTOS)) this.#photos.delete(old);
    }
    return this.#photos.get(url).catch(() => {
      const broken = new Image(); // the skeleton can still be looked at
      broken.alt = "The photo cannot be shown";
      return broken;
    });
  }
}
