/* The students look at people whose boxes were drawn or moved here, as they do on Correct: quietly, one after the other. */

const LINGER = 600; // milliseconds without another change of the same box

export class Looks {
  #timers = new Map(); // person -> timer
  #before = Promise.resolve();

  /** page: {server, overview, asked}. */
  constructor(page) {
    this.page = page;
  }

  /** Ask for a prediction of a person's present box, if some run has students; whatever comes of it, nothing is said. */
  ask(id) {
    if (!this.page.overview.runs) return;
    clearTimeout(this.#timers.get(id));
    this.#timers.set(id, setTimeout(() => {
      this.#timers.delete(id);
      this.#before = this.#before.then(() => this.#look(id));
    }, LINGER));
  }

  async #look(id) {
    const { server, overview, asked } = this.page;
    const run = overview.models.some((one) => one.run && one.model === asked.run) ? asked.run : null;
    await server.post(`/api/people/${id}/predict`, { run }).catch(() => {}); // Correct asks again for who is opened there
  }
}
