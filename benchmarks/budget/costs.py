"""What a step of each arm costs beside a step of posedual, in CPU time: the table that makes arms comparable."""

import os
import statistics
import time

from benchmarks import datasets
from benchmarks.budget.cell import Place
from benchmarks.budget.study import Cell
from posestudio import config as settings
from posestudio.train import data, loop, session, worker
from posestudio.train.run_folder import RunFolder

LEFT_OUT = 5
FIRST = 301
"""The step at which measuring begins, so that every ramp of the usual settings is behind it."""


def measure(cells: list[Cell], place: Place, repeats: int) -> dict[str, float]:
    """Median CPU seconds of a step of each arm, the arms stepping in turn so that a slow moment slows all.

    Args:
        cells: one for each arm.
        place: where the dataset is; run folders named cost-... are made there.
        repeats: timed steps of each.
    """
    steps = {cell.arm: _steps(cell, place, LEFT_OUT + repeats) for cell in cells}
    times: dict[str, list[float]] = {cell.arm: [] for cell in cells}
    for _ in range(LEFT_OUT + repeats):
        for arm, coming in steps.items():
            started = time.process_time()
            next(coming)
            times[arm].append(time.process_time() - started)
    return {arm: statistics.median(values[LEFT_OUT:]) for arm, values in times.items()}


def _steps(cell: Cell, place: Place, count: int):
    changes = {**cell.changes, "train.steps": str(FIRST + count)}
    cell = Cell(cell.dataset, cell.setting, cell.arm, cell.budget, cell.seed, 1, changes)
    folder = RunFolder(place.dataset.project / "runs" / f"cost-{cell.name}")
    folder.path.mkdir(parents=True, exist_ok=True)
    snapshot = datasets.keep(place.dataset, place.dataset.snapshot(cell.budget, cell.seed))
    folder.write_json("config.json", settings.to_dict(cell.config()))
    weights = os.path.abspath(place.weights) if place.weights else None
    folder.write_json("run.json", {"snapshot": snapshot, "from": None, "weights": weights})
    ready = session.open_session(folder, steps=FIRST + count)
    batches = data.batches(
        ready.source, ready.config, first=FIRST, last=FIRST + count, device=ready.device
    )
    return loop.fit(ready.learner, batches, worker.make_objective(ready))


def table(medians: dict[str, float]) -> str:
    """The costs as they are written into study.COSTS, after the seconds they come from."""
    one = medians["posedual"]
    seconds = ", ".join(f"{arm} {value:.3f} s" for arm, value in medians.items())
    return (
        f"# {seconds}\nCOSTS = { ({arm: round(value / one, 2) for arm, value in medians.items()}) }"
    )
