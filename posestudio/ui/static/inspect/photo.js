/* The person's crop with what both students, the label and imported models say; each layer can be hidden. */

import { el, sv } from "../editor/dom.js";
import { limbSide, shape } from "../editor/view.js";
import { heard } from "../shared/page.js";

/** Layers of the photo: [key, words, points with scores and visibility]. */
function layers(look) {
  const found = look.students.map((name, s) => [name, `student ${name}`, look.points[s].map((at, k) => ({
    at, strength: 0.3 + 0.7 * Math.min(1, Math.max(0, look.scores[s][k])),
  }))]);
  const labeled = look.keypoints.map(({ label }) => label && { at: label.xy, strength: 1, hollow: label.v === 1 });
  if (labeled.some(Boolean)) found.push(["label", "label of a person", labeled]);
  look.others.forEach((other, i) => found.push([`other-${i}`, `${other.name}${other.stale ? " (box moved since)" : ""}`,
    other.points.map((at, k) => ({ at, strength: 0.3 + 0.7 * Math.min(1, Math.max(0, other.scores[k])) }))]));
  return found;
}

/** {node, legend}: the photo with its drawing, and switches for its layers. `hidden` is a Set of layers' keys. */
export function photo(look, chosen, hidden, choose) {
  const [height, width] = look.crop;
  const unit = Math.max(height, width) / 320;
  const found = layers(look);
  const groups = found.map(([key, , points]) => {
    const group = sv(`g.pi-person.pi-${key.startsWith("other") ? "model" : key}`, { hidden: hidden.has(key) });
    group.dataset.layer = key;
    group.append(...drawn(look, points, chosen, unit, choose));
    return group;
  });
  const ghosts = chosen === null ? [] : look.keypoints[chosen].candidates.map(({ xy }) =>
    sv("circle.pi-ghost", { cx: xy[0] + 0.5, cy: xy[1] + 0.5, r: 5 * unit }));
  const svg = sv("svg", { viewBox: `0 0 ${width} ${height}`, role: "img",
    "aria-label": "Keypoints of the students and of the label on the crop" }, ...groups, ...ghosts);
  const node = el("div.pi-photo.pi-tile", {}, el("img", { alt: "Crop of the person", src: look.photoUrl }), svg);
  const legend = el("div.pi-legend", { role: "group", "aria-label": "Layers of the photo" },
    ...found.map(([key, words]) => switched(key, words, !hidden.has(key), (on) => {
      on ? hidden.delete(key) : hidden.add(key);
      groups.find((group) => group.dataset.layer === key).toggleAttribute("hidden", !on);
    })));
  return { node, legend };
}

function switched(key, words, on, change) {
  const box = heard(el("input", { type: "checkbox", checked: on }), { change: (event) => change(event.target.checked) });
  const kind = key.startsWith("other") ? "model" : key;
  const line = sv("svg.pi-key", { viewBox: "0 0 26 10", "aria-hidden": "true" },
    sv(`g.pi-person.pi-${kind}`, {}, sv("line.center", { x1: 1, y1: 5, x2: 25, y2: 5 })));
  return el("label", {}, box, line, words);
}

function drawn(look, points, chosen, unit, choose) {
  const shown = points.map((point) => (point && point.at.every(Number.isFinite) ? point : null));
  const limbs = look.limbs.filter(([a, b]) => shown[a] && shown[b]).map(([a, b]) => {
    const side = limbSide(look.keypoints[a].side, look.keypoints[b].side);
    const [from, to] = [shown[a].at, shown[b].at];
    return sv(`line.${side}`, { x1: from[0] + 0.5, y1: from[1] + 0.5, x2: to[0] + 0.5, y2: to[1] + 0.5,
      opacity: (chosen === null ? 1 : 0.35) * Math.min(shown[a].strength, shown[b].strength) });
  });
  const joints = shown.map((point, k) => {
    if (!point) return null;
    const { side, spoken } = look.keypoints[k];
    const mark = sv(`g.${side}${point.hollow ? ".hollow" : ""}`, {
      transform: `translate(${point.at[0] + 0.5} ${point.at[1] + 0.5})`,
      opacity: chosen === null || chosen === k ? point.strength : 0.25,
    }, shape(side, (chosen === k ? 6 : 4) * unit), sv("title", {}, spoken));
    return heard(mark, { click: () => choose(k) });
  });
  return [...limbs, ...joints.filter(Boolean)];
}
