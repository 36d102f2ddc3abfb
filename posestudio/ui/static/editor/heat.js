/* What the students believe about the keypoint in hand, as a colored layer over the photo. */

/** Viridis from 0 to 1 in nine stops: dark blue, green, yellow. Source: matplotlib. */
const STOPS = [
  [68, 1, 84], [71, 44, 122], [59, 81, 139], [44, 113, 142], [33, 144, 141], [39, 173, 129], [92, 200, 99],
  [170, 220, 50], [253, 231, 37],
];
const TRANSPARENT_BELOW = 0.03;

/** 256 RGBA colors: the higher, the more opaque, so that the photo stays to be seen where nothing is believed. */
export function table() {
  const colors = new Uint8ClampedArray(256 * 4);
  for (let i = 0; i < 256; i += 1) {
    const value = i / 255;
    const place = value * (STOPS.length - 1);
    const low = Math.min(Math.floor(place), STOPS.length - 2);
    for (let c = 0; c < 3; c += 1) {
      colors[4 * i + c] = STOPS[low][c] + (STOPS[low + 1][c] - STOPS[low][c]) * (place - low);
    }
    colors[4 * i + 3] = value < TRANSPARENT_BELOW ? 0 : 255 * value ** 0.6;
  }
  return colors;
}

/** The same colors as a bar from 0 to 1, for CSS. */
export const gradient = () => `linear-gradient(to right, ${STOPS.map((color) => `rgb(${color.join(" ")})`).join(", ")})`;

/** The bytes of a heat answer: S students, K keypoints, h by w cells. Throws when they do not fit. */
export function decode(answer, keypoints) {
  const [h, w] = answer.size;
  const students = answer.students ?? ["a", "b"];
  const bytes = Uint8Array.from(atob(answer.maps), (c) => c.charCodeAt(0));
  if (bytes.length !== students.length * keypoints * h * w) throw new Error("The heatmaps have an unexpected size.");
  return { h, w, students, bytes, keypoints, toImage: answer.to_image.map((row) => row.map(Number)) };
}

/** One keypoint's map: the larger of the chosen students' values in each cell. */
export function plane(maps, k, students) {
  const cells = maps.h * maps.w;
  const out = new Uint8Array(cells);
  for (const s of students) {
    const start = (s * maps.keypoints + k) * cells;
    for (let i = 0; i < cells; i += 1) out[i] = Math.max(out[i], maps.bytes[start + i]);
  }
  return out;
}

/** CSS matrix that lays a canvas of one pixel a cell over the photo, both counted from their corners. */
export function placement([[a, b, c], [d, e, f]]) {
  const tx = c + 0.5 - 0.5 * (a + b);
  const ty = f + 0.5 - 0.5 * (d + e);
  return [a, d, b, e, tx, ty];
}

export class Heat {
  #colors = table();
  #maps = null;
  #drawn = []; // what is on the canvas now
  show = "open"; // "open": of both students while the keypoint in hand is open; "off", "both", or a student's name

  /** scale: the bar that says what the colors mean, there while a map is. */
  constructor(canvas, scale) {
    Object.assign(this, { canvas, scale });
    scale.style.backgroundImage = gradient();
  }

  /** Another person's maps, or null. */
  load(maps) {
    this.#maps = maps;
  }

  /** What `show` may be, in order. */
  get choices() {
    return ["open", "off", "both", ...(this.#maps?.students ?? ["a", "b"])];
  }

  get loaded() {
    return this.#maps !== null;
  }

  /** Draw the map of a keypoint, which is open or not, or nothing. */
  draw(k, open) {
    const maps = this.#maps;
    const show = this.show === "open" ? (open ? "both" : "off") : this.show;
    const off = !maps || show === "off" || k >= maps.keypoints;
    const now = off ? [] : [maps, k, show];
    if (now.length === this.#drawn.length && now.every((one, i) => one === this.#drawn[i])) return;
    this.#drawn = now;
    this.canvas.style.display = off ? "none" : "block";
    this.scale.hidden = off;
    if (off) return;
    const chosen = maps.students.flatMap((name, s) => (show === "both" || show === name ? [s] : []));
    const values = plane(maps, k, chosen);
    if (this.canvas.width !== maps.w || this.canvas.height !== maps.h) {
      this.canvas.width = maps.w;
      this.canvas.height = maps.h;
    }
    const picture = new ImageData(maps.w, maps.h);
    for (let i = 0; i < values.length; i += 1) {
      for (let c = 0; c < 4; c += 1) picture.data[4 * i + c] = this.#colors[4 * values[i] + c];
    }
    this.canvas.getContext("2d").putImageData(picture, 0, 0);
    this.canvas.style.transform = `matrix(${placement(maps.toImage).join(",")})`;
  }
}
