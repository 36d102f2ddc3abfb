"""What a run leaves for the store as Parquet: its predictions, its pool of everybody, and uncertainties."""

import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio.events import Saved
from posestudio.store.snapshots import OPEN, People, Snapshot
from posestudio.studio import evidence, queue
from posestudio.studio.queue import Beliefs, Doubt
from posestudio.train import ledger
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.predict import Found, Predictor
    from posestudio.train import data, objective

PREDICTIONS_FILE = "predictions.parquet"
UNCERTAINTIES_FILE = "uncertainties.parquet"

LEAST_VIEWS = 4
"""Views of the ledger when the run's own method takes fewer, so that there is a deviation to speak of. Ours."""

CHUNK = 32


@dataclass(frozen=True, slots=True)
class Offers:
    """What the pool says of N people: S voters, K keypoints.

    instance_id: (N,). open_: (N, K) bool, open and taught. uncertainty: (S, N, K). accepted: (S, N, K) bool. chosen:
    (S, N, K), whose offer each student learns from, -1 none.
    """

    instance_id: np.ndarray
    open_: np.ndarray
    uncertainty: np.ndarray
    accepted: np.ndarray
    chosen: np.ndarray


def write_predictions(
    folder: Path, run_id: str, people: People, found: Mapping[Any, "Found"]
) -> Path:
    """Write predictions.parquet of a run: a row a person and student."""
    rows: dict[str, list[Any]] = {
        name: [] for name in ("instance_id", "box_revision", "student", "x", "y", "score")
    }
    for student, (xy_image, score) in found.items():
        rows["instance_id"] += people.instance_id.tolist()
        rows["box_revision"] += people.box_revision.tolist()
        rows["student"] += [str(student)] * len(people)
        rows["x"] += xy_image[..., 0].tolist()
        rows["y"] += xy_image[..., 1].tolist()
        rows["score"] += score.tolist()
    count = len(rows["instance_id"])
    return _write(
        folder / PREDICTIONS_FILE, {"run_id": [run_id] * count, "model": [run_id] * count, **rows}
    )


def offers(
    folder: RunFolder,
    predictor: "Predictor",
    snapshot: Snapshot,
    *,
    heard: Callable[[np.ndarray, "list[objective.Votes]"], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Offers:
    """Draw seeded views of everyone who could take pseudo-targets and make the pool, as a training step does.

    The networks run in evaluation mode, so the numbers do not depend on who shares a batch. Votes and offers of open
    keypoints are written to the run's pool.parquet, in place of what it held.

    Args:
        folder: the run, for its method's settings.
        predictor: its students.
        snapshot: people and labels.
        heard: called with some people's indices and each student's votes about them.
        progress: called with people done and people in all.
    """
    from posestudio.train import data, ledger_rows, objective, validate  # lazy: torch

    config, people = folder.config(), snapshot.people
    open_ = (people.state == OPEN) & snapshot.taught
    step = max((event.step for event in folder.events() if isinstance(event, Saved)), default=0)
    source = data.open_source(snapshot, folder.project, config)
    asked = np.flatnonzero(~people.iscrowd & np.isin(people.split, ["train", "unlabeled"]))
    method = _method(folder, predictor, source, people)
    pools: list[list[np.ndarray]] = []
    rows: list[pa.Table] = []
    for at in range(0, len(asked), CHUNK):
        index = asked[at : at + CHUNK]
        crops = validate.plain_crops(source, index, method.size_hw).to(predictor.device)
        views = objective.draw_views(
            data.step_generator(config.train.seed, int(index[0]), 9),
            crops, max(LEAST_VIEWS, config.views.count), config.data.color, mirror=method.mirrors,
        )  # fmt: skip
        votes = [
            objective.predict_views(net.eval(), views, method)
            for net in predictor.students.values()
        ]
        if heard is not None:
            heard(index, votes)
        pool = objective.make_pool(votes, method)
        pools.append([one.cpu().numpy() for one in (pool.uncertainty, pool.accepted, pool.chosen)])
        rows.append(ledger_rows.rows(
            votes, pool, method, step=step, instance_id=people.instance_id[index],
            box_xywh=people.box_xywh[index], asked=open_[index],
        ))  # fmt: skip
        if progress is not None:
            progress(at + len(index), len(asked))
    ledger.write(folder.path / ledger.POOL_FILE, rows)
    nothing = [np.zeros((len(predictor.students), 0, open_.shape[1]))] * 3
    whole = [np.concatenate(one, axis=1) for one in zip(*(pools or [nothing]), strict=True)]
    return Offers(people.instance_id[asked], open_[asked], *whole)


def _method(
    folder: RunFolder, predictor: "Predictor", source: "data.Source", people: People
) -> "objective.Method":
    """A run's method with the thresholds that it trained with."""
    from posestudio.train import objective, session, thresholds  # lazy: torch

    config, students = folder.config(), list(predictor.students.values())
    passes = session.passes(config, predictor.device)
    method = objective.Method(config, source.skeleton.flip_index, passes)
    if config.pool.gate == "calibrated":
        unseen = evidence.unseen(folder.project, folder.path.name, people)
        least = thresholds.calibrated(folder, students, source, unseen, method)
        method = replace(method, threshold=least.to(predictor.device))
    return method


def keypoint_uncertainty(pool: Offers) -> np.ndarray:
    """(N, K): the uncertainty of the offer that would be the target, the least one where none is accepted."""
    allowed = np.where(pool.accepted.astype(bool), pool.uncertainty, np.inf)
    best = allowed.min(axis=0)
    return np.where(np.isfinite(best), best, pool.uncertainty.min(axis=0))


def uncertainty_rows(
    people: People, names: tuple[str, ...], asked: np.ndarray, known: Beliefs, doubts: Doubt
) -> dict[str, list[Any]]:
    """A row for each keypoint asked, as columns: uncertainty, error probability, distance, and the reason in words."""
    rows: dict[str, list[Any]] = {
        name: []
        for name in (
            "instance_id",
            "keypoint",
            "uncertainty",
            "error_probability",
            "distance_px",
            "reason",
        )
    }
    for index in np.flatnonzero(asked.any(axis=1)):
        height = float(people.box_xywh[index, 3])
        for point in queue.keypoints(int(index), names, asked, known, doubts, height=height):
            rows["instance_id"].append(int(people.instance_id[index]))
            for name in ("keypoint", "uncertainty", "error_probability", "distance_px", "reason"):
                rows[name].append(point[name])
    return rows


def write_uncertainties(folder: Path, rows: Mapping[str, list[Any]]) -> Path:
    """Write uncertainties.parquet of a run."""
    return _write(folder / UNCERTAINTIES_FILE, rows)


def whole(folder: Path) -> bool:
    """Whether a run's predictions are there, and doubts that were made after them."""
    try:
        made = [
            (folder / name).stat().st_mtime_ns for name in (PREDICTIONS_FILE, UNCERTAINTIES_FILE)
        ]
    except FileNotFoundError:
        return False
    return made[0] <= made[1]


def summary(pool: Offers) -> dict[str, Any]:
    """People, open keypoints, and the share of these that would get a pseudo-target."""
    kept = (pool.chosen >= 0).any(axis=0) & pool.open_
    asked = int(pool.open_.sum())
    return {
        "people": len(pool.instance_id),
        "open_keypoints": asked,
        "kept": float(kept.sum() / asked) if asked else None,
    }


def revision(people: People, snapshot: Snapshot) -> str:
    """16 hex digits that change with anything a score on these people of a snapshot depends on."""
    digest = hashlib.sha256()
    for values in (
        np.asarray(snapshot.taught), np.array(snapshot.skeleton.oks_sigmas), people.instance_id,
        people.box_xywh, np.nan_to_num(people.xy_image, nan=-1e9), people.visibility,
        people.area, people.iscrowd,
    ):  # fmt: skip
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()[:16]


def _write(path: Path, columns: Mapping[str, Any]) -> Path:
    part = path.with_name(f".{path.name}.part")
    pq.write_table(pa.table(dict(columns)), part)
    os.replace(part, path)
    return path
