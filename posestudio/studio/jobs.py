"""Work that goes on while others work: a training, its follow-up, a score, an export, each in a thread of this process.

One of a kind at a time. What it does is in the run's folder; a Job only says who is at it and how far.
"""

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
from posestudio.studio import ranking, training
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

log = logging.getLogger(__name__)
Listener = Callable[[Event], None]
WORKER_LOG = "worker.log"
"""What the child that trains a run says; only such a run has it."""


class BrokenOff(Exception):
    """Work that can be done again later ends here. Caught by Jobs only."""


@dataclass(slots=True)
class Job:
    """Work in the background.

    kind: "train", "evaluate" or "export". name: of the run, or of what is made. asked: stop training, keep what there
    is. broken: break off whatever it is; why: the reason, in words for the user. at: (what, done, in all) of work
    outside training steps. trains: it has steps to make; trained: they are over, or it has none. result: what it gave.
    problem: why it ended early, in words for the user.
    """

    kind: str
    name: str
    thread: threading.Thread = field(default_factory=threading.Thread)
    asked: threading.Event = field(default_factory=threading.Event)
    broken: threading.Event = field(default_factory=threading.Event)
    why: str = "The app was closed meanwhile."
    at: tuple[str, int, int] | None = None
    trains: bool = False
    trained: bool = False
    result: Any = None
    problem: str | None = None

    @property
    def run_id(self) -> str:
        """The run that is trained or scored."""
        return self.name

    @property
    def alive(self) -> bool:
        """Whether it still works."""
        return self.thread.is_alive()

    def tell(self, what: str, done: int, total: int) -> None:
        """Hear of progress.

        Raises:
            BrokenOff: it was asked to end.
        """
        if self.broken.is_set():
            raise BrokenOff
        self.at = (what, done, total)


class Jobs:
    """The background work of one studio. Ask it from any thread."""

    def __init__(self, studio: "Studio") -> None:
        self._studio = studio
        self._lock = threading.Lock()
        self._jobs: dict[str, Job] = {}

    @property
    def current(self) -> Job | None:
        """The training that goes on, or the last one."""
        return self.last("train")

    def last(self, kind: str) -> Job | None:
        """The job of a kind that goes on, or the last one."""
        return self._jobs.get(kind)

    def train(self, run_id: str, *, runner: str | None = None) -> Job:
        """Carry a run out in the background: train it, predict everyone, refresh doubts, evaluate, register.

        Args:
            run_id: of `training.start`, or one to resume.
            runner: "thread", or "process" for a child that does the training; as it was trained before when absent.

        Raises:
            TrainingError: another run is being trained here.
        """
        runner = runner or _runner_before(self._studio.run_folder(run_id))
        train = in_process if runner == "process" else training.train_here

        def work(job: Job) -> Any:
            def steps(folder: Path, **how: Any) -> None:
                train(folder, **how)
                job.trained = True

            job.trains = True
            shown = training.carry_out(
                self._studio, run_id, train=steps, stop=job.asked.is_set, progress=job.tell,
                pooled=True,
            )  # fmt: skip
            ranking.refresh(self._studio, progress=job.tell)
            return shown

        return self.start("train", run_id, work)

    def follow_up(self, run_id: str) -> Job:
        """Predict, refresh doubts and evaluate with a run's students again, such as after the app was closed midway.

        Raises:
            TrainingError: a run is being trained here.
        """

        def work(job: Job) -> Any:
            job.trained = True
            shown = training.follow_up(self._studio, run_id, pooled=True, progress=job.tell)
            ranking.refresh(self._studio, progress=job.tell)
            return shown

        return self.start("train", run_id, work)

    def start(self, kind: str, name: str, work: Callable[[Job], Any]) -> Job:
        """Do something in the background.

        Args:
            kind: one of a kind goes on at a time.
            name: of the run, or of what is made.
            work: called with the job, in a thread of its own; `job.tell` is its progress.

        Raises:
            TrainingError: one of that kind goes on.
        """
        with self._lock:
            self.require_free(kind)
            job = Job(kind, name)
            job.thread = threading.Thread(
                target=self._do, args=(job, work), name=f"{kind} {name}", daemon=True
            )
            self._jobs[kind] = job
            job.thread.start()
        return job

    def require_free(self, kind: str) -> None:
        """See that a job of a kind could start.

        Raises:
            TrainingError: one of that kind goes on.
        """
        before = self._jobs.get(kind)
        if before is not None and before.alive:
            raise TrainingError(_busy(before))

    def stop(self, *, wait: float | None = None) -> None:
        """Ask the training to stop after its present step and keep what it has; wait that many seconds for it."""
        job = self.current
        if job is not None and job.alive:
            job.asked.set()
            if wait is not None:
                job.thread.join(wait)

    def break_off(self) -> None:
        """End the work on a run's results at its next step; they can be made again."""
        job = self.current
        if job is not None and job.alive:
            job.why = "Its results were stopped on the way."
            job.broken.set()

    def going(self) -> list[Job]:
        """Jobs that go on."""
        return [job for job in self._jobs.values() if job.alive]

    def close(self, wait: float = 60.0) -> None:
        """End everything for the app to close, within `wait` seconds: a training at its step, the rest at once."""
        going = self.going()
        for job in going:
            job.broken.set()
            job.asked.set()
        until = time.monotonic() + wait
        for job in going:
            job.thread.join(max(0.0, until - time.monotonic()))

    def _do(self, job: Job, work: Callable[[Job], Any]) -> None:
        import torch  # lazy: torch

        torch.set_num_threads(max(1, (os.cpu_count() or 2) - 1))  # of this thread
        try:
            job.result = work(job)
        except BrokenOff:
            job.problem = job.why
        except PoseStudioError as error:
            job.problem = str(error)
        except Exception as error:  # a thread has no one above it; the page shows this
            log.exception("%s %s failed", job.kind, job.name)
            job.problem = f"{type(error).__name__}: {error}"


def _busy(job: Job) -> str:
    if job.kind == "train":
        return f"Run {job.name} is training here. Wait, or stop it: on Train, or posestudio stop {job.name}"
    return f"{job.name} is being worked on here ({job.kind}). Wait for it."


def _runner_before(folder: Path) -> str:
    return "process" if (folder / WORKER_LOG).exists() else "thread"


def in_process(
    folder: Path,
    *,
    stop: Callable[[], bool] | None = None,
    on_event: Listener | None = None,
    progress: Any = None,
) -> None:
    """Train a run folder in a child process and pass its events on; the same call as `training.train_here`.

    Raises:
        TrainingError: the child ended without finishing the run.
    """
    from posestudio import events

    path = folder / "events.jsonl"
    told = len(path.read_bytes()) if path.exists() else 0
    with (folder / WORKER_LOG).open("ab") as output:
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
                if not ended and stop is not None and stop():
                    RunFolder(folder).ask_stop()
                told = _pass_on(path, told, on_event, events.read)
                if not ended:
                    time.sleep(0.2)
        except BaseException:
            child.terminate()
            raise
    if child.returncode != 0:
        lines = (folder / WORKER_LOG).read_text("utf-8", "replace").strip().splitlines()
        raise TrainingError(
            f"Run {folder.name} ended with code {child.returncode}: {lines[-1] if lines else 'no message'}\n"
            f"See {folder / WORKER_LOG}, or go on: Resume on Train, or posestudio train --resume {folder.name}"
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
