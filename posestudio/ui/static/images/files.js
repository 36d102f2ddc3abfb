/* Files and folders that are dropped or chosen, and whether they can be read. */

import { Refused } from "../editor/api.js";
import { el } from "../editor/dom.js";
import { button, heard } from "../shared/page.js";

const HIDDEN = /(^|\/)(\.|Thumbs\.db$|desktop\.ini$|__MACOSX\/)/i;

/**
 * Files of a drop with their paths, folders walked: {files: [{file, name}], refused: [[name, why]]}. What cannot be
 * read is refused, and the rest is found. Must be called while the event lasts.
 */
export async function dropped(transfer) {
  const entries = [...transfer.items].filter((item) => item.kind === "file").map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile());
  const found = { files: [], refused: [] };
  for (const entry of entries) {
    if (entry instanceof File) found.files.push({ file: entry, name: entry.name });
    else if (entry) await walk(entry, "", found);
  }
  return { files: found.files.filter(({ name }) => !HIDDEN.test(name)), refused: found.refused.filter(([name]) => !HIDDEN.test(name)) };
}

async function walk(entry, folder, found) {
  const name = folder + entry.name;
  try {
    if (entry.isFile) {
      found.files.push({ file: await new Promise((done, failed) => { entry.file(done, failed); }), name });
      return;
    }
    const reader = entry.createReader();
    for (;;) { // a reader gives up to a hundred entries at a time
      const part = await new Promise((done, failed) => { reader.readEntries(done, failed); });
      if (!part.length) return;
      for (const one of part) await walk(one, `${name}/`, found);
    }
  } catch (error) {
    found.refused.push([entry.isFile ? name : `${name}/`, unread(error)]);
  }
}

const unread = (error) => `cannot be read: ${error.message}`;

/** Read a file to its end, which tells whether a sending failed because of it. Throws Refused when it cannot be read. */
export async function readWhole(file, signal) {
  try {
    await file.stream().pipeTo(new WritableStream(), { signal });
  } catch (error) {
    throw new Refused({ message: unread(error) });
  }
}

/** Files of an <input>: [{file, name}], with the path inside a chosen folder. */
export const chosen = (input) =>
  [...input.files].map((file) => ({ file, name: file.webkitRelativePath || file.name })).filter(({ name }) => !HIDDEN.test(name));

/** Buttons that open the browser's choosers; `take` gets the files. */
export function choosers(take) {
  const input = (given) => heard(el("input", { type: "file", hidden: true, multiple: true, tabindex: -1, ...given }), {
    change: (event) => { const files = chosen(event.target); event.target.value = ""; if (files.length) take(files); },
  });
  const files = input({ id: "pg-files", accept: "image/*,video/*,.zip,.json,.mkv", "aria-label": "Files to add" });
  const folder = input({ id: "pg-folder", webkitdirectory: true, "aria-label": "Folder to add" });
  return el("span.pg-choosers", {}, button("Add files", () => files.click(), "button.ps-button.ps-primary", { id: "pg-add" }),
    button("Add a folder", () => folder.click()), files, folder);
}
