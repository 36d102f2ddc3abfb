/* The outbox: every edit is kept in the browser's storage until the server has said that it is saved.

   One storage key an edit, so that several tabs never overwrite each other; keys sort in the order of the edits.
   Whoever holds the lock sends what waits, of all tabs, in order; an edit leaves the outbox only with its result.
   The server knows each edit by its edit_id, so a second delivery changes nothing.

   An entry: {key, edit, bases: {keypoint: revision}, follows: [edit_id], effect: changes, error?, document?}.
   `follows` are the waiting edits that its author had before their eyes: their revisions become its bases. */

import { Away, Refused } from "./api.js";

const FIRST_WAIT = 500;
const LONGEST_WAIT = 8000;
const AT_ONCE = 20;
const MOST_KNOWN = 500;

/** The people that an edit touches; two edits of one person never travel together. */
export const touched = (edit) => [edit.instance_id, edit.into, edit.to].filter((id) => id !== undefined && id !== null);

/** The keypoints that an entry changes, as far as its author knows: who undoes an earlier sitting sees that later. */
export const changed = ({ effect }) => effect.map(({ keypoint }) => keypoint);

export class Outbox extends EventTarget {
  #memory = new Map();
  #parsed = new Map(); // key -> [text, entry], so that what waits is not parsed at every look
  #clock = 0;
  #timer = null;
  #wait = FIRST_WAIT;
  #sending = null;
  #seen = new Set(); // edit ids that this page made or shows

  /**
   * project: text that names the project. post: edits -> results; throws Away or Refused. storage: as localStorage.
   * locks: as navigator.locks, or null. channel: as a BroadcastChannel, or null.
   */
  constructor({ project, post, storage, locks = null, channel = null, later = (run, ms) => setTimeout(run, ms), now = Date.now }) {
    super();
    this.prefix = `posestudio/outbox/${project}/`;
    this.refusedPrefix = `posestudio/refused/${project}/`;
    this.lock = `posestudio/outbox/${project}`;
    Object.assign(this, { post, storage, locks, channel, later, now });
    this.away = false;
    this.told = ""; // why it takes nothing now, in the server's own words
    this.savedAt = null;
    channel?.addEventListener("message", ({ data }) => this.#hear(data));
  }

  /** Keep an edit and send it; returns its entry at once. */
  add(edit, { bases = {}, follows = [], effect = [] } = {}) {
    const whole = { edit_id: crypto.randomUUID(), ...edit };
    const entry = { key: this.#key(whole.edit_id), edit: whole, bases, follows, effect };
    this.see([entry]);
    this.#put(entry);
    this.#tell("change");
    this.flush();
    return entry;
  }

  /** Entries that wait, in order; of one person, if asked. */
  waiting(instance = null) {
    const all = this.#read(this.prefix);
    return instance === null ? all : all.filter((entry) => touched(entry.edit).includes(instance));
  }

  /** These edits, maybe another page's, are before the eyes of this page's author now. */
  see(entries) {
    for (const { edit } of entries) this.#seen.add(edit.edit_id);
  }

  /** Entries of a person that wait and that this page's author has seen. */
  seen(instance) {
    return this.waiting(instance).filter(({ edit }) => this.#seen.has(edit.edit_id));
  }

  /** Entries that the server refused and no person has decided about yet. */
  refused() {
    return this.#read(this.refusedPrefix);
  }

  /** Take a refused entry out. */
  drop(edit_id) {
    for (const entry of this.refused()) if (entry.edit.edit_id === edit_id) this.#remove(entry.key);
    this.#tell("change");
  }

  /** Send what waits. Resolves when everything was sent or the server is away. */
  flush() {
    this.#sending ??= this.#deliver().finally(() => {
      this.#sending = null;
      if (!this.away && this.waiting().length) this.flush();
    });
    return this.#sending;
  }

  /** Try again now, such as after the network came back. */
  hurry() {
    this.#wait = FIRST_WAIT;
    this.#clear();
    return this.waiting().length ? this.flush() : Promise.resolve();
  }

  async #deliver() {
    const send = () => this.#sendAll();
    try {
      await (this.locks ? this.locks.request(this.lock, send) : send());
      this.#wait = FIRST_WAIT;
      this.#present(true);
    } catch (error) {
      if (!(error instanceof Away)) throw error;
      this.#present(false, error.said);
      this.#clear();
      this.#timer = this.later(() => this.flush(), this.#wait);
      this.#wait = Math.min(LONGEST_WAIT, this.#wait * 2);
    }
  }

  async #sendAll() {
    for (let batch = this.#batch(); batch.length; batch = this.#batch()) {
      const results = await this.#results(batch);
      let later = null;
      batch.forEach((entry, i) => {
        const result = results[i];
        if (result?.edit_id !== entry.edit.edit_id || ["busy", "token"].includes(result.error?.kind)) {
          later ??= new Away(result?.error?.message ?? "The server did not answer for every edit.");
        } else {
          this.#settle(entry, result);
        }
      });
      this.#present(true);
      if (later) throw later;
    }
  }

  async #results(batch) {
    try {
      return (await this.post(batch.map(onTheWire))).results ?? [];
    } catch (error) {
      if (!(error instanceof Refused)) throw error instanceof Away ? error : new Away(String(error));
      if (error.kind === "busy" || error.kind === "token") throw new Away(error.message);
      if (batch.length > 1) {
        const each = [];
        for (const entry of batch) each.push(...(await this.#results([entry])));
        return each;
      }
      const why = { kind: error.kind, message: error.message };
      return [{ edit_id: batch[0].edit.edit_id, ok: false, error: why, document: error.answer.document }];
    }
  }

  /** The first edits that wait, at most one of each person. */
  #batch() {
    const people = new Set();
    const batch = [];
    for (const entry of this.waiting()) {
      const ids = touched(entry.edit);
      if (batch.length === AT_ONCE || ids.some((id) => people.has(id))) break;
      ids.forEach((id) => people.add(id));
      batch.push(entry);
    }
    return batch;
  }

  #settle(entry, result) {
    const id = entry.edit.edit_id;
    if (result.ok) {
      this.savedAt = result.saved_at ?? this.savedAt;
      if (Number.isInteger(result.revision)) this.#rebase(entry, result.revision);
    } else {
      this.#put({ ...entry, key: this.refusedPrefix + entry.key.slice(this.prefix.length), error: result.error,
        document: result.document ?? null });
    }
    this.#remove(entry.key);
    this.channel?.postMessage({ id, entry, result });
    this.#news(entry, result);
  }

  /** Edits made on top of a saved one follow its revision where it changed a keypoint. */
  #rebase(saved, revision) {
    const own = changed(saved);
    for (const entry of this.waiting(saved.edit.instance_id)) {
      if (!entry.follows.includes(saved.edit.edit_id)) continue;
      for (const k of own) if (k in entry.bases) entry.bases[k] = Math.max(entry.bases[k] ?? 0, revision);
      this.#put(entry);
    }
  }

  #hear(news) {
    if (news?.result?.ok) this.savedAt = news.result.saved_at ?? this.savedAt;
    this.#present(true);
    this.#news(news.entry, news.result);
  }

  /** An edit has its result; `foreign` when this page has not seen what it did. */
  #news(entry, result) {
    this.#tell(result.ok ? "saved" : "refused", { entry, result, foreign: !this.#seen.has(entry.edit.edit_id) });
    this.#tell("change");
  }

  #present(there, told = "") {
    const same = this.away === !there && this.told === told;
    Object.assign(this, { away: !there, told });
    if (!same) this.#tell("change");
  }

  #tell(type, detail = null) {
    const event = new Event(type);
    event.detail = detail;
    this.dispatchEvent(event);
  }

  #clear() {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }

  // Keys rise with time, also within a millisecond and when the clock is set back while edits wait.
  #key(edit_id) {
    const newest = this.waiting().at(-1)?.key.slice(this.prefix.length, this.prefix.length + 16) ?? "0";
    this.#clock = Math.max(this.#clock + 1, this.now() * 100, Number(newest) + 1);
    return `${this.prefix}${String(this.#clock).padStart(16, "0")}-${edit_id}`;
  }

  // Storage may be full or forbidden: then the edit is kept in memory, and the page says so.
  #put(entry) {
    try {
      this.storage.setItem(entry.key, JSON.stringify(entry));
      this.#memory.delete(entry.key);
    } catch {
      this.#memory.set(entry.key, entry);
    }
  }

  #remove(key) {
    this.#memory.delete(key);
    this.#parsed.delete(key);
    try {
      this.storage.removeItem(key);
    } catch {
      // forbidden storage holds nothing
    }
  }

  get onlyInMemory() {
    return this.#memory.size;
  }

  #entry(key) {
    const text = this.storage.getItem(key);
    if (this.#parsed.get(key)?.[0] !== text) this.#parsed.set(key, [text, parsed(text)]);
    return this.#parsed.get(key)[1];
  }

  #read(prefix) {
    const found = [...this.#memory.values()].filter((entry) => entry.key.startsWith(prefix));
    try {
      for (let i = 0; i < this.storage.length; i += 1) {
        const key = this.storage.key(i);
        if (key?.startsWith(prefix)) found.push(this.#entry(key));
      }
    } catch {
      // forbidden storage holds nothing
    }
    return found.filter((entry) => entry?.edit?.edit_id).sort((a, b) => (a.key < b.key ? -1 : 1));
  }
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null; // another program wrote it
  }
}

/** An edit as the server takes it: the revision of each keypoint that its author has seen, and the edits before it. */
export function onTheWire({ edit, bases, follows }) {
  const known = Object.entries(bases).map(([k, revision]) => [k, revision ?? 0]);
  const seen = known.length ? { base_revision: Object.fromEntries(known) } : {};
  return { ...edit, ...seen, after: follows.slice(-MOST_KNOWN) };
}
