"""A run is a folder: what it trains, what happened, and what it left. Reading it needs neither torch nor the store.

config.json    all settings                     run.json     snapshot, where it starts from, when it was made
events.jsonl   one event a line                 stop         exists = please stop after this step
lock           held while a worker is alive     state.safetensors            what resume needs
metrics.json   scores and timing                student_a/b.safetensors      the students to use
ledger/        votes and offers of some steps
"""

import functools
import json
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock

from posestudio.config import Config
from posestudio.config import from_dict as config_from_dict
from posestudio.errors import NotFound, TrainingError
from posestudio.events import Event, Failed, Started, Stopped, to_line
from posestudio.events import read as read_events

LEDGER = "ledger"
"""Folder of the ledger's parts, each named by its last step."""
PATIENCE = 2.0
"""Seconds for which a worker waits for others who only look whether the run is alive."""
_looking = threading.Lock()
_adding = threading.Lock()
STUDENT_FILES = {"a": "student_a.safetensors", "b": "student_b.safetensors"}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """A run folder by its path, PROJECT/runs/RUN."""

    path: Path

    @property
    def project(self) -> Path:
        """The project's folder."""
        return self.path.parent.parent

    @property
    def state_path(self) -> Path:
        """Where the training state is."""
        return self.path / "state.safetensors"

    def students(self) -> dict[str, Path]:
        """The saved students by name."""
        found = {name: self.path / file for name, file in STUDENT_FILES.items()}
        return {name: path for name, path in found.items() if path.exists()}

    def config(self) -> Config:
        """The run's settings."""
        return config_from_dict(self._read("config.json"))

    def record(self) -> dict[str, Any]:
        """run.json: {"snapshot": id, "from": run id or null, "weights": path or null, ...}."""
        return self._read("run.json")

    def metrics(self) -> dict[str, Any]:
        """metrics.json, or nothing before the first one is written."""
        return self._read("metrics.json") if (self.path / "metrics.json").exists() else {}

    def events(self) -> list[Event]:
        """Everything that happened so far."""
        path = self.path / "events.jsonl"
        return read_events(path.read_text("utf-8")) if path.exists() else []

    def status(self) -> str:
        """queued, running, stopping, done, stopped, failed or interrupted (no worker, no end; resume goes on)."""
        if self.alive():
            return "stopping" if self.asked_to_stop() else "running"
        path = self.path / "events.jsonl"
        if not path.exists():
            return "queued"
        known = path.stat()
        return _ended(path, known.st_mtime_ns, known.st_size)

    def alive(self) -> bool:
        """Whether a worker, in any process, holds the run."""
        if not (self.path / "lock").exists():
            return False
        with _looking:  # or two who look would each take the other for a worker
            try:
                with self.hold(patience=0):
                    return False
            except TrainingError:
                return True

    @contextmanager
    def hold(self, patience: float = PATIENCE) -> Iterator[None]:
        """Be the one worker of this run; the system lets go of it when the process dies.

        Args:
            patience: seconds to wait for whoever holds it.

        Raises:
            TrainingError: another worker holds it.
        """
        lock = filelock.FileLock(self.path / "lock", timeout=patience, is_singleton=False)
        try:
            lock.acquire()
        except filelock.Timeout as error:
            raise TrainingError(
                f"Run {self.path.name} is training already. Watch it, or stop it with: posestudio stop {self.path.name}"
            ) from error
        try:
            yield
        finally:
            lock.release()

    def ask_stop(self) -> None:
        """Ask the worker to stop after its present step, or one that is about to begin, after its first."""
        (self.path / "stop").touch()

    def asked_to_stop(self) -> bool:
        """Whether the worker is asked to stop."""
        return (self.path / "stop").exists()

    def forget_stop(self) -> None:
        """Take back what was asked of a worker that is no more."""
        (self.path / "stop").unlink(missing_ok=True)

    def write_json(self, name: str, record: dict[str, Any]) -> None:
        """Replace a JSON file of the run whole; of several who write it at once, one is the last."""
        part = self.path / f".{name}.{uuid.uuid4().hex}.part"
        try:
            part.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
            os.replace(part, self.path / name)
        finally:
            part.unlink(missing_ok=True)

    def add_json(self, name: str, record: dict[str, Any]) -> None:
        """Put fields into a JSON file of the run, beside those that others put there; it may not exist yet."""
        with _adding:
            whole = self._read(name) if (self.path / name).exists() else {}
            self.write_json(name, {**whole, **record})

    def forget_after(self, step: int) -> None:
        """Drop the events and the parts of the ledger after a step, from which a resumed run goes on."""
        self.forget_ledger(step)
        kept = [event for event in self.events() if event.step <= step]
        part = self.path / "events.jsonl.part"
        part.write_text("".join(map(to_line, kept)), "utf-8")
        os.replace(part, self.path / "events.jsonl")

    def forget_ledger(self, step: int) -> None:
        """Drop the parts of the ledger after a step."""
        for part in (self.path / LEDGER).glob("[0-9]*.parquet"):
            if int(part.stem) > step:
                part.unlink()

    def append(self, event: Event) -> None:
        """Add one event; a reader sees the whole line or, after a crash, a torn last one that it leaves out."""
        with (self.path / "events.jsonl").open("a", encoding="utf-8") as file:
            file.write(to_line(event))

    def _read(self, name: str) -> dict[str, Any]:
        try:
            return json.loads((self.path / name).read_text("utf-8"))
        except (OSError, ValueError) as error:
            raise NotFound(f"{self.path} is not a run: {name} cannot be read ({error}).") from error


@functools.lru_cache(maxsize=512)
def _ended(path: Path, changed_ns: int, size: int) -> str:
    """How a run without a worker ended, by its events; read again only when the file changed."""
    events = read_events(path.read_text("utf-8"))
    ends = [event for event in events if isinstance(event, Started | Stopped | Failed)]
    if not ends:
        return "queued"
    last = ends[-1]
    if isinstance(last, Stopped):
        return "done" if last.reason == "done" else "stopped"
    return "failed" if isinstance(last, Failed) else "interrupted"
