"""How right a run's pseudo-labels were: its ledger against the labels that people gave later."""

from pathlib import Path
from typing import Any

import numpy as np

from posestudio.core import hindsight
from posestudio.errors import NotFound, StoreError
from posestudio.store import freeze, snapshots
from posestudio.store.database import Store
from posestudio.store.snapshots import OPEN, PLACED, People
from posestudio.studio.queue import TOLERANCE
from posestudio.studio.verbs_runs import get_run
from posestudio.train import ledger
from posestudio.train.run_folder import RunFolder

Record = dict[str, Any]

BINS = 8
"""Stretches of training that precision and recall are told for."""


def ledger_scores(store: Store, run: str) -> Record:
    """Precision and recall of a run's pseudo-labels, at keypoints that were open when it began and are placed now.

    A pseudo-label is right within 0.15 of the box's height of the label. Precision is the share of targets that were
    right, recall the share of the times a student could have learned such a keypoint that gave it a right target.
    Who labels along the queue labels what the students doubted most, so both are lower than over everybody.

    Returns:
        run_id; labeled_later (keypoints); training: {asked, told, precision, recall} over the logged steps, or None;
        steps: the same by stretches of training, each with its last "step"; keypoints: by "name"; pool: as the verb
        `pool` found everybody last, with its "step", or None.

    Raises:
        NotFound: no such run.
    """
    folder = RunFolder(Path(get_run(store, run)["path"]))
    now = freeze.look(store)
    names, later = now.skeleton.keypoints, _labeled_since(folder, now.people)
    students = folder.config().views.students
    trained = _told(ledger.parts(folder), now.people, later)
    whole = _told([folder.path / ledger.POOL_FILE], now.people, later)
    bins, last = _stretches(trained["step"])
    by_step = _records(trained, students, bins, len(last))
    by_keypoint = _records(trained, students, trained["keypoint"], len(names))
    return {
        "run_id": folder.path.name,
        "labeled_later": int(later.sum()),
        "training": _overall(trained, students),
        "steps": [{"step": int(step), **row} for step, row in zip(last, by_step, strict=True)],
        "keypoints": [
            {"name": name, **row}
            for name, row in zip(names, by_keypoint, strict=True)
            if row["asked"]
        ],
        "pool": _overall(whole, students, step=True),
    }  # fmt: skip


def brief(scores: Record) -> Record:
    """The scores in a line: labeled_later, and precision and recall of training, or of the pool without any."""
    told = scores["training"] or scores["pool"] or {}
    return {
        "labeled_later": scores["labeled_later"],
        "precision": told.get("precision"),
        "recall": told.get("recall"),
    }


def _labeled_since(folder: RunFolder, people: People) -> np.ndarray:
    """`labeled_later` than a run began; nothing when the labels that it began with are gone."""
    try:
        before = snapshots.read(folder.project / "snapshots" / str(folder.record()["snapshot"]))
    except (NotFound, StoreError):
        return np.zeros(people.state.shape, bool)
    return labeled_later(before.people, people)


def labeled_later(before: People, now: People) -> np.ndarray:
    """(N, K) bool for the people now: keypoints that were open and are placed. People unknown before have none."""
    order = np.argsort(before.instance_id)
    place = np.searchsorted(before.instance_id, now.instance_id, sorter=order)
    row = order[np.minimum(place, len(order) - 1)] if len(order) else np.zeros(len(now), int)
    known = before.instance_id[row] == now.instance_id if len(order) else np.zeros(len(now), bool)
    if before.state.shape[1] != now.state.shape[1] or not known.any():
        return np.zeros(now.state.shape, bool)
    return known[:, None] & (before.state[row] == OPEN) & (now.state == PLACED)


def _told(paths: list[Path], people: People, later: np.ndarray) -> dict[str, np.ndarray]:
    """Columns of the offers for the keypoints labeled later: step, keypoint, gap, taught, and the voters there are."""
    there = np.flatnonzero(later.any(axis=1))
    rows = ledger.offers(
        [path for path in paths if path.exists()], people.instance_id[there].tolist()
    )
    order = there[np.argsort(people.instance_id[there])]
    person = order[np.searchsorted(people.instance_id[order], rows["instance_id"])]
    keypoint = rows["keypoint"].astype(int)
    mine = later[person, keypoint]
    xy = np.stack([rows["x"], rows["y"]], axis=-1).astype(np.float64)
    gap = np.linalg.norm(xy - people.xy_image[person, keypoint], axis=-1)
    found = {
        "step": rows["step"],
        "keypoint": keypoint,
        "gap": gap / people.box_xywh[person, 3],
        "taught": np.array([len(word) for word in rows["teaches"]], int),
        "voter": rows["voter"],
    }
    return {name: values[mine] for name, values in found.items()}


def _stretches(step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which of at most BINS stretches of training each row is of, and their last steps."""
    steps, place = np.unique(step, return_inverse=True)
    count = min(BINS, len(steps))
    if count == 0:
        return place, steps
    bins = np.arange(len(steps)) * count // len(steps)
    return bins[place], steps[np.searchsorted(bins, np.arange(count), side="right") - 1]


def _records(
    told: dict[str, np.ndarray], students: int, group: np.ndarray, groups: int
) -> list[Record]:
    found = hindsight.tally(
        told["gap"], told["taught"], voters=max(1, len(np.unique(told["voter"]))), students=students,
        tolerance=TOLERANCE, group=group, groups=groups,
    )  # fmt: skip
    columns = zip(found.asked, found.told, found.precision, found.recall, strict=True)
    return [
        {"asked": int(asked), "told": int(given), "precision": _number(right), "recall": _number(share)}
        for asked, given, right, share in columns
    ]  # fmt: skip


def _overall(told: dict[str, np.ndarray], students: int, *, step: bool = False) -> Record | None:
    if not len(told["gap"]):
        return None
    (record,) = _records(told, students, np.zeros(len(told["gap"]), int), 1)
    return {"step": int(told["step"].max()), **record} if step else record


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


OFFERED = {"ledger_scores": ledger_scores}
