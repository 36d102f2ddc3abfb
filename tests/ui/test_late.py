"""What comes late, twice or out of order, in a real browser: nothing is decided twice, nothing newer is replaced."""

import json
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.ui.browsers import App, Seen, looking
from tests.ui.test_images import boxes, drag, holding, next_of, saved

pytestmark = pytest.mark.browser
WAIT = 60_000


@pytest.fixture
def seen(app: App, browser: Browser) -> Iterator[Seen]:
    with looking(browser, app, WAIT, let=("status of 400",)) as found:
        yield found


def photos(app: App, query: str = "") -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{app.address}/api/gallery?limit=60{query}", timeout=60) as answer:
        return json.load(answer)["images"]


def opened(app: App, page: Page, place: int) -> int:
    """Opens one of the unlabeled photos, by its place among them."""
    image = photos(app, "&split=unlabeled")[place]["image_id"]
    page.goto(f"{app.address}/?image={image}")
    page.locator(".pg-box").first.wait_for()
    return image


def test_a_keypoint_chosen_while_a_person_comes_stays_and_who_comes_is_asked_for_once(app, seen):
    page = seen.page
    held = holding(page, "**/api/inspect?*instance=3&*")
    page.goto(app.address + "/inspect?instance=2")
    page.locator(".pi-card").first.wait_for()
    for _ in range(4):
        page.keyboard.down("ArrowDown")  # held
    page.keyboard.up("ArrowDown")
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**keypoint=nose*")
    assert 1 <= len(held) <= 2  # one asked for ahead, maybe, and one for the keys
    held[-1].continue_()
    page.wait_for_url("**instance=3*")
    assert "keypoint=nose" in page.url


def test_a_run_that_cannot_be_shown_is_not_said_to_be(app, seen):
    page = seen.page
    page.goto(app.address + "/inspect?instance=2")
    page.locator(".pi-card").first.wait_for()
    chooser = page.locator("#pi-run")
    shown = chooser.input_value()
    page.route("**/api/inspect?*", refused)
    chooser.evaluate("select => select.add(new Option('another', 'another'))")
    chooser.select_option("another")
    page.get_by_text("not today").wait_for()
    assert chooser.input_value() == shown


def refused(route: Route) -> None:
    route.fulfill(status=400, json={"error": {"kind": "invalid", "message": "not today"}})


def test_a_box_drawn_while_the_photo_is_read_anew_stays(app, seen):
    page = seen.page
    image = opened(app, page, 0)
    known = boxes(app, image)
    held = holding(page, f"**/api/gallery/{image}*")
    page.locator("#pg-photo-split").select_option("train")  # reads the photo anew
    before = next_of(page, held)
    answer = before.fetch()
    drag(page, (20, 30), (50, 200))
    saved(page)
    before.fulfill(response=answer)
    next_of(page, held).continue_()  # for the first did not know the new box
    expect(page.locator(".pg-box")).to_have_count(len(known) + 1)
    page.get_by_text("1 photo now in train").wait_for()
    assert page.locator(".pg-box").count() == len(boxes(app, image)) == len(known) + 1


def left_with_a_new_box(page: Page) -> tuple[int, Route, str]:
    """Put a box on a photo and go to the next one before it is saved: boxes before, the held edit, the photo's name."""
    held = holding(page, "**/api/edits")
    known = page.locator(".pg-box").count()
    page.keyboard.press("b")
    edit = next_of(page, held)
    name = page.inner_text(".pg-photo-name")
    page.keyboard.press("d")
    expect(page.locator(".pg-photo-name")).not_to_have_text(name)
    return known, edit, name


def test_a_box_that_waits_to_be_saved_is_there_when_its_photo_is_shown_again(app, seen):
    page = seen.page
    image = opened(app, page, 0)
    known, edit, name = left_with_a_new_box(page)
    page.keyboard.press("a")
    expect(page.locator(".pg-photo-name")).to_have_text(name)
    edit.continue_()
    expect(page.locator(".pg-box")).to_have_count(known + 1)
    assert len(boxes(app, image)) == known + 1


def test_a_box_that_is_saved_while_its_photo_is_on_its_way_is_shown(app, seen):
    page = seen.page
    image = opened(app, page, 1)
    known, edit, _ = left_with_a_new_box(page)
    photo = holding(page, f"**/api/gallery/{image}*")
    page.keyboard.press("a")
    before = next_of(page, photo)
    answer = before.fetch()
    edit.continue_()
    saved(page)
    before.fulfill(response=answer)
    next_of(page, photo).continue_()
    expect(page.locator(".pg-box")).to_have_count(known + 1)


def test_held_keys_and_double_clicks_add_one_box(app, seen):
    page = seen.page
    image = opened(app, page, 1)
    known = boxes(app, image)
    for _ in range(4):
        page.keyboard.down("b")
    page.keyboard.up("b")
    page.get_by_role("button", name="Whole photo").dblclick()
    saved(page)
    assert len(boxes(app, image)) == len(known) + 2
    assert page.evaluate("document.activeElement.matches('.pg-box')")  # keys go to the box


def test_photos_are_hidden_once_and_the_way_back_stays(app, seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".pg-card").first.wait_for()
    card = page.locator(".pg-card").last
    card.get_by_role("checkbox").check()
    for key in ("down", "down", "up"):
        getattr(page.keyboard, key)("h")
    page.keyboard.press("h")
    page.get_by_text("1 photo hidden").wait_for()
    page.wait_for_load_state("networkidle")
    assert page.get_by_text("photos hidden").count() == 0
    page.get_by_role("button", name="Undo", exact=True).click()
    page.get_by_text("1 photo back").wait_for()


def test_a_photo_that_was_left_before_it_came_does_not_open(app, seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".pg-card").first.wait_for()
    held = holding(page, lambda url: "/api/gallery/" in url)
    page.locator(".pg-link").first.click()
    late = next_of(page, held)
    page.go_back()
    late.continue_()
    page.wait_for_load_state("networkidle")
    assert page.locator(".pg-card").first.is_visible() and page.locator(".pg-box").count() == 0


def test_a_split_that_is_refused_is_not_said_to_be(app, seen):
    page = seen.page
    opened(app, page, 2)
    page.route("**/api/photos/split", refused)
    page.locator("#pg-photo-split").select_option("val")
    page.get_by_text("not today").wait_for()
    expect(page.locator("#pg-photo-split")).to_have_value("unlabeled")


def test_a_name_that_is_being_typed_stays_when_a_status_is_chosen(app, seen):
    page = seen.page
    page.goto(app.address)
    page.locator(".pg-card").first.wait_for()
    name = photos(app)[3]["file_name"]
    page.evaluate(
        """name => {
          const field = document.querySelector('input[type=search]');
          field.value = name;
          field.dispatchEvent(new Event('input', {bubbles: true}));
          document.querySelector('.pg-status').click();
        }""",
        name,
    )
    expect(page.locator(".pg-card")).to_have_count(1)
    assert page.locator("input[type=search]").input_value() == name
