/* What Images and Inspect share beside editor/dom.js: marks of the sides, free keys, messages that go away. */

import { el, sv } from "../editor/dom.js";

/** The mark of a side of the body: left a circle, right a square, center a diamond, in its color. */
export function glyph(side) {
  const shapes = {
    left: ["circle", { cx: 5, cy: 5, r: 4 }],
    right: ["rect", { x: 1.4, y: 1.4, width: 7.2, height: 7.2 }],
    center: ["polygon", { points: "5,0.4 9.6,5 5,9.6 0.4,5" }],
  };
  return sv(`svg.ps-glyph.${side}`, { viewBox: "0 0 10 10", "aria-hidden": "true" }, sv(...shapes[side]));
}

/** Say how many: 1 photo, 2 photos, 1,200 photos. */
export const many = (number, noun, plural = `${noun}s`) =>
  `${number.toLocaleString("en-US")} ${number === 1 ? noun : plural}`;

/** A node with listeners: heard(node, {click: f, input: g}). */
export function heard(node, listeners) {
  for (const [name, listener] of Object.entries(listeners)) node.addEventListener(name, listener);
  return node;
}

/** A button: its words, what it does, and classes or attributes. */
export const button = (words, does, what = "button.ps-button", attributes = {}) =>
  heard(el(what, { type: "button", ...attributes }, ...[words].flat()), { click: does });

/** What a click decides; the second one of a double click is left, for what it would decide was not looked at. */
export const once = (does, again = () => {}) => (event) => (event.detail < 2 ? does() : again());

/** Whether a key belongs to the page: nobody types, no dialog is open, and the browser has no use for it. */
export function isFree(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return false;
  if (document.querySelector("dialog[open]")) return false;
  const at = event.target;
  return !(at instanceof Element && at.closest("input:not([type=checkbox]), select, textarea, [contenteditable=true]"));
}

/** Short messages at the lower edge; one with an action stays longer. */
export class Toasts {
  constructor() {
    this.node = el("div.ps-toasts", { role: "status", "aria-live": "polite" });
    document.body.append(this.node);
  }

  /** Say something, with a button if there is something to do: action = [words, function]. */
  say(words, action = null, kind = "plain") {
    const close = () => toast.remove();
    const toast = el(`div.ps-toast.ps-toast-${kind}`, {}, el("span", {}, words),
      action && button(action[0], () => { close(); action[1](); }, "button.ps-toast-action"),
      button("×", close, "button.ps-toast-close", { "aria-label": "Close this message" }));
    this.node.append(toast);
    while (this.node.children.length > 3) this.node.firstChild.remove();
    setTimeout(close, action || kind === "bad" ? 12000 : 5000);
    return close;
  }
}

/** A dialog with the keys of a page: [[keys, words], ...]. */
export function keysDialog(title, rows) {
  const body = rows.map(([keys, words]) => el("tr", {}, el("th", { scope: "row" },
    ...keys.split(" ").map((key) => el("kbd", {}, key))), el("td", {}, words)));
  const dialog = el("dialog.ps-dialog", { "aria-label": title }, el("h2", {}, title),
    el("table.ps-keys", {}, el("tbody", {}, ...body)), button("Close", () => dialog.close(), "button.ps-button.ps-primary"));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
