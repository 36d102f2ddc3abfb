"""The Correct page in a real browser over a real studio: keys, mouse, touch, outbox, undo, conflicts, many people."""

import json
import re
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from posestudio.store import predictions
from posestudio.store.database import Store
from posestudio.studio.demo import make_demo
from posestudio.studio.studio import Studio
from tests.ui.browsers import App, looking, watched
from tests.ui.desk import Desk

pytestmark = pytest.mark.browser
WAIT = 60_000
LEFT_WRIST, RIGHT_WRIST, LEFT_ELBOW, RIGHT_ELBOW, LEFT_ANKLE = 9, 10, 7, 8, 15


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A demo project with enough labels for error probabilities, that nobody opens."""
    folder = tmp_path_factory.mktemp("correct") / "made"
    told = make_demo(folder, counts={"train": 64, "val": 4}, labeled=32)
    if told["run_id"] is None:
        pytest.fail("assets/demo has no students; scripts/make_demo_students.py makes them")
    return folder


@pytest.fixture(scope="module")
def project(made: Path) -> Path:
    """The copy of it that the tests of this module share."""
    return Path(shutil.copytree(made, made.parent / "project"))


@pytest.fixture
def own(made: Path, tmp_path: Path) -> Iterator[App]:
    """A studio that a test may kill."""
    studio = App(Path(shutil.copytree(made, tmp_path / "project"))).start()
    yield studio
    studio.kill()


@pytest.fixture(scope="module")
def app(project: Path) -> Iterator[App]:
    studio = App(project).start()
    yield studio
    studio.kill()


@pytest.fixture
def make_desk(browser: Browser, app: App) -> Iterator[Any]:
    """Pages in contexts of their own; nothing may have been asked of other hosts or complained of."""
    with ExitStack() as pages:

        def make(studio: App = app, **options: Any) -> Desk:
            # a studio that a test killed leaves requests without an answer
            let = () if studio is app else ("net::ERR_",)
            seen = pages.enter_context(looking(browser, studio, WAIT, let, **options))
            return Desk(seen, studio)

        yield make


@pytest.fixture
def desk(make_desk: Any) -> Desk:
    return make_desk()


@pytest.fixture(scope="module")
def fresh(project: Path, app: App) -> Iterator[Any]:
    """People without labels, a new one at each call; `wide` for one in a photo that is not square."""
    with urllib.request.urlopen(f"{app.address}/api/queue?limit=100", timeout=60) as answer:
        items = json.loads(answer.read())["items"]
    left = [item["instance_id"] for item in items]

    def take(fits: Any = lambda document: True) -> int:
        for number in left:
            with urllib.request.urlopen(f"{app.address}/api/people/{number}", timeout=60) as answer:
                if fits(json.loads(answer.read())):
                    left.remove(number)
                    return number
        raise AssertionError("no person fits")

    yield take


def within(document: dict[str, Any], *keypoints: int) -> bool:
    """Whether predictions lie well inside the photo, so that a drag does not end at its edge."""
    size = document["image"]
    points = [document["keypoints"][k]["prediction"] for k in keypoints]
    return all(
        p and 60 < p["x"] < size["width"] - 60 and 60 < p["y"] < size["height"] - 60 for p in points
    )


def alone(document: dict[str, Any]) -> bool:
    return not document["others"]


def test_a_drag_stores_exactly_what_was_dragged(fresh: Any, make_desk: Any):
    """Three zooms, a scrolled page, a photo that is not square."""
    person = fresh(
        lambda d: d["image"]["width"] != d["image"]["height"] and within(d, LEFT_ELBOW) and alone(d)
    )
    desk = make_desk(viewport={"width": 1200, "height": 500}).open(person)
    desk.page.evaluate("window.scrollTo(0, 60)")
    desk.until("window.scrollY === 60")
    scales = set()
    for clicks, (dx, dy) in ((0, (23, -17)), (3, (-40, 12)), (-7, (9, 14))):
        for _ in range(abs(clicks)):
            desk.press("+" if clicks > 0 else "-")
        desk.take(LEFT_ELBOW)
        scale = desk.ask("camera().scale")
        scales.add(round(scale, 3))
        before = desk.drag(LEFT_ELBOW, dx, dy)
        state, x, y, v = desk.saved().label(person, LEFT_ELBOW)
        assert state == "placed" and v == 2 and x is not None and y is not None
        assert abs(x - (before["x"] + dx / scale)) < 0.1
        assert abs(y - (before["y"] + dy / scale)) < 0.1
        assert desk.page.evaluate("window.scrollY") == 60
    assert len(scales) == 3


def test_the_wheel_zooms_at_the_pointer_and_drags_pan(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_ELBOW) and alone(d))
    desk.open(person)
    x, y = desk.ask(f"point({LEFT_ELBOW})")
    desk.page.mouse.move(x, y)
    before = desk.ask("camera().scale")
    desk.page.mouse.wheel(0, -400)
    desk.until(f"e.camera().scale > {1.4 * before}")
    after = desk.ask(f"point({LEFT_ELBOW})")
    assert abs(after[0] - x) < 0.5 and abs(after[1] - y) < 0.5
    box = desk.page.locator(".pe-stage").bounding_box()
    assert box is not None
    start = (box["x"] + 12, box["y"] + box["height"] - 12)
    desk.page.mouse.move(*start)
    desk.page.mouse.down()
    desk.page.mouse.move(start[0] + 50, start[1] - 30, steps=4)
    desk.page.mouse.up()
    moved = desk.ask(f"point({LEFT_ELBOW})")
    assert abs(moved[0] - after[0] - 50) < 0.5 and abs(moved[1] - after[1] + 30) < 0.5
    desk.press("f")
    assert desk.ask("history()") == {"done": 0, "undone": 0}, "looking around is no edit"


TWO_DIGITS = """() => ["1", "0"].forEach(key => document.activeElement.dispatchEvent(
  new KeyboardEvent("keydown", {key, bubbles: true, cancelable: true})))"""
"""Both within 900 ms, or they are two numbers."""


def test_the_keyboard_alone_corrects_a_person(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_WRIST) and alone(d))
    desk.open(person)
    assert desk.page.evaluate("document.activeElement.className").startswith("pe-stage")
    first = desk.ask("uncertain()[0]")
    assert desk.ask("selected()") == first
    desk.press("Tab")
    assert desk.ask("selected()") == desk.ask("uncertain()[1]")
    desk.press("Shift+Tab")
    assert desk.ask("selected()") == first
    desk.page.evaluate(TWO_DIGITS)
    assert desk.ask("selected()") == LEFT_WRIST
    before = desk.ask(f"shown({LEFT_WRIST})")
    desk.press("ArrowRight", "ArrowRight", "Shift+ArrowUp", "Alt+ArrowLeft")
    _, x, y, v = desk.saved().label(person, LEFT_WRIST)
    assert x is not None and y is not None
    assert abs(x - before["x"] - 1.9) < 0.02 and abs(y - before["y"] + 10) < 0.02 and v == 2
    desk.press("v")
    assert desk.saved().label(person, LEFT_WRIST)[3] == 1
    desk.press("v")
    assert desk.saved().label(person, LEFT_WRIST)[0] == "absent"
    desk.press("v")
    assert desk.saved().label(person, LEFT_WRIST)[:2] == ("placed", x)
    desk.press("Shift+V")
    assert desk.saved().document(person)["keypoints"][LEFT_WRIST]["absent_reason"] == "cannot tell"
    desk.press("Delete")
    assert desk.saved().label(person, LEFT_WRIST)[0] == "open"
    desk.press("Enter")
    assert desk.saved().rows(person)[-1]["origin"] == "accept"
    assert desk.ask("selected()") != LEFT_WRIST, "on to the next uncertain one"
    desk.press("s")
    desk.press("Escape")
    focused = "document.activeElement.dataset.command"
    assert desk.page.evaluate(focused) == "zoomOut", "Escape leaves the photo"
    desk.press("Tab", "Tab")
    assert desk.page.evaluate("document.activeElement.className") != "pe-stage"


def test_undo_and_redo_go_without_end_and_across_people(fresh: Any, desk: Desk):
    one, two = fresh(alone), fresh(alone)
    desk.open(one).take(LEFT_WRIST).press("v", "ArrowRight", "ArrowRight")
    desk.open(two).take(LEFT_ANKLE).press("v", "Shift+V", "v")
    assert desk.saved().ask("history()") == {"done": 6, "undone": 0}
    for _ in range(6):
        desk.press("Control+z")
    desk.until(f"e.person().id === {one} && e.history().undone === 6")
    desk.saved()
    assert desk.label(one, LEFT_WRIST)[0] == desk.label(two, LEFT_ANKLE)[0] == "open"
    assert "undo" in {row["origin"] for row in desk.rows(two)}
    for _ in range(6):
        desk.press("Control+Shift+z")
    desk.until(f"e.person().id === {two} && e.history().undone === 0")
    desk.saved()
    assert desk.label(one, LEFT_WRIST)[3] == 1
    assert desk.label(two, LEFT_ANKLE)[0] == desk.ask(f"person().points[{LEFT_ANKLE}].state")
    desk.page.reload()
    desk.until("e?.ready()")
    desk.press("Control+z")
    desk.until("e.history().undone === 1")
    desk.saved()
    undone = [row for row in desk.rows(two) if row["undoes"] is not None]
    assert undone[-1]["undoes"] in {row["edit_id"] for row in desk.rows(two)}


def test_a_person_takes_two_actions_a_wrong_keypoint_and_one_more(fresh: Any, make_desk: Any):
    """Correct what is wrong by a drag, or by Tab and a click; then Ctrl+Enter."""

    def sure(document: dict[str, Any]) -> bool:
        inside = document["image"]
        guesses = [point["prediction"] for point in document["keypoints"]]
        near = all(
            0 <= p["x"] < inside["width"] and 0 <= p["y"] < inside["height"] for p in guesses
        )
        return near and all(p["error"] <= 0.2 for p in guesses) and alone(document)

    for wrong in (0, 1, 3):
        person = fresh(lambda d: sure(d) and within(d, LEFT_WRIST, RIGHT_WRIST, LEFT_ELBOW))
        desk = make_desk().open(person)
        actions = 0
        for keypoint in (LEFT_WRIST, RIGHT_WRIST, LEFT_ELBOW)[:wrong]:
            desk.drag(keypoint, 21, 13)
            actions += 1
        desk.press("Control+Enter")
        actions += 1
        desk.until(f"e.person().id !== {person}")
        desk.saved()
        assert actions <= 2 * wrong + 1
        states = [point["state"] for point in desk.document(person)["keypoints"]]
        assert states == ["placed"] * 17
        origins = [row["origin"] for row in desk.rows(person)]
        assert (origins.count("edit"), origins.count("accept")) == (wrong, 17 - wrong)


def test_accept_all_stops_at_what_is_over_the_limit(fresh: Any, desk: Desk):
    person = fresh(lambda d: any((p["prediction"]["error"] or 0) > 0.2 for p in d["keypoints"]))
    over = [
        k
        for k, p in enumerate(desk.document(person)["keypoints"])
        if p["prediction"]["error"] > 0.2
    ]
    desk.open(person).press("Control+Enter")
    assert desk.ask("person().id") == person
    assert "over the error limit of 20 %" in desk.page.inner_text(".pe-banner")
    desk.saved()
    states = [point["state"] for point in desk.document(person)["keypoints"]]
    assert all(states[k] == "open" for k in over) and states.count("placed") > 0
    assert desk.ask("selected()") in over
    desk.press("Control+Enter")
    desk.until(f"e.person().id !== {person}")
    desk.saved()
    assert {point["state"] for point in desk.document(person)["keypoints"]} == {"placed"}


def test_the_error_limit_and_the_heatmap_stay_as_they_were_chosen(desk: Desk):
    def limit() -> Any:
        return desk.page.get_by_label("Error limit in percent")

    desk.go()
    assert limit().input_value() == "20"
    limit().fill("300")
    desk.press("Enter")
    assert limit().input_value() == "20" and "stays" in desk.words()
    limit().fill("99")
    desk.press("Enter")
    desk.page.locator(".pe-live", has_text="over 99 %").wait_for()
    desk.page.get_by_label("Heatmap of the keypoint in hand").select_option("off")
    assert desk.page.locator(".pe-row.over").count() == 0
    desk.page.reload()
    desk.until("e?.ready() && e.heat().loaded")
    assert limit().input_value() == "99" and desk.ask("heat().show") == "off"
    limit().fill("20")
    desk.press("Enter")
    desk.page.locator(".pe-live", has_text="over 20 %").wait_for()


def test_swap_candidates_and_moving_the_whole_person(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_ELBOW, RIGHT_ELBOW, LEFT_WRIST, RIGHT_WRIST))
    desk.open(person).take(LEFT_ELBOW)
    was = {k: desk.ask(f"shown({k})") for k in (7, 8, 9, 10)}
    desk.press("x")
    for k, other in ((7, 8), (8, 7), (9, 10), (10, 9)):
        now = desk.ask(f"shown({k})")
        assert abs(now["x"] - was[other]["x"]) < 0.01 and now["by"] == "label"
    desk.press("Control+z")
    assert desk.ask("shown(7)")["by"] == "prediction"
    desk.until("e.heat().loaded")
    heat, scale = desk.page.locator(".pe-heat"), desk.page.locator(".pe-scale")
    assert heat.is_visible() and scale.is_visible(), "while the keypoint in hand is open"
    desk.press("m")
    assert not heat.is_visible() and not scale.is_visible()
    desk.press("m", "m", "m", "m")
    assert heat.is_visible() and desk.ask("heat().show") == "open"
    found = desk.ask(f"candidates({LEFT_WRIST})")
    desk.take(LEFT_WRIST).press("c")
    assert desk.ask(f"shown({LEFT_WRIST})")["by"] == "label"
    places = {(round(one["x"], 1), round(one["y"], 1)) for one in found}
    now = desk.ask(f"shown({LEFT_WRIST})")
    assert (round(now["x"], 1), round(now["y"], 1)) in places
    desk.press("Control+z")
    x, y = desk.ask(f"point({LEFT_ELBOW})")
    shown = [desk.ask(f"shown({k})") for k in range(17)]
    scale = desk.ask("camera().scale")
    desk.page.keyboard.down("Alt")
    desk.page.mouse.move(x + 30, y + 30)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 35, y + 42, steps=3)
    desk.page.mouse.up()
    desk.page.keyboard.up("Alt")
    after = [desk.ask(f"shown({k})") for k in range(17)]
    for a, b in zip(shown, after, strict=True):
        assert abs(b["x"] - a["x"] - 5 / scale) < 0.05 and abs(b["y"] - a["y"] - 12 / scale) < 0.05
    assert desk.saved().ask("history()")["done"] == 1
    assert len({row["edit_id"] for row in desk.rows(person) if row["undoes"] is None}) == 3
    x, y = desk.ask(f"point({LEFT_ELBOW})")
    before = desk.ask(f"shown({LEFT_ELBOW})")
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 40, y + 4, steps=3)
    desk.press("v", "Escape")  # keys rest during a drag; Escape leaves it
    desk.page.mouse.move(x + 60, y)
    desk.page.mouse.up()
    assert desk.ask(f"shown({LEFT_ELBOW})") == before
    assert desk.ask("history()")["done"] == 1


def test_the_drawn_edit_is_there_when_the_key_event_ends(fresh: Any, desk: Desk):
    """Synchronous, so within the frame of the key press."""
    desk.open(fresh(lambda d: within(d, LEFT_WRIST))).take(LEFT_WRIST)
    moved = desk.page.evaluate(
        """k => {
          const joint = document.querySelector(`.pe-joint[data-k='${k}']`);
          const before = joint.getAttribute('transform');
          const stage = document.querySelector('.pe-stage');
          stage.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true, cancelable: true}));
          const after = joint.getAttribute('transform');
          document.dispatchEvent(new KeyboardEvent('keyup', {key: 'ArrowRight', bubbles: true}));
          return [before, after];
        }""",
        LEFT_WRIST,
    )
    assert moved[0] != moved[1]
    desk.saved()


def test_edits_survive_a_killed_server_and_a_reload(own: App, make_desk: Any):
    """kill -9, five edits, a new server: all five arrive, once, in order."""
    desk = make_desk(own).go()
    person = desk.ask("person().id")
    desk.take(LEFT_WRIST).press("v")
    desk.saved()
    assert "saved at" in desk.page.inner_text(".pe-saved")
    own.kill()
    for key in ("ArrowRight", "ArrowDown", "v", "v", "Shift+V"):
        desk.press(key)
    desk.until("e.away() && e.waiting().length === 5")
    assert "5 waiting" in desk.page.inner_text(".pe-saved")
    expected = desk.page.evaluate("window.__editor.waiting().map(edit => edit.edit_id)")
    own.start()
    desk.until("e?.ready() && e.waiting().length === 0")
    desk.saved()
    desk.page.reload()
    desk.until("e?.ready()")
    arrived = [row["edit_id"] for row in desk.rows(person)]
    assert len(arrived) == 6 and arrived[1:] == expected
    assert desk.document(person)["keypoints"][LEFT_WRIST]["absent_reason"] == "cannot tell"
    assert desk.ask("person().id") == person


def test_edits_wait_through_a_reload_while_the_server_is_away(own: App, make_desk: Any):
    """The page is gone while the server is down; the next page delivers."""
    desk = make_desk(own).go()
    person = desk.ask("person().id")
    own.kill()
    desk.take(LEFT_ANKLE).press("v", "ArrowLeft", "ArrowLeft")
    desk.until("e.waiting().length === 3")
    desk.page.goto("about:blank")
    own.start()
    desk.go(f"/correct?instance={person}")
    desk.until("e.waiting().length === 0")
    assert len(desk.rows(person)) == 3
    assert desk.ask(f"shown({LEFT_ANKLE}).by") == "label"


def test_two_tabs_deliver_each_edit_once(fresh: Any, desk: Desk):
    one, two = fresh(alone), fresh(alone)
    desk.open(one)
    other = Desk(watched(desk.page.context, desk.app.address), desk.app).open(two)
    for _ in range(4):
        desk.take(LEFT_WRIST).press("ArrowRight")
        other.take(LEFT_WRIST).press("ArrowLeft")
    desk.saved()
    other.saved()
    assert [len(desk.rows(number)) for number in (one, two)] == [4, 4]
    assert other.seen.complaints == []


def test_two_people_on_one_keypoint_see_a_conflict(fresh: Any, make_desk: Any):
    person = fresh(lambda d: within(d, LEFT_WRIST, RIGHT_WRIST) and alone(d))
    mine, theirs = make_desk(), make_desk()
    mine.open(person).take(LEFT_WRIST)
    theirs.open(person).take(LEFT_WRIST)
    theirs.press("Shift+ArrowRight")
    theirs.saved()
    their_x = theirs.label(person, LEFT_WRIST)[1]
    mine.press("Shift+ArrowLeft")
    mine.until("e.refused().length === 1")
    bar = mine.page.locator(".pe-conflict")
    assert "also changed by" in bar.inner_text() and mine.page.locator(".pe-rival").count() == 1
    assert mine.label(person, LEFT_WRIST)[1] == their_x, "nothing was overwritten"
    wanted = mine.ask(f"shown({LEFT_WRIST}).x")
    mine.page.get_by_role("button", name="Keep mine").click()
    mine.saved()
    assert mine.label(person, LEFT_WRIST)[1] == pytest.approx(wanted, abs=0.01)
    theirs.press("ArrowUp")
    theirs.until("e.refused().length === 1")
    theirs.page.get_by_role("button", name="Take the other").click()
    theirs.saved()
    theirs.until(f"Math.abs(e.shown({LEFT_WRIST}).x - {wanted}) < 0.02")
    theirs.take(RIGHT_WRIST).press("v")
    theirs.saved()


def test_held_out_people_are_blind_and_guided(app: App, make_desk: Any):
    desk = make_desk().go("/correct?split=val&order=random", ready=False)
    desk.page.get_by_text("Nobody to correct").wait_for()
    val = next(n for n in range(1, 200) if split_of(app, n) == "val")
    document = desk.open(val).document(val)
    assert document["blind"] and all(p["prediction"] is None for p in document["keypoints"])
    assert "held out" in desk.page.inner_text(".pe-title")
    desk.press("m")
    assert "no heatmaps" in desk.words()
    desk.press("i")
    box = desk.page.locator(".pe-stage").bounding_box()
    assert box is not None
    center = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.page.mouse.move(center[0] - 60, center[1] - 80)
    desk.page.mouse.down()
    desk.page.mouse.move(center[0] + 60, center[1] + 90, steps=4)
    desk.page.mouse.up()
    desk.until(f"e.person().id !== {val}")
    person = desk.ask("person().id")
    assert "Click the nose" in desk.page.inner_text(".pe-banner")
    desk.page.mouse.click(center[0], center[1] - 60)  # the next click is right beside it
    assert "left eye" in desk.page.inner_text(".pe-banner")
    desk.page.keyboard.down("Shift")
    desk.page.mouse.click(center[0] + 8, center[1] - 64)
    desk.page.keyboard.up("Shift")
    desk.press("v")
    assert desk.page.inner_text(".pe-banner").count("right eye") == 0
    desk.saved()
    found = desk.document(person)["keypoints"]
    assert [(p["state"], p["v"]) for p in found[:3]] == [
        ("placed", 2),
        ("placed", 1),
        ("absent", 0),
    ]
    desk.press("Shift+Delete")
    desk.saved()
    assert desk.document(person)["hidden"]


def split_of(app: App, number: int) -> str | None:
    try:
        with urllib.request.urlopen(f"{app.address}/api/people/{number}", timeout=30) as answer:
            return json.loads(answer.read())["split"]
    except urllib.error.HTTPError:
        return None


def test_several_people_in_one_photo(fresh: Any, desk: Desk):
    person = fresh(lambda d: any(one["source"] == "prediction" for one in d["others"]))
    desk.open(person)
    others = desk.document(person)["others"]
    other = next(one["instance_id"] for one in others if one["source"] == "prediction")
    desk.press("f")  # the whole photo
    desk.page.locator(f".pe-tag[data-id='{other}']").click()
    desk.until(f"e.person().id === {other}")
    desk.press("Backspace")
    desk.until(f"e.person().id === {person}")
    desk.press("f")
    desk.take(LEFT_WRIST).press("Enter").take(LEFT_WRIST).press("y")
    assert "Click the person who gets the left wrist" in desk.page.inner_text(".pe-banner")
    handed = desk.ask(f"shown({LEFT_WRIST})")
    desk.page.locator(f".pe-tag[data-id='{other}']").click()
    desk.saved()
    assert desk.label(person, LEFT_WRIST)[0] == "open"
    assert desk.label(other, LEFT_WRIST)[1] == pytest.approx(handed["x"], abs=0.01)
    desk.press("Control+z")
    desk.saved()
    assert (
        desk.label(person, LEFT_WRIST)[0] == "placed"
        and desk.label(other, LEFT_WRIST)[0] != "placed"
    )
    desk.press("f")
    desk.page.locator("summary", has_text="Person").click()
    desk.page.get_by_role("button", name="Merge this duplicate").click()
    desk.page.locator(f".pe-tag[data-id='{other}']").click()
    desk.page.get_by_role("button", name="Merge", exact=True).click()
    desk.until(f"e.person().id === {other}")
    desk.saved()
    assert desk.document(person)["hidden"] and desk.label(other, LEFT_WRIST)[0] == "placed"
    desk.press("Control+z")
    desk.until(f"e.person().id === {person}")
    desk.saved()
    desk.until("!e.person().doc.hidden")
    assert not desk.document(person)["hidden"] and desk.label(other, LEFT_WRIST)[0] == "open"


CORNER = """() => {
  const {x, y, width, height} = document.querySelector('.pe-handle.nw')?.getBoundingClientRect() ?? {};
  return width ? {x, y, width, height} : null;
}"""
"""Where the box's upper left handle is, asked in one go: a frame in between may draw another one."""


def test_a_moved_box_brings_a_new_prediction(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_ELBOW) and alone(d))
    desk.open(person)
    old = desk.document(person)
    desk.press("f", "b")
    handle = desk.page.wait_for_function(CORNER).json_value()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 25, y + 20, steps=3)
    desk.page.mouse.up()
    desk.until(f"e.person().doc.prediction_id !== {old['prediction_id']} && !e.person().doc.stale")
    new = desk.saved().document(person)
    assert new["box"]["xywh"] != old["box"]["xywh"] and not new["stale"]
    desk.press("Escape", "Control+z")
    desk.saved()
    assert desk.document(person)["box"]["xywh"] == old["box"]["xywh"]


def test_keys_alone_add_a_person_whom_the_students_see_and_choose_another(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_WRIST) and alone(d))
    desk.open(person).press("i", "Enter", "Shift+ArrowRight", "-", "Enter")
    desk.until(f"e.person().id !== {person}")
    new = desk.ask("person().id")
    desk.until("e.person().doc.prediction_id !== null")
    assert desk.ask("selected()") == desk.ask("uncertain()[0]")
    desk.saved().press("j")
    assert desk.words().startswith(f"Person {person}, the only other")
    assert desk.page.locator(f".pe-other.chosen[data-id='{person}']").count() == 1
    desk.press("Enter")
    desk.until(f"e.person().id === {person}")
    box = desk.document(person)["box"]["xywh"]
    desk.take(LEFT_WRIST).press("b", "v", "ArrowLeft", "Shift+ArrowUp", "Enter")
    assert desk.ask("mode()") is None and desk.ask("person().box") == [
        box[0] - 1, box[1] - 10, *box[2:]
    ]  # fmt: skip
    desk.saved()
    assert desk.label(person, LEFT_WRIST)[0] == "open" and desk.rows(person) == []
    desk.until("!e.person().doc.stale")
    desk.press("Control+z", "Control+z", "Control+z")  # the box twice, and then the new person
    desk.until(f"e.person().id === {new} && e.history().undone === 3")
    desk.saved()
    assert desk.document(new)["hidden"] and desk.document(person)["box"]["xywh"] == box


def test_undo_takes_back_a_skip_and_goes_back(fresh: Any, desk: Desk):
    desk.go()
    first, second = desk.ask("queue()")[:2]
    desk.press("n")
    desk.until(f"e.person().id === {second}")
    desk.saved()
    assert desk.document(first)["standing"] == ["skip"]
    desk.press("Control+z")
    desk.until(f"e.person().id === {first}")
    desk.saved()
    assert desk.document(first)["standing"] == [] and desk.ask("progress()")["done"] == 0
    desk.press("g")
    desk.page.locator(".pe-chip", has_text="flag").wait_for()
    desk.press("Control+z")
    desk.page.locator(".pe-chip", has_text="flag").wait_for(state="detached")


def test_history_regions_and_a_time_budget(fresh: Any, desk: Desk):
    person = fresh(lambda d: alone(d) and d["keypoints"][LEFT_WRIST]["state"] == "open")
    desk.open(person).take(LEFT_WRIST).press("v", "Shift+V")
    desk.page.get_by_text("History of this keypoint").click()
    desk.page.locator(".pe-history", has_text="declared impossible to tell").wait_for()
    assert desk.page.locator(".pe-history li").count() == 2
    desk.take(LEFT_ANKLE)
    desk.page.locator(".pe-history", has_text="Nobody has decided").wait_for()
    desk.press("f")
    desk.page.locator("summary", has_text="Person").click()
    desk.page.get_by_role("button", name="Add a region to ignore").click()
    box = desk.page.locator(".pe-stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 60, y + 40, steps=3)
    desk.page.mouse.up()
    desk.until("e.person().doc.others.some(other => other.iscrowd)")
    (region,) = desk.saved().document(person)["others"]
    assert region["iscrowd"] and desk.ask("person().id") == person
    desk.page.get_by_label("Time").select_option("20")
    desk.page.locator(".pe-note", has_text="people fit in 20 minutes").wait_for()


def test_marks_are_one_key_each_and_the_queue_goes_on(fresh: Any, desk: Desk):
    desk.go()
    order = desk.ask("queue()")
    first = desk.ask("person().id")
    desk.press("g", "k")
    desk.page.get_by_label("What should others know?").fill('left <b>hand</b> "hidden"')
    desk.press("Enter")
    desk.page.get_by_role("dialog").wait_for(state="detached")  # its edit is made as it closes
    desk.saved()
    found = desk.document(first)
    assert "flag" in found["standing"] and found["marks"][-1]["text"] == 'left <b>hand</b> "hidden"'
    assert desk.page.locator(".pe-title b b").count() == 0
    desk.press("n")
    desk.until(f"e.person().id === {order[1]}")
    desk.press("u", "2")
    desk.until(f"e.person().id === {order[2]}")
    desk.press("Backspace")
    desk.until(f"e.person().id === {order[1]}")
    desk.saved()
    assert "cannot_tell" in desk.document(order[1])["standing"]
    assert desk.ask("queue()") == order, "the queue in hand never reorders by itself"
    desk.page.reload()
    desk.until("e?.ready()")
    assert desk.ask("queue()") == order and desk.ask("progress()")["done"] == 2
    assert desk.page.locator(".pe-rows li[data-state='passed']").count() == 2
    desk.page.get_by_label("Order").select_option("marked")
    desk.page.wait_for_url("**order=marked**")
    desk.until(f"e.queue().includes({first})")


def test_the_next_person_is_there_before_it_is_asked_for(desk: Desk):
    desk.go()
    after = desk.ask("queue()")[1]
    desk.until(f"e.here({after})")
    shown = desk.page.evaluate(
        """() => { document.querySelector('.pe-stage').dispatchEvent(
          new KeyboardEvent('keydown', {key: 'd', bubbles: true, cancelable: true}));
          const image = document.querySelector('.pe-world img');
          return [window.__editor.person().id, image.complete && image.naturalWidth > 0]; }"""
    )
    assert shown == [after, True]


def test_help_lists_the_keys_and_the_photo_gets_them_back(desk: Desk):
    desk.go().press("?")
    dialog = desk.page.get_by_role("dialog", name="Keys")
    words = dialog.inner_text()
    for line in ("Ctrl+Enter", "Accept all and go on", "Undo, without end", "Shift+arrows"):
        assert line in words
    before = desk.ask("selected()")
    desk.press("s")
    assert desk.ask("selected()") == before, "keys rest while a dialog is open"
    desk.press("Escape")
    dialog.wait_for(state="detached")
    desk.press("s")
    assert desk.ask("selected()") != before


def test_the_address_says_who_and_how(fresh: Any, project: Path, desk: Desk):
    person = fresh()
    with_run = desk.document(person)["run_id"]
    desk.go(f"/correct?instance={person}&run={with_run}&order=random")
    assert desk.ask("person().id") == person
    assert desk.page.get_by_label("Order").input_value() == "random"
    for part in (f"instance={person}", f"run={with_run}", "order=random"):
        assert part in desk.page.url
    desk.go("/correct?instance=999999", ready=False)
    desk.page.get_by_text("There is no person 999999").first.wait_for()
    desk.seen.complaints.clear()


def test_an_imported_model_is_chosen_beside_the_runs(made: Path, tmp_path: Path, make_desk: Any):
    folder = Path(shutil.copytree(made, tmp_path / "project"))
    with Studio(folder) as studio:
        person = studio.call("queue")["items"][0]["instance_id"]
        box = studio.call("person_box", instance_id=person)
    points = [[[box["x"] + 4 * k + 3, box["y"] + 9] for k in range(17)]]
    with Store(folder) as store:
        predictions.save(
            store, model="rtmpose", student="external", instance_id=[person], box_revision=[box["box_revision"]],
            xy_image=points, score=[[0.9] * 17],
        )  # fmt: skip
    app = App(folder).start()
    desk = make_desk(app).open(person)
    desk.until("e.heat().loaded")
    tags = [one["tag"] for one in desk.ask(f"candidates({LEFT_WRIST})")]
    assert tags[0] == "rtmpose" and {"a", "b"} & set(tags)
    desk.page.get_by_label("Run").select_option("rtmpose")
    desk.page.wait_for_url("**run=rtmpose**")
    desk.go(f"/correct?instance={person}&run=rtmpose")
    assert desk.ask("person().doc.run_id") == "rtmpose"
    assert desk.ask(f"shown({LEFT_WRIST}).x") == pytest.approx(box["x"] + 39, abs=0.01)
    desk.until("e.heat().loaded")
    assert desk.page.get_by_label("Run").input_value() == "rtmpose"
    app.kill()


def test_controls_have_names_and_fingers_fit(make_desk: Any):
    desk = make_desk(viewport={"width": 1366, "height": 768}).go()
    nameless = desk.page.evaluate(
        """() => [...document.querySelectorAll('.pe-root :is(button, select, input, summary, [role])')].filter(node =>
          !(node.getAttribute('aria-label') || node.textContent.trim() || node.title
            || node.labels?.length || node.getAttribute('role') === 'status' || node.getAttribute('role') === 'alert'))
          .map(node => node.outerHTML.slice(0, 90))"""
    )
    assert nameless == []
    small = desk.page.evaluate(
        """() => [...document.querySelectorAll('.pe-root :is(button, select, summary, .pe-row), .pe-joint .hit')]
          .filter(node => { const box = node.getBoundingClientRect();
            return box.width > 0 && (box.width < 24 || box.height < 24) && !node.closest('.pe-end'); })
          .map(node => node.outerHTML.slice(0, 90))"""
    )
    assert small == []
    assert desk.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_touch_drags_and_pinches(fresh: Any, make_desk: Any):
    person = fresh(lambda d: within(d, LEFT_ELBOW, LEFT_WRIST) and alone(d))
    desk = make_desk(has_touch=True, viewport={"width": 900, "height": 700}).open(person)
    touch = desk.page.context.new_cdp_session(desk.page)

    def send(kind: str, *points: tuple[float, float]) -> None:
        fingers = [{"x": x, "y": y, "id": i} for i, (x, y) in enumerate(points)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": fingers})

    x, y = (round(value) for value in desk.ask(f"point({LEFT_ELBOW})"))
    before, scale = desk.ask(f"shown({LEFT_ELBOW})"), desk.ask("camera().scale")
    send("touchStart", (x, y))
    send("touchMove", (x + 12, y + 10))
    send("touchMove", (x + 30, y + 24))
    send("touchEnd")
    _, stored, _, _ = desk.saved().label(person, LEFT_ELBOW)
    assert stored == pytest.approx(before["x"] + 30 / scale, abs=0.1)
    box = desk.page.locator(".pe-stage").bounding_box()
    assert box is not None
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] - 40
    send("touchStart", (middle[0] - 40, middle[1]), (middle[0] + 40, middle[1]))
    send("touchMove", (middle[0] - 60, middle[1]), (middle[0] + 60, middle[1]))
    send("touchMove", (middle[0] - 80, middle[1]), (middle[0] + 80, middle[1]))
    send("touchEnd")
    desk.until(f"Math.abs(e.camera().scale / {scale} - 2) < 0.05")
    assert desk.ask("history()")["done"] == 1, "a pinch is no edit"
    desk.page.locator("summary", has_text="Person").click()
    desk.page.get_by_role("button", name="Move or scale the whole person").click()
    before, scale = [desk.ask(f"shown({k})") for k in range(17)], desk.ask("camera().scale")
    send("touchStart", middle)
    send("touchMove", (middle[0] - 15, middle[1] - 10))
    send("touchMove", (middle[0] - 20, middle[1] - 10))
    send("touchEnd")
    moved = [desk.ask(f"shown({k})") for k in range(17)]
    for was, now in zip(before, moved, strict=True):
        assert now["x"] == pytest.approx(was["x"] - 20 / scale, abs=0.05)
        assert now["y"] == pytest.approx(was["y"] - 10 / scale, abs=0.05)
    send("touchStart", (middle[0] - 40, middle[1]), (middle[0] + 40, middle[1]))
    send("touchMove", (middle[0] - 36, middle[1]), (middle[0] + 36, middle[1]))
    send("touchEnd")
    scaled = [desk.ask(f"shown({k})") for k in (LEFT_ELBOW, LEFT_WRIST)]
    apart = scaled[1]["x"] - scaled[0]["x"]
    assert apart == pytest.approx(0.9 * (moved[LEFT_WRIST]["x"] - moved[LEFT_ELBOW]["x"]), abs=0.1)
    assert desk.ask("camera().scale") == scale and desk.ask("history()")["done"] == 3
    desk.saved()


def test_a_double_click_decides_about_one_person(desk: Desk):
    desk.go()
    first, second, third = desk.ask("queue()")[:3]
    desk.until(f"e.here({second}) && e.here({third})")
    desk.page.locator("[data-command=skip]").dblclick()
    desk.until(f"e.person().id === {second}")
    desk.saved()
    assert desk.document(first)["standing"] == ["skip"] and desk.document(second)["standing"] == []
    assert desk.page.evaluate("document.activeElement.matches('.pe-stage')")
    desk.press("Control+z")
    desk.until(f"e.person().id === {first}")
    desk.saved()


def test_names_are_text(project: Path, app: App, desk: Desk, fresh: Any):
    """Nothing that a person wrote becomes markup."""
    person = fresh()
    desk.open(person).press("k")
    evil = '<img src=x onerror="window.__pwn=1">${window.__pwn=2}{{value}}'
    desk.page.get_by_label("What should others know?").fill(evil)
    desk.press("Enter")
    desk.page.get_by_role("dialog").wait_for(state="detached")  # its edit is made as it closes
    desk.saved()
    desk.open(person)
    assert evil[:30] in desk.page.inner_text(".pe-title")
    assert desk.page.evaluate("window.__pwn === undefined")


def test_a_tab_shows_what_another_tab_saved(fresh: Any, desk: Desk):
    person = fresh(lambda d: within(d, LEFT_WRIST) and alone(d))
    desk.open(person)
    other = Desk(watched(desk.page.context, desk.app.address), desk.app).open(person)
    desk.take(LEFT_WRIST).press("Shift+ArrowRight")
    placed = desk.saved().label(person, LEFT_WRIST)
    other.until(f"e.shown({LEFT_WRIST}).by === 'label'")
    assert other.ask(f"shown({LEFT_WRIST}).x") == pytest.approx(placed[1], abs=0.01)
    other.press("Control+Enter")
    assert other.saved().label(person, LEFT_WRIST) == placed
    assert other.seen.complaints == []


def test_a_person_who_comes_in_mid_drag_waits_for_its_end(fresh: Any, desk: Desk):
    one, two = fresh(lambda d: within(d, LEFT_ELBOW) and alone(d)), fresh(alone)
    asked: list[Any] = []
    desk.page.route(re.compile(rf"/api/people/{two}($|\?)"), lambda route: asked.append(route))
    desk.open(one).take(LEFT_ELBOW)
    x, y = desk.ask(f"point({LEFT_ELBOW})")
    desk.page.evaluate("id => { window.__coming = window.__editorPage.open(id); }", two)
    desk.page.mouse.move(x, y)
    desk.page.mouse.down()
    desk.page.mouse.move(x + 20, y + 9, steps=3)
    while not asked:
        desk.page.wait_for_timeout(20)
    asked[0].continue_()
    desk.until(f"e.here({two})")
    assert desk.ask("person().id") == one
    desk.page.mouse.up()
    desk.page.evaluate("window.__coming")
    assert desk.ask("person().id") == two
    assert desk.saved().label(one, LEFT_ELBOW)[0] == "placed"


def test_the_project_is_whole_after_all_this(app: App, project: Path):
    """The journal and what is derived from it agree."""
    app.kill()
    with Studio(project) as studio:
        told = studio.call("verify")
    assert told["ok"], told
