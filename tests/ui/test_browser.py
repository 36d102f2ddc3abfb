"""The real app in a real browser, from the demo project to a look at one keypoint."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from posestudio.studio.demo import make_demo

pytestmark = pytest.mark.browser
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip
WAIT = 120_000


@dataclass
class App:
    """A studio in a process of its own."""

    process: subprocess.Popen
    project: Path
    address: str


@dataclass
class Seen:
    """A page, and what it asked for and complained of."""

    page: Page
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium: Path) -> Iterator[App]:
    project = tmp_path_factory.mktemp("studio") / "project"
    made = make_demo(project, counts={"train": 26, "val": 4}, labeled=5)
    if made["run_id"] is None:
        pytest.fail("assets/demo has no students; scripts/make_demo_students.py makes them")
    command = [
        sys.executable,
        "-m",
        "posestudio",
        "serve",
        "--project",
        str(project),
        "--port",
        "0",
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        found = re.search(r"open at (http://127\.0\.0\.1:\d+) ", line)
        if found:
            yield App(process, project, found[1])
            break
    else:
        pytest.fail(f"the studio did not open:\n{said}")
    if process.poll() is None:
        process.kill()
    process.wait()


@pytest.fixture
def seen(request: pytest.FixtureRequest, app: App, chromium: Path) -> Iterator[Seen]:
    """A fresh page in the light theme, or in the one that the test names."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=str(chromium), args=FLAGS)
        context = browser.new_context(
            viewport={"width": 1366, "height": 768}, color_scheme=getattr(request, "param", "light")
        )
        context.set_default_timeout(WAIT)
        found = Seen(context.new_page())
        own = (app.address + "/", "data:", "blob:")
        found.page.on(
            "request", lambda r: None if r.url.startswith(own) else found.elsewhere.append(r.url)
        )
        found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
        found.page.on(
            "console", lambda m: found.complaints.append(m.text) if m.type == "error" else None
        )
        yield found
        browser.close()
    assert found.elsewhere == []
    assert found.complaints == []


def decoded(page: Page, selector: str) -> int:
    """How many pictures there are, each with pixels."""
    page.wait_for_function(
        "s => [...document.querySelectorAll(s)].every(i => i.complete && i.naturalWidth > 0)",
        arg=selector,
    )
    return page.locator(selector).count()


def no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_from_the_grid_to_one_keypoint_and_back(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".ps-image").first.wait_for()
    assert page.locator(".ps-image").count() == 24
    assert decoded(page, ".ps-image:nth-child(-n+4) img") == 4
    assert page.locator(".ps-image rect:not(.case)").count() >= 24
    no_sideways_scroll(page)
    page.get_by_role("button", name="Next").click()
    page.get_by_text("25 to 30 of 30 photos").wait_for()
    page.wait_for_url("**p=2*")

    page.locator("a.ps-person").first.click()
    page.locator(".ps-card").first.wait_for()
    assert page.locator(".ps-card").count() == 17
    assert decoded(page, ".ps-card img") == 34
    assert page.locator(".ps-photo .ps-a circle").count() > 0
    assert page.locator(".ps-photo .ps-b rect").count() > 0
    no_sideways_scroll(page)
    assert "eval mode" in page.inner_text("body")

    for show, tiles in (("Votes", 136), ("Offers", 68), ("Uncertainty", 34), ("Targets", 34)):
        page.get_by_label(show, exact=True).check()
        page.wait_for_url(f"**show={show}*")
        assert decoded(page, ".ps-card img") == tiles
    page.locator(".ps-card", has_text="left wrist").click()
    page.locator(".ps-single").wait_for()
    page.wait_for_url("**keypoint=left_wrist*")
    words = page.inner_text(".ps-single")
    assert "left wrist" in words and re.search(r"accepted|rejected", words)
    assert re.search(r"a u 0\.\d{3}", words) and "would learn" in words or "learns" in words

    address = page.url
    page.reload()  # the address alone brings the same keypoint of the same person back
    page.locator(".ps-single").wait_for()
    assert page.url == address
    page.get_by_role("button", name="All keypoints").click()
    page.locator(".ps-card").first.wait_for()
    page.go_back()
    page.get_by_text("25 to 30 of 30 photos").wait_for()


@pytest.mark.parametrize("seen", ["dark"], indirect=True)
def test_next_person_layers_and_slider(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address + "/inspect?instance=2")
    page.locator(".ps-card").first.wait_for()
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**instance=3*")
    assert page.get_by_label("Person", exact=True).input_value() == "3"
    page.get_by_label("student b").uncheck()
    assert not page.locator(".ps-photo .ps-b").is_visible()
    page.get_by_label("Opacity of the maps over the photo").fill("0")
    assert page.locator(".ps-card img").first.evaluate("i => getComputedStyle(i).opacity") == "0"
    page.get_by_label("Person", exact=True).fill("99999")
    page.get_by_label("Person", exact=True).press("Enter")
    page.get_by_text("There is no person 99999").wait_for()


def test_upload_says_what_was_refused(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".ps-image").first.wait_for()
    page.get_by_role("button", name="Add photos").click()
    noise = np.random.default_rng(time.time_ns()).integers(0, 255, (6, 6, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(noise).resize((90, 120), Image.Resampling.NEAREST).save(file, "PNG")
        good = file.getvalue()
    page.locator("#ps-files input[type=file]").set_input_files(
        [
            {"name": "good.png", "mimeType": "image/png", "buffer": good},
            {"name": "bad <b>.png", "mimeType": "image/png", "buffer": b"no image"},
        ]
    )
    page.locator("#ps-files").get_by_text("good").first.wait_for()
    page.get_by_role("button", name="Add to the project").click()
    page.get_by_text("1 photo added").wait_for()
    assert "bad" in page.inner_text(".ps-refused")
    assert page.evaluate("document.querySelectorAll('.ps-refused li b b').length") == 0


def test_a_second_studio_is_refused_and_the_first_closes_cleanly(app: App):
    record = json.loads((app.project / "owner.json").read_text())
    assert record["address"] == app.address and record["pid"] == app.process.pid
    assert (app.project / "owner.json").stat().st_mode & 0o777 == 0o600
    command = [
        sys.executable,
        "-m",
        "posestudio",
        "serve",
        "--project",
        str(app.project),
        "--port",
        "0",
    ]
    second = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1 and app.address in second.stderr
    assert "Traceback" not in second.stderr and len(second.stderr.splitlines()) <= 3
    os.kill(app.process.pid, signal.SIGINT)
    assert app.process.wait(30) == 0
    assert not (app.project / "owner.json").exists()
