/* Maps as pictures: colors by fixed scales, one canvas a tile with one pixel a cell, stretched over the crop. */

import { el } from "../editor/dom.js";

/** Ends of each scale. Uncertainty has one of its own; its top is the server's. */
export const SCALES = {
  belief: { low: 0, top: 1 },
  uncertainty: { low: 0, top: 0.25 },
  difference: { low: -1, top: 1 },
};

export class Palettes {
  /** tables: name -> base64 of 256 RGB triples. */
  constructor(tables) {
    this.tables = Object.fromEntries(
      Object.entries(tables).map(([name, text]) => [name, Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]),
    );
    this.setOpacity(0.7);
  }

  /** opacity: 0 shows the photo alone, 1 the map alone; between, what is high covers more than what is low. */
  setOpacity(opacity) {
    this.opacity = opacity;
    this.lookup = Object.fromEntries(Object.keys(this.tables).map((kind) => [kind, this.#lookup(kind)]));
  }

  #lookup(kind) {
    const table = this.tables[kind];
    const { low, top } = SCALES[kind];
    return Uint32Array.from({ length: 256 }, (_, i) => {
      const value = Math.abs(low + ((top - low) * i) / 255) / Math.max(top, -low);
      const alpha = Math.round(255 * this.opacity ** (1 / (0.15 + 3 * value)));
      return table[3 * i] | (table[3 * i + 1] << 8) | (table[3 * i + 2] << 16) | (alpha << 24);
    });
  }

  /** Draw a map of [h, w] cells on a canvas. */
  draw(canvas, map, [h, w], kind) {
    const { low, top } = SCALES[kind];
    const lookup = this.lookup[kind];
    const image = new ImageData(w, h);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < map.length; i += 1) {
      if (Number.isNaN(map[i])) continue;
      const step = ((map[i] - low) / (top - low)) * 255;
      pixels[i] = lookup[Math.max(0, Math.min(255, Math.round(step)))];
    }
    canvas.getContext("2d").putImageData(image, 0, 0);
  }

  /** A labeled scale of a kind. */
  bar(kind, words) {
    const table = this.tables[kind];
    const { low, top } = SCALES[kind];
    const stops = Array.from({ length: 17 }, (_, i) => {
      const at = 3 * Math.round((255 * i) / 16);
      return `rgb(${table[at]},${table[at + 1]},${table[at + 2]})`;
    });
    const ends = [low, kind === "uncertainty" ? `${top}+` : top].map(String);
    const colors = el("i", { "aria-hidden": "true" });
    colors.style.background = `linear-gradient(90deg,${stops.join(",")})`;
    return el("span.pi-scale", {}, words, el("b", {}, ends[0].replace("-", "−")), colors, el("b", {}, ends[1]));
  }
}

/** A map over the crop, with marks and the value under the cross hair. */
export class Tile {
  /**
   * look: whose crop. map: its numbers, or null for the photo alone. kind: of SCALES. words: what it shows, for those
   * who do not see it. marks: [{at: crop pixels, kind}]. off: a rejected or outlying one.
   */
  constructor(look, map, kind, words, { marks = [], off = false } = {}) {
    this.map = map;
    this.kind = kind;
    this.size = look.size;
    this.canvas = el("canvas", { width: look.size[1], height: look.size[0], "aria-hidden": "true" });
    this.value = el("span.pi-value", { "aria-hidden": "true" });
    this.node = el(off ? "div.pi-tile.pi-off" : "div.pi-tile", { role: "img", "aria-label": words },
      this.canvas, ...marks.map((mark) => placed(look, mark)), this.value);
    this.node.tile = this;
  }

  draw(palettes) {
    palettes.draw(this.canvas, this.map, this.size, this.kind);
    return this;
  }

  /** The number of a cell. */
  at([column, row]) {
    return this.map[row * this.size[1] + column];
  }

  /** Show the number of a cell, or none. */
  read(cell) {
    const value = cell === null ? null : this.at(cell);
    this.value.textContent = value === null ? "" : Number.isNaN(value) ? "not seen" : number(value);
  }
}

/** A number with three digits and a true minus. */
export const number = (value) => (Math.abs(value) < 0.0005 ? "0.000" : value.toFixed(3)).replace("-", "−");

/** A mark at crop pixels. kind: "peak" (a cross), "label" (a ring), "candidate" (a dot) or "other" (a small cross). */
export function placed(look, { at, kind, words = null }) {
  const mark = el(`i.pi-mark.pi-${kind}`, { title: words });
  mark.style.left = `${(((at[0] + 0.5) / look.crop[1]) * 100).toFixed(2)}%`;
  mark.style.top = `${(((at[1] + 0.5) / look.crop[0]) * 100).toFixed(2)}%`;
  return mark;
}
