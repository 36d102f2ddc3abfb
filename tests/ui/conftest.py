"""What the browser tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from posestudio.studio.demo import make_demo
from tests.ui.browsers import FLAGS, App


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium; each test opens contexts of its own."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[App]:
    """A studio on a small demo project, unless a module has one of its own."""
    project = tmp_path_factory.mktemp("studio") / "project"
    make_demo(project, counts={"train": 14, "val": 6}, labeled=10)
    opened = App(project).start()
    yield opened
    opened.kill()
