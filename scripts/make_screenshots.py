"""Take the README's pictures from the real app on the demo project of rendered people.

    python scripts/make_screenshots.py [--out assets]

Needs Chromium and the test tools (requirements-test.txt).
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

PROJECT = Path(__file__).resolve().parents[1]
POSESTUDIO = [sys.executable, "-m", "posestudio"]
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
SHOTS = {
    "screenshot-images": ("/", "img"),
    "screenshot-correct": ("/correct?instance={person}", ".pe-joint:visible"),
    "screenshot-photo": ("/?image={image}", ".pg-photo"),
    "screenshot-sheet": ("/sheet?keypoint=left_wrist", ".sh-card img"),
    "screenshot-inspect": ("/inspect?instance={person}", "canvas"),
    "screenshot-train": ("/train", ".js-plotly-plot"),
    "screenshot-evaluate": ("/evaluate", ".js-plotly-plot"),
    "screenshot-export": ("/export", ".ps-export"),
}
"""Picture to the address of its page and what must be drawn there before it is taken."""


def main() -> None:
    """Train a little on a fresh demo project, open the studio on it and photograph its pages, light."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PROJECT / "assets")
    parser.add_argument("--project", help="a demo project with two runs, instead of a fresh one")
    parser.add_argument("--person", type=int, default=16, help="whom Correct and Inspect show")
    parser.add_argument("--image", type=int, default=16, help="which photo Images shows alone")
    asked = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        sys.exit("No Chromium is installed. On Debian: sudo apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder:
        project = asked.project or fresh(f"{folder}/demo")
        command = [*POSESTUDIO, "serve", "--project", project, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=PROJECT) as studio:
            try:
                take(
                    address_of(studio),
                    browser,
                    asked.out,
                    {"person": asked.person, "image": asked.image},
                )
            finally:
                studio.terminate()


def fresh(project: str) -> str:
    """A demo project whose students were trained on for a while."""
    posestudio("demo", project)
    first = posestudio("runs", "--project", project)[0]["run_id"]
    where = ("--project", project)
    posestudio("train", *where, "--preset", "best", "--steps", "150", "--from", first)
    return project


def posestudio(*words: str) -> Any:
    """What a verb answers."""
    done = subprocess.run(
        [*POSESTUDIO, *words, "--json"], stdout=subprocess.PIPE, cwd=PROJECT, check=True
    )
    return json.loads(done.stdout)


def address_of(studio: subprocess.Popen) -> str:
    """Where the studio says it is open."""
    assert studio.stderr is not None
    for line in studio.stderr:
        found = re.search(r"open at (http://127\.0\.0\.1:\d+) ", line)
        if found:
            return found[1]
    sys.exit("The studio did not open.")


def take(address: str, browser: str, out: Path, shown: dict[str, int]) -> None:
    """Write a picture for each of SHOTS; `shown` is whom and what they show."""
    with sync_playwright() as play:
        chrome = play.chromium.launch(executable_path=browser, args=FLAGS)
        page = chrome.new_page(viewport={"width": 1366, "height": 768}, color_scheme="light")
        for name, (path, drawn) in SHOTS.items():
            page.goto(address + path.format(**shown))
            page.wait_for_selector(drawn, timeout=120_000)
            settle(page)
            page.screenshot(path=out / f"{name}.jpg", type="jpeg", quality=88)
        chrome.close()


def settle(page: Page) -> None:
    """Wait until every picture in view is decoded."""
    page.wait_for_function(
        """() => [...document.images].every(image => {
          const at = image.getBoundingClientRect();
          return at.top > innerHeight || at.bottom < 0 || !at.width || (image.complete && image.naturalWidth);
        })""",
        timeout=60_000,
    )
    page.wait_for_timeout(1500)


if __name__ == "__main__":
    main()
