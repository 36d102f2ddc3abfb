/* Edits of boxes on their way to the store: through the outbox that Correct has too, so that nothing is lost. */

import { Refused } from "../editor/api.js";
import { Outbox } from "../editor/outbox.js";

const WHO = "posestudio/who";

export class Edits extends EventTarget {
  #waiting = new Map(); // edit_id -> {done, failed}
  sent = 0; // edits of this page so far

  /** server: as editor/api.js; overview: with project_id and who. */
  constructor(server, { project_id: project, who }) {
    super();
    this.guess = who;
    this.outbox = new Outbox({
      project, post: (edits) => server.post("/api/edits", { edits }), storage: localStorage, locks: navigator.locks ?? null,
      channel: new BroadcastChannel(`posestudio/${project}`),
    });
    this.outbox.addEventListener("saved", ({ detail }) => this.#settle(detail));
    this.outbox.addEventListener("refused", ({ detail }) => this.#settle(detail));
    this.outbox.addEventListener("change", () => this.dispatchEvent(new Event("change")));
    window.addEventListener("online", () => this.outbox.hurry());
    window.addEventListener("beforeunload", (event) => { if (this.outbox.onlyInMemory) event.preventDefault(); });
    this.outbox.hurry();
  }

  get who() {
    return localStorage.getItem(WHO) || this.guess || "annotator";
  }

  /** Keep an edit and send it; resolves to the server's result, also much later, or rejects when it was refused. */
  send(edit) {
    this.sent += 1;
    const { edit: { edit_id: id } } = this.outbox.add({ who: this.who, ...edit });
    return new Promise((done, failed) => { this.#waiting.set(id, { done, failed }); });
  }

  box(instance, xywh) {
    return this.send({ deed: "box", instance_id: instance, box: xywh });
  }

  add(image, xywh) {
    return this.send({ deed: "add", image_id: image, box: xywh, iscrowd: false });
  }

  hide(instance) {
    return this.send({ deed: "hide", instance_id: instance });
  }

  restore(instance) {
    return this.send({ deed: "restore", instance_id: instance });
  }

  /** How many edits wait, whether the server is away, and when the last one was saved. */
  get state() {
    return { waiting: this.outbox.waiting().length, away: this.outbox.away, savedAt: this.outbox.savedAt };
  }

  /** Resolves once no edit waits. */
  async settled() {
    this.outbox.hurry(); // also what another page left behind
    while (this.state.waiting) await new Promise((done) => this.addEventListener("change", done, { once: true }));
  }

  #settle({ entry, result }) {
    const promise = this.#waiting.get(entry.edit.edit_id);
    if (!promise) return;
    this.#waiting.delete(entry.edit.edit_id);
    if (result.ok) promise.done(result);
    else {
      this.outbox.drop(entry.edit.edit_id);
      promise.failed(new Refused(result.error));
    }
  }
}
