"""Every page in both themes, with people and without: axe-core finds nothing, and nothing is wider than the window."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser

from tests.ui.browsers import App, looking

pytestmark = pytest.mark.browser
WAIT = 120_000
PAGES = {
    "/": ".pg-card img",
    "/?image=3": ".pg-box",
    "/correct?instance=3": ".pe-joint:visible",
    "/sheet?keypoint=left_wrist": ".sh-card img",
    "/inspect?instance=3": ".pi-card canvas",
    "/inspect?instance=3&keypoint=left_wrist": ".pi-matrix canvas",
    "/train": ".js-plotly-plot",
    "/evaluate": "#ps-kinds .js-plotly-plot",
    "/export": "#ps-make-onnx",
}
"""Address of a page to what is drawn there last."""

EMPTY = {
    "/": "No photos yet",
    "/correct": "Nobody to correct",
    "/sheet": "The sheet cannot be shown",
    "/inspect": "No person yet",
    "/train": "No run yet",
    "/evaluate": "No trained students yet",
    "/export": "Nothing prepared yet",
}
"""Address of a page to words that it says while there is nothing."""


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A studio on a folder that is not there."""
    opened = App(tmp_path_factory.mktemp("studio") / "new").start()
    yield opened
    opened.kill()


def look(browser: Browser, app: App, path: str, theme: str, drawn: str) -> None:
    """Open a page, wait until it is drawn, and judge it."""
    with looking(browser, app, WAIT, color_scheme=theme) as seen:
        seen.page.goto(app.address + path)
        seen.page.locator(drawn).first.wait_for()
        seen.page.wait_for_timeout(300)  # colors begin to fade in
        seen.page.wait_for_function(
            "!document.getAnimations().some(one => one instanceof CSSTransition)"
        )
        found = Axe().run(seen.page)
        wide = seen.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert not found.violations_count, found.generate_report()
    assert wide[0] <= wide[1]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", PAGES)
def test_nothing_to_complain_of(browser: Browser, app: App, path: str, theme: str):
    look(browser, app, path, theme, PAGES[path])


@pytest.mark.parametrize("path", EMPTY)
def test_nothing_to_complain_of_while_there_is_nothing(browser: Browser, empty: App, path: str):
    look(browser, empty, path, "light", f"text={EMPTY[path]}")
