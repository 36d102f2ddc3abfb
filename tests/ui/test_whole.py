"""The whole loop in a real browser: photos in, both students seen, keypoints corrected, trained, scored, taken away."""

import io
import json
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from posestudio.studio.demo import make_demo
from posestudio.studio.render import render_scene
from posestudio.studio.studio import Studio, create
from tests.ui.browsers import LEFT, App, looking
from tests.ui.desk import Desk
from tests.ui.test_browser import painted
from tests.ui.test_images import given
from tests.ui.test_runs import begin, stepped, steps_done, until

pytestmark = pytest.mark.browser
WAIT = 180_000
BY_MOUSE = (9, 10, 7)
STEPS = 4000
"""Of the training, which is stopped long before."""


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    make_demo(tmp_path / "project", counts={"train": 24, "val": 6}, labeled=10)
    studio = App(tmp_path / "project").start()
    yield studio
    studio.kill()


@pytest.fixture
def desk(app: App, browser: Browser) -> Iterator[Desk]:
    with looking(browser, app, WAIT, let=LEFT) as seen:
        yield Desk(seen, app)


def photo(number: int) -> bytes:
    """A JPEG of a rendered scene that the demo does not have."""
    image, _ = render_scene(np.random.default_rng(900_000 + number))
    with io.BytesIO() as file:
        Image.fromarray(image).save(file, "JPEG", quality=90)
        return file.getvalue()


def test_the_whole_loop(app: App, desk: Desk, tmp_path: Path):
    new = bring_in(app, desk)
    see_both_students(app, desk.page, new)
    corrected = correct(desk)
    train(app, desk.page)
    score_and_open_the_worst(app, desk)
    read_back(desk, tmp_path, corrected)


def bring_in(app: App, desk: Desk) -> int:
    """Two new photos, each with one box; returns a person of theirs."""
    page = desk.page
    page.goto(app.address)
    page.locator(".pg-card").first.wait_for()
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add files").first.click()
    files: Any = given(("new_1.jpg", photo(1)), ("new_2.jpg", photo(2)))
    chooser.value.set_files(files)
    page.get_by_role("radio", name="The whole photo").check()
    page.get_by_role("button", name="Add 2 files").click()
    page.get_by_text("2 photos added").wait_for()
    page.get_by_label("Find by file name").fill("new_2")
    expect(page.locator(".pg-card")).to_have_count(1)
    (row,) = desk.get("/api/gallery?name=new_2")["images"]
    (person,) = row["people"]
    return person["instance_id"]


def see_both_students(app: App, page: Page, person: int) -> None:
    """Both students' maps of somebody whom no run has predicted yet."""
    page.goto(f"{app.address}/inspect?instance={person}")
    page.locator(".pi-card").first.wait_for()
    assert painted(page, ".pi-card canvas") == 51
    assert page.locator(".pi-photo .pi-a circle").count() > 0
    assert page.locator(".pi-photo .pi-b rect").count() > 0


def correct(desk: Desk) -> dict[int, dict[int, tuple[float, float]]]:
    """Three keypoints of a person by mouse, three of another by the keyboard alone; a reload loses nothing."""
    desk.go()
    first, second = desk.ask("queue()")[:2]
    desk.open(first)
    for keypoint in BY_MOUSE:
        desk.drag(keypoint, -15, 12)
    desk.saved().go(f"/correct?instance={second}")
    by_key = desk.ask("uncertain()")[:3]
    for _ in by_key:
        desk.press("ArrowRight", "ArrowDown", "Tab")
    desk.saved()
    found = {first: places(desk, first, BY_MOUSE), second: places(desk, second, by_key)}
    desk.page.reload()
    desk.until("e?.ready()")
    for keypoint, (x, y) in found[second].items():
        shown = desk.ask(f"shown({keypoint})")
        assert (shown["x"], shown["y"]) == pytest.approx((x, y), abs=0.01)
    assert found == {number: places(desk, number, kept) for number, kept in found.items()}
    return found


def places(desk: Desk, person: int, keypoints: Any) -> dict[int, tuple[float, float]]:
    """What the server has, all placed."""
    found = {keypoint: desk.label(person, keypoint) for keypoint in keypoints}
    assert {state for state, *_ in found.values()} == {"placed"}
    return {keypoint: (x, y) for keypoint, (_, x, y, _) in found.items() if x and y}


def train(app: App, page: Page) -> None:
    """Begin a run, watch it over a reload, stop it, resume it, stop it."""
    folder = begin(page, app, STEPS)
    until(lambda: steps_done(page) > 0, "no progress on the page")
    page.reload()
    before = stepped(folder)
    until(lambda: steps_done(page) > before, "no further progress after the reload")
    stop(page)
    kept = folder.metrics()["steps"]
    assert 0 < kept < STEPS
    page.get_by_role("button", name="Resume").click()
    until(lambda: stepped(folder) > kept, "it did not go on from where it was")
    stop(page)


def stop(page: Page) -> None:
    """Stop the run in sight; its students are scored."""
    page.get_by_role("button", name="Stop and keep").click()
    expect(page.locator("#ps-panel .ps-chip")).to_have_text("stopped")
    expect(page.locator("#ps-result .ps-score")).to_contain_text("AP")


def score_and_open_the_worst(app: App, desk: Desk) -> None:
    """Evaluate the newest run; its worst person opens in the editor."""
    page = desk.page
    page.goto(f"{app.address}/evaluate?student=a")
    page.locator("#ps-evaluate").click()
    page.locator(".ps-numbers-ten").wait_for()
    case = page.locator(".ps-case").first
    link = case.get_by_role("link", name="Correct")
    href = link.get_attribute("href") or ""
    worst = int(parse_qs(urlparse(href).query)["instance"][0])
    link.click()
    desk.until(f"e?.person()?.id === {worst}")


def read_back(desk: Desk, tmp_path: Path, corrected: dict[int, dict[int, Any]]) -> None:
    """Export the labels: everything corrected is in the file, and the file is a project's as it is."""
    page = desk.page
    page.goto(f"{desk.app.address}/export")
    page.locator("#ps-make-coco").click()
    with page.expect_download() as waiting:
        page.locator(".ps-downloads a", has_text="coco").first.click()
    waiting.value.save_as(
        tmp_path / "labels.zip"
    )  # the photos came from several files, so it is a zip of as many
    with zipfile.ZipFile(tmp_path / "labels.zip") as archive:
        archive.extractall(tmp_path / "labels")
    files = sorted((tmp_path / "labels").glob("*.json"))
    records = [json.loads(file.read_text()) for file in files]
    for person, places_of in corrected.items():
        name = desk.document(person)["file_name"]
        rows = [row["keypoints"] for record in records for row in of_photo(record, name)]
        for keypoint, place in places_of.items():
            kept = [tuple(row[3 * keypoint : 3 * keypoint + 3]) for row in rows]
            assert any(near == pytest.approx((*place, 2), abs=0.01) for near in kept)
    photos = tmp_path / "photos"
    photos.mkdir()
    for image in desk.get("/api/gallery?limit=100")["images"]:
        with urllib.request.urlopen(f"{desk.app.address}/media/{image['image_id']}") as answer:
            (photos / image["file_name"]).write_bytes(answer.read())
    create(tmp_path / "again", None)
    with Studio(tmp_path / "again", hold=True) as studio:
        for file, record in zip(files, records, strict=True):
            told = studio.call("import_coco", file=str(file), images=str(photos))
            assert told["people"] == len(record["annotations"])


def of_photo(record: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The people of a photo in a COCO file."""
    numbers = {image["id"] for image in record["images"] if image["file_name"] == name}
    return [row for row in record["annotations"] if row["image_id"] in numbers]
