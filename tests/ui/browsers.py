"""A studio in a process of its own and a page in Chromium, for the tests that need both."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, Page, expect

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
]  # fmt: skip

LEFT = (
    "AbortError",
    "Connection errored out",
    "ERR_CONNECTION",
    "ERR_INCOMPLETE",
    "Failed to fetch",
    "network error",
)
"""What Gradio says in the console when a page is left, or its server ends, in the middle of an answer."""


@dataclass
class App:
    """A studio in a process of its own; `start` may be called again after `kill`, at the same address."""

    project: Path
    port: int = 0
    address: str = ""
    process: subprocess.Popen[str] | None = None

    def start(self) -> "App":
        """Open the studio and wait until it says so."""
        command = [sys.executable, "-m", "posestudio", "serve", "--project", str(self.project)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port)], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        said = ""
        for line in self.process.stderr:
            said += line
            found = re.search(r"open at (http://127\.0\.0\.1:(\d+)) ", line)
            if found:
                self.address, self.port = found[1], int(found[2])
                return self
        raise AssertionError(f"the studio did not open:\n{said}")

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@dataclass
class Seen:
    """A page, and what it asked for and complained of."""

    page: Page
    elsewhere: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)


def watched(context: BrowserContext, address: str) -> Seen:
    """A new page whose requests to other hosts, errors and console errors are kept."""
    found = Seen(context.new_page())
    own = (address + "/", "data:", "blob:")
    found.page.on(
        "request", lambda r: None if r.url.startswith(own) else found.elsewhere.append(r.url)
    )
    found.page.on("pageerror", lambda error: found.complaints.append(str(error)))
    found.page.on(
        "console", lambda m: found.complaints.append(m.text) if m.type == "error" else None
    )
    return found


@contextmanager
def looking(
    browser: Browser, app: App, wait: int = 60_000, let: tuple[str, ...] = (), **options: Any
) -> Iterator[Seen]:
    """A page in a context of its own, 1366 x 768 unless `options` say otherwise; it waits at most `wait` ms.

    It must ask nothing of other hosts, and complain of nothing but what has words of `let`.
    """
    context = browser.new_context(**{"viewport": {"width": 1366, "height": 768}, **options})
    context.set_default_timeout(wait)
    expect.set_options(timeout=wait)
    found = watched(context, app.address)
    try:
        yield found
    finally:
        context.close()
    assert found.elsewhere == []
    assert [words for words in found.complaints if not any(left in words for left in let)] == []
