"""How quick the pages are, with and without a training beside them, in a real browser over a real studio.

    python benchmarks/ui.py [--out FILE.json]

On a fresh demo project, first quiet, then the same while a run trains in the background of the same studio:

- drawn: from the key press to the end of the first frame in which the nudged keypoint is drawn elsewhere. Bound: two
  frames of 60 a second (the press lands somewhere in the first one).
- saved: from the end of an edit to the server's word that it is stored. Bound: p95 150 ms.
- next: from the key for the next person to that person drawn, photo decoded, if it was fetched before (bound: p95
  100 ms), and if it was not (bound: p95 500 ms).
- tiles: from choosing a person on Inspect to the last of its vote tiles painted. Bound: 1,500 ms.

The times are of this machine; the ratios of both halves are what another one can be compared by. Needs Chromium and
the test tools (requirements-test.txt).
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
BOUNDS = {"drawn": 34, "saved": 150, "next_fetched": 100, "next_not_fetched": 500, "tiles": 1500}
"""Milliseconds that the 95th percentile may take; for tiles, that the slowest may take."""
WAIT = 120_000
BATCH, LOOKS = 14, 3
"""People who are opened on end on Correct, one after the other and from afar, and on Inspect, in each round."""
PAUSE = 500
"""Milliseconds before each measure: somebody quick."""

PRELUDE = """
window.frames = (n = 1) => new Promise((done) => {
  const go = (left) => requestAnimationFrame(() => (left > 1 ? go(left - 1) : done(performance.now())));
  go(n);
});
window.until = async (holds, end = performance.now() + 60000) => {
  while (!holds()) {
    if (performance.now() > end) throw new Error(`not within a minute: ${holds}`);
    await new Promise((done) => { const c = new MessageChannel(); c.port1.onmessage = done; c.port2.postMessage(0); });
  }
  return performance.now();
};
window.press = (key, extra = {}) => document.querySelector('.pe-stage').dispatchEvent(
  new KeyboardEvent('keydown', { key, bubbles: true, cancelable: true, ...extra }));
window.shown = (id) => window.__editorPage.person.id === id && window.__editorPage.view.photo.naturalWidth > 0;
"""

EDIT = """async () => {
  const page = window.__editorPage, k = page.deeds.selected;
  const saved = new Promise((done) => {
    page.outbox.addEventListener('saved', () => done(performance.now()), { once: true });
  });
  const place = () => document.querySelector(`.pe-joint[data-k='${k}']`).getAttribute('transform');
  const before = place(), start = performance.now();
  press('ArrowRight');
  if (place() === before) await until(() => place() !== before);
  const drawn = (await frames()) - start;
  const ended = performance.now();
  document.dispatchEvent(new KeyboardEvent('keyup', { key: 'ArrowRight', bubbles: true }));
  return { drawn, saved: (await saved) - ended };
}"""

NEXT = """async () => {
  const page = window.__editorPage, [id] = page.queue.upcoming(page.person.id);
  await until(() => page.people.here(id));
  const start = performance.now();
  press('PageDown');
  await until(() => shown(id));
  return (await frames()) - start;
}"""

JUMP = """async (id) => {
  const page = window.__editorPage;
  if (page.people.here(id)) return null;
  const start = performance.now();
  page.open(id);
  await until(() => shown(id));
  return (await frames()) - start;
}"""

TILES = """async (id) => {
  const field = document.querySelector('#pi-person'), start = performance.now();
  const old = document.querySelector('.pi-main canvas');
  field.value = id;
  field.dispatchEvent(new Event('change', { bubbles: true }));
  await until(() => !old.isConnected);
  const tiles = () => [...document.querySelectorAll('.pi-main canvas')];
  const painted = (c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0);
  await until(() => tiles().length && tiles().every(painted));
  return { ms: (await frames()) - start, tiles: tiles().length };
}"""


def main() -> int:
    """Measure quiet and beside a training, print the table, and exit 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3, help="a half; 3 use up the queue")
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    asked = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("No Chromium is installed. On Debian: sudo apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        project = f"{folder}/demo"
        subprocess.run(
            [sys.executable, "-m", "posestudio", "demo", project, "--json"],
            stdout=subprocess.DEVNULL, cwd=PROJECT, check=True,
        )  # fmt: skip
        command = [sys.executable, "-m", "posestudio", "serve", "--project", project, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as studio:
            try:
                report = measure(address_of(studio), browser, asked.rounds)
            finally:
                studio.terminate()
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print("\n".join([table(report), *report["faults"]]))
    return int(bool(report["faults"]))


def address_of(studio: subprocess.Popen) -> str:
    """Where the studio says it is open."""
    assert studio.stderr is not None
    for line in studio.stderr:
        found = re.search(r"open at (http://127\.0\.0\.1:\d+) ", line)
        if found:
            return found[1]
    sys.exit("The studio did not open.")


def measure(address: str, browser: str, rounds: int) -> dict[str, Any]:
    """Both halves, and what they say of the bounds."""
    with sync_playwright() as driver:
        chrome = driver.chromium.launch(executable_path=browser, args=FLAGS)
        context = chrome.new_context(viewport={"width": 1366, "height": 768})
        context.set_default_timeout(WAIT)
        context.add_init_script(PRELUDE)
        page = context.new_page()
        people = unlabeled(address)
        half = rounds * (2 * BATCH + LOOKS + 2)
        quiet = once(page, address, people[:half], rounds)
        begin_training(page, address)
        busy = once(page, address, people[half : 2 * half], rounds)
        still = "training" in page_words(page, address)
        chrome.close()
    report = {
        "machine": platform.machine(), "cores": os.cpu_count(), "quiet": summary(quiet), "training": summary(busy),
    }  # fmt: skip
    report["ratio"] = {
        name: round(report["training"][name]["p50"] / report["quiet"][name]["p50"], 2)
        for name in BOUNDS
    }
    report["faults"] = faults(report)
    if not still:
        report["faults"].append("the training ended before the measuring did")
    return report


def unlabeled(address: str) -> list[int]:
    """People of the queue, most doubtful first."""
    with urllib.request.urlopen(f"{address}/api/queue?limit=400") as answer:
        return [item["instance_id"] for item in json.loads(answer.read())["items"]]


def once(page: Page, address: str, people: Sequence[int], rounds: int) -> dict[str, list[float]]:
    """One half: edits and next people on Correct, strangers there, vote tiles on Inspect."""
    found: dict[str, list[float]] = {name: [] for name in BOUNDS}
    rest = list(people)
    for _ in range(rounds):
        page.goto(f"{address}/correct?instance={rest.pop(0)}")
        page.wait_for_function("window.__editor?.ready()")
        page.wait_for_timeout(1500)  # the page has fetched the next ones, as while a person looks
        for _ in range(BATCH):
            page.wait_for_timeout(PAUSE)
            told = page.evaluate(EDIT)
            found["drawn"].append(told["drawn"])
            found["saved"].append(told["saved"])
            found["next_fetched"].append(page.evaluate(NEXT))
        for number in rest[-BATCH:]:  # far down the queue: nobody has asked for them yet
            page.wait_for_timeout(PAUSE)
            took = page.evaluate(JUMP, number)
            if took is not None:
                found["next_not_fetched"].append(took)
        del rest[-BATCH:]
        del rest[:BATCH]
        page.goto(f"{address}/inspect?instance={rest.pop(0)}&show=Votes")
        page.locator(".pi-main canvas").first.wait_for()
        for number in rest[:LOOKS]:
            page.wait_for_timeout(PAUSE)
            told = page.evaluate(TILES, number)
            assert told["tiles"] >= 60, f"only {told['tiles']} tiles"
            found["tiles"].append(told["ms"])
        del rest[:LOOKS]
    return found


def begin_training(page: Page, address: str) -> None:
    """Start a long run from the form of Train, with the method that it offers."""
    page.goto(f"{address}/train")
    page.locator("#ps-train:not([disabled])").wait_for()
    page.get_by_label("steps", exact=True).check()
    page.locator("#ps-steps input").fill("100000")
    page.locator("#ps-train").click()
    page.wait_for_url("**run=*")
    page.wait_for_function(
        "/[1-9][\\d,]* of [\\d,]+ steps/.test(document.querySelector('#ps-panel').innerText)"
    )


def page_words(page: Page, address: str) -> str:
    """What Train says of the run."""
    page.goto(f"{address}/train")
    page.locator("#ps-panel .ps-chip").wait_for()
    return page.locator("#ps-panel .ps-chip").inner_text()


def summary(found: dict[str, list[float]]) -> dict[str, dict[str, float]]:
    """Median, 95th percentile and largest of each measure, in milliseconds."""
    return {
        name: {
            "n": len(values), "p50": round(float(np.median(values)), 1),
            "p95": round(float(np.percentile(values, 95)), 1), "most": round(max(values), 1),
        }
        for name, values in found.items()
    }  # fmt: skip


def faults(report: dict[str, Any]) -> list[str]:
    """Every bound that does not hold, one line each."""
    found = []
    for half in ("quiet", "training"):
        for name, bound in BOUNDS.items():
            value = report[half][name]["most" if name == "tiles" else "p95"]
            if value > bound:
                found.append(f"{half}: {name} takes {value} ms, bound {bound} ms")
    return found


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table, p50 / p95 / most."""
    lines = [
        "| milliseconds | quiet | beside a training | ratio | bound |",
        "|---|---|---|---|---|",
    ]
    for name, bound in BOUNDS.items():
        cells = [
            " / ".join(str(report[half][name][key]) for key in ("p50", "p95", "most"))
            for half in ("quiet", "training")
        ]
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {report['ratio'][name]} | {bound} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
