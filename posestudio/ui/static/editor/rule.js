/* The rule of visible 2, hidden 1 and outside 0, with small drawn pictures. */

import { el, sv } from "./dom.js";

const FRAME = ["rect.frame", { x: 1, y: 1, width: 74, height: 50, rx: 3 }];
const ARM = "M14 12 L30 30 L52 34";

/* Number and word, what to do, and the parts of the picture. */
const RULES = [
  ["2", "visible", "You see it. Put the point on the joint.", [
    FRAME, ["path.arm", { d: ARM }], ["circle.point", { cx: 52, cy: 34, r: 4.5 }],
  ]],
  ["1", "hidden", "Something covers it, but you know where it is. Put the point there.", [
    FRAME, ["path.arm", { d: ARM }], ["rect.thing", { x: 38, y: 20, width: 28, height: 30, rx: 2 }],
    ["circle.point.hollow", { cx: 52, cy: 34, r: 4.5 }],
  ]],
  ["0", "outside", "It is not in the photo. No point.", [
    FRAME, ["path.arm", { d: "M36 12 L54 30 L75 36" }], ["path.arm.gone", { d: "M75 36 L88 40" }],
    ["path.cross", { d: "M86 36l8 8M94 36l-8 8" }],
  ]],
];

/** The three pictures with their words. */
export function rule() {
  const rows = RULES.map(([number, word, what, parts]) => {
    const picture = sv("svg.pe-rule-picture", { viewBox: "0 0 98 52", "aria-hidden": "true" },
      ...parts.map(([tag, attributes]) => sv(tag, attributes)));
    return el("div.pe-rule-row", {}, picture, el("p", {}, el("b", {}, `${number} ${word}`), el("span", {}, what)));
  });
  const last = el("p.pe-quiet", {}, "V goes round 2, 1, 0. When even you cannot tell where it is: Shift+V.");
  return el("div.pe-rule", {}, ...rows, last);
}
