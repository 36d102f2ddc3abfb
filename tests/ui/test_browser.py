"""The real app in a real browser, from the demo project to a look at one keypoint."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page

from posestudio.studio.demo import make_demo
from posestudio.studio.studio import Studio
from tests.ui.browsers import App, Seen, looking
from tests.ui.test_looks import read

pytestmark = pytest.mark.browser
WAIT = 120_000


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory, chromium: Path) -> Iterator[App]:
    project = tmp_path_factory.mktemp("studio") / "project"
    made = make_demo(project, counts={"train": 50, "val": 4}, labeled=5)
    if made["run_id"] is None:
        pytest.fail("assets/demo has no students; scripts/make_demo_students.py makes them")
    studio = App(project).start()
    yield studio
    studio.kill()


@pytest.fixture
def seen(request: pytest.FixtureRequest, app: App, browser: Browser) -> Iterator[Seen]:
    """A fresh page in the light theme, or in the one that the test names."""
    theme = getattr(request, "param", "light")
    with looking(browser, app, WAIT, color_scheme=theme) as found:
        yield found


def decoded(page: Page, selector: str) -> int:
    """How many pictures there are, each with pixels."""
    page.wait_for_function(
        "s => [...document.querySelectorAll(s)].every(i => i.complete && i.naturalWidth > 0)",
        arg=selector,
    )
    return page.locator(selector).count()


def painted(page: Page, selector: str) -> int:
    """How many canvases there are, each with some pixel that is not clear."""
    page.wait_for_function(
        """s => [...document.querySelectorAll(s)].every(c =>
            c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(value => value > 0))""",
        arg=selector,
    )
    return page.locator(selector).count()


ALPHA = """Math.max(...document.querySelector('.pi-card canvas').getContext('2d')
  .getImageData(0, 0, 24, 32).data.filter((_, i) => i % 4 === 3))"""


def no_sideways_scroll(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_from_the_grid_to_one_keypoint_and_back(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".pg-card").first.wait_for()
    assert page.locator(".pg-card").count() == 48
    assert decoded(page, ".pg-card:nth-child(-n+4) img") == 4
    assert page.locator(".pg-card rect:not(.case)").count() >= 48
    no_sideways_scroll(page)
    page.get_by_role("button", name="Next").first.click()
    page.get_by_text("49 to 54 of 54 photos").first.wait_for()
    page.wait_for_url("**p=2*")

    page.locator("a.ps-person").first.click()
    page.locator(".pi-card").first.wait_for()
    assert page.locator(".pi-card").count() == 17
    assert painted(page, ".pi-card canvas") == 51
    assert page.locator(".pi-photo .pi-a circle").count() > 0
    assert page.locator(".pi-photo .pi-b rect").count() > 0
    no_sideways_scroll(page)
    page.get_by_text("How these pictures were made").click()
    assert "eval mode" in page.inner_text("body")

    for show, tiles in (("Votes", 136), ("Offers", 68), ("Uncertainty", 34), ("Targets", 34)):
        page.get_by_role("button", name=show, exact=True).click()
        page.wait_for_url(f"**show={show}*")
        assert painted(page, ".pi-card canvas") == tiles
    page.get_by_role("button", name="Show left wrist alone").click()
    page.locator(".pi-matrix").wait_for()
    page.wait_for_url("**keypoint=left_wrist*")
    assert painted(page, ".pi-matrix canvas") == 27  # 9 steps of a, of b, and a minus b
    words = page.inner_text(".pi-side")
    assert "left wrist" in words and re.search(r"The offer of a was (accepted|rejected)", words)
    assert "would learn" in words or "learns" in words
    assert re.search(r"u 0\.\d{3}", page.inner_text(".pi-matrix"))

    address = page.url
    page.reload()  # the address alone brings the same keypoint of the same person back
    page.locator(".pi-matrix").wait_for()
    assert page.url == address
    page.keyboard.press("Escape")
    page.locator(".pi-card").first.wait_for()
    page.go_back()
    page.get_by_text("49 to 54 of 54 photos").first.wait_for()


HOVER = """([column, row]) => {
  const box = document.querySelector('.pi-matrix .pi-tile').getBoundingClientRect();
  const canvas = document.querySelector('.pi-matrix canvas');
  return [box.left + (column + 0.5) / canvas.width * box.width, box.top + (row + 0.5) / canvas.height * box.height];
}"""
AIMED = """at => {
  const told = document.querySelector('.pi-readout').textContent.match(/-?[0-9.]+/g)?.slice(-2) ?? [];
  return told.length === 2 && told.every((value, i) => Math.abs(value - at[i]) <= 0.6);
}"""
READ = "[...document.querySelectorAll('.pi-matrix .pi-value')].map(value => value.textContent)"


def test_hover_reads_the_same_cell_of_every_map_from_its_numbers(app: App, seen: Seen):
    page = seen.page
    with page.expect_response(lambda answer: "/api/inspect?" in answer.url) as answered:
        page.goto(app.address + "/inspect?instance=2&keypoint=right_knee")
    page.locator(".pi-matrix").wait_for()
    head, maps, _ = read(answered.value.body())
    k = [point["name"] for point in head["keypoints"]].index("right_knee")
    for column, row in ((3, 5), (20, 28), (12, 16)):
        page.mouse.move(*page.evaluate(HOVER, [column, row]))
        page.wait_for_function(AIMED, arg=[4 * column + 1.5, 4 * row + 1.5])
        shown = page.evaluate(READ)
        cell = (..., row, column)
        a, b = (
            [
                maps["beliefs"][s, k][cell], *maps["votes"][s, :, k][cell], maps["before"][s, k][cell],
                maps["after"][s, k][cell], maps["uncertainty"][s, k][cell], maps["targets"][s, k][cell],
            ]
            for s in range(2)
        )  # fmt: skip
        for value, words in zip([*a, *b, *np.subtract(a, b)], shown, strict=True):
            if np.isnan(value):
                assert words == "not seen"
            else:
                assert abs(float(words.replace("\u2212", "-")) - value) <= 0.00061
        x, y = 4 * column + 1.5, 4 * row + 1.5  # the cell's center in crop pixels
        image = np.array(head["to_image"]) @ [x, y, 1]
        told = [float(number) for number in re.findall(r"-?[\d.]+", page.inner_text(".pi-readout"))]
        assert np.allclose(told, [*image, x, y], atol=0.6)


def test_inspect_by_keyboard_alone(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address + "/inspect?instance=2")
    page.locator(".pi-card").first.wait_for()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**keypoint=nose*")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")  # past all of them: the last keypoint
    page.wait_for_url("**keypoint=right_ankle*")
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**instance=3*")
    page.wait_for_url("**keypoint=right_ankle*")
    page.keyboard.press("ArrowUp")
    page.wait_for_url("**instance=2*")
    page.keyboard.press("Shift+ArrowRight")
    page.wait_for_function("document.querySelector('.pi-aiming .pi-value').textContent !== ''")
    before = page.inner_text(".pi-readout")
    page.keyboard.press("Shift+ArrowDown")
    page.wait_for_function("t => document.querySelector('.pi-readout').innerText !== t", arg=before)
    page.keyboard.press("Escape")
    page.keyboard.press("3")
    page.wait_for_url("**show=Offers*")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys of Inspect").wait_for()
    page.keyboard.press("Escape")
    slider = page.get_by_label("Opacity of the maps over the photo")
    opacity = float(slider.input_value())
    slider.focus()
    page.keyboard.press("ArrowRight")  # in a field, arrows belong to the field
    assert float(slider.input_value()) > opacity and "keypoint" not in page.url


@pytest.mark.parametrize("seen", ["dark"], indirect=True)
def test_next_person_layers_and_slider(app: App, seen: Seen):
    page = seen.page
    page.goto(app.address + "/inspect?instance=2")
    page.locator(".pi-card").first.wait_for()
    page.get_by_role("button", name="Next").click()
    page.wait_for_url("**instance=3*")
    assert page.get_by_label("Person", exact=True).input_value() == "3"
    page.get_by_role("checkbox", name="student b").uncheck()
    assert not page.locator(".pi-photo .pi-b").is_visible()
    page.get_by_label("Opacity of the maps over the photo").fill("0")
    assert page.evaluate(ALPHA) == 0
    page.get_by_label("Opacity of the maps over the photo").fill("1")
    assert page.evaluate(ALPHA) == 255
    page.get_by_label("Person", exact=True).fill("99999")
    page.get_by_label("Person", exact=True).press("Enter")
    page.get_by_text("There is no person 99999").wait_for()
    assert page.get_by_label("Person", exact=True).input_value() == "3"
    seen.complaints.clear()  # the browser itself notes the 404


def test_a_val_person_without_labels_is_not_shown(app: App, seen: Seen):
    studio, page = Studio(app.project), seen.page
    image = next(row["image_id"] for row in studio.call("people", split="val"))
    (person,) = studio.call("add_people", image_id=image, boxes_xywh=[[5, 5, 40, 60]], who="me")
    page.goto(f"{app.address}/inspect?instance={person}")
    page.get_by_text("Not shown until labeled").wait_for()
    assert page.locator("#pi-person").input_value() == str(person)
    assert page.locator("canvas").count() == 0
    page.keyboard.press("ArrowUp")
    page.locator(".pi-card").first.wait_for()
    assert page.locator("#pi-person").input_value() != str(person)


def test_a_second_studio_is_refused_and_the_first_closes_cleanly(app: App):
    assert app.process is not None
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
