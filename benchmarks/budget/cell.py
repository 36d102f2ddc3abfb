"""Train and judge one cell: its start if that is not there, the run itself with looks at dev, and its line of results.

A cell can be stopped or killed at any time; run again it goes on from its last checkpoint. Two processes that want the
same cell, or the same start, do it once: the second waits.
"""

import dataclasses
import hashlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import torch

from benchmarks import datasets, rendered_oracles
from benchmarks.budget import scores, study
from benchmarks.budget.study import START, Cell
from benchmarks.datasets import Dataset
from posestudio import config as settings
from posestudio.errors import TrainingError
from posestudio.events import Event, Saved, Started, Stepped
from posestudio.models.weights import load_student
from posestudio.predict import ENSEMBLE, Predictor
from posestudio.train import data, worker
from posestudio.train.run_folder import RunFolder

PROJECT = Path(__file__).resolve().parents[2]
CURVE = "curve.jsonl"
STUDENTS = ("a", "b", ENSEMBLE)
FINAL = ("dev", "val", "test2")
NOT_MEANS = {"step", "images_per_second", "eta_seconds"}

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a study reads and writes.

    data: the dataset's folder as the user named it. results: folder of label_budget.jsonl and the cells' rows.
    weights: ImageNet weights, or None to let the trainer find them. stop: asked before every step. tell: told a line.
    """

    dataset: Dataset
    data: str
    results: Path
    weights: str | None
    stop: Callable[[], bool]
    tell: Tell

    def run(self, cell: Cell) -> RunFolder:
        """The cell's run folder."""
        return RunFolder(self.dataset.project / "runs" / cell.name)

    @contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Wait until nobody else does `name`; False if asked to stop before."""
        path = self.dataset.project / "locks" / f"{name}.lock"
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(path, is_singleton=False)
        while not self.stop():
            try:
                lock.acquire(timeout=1)
            except filelock.Timeout:
                continue
            try:
                yield True
            finally:
                lock.release()
            return
        yield False


class Watch:
    """What a run's time is spent on: training, counted; and looks at dev, kept in the run's curve and not counted.

    Every checkpoint adds a line to curve.jsonl: step, core_seconds and seconds of training so far, and on every look
    ap_a, ap_b, ap_ensemble and pck_mean on dev. A resumed run drops the lines after its checkpoint.
    """

    def __init__(self, folder: RunFolder, crops: scores.Crops, every: int, tell: Tell):
        self.folder, self.crops, self.every, self.tell = folder, crops, every, tell
        self.path, self.steps = folder.path / CURVE, 0
        self.core = self.wall = 0.0
        self.mark = (time.process_time(), time.perf_counter())

    def __call__(self, event: Event) -> None:
        """The worker's `on_event`."""
        if isinstance(event, Started):
            self._begin(event)
        elif isinstance(event, Saved):
            self._saved(event.step)

    def _begin(self, event: Started) -> None:
        self.steps = event.steps
        known = [line for line in lines_of(self.path) if line["step"] <= event.step]
        text = "".join(json.dumps(line) + "\n" for line in known)
        self.path.write_text(text, "utf-8")
        self.core = known[-1]["core_seconds"] if known else 0.0
        self.wall = known[-1]["seconds"] if known else 0.0
        lost = event.step > 0 and not (known and known[-1]["step"] == event.step)
        if lost and saved_step(self.folder) == event.step:
            self._note(event.step)
        self.mark = (time.process_time(), time.perf_counter())

    def _saved(self, step: int) -> None:
        self.core += time.process_time() - self.mark[0]
        self.wall += time.perf_counter() - self.mark[1]
        self._note(step)
        self.mark = (time.process_time(), time.perf_counter())

    def _note(self, step: int) -> None:
        line: dict[str, Any] = {
            "step": step, "core_seconds": round(self.core, 2), "seconds": round(self.wall, 2),
        }  # fmt: skip
        if step % self.every == 0 or step == self.steps:
            line |= self._look()
            said = ", ".join(
                f"{key} {value:.4f}" for key, value in line.items() if key[:3] in ("ap_", "pck")
            )
            self.tell(f"step {step} of {self.steps}: {said}")
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def _look(self) -> dict[str, float]:
        predictor = Predictor.load(self.folder.path)
        found = scores.predict(predictor, self.crops, STUDENTS)
        rows = {
            name: scores.rows_of(self.crops.people, one, predictor.skeleton)
            for name, one in found.items()
        }
        line = {f"ap_{name}": round(scores.ap(one), 5) for name, one in rows.items()}
        nets = scores.joined(rows[name] for name in predictor.students)
        return {**line, "pck_mean": round(float(nets["near20"].sum() / nets["labeled"].sum()), 5)}


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a JSON-lines file, none if it is not there; a torn line is left out."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return found


def saved_step(folder: RunFolder) -> int | None:
    """The step at which the students of a run were saved."""
    files = list(folder.students().values())
    return int(load_student(files[-1])[2].get("step", -1)) if files else None


def results_file(results: Path) -> Path:
    """Where finished cells are written, one line each."""
    return results / "label_budget.jsonl"


def finished(results: Path) -> dict[str, dict[str, Any]]:
    """The lines of results by cell."""
    return {line["cell"]: line for line in lines_of(results_file(results)) if "cell" in line}


def run_cell(cell: Cell, place: Place) -> bool:
    """Train and judge a cell and what it starts from; what is there already is not done again.

    Returns:
        Whether it is finished; False if asked to stop before.

    Raises:
        PoseStudioError: a setting, the data or the weights are wrong.
    """
    if cell.arm != START and not run_cell(cell.start, place):
        return False
    with place.alone(cell.name) as mine:
        if not mine:
            return False
        known = cell.name in finished(place.results)
        if known and cell.arm != START:
            return True
        if not trained(place.run(cell)) and not train(cell, place):
            return False
        if not known:
            record = judge(cell, place)
            if record is None:
                return False
            append(record, place)
        place.run(cell).state_path.unlink(missing_ok=True)
        return True


def trained(folder: RunFolder) -> bool:
    """Whether a run has come to its end."""
    if not (folder.path / "metrics.json").exists():
        return False
    steps = folder.config().train.steps
    return folder.metrics().get("steps") == steps and saved_step(folder) == steps


def train(cell: Cell, place: Place) -> bool:
    """Train a cell's run, or go on with it; whether it came to its end."""
    config, folder = cell.config(), prepare(cell, place)
    torch.set_num_threads(config.train.threads)
    with place.alone("crops") as mine:
        if not mine:
            return False
        size_hw, padding = (config.data.height, config.data.width), config.data.padding
        people = place.dataset.learnable
        data.crop_cache(people, place.dataset.project, size_hw, padding)
        dev = scores.open_crops(place.dataset, "dev", size_hw, padding)
    watch = Watch(
        folder, dev, config.train.save_every, lambda line: place.tell(f"{cell.name}: {line}")
    )
    choose = rendered_oracles.chooser(cell.own[0], place.data, place.dataset.skeleton, config)
    worker.run(folder.path, stop=place.stop, on_event=watch, choose=choose)
    return trained(folder)


def prepare(cell: Cell, place: Place) -> RunFolder:
    """The cell's run folder with its settings, labels and start.

    Raises:
        TrainingError: it was begun with other settings.
    """
    folder, config = place.run(cell), cell.config()
    if (folder.path / "run.json").exists():
        mine, theirs = settings.flat(config), settings.flat(folder.config())
        other = [
            f"{key} was {theirs[key]}, is {mine[key]}" for key in mine if mine[key] != theirs[key]
        ]
        if other:
            raise TrainingError(
                f"{cell.name} was begun with other settings ({'; '.join(other)}). Delete {folder.path} to begin anew."
            )
        return folder
    budget = None if cell.own[0] == study.CEILING else cell.budget
    snapshot = place.dataset.snapshot(budget, cell.seed)
    weights = os.path.abspath(place.weights) if place.weights else None
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json("config.json", settings.to_dict(config))
    record = {
        "snapshot": datasets.keep(place.dataset, snapshot),
        "from": None if cell.arm == START else cell.start.name,
        "weights": weights,
    }
    folder.write_json("run.json", record)
    return folder


def judge(cell: Cell, place: Place) -> dict[str, Any] | None:
    """Predict the people who judge, keep the rows, and make the cell's line of results from them.

    Returns:
        The line; None if asked to stop before.
    """
    folder, dataset = place.run(cell), place.dataset
    predictor = Predictor.load(folder.path)
    found: dict[tuple[str, str], scores.Rows] = {}
    for split in FINAL:
        for jitter in (False, True):
            spec = predictor.spec
            crops = scores.open_crops(dataset, split, spec.size_hw, spec.padding, jitter=jitter)
            for flip in (False,) if jitter else (False, True):
                if place.stop():
                    return None
                asked = ("a",) if jitter else STUDENTS
                for name, one in scores.predict(predictor, crops, asked, flip=flip).items():
                    variant = name + "_flip" * flip + "_jitter" * jitter
                    rows = scores.rows_of(crops.people, one, predictor.skeleton)
                    found[split, variant] = rows
    path = rows_file(place.results, cell.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    scores.write(path, found)
    return line(cell, place, scores.read(path))


def rows_file(results: Path, name: str) -> Path:
    """Where the rows of a cell are kept."""
    return results / "label_budget" / f"{name}.parquet"


def line(cell: Cell, place: Place, found: dict[tuple[str, str], scores.Rows]) -> dict[str, Any]:
    """The cell's line of results: what it was, what it scored, what it cost and how it came there."""
    folder, curve = place.run(cell), lines_of(place.run(cell).path / CURVE)
    test2 = summary(found, "test2")
    chosen = dataset_labels(place.dataset, cell)
    before = lines_of(place.run(cell.start).path / CURVE)
    return {
        "cell": cell.name,
        "setting": cell.setting,
        "dataset": cell.dataset,
        "split": "val",
        "arm": cell.arm,
        "budget": cell.budget,
        "seed": cell.seed,
        "times": cell.times,
        "steps": folder.config().train.steps,
        "core_minutes": round(curve[-1]["core_seconds"] / 60, 2),
        "seconds": curve[-1]["seconds"],
        "start_core_minutes": round(before[-1]["core_seconds"] / 60, 2) if before else None,
        "device": folder.metrics()["device"],
        "student": "mean",
        **summary(found, "val"),
        **{f"test2_{name}": value for name, value in test2.items()},
        "curve": [point(one) for one in curve if "ap_a" in one],
        "mechanism": mechanism(folder.events(), folder.config().train.steps),
        "people_labeled": len(chosen),
        "labels": hashlib.sha256("\n".join(sorted(chosen)).encode()).hexdigest()[:12],
        "settings": changed(folder.config()),
        "commit": commit(),
        "torch": torch.__version__,
        "command": study.command(cell, place.data, place.weights),
    }


def dataset_labels(dataset: Dataset, cell: Cell) -> list[str]:
    """File names of the people whose labels a cell shows."""
    budget = None if cell.own[0] == study.CEILING else cell.budget
    shown = dataset.labeled(budget, cell.seed)
    return [name for name, known in zip(dataset.learnable.file_name, shown, strict=True) if known]


def summary(found: dict[tuple[str, str], scores.Rows], split: str) -> dict[str, float]:
    """Mean of the single students without flip, and beside it ensemble, flip and jittered boxes."""
    nets = [name for name in ("a", "b") if (split, name) in found]
    each = [scores.numbers(found[split, name]) for name in nets]
    means = {key: sum(one[key] for one in each) / len(each) for key in each[0]}
    flips = [scores.ap(found[split, f"{name}_flip"]) for name in nets]
    means |= {
        "flip_ap": sum(flips) / len(flips),
        "ensemble_ap": scores.ap(found[split, ENSEMBLE]),
        "ensemble_flip_ap": scores.ap(found[split, f"{ENSEMBLE}_flip"]),
        "jitter_ap": scores.ap(found[split, "a_jitter"]),
    }
    return {key: round(value, 5) for key, value in means.items()}


def point(one: dict[str, Any]) -> dict[str, Any]:
    """A point of the curve with core minutes."""
    rest = {key: value for key, value in one.items() if key not in ("core_seconds", "seconds")}
    return {"step": rest.pop("step"), "core_minutes": round(one["core_seconds"] / 60, 2), **rest}


def mechanism(events: list[Event], steps: int) -> dict[str, float]:
    """Means over the last quarter of the run of every number that its Stepped events carry."""
    sums: dict[str, list[float]] = {}
    for event in events:
        if not isinstance(event, Stepped) or event.step <= 0.75 * steps:
            continue
        record = dataclasses.asdict(event)
        nested = [value for value in record.values() if isinstance(value, dict)]
        for part in (record, *nested):
            for name, value in part.items():
                if name not in NOT_MEANS and isinstance(value, int | float):
                    sums.setdefault(name, []).append(float(value))
    return {name: float(f"{sum(values) / len(values):.5g}") for name, values in sums.items()}


def changed(config: settings.Config) -> dict[str, Any]:
    """Preset, size and every setting that is not at its default."""
    defaults = {setting.key: setting.default for setting in settings.walk()}
    own = {key: value for key, value in settings.flat(config).items() if value != defaults[key]}
    return {"preset": config.preset, "size": config.size, **own}


def commit() -> str:
    """The version of the code, "+" behind it where posestudio/ or benchmarks/ was changed since; "" without git."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    try:
        dirty = git(
            "status", "--porcelain", "--untracked-files=no", "--", "posestudio", "benchmarks"
        )
        return git("rev-parse", "--short=12", "HEAD") + "+" * bool(dirty)
    except (OSError, subprocess.CalledProcessError):
        return ""


def append(record: dict[str, Any], place: Place, path: Path | None = None) -> None:
    """Add one line to the results, or to another file, whole and on disk before this returns."""
    path = path or results_file(place.results)
    path.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.dataset.project.parent / "results.lock"):
        torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
        with path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
