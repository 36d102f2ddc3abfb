/* The strip over all keypoints: how far apart the students are, how likely an error is; click to choose. */

import { el, percent } from "../editor/dom.js";
import { button, glyph } from "../shared/page.js";

const FULL = 0.3; // share of the box's height at which a bar is full

/** The strip as a toolbar of buttons; `chosen` is an index, or null for all keypoints. */
export function strip(look, chosen, choose) {
  const all = button([el("b", {}, "All"), el("span", {}, "keypoints")], () => choose(null), "button.pi-stripe.pi-all",
    { "aria-pressed": String(chosen === null), tabindex: chosen === null ? 0 : -1, "data-k": -1 });
  const stripes = look.keypoints.map((keypoint, k) => {
    const { apart } = keypoint;
    const error = look.errors[k];
    const far = apart && apart.share > look.far && keypoint.taught;
    const told = [
      keypoint.spoken,
      apart ? `a and b ${apart.px.toFixed(0)} px apart, ${percent(apart.share)} of the box's height` : null,
      error === null ? null : `error probability ${percent(error)}`,
      keypoint.taught ? null : "untaught",
    ].filter(Boolean).join(", ");
    const bar = el(far ? "i.pi-bar.pi-far" : "i.pi-bar");
    bar.style.height = `${Math.min(100, (100 * (apart?.share ?? 0)) / FULL).toFixed(1)}%`;
    const limit = el("i.pi-limit");
    limit.style.bottom = `${(100 * look.far) / FULL}%`;
    const risk = el("i.pi-risk");
    risk.style.setProperty("--risk", error ?? 0);
    return button([
      el("span.pi-apart-bar", {}, el("span.pi-column", {}, bar, limit),
        el("span.pi-px", { "aria-hidden": "true" }, apart ? String(Math.round(apart.px)) : "")), error === null ? null : risk,
      el("span.pi-name", {}, glyph(keypoint.side), shortened(keypoint)),
    ].filter(Boolean), () => choose(k), keypoint.taught ? "button.pi-stripe" : "button.pi-stripe.pi-untaught",
    { "aria-pressed": String(chosen === k), "aria-label": told, title: told, tabindex: chosen === k ? 0 : -1, "data-k": k });
  });
  return el("div.pi-strip", { role: "toolbar", "aria-label": "Keypoints, by how far the students are apart" }, all, ...stripes);
}

/** "left wrist" as "wrist": the mark says the side. */
const shortened = ({ spoken, side }) => (side === "center" ? spoken : spoken.replace(/\b(left|right|l|r)\b\s*/i, "") || spoken);
