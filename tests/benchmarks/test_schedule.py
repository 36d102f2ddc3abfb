"""Cells run a few at a time, after their starts, and whoever asks to stop is obeyed."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.budget import schedule
from benchmarks.budget.study import Cell

PROGRAM = """\
import sys, time
from pathlib import Path
words = dict(zip(sys.argv[2::2], sys.argv[3::2]))
log = Path(words["--work"]) / f"{words['--arm']}-{words['--seed']}-{time.time():.6f}"
log.with_suffix(".begun").touch()
if words["--arm"] == "paper":
    sys.exit("no such thing")
time.sleep(float(words["--data"]))
log.with_suffix(".ended").touch()
"""
"""What stands for a cell: it leaves the times at which it began and ended."""


def cells(*arms: str, seeds: tuple[int, ...] = (0,)) -> list[Cell]:
    return [Cell("lspet", "quick", arm, 100, seed) for seed in seeds for arm in arms]


def run(
    folder: Path,
    wanted: list[Cell],
    *,
    seconds: float = 0.2,
    stop: Callable[[], bool] = lambda: False,
) -> tuple[int, list[str]]:
    """Failures and what was told."""
    program, told = folder / "program.py", []
    program.write_text(PROGRAM)
    words = ["--data", str(seconds), "--work", str(folder)]
    failed = schedule.run_all(wanted, folder, words, program, jobs=2, stop=stop, tell=told.append)
    return failed, told


def test_the_plan_has_every_start_once_and_first():
    wanted = cells("supervised", "posedual", seeds=(0, 1))
    plan = schedule.plan(wanted)
    names = [job.cell.name for job in plan]
    assert len(set(names)) == len(names) == 6
    for job in plan:
        assert job.waits is None or names.index(job.waits) < names.index(job.cell.name)
    assert [job.cell.arm for job in plan] == ["start", "supervised", "posedual"] * 2


def test_two_run_side_by_side_and_none_before_its_start(tmp_path: Path):
    failed, told = run(tmp_path, cells("supervised", "posedual", seeds=(0, 1)))
    assert failed == 0 and len(told) == 12
    running, most = set(), 0
    for line in told:
        word, _, name = line.partition(": ")
        if word == "begun":
            running.add(name)
            most = max(most, len(running))
        else:
            running.remove(name)
    assert most == 2
    for seed in (0, 1):
        end = told.index(f"done: lspet-quick-start-100-s{seed}")
        for arm in ("supervised", "posedual"):
            assert told.index(f"begun: lspet-quick-{arm}-100-s{seed}") > end
    # the second seed's start does not wait for the first's
    assert told[:2] == [f"begun: lspet-quick-start-100-s{seed}" for seed in (0, 1)]


def test_a_cell_that_fails_is_said_and_the_others_go_on(tmp_path: Path):
    failed, told = run(tmp_path, cells("paper", "posedual"), seconds=0.01)
    assert failed == 1
    assert "failed: lspet-quick-paper-100-s0 no such thing" in told
    assert "done: lspet-quick-posedual-100-s0" in told


def test_asked_to_stop_no_cell_is_begun_and_the_running_ones_end(tmp_path: Path):
    begun = time.monotonic()
    failed, told = run(
        tmp_path,
        cells("supervised"),
        seconds=600,
        stop=lambda: bool(list(tmp_path.glob("*.begun"))),
    )
    assert failed == 0 and told == ["begun: lspet-quick-start-100-s0"]
    assert not list(tmp_path.glob("*.ended")) and time.monotonic() - begun < 300


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_cell_yields_to_others(tmp_path: Path):
    program = tmp_path / "program.py"
    program.write_text("import os, time; time.sleep(1); print(os.getpriority(os.PRIO_PROCESS, 0))")
    process = schedule.begin(cells("posedual")[0], [], program, tmp_path / "log")
    assert process.wait() == 0
    assert (tmp_path / "log").read_text().strip() == str(schedule.NICE)
