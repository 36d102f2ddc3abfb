"""Many cells, a few side by side, each in a process of its own that yields to whoever else uses the machine."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.budget.study import START, Cell

NICE = 10
POLL = 0.5


def missing(cells: list[Cell], results: Path) -> list[Cell]:
    """The cells that results do not have."""
    from benchmarks.budget.cell import finished

    known = finished(results)
    return [cell for cell in cells if cell.name not in known]


@dataclass(slots=True)
class _Job:
    """A cell to do, once the start of its name is done."""

    cell: Cell
    waits: str | None
    process: subprocess.Popen | None = None


def run_all(
    cells: list[Cell],
    project: Path,
    words: list[str],
    program: Path,
    *,
    jobs: int,
    stop: Callable[[], bool],
    tell: Callable[[str], None],
) -> int:
    """Compute cells in their order, at most `jobs` at a time; a cell whose start is being made lets others pass.

    Args:
        cells: what to compute.
        project: the dataset's project; logs/ in it takes what the cells print.
        words: arguments of `cell` that all cells share.
        program: label_budget.py.
        jobs: cells side by side.
        stop: asked all the time; when it says yes the cells are asked to end, and do so at a checkpoint.
        tell: told when a cell begins and ends.

    Returns:
        The number of cells that failed; the others are computed nevertheless.
    """
    waiting, running, done, failed = plan(cells), [], set(), 0
    logs = project / "logs"
    logs.mkdir(parents=True, exist_ok=True)
    while (waiting or running) and not stop():
        for job in [job for job in waiting if job.waits is None or job.waits in done]:
            if len(running) < jobs:
                waiting.remove(job)
                job.process = begin(job.cell, words, program, logs / f"{job.cell.name}.log")
                running.append(job)
                tell(f"begun: {job.cell.name}")
        time.sleep(POLL)
        for job in [job for job in running if job.process and job.process.poll() is not None]:
            running.remove(job)
            code = job.process.returncode if job.process else 0
            done.add(job.cell.name)
            failed += code != 0
            log = logs / f"{job.cell.name}.log"
            last = log.read_text("utf-8").strip().splitlines()[-1:] if code else []
            tell(f"{'failed' if code else 'done'}: {' '.join([job.cell.name, *last])}")
            if code and job.cell.arm == START:
                waiting = [other for other in waiting if other.waits != job.cell.name]
    for job in running:
        if job.process:
            with contextlib.suppress(OSError):
                job.process.terminate()
    for job in running:
        if job.process:
            job.process.wait()
    return failed


def plan(cells: list[Cell]) -> list[_Job]:
    """The cells in order, each start once and before the first cell that needs it."""
    jobs: dict[str, _Job] = {}
    for cell in cells:
        jobs.setdefault(cell.start.name, _Job(cell.start, None))
        if cell.arm != START:
            jobs[cell.name] = _Job(cell, cell.start.name)
    return list(jobs.values())


def begin(cell: Cell, words: list[str], program: Path, log: Path) -> subprocess.Popen:
    """Start the process of one cell, of low priority, with one thread for everything."""
    command = [sys.executable, str(program), "cell", *words, *cell.arguments()]
    command += ["--parent", str(os.getpid())]
    with log.open("a", encoding="utf-8") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
            start_new_session=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
    with contextlib.suppress(OSError, AttributeError):
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    with contextlib.suppress(OSError):  # Linux: the priority of its whole session
        Path(f"/proc/{process.pid}/autogroup").write_text(str(NICE))
    return process
