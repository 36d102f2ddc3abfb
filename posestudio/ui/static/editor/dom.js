/* Elements from fixed names and plain text, and the words that pages share. Nothing here takes markup. */

const SVG = "http://www.w3.org/2000/svg";

/** An HTML element: el("button.pe-tool", {type: "button", title: "..."}, "text" or child, ...). */
export function el(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  return filled(document.createElement(tag), classes, attributes, children);
}

/** An SVG element, in the same way. */
export function sv(what, attributes = {}, ...children) {
  const [tag, ...classes] = what.split(".");
  return filled(document.createElementNS(SVG, tag), classes, attributes, children);
}

function filled(node, classes, attributes, children) {
  if (classes.length) node.classList.add(...classes);
  set(node, attributes);
  node.append(...children.filter((child) => child !== null && child !== undefined)); // strings become text
  return node;
}

/** Set attributes; null or false takes one away. */
export function set(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === false || value === undefined) node.removeAttribute(name);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  return node;
}

/** Scroll a list, never the page, so that a row of it is seen. At the next frame: measuring would hold up this one. */
export function keepInView(list, row) {
  requestAnimationFrame(() => {
    const [frame, at] = [list.getBoundingClientRect(), row.getBoundingClientRect()];
    if (at.top < frame.top) list.scrollTop -= frame.top - at.top;
    else if (at.bottom > frame.bottom) list.scrollTop += at.bottom - frame.bottom;
  });
}

/** "left_wrist" as words. */
export const spoken = (name) => String(name).replace(/[_\s]+/g, " ").trim();

/** "left wrist, nose and right ear". */
export function listed(words) {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;
}

/** Some names, and how many more there are: "nose, left eye, left ear and 9 more". */
export const few = (words, most = 4) =>
  listed(words.length > most ? [...words.slice(0, most - 1), `${words.length - most + 1} more`] : words);

/** A text of at most so many characters, as the server counts them: none is cut in half. */
export const cut = (text, most) => [...text].slice(0, most).join("");

/** 0.314 as "31 %"; small and large shares keep their meaning. */
export function percent(share) {
  const value = 100 * share;
  return value > 0 && value < 1 ? "< 1 %" : value > 99 && value < 100 ? "> 99 %" : `${Math.round(value)} %`;
}

/** A time of the server as this machine's clock shows it: "10:22:31", with the day when it is not today. */
export function clock(iso, now = new Date()) {
  const at = new Date(iso);
  if (Number.isNaN(at.getTime())) return "";
  const two = (value) => String(value).padStart(2, "0");
  const time = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  const day = `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())}`;
  return at.toDateString() === now.toDateString() ? time : `${day} ${time}`;
}

/** Say how many: "1 edit", "3 edits". */
export const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** What a keypoint is, in words. */
export function stateWords(person, k) {
  const point = person.points[k];
  if (point.state === "placed") return point.v === 1 ? "hidden" : "visible";
  if (point.state === "absent") return point.reason === "cannot tell" ? "cannot tell" : "outside";
  if (!person.asked[k]) return "untaught";
  return person.prediction(k) ? "predicted" : "open";
}

/** A small picture from path data, for buttons. */
const ICONS = {
  undo: "M7 4 3 8l4 4M3.5 8H11a4 4 0 0 1 0 8H8",
  redo: "m13 4 4 4-4 4M16.5 8H9a4 4 0 0 0 0 8h3",
  fit: "M4 8V4h4M12 4h4v4M16 12v4h-4M8 16H4v-4",
  plus: "M10 4v12M4 10h12",
  minus: "M4 10h12",
  next: "m8 4 6 6-6 6",
  before: "m12 4-6 6 6 6",
  flag: "M5 17V4h10l-2 3.5 2 3.5H5",
  comment: "M4 4h12v9H9l-4 3.5V13H4z",
  renew: "M16 10a6 6 0 1 1-2-4.5M16 3v3.5h-3.5",
};

export const icon = (name) =>
  sv("svg.pe-icon", { viewBox: "0 0 20 20", "aria-hidden": "true" }, sv("path", { d: ICONS[name] }));
