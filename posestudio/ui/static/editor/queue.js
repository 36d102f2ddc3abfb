/* The queue in hand: who comes next and why. It is asked for once and never reorders by itself. No DOM. */

export const ORDERS = [
  ["doubt", "Most doubtful"], ["suspects", "Suspect labels"], ["variety", "Most different"], ["random", "Random"],
  ["marked", "Marked"],
];
export const SPLITS = [["", "Train and unlabeled"], ["train", "Train"], ["unlabeled", "Unlabeled"], ["val", "Val (blind)"]];
export const BUDGETS = [["", "No time limit"], ["10", "10 minutes"], ["20", "20 minutes"], ["40", "40 minutes"], ["60", "60 minutes"]];

/** People of this sitting after which its own pace says how long the rest takes. */
const ENOUGH = 3;

/** People that are asked for at once. */
export const STEP = 200;

/** People in hand below which more are asked for. */
const SOON = 30;

export class Queue {
  #renewal = 0;
  #asking = false;

  constructor(saved = {}) {
    this.options = { order: "", split: "", run: "", minutes: "", ...saved.options };
    this.answer = saved.answer ?? null;
    this.newest = saved.newest ?? null; // the newest run when this queue was asked for
    this.newer = null; // a run with students that came since
    this.done = new Set(saved.done ?? []);
    this.passed = new Set(saved.passed ?? []);
    this.seconds = saved.seconds ?? [];
  }

  /** What a reload needs. */
  toJSON() {
    return {
      options: this.options, answer: this.answer, newest: this.newest, done: [...this.done], passed: [...this.passed], seconds: this.seconds,
    };
  }

  /** Take what an address asks for; what it does not name stays. Returns whether that is another queue: an empty
     run is the newest one, whose queue may not be in hand yet. */
  take(asked, runs) {
    const named = ["order", "split", "run"].filter((key) => asked.has(key));
    const differs = named.some((key) => asked.get(key) !== this.options[key]);
    for (const key of named) this.options[key] = asked.get(key);
    this.hear(runs);
    return !this.answer || differs || (asked.get("run") === "" && this.newer !== null);
  }

  /** Listen to the runs with students, the newest first: did one come since this queue was asked for? */
  hear(runs) {
    const { order, split } = this.options;
    const asks = this.answer && !["random", "marked"].includes(order) && split !== "val";
    const newest = runs[0]?.run_id ?? null;
    this.newer = asks && ![null, this.newest, this.answer.run_id].includes(newest) ? newest : null;
  }

  /** Ask for a new queue: `ask` resolves to what `load` takes. Resolves to whether it was loaded: the last question counts. */
  async renew(ask) {
    const turn = (this.#renewal += 1);
    const found = await ask().catch((error) => [{ items: [], note: error.message }]);
    if (turn !== this.#renewal) return false;
    this.load(...found);
    return true;
  }

  /** A new queue, as the server answered, which knew of these runs. */
  load(answer, runs = []) {
    this.answer = answer;
    this.newest = runs[0]?.run_id ?? null;
    this.newer = null;
    this.done = new Set();
    this.passed = new Set();
  }

  /** The items in hand: with a time budget, only those that fit. */
  get items() {
    const items = this.answer?.items ?? [];
    const { fits } = this.answer ?? {};
    return this.options.minutes && Number.isInteger(fits) ? items.slice(0, Math.max(1, fits)) : items;
  }

  /** People in this order, in hand or not; with a time budget, those that fit. */
  get total() {
    const { items = [], total = 0, fits } = this.answer ?? {};
    if (this.options.minutes && Number.isInteger(fits)) return Math.max(this.items.length, fits);
    return Math.max(items.length, total);
  }

  /** When those in hand are soon done, put others behind them: `ask(limit)` resolves to an answer of the server. */
  async more(ask) {
    const left = this.items.filter((one) => !this.#finished(one)).length;
    if (this.#asking || left >= SOON || this.items.length >= this.total) return false;
    const { answer } = this;
    this.#asking = true;
    try {
      const found = await ask(left + STEP); // the server leaves out who is done
      const known = new Set(answer.items.map((one) => one.instance_id));
      const others = found.items.filter((one) => !known.has(one.instance_id));
      if (this.answer !== answer) return false;
      answer.items = [...answer.items, ...others];
      if (found.items.length < left + STEP) answer.total = answer.items.length; // that was everybody
      return others.length > 0;
    } catch {
      return false; // asked again with the next person
    } finally {
      this.#asking = false;
    }
  }

  #finished({ instance_id: id }) {
    return this.done.has(id) || this.passed.has(id);
  }

  item(id) {
    return this.items.find((one) => one.instance_id === id) ?? null;
  }

  /** The person `by` places on in the list; null at its ends, the first when `id` is not in it. */
  step(id, by) {
    const at = this.items.findIndex((one) => one.instance_id === id);
    if (at < 0) return by > 0 ? this.upcoming(id)[0] ?? null : null;
    return this.items[at + by]?.instance_id ?? null;
  }

  /** Who is still to do after a person, in order; those before it come last. */
  upcoming(id) {
    const at = this.items.findIndex((one) => one.instance_id === id);
    const inOrder = [...this.items.slice(at + 1), ...this.items.slice(0, Math.max(0, at))];
    return inOrder.map((one) => one.instance_id).filter((one) => one !== id && !this.done.has(one) && !this.passed.has(one));
  }

  /** A person is finished after so many seconds; `passed` when it was skipped. */
  finish(id, seconds, passed = false) {
    if (!this.item(id)) return;
    if (!this.done.has(id) && !passed && seconds > 0) this.seconds.push(seconds);
    (passed ? this.passed : this.done).add(id);
    if (!passed) this.passed.delete(id);
  }

  /** A person is to do again. */
  again(id) {
    this.done.delete(id);
    this.passed.delete(id);
  }

  /** {done, total, minutes}: how far, and how long the rest takes (null when nobody knows). */
  get progress() {
    const { total, pace } = this;
    const done = this.items.filter((one) => this.#finished(one)).length;
    return { done, total, minutes: pace === null ? null : ((total - done) * pace) / 60 };
  }

  /** Seconds a person: of this sitting when it knows, else of the project's journal. */
  get pace() {
    if (this.seconds.length < ENOUGH) return this.answer?.seconds_per_person ?? null;
    const sorted = [...this.seconds].sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  }

  /** "7 of 40, about 12 min left". */
  words() {
    const { done, total, minutes } = this.progress;
    if (!total) return "Nobody is in this queue";
    if (done === total) return `All ${many(total)} done`;
    const time = minutes === null ? "" : minutes < 1 ? ", under a minute left" : `, about ${Math.round(minutes)} min left`;
    return `${many(done)} of ${many(total)}${time}`;
  }
}

const many = (count) => count.toLocaleString("en-US");

/** Time spent on a person, in which a pause counts for no more than `longest` seconds. */
export class Stopwatch {
  #last = null;
  #seconds = 0;

  constructor(now = () => performance.now(), longest = 20) {
    Object.assign(this, { now, longest });
  }

  /** Something was done. */
  touch() {
    const at = this.now() / 1000;
    if (this.#last !== null) this.#seconds += Math.min(this.longest, at - this.#last);
    this.#last = at;
  }

  /** The seconds since the last take, with 2 decimals. */
  take() {
    this.touch();
    const seconds = Math.round(this.#seconds * 100) / 100;
    this.#seconds = 0;
    return seconds;
  }
}
