/* The keys, in one table: it binds them and it makes the help, so the help cannot lie. */

/* A row: [keys, command, words]. Keys are written "Ctrl+Shift+Z"; letters without regard to case. In a part that
   needs the stage, keys work only while the photo has the focus, so that Tab and Enter stay free elsewhere. */
export const TABLE = [
  {
    part: "Keypoint in hand",
    rows: [
      [["Enter"], "accept", "Accept what is shown and go to the next uncertain keypoint", "stage"],
      [["V"], "cycle", "Visible 2, hidden 1, outside the photo 0, and round again (also a right click)"],
      [["Shift+V"], "cannotTell", "Cannot tell where it is"],
      [["Delete"], "reopen", "Take its label away: open again"],
      [["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "nudge", "Move by 1 pixel of the photo", "stage"],
      [["Shift+ArrowLeft", "Shift+ArrowRight", "Shift+ArrowUp", "Shift+ArrowDown"], "nudge", "Move by 10 pixels", "stage"],
      [["Alt+ArrowLeft", "Alt+ArrowRight", "Alt+ArrowUp", "Alt+ArrowDown"], "nudge", "Move by 0.1 pixel", "stage"],
      [["C"], "candidate", "Next candidate: peaks of both students, then the mirrored partner"],
      [["X"], "swap", "Swap left and right, from this keypoint outwards (elbow and wrist)"],
      [["Y"], "handOver", "Hand it to another person: then click that person"],
    ],
  },
  {
    part: "Choose a keypoint",
    rows: [
      [["Tab"], "nextUncertain", "Next uncertain keypoint", "stage"],
      [["Shift+Tab"], "lastUncertain", "Uncertain keypoint before", "stage"],
      [["S"], "nextKeypoint", "Next keypoint"],
      [["W"], "lastKeypoint", "Keypoint before"],
      [["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], "pick", "Keypoint by its number in the list (1 then 2 is 12)"],
      [["Escape"], "leave", "End what is going on, or leave the photo"],
    ],
  },
  {
    part: "Whole person",
    rows: [
      [["Ctrl+Enter"], "acceptAll", "Accept all and go on; stops at keypoints over the error limit"],
      [["Shift+X"], "swapAll", "Swap left and right of the whole person"],
      [["P"], "copyPrevious", "Copy open keypoints from the frame before"],
      [["B"], "editBox", "Move or resize the box; the students then look again"],
      [["J"], "nextOther", "Choose somebody else in this photo: J is the next, Enter goes there"],
      [["I"], "addPerson", "Add a person: draw a box"],
      [["Shift+Delete"], "hide", "Hide this person, or bring it back"],
    ],
  },
  {
    part: "Queue",
    rows: [
      [["D", "PageDown"], "nextPerson", "Next person"],
      [["A", "PageUp"], "lastPerson", "Person before"],
      [["Backspace"], "back", "Back to the person you came from"],
      [["N"], "skip", "Skip this person"],
      [["U"], "cannotTellPerson", "Cannot tell this person, with a reason"],
      [["G"], "flag", "Flag, or take the flag away"],
      [["K"], "comment", "Write a comment"],
    ],
  },
  {
    part: "View and undo",
    rows: [
      [["Ctrl+Z"], "undo", "Undo, without end and across people"],
      [["Ctrl+Shift+Z", "Ctrl+Y"], "redo", "Redo"],
      [["F"], "fit", "Fit the person, then the whole photo"],
      [["+", "="], "zoomIn", "Zoom in (also the wheel, at the pointer)"],
      [["-"], "zoomOut", "Zoom out"],
      [["M"], "heat", "Heatmap of the keypoint in hand: while it is open, off, both students, a, b"],
      [["H"], "overlay", "Hide or show everything drawn over the photo"],
      [["?"], "help", "These keys"],
    ],
  },
];

/** What keys do while a box, somebody else or the whole person is in hand; shown in the help, done by modes.js. */
export const IN_MODES = [
  [["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown"], "Move the box or the whole person; with Shift by 10 pixels"],
  [["+", "-"], "Scale it"],
  [["J"], "The next person to choose"],
  [["Enter"], "Put a new box and take it, choose the person, or end"],
  [["Escape"], "End"],
];

/** What the pointer does; shown in the help below the keys. */
export const GESTURES = [
  ["Drag a keypoint", "Move it; the edit is saved when you let go"],
  ["Click", "Place the keypoint in hand, if nobody has placed it. With Shift: as hidden"],
  ["Drag the photo, Space and drag, two fingers", "Move the view"],
  ["Wheel, pinch", "Zoom at the pointer"],
  ["Alt or Shift and drag, or wheel", "Move or scale the whole person (by touch: in the menu Person)"],
  ["Click another skeleton or its number", "Go to that person"],
];

/** A keyboard event as the table writes it: "Ctrl+Shift+Z". Command counts as Ctrl. */
export function chord(event) {
  const plain = event.key.length === 1;
  let key = plain ? event.key.toUpperCase() : event.key;
  // Alt changes letters on some keyboards, and other scripts have other letters: the place of the key says which it is.
  if ((event.altKey || (plain && !/[ -~]/.test(key))) && /^Key[A-Z]$/.test(event.code ?? "")) key = event.code.slice(3);
  const letter = key.length > 1 || /[A-Z]/.test(key);
  const parts = [];
  if (event.ctrlKey || event.metaKey) parts.push("Ctrl");
  if (event.altKey) parts.push("Alt");
  if (event.shiftKey && letter) parts.push("Shift"); // "?" and "+" need Shift on many keyboards
  return [...parts, key].join("+");
}

const BOUND = new Map(
  TABLE.flatMap(({ rows }) => rows.flatMap(([keys, command, , where]) => keys.map((key) => [key, { command, where }]))),
);

/** The command of a keyboard event, {command, where}, or null. */
export const bound = (event) => BOUND.get(chord(event)) ?? null;

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** How far an arrow key moves things, in image pixels. */
export function arrowStep({ key, shiftKey, altKey }) {
  const step = shiftKey ? 10 : altKey ? 0.1 : 1;
  return ARROWS[key].map((one) => one * step);
}

/** The first key of a command, for buttons: "Ctrl+Enter"; "" when it has none. */
export function keyOf(command) {
  for (const { rows } of TABLE) {
    for (const [keys, name] of rows) if (name === command) return keys[0];
  }
  return "";
}

/** A key as it is printed: arrows as arrows. */
export const printed = (key) => key.replace("ArrowLeft", "\u2190").replace("ArrowRight", "\u2192")
  .replace("ArrowUp", "\u2191").replace("ArrowDown", "\u2193");

const TYPING = "input:not([type=range],[type=checkbox],[type=radio],[type=button]),textarea,select,[contenteditable=true]";

/**
 * Listen for keys: `run(command, event)` is called for each that is bound.
 *
 * stage: the element that holds the photo. Keys work anywhere on the page but in text fields and dialogs; Enter,
 * Tab and the arrows only while the stage has the focus.
 */
export function listen(stage, run, signal) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    const at = event.target instanceof Element ? event.target : document.body;
    if (at.closest(TYPING) || at.closest("dialog[open]")) return;
    const found = bound(event);
    if (!found) return;
    const inStage = stage.contains(at);
    if (found.where === "stage" && !inStage) return;
    if (!inStage && (event.key === " " || event.key === "Enter") && at.closest("button,a,summary") && !event.ctrlKey) return;
    if (run(found.command, event) === false) return;
    event.preventDefault();
    event.stopPropagation();
  }, { signal });
}
