/* What is seen of the photo and over it: which heatmap, how strong, the drawing, how near. Nothing here is an edit. */

import { keepHeat, keptHeat } from "./memory.js";

/** Show the heatmap of the next choice: while open, off, both, a, b. */
export function nextHeat(page) {
  const { heat, person } = page;
  if (person.doc.blind) return page.say("Held-out people get no heatmaps");
  if (!heat.loaded) return page.say("There are no heatmaps of this person");
  const { choices } = heat;
  return setHeat(page, choices[(choices.indexOf(heat.show) + 1) % choices.length]);
}

const SHOWN = { open: "Heatmap while the keypoint is open", off: "Heatmap off", both: "Heatmap of both students" };

export function setHeat(page, show) {
  page.heat.show = show;
  page.part.heatShow.value = show;
  keepHeat(show, page.part.heatAlpha.value);
  page.redraw();
  page.say(SHOWN[show] ?? `Heatmap of student ${show}`);
}

/** How strong the heatmap lies over the photo. */
export function setAlpha({ heat, part }) {
  part.canvas.style.opacity = part.heatAlpha.value;
  keepHeat(heat.show, part.heatAlpha.value);
}

/** The heatmap as it was chosen last. */
export function recallHeat({ heat, part }) {
  const { show, alpha } = keptHeat();
  if ([...part.heatShow.options].some((option) => option.value === show)) heat.show = part.heatShow.value = show;
  if (alpha) part.heatAlpha.value = alpha;
  part.canvas.style.opacity = part.heatAlpha.value;
}

export function toggleOverlay(page) {
  page.hidden = !page.hidden;
  page.say(page.hidden ? "Drawing hidden" : "Drawing shown");
}

/** The person, and at the second call the whole photo. */
export function fit(page) {
  const whole = page.view.fitted === "person";
  page.view.fit(whole);
  page.say(whole ? "Whole photo" : "The person");
}

/** Zoom at the keypoint in hand if it is in sight, else at the middle. */
export function zoom({ view, deeds, person }, factor) {
  const [w, h] = view.room;
  const at = deeds.selected !== null ? person.shown(deeds.selected) : null;
  const [x, y] = at ? view.camera.toScreen(at.x, at.y) : [w / 2, h / 2];
  const seen = x >= 0 && y >= 0 && x <= w && y <= h;
  view.camera.zoomAt(...(seen ? [x, y] : [w / 2, h / 2]), factor);
  view.fitted = null;
}
