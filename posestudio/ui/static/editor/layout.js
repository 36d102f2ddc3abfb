/* The page's parts, made once: queue to the left, stage in the middle, keypoints to the right. */

import { el, icon, keepInView, set } from "./dom.js";
import { hint } from "./dialogs.js";
import { keyOf, printed } from "./keys.js";
import { BUDGETS, ORDERS, SPLITS } from "./queue.js";
import { rule } from "./rule.js";

/** A button that does a command: words or an icon, with its key. */
export function tool(command, words, { picture = null, kind = "", short = "" } = {}) {
  const key = keyOf(command);
  const face = picture ? [icon(picture)] : [el("span", {}, short || words)];
  if (!picture && key) face.push(el("kbd", {}, printed(key)));
  return el(`button.pe-tool${kind ? `.${kind}` : ""}`, {
    type: "button", "data-command": command, title: hint(words, command), "aria-label": picture ? words : null,
    "aria-keyshortcuts": key ? key.replace("Ctrl", "Control") : null,
  }, ...face);
}

/** A labeled choice. */
export function choice(label, options, value = "") {
  const select = el("select", { "aria-label": label, title: label },
    ...options.map(([key, words]) => el("option", { value: key, selected: key === value }, words)));
  return select;
}

function menu() {
  const rows = [
    ["copyPrevious", "Copy open keypoints from the frame before"], ["movePerson", "Move or scale the whole person"],
    ["editBox", "Move or resize the box"], ["predictAgain", "Predict this person again"], ["addPerson", "Add a person"],
    ["nextOther", "Choose somebody else in this photo"], ["addRegion", "Add a region to ignore"], ["handOver", "Hand this keypoint to another person"],
    ["handAll", "Hand all keypoints to another person"], ["mergeInto", "Merge this duplicate into another person"],
    ["hide", "Hide this person, or bring it back"],
  ];
  return el("details.pe-menu", {}, el("summary.pe-tool", { title: "Deeds on whole people" }, "Person"),
    el("div.pe-menu-rows", {}, ...rows.map(([command, words]) => tool(command, words))));
}

/** All parts by name. */
export function layout(root, panel) {
  const part = {};
  // The queue
  part.order = choice("Order", ORDERS, "doubt");
  part.split = choice("Split", SPLITS);
  part.order.classList.add("wide");
  part.split.classList.add("wide");
  part.run = choice("Run", [["", "Newest run"]]);
  part.minutes = choice("Time", BUDGETS);
  part.renew = el("button.pe-tool", { type: "button", title: "Ask for a new queue", "aria-label": "Ask for a new queue" }, icon("renew"));
  part.progress = el("p.pe-progress", { role: "status" });
  part.bar = el("progress.pe-bar", { max: 1, value: 0, "aria-label": "Progress of the queue" });
  part.note = el("p.pe-note");
  part.rows = el("ol.pe-rows", { "aria-label": "People in the queue", tabindex: "0" });
  part.queue = el("section.pe-queue", { "aria-label": "Queue" },
    el("div.pe-panel-head", {}, el("h2", {}, "Queue"), part.renew),
    el("div.pe-choosers", {}, part.order, part.split, part.minutes, part.run),
    part.progress, part.bar, part.note, part.rows);
  // The person and the stage
  part.title = el("div.pe-title");
  part.why = el("div.pe-why");
  part.who = el("button.pe-who", { type: "button", title: "Your name, as it goes into the journal" });
  part.saved = el("span.pe-saved", { role: "status" });
  part.head = el("div.pe-head", {},
    el("div.pe-ways", {}, tool("lastPerson", "Person before", { picture: "before" }), tool("nextPerson", "Next person", { picture: "next" })),
    el("div.pe-about", {}, part.title, part.why), el("div.pe-end", {}, part.saved, part.who));
  part.heatShow = choice("Heatmap of the keypoint in hand", [["open", "Heat if open"], ["off", "Heat off"], ["both", "Both students"], ["a", "Student a"], ["b", "Student b"]]);
  part.heatAlpha = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0.7, "aria-label": "Opacity of the heatmap", title: "Opacity of the heatmap" });
  part.percent = el("button.pe-tool.pe-percent", { type: "button", "data-command": "fit", title: hint("Fit", "fit") });
  part.view = el("div.pe-view", {},
    tool("zoomOut", "Zoom out", { picture: "minus" }), part.percent, tool("zoomIn", "Zoom in", { picture: "plus" }),
    part.heatShow, part.heatAlpha, tool("overlay", "Hide or show the drawing", { short: "Drawing" }),
    tool("help", "Keys", { short: "Keys" }));
  part.canvas = el("canvas.pe-heat");
  part.scale = el("div.pe-scale", { hidden: true, title: "What a student believes, from 0 to 1" }, el("span", {}, "0"), el("span", {}, "1"));
  part.stage = el("div.pe-stage", {
    tabindex: "0", role: "application",
    "aria-label": "Photo with keypoints. Tab: next uncertain keypoint. Arrows move it. Enter accepts. Question mark: all keys. Escape leaves.",
  });
  part.banner = el("div.pe-banner", { role: "status" });
  part.conflict = el("div.pe-conflict", { role: "alert" });
  part.empty = el("div.pe-empty");
  part.live = el("div.pe-live", { role: "status", "aria-live": "polite" });
  part.tools = el("div.pe-tools", { role: "toolbar", "aria-label": "Deeds" },
    tool("undo", "Undo", { picture: "undo" }), tool("redo", "Redo", { picture: "redo" }), menu(),
    tool("cycle", "Visible 2, hidden 1, outside 0", { short: "2 / 1 / 0" }), tool("swap", "Swap left and right", { short: "Swap" }),
    tool("candidate", "Next candidate place", { short: "Candidate" }),
    tool("flag", "Flag", { picture: "flag" }), tool("comment", "Comment", { picture: "comment" }),
    tool("cannotTellPerson", "Cannot tell this person", { short: "Cannot tell" }), tool("skip", "Skip this person", { short: "Skip" }),
    el("span.pe-gap"),
    tool("accept", "Accept the keypoint in hand", { short: "Accept" }),
    tool("acceptAll", "Accept all and go on", { short: "Accept all, next", kind: "primary" }));
  part.frame = el("div.pe-frame", {}, part.stage, part.scale, part.banner, part.conflict, part.empty);
  const foot = el("div.pe-foot", {}, part.live, part.view);
  part.middle = el("section.pe-middle", { "aria-label": "Photo" }, part.head, part.frame, foot, part.tools);
  // The keypoints
  part.history = el("ol.pe-history");
  part.historyBox = el("details.pe-fold", {}, el("summary", {}, "History of this keypoint"), part.history);
  part.ruleBox = el("details.pe-fold", {}, el("summary", {}, "When is it 2, 1 or 0?"), rule());
  part.side = el("aside.pe-side", { "aria-label": "Keypoints and rule" }, panel.node, part.ruleBox, part.historyBox);
  root.replaceChildren(el("h1.pe-unseen", {}, "Correct"), part.queue, part.middle, part.side);
  return part;
}

/** The queue's rows. `show`: {queue, current, open(id)}. */
export function drawRows(part, { queue, current, open }) {
  const { done, total } = queue.progress;
  part.progress.textContent = queue.words();
  set(part.bar, { max: Math.max(1, total) });
  part.bar.value = done;
  part.bar.hidden = total === 0;
  part.note.textContent = noteOf(queue);
  part.note.hidden = !part.note.textContent;
  const known = new Map([...part.rows.children].map((row) => [Number(row.dataset.id), row]));
  const rows = queue.items.map((item) => known.get(item.instance_id) ?? rowOf(item, open));
  if (rows.length !== part.rows.children.length || rows.some((row, i) => row !== part.rows.children[i])) {
    part.rows.replaceChildren(...rows);
  }
  for (const row of rows) {
    const id = Number(row.dataset.id);
    const state = queue.done.has(id) ? "done" : queue.passed.has(id) ? "passed" : "";
    if (row.dataset.state !== state) row.dataset.state = state;
    const here = id === current;
    set(row.firstChild, { "aria-current": here ? "true" : null });
    if (here) keepInView(part.rows, row);
  }
}

function noteOf({ answer, options, newer }) {
  if (!answer) return "";
  const way = options.run ? "Newest run in the list of runs" : "the round arrow";
  const news = newer ? `Run ${newer} has new predictions: ${way} asks for a new queue.` : "";
  const assumed = answer.assumed_seconds ? `, at an assumed ${answer.assumed_seconds} s a person until five are timed` : "";
  const fits = options.minutes && Number.isInteger(answer.fits)
    ? `${answer.fits} of ${answer.total} people fit in ${options.minutes} minutes${assumed}.` : "";
  return [news, answer.note, fits].filter(Boolean).join(" ");
}

const OWN_PICTURE = /^\/media\/\d+(\/box\/\d+)?(\?[\w=&.-]*)?$/;

/** The first reason whole, and how many more there are; all of them stand over the photo and in the row's title. */
function shortly({ reason, keypoints }) {
  const reasons = reason.split(", ").length;
  return keypoints?.[0]?.reason && reasons > 1 ? `${keypoints[0].reason}, and ${reasons - 1} more` : reason;
}

function rowOf(item, open) {
  const address = [item.crop, item.thumb].find((one) => OWN_PICTURE.test(one ?? ""));
  const picture = el("img", { src: address ?? null, alt: "", width: 44, height: 44, loading: "lazy", decoding: "async" });
  picture.addEventListener("error", () => { if (OWN_PICTURE.test(item.thumb ?? "")) picture.src = item.thumb; }, { once: true });
  const marks = (item.marks ?? []).map((mark) => String(mark.kind ?? mark).replace("_", " "));
  const small = [`person ${item.instance_id}`, item.split, ...new Set(marks)].join(" · ");
  const button = el("button.pe-item", { type: "button", title: item.reason },
    picture, el("span.pe-item-words", {}, el("span.pe-reason", {}, shortly(item)), el("span.pe-quiet", {}, small)));
  button.addEventListener("click", () => open(item.instance_id));
  return el("li", { "data-id": item.instance_id }, button);
}
