"""The Images page in a real browser: files dropped on it, photos found and put away, boxes by mouse and by keyboard."""

import io
import json
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Route, expect

from posestudio.studio.photos import DETECTOR_FILE
from posestudio.studio.studio import create
from tests import edited
from tests.studio.test_incoming import coco
from tests.ui.browsers import App, Seen, looking

pytestmark = pytest.mark.browser
WAIT = 60_000
WIDTH, HEIGHT = edited.SIZE


@pytest.fixture
def start() -> Iterator[Callable[[Path], App]]:
    """Opens a studio on a project; all are ended at the end."""
    apps: list[App] = []

    def opened(project: Path) -> App:
        apps.append(App(project).start())
        return apps[-1]

    yield opened
    for app in apps:
        app.kill()


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[[App], Seen]]:
    """Opens a page of a studio; none may complain or ask another host."""
    with ExitStack() as pages:
        yield lambda app: pages.enter_context(looking(browser, app, WAIT))


@pytest.fixture
def made(tmp_path: Path) -> edited.Made:
    return edited.make(tmp_path)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, chromium: Path) -> Iterator[App]:
    """A studio for the tests that leave each other alone."""
    made = edited.make(tmp_path_factory.mktemp("shared"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCH_HOME", str(tmp_path_factory.mktemp("nowhere")))
        app = App(made.folder).start()
    yield app
    app.kill()


def asked(app: App, path: str) -> Any:
    with urllib.request.urlopen(app.address + path, timeout=60) as answer:
        return json.loads(answer.read())


def png(number: int) -> bytes:
    """A PNG of 64 x 48 that resembles no other."""
    noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(noise).resize((64, 48), Image.Resampling.NEAREST).save(file, "PNG")
        return file.getvalue()


def given(*files: tuple[str, bytes]) -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "", "buffer": content} for name, content in files]


DROP = """files => {
  const transfer = new DataTransfer();
  for (const [name, bytes] of files) transfer.items.add(new File([new Uint8Array(bytes)], name));
  for (const type of ['dragenter', 'dragover', 'drop']) {
    document.body.dispatchEvent(new DragEvent(type, { dataTransfer: transfer, bubbles: true, cancelable: true }));
  }
}"""


def test_from_an_empty_project_to_the_first_photos(tmp_path, start, look):
    create(tmp_path / "project")
    app = start(tmp_path / "project")
    page = look(app).page
    page.goto(app.address)
    page.get_by_text("No photos yet").wait_for()
    assert "Add photos" in page.inner_text("[aria-current=step]")
    files = [
        ["one.png", list(png(1))],
        ["two.png", list(png(2))],
        ["bad <b>.png", list(b"no image")],
    ]
    page.evaluate(DROP, files)
    page.get_by_role("heading", name="Add 3 photos").wait_for()
    assert page.get_by_role("radio", name="Find people").is_disabled()  # and it says why
    assert "fasterrcnn" in page.inner_text(".pg-questions")
    page.get_by_role("radio", name="I draw them later").check()
    page.get_by_role("button", name="Add 3 files").press("Enter")
    page.get_by_text("2 photos added").wait_for()
    assert "bad" in page.inner_text(".ps-refused")
    assert page.evaluate("document.querySelectorAll('.ps-refused li b b').length") == 0
    expect(page.locator(".pg-card")).to_have_count(2)
    assert "Give boxes" in page.inner_text("[aria-current=step]")
    page.get_by_role("link", name="Draw boxes").click()
    page.locator(".pg-stage").wait_for()
    page.get_by_text("1 of 2 photos").wait_for()
    page.keyboard.press("b")
    page.locator(".pg-box").wait_for()
    page.get_by_role("button", name="All photos").click()
    expect(page.locator(".pg-card")).to_have_count(1)  # the other one, still without a box
    page.get_by_role("button", name="All 2").click()
    expect(page.locator(".pg-card rect.case")).to_have_count(1)
    assert asked(app, "/api/overview")["keypoints"] == 17
    page.goto(
        app.address + "/correct"
    )  # nobody has predicted anything: no question about it is asked
    page.get_by_text("Click the nose").wait_for()
    page.wait_for_timeout(500)


def test_coco_labels_and_their_photos_in_one_drop(tmp_path, start, look):
    create(tmp_path / "project")
    app = start(tmp_path / "project")
    page = look(app).page
    page.goto(app.address)
    labels = coco(tmp_path / "labels.json", ["a/1.png", "missing.png"]).read_bytes()
    page.locator("#pg-files").set_input_files(
        given(("1.png", png(1)), ("labels.json", labels), ("2.png", png(2)))
    )
    page.get_by_label("Labels of COCO files go to").select_option("val")
    page.get_by_role("radio", name="The whole photo").check()
    page.get_by_role("button", name="Add 3 files").click()
    page.get_by_text("1 person with labels").wait_for()
    assert "missing.png" in page.inner_text(".ps-refused")
    rows = {row["file_name"]: row for row in asked(app, "/api/gallery")["images"]}
    assert rows["a/1.png"]["split"] == "val" and rows["a/1.png"]["people"][0]["placed"] == 2
    assert rows["2.png"]["people"][0]["box_source"] == "full"


def test_filters_find_photos_and_stand_in_the_address(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address)
    page.get_by_role("button", name="Not labeled").click()
    expect(page.locator(".pg-card")).to_have_count(edited.OPEN + edited.VAL)
    page.get_by_label("Split").select_option("val")
    expect(page.locator(".pg-card")).to_have_count(edited.VAL)
    page.wait_for_url("**status=open*")
    address = page.url
    page.reload()
    expect(page.locator(".pg-card")).to_have_count(edited.VAL)
    assert page.url == address
    page.get_by_label("Split").select_option("")
    page.get_by_label("Find by file name").fill("PHOTO 103")
    expect(page.locator(".pg-card")).to_have_count(1)
    page.get_by_label("Find by file name").fill("nowhere")
    page.get_by_role("button", name="All photos").click()
    expect(page.locator(".pg-card").first).to_be_visible()
    page.get_by_label("Order").select_option("doubt")
    page.wait_for_url("**sort=doubt*")
    values = page.locator(".pg-doubt:not(.pg-wait)")
    expect(values.first).to_be_visible()
    cards = [card.locator(".pg-doubt").all_inner_texts() for card in page.locator(".pg-card").all()]
    worst = [max(float(text.strip("<> %")) for text in texts) for texts in cards if texts]
    assert worst == sorted(worst, reverse=True) and len(worst) == edited.OPEN
    assert sum(map(len, cards)) == edited.OPEN + 1
    page.get_by_role("checkbox", name="doubtful").check()
    expect(page.locator(".pg-card")).to_have_count(edited.OPEN)


def test_doubtful_says_when_nothing_is_known_of_errors(shared, look):
    page = look(shared).page
    page.goto(shared.address + "/?doubtful=1")
    page.locator(".pg-card").first.wait_for()
    assert "20 %" in (page.get_by_text("doubtful", exact=True).get_attribute("title") or "")
    nobody = {"total": 0, "images": [], "run_id": edited.RUN, "calibrated": False}
    page.route("**/api/gallery?*doubtful=1*", lambda route: route.fulfill(json=nobody))
    page.reload()
    page.get_by_text("Nobody is known to be doubtful").wait_for()
    page.get_by_role("button", name="All photos").click()
    page.locator(".pg-card").first.wait_for()


def test_many_photos_change_split_and_come_back_from_hiding(made, start, look):
    app = start(made.folder)
    page = look(app).page
    page.goto(app.address + "/?split=unlabeled")
    expect(page.locator(".pg-card")).to_have_count(edited.OPEN)
    page.locator(".pg-link").first.focus()
    page.keyboard.press("Space")  # by keyboard: this one and, with Shift, all up to the third
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+Space")
    page.get_by_text("3 photos selected").wait_for()
    page.get_by_label("Move to a split").select_option("train")
    page.get_by_text("3 photos now in train").wait_for()
    expect(page.locator(".pg-card")).to_have_count(edited.OPEN - 3)
    page.keyboard.press("Control+a")
    page.get_by_text(f"{edited.OPEN - 3} photos selected").wait_for()
    page.keyboard.press("h")
    page.get_by_text("No photo fits").wait_for()
    assert asked(app, "/api/overview")["statuses"]["hidden"] == edited.OPEN - 3
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".pg-card")).to_have_count(edited.OPEN - 3)
    assert asked(app, "/api/overview")["statuses"]["hidden"] == 0


SCALE = """() => {
  const photo = document.querySelector('.pg-photo').getBoundingClientRect();
  return [photo.left, photo.top, photo.width / document.querySelector('.pg-photo').width];
}"""


def screen(page: Page, x: float, y: float) -> tuple[float, float]:
    """Where a place in image pixels, counted from the corner, is on the screen."""
    left, top, scale = page.evaluate(SCALE)
    return left + x * scale, top + y * scale


def drag(page: Page, start: tuple[float, float], end: tuple[float, float]) -> None:
    page.mouse.move(*screen(page, *start))
    page.mouse.down()
    page.mouse.move(*screen(page, *end), steps=5)
    page.mouse.up()


def boxes(app: App, image: int) -> dict[int, list[float]]:
    people = asked(app, f"/api/gallery/{image}")["people"]
    return {person["instance_id"]: person["box_xywh"] for person in people}


def holding(page: Page, where: str | Callable[[str], bool]) -> list[Route]:
    """Requests that are kept from their server, as they come."""
    held: list[Route] = []
    page.route(where, lambda route: held.append(route))
    return held


def next_of(page: Page, held: list[Route]) -> Route:
    """The request that is held longest, once there is one."""
    for _ in range(WAIT // 20):
        if held:
            return held.pop(0)
        page.wait_for_timeout(20)
    raise AssertionError("nothing was asked")


def body(route: Route) -> dict[str, Any]:
    """What a held request says."""
    return json.loads(route.request.post_data or "{}")


def saved(page: Page) -> None:
    """Wait until every edit has its answer."""
    page.wait_for_function(
        """document.querySelector('.pg-saved').textContent.startsWith('saved')
            && !Object.keys(localStorage).some(key => key.startsWith('posestudio/outbox/'))"""
    )


@pytest.mark.parametrize(("zoom", "image"), [(1.0, 1), (2.5, 2), (0.6, 3)])
def test_boxes_by_mouse_are_stored_where_they_were_drawn(shared, look, zoom, image):
    app, page = shared, look(shared).page
    page.goto(f"{app.address}/?image={image}")
    page.locator(".pg-box").wait_for()
    known = boxes(app, image)
    if zoom != 1:
        page.mouse.move(*screen(page, 230, 90))
        page.mouse.wheel(0, -np.log(zoom) / 0.0016)
    off = 1.5 / page.evaluate(SCALE)[2] + 0.02  # a screen pixel of each end
    drag(page, (205, 65), (255, 115))  # on empty ground: a new person
    expect(page.locator(".pg-box")).to_have_count(2)
    saved(page)
    now = boxes(app, image)
    (fresh,) = set(now) - set(known)
    assert np.allclose(now[fresh], [205, 65, 50, 50], atol=off)
    drag(page, (230, 90), (222, 96))  # inside: moves
    drag(page, (247, 121), (257, 116))  # the lower right handle
    saved(page)
    now = boxes(app, image)
    assert np.allclose(now.pop(fresh), [197, 71, 60, 45], atol=2 * off)
    assert now == known


def test_a_box_in_hand_is_not_put_onto_the_next_photo(shared, look):
    app, page = shared, look(shared).page
    page.goto(f"{app.address}/?image=1")
    page.locator(".pg-box").first.wait_for()
    known = [boxes(app, image) for image in (1, 2)]
    page.mouse.move(*screen(page, 205, 65))
    page.mouse.down()
    page.mouse.move(*screen(page, 240, 100), steps=3)
    name = page.inner_text(".pg-photo-name")
    page.keyboard.press("d")
    page.wait_for_function(
        "name => document.querySelector('.pg-photo-name').innerText !== name", arg=name
    )
    page.mouse.up()
    page.keyboard.press("b")  # what is asked for now is
    expect(page.locator(".pg-box")).to_have_count(len(known[1]) + 1)
    saved(page)
    assert boxes(app, 1) == known[0] and len(boxes(app, 2)) == len(known[1]) + 1
    page.keyboard.press("Control+z")
    saved(page)


def test_boxes_by_keyboard_alone_and_undo(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address + "/?image=4")
    page.locator(".pg-box").wait_for()
    (person,) = boxes(app, 4)
    x, y, w, h = edited.BOX
    page.locator(".pg-box").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    saved(page)
    assert boxes(app, 4)[person] == [x + 1, y + 10, w, h]
    page.get_by_label("width").fill("44.5")
    page.get_by_label("width").press("Enter")
    saved(page)
    assert boxes(app, 4)[person] == [x + 1, y + 10, 44.5, h]
    for _ in range(3):
        page.get_by_role("button", name="Undo").first.click()
    saved(page)
    assert boxes(app, 4)[person] == [x, y, w, h]
    page.locator(".pg-box").focus()
    page.keyboard.press("Delete")
    page.get_by_text(f"Person {person} is hidden").wait_for()
    saved(page)
    assert boxes(app, 4) == {}
    page.locator(".ps-toast-action").click()
    page.locator(".pg-box").wait_for()
    saved(page)
    assert boxes(app, 4)[person] == [x, y, w, h]
    page.keyboard.press("d")
    page.wait_for_url("**image=5*")
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    page.locator(".pg-card").first.wait_for()
    assert "image=" not in page.url


def test_space_pans_whatever_was_pressed_last(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address + "/?image=11")
    page.locator(".pg-box").wait_for()
    known = [boxes(app, image) for image in (11, 12)]

    def pans() -> None:
        left, top, scale = page.evaluate(SCALE)
        page.keyboard.down("Space")
        drag(page, (200, 50), (210, 70))
        page.keyboard.up("Space")
        moved = [left + 10 * scale, top + 20 * scale, scale]
        assert np.allclose(page.evaluate(SCALE), moved, atol=1)

    pans()  # nothing was pressed yet
    for name in ("Zoom in", "Fit", "Zoom out", "Next"):
        page.get_by_role("button", name=name).click()
        expect(page.locator(".pg-place")).to_contain_text("12 of" if name == "Next" else "11 of")
        pans()
    page.locator(".pg-box").focus()
    pans()
    (person,) = known[1]
    x, y, w, h = known[1][person]
    page.keyboard.press("ArrowRight")  # the box has the keys still
    saved(page)
    assert boxes(app, 12)[person] == [x + 1, y, w, h]
    page.keyboard.press("Control+z")
    page.mouse.click(*screen(page, 200, 50))  # nobody is selected any more
    expect(page.locator(".pg-box[aria-pressed=true]")).to_have_count(0)
    pans()
    page.get_by_role("button", name="Zoom in").focus()
    page.keyboard.press("Enter")  # whoever goes by keyboard stays there
    expect(page.get_by_role("button", name="Zoom in")).to_be_focused()
    saved(page)
    assert [boxes(app, image) for image in (11, 12)] == known


def test_a_box_drawn_while_the_studio_is_away_arrives_once(made, start, look):
    app = start(made.folder)
    seen = look(app)
    page = seen.page
    page.goto(app.address + "/?image=1")
    page.locator(".pg-box").wait_for()
    app.kill()
    drag(page, (200, 50), (260, 130))
    page.get_by_text("The studio is away: 1 edit kept here").wait_for()
    drag(page, (230, 90), (235, 90))  # the new person has no number yet
    app.start()
    page.wait_for_function("document.querySelector('.pg-saved').textContent.startsWith('saved')")
    page.wait_for_timeout(1500)
    saved(page)
    now = boxes(app, 1)
    assert len(now) == 2
    assert np.allclose(now[max(now)], [205, 50, 60, 80], atol=1.1)
    seen.complaints.clear()  # the browser itself notes the failed requests


def test_back_goes_from_a_photo_to_the_page_it_was_opened_from(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address + "/?sort=newest&p=2")
    page.locator(".pg-link").first.click()
    page.locator(".pg-stage").wait_for()
    assert "image=" in page.url
    page.go_back()
    page.locator(".pg-card").first.wait_for()
    assert "p=2" in page.url and "image=" not in page.url


def test_val_is_offered_while_there_is_none(made, start, look):
    app = start(made.folder)
    page = look(app).page
    page.goto(app.address + "/?split=val")
    expect(page.locator(".pg-card")).to_have_count(edited.VAL)
    page.keyboard.press("Control+a")
    page.get_by_label("Move to a split").select_option("unlabeled")
    page.get_by_role("button", name="Set 13 aside for val").click()
    page.get_by_text("13 people set aside as val").wait_for()
    expect(page.locator(".pg-offer")).to_have_count(0)
    assert asked(app, "/api/overview")["counts"]["splits"]["val"]["people"] == 13


def test_find_people_says_plainly_that_it_cannot(shared, look):
    page = look(shared).page
    page.goto(shared.address + "/?image=1")
    page.get_by_role("button", name="Find people").click()
    page.get_by_text("The person detector's weights are not on this machine").wait_for()


def hide_first(page: Page) -> None:
    page.locator(".pg-box").wait_for()
    page.locator(".pg-box").focus()
    page.keyboard.press("Delete")
    page.get_by_text("is hidden. Labels are kept").wait_for()


def test_undo_in_a_toast_brings_nobody_onto_another_photo(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address + "/?image=6")
    (person,) = boxes(app, 6)
    hide_first(page)
    saved(page)
    page.keyboard.press("d")
    expect(page.locator(".pg-place")).to_contain_text("7 of")
    page.locator(".ps-toast-action").click()
    saved(page)
    expect(page.locator(".pg-box")).to_have_count(1)
    assert list(boxes(app, 6)) == [person]  # it is back where it was


def test_a_late_refusal_brings_nobody_onto_another_photo(shared, look):
    app, page = shared, look(shared).page
    held = holding(page, "**/api/edits")
    page.goto(app.address + "/?image=8")
    hide_first(page)
    page.keyboard.press("d")
    expect(page.locator(".pg-place")).to_contain_text("9 of")
    request = next_of(page, held)
    (edit,) = body(request)["edits"]
    error = {"kind": "invalid", "message": "Not today."}
    request.fulfill(json={"results": [{"edit_id": edit["edit_id"], "ok": False, "error": error}]})
    page.get_by_text("Not today.").wait_for()
    expect(page.locator(".pg-box")).to_have_count(1)
    page.keyboard.press("a")
    expect(page.locator(".pg-place")).to_contain_text("8 of")
    expect(page.locator(".pg-box")).to_have_count(1)


def test_whoever_was_hidden_comes_back_from_the_photo_any_time_later(shared, look):
    app, page = shared, look(shared).page
    page.goto(app.address + "/?image=10")
    (person,) = boxes(app, 10)
    hide_first(page)
    saved(page)
    page.get_by_text("1 hidden person", exact=True).wait_for()
    page.reload()
    page.get_by_role("button", name=f"Bring back person {person}").click()
    expect(page.locator(".pg-box")).to_have_count(1)
    expect(page.locator(".pg-away")).to_have_count(0)
    saved(page)
    assert list(boxes(app, 10)) == [person]
    page.keyboard.press("Control+z")
    expect(page.locator(".pg-box")).to_have_count(0)
    saved(page)
    assert boxes(app, 10) == {}
    page.get_by_role("button", name=f"Bring back person {person}").click()
    saved(page)
    assert list(boxes(app, 10)) == [person]


HURRY = """keys => keys.forEach(key => ['keydown', 'keyup'].forEach(name =>
  document.querySelector('.pg-box[aria-pressed=true]').dispatchEvent(new KeyboardEvent(name, {key, bubbles: true}))))"""


@pytest.mark.parametrize("runs", [0, 1])
def test_the_students_look_at_boxes_that_are_drawn_or_moved(made, start, look, runs):
    app = start(made.folder)
    page = look(app).page

    def with_runs(route: Route) -> None:
        route.fulfill(json={**route.fetch().json(), "runs": runs})

    page.clock.install()
    page.route("**/api/overview", with_runs)
    looked: list[str] = []

    def predicted(route: Route) -> None:
        looked.append(route.request.url.split("/")[-2])
        route.fulfill(json={"document": {}})

    page.route("**/api/people/*/predict", predicted)
    (image,) = {row["image_id"] for row in asked(app, "/api/gallery?status=open&limit=1")["images"]}
    (val,) = {row["image_id"] for row in asked(app, "/api/gallery?split=val&limit=1")["images"]}
    known = boxes(app, image)

    def draws(one: int) -> None:
        page.clock.resume()
        page.goto(f"{app.address}/?image={one}")
        page.locator(".pg-box").first.wait_for()
        page.clock.pause_at(page.evaluate("Date.now()") / 1000 + 1)  # looks wait for run_for
        drag(page, (20, 30), (50, 200))
        saved(page)

    def widens() -> None:
        page.get_by_label("width").fill("44.5")
        page.get_by_label("width").press("Enter")

    draws(val)
    page.clock.run_for(5_000)
    page.wait_for_timeout(500)
    assert looked == []
    steps = [lambda: draws(image), lambda: page.evaluate(HURRY, ["ArrowRight"] * 4), widens]
    for step in steps:
        looked.clear()
        step()
        saved(page)
        with page.expect_response("**/api/people/*/predict") if runs else nullcontext():
            page.clock.run_for(5_000)
        page.wait_for_timeout(500)  # for a second look, which there must not be
        (fresh,) = set(boxes(app, image)) - set(known)
        assert looked == [str(fresh)] * runs


def test_undo_after_a_refresh_is_seen(made, start, look):
    app = start(made.folder)
    page = look(app).page
    page.goto(app.address + "/?image=1")
    box = page.locator(".pg-box")
    box.wait_for()
    (before,) = boxes(app, 1).values()
    name = box.get_attribute("aria-label") or ""
    box.focus()
    page.keyboard.press("Shift+ArrowRight")
    saved(page)
    page.locator("#pg-photo-split").select_option("val")
    page.get_by_text("1 photo now in val").wait_for()
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(box).to_have_attribute("aria-label", name)
    saved(page)
    assert list(boxes(app, 1).values()) == [before]


HEARD = """
window.heard = 0;
const add = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function (name, listener, options) {
  if (name === 'change' && this.constructor.name === 'Edits') {
    window.heard += 1;
    options?.signal?.addEventListener('abort', () => { window.heard -= 1; });
  }
  return add.call(this, name, listener, options);
};
"""


def test_a_photo_that_is_left_hears_of_no_edits(shared, look):
    page = look(shared).page
    page.add_init_script(HEARD)
    page.goto(shared.address)
    for _ in range(3):
        page.locator(".pg-link").first.click()
        page.locator(".pg-box").first.wait_for()
        assert page.evaluate("heard") == 1
        page.evaluate("document.querySelector('.pg-grid').dataset.old = 1")
        page.keyboard.press("Escape")
        page.locator(".pg-grid:not([data-old]) .pg-card").first.wait_for()  # drawn anew
    assert page.evaluate("heard") == 0


def with_detector(project: Path) -> Path:
    """The project, with a file that passes for the detector's weights: no search may reach the server."""
    (project / "weights").mkdir(exist_ok=True)
    (project / "weights" / DETECTOR_FILE).touch()
    return project


def test_what_was_refused_stays_while_people_are_looked_for(tmp_path, start, look):
    create(tmp_path / "project")
    app = start(with_detector(tmp_path / "project"))
    page = look(app).page
    held = holding(page, "**/api/photos/detect")
    page.goto(app.address)
    page.get_by_text("No photos yet").wait_for()
    page.evaluate(DROP, [["one.png", list(png(1))], ["bad.png", list(b"no image")]])
    page.get_by_role("button", name="Add 2 files").click()
    page.get_by_text("Looking for people: photo 1 of 1").wait_for()
    assert "bad.png" in page.inner_text(".ps-refused")
    on = page.get_by_role("link", name="Go to Correct")
    expect(on).to_have_count(0)  # it would end the search
    next_of(page, held).fulfill(json={"people": [1]})
    page.get_by_text("1 person found").wait_for()
    on.wait_for()
    assert "bad.png" in page.inner_text(".ps-refused")
    page.locator(".pg-card .pg-check").click()
    page.get_by_role("button", name="Find people").click()
    search = next_of(page, held)
    page.evaluate(DROP, [["two.png", list(png(2))]])
    page.get_by_role("heading", name="Add 1 photo").wait_for()
    search.fulfill(json={"people": []})
    page.get_by_text("Nobody was found").wait_for()
    expect(page.locator(".pg-progress")).to_have_count(0)
    expect(page.get_by_role("heading", name="Add 1 photo")).to_be_visible()


def test_searches_for_people_wait_for_each_other(made, start, look):
    app = start(with_detector(made.folder))
    page = look(app).page
    held = holding(page, "**/api/photos/detect")
    page.goto(app.address + "/?image=1")
    page.get_by_role("button", name="Find people").click()
    page.keyboard.press("d")
    expect(page.locator(".pg-place")).to_contain_text("2 of")
    page.get_by_role("button", name="Find people").click()
    expect(page.locator(".pg-progress")).to_have_count(2)
    for image, left in ((1, 1), (2, 0)):
        search = next_of(page, held)
        assert body(search)["images"] == [image] and held == []
        search.fulfill(json={"people": []})
        expect(page.locator(".pg-progress")).to_have_count(left)


def test_every_one_of_many_photos_gets_its_box(tmp_path, start, look):
    create(tmp_path / "project")
    app = start(tmp_path / "project")
    page = look(app).page
    numbers = list(range(1, 12_002))
    counts = ("images", "people", "labeled", "predicted", "duplicates")
    taken = {**dict.fromkeys(counts, 0), "images": 12_001, "image_ids": numbers}
    line = json.dumps({"taken": {**taken, "refused": [], "notes": []}}) + "\n"
    asked_for: list[list[int]] = []

    def whole(route: Route) -> None:
        images = body(route)["images"]
        asked_for.append(images)
        route.fulfill(json={"people": images})

    page.route("**/api/uploads/*/take", lambda route: route.fulfill(body=line))
    page.route("**/api/photos/whole", whole)
    page.goto(app.address)
    page.get_by_text("No photos yet").wait_for()
    page.evaluate(DROP, [["all.zip", [1]]])
    page.get_by_role("radio", name="The whole photo").check()
    page.get_by_role("button", name="Add 1 file").click()
    page.get_by_text("12,001 person boxes").wait_for()
    assert [len(part) for part in asked_for] == [5000, 5000, 2001]
    assert sum(asked_for, []) == numbers


ASKS_TO_STAY = """() => {
  const leaving = new Event('beforeunload', { cancelable: true });
  window.dispatchEvent(leaving);
  return leaving.defaultPrevented;
}"""


@pytest.mark.parametrize("held_at", ["take", "?name=25.png"])
def test_stop_ends_what_is_being_sent_and_tells_what_came_in(tmp_path, start, look, held_at):
    """Of 26 files 24 are taken in together; stopped while these come in, or while the others are sent."""
    create(tmp_path / "project")
    app = start(tmp_path / "project")
    page = look(app).page
    held = holding(page, lambda url: "/api/uploads/" in url and url.endswith(held_at))
    page.goto(app.address)
    page.locator("#pg-files").set_input_files(given(*((f"{n}.png", png(n)) for n in range(26))))
    page.get_by_role("button", name="Add 26 files").click()
    request = next_of(page, held)
    assert page.evaluate(ASKS_TO_STAY)
    with page.expect_response("**/api/uploads/*/end"):  # the page does not wait for it
        page.get_by_role("button", name="Stop").click()
        if held_at == "take":
            page.get_by_text("Stopping …").wait_for()
            request.continue_()
        page.get_by_text("24 photos added").wait_for()
    page.get_by_text("Stopped: 2 of 26 files did not come in.").wait_for()
    assert not page.evaluate(ASKS_TO_STAY)
    assert asked(app, "/api/overview")["counts"]["images"] == 24
    ended = tmp_path / "project" / "cache" / "uploads"
    assert [path for path in ended.rglob("*") if path.is_file()] == []
