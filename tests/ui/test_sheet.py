"""The contact sheet in a real browser over a real studio: keys alone, saved as said, taken back, nothing lost."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from posestudio.core.skeleton import COCO17
from posestudio.studio.studio import Studio, create
from tests import edited
from tests.edited import BAD
from tests.ui.browsers import App, Seen, looking

pytestmark = pytest.mark.browser
WAIT = 60_000
PEOPLE = 55  # open ones: two whole sheets and one of seven
ANKLE = COCO17.keypoints.index("left_ankle")


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    made = edited.make(tmp_path, PEOPLE - 1)
    studio = App(made.folder).start()
    yield studio
    studio.kill()


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[App]:
    """A studio with a photo and no label."""
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        photo = edited.photo(tmp_path, 1)
        studio.call("import_images", paths=[str(photo)], boxes="full")
    app = App(tmp_path / "project").start()
    yield app
    app.kill()


@pytest.fixture
def seen(app: App, browser: Browser) -> Iterator[Seen]:
    with looking(browser, app, WAIT, let=("net::ERR_",)) as found:
        yield found


def get(app: App, path: str) -> Any:
    with urllib.request.urlopen(app.address + path, timeout=30) as answer:
        return json.load(answer)


def rows(app: App, person: int) -> list[dict[str, Any]]:
    return get(app, f"/api/people/{person}/history")["rows"]


def open_sheet(app: App, seen: Seen, query: str = "?keypoint=left_ankle") -> Page:
    seen.page.goto(app.address + "/sheet" + query)
    seen.page.wait_for_selector(".sh-card")
    return seen.page


def people(page: Page) -> list[int]:
    page.wait_for_selector(".sh-body:not([aria-busy])")
    found = page.eval_on_selector_all(".sh-card", "cards => cards.map(c => +c.dataset.instance)")
    return found


def saved(page: Page) -> None:
    expect(page.locator(".sh-saved.good")).to_be_visible()


def test_a_sheet_by_keyboard_alone(app, seen):
    page = open_sheet(app, seen)
    first = people(page)
    assert len(first) == len(set(first)) == 24
    assert page.evaluate("document.activeElement.dataset.instance") == str(first[0])
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    wrong = first[9]  # eight in a row
    assert page.locator(".sh-card[aria-pressed=true]").get_attribute("data-instance") == str(wrong)
    expect(page.locator(".sh-accept")).to_have_text("Accept 23, flag 1 Enter")
    page.keyboard.press("Enter")
    expect(page.locator(".sh-progress")).to_have_text(f"24 of {PEOPLE}")
    second = people(page)
    assert len(second) == 24 and not set(second) & set(first)
    saved(page)
    for person in first:
        (row,) = rows(app, person) or [None]
        if person == wrong:
            assert row is None
            continue
        assert row is not None and (row["keypoint"], row["origin"]) == (ANKLE, "accept")
        shown = get(app, f"/api/people/{person}")["keypoints"][ANKLE]
        assert (shown["x"], shown["y"]) == (shown["prediction"]["x"], shown["prediction"]["y"])
    (mark,) = get(app, f"/api/people/{wrong}")["marks"]
    assert mark["kind"] == "flag" and mark["keypoint"] == ANKLE and "left ankle" in mark["text"]
    queue = get(app, "/api/queue?order=marked")["items"]
    assert [item["instance_id"] for item in queue] == [wrong]
    flagged = page.locator(".sh-flagged")
    expect(flagged).to_have_text("Correct 1 flagged person")
    flagged.click()
    page.wait_for_function("n => window.__editor?.person()?.id === n", arg=wrong)
    assert page.evaluate("window.__editor.selected()") == ANKLE
    expect(page.locator(".pe-title")).to_contain_text("flag: left ankle")
    page.keyboard.press("ArrowRight")
    expect(page.locator(".pe-title")).not_to_contain_text("flag")
    page.wait_for_function("window.__editor.waiting().length === 0")
    assert get(app, "/api/queue?order=marked")["items"] == []


def test_a_double_click_or_a_held_enter_decides_one_sheet(app, seen):
    page = open_sheet(app, seen)
    page.wait_for_load_state("networkidle")  # the next sheet is in hand
    page.locator(".sh-accept").dblclick()
    expect(page.locator(".sh-progress")).to_have_text(f"24 of {PEOPLE}")
    second = people(page)
    page.locator(".sh-accept").focus()
    page.wait_for_load_state("networkidle")
    for _ in range(5):
        page.keyboard.down("Enter")  # all but the first are repeats of a held key
    page.keyboard.up("Enter")
    expect(page.locator(".sh-progress")).to_have_text(f"48 of {PEOPLE}")
    saved(page)
    last = people(page)
    assert len(last) == PEOPLE - 48 and not set(last) & set(second)
    assert [rows(app, person) for person in last] == [[]] * len(last)


def test_the_last_sheet_is_taken_back_with_its_marks(app, seen):
    page = open_sheet(app, seen)
    first = people(page)
    page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "n => +document.querySelector('.sh-card').dataset.instance !== n", arg=first[0]
    )
    saved(page)
    page.keyboard.press("Control+z")
    page.wait_for_function(
        "n => +document.querySelector('.sh-card').dataset.instance === n", arg=first[0]
    )
    assert people(page) == first
    assert page.locator(".sh-card[aria-pressed=true]").get_attribute("data-instance") == str(
        first[0]
    )
    expect(page.locator(".sh-progress")).to_have_text(f"0 of {PEOPLE}")
    assert [row["origin"] for row in rows(app, first[1])] == ["accept", "undo"]
    assert get(app, f"/api/people/{first[1]}")["keypoints"][ANKLE]["state"] == "open"
    assert get(app, f"/api/people/{first[0]}")["standing"] == []
    expect(page.get_by_role("button", name="Undo last sheet")).to_be_disabled()
    page.keyboard.press("Enter")  # and forward again, from the new revisions
    expect(page.locator(".sh-progress")).to_have_text(f"24 of {PEOPLE}")
    saved(page)
    assert [row["origin"] for row in rows(app, first[1])] == ["accept", "undo", "accept"]


def test_sheets_to_the_end_each_person_once_and_nobody_of_val(app, seen):
    page = open_sheet(app, seen)
    val = {row["instance_id"] for row in get(app, "/api/queue?split=val")["items"]}
    met: list[int] = []
    for number in range(3):
        expect(page.locator(".sh-progress")).to_have_text(f"{24 * number} of {PEOPLE}")
        met += people(page)
        page.keyboard.press("Enter")
    expect(page.locator(".ps-empty b")).to_have_text("No open left ankle is left here")
    expect(page.locator(".sh-progress")).to_have_text(f"{PEOPLE} of {PEOPLE}")
    assert len(met) == len(set(met)) == PEOPLE and not set(met) & val and len(val) == 4
    saved(page)
    assert get(app, "/api/sheet?keypoint=left_ankle")["total"] == 0
    page.get_by_role("button", name="Next keypoint").click()
    page.wait_for_selector(".sh-card")
    assert page.get_by_label("Keypoint", exact=True).input_value() == "right_ankle"


def test_somebody_elses_label_is_left_alone_and_told(app, seen):
    page = open_sheet(app, seen)
    first = people(page)
    place = {"keypoint": ANKLE, "state": "placed", "x": 33.0, "y": 44.0, "v": 1}
    edit = {
        "edit_id": "other", "instance_id": first[2], "who": "bob", "base_revision": 0, "deed": "label",
        "labels": [place],
    }  # fmt: skip
    body, token = json.dumps({"edits": [edit]}).encode(), get(app, "/api/session")["token"]
    request = urllib.request.Request(
        app.address + "/api/edits", body, {"X-PoseStudio-Token": token}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert json.load(answer)["results"][0]["ok"]
    page.keyboard.press("Enter")
    expect(page.locator(".ps-toast-bad")).to_contain_text(
        "1 of 24 were not saved. 1 person was changed"
    )
    (row,) = rows(app, first[2])
    assert row["who"] == "bob" and row["x"] == 33.0
    assert len(rows(app, first[3])) == 1
    page.keyboard.press("Control+z")
    expect(page.locator(".ps-toast", has_text="taken back")).to_be_visible()
    assert [one["who"] for one in rows(app, first[2])] == ["bob"]
    assert len(people(page)) == 24 and first[2] not in people(page)


def test_what_was_decided_survives_a_crash_of_the_studio_and_a_reload(app, seen):
    page = open_sheet(app, seen)
    first = people(page)
    app.kill()
    page.keyboard.press("Enter")
    expect(page.locator(".sh-saved.away")).to_contain_text("24 kept here")
    page.goto("about:blank")  # or this page delivers them, and the next one has nothing to say
    app.start()
    page.goto(app.address + "/sheet?keypoint=left_ankle")
    page.wait_for_selector(".sh-card")
    saved(page)
    for person in first:
        assert [row["origin"] for row in rows(app, person)] == ["accept"]
    page.reload()
    page.wait_for_selector(".sh-card")
    assert not set(people(page)) & set(first)


def test_keys_names_and_address(app, seen):
    page = open_sheet(app, seen, "?keypoint=left_wrist&order=sure")
    expect(page.locator(".sh-question")).to_contain_text("left wrist (the person's own left)")
    card = page.locator(".sh-card").first
    name = card.get_attribute("aria-label") or ""
    assert re.fullmatch(r"Person \d+, left wrist, error [<>]? ?\d+ %, wrong", name)
    assert page.get_by_role("button", name=name, pressed=False).count() == 1
    assert page.locator(".sh-card[tabindex='0']").count() == 1
    for label in ("Keypoint", "Order", "Split", "Keys"):
        assert page.get_by_label(label, exact=True).count() == 1
    untaught = page.get_by_label("Keypoint", exact=True).locator("option").all_inner_texts()
    assert len(untaught) == len(COCO17.keypoints)
    page.keyboard.press("i")
    expect(page.locator(".sh-accept")).to_have_text("Flag 24 Enter")
    page.keyboard.press("i")
    expect(page.locator(".sh-accept")).to_have_text("Accept 24 Enter")
    first = people(page)
    page.keyboard.press("n")
    expect(page.locator(".sh-progress")).to_have_text(f"24 of {PEOPLE}")
    assert not set(people(page)) & set(first)
    assert rows(app, first[0]) == []  # skipped, not decided
    page.keyboard.press("]")
    expect(page.locator(".sh-question")).to_contain_text("right wrist")
    assert "keypoint=right_wrist" in page.url and "order=sure" in page.url
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys of the sheet")).to_be_visible()
    page.keyboard.press("Enter")  # closes the dialog and nothing else
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(page.locator(".sh-progress")).to_have_text(f"0 of {PEOPLE}")
    person = people(page)[0]
    page.locator(".sh-card").first.focus()
    page.keyboard.press("o")
    page.wait_for_url(f"**/correct?instance={person}*")
    assert BAD[0] == COCO17.keypoints.index("left_wrist")


def test_the_ring_lies_on_the_point_and_leaves_its_pixel_free(app, seen):
    page = open_sheet(app, seen)
    middle = page.evaluate(
        """() => { const of = s => { const r = document.querySelector('.sh-card ' + s).getBoundingClientRect();
            return [r.x + r.width / 2, r.y + r.height / 2]; };
            const picture = of('img'), ring = of('.sh-ring');
            return [picture[0] - ring[0], picture[1] - ring[1],
                getComputedStyle(document.querySelector('.sh-ring .dash')).fill]; }"""
    )
    assert abs(middle[0]) < 0.6 and abs(middle[1]) < 0.6 and middle[2] == "none"
    assert page.locator(".sh-cross:visible").count() == 0
    page.locator(".sh-card").nth(3).click()
    assert page.locator(".sh-cross:visible").count() == 1
    page.set_viewport_size({"width": 420, "height": 800})
    wide = page.evaluate("document.scrollingElement.scrollWidth")
    assert wide <= 420 and page.locator(".sh-card").count() == 24


def test_before_the_first_label_it_says_what_to_do(bare, browser):
    page = browser.new_page()
    seen = []
    page.on("console", lambda message: seen.append(message.text) if message.type == "error" else 0)
    page.goto(bare.address + "/sheet")
    page.get_by_text("Train a pair of students first").wait_for()
    assert page.get_by_label("Keypoint", exact=True).locator("option").count() == 17
    assert seen == []
    page.close()
