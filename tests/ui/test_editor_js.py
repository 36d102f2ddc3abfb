"""The editor's modules on their own: undo, geometry, outbox, queue, heat. The tests are js/editor_tests.mjs."""

import functools
import http.server
import json
import shutil
import subprocess
import threading
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from posestudio.ui import theme
from tests.ui.browsers import FLAGS

TESTS = Path(__file__).parent / "js" / "editor_tests.mjs"
NODE = """
import { run } from "./editor_tests.mjs";
process.stdout.write(JSON.stringify(await run()));
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The modules and their tests side by side."""
    shutil.copytree(theme.STATIC / "editor", tmp_path / "editor")
    shutil.copy(TESTS, tmp_path)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


def check(told: list[tuple[str, str | None]]) -> None:
    assert len(told) > 40
    assert not [why for _, why in told if why is not None], "\n\n".join(
        f"{name}: {why}" for name, why in told if why is not None
    )


def test_in_node(folder: Path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node is installed; the browser runs the same tests")
    (folder / "run.mjs").write_text(NODE)
    done = subprocess.run(
        [node, "run.mjs"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout))


@pytest.mark.browser
def test_in_the_browser(folder: Path, chromium: Path):
    (folder / "index.html").write_text("<!doctype html><title>tests</title>")
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path=str(chromium), args=FLAGS)
            page = browser.new_page()
            page.goto(f"http://127.0.0.1:{server.server_address[1]}/index.html")
            told = page.evaluate("import('/editor_tests.mjs').then(tests => tests.run())")
            browser.close()
        server.shutdown()
    check(told)


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Files over HTTP without a log; .mjs is JavaScript."""

    extensions_map = {
        **http.server.SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".js": "text/javascript",
    }

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
