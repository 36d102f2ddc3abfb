/* The Correct page: who is shown, and what happens between its parts. `mount` is called by the page's host. */

import { Away, Server } from "./api.js";
import { aboutKeypoint, drawHead, guide, opening } from "./about.js";
import { candidates } from "./commands.js";
import { conflicts } from "./conflicts.js";
import { Deeds } from "./deeds.js";
import { el } from "./dom.js";
import { handle } from "./handle.js";
import { Heat } from "./heat.js";
import { drawRows, layout } from "./layout.js";
import { recallHeat } from "./looking.js";
import { address, kept, store } from "./memory.js";
import { History } from "./model.js";
import { ended } from "./modes.js";
import { Outbox } from "./outbox.js";
import { Panel, drawHistory } from "./panel.js";
import { People } from "./people.js";
import { Pointer } from "./pointer.js";
import { look } from "./predicting.js";
import { Queue, STEP, Stopwatch } from "./queue.js";
import { drawSaved, listenToOutbox } from "./saving.js";
import { View } from "./view.js";
import { fillChoosers, givenName, wire } from "./wiring.js";

const AHEAD = 3;
const NEWS = 30_000; // milliseconds between two looks for newer runs
const OLD = 10_000; // milliseconds after which a person that is opened is asked for again
const FEW_LABELED = 30; // as the queue: below this, variety decides, and the rule stands open beside it
const RETRY = [500, 1000, 2000, 4000];

const sleep = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

export class Page {
  person = null;
  session = null;
  peaks = null;
  hidden = false;
  watch = new Stopwatch();
  quietly = new Set(); // edits whose refusal is only told
  drawn = new Set(); // edits that add a person who opens when it is there
  looked = new Set(); // people at whom the students looked by themselves
  #spent = new Map();
  #visited = [];
  #turn = 0;
  #newsAt = Date.now();

  constructor(root) {
    this.root = root;
    this.gone = new AbortController();
    const { signal } = this.gone;
    this.server = new Server();
    this.deeds = new Deeds(this);
    this.panel = new Panel({ select: (k, back) => this.person && this.deeds.select(k, back), run: (...a) => this.deeds.run(...a) }, signal);
    this.part = layout(root, this.panel);
    this.stage = this.part.stage;
    this.heat = new Heat(this.part.canvas, this.part.scale);
    this.view = new View(this.stage, this.part.canvas);
    this.pointer = new Pointer(this.stage, this.view, this.deeds, signal);
    wire(this, signal);
    recallHeat(this);
  }

  get skeleton() {
    return this.session.skeleton;
  }

  get limit() {
    return this.session.error_limit ?? 1;
  }

  get who() {
    return givenName() || this.session?.who || "annotator";
  }

  // Starting

  /** Ask for the session until the server answers, then show the person of the address. */
  async start() {
    this.session = await this.#patiently(() => this.server.begun());
    const name = this.session.project_id ?? this.session.project;
    this.keep = { queue: `posestudio/queue/${name}`, history: `posestudio/history/${name}` };
    this.outbox = new Outbox({
      project: name, post: (edits) => this.server.post("/api/edits", { edits }), storage: localStorage,
      locks: navigator.locks ?? null, channel: new BroadcastChannel(`posestudio/${name}`),
    });
    this.people = new People(this.server, this.outbox, () => this.deeds.rest());
    listenToOutbox(this);
    this.history = new History(kept(this.keep.history) ?? {});
    this.queue = new Queue(kept(this.keep.queue) ?? {});
    const { partly = 0, reviewed = 0 } = this.session.counts?.splits?.train ?? {};
    this.part.ruleBox.open = partly + reviewed < FEW_LABELED;
    drawSaved(this);
    this.outbox.hurry();
    this.root.removeAttribute("aria-busy");
    await this.#begin();
  }

  async #begin() {
    const asked = new URLSearchParams(location.search);
    const another = this.queue.take(asked, this.session.runs);
    this.people.run = this.queue.options.run;
    this.#models();
    const known = asked.get("instance");
    const instance = known && /^\d{1,15}$/.test(known) ? Number(known) : null;
    const queue = another ? this.renew(false) : Promise.resolve(this.drawQueue());
    if (instance !== null) await this.open(instance);
    await queue;
    if (instance === null) {
      const [first] = this.queue.upcoming(null);
      if (first !== undefined) await this.open(first);
      else if (this.queue.answer) this.nobody();
    } else {
      this.drawQueue();
      this.#ahead();
    }
  }

  /** Ask for a new queue and, if asked, open its first person. */
  async renew(go = true) {
    if (!(await this.queue.renew(() => this.#askQueue()))) return;
    this.part.rows.replaceChildren();
    this.drawQueue();
    address(this);
    store(this);
    if (!go) return;
    const [first] = this.queue.upcoming(null);
    if (first !== undefined) await this.open(first);
    else if (!this.person) this.nobody();
  }

  async #askQueue() {
    const { order, split, run, minutes } = this.queue.options;
    if (this.person) {
      this.session = await this.#patiently(() => this.server.session());
      this.#models();
    }
    if (this.queue.newer) this.people.clear(this.people.run, this.person?.id);
    const answer = await this.#patiently(() => this.server.get("/api/queue", { order, split, run, minutes, limit: STEP }));
    return [answer, this.session.runs];
  }

  /** The session tells of runs and imported models. */
  #models() {
    this.people.runs = this.session.runs.length;
    this.people.imported = new Set(this.session.imported.map((one) => one.run_id));
    fillChoosers(this);
  }

  /** Others behind the people in hand, when these are soon done. */
  async #more() {
    if (!(await this.queue.more((limit) => this.server.get("/api/queue", { ...this.queue.options, limit })))) return;
    this.drawQueue();
    store(this);
  }

  /** Again and again while the server is away, as long as it is `wanted`. */
  async #patiently(ask, wanted = () => true) {
    for (let i = 0; ; i += 1) {
      try {
        return await ask();
      } catch (error) {
        if (!(error instanceof Away) || this.gone.signal.aborted || !wanted()) throw error;
        this.say(`${error.message} Trying again.`);
        await sleep(RETRY[Math.min(i, RETRY.length - 1)]);
      }
    }
  }

  // People

  /** Show a person, as soon as the server is there, unless another is asked for first; resolves to whether it is shown. */
  async open(id, { from = null } = {}) {
    this.deeds.end();
    const turn = ++this.#turn;
    const here = this.people.here(id);
    if (here) {
      this.#show(here, from);
      if (Date.now() - here.at > OLD) this.refresh(id);
      return true;
    }
    const late = setTimeout(() => turn === this.#turn && this.part.frame.classList.add("loading"), 150);
    try {
      const found = await this.#patiently(() => this.people.get(id), () => turn === this.#turn);
      await this.deeds.rest();
      if (turn !== this.#turn) return false;
      this.#show(found, from);
      return true;
    } catch (error) {
      if (turn === this.#turn) this.say(error.message);
      if (!this.person && turn === this.#turn) this.nobody(error.message);
      return false;
    } finally {
      clearTimeout(late);
      if (turn === this.#turn) this.part.frame.classList.remove("loading");
    }
  }

  #show({ person, photo }, from) {
    if (from !== null && from !== person.id) this.#visited.push(from);
    this.spend();
    this.person = person;
    this.part.empty.hidden = true;
    this.root.classList.add("open");
    ended(this.deeds);
    this.peaks = null;
    this.heat.load(null);
    this.view.show(person, this.skeleton, photo);
    this.view.fit(false);
    this.deeds.selected = person.flagged ?? person.uncertain()[0] ?? Math.max(0, person.asked.indexOf(true));
    drawHead(this, person);
    this.selected();
    this.redraw();
    this.drawQueue();
    conflicts(this);
    address(this);
    this.#loadHeat();
    this.#ahead();
    this.#more();
    this.#news();
    this.say(opening(this));
    look(this);
    if (!this.root.contains(document.activeElement) || document.activeElement === this.stage) this.stage.focus({ preventScroll: true });
  }

  async refresh(id) {
    try {
      const newer = await this.people.refresh(id);
      if (!newer || this.person?.id !== id) return;
      this.reload();
      look(this); // its box may have moved
    } catch {
      // seen again next time
    }
  }

  /** Draw a person anew whose document has changed. */
  reload() {
    const { person } = this;
    this.view.show(person, this.skeleton, this.view.photo);
    drawHead(this, person);
    this.#loadHeat();
    this.redraw();
  }

  /** Whether a newer run has predicted since the queue in hand was asked for; the queue says so and stays. */
  async #news() {
    if (Date.now() - this.#newsAt < NEWS) return;
    this.#newsAt = Date.now();
    try {
      this.session = await this.server.session();
      this.#models();
      this.queue.hear(this.session.runs);
      this.drawQueue();
    } catch {
      // asked again with a later person
    }
  }

  #ahead() {
    if (!this.person) return;
    this.people.ahead(this.queue.upcoming(this.person.id).slice(0, AHEAD));
  }

  async #loadHeat() {
    const { person } = this;
    const heat = this.people.heat(person.id), maps = await heat, here = this.people.here(person.id);
    if (person !== this.person || here?.person !== person || (here.heat ?? heat) !== heat) return; // or asked for again
    this.heat.load(maps);
    this.peaks = maps?.candidates ?? null;
    this.redraw();
  }

  goBack() {
    const id = this.#visited.pop();
    return id === undefined ? this.say("There is nobody to go back to") : void this.open(id);
  }

  /** Seconds of work since the last edit; they count for the person in hand. */
  spend() {
    const seconds = this.watch.take();
    if (this.person) this.#spent.set(this.person.id, (this.#spent.get(this.person.id) ?? 0) + seconds);
    return seconds;
  }

  /** The seconds spent on a person so far. */
  secondsOf(id) {
    if (this.person?.id === id) this.spend();
    return this.#spent.get(id) ?? 0;
  }

  finished() {
    this.drawQueue();
    this.say(this.queue.items.length ? "The queue is done" : "There is nobody after this person");
    if (this.queue.items.length) this.stop("The queue is done. Ask for a new one at its top.");
  }

  nobody(words = "") {
    const more = words || "Everybody of this choice is done. Choose another order or split, or add photos.";
    const images = el("a.ps-button", { href: "." }, "Go to Images");
    this.part.empty.replaceChildren(el("b", {}, "Nobody to correct"), el("p", {}, more), el("p", {}, images));
    this.part.empty.hidden = false;
  }

  // Saying and drawing

  /** Bring the stage and the list along; called at every input, so it draws at once. */
  redraw() {
    const { deeds, person } = this;
    if (!person || !this.session) return;
    const uncertain = person.points[deeds.selected].state === "open" || person.isSuspect(deeds.selected);
    this.heat.draw(deeds.selected, uncertain);
    this.view.draw({
      selected: deeds.selected, limit: this.limit, held: deeds.held, hidden: this.hidden, boxing: deeds.mode === "box",
      drawn: deeds.drawnBox, other: deeds.other, ghosts: uncertain && deeds.held === null ? candidates(this, deeds.selected) : [], rivals: this.rivals ?? [],
    });
    this.panel.draw(person, this.skeleton, deeds.selected, this.limit);
    this.stage.classList.toggle("placing", deeds.placing && deeds.mode === null);
    this.stage.dataset.mode = deeds.mode ?? "";
    this.part.percent.textContent = `${Math.round(100 * this.view.camera.scale)} %`;
    if (deeds.mode === null && !this.stopping) this.banner(guide(this), "guide");
  }

  /** Another keypoint is in hand. */
  selected() {
    if (!this.person) return;
    this.stopping = false;
    drawHistory(this);
  }

  /** A keypoint in words. */
  about(k) {
    return aboutKeypoint(this, k);
  }

  /** One line for everybody, also for who listens. */
  say(words) {
    this.part.live.textContent = words;
  }

  /** A line over the photo; `kind` "guide", "stop" or "". */
  banner(words, kind = "") {
    if (this.part.banner.textContent !== words) this.part.banner.textContent = words;
    this.part.banner.className = `pe-banner ${kind}`;
    this.part.banner.hidden = !words;
  }

  /** Something that has to be looked at before going on. */
  stop(words) {
    this.stopping = true;
    this.banner(words, "stop");
    this.say(words);
  }

  drawQueue() {
    drawRows(this.part, { queue: this.queue, current: this.person?.id ?? null, open: (id) => this.open(id, { from: this.person?.id ?? null }) });
  }

  // Edits

  /** Send an edit of this page: into the outbox, with what its author knew. */
  send(edit, { bases = {}, effect = [] } = {}) {
    const follows = this.outbox.seen(edit.instance_id).map((entry) => entry.edit.edit_id);
    return this.outbox.add({ who: this.who, ...edit }, { bases, follows, effect });
  }

  // Wiring

  resized() {
    this.view.measure();
    if (!this.person) return;
    if (this.view.fitted) this.view.fit(this.view.fitted === "photo");
    this.redraw();
  }

  /** The page may be going: end what is going on, and keep what a reload needs. */
  pause() {
    this.deeds.end();
    store(this);
    if (document.visibilityState === "visible") this.outbox?.hurry();
  }
}

/** Build the page in its host; an earlier one in the same window ends. */
export async function mount(host) {
  window.__editorPage?.gone.abort();
  const page = new Page(host);
  Object.defineProperty(window, "__editorPage", { value: page, configurable: true, enumerable: false });
  window.__editor = handle(page);
  try {
    await page.start();
  } catch (error) {
    page.say(error.message);
    page.nobody?.(error.message);
  }
  return page;
}
