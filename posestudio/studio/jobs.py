"""Runs that go on while others work: a background thread of this process, or a child process. One at a time."""

import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio.errors import PoseStudioError, TrainingError
from posestudio.events import Event
from posestudio.studio import work

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]


@dataclass(slots=True)
class Job:
    """A run that is being carried out. problem: why it ended early, in words for the user."""

    run_id: str
    thread: threading.Thread
    asked: threading.Event = field(default_factory=threading.Event)
    problem: str | None = None

    @property
    def alive(self) -> bool:
        """Whether it still works."""
        return self.thread.is_alive()


class Jobs:
    """The background work of one studio. Ask it from any thread."""

    def __init__(self, studio: "Studio") -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._job: Job | None = None

    @property
    def current(self) -> Job | None:
        """The running job, or the last one."""
        return self._job

    def train(self, run_id: str, *, runner: str = "thread") -> Job:
        """Carry a run out in the background: train it, predict everyone, evaluate, register.

        Args:
            run_id: of `work.start`, or one to resume.
            runner: "thread", or "process" for a child that does the training.

        Raises:
            TrainingError: another run is being trained here.
        """
        with self._lock:
            if self._job is not None and self._job.alive:
                raise TrainingError(
                    f"Run {self._job.run_id} is training here. Wait, or stop it: posestudio stop {self._job.run_id}"
                )
            job = Job(run_id, threading.Thread(name=f"run {run_id}", daemon=True))
            job.thread = threading.Thread(
                target=self._carry_out, args=(job, runner), name=f"run {run_id}", daemon=True
            )
            self._job = job
            job.thread.start()
        return job

    def stop(self, *, wait: float | None = None) -> None:
        """Ask the job to stop after its present step and keep what it has; wait that many seconds for it."""
        job = self._job
        if job is not None and job.alive:
            job.asked.set()
            if wait is not None:
                job.thread.join(wait)

    def _carry_out(self, job: Job, runner: str) -> None:
        train = in_process if runner == "process" else work.train_here
        try:
            work.carry_out(self._studio, job.run_id, train=train, stop=job.asked.is_set)
        except PoseStudioError as error:
            job.problem = str(error)
        except Exception as error:  # a thread has no one above it; the page shows this
            log.exception("run %s failed", job.run_id)
            job.problem = f"{type(error).__name__}: {error}"


def in_process(
    folder: Path,
    *,
    stop: Callable[[], bool] | None = None,
    on_event: Listener | None = None,
    progress: Any = None,
) -> None:
    """Train a run folder in a child process and pass its events on; the same call as `work.train_here`.

    Raises:
        TrainingError: the child ended without finishing the run.
    """
    from posestudio import events

    path = folder / "events.jsonl"
    told = len(path.read_bytes()) if path.exists() else 0
    with (folder / "worker.log").open("ab") as output:
        child = subprocess.Popen(
            [sys.executable, "-m", "posestudio.train.worker", str(folder)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for us; we pass it on as a stop
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )  # fmt: skip
        try:
            ended = False
            while not ended:
                ended = child.poll() is not None
                if stop is not None and stop():
                    (folder / "stop").touch()
                told = _pass_on(path, told, on_event, events.read)
                if not ended:
                    time.sleep(0.2)
        except BaseException:
            child.terminate()
            raise
    if child.returncode != 0:
        lines = (folder / "worker.log").read_text("utf-8", "replace").strip().splitlines()
        raise TrainingError(
            f"Run {folder.name} ended with code {child.returncode}: {lines[-1] if lines else 'no message'}\n"
            f"See {folder / 'worker.log'}, or go on with: posestudio train --resume {folder.name}"
        )


def _pass_on(
    path: Path, told: int, on_event: Listener | None, read: Callable[[str], list[Event]]
) -> int:
    """Tell the whole lines after byte `told`; returns up to where was told. A shorter file is told from its start."""
    if not path.exists():
        return told
    size = path.stat().st_size
    if size < told:  # a resume dropped events after its checkpoint
        told = 0 if on_event is None else size
    with path.open("rb") as file:
        file.seek(told)
        fresh = file.read()
    whole = fresh[: fresh.rfind(b"\n") + 1]
    if on_event is not None:
        for event in read(whole.decode("utf-8")):
            on_event(event)
    return told + len(whole)
