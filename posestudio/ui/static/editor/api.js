/* The server: reads, and posts with the token of this start of the server. */

/** The server is not there, or cannot do it now: try again later. `said` is its own sentence, "" when it is not there. */
export class Away extends Error {
  constructor(message, said = message) {
    super(message);
    this.said = said;
  }
}

/** The server said no; `kind` is one of invalid, not_found, conflict, token, busy. */
export class Refused extends Error {
  constructor(error, answer = {}) {
    super(error?.message ?? "The server refused this.");
    this.kind = error?.kind ?? "invalid";
    this.answer = answer;
  }
}

export class Server {
  #token = null;
  #project; // which one this page is of, once it is known
  #asked = null;

  constructor(fetcher = (...args) => fetch(...args), root = "") {
    this.fetch = fetcher;
    this.root = root;
  }

  /** GET a path; parameters that are null or empty are left out. */
  async get(path, parameters = {}, signal = undefined) {
    const given = Object.entries(parameters).filter(([, value]) => value !== null && value !== undefined && value !== "");
    const query = given.length ? "?" + new URLSearchParams(given) : "";
    return this.#read(await this.#send(path + query, { signal, cache: "no-store" }));
  }

  /** The session, asked for once for all who want it now. */
  async session() {
    this.#asked ??= this.get("/api/session").finally(() => { this.#asked = null; });
    const session = await this.#asked;
    this.#project ??= session.project_id;
    if (session.project_id !== this.#project) throw new Away("Another project is open here: load the page anew.");
    this.#token = session.token;
    return session;
  }

  /** The session of a project that has photos; others have no skeleton yet. */
  async begun() {
    const session = await this.session();
    if (!session.skeleton) throw new Error("There are no photos yet. Add them, or a COCO keypoint file, on the page Images.");
    return session;
  }

  /** POST JSON; a token of an earlier start of the server is renewed once. */
  async post(path, body) {
    if (this.#token === null) await this.session();
    try {
      return await this.#post(path, body);
    } catch (error) {
      if (error.kind !== "token") throw error;
      await this.session();
      return await this.#post(path, body);
    }
  }

  async #post(path, body) {
    const headers = { "Content-Type": "application/json", "X-PoseStudio-Token": this.#token };
    return this.#read(await this.#send(path, { method: "POST", headers, body: JSON.stringify(body) }));
  }

  async #send(path, options) {
    const project = this.#project && { "X-PoseStudio-Project": this.#project };
    try {
      return await this.fetch(this.root + path, { ...options, headers: { ...options.headers, ...project } });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      this.#token = null; // whoever answers next may have a new one
      throw new Away("The server does not answer.", "");
    }
  }

  async #read(response) {
    let answer = null;
    try {
      answer = await response.json();
    } catch (error) {
      if (error.name === "AbortError") throw error; // else not JSON: handled by status below
    }
    if (response.ok && answer !== null) return answer;
    if (response.status >= 500 || response.status === 429 || answer === null) {
      throw new Away(answer?.error?.message ?? `The server answered ${response.status}.`);
    }
    throw new Refused(answer.error, answer);
  }
}
