/* Where a photo's pixels are on the screen. No DOM.

   Points are image pixels with whole-numbered pixel centers; the screen counts from the corner of the stage, so
   pixel (x, y) has its center at ((x + 0.5) scale + tx, (y + 0.5) scale + ty). Boxes count from corners. */

export const SCALE = { least: 0.02, most: 64 };

/** How far outside the photo a keypoint may lie, in pixels: up to the photo's own edge. */
const EDGE = 0.5;

export const round = (value, digits = 2) => Math.round(value * 10 ** digits) / 10 ** digits;

export const finite = (value) => typeof value === "number" && Number.isFinite(value);

const between = (value, low, high) => Math.min(high, Math.max(low, value));

export class Camera {
  scale = 1;
  tx = 0;
  ty = 0;

  /** Image pixel to stage, in CSS pixels. */
  toScreen(x, y) {
    return [(x + 0.5) * this.scale + this.tx, (y + 0.5) * this.scale + this.ty];
  }

  /** Stage to image pixel. */
  toImage(sx, sy) {
    return [(sx - this.tx) / this.scale - 0.5, (sy - this.ty) / this.scale - 0.5];
  }

  /** Zoom by a factor; what lies at the stage point (sx, sy) stays there. */
  zoomAt(sx, sy, factor) {
    const scale = between(this.scale * factor, SCALE.least, SCALE.most);
    const by = scale / this.scale;
    this.tx = sx - (sx - this.tx) * by;
    this.ty = sy - (sy - this.ty) * by;
    this.scale = scale;
  }

  panBy(dx, dy) {
    this.tx += dx;
    this.ty += dy;
  }

  /**
   * Show a box [x, y, w, h] in the middle of a stage of (width, height) CSS pixels, with a margin around it, at most
   * `most` times as large as the photo.
   */
  fit([x, y, w, h], width, height, margin = 0, most = SCALE.most) {
    const room = [Math.max(1, width - 2 * margin), Math.max(1, height - 2 * margin)];
    this.scale = between(Math.min(room[0] / w, room[1] / h), SCALE.least, most);
    this.tx = width / 2 - (x + w / 2) * this.scale;
    this.ty = height / 2 - (y + h / 2) * this.scale;
  }

  /** Keep at least `left` CSS pixels of a photo of (w, h) pixels on a stage of (width, height). */
  hold(w, h, width, height, left = 48) {
    this.tx = between(this.tx, left - w * this.scale, width - left);
    this.ty = between(this.ty, left - h * this.scale, height - left);
  }
}

/** A point moved, if need be, to the edge of a photo of [w, h] pixels. */
export function inside([x, y], [w, h]) {
  return [between(x, -EDGE, w - 1 + EDGE), between(y, -EDGE, h - 1 + EDGE)];
}

/** Whether a point may be a label on a photo of [w, h] pixels; predictions may lie farther out. */
export function isInside([x, y], [w, h]) {
  return x >= -EDGE && y >= -EDGE && x <= w - 1 + EDGE && y <= h - 1 + EDGE;
}

/** The smallest box [x, y, w, h] around points; null without any. */
export function around(points) {
  if (!points.length) return null;
  const [xs, ys] = [points.map((p) => p[0] + 0.5), points.map((p) => p[1] + 0.5)];
  const [x, y] = [Math.min(...xs), Math.min(...ys)];
  return [x, y, Math.max(...xs) - x, Math.max(...ys) - y];
}

/** A box grown by a share of its longer side, kept inside a photo of [w, h]. */
export function grown([x, y, w, h], share, [width, height]) {
  const by = Math.max(w, h) * share;
  const [left, top] = [Math.max(0, x - by), Math.max(0, y - by)];
  return [left, top, Math.min(width, x + w + by) - left, Math.min(height, y + h + by) - top];
}

/** The box around both boxes. */
export function union(a, b) {
  const [x, y] = [Math.min(a[0], b[0]), Math.min(a[1], b[1])];
  return [x, y, Math.max(a[0] + a[2], b[0] + b[2]) - x, Math.max(a[1] + a[3], b[1] + b[3]) - y];
}

/** The box between two corners, in corner coordinates, at least `least` pixels wide and high and inside the photo. */
export function boxBetween([ax, ay], [bx, by], [width, height], least = 2) {
  const [x, y] = [between(Math.min(ax, bx), 0, width - least), between(Math.min(ay, by), 0, height - least)];
  const [w, h] = [between(Math.max(ax, bx), 0, width) - x, between(Math.max(ay, by), 0, height) - y];
  return [round(x), round(y), round(Math.max(least, w)), round(Math.max(least, h))];
}

/** A box scaled about its middle, inside the photo. */
export function resized([x, y, w, h], factor, size) {
  const [cx, cy] = [x + w / 2, y + h / 2];
  return boxBetween([cx - (w * factor) / 2, cy - (h * factor) / 2], [cx + (w * factor) / 2, cy + (h * factor) / 2], size);
}

/** The handles of a box: name, and which sides each moves (-1 left or top, 0 none, 1 right or bottom). */
export const HANDLES = [
  ["nw", -1, -1], ["n", 0, -1], ["ne", 1, -1], ["e", 1, 0], ["se", 1, 1], ["s", 0, 1], ["sw", -1, 1], ["w", -1, 0],
];

/** A box after a drag by (dx, dy) image pixels of a handle, or of all of it ("move"). */
export function dragged([x, y, w, h], handle, dx, dy, size) {
  if (handle === "move") {
    return [round(between(x + dx, 1 - w, size[0] - 1)), round(between(y + dy, 1 - h, size[1] - 1)), w, h];
  }
  const [, sx, sy] = HANDLES.find(([name]) => name === handle);
  const from = [sx < 0 ? x + dx : x, sy < 0 ? y + dy : y];
  const to = [sx > 0 ? x + w + dx : x + w, sy > 0 ? y + h + dy : y + h];
  return boxBetween(from, to, size);
}
