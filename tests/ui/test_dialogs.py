"""What Correct asks, and says, in a browser: names, reasons, the way out of the photo and back."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from posestudio.studio.demo import make_demo
from tests.ui.browsers import App, looking
from tests.ui.desk import Desk

pytestmark = pytest.mark.browser
WAIT = 60_000
PERSIAN = "\u0646\u0631\u06af\u0633\u200c\u062e\u0627\u0646"


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A studio with more people in the queue than a page asks for ahead of time."""
    project = tmp_path_factory.mktemp("dialogs") / "project"
    make_demo(project, counts={"train": 26, "val": 2}, labeled=10)
    opened = App(project).start()
    yield opened
    opened.kill()


@pytest.fixture
def desk(browser: Browser, app: App) -> Iterator[Desk]:
    with looking(browser, app, WAIT, ("net::ERR_FAILED",)) as seen:
        yield Desk(seen, app)


def rename(desk: Desk, name: str) -> Any:
    """Type a name and press Enter; the field."""
    desk.page.locator(".pe-who").click()
    field = desk.page.locator("dialog input")
    field.fill(name)
    field.press("Enter")
    return field


def test_a_name_is_refused_where_it_is_typed_and_edits_go_again_under_another(desk: Desk):
    desk.go()
    person = desk.ask("person()")["id"]
    desk.page.evaluate("localStorage.setItem('posestudio/who', 'a\\tb')")  # kept by an older page
    desk.press("Delete", "v")
    desk.until("e.waiting().length === 0 && e.refused().length === 1")
    field = rename(desk, "a\tb")
    assert "control characters" in field.evaluate("field => field.validationMessage")
    field.fill(PERSIAN)
    field.press("Enter")
    expect(desk.page.locator(".pe-who")).to_have_text(PERSIAN)
    shown = desk.ask(f"shown({desk.ask('selected()')})")
    desk.page.get_by_role("button", name="Keep mine").click()
    desk.saved()
    (row,) = desk.rows(person)
    assert row["who"] == PERSIAN and row["state"] == "placed" and row["x"] == shown["x"]
    expect(desk.page.locator(".pe-conflict")).to_be_hidden()


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (["Tab"] * 5 + list("in fog") + ["Enter"], "in fog"),
        (["2"], "too blurred"),
        (["Enter"], "too small"),
    ],
)
def test_enter_keeps_the_reason_that_was_typed(desk: Desk, keys: list[str], reason: str):
    desk.go()
    person = desk.ask("person()")["id"]
    desk.press("u")
    expect(desk.page.locator("dialog[open]")).to_be_visible()
    desk.press(*keys)
    desk.until(f"e.person().id !== {person}")
    (mark,) = desk.saved().document(person)["marks"]
    assert (mark["kind"], mark["text"]) == ("cannot_tell", reason)


def test_one_shift_tab_comes_back_to_the_photo_that_escape_left(desk: Desk):
    desk.go().press("Escape")
    stage = desk.page.locator(".pe-stage")
    expect(stage).not_to_be_focused()
    assert desk.words() == "Left the photo. Tab moves through the page; Shift+Tab comes back"
    desk.press("Shift+Tab")
    expect(stage).to_be_focused()


def test_who_is_asked_for_while_the_studio_is_away_opens_when_it_is_back(desk: Desk):
    desk.go()
    first, *_, other, last = desk.ask("queue()")
    for chosen in (last, other):
        desk.page.route(f"**/api/people/{chosen}*", lambda route: route.abort())
    desk.page.locator(f"[data-id='{last}'] button").click()
    expect(desk.page.locator(".pe-live")).to_have_text("The server does not answer. Trying again.")
    assert desk.ask("person()")["id"] == first
    desk.page.locator(f"[data-id='{other}'] button").click()
    desk.page.unroute(f"**/api/people/{last}*")
    desk.until(f"e.here({last})")  # asked for once more, and wanted no more
    assert desk.ask("person()")["id"] == first
    desk.page.unroute(f"**/api/people/{other}*")
    desk.until(f"e.person().id === {other}")
