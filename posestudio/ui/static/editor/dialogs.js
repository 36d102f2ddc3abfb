/* Dialogs: the keys, a comment, a reason, who you are. Each is a native modal dialog, closed by Escape. */

import { clock, el } from "./dom.js";
import { GESTURES, IN_MODES, TABLE, keyOf, printed } from "./keys.js";
import { RESOLVED } from "./model.js";

/** Show a dialog; resolves to its returnValue, "" when it was left. */
function ask(root, title, body, buttons) {
  const dialog = el("dialog.pe-dialog", { "aria-label": title });
  const form = el("form", { method: "dialog" }, el("h2", {}, title), ...body,
    el("div.pe-dialog-buttons", {}, ...buttons));
  dialog.append(form);
  root.append(dialog);
  dialog.addEventListener("click", (event) => event.target === dialog && dialog.close("")); // outside of it
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    dialog.showModal();
  });
}

const button = (words, value, kind = "button") => el(kind, { value, type: "submit" }, words);

/** Not a submit button, so that Enter in a field means the one that is. */
function closer(face, value, kind = "button") {
  const node = el(kind, { type: "button" }, ...[face].flat());
  node.addEventListener("click", () => node.closest("dialog").close(value));
  return node;
}

const cancel = () => closer("Cancel", "");

/** The keys, from the table that binds them. */
export function help(root) {
  const parts = TABLE.map(({ part, rows }) => el("section", {}, el("h3", {}, part),
    el("dl", {}, ...rows.flatMap(([keys, , words]) => [el("dt", {}, ...keysOf(keys)), el("dd", {}, words)]))));
  const modes = el("section", {}, el("h3", {}, "While moving a box or choosing a person"),
    el("dl", {}, ...IN_MODES.flatMap(([keys, words]) => [el("dt", {}, ...keysOf(keys)), el("dd", {}, words)])));
  const mouse = el("section", {}, el("h3", {}, "Mouse, pen and touch"),
    el("dl", {}, ...GESTURES.flatMap(([what, words]) => [el("dt", {}, what), el("dd", {}, words)])));
  return ask(root, "Keys", [el("div.pe-help", {}, ...parts.slice(0, 2), modes, ...parts.slice(2), mouse)],
    [button("Close", "", "button.primary")]);
}

function keysOf(keys) {
  if (keys.length > 4) return [el("kbd", {}, `${keys[0]} \u2013 ${keys.at(-1)}`)];
  if (keys.every((key) => key.includes("Arrow"))) return [el("kbd", {}, keys[0].replace(/Arrow\w+/, "arrows"))];
  return keys.map((key) => el("kbd", {}, printed(key)));
}

/** A line of text; resolves to it, or "" when it was left. `fault` says what is wrong with a text, or "". */
export async function line(root, title, label, value = "", { most = 200, fault = () => "" } = {}) {
  const field = el("input", { type: "text", maxlength: most, required: true, autofocus: true });
  field.value = value;
  const check = () => field.setCustomValidity(fault(field.value));
  field.addEventListener("input", check);
  check();
  const answer = await ask(root, title, [el("label.pe-field", {}, label, field)], [cancel(), button("Save", "yes", "button.primary")]);
  return answer ? field.value.trim() : "";
}

/** A comment on a person, below those that stand; resolves to its text, to RESOLVED, or to "". */
export async function comment(root, id, standing) {
  const field = el("input", { type: "text", maxlength: 200, required: true, autofocus: true });
  const before = standing.map(({ text, who, at }) => el("p.pe-quiet", {}, `\u201c${text}\u201d ${who}, ${clock(at)}`));
  const resolve = standing.length ? [closer(standing.length === 1 ? "Resolve it" : "Resolve them", RESOLVED)] : [];
  const answer = await ask(root, `Comment on person ${id}`, [...before, el("label.pe-field", {}, "What should others know?", field)],
    [cancel(), ...resolve, button("Save", "yes", "button.primary")]);
  return answer === "yes" ? field.value.trim() : answer;
}

const REASONS = ["too small", "too blurred", "too much hidden", "several people in one box", "no person"];

/** Why a person cannot be told; resolves to the reason, or "". A digit chooses at once. */
export async function reason(root) {
  const rows = REASONS.map((words, i) => closer([el("kbd", {}, String(i + 1)), words], words, "button.pe-choice"));
  const field = el("input", { type: "text", maxlength: 200, placeholder: "another reason", "aria-label": "Another reason" });
  const box = el("div.pe-choices", {}, ...rows, field);
  box.addEventListener("keydown", (event) => {
    if (event.target !== field && rows[Number(event.key) - 1]) rows[Number(event.key) - 1].click();
  });
  const answer = await ask(root, "Why can you not tell?", [box], [cancel(), button("Go on", "other", "button.primary")]);
  return answer === "other" ? field.value.trim() || "no reason given" : answer;
}

/** A question with two answers; resolves to true or false. */
export async function confirm(root, title, words, yes) {
  return (await ask(root, title, [el("p", {}, words)], [cancel(), button(yes, "yes", "button.primary")])) === "yes";
}

/** What a button says when the pointer rests on it: words and key. */
export const hint = (words, command) => (keyOf(command) ? `${words} (${printed(keyOf(command))})` : words);
