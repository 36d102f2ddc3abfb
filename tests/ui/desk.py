"""The Correct page as a test uses it: keys, drags, and what the server has saved."""

import json
import urllib.request
from typing import Any

from tests.ui.browsers import App, Seen


class Desk:
    """One page of the editor, and what the server says."""

    def __init__(self, seen: Seen, app: App) -> None:
        self.seen, self.page, self.app = seen, seen.page, app

    def go(self, address: str = "/correct", ready: bool = True) -> "Desk":
        """Load an address and wait for a person."""
        self.page.goto(self.app.address + address)
        if ready:
            self.page.wait_for_function("window.__editor?.ready()")
        return self

    def open(self, instance: int) -> "Desk":
        self.go(f"/correct?instance={instance}")
        self.page.wait_for_function("id => window.__editor.person()?.id === id", arg=instance)
        return self

    def ask(self, expression: str) -> Any:
        """A value of the page's test handle, such as `selected()`."""
        return self.page.evaluate(f"window.__editor.{expression}")

    def until(self, expression: str) -> None:
        self.page.wait_for_function(
            f"(() => {{ const e = window.__editor; return {expression}; }})()"
        )

    def saved(self) -> "Desk":
        """Wait until nothing waits any more."""
        self.until("e.waiting().length === 0 && e.refused().length === 0")
        return self

    def press(self, *keys: str) -> "Desk":
        for key in keys:
            self.page.keyboard.press(key)
        return self

    def take(self, keypoint: int) -> "Desk":
        """Take a keypoint in hand by its row in the list."""
        self.page.locator(f".pe-row[data-k='{keypoint}']").click()
        return self

    def drag(self, keypoint: int, dx: int, dy: int) -> dict[str, float]:
        """Drag a keypoint by screen pixels; returns where it was, in image pixels."""
        before = self.ask(f"shown({keypoint})")
        x, y = (round(value) for value in self.ask(f"point({keypoint})"))
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + dx // 3, y + dy // 2, steps=3)
        self.page.mouse.move(x + dx, y + dy, steps=2)
        self.page.mouse.up()
        return before

    def words(self) -> str:
        return self.page.inner_text(".pe-live")

    def get(self, path: str) -> Any:
        """What the server answers to a GET."""
        with urllib.request.urlopen(self.app.address + path, timeout=30) as answer:
            return json.loads(answer.read())

    def document(self, instance: int) -> dict[str, Any]:
        return self.get(f"/api/people/{instance}")

    def label(self, instance: int, keypoint: int) -> tuple[str, float | None, float | None, int]:
        """What the server has for a keypoint."""
        found = self.document(instance)["keypoints"][keypoint]
        return found["state"], found["x"], found["y"], found["v"]

    def rows(self, instance: int) -> list[dict[str, Any]]:
        return self.get(f"/api/people/{instance}/history")["rows"]
