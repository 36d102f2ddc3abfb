/* Bringing files in: sent one by one, taken in by parts, and what came of it. */

import { Away, Refused } from "../editor/api.js";
import { el } from "../editor/dom.js";
import { button, many } from "../shared/page.js";
import { dropped, readWhole } from "./files.js";

const AT_ONCE = 24; // photos that are taken in together
const SENDING = 3; // files on their way at once
const DETECT = 4; // photos of one call of the detector
const BIG = /\.(zip|mp4|mov|avi|mkv|webm)$/i;

/** "118 photos, 1 JSON file and 1 zip". */
export function summed(files) {
  const kinds = { zip: 0, video: 0, json: 0, photo: 0 };
  for (const { name } of files) {
    if (/\.zip$/i.test(name)) kinds.zip += 1;
    else if (BIG.test(name)) kinds.video += 1;
    else if (/\.json$/i.test(name)) kinds.json += 1;
    else kinds.photo += 1;
  }
  return [[kinds.photo, "photo"], [kinds.video, "video"], [kinds.zip, "zip"], [kinds.json, "JSON file"]]
    .filter(([number]) => number).map(([number, noun]) => many(number, noun)).join(", ");
}

/** The totals while nothing has come in. */
const nothing = () => ({ images: 0, people: 0, labeled: 0, predicted: 0, duplicates: 0, image_ids: [], refused: [], notes: [] });

/** Sends files and lets the studio take them in. */
export class Adding {
  /** server: with `session()`; tell: ({sent, taken, whole, doing}) while it goes. */
  constructor(server, token, who, tell) {
    Object.assign(this, { server, token, who, tell });
    this.sending = new AbortController();
    this.total = nothing();
  }

  /** Send no more; what is being taken in comes in whole, files that were sent without it are forgotten. */
  stop() {
    this.sending.abort();
  }

  get stopped() {
    return this.sending.signal.aborted;
  }

  /** All of it; returns the totals. options: {split, group}. A file that cannot be read is refused like any other. */
  async run(files, options) {
    this.whole = files.length;
    this.sent = 0;
    this.done = 0;
    this.bytes = 0;
    this.size = files.reduce((sum, { file }) => sum + file.size, 0);
    const drop = (await this.#post("/api/uploads", {})).drop;
    // labels need their photos: then everything is sent before anything is taken
    const together = files.some(({ name }) => /\.json$/i.test(name));
    const parts = together ? [files] : [...split(files)];
    try {
      for (const part of parts) {
        const numbers = await this.#send(drop, part);
        if (this.stopped) break;
        if (numbers.length) await this.#take(drop, numbers, options);
        this.done += part.length;
        this.#say();
      }
    } finally {
      this.#post(`/api/uploads/${drop}/end`, {}).catch(() => {});
    }
    const left = this.whole - this.done;
    if (left) this.total.notes.push(`stopped: ${left.toLocaleString("en-US")} of ${many(this.whole, "file")} did not come in`);
    return this.total;
  }

  #say(doing = "") {
    this.tell({ sent: this.sent, done: this.done, whole: this.whole, share: this.size ? this.bytes / this.size : 1, doing });
  }

  async #send(drop, files) {
    const numbers = [];
    const waiting = [...files];
    const one = async () => {
      for (let next = waiting.shift(); next && !this.stopped; next = waiting.shift()) {
        try {
          numbers.push((await this.#upload(`/api/uploads/${drop}?name=${encodeURIComponent(next.name)}`, next.file)).number);
        } catch (error) {
          if (this.stopped) return;
          if (error instanceof Away) {
            this.stop();
            throw error;
          }
          this.total.refused.push([next.name, error.message]);
        }
        this.sent += 1;
        this.bytes += next.file.size;
        this.#say();
      }
    };
    await Promise.all(Array.from({ length: SENDING }, one));
    return numbers.sort((a, b) => a - b);
  }

  async #upload(path, file) {
    const headers = { "X-PoseStudio-Token": this.token(), "Content-Type": "application/octet-stream" };
    try {
      return await answer(await this.#fetch(path, { method: "POST", headers, body: file, signal: this.sending.signal }));
    } catch (error) { // a browser does not say whether it was the server or the file
      if (error instanceof Away) await readWhole(file, this.sending.signal);
      throw error;
    }
  }

  async #take(drop, numbers, options) {
    const body = JSON.stringify({ numbers, who: this.who, ...options });
    const headers = { "X-PoseStudio-Token": this.token(), "Content-Type": "application/json" };
    const response = await this.#fetch(`/api/uploads/${drop}/take`, { method: "POST", headers, body });
    if (!response.ok) await answer(response);
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; ;) {
      const { value, done } = await reader.read();
      if (done) throw new Away("The studio ended while files were taken in. See what came in, and drop the rest again.");
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.map((text) => JSON.parse(text))) {
        if (line.taken) return this.#add(line.taken);
        if (line.error) throw new Refused(line.error);
        const of = line.whole ? ` of ${line.whole.toLocaleString("en-US")}` : "";
        this.#say(line.done ? `${line.doing}: ${line.done.toLocaleString("en-US")}${of}` : line.doing);
      }
    }
  }

  #add(taken) {
    for (const key of ["images", "people", "labeled", "predicted", "duplicates"]) this.total[key] += taken[key];
    for (const key of ["image_ids", "refused"]) this.total[key].push(...taken[key]);
    for (const note of taken.notes) if (!this.total.notes.includes(note)) this.total.notes.push(note);
  }

  async #post(path, body) {
    const headers = { "X-PoseStudio-Token": this.token(), "Content-Type": "application/json" };
    return answer(await this.#fetch(path, { method: "POST", headers, body: JSON.stringify(body) }));
  }

  async #fetch(path, options) {
    try {
      return await fetch(path, options);
    } catch {
      const left = `${(this.whole - this.done).toLocaleString("en-US")} of ${many(this.whole, "file")} are left`;
      throw new Away(`The studio does not answer, and ${left}. What was taken in so far is kept; drop the rest again when it is back.`);
    }
  }
}

async function answer(response) {
  const found = await response.json().catch(() => null);
  if (response.ok && found) return found;
  throw new Refused(found?.error ?? { message: `The studio answered ${response.status}.` });
}

/** Parts that are taken in together; a zip or video goes alone. */
function* split(files) {
  const photos = files.filter(({ name }) => !BIG.test(name));
  for (let at = 0; at < photos.length; at += AT_ONCE) yield photos.slice(at, at + AT_ONCE);
  for (const file of files) if (BIG.test(file.name)) yield [file];
}

/** What came in, what was refused and why. */
export function report(total) {
  const parts = [`${many(total.images, "photo")} added`];
  if (total.people) parts.push(many(total.people, "person box", "person boxes"));
  if (total.labeled) parts.push(`${many(total.labeled, "person", "people")} with labels`);
  if (total.predicted) parts.push(`predictions for ${many(total.predicted, "person", "people")}`);
  if (total.duplicates) parts.push(`${many(total.duplicates, "photo")} had been here before`);
  const lines = [el("p", {}, el("b", {}, parts[0]), ...parts.slice(1).map((words) => ` · ${words}`))];
  lines.push(...total.notes.map((note) => el("p", {}, `${note[0].toUpperCase()}${note.slice(1)}.`)));
  if (total.refused.length) {
    lines.push(el("p.ps-bad", {}, `${many(total.refused.length, "file")} refused:`),
      el("ul.ps-refused", { tabindex: 0, "aria-label": "Refused files" },
        ...total.refused.slice(0, 300).map(([name, why]) => el("li", {}, el("b", {}, name), ` ${why}`))));
  }
  return el("div.ps-added", { role: "status" }, ...lines);
}

/** The questions before files come in: {node, options()}. */
export function questions(files, { detector, start, cancel }) {
  const json = files.some(({ name }) => /\.json$/i.test(name));
  const folders = files.some(({ name }) => name.includes("/"));
  const choice = (value, words, on, why = "") => el("label.pg-choice", {}, el("input", { type: "radio", name: "pg-boxes", value, checked: on }),
    el("span", {}, words, why && el("small", {}, why)));
  const boxes = el("fieldset.pg-field", {}, el("legend", {}, json ? "Boxes of photos that no file describes" : "Person boxes"),
    choice("detect", "Find people", detector.ready, detector.ready ? "The detector looks at every photo." : detector.words),
    choice("whole", "The whole photo", !detector.ready, "For photos of one person each."),
    choice("later", "I draw them later", false));
  const detect = boxes.querySelector("[value=detect]");
  detect.disabled = !detector.ready;
  const split = el("select.ps-select", { id: "pg-into" }, el("option", { value: "train" }, "train: they teach"),
    el("option", { value: "val" }, "val: they judge"), el("option", { value: "unlabeled" }, "unlabeled: boxes only"));
  const group = el("input", { type: "checkbox" });
  const node = el("div.pg-questions", {},
    el("h2", {}, `Add ${summed(files)}`), boxes,
    json ? el("p.pg-row", {}, el("label", { for: "pg-into" }, "Labels of COCO files go to"), split) : null,
    folders ? el("label.pg-choice", {}, group, el("span", {}, "Photos of one folder belong together",
      el("small", {}, "They never end up on both sides of train and val, as frames of one video."))) : null,
    el("p.pg-row", {}, button(`Add ${many(files.length, "file")}`, () => start(), "button.ps-button.ps-primary"), button("Cancel", cancel)));
  return { node, options: () => ({ boxes: boxes.querySelector("input:checked").value, split: split.value, group: group.checked }) };
}

/** The progress of an adding: {node, tell}. */
export function progress(stop) {
  const bar = el("progress", { max: 1, value: 0, "aria-label": "Files that were added" });
  const words = el("span", { role: "status" }, "Sending …");
  const stopper = button("Stop", () => {
    stopper.disabled = true;
    words.textContent = "Stopping …";
    stop();
  });
  const node = el("div.pg-progress", {}, bar, words, stopper);
  return {
    node,
    tell: ({ sent, done, whole, share, doing }) => {
      bar.value = whole ? 0.5 * share + (0.5 * done) / whole : share;
      const going = doing || (sent < whole ? `Sent ${sent.toLocaleString("en-US")} of ${many(whole, "file")}` : "Taking in …");
      words.textContent = stopper.disabled ? `Stopping … ${doing}` : going;
    },
  };
}

/** Adding on the page: the questions, how far it is, what came in, and the search for people in it. */
export class Intake {
  /** page: {server, toasts, edits, overview, selection, renew(), changed(), whole(images), came(total)}. */
  constructor(page) {
    this.page = page;
    this.busy = false;
    this.searching = null; // the last search: the next one waits for it
    this.panel = el("div.pg-adding", { hidden: true });
    this.over = el("div.pg-drop", { hidden: true, "aria-hidden": "true" }, el("p", {}, "Drop photos, folders, zips, videos or COCO files"));
  }

  /** Take what is dropped anywhere on the page. */
  listen() {
    let depth = 0;
    const files = (event) => event.dataTransfer?.types.includes("Files");
    document.addEventListener("dragenter", (event) => { if (files(event)) { depth += 1; this.over.hidden = false; } });
    document.addEventListener("dragleave", (event) => { if (files(event) && --depth <= 0) { depth = 0; this.over.hidden = true; } });
    document.addEventListener("dragover", (event) => { if (files(event)) event.preventDefault(); });
    document.addEventListener("drop", async (event) => {
      if (!files(event)) return;
      event.preventDefault();
      depth = 0;
      this.over.hidden = true;
      const { files: found, refused } = await dropped(event.dataTransfer);
      if (found.length || refused.length) this.ask(found, refused);
      else this.page.toasts.say("There was no file in what was dropped.");
    });
  }

  /** Ask how files are to come in; refused: [[name, why]] of others in the same drop, which are named in the end. */
  ask(files, refused = []) {
    if (this.busy) {
      this.page.toasts.say("Files are being added already. Drop these when that is done.");
      return;
    }
    const close = () => { this.panel.hidden = true; };
    this.panel.hidden = false;
    if (!files.length) {
      this.panel.replaceChildren(report({ ...nothing(), refused }), el("p.pg-row", {}, button("Close", close)));
      return;
    }
    const asked = questions(files, { detector: this.page.overview.detector, cancel: close,
      start: () => this.#add(files, refused, asked.options()) });
    this.panel.replaceChildren(asked.node);
    this.panel.scrollIntoView({ block: "nearest" });
    asked.node.querySelector(".ps-primary").focus();
  }

  async #add(files, refused, { boxes, split, group }) {
    const { page } = this;
    this.busy = true;
    const stay = (event) => event.preventDefault(); // the browser asks whether to leave
    window.addEventListener("beforeunload", stay);
    const adding = new Adding(page.server, () => page.overview.token, page.edits.who, (how) => shown.tell(how));
    adding.total.refused.push(...refused);
    const shown = progress(() => adding.stop());
    this.panel.replaceChildren(shown.node);
    await page.renew();
    const problem = await adding.run(files, { split, group }).then(() => null, (error) => error);
    const { total } = adding;
    const bare = total.image_ids;
    await page.renew();
    if (bare.length && boxes === "whole") total.people += await page.whole(bare);
    const done = report(total);
    if (problem) done.append(el("p.ps-bad", {}, problem.message));
    const ways = el("p.pg-row", {}, button("Close", () => { this.panel.hidden = true; }));
    this.panel.replaceChildren(done, ways);
    this.busy = false;
    window.removeEventListener("beforeunload", stay);
    await page.came(total);
    if (bare.length && boxes === "detect") await this.detect(bare);
    ways.prepend(...this.#next(total, boxes)); // a search ends when the page is left
  }

  /** Where to go after files came in. */
  #next(total, boxes) {
    if (!total.images && !total.labeled && !total.predicted) return [];
    const [bare] = total.image_ids; // from there on, Next goes to the next photo without a box
    if (boxes === "later" && bare) return [el("a.ps-button.ps-primary", { href: `?status=empty&image=${bare}` }, "Draw boxes")];
    return [el("a.ps-button.ps-primary", { href: "correct" }, "Go to Correct")];
  }

  /** Let the detector look at photos; one search after the other, each with its own progress. */
  detect(images) {
    const { overview: { detector }, selection, toasts } = this.page;
    if (!detector.ready) {
      toasts.say(detector.words, null, "bad");
      return null;
    }
    selection.clear();
    this.searching = this.#search(images, this.searching);
    return this.searching;
  }

  /** A few photos at a time, after the search before; can be stopped. */
  async #search(images, before) {
    const { server, toasts } = this.page;
    let stopped = false;
    const shown = progress(() => { stopped = true; });
    const tell = (at, doing) => shown.tell({ sent: images.length, done: at, whole: images.length, share: at / images.length, doing });
    const box = el("div.pg-adding", {}, shown.node);
    this.panel.after(box);
    tell(0, "Looking for people");
    await before;
    let found = 0;
    try {
      for (let at = 0; at < images.length && !stopped; at += DETECT) {
        tell(at, `Looking for people: photo ${at + 1} of ${images.length}`);
        found += (await server.post("/api/photos/detect", { images: images.slice(at, at + DETECT) })).people.length;
      }
      toasts.say(found ? `${many(found, "person", "people")} found.` : stopped ? "Stopped; nobody was found so far." : "Nobody was found who has no box already.");
    } catch (error) {
      toasts.say(error.message, null, "bad");
    }
    box.remove();
    await this.page.changed();
  }
}
