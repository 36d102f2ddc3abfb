"""Drops with files that cannot be read, in a real browser: the rest comes in, and each is named with its reason."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from posestudio.studio.studio import create
from tests.studio.test_incoming import coco
from tests.ui.browsers import App, Seen, looking
from tests.ui.test_images import DROP, asked, given, holding, next_of, png

pytestmark = pytest.mark.browser
WAIT = 60_000


@pytest.fixture
def app(tmp_path: Path) -> Iterator[App]:
    """A studio on a project without photos."""
    create(tmp_path / "project")
    opened = App(tmp_path / "project").start()
    yield opened
    opened.kill()


@pytest.fixture
def seen(app: App, browser: Browser) -> Iterator[Seen]:
    with looking(browser, app, WAIT, let=("ERR_UPLOAD_FILE_CHANGED",)) as found:
        found.page.goto(app.address)
        found.page.get_by_text("No photos yet").wait_for()
        yield found


@pytest.mark.parametrize("labels", [False, True])
def test_a_file_that_cannot_be_read_is_named_and_the_rest_comes_in(tmp_path, app, seen, labels):
    page = seen.page
    files = [tmp_path / f"{number}.png" for number in range(4)]
    for number, file in enumerate(files):
        file.write_bytes(png(number))
    if labels:
        files.append(coco(tmp_path / "labels.json", ["3.png"]))
    page.locator("#pg-files").set_input_files(files)
    files[1].write_bytes(png(1) + b"more")  # a browser reads no file that was changed since
    page.get_by_role("button", name=f"Add {len(files)} files").click()
    page.get_by_text("3 photos added").wait_for()
    page.get_by_text("1 file refused").wait_for()
    assert page.inner_text(".ps-refused li").startswith("1.png cannot be read: ")
    assert page.get_by_text("does not answer").count() == 0
    assert asked(app, "/api/overview")["counts"]["images"] == 3


ENTRIES = """() => {
  const locked = () => new DOMException('No permission.', 'NotReadableError');
  const get = DataTransferItem.prototype.getAsFile;
  DataTransferItem.prototype.webkitGetAsEntry = function () {
    const file = get.call(this);
    const entry = { name: file.name, isFile: !file.name.startsWith('locked') };
    entry.file = (done, failed) => (file.name.startsWith('gone') ? failed(locked()) : done(file));
    entry.createReader = () => ({ readEntries: (done, failed) => failed(locked()) });
    return entry;
  };
}"""
"""From now on what is dropped has entries, as on a real drop; some cannot be read."""


def test_folders_and_files_of_a_drop_that_cannot_be_read_are_named(app, seen):
    page = seen.page
    page.evaluate(ENTRIES)
    names = ["locked", "gone.png", "one.png", "locked too"]
    page.evaluate(DROP, [[name, list(png(1))] for name in names])
    page.get_by_role("button", name="Add 1 file").click()
    page.get_by_text("1 photo added").wait_for()
    refused = [
        f"{name} cannot be read: No permission." for name in ("locked/", "gone.png", "locked too/")
    ]
    assert page.locator(".ps-refused li").all_inner_texts() == refused
    page.get_by_role("button", name="Close").click()
    page.evaluate(DROP, [["locked", []]])
    page.get_by_text("1 file refused").wait_for()
    assert page.locator(".ps-refused li").all_inner_texts() == refused[:1]


def test_a_studio_that_goes_away_says_how_many_files_are_left(app, seen):
    page = seen.page
    held = holding(page, lambda url: url.endswith("?name=25.png"))
    page.locator("#pg-files").set_input_files(given(*((f"{n}.png", png(n)) for n in range(26))))
    page.get_by_role("button", name="Add 26 files").click()
    request = next_of(page, held)  # 24 came in together, of the others one was sent
    app.kill()
    request.continue_()
    page.get_by_text("24 photos added").wait_for()
    page.get_by_text("The studio does not answer, and 2 of 26 files are left.").wait_for()
    seen.complaints.clear()  # the browser itself notes the failed requests
