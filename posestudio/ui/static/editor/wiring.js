/* Buttons, choices, and what the window says: who calls what. */

import { line } from "./dialogs.js";
import { el } from "./dom.js";
import { round } from "./geometry.js";
import { listen } from "./keys.js";
import { setAlpha, setHeat } from "./looking.js";
import { drawHistory } from "./panel.js";
import { drawSaved } from "./saving.js";

const CHOOSERS = ["order", "split", "run", "minutes"];
const WHO = "posestudio/who";
const DECIDE = new Set(["acceptAll", "skip"]); // what comes after them has not been looked at

/** What is wrong with a name, by the server's rule (store/people.py); "" when nothing is. */
export function nameFault(name) {
  if (!name.trim()) return "Write a name.";
  return /[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/u.test(name.trim()) ? "A name has no control characters or line ends: type it anew." : "";
}

/** The name that goes into the journal, once somebody has given one. */
export const givenName = () => localStorage.getItem(WHO);

export function wire(page, signal) {
  const { root, part, stage, deeds, watch } = page;
  const on = (target, name, listener) => target.addEventListener(name, listener, { signal });
  listen(stage, (command, event) => {
    watch.touch();
    if (page.pointer.dragging) return command === "leave" ? page.pointer.abort() : undefined;
    return deeds.run(command, event);
  }, signal);
  on(root, "click", (event) => {
    const button = event.target instanceof Element && event.target.closest("[data-command]");
    if (!button) return;
    watch.touch();
    button.closest("details.pe-menu")?.removeAttribute("open");
    if (event.detail > 0 && button.dataset.command !== "help") stage.focus({ preventScroll: true });
    if (event.detail > 1 && DECIDE.has(button.dataset.command)) return; // a double click decides once
    deeds.run(button.dataset.command, event);
  });
  for (const name of ["pointerdown", "wheel"]) root.addEventListener(name, () => watch.touch(), { signal, passive: true });
  // After a choice by pointer the keys go on with the photo; by keyboard, the choice keeps the focus.
  let pointed = false;
  root.addEventListener("pointerdown", () => { pointed = true; }, { signal, capture: true });
  root.addEventListener("keydown", () => { pointed = false; }, { signal, capture: true });
  const choose = (select, act) => on(select, "change", () => {
    act();
    if (pointed) stage.focus({ preventScroll: true });
  });
  for (const name of CHOOSERS) choose(part[name], () => chosen(page, name));
  choose(part.heatShow, () => setHeat(page, part.heatShow.value));
  on(part.renew, "click", () => page.renew());
  on(part.heatAlpha, "input", () => setAlpha(page));
  on(part.historyBox, "toggle", () => drawHistory(page));
  on(part.who, "click", () => rename(page));
  on(page.panel.limit, "change", () => limit(page));
  on(document, "click", (event) => {
    for (const menu of root.querySelectorAll("details.pe-menu[open]")) if (!menu.contains(event.target)) menu.open = false;
  });
  wireWindow(page, on);
  const resized = new ResizeObserver(() => page.resized());
  resized.observe(stage);
  signal.addEventListener("abort", () => resized.disconnect());
}

function wireWindow(page, on) {
  on(window, "blur", () => page.deeds.end());
  on(document, "visibilitychange", () => page.pause());
  on(window, "pagehide", () => page.pause());
  on(window, "beforeunload", (event) => { if (page.outbox?.onlyInMemory) event.preventDefault(); });
  on(window, "online", () => page.outbox?.hurry());
  on(window, "storage", () => page.outbox && drawSaved(page));
}

async function rename(page) {
  const name = await line(page.root, "Who are you?", "Your name, as it goes into the journal", page.who, { most: 100, fault: nameFault });
  if (name) localStorage.setItem(WHO, name);
  page.part.who.textContent = page.who;
}

/** Another error limit, for the whole project. */
async function limit(page) {
  const { panel: { limit: field }, server } = page;
  try {
    if (!field.value || !field.checkValidity()) throw new Error("it is a whole number from 0 to 100 %");
    const kept = await server.post("/api/settings", { error_limit: field.valueAsNumber / 100 });
    Object.assign(page.session, kept);
    page.say(`Ctrl+Enter stops at keypoints over ${field.value} %`);
  } catch (error) {
    field.value = round(100 * page.limit, 1);
    page.say(`The limit stays: ${error.message}`);
  }
  page.redraw();
}

/** Another order, split, run or time: a new queue. */
function chosen(page, name) {
  const { part, queue, people } = page;
  if (name === "run") people.clear(part.run.value, page.person?.id);
  if (name === "split" && part.split.value === "val") part.order.value = "random";
  queue.options = Object.fromEntries(CHOOSERS.map((one) => [one, part[one].value]));
  page.renew();
}

/** Show the runs and imported models that there are, and the options that the queue has. */
export function fillChoosers({ part, queue: { options }, session: { runs, imported = [] } }) {
  const there = [...runs, ...imported].map(({ run_id, words }) => el("option", { value: run_id }, words));
  part.run.replaceChildren(part.run.firstChild, ...there);
  for (const name of CHOOSERS) {
    if ([...part[name].options].some((option) => option.value === options[name])) part[name].value = options[name];
  }
}
