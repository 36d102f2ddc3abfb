"""Follow a run by its events file: read only what is new, from any thread, for as many pages as look."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from posestudio import events
from posestudio.events import Event

KEPT = 4
"""Runs whose events stay in memory."""


@dataclass(slots=True)
class Followed:
    """A run's events so far. told: bytes of the file that were read. version: rises with every change."""

    path: Path
    events: list[Event] = field(default_factory=list)
    told: int = 0
    version: int = 0

    def catch_up(self) -> None:
        """Read the whole lines that are new; a file that became shorter (a resume) is read from its start."""
        try:
            size = self.path.stat().st_size
        except FileNotFoundError:
            size = 0
        if size < self.told:
            self.events, self.told, self.version = [], 0, self.version + 1
        if size == self.told:
            return
        with self.path.open("rb") as file:
            file.seek(self.told)
            fresh = file.read(size - self.told)
        whole = fresh[: fresh.rfind(b"\n") + 1]
        if whole:
            self.events += events.read(whole.decode("utf-8", "replace"))
            self.told += len(whole)
            self.version += 1


class Followers:
    """The runs that pages look at, each file read once for all of them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Path, Followed] = OrderedDict()

    def events(self, folder: Path) -> tuple[list[Event], int]:
        """All events of a run folder, and a version that changes when they do."""
        path = folder / "events.jsonl"
        with self._lock:
            found = self._kept.pop(path, None) or Followed(path)
            self._kept[path] = found
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
            found.catch_up()
            return list(found.events), found.version
