/* One answer of GET /api/inspect: a header and maps as numbers. */

import { Away, Refused } from "../editor/api.js";

const NOTHING = 65535;

/** What the server says of a person of a project, or {empty: [what, next]}. */
export async function ask({ instance, run }, project, signal) {
  const query = new URLSearchParams();
  if (instance !== null) query.set("instance", instance);
  if (run !== null) query.set("run", run);
  const headers = { "X-PoseStudio-Project": project };
  let response;
  try {
    response = await fetch(`/api/inspect?${query}`, { signal, cache: "no-store", headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Away("The server does not answer.");
  }
  if (response.headers.get("content-type")?.startsWith("application/json")) {
    const answer = await response.json();
    if (answer.empty) return answer;
    throw new Refused(answer.error, answer);
  }
  if (!response.ok) throw new Away(`The server answered ${response.status}.`);
  return new Look(await response.arrayBuffer(), headers);
}

/** Both students' beliefs about a person; `headers` go with what is asked about it later. Maps are Float32Array of h * w cells, NaN where there is no value. */
export class Look {
  constructor(buffer, headers) {
    const length = new DataView(buffer).getUint32(0, true);
    const head = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
    Object.assign(this, head);
    this.headers = headers;
    this.start = 4 + length;
    this.buffer = buffer;
    const photo = new Uint8Array(buffer, this.start + head.photo.at, head.photo.bytes);
    this.photoUrl = URL.createObjectURL(new Blob([photo], { type: "image/jpeg" }));
    this.size = head.parts.beliefs.shape.slice(-2);
  }

  /** A map by its part's name and indices. */
  map(name, ...index) {
    const { shape, at } = this.parts[name];
    const cells = this.size[0] * this.size[1];
    const place = index.reduce((sum, i, axis) => sum * shape[axis] + i, 0);
    const stored = new Uint16Array(this.buffer, this.start + at + 2 * cells * place, cells);
    return Float32Array.from(stored, (value) => (value === NOTHING ? NaN : value / this.scale));
  }

  /** Image pixels of a point in crop pixels. */
  toImage([x, y]) {
    return this.to_image.map(([a, b, c]) => a * x + b * y + c);
  }

  /** Crop pixels of a point in image pixels. */
  toCrop([x, y]) {
    const [[a, b, c], [d, e, f]] = this.to_image;
    const area = a * e - b * d;
    return [(e * (x - c) - b * (y - f)) / area, (a * (y - f) - d * (x - c)) / area];
  }

  close() {
    URL.revokeObjectURL(this.photoUrl);
  }
}

/** a minus b, cell by cell. */
export const difference = (a, b) => a.map((value, i) => value - b[i]);

/** The largest of several maps in every cell, or the one farthest from 0. */
export function largest(maps, size = (value) => value) {
  const found = maps[0].slice();
  for (const map of maps.slice(1)) {
    for (let i = 0; i < found.length; i += 1) {
      if (Number.isNaN(found[i]) || size(map[i]) > size(found[i])) found[i] = map[i];
    }
  }
  return found;
}
