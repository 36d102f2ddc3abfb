"""What the browser tests share."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.ui.browsers import FLAGS


@pytest.fixture(scope="module")
def browser(chromium: Path) -> Iterator[Browser]:
    """A headless Chromium; each test opens contexts of its own."""
    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=str(chromium), args=FLAGS)
        yield opened
        opened.close()
