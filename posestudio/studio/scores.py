"""Score a run, or an imported model, on the labels of a split. Also `posestudio evaluate`."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio import evaluate as scoring
from posestudio.core import metrics
from posestudio.errors import InputError
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.studio import baseline, beliefs, evidence, ledger, reliability
from posestudio.studio.json_form import plain, write_json
from posestudio.studio.work import Progress, Student, check_skeleton, choose, named, now

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

WORST = 24
"""People of whom it is told what went wrong."""


def evaluate(
    studio: "Studio",
    *,
    run: str | None = None,
    split: str = "val",
    student: Student = "ensemble",
    flip: bool = False,
    snapshot: Snapshot | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a run, or an imported model by its name, on the reviewed people of a split; what `kept` gives later.

    People of val whose labels the run learned, or a run that it started from, are left out: they were train then. Such
    people of other splits are judged and counted ("remembered").

    Raises:
        InputError: nobody of the split can be evaluated.
    """
    from posestudio.predict import predict_people  # lazy: torch

    snapshot = snapshot or now(studio)
    people = snapshot.people.take(snapshot.people.split == split)
    judged = people.reviewed & ~people.iscrowd
    if not judged.any():
        raise InputError(nobody(people, split))
    revision = ledger.revision(people.take(judged | people.iscrowd), snapshot)
    xy_image = np.full(people.xy_image.shape, np.nan)
    score, learned = np.zeros(people.state.shape), np.zeros(len(people), bool)
    imported = is_imported(studio, run)
    if imported:
        run_id = str(run)
        found = beliefs.points(studio.call("predictions", run=run_id), people.take(judged))
    else:
        run_id, predictor = choose(studio, run)
        check_skeleton(predictor, snapshot, run_id)
        learned = _learned(studio, run_id, people, split) & judged
        judged &= ~learned | (split != "val")
        found = predict_people(
            predictor, people.take(judged), studio.project, students=(student,), flip=flip,
            progress=named("predicting", progress),
        )[student]  # fmt: skip
    if progress is not None:
        progress("scoring, and resampling for the intervals", 0, 0)
    xy_image[judged], score[judged] = found
    counted = ~learned | judged
    scores = scoring.evaluate(
        people.take(counted), xy_image[counted], score[counted], snapshot.skeleton, snapshot.taught,
        intervals=True,
    )  # fmt: skip
    record = plain({
        "run_id": run_id, "split": split, "student": "model" if imported else student,
        "flip": flip and not imported, "learned": int((learned & ~judged).sum()),
        "remembered": int((learned & judged).sum()), "revision": revision,
        "when": datetime.now(UTC).isoformat(timespec="seconds"), **scores.to_dict(),
        "worst": worst(people.take(judged), xy_image[judged], snapshot),
        "reliability": None if imported else reliability.reliability(studio, run_id, snapshot),
        "mean_pose_pck@0.2": baseline.floor(snapshot, people.take(judged)),
    })  # fmt: skip
    _keep(studio, record, imported)
    return record


def is_imported(studio: "Studio", run: str | None) -> bool:
    """Whether this is the name of a model whose predictions were imported."""
    return any(row["model"] == run and row["run_id"] is None for row in studio.call("models"))


def kept(studio: "Studio", run: str) -> dict[str, Any]:
    """All scores of a run or an imported model that were made before, by "split-student".

    Raises:
        NotFound: there is no such run or model.
    """
    if not is_imported(studio, run):
        return studio.call("scores", run=run)
    try:
        return json.loads(imported_file(studio.project, run).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def imported_file(project: Path, model: str) -> Path:
    """Where the scores of an imported model are kept, which has no run folder; they can be made again any time."""
    return project / "cache" / "scores" / f"{hashlib.sha256(model.encode()).hexdigest()[:32]}.json"


def _keep(studio: "Studio", record: dict[str, Any], imported: bool) -> None:
    if not imported:
        studio.call("record_scores", run_id=record["run_id"], scores=record)
        return
    file = imported_file(studio.project, record["run_id"])
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {**kept(studio, record["run_id"]), f"{record['split']}-model": record})


def _learned(studio: "Studio", run_id: str, people: People, split: str) -> np.ndarray:
    """(N,) bool: `evidence.learned`, when somebody of val is left to judge by.

    Raises:
        InputError: the run learned the labels of everybody of val.
    """
    learned = evidence.learned(studio.project, run_id, people)
    if split == "val" and learned[people.reviewed & ~people.iscrowd].all():
        raise InputError(
            f"{run_id}, or a run it started from, learned the labels of all {learned.sum()} people of val.\n"
            "Train one that did not start from it, or label others: on Correct with the split val, or "
            "posestudio queue --split val"
        )
    return learned


def worst(people: People, xy_image: np.ndarray, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The people that are predicted worst, and which of their keypoints went how wrong.

    Args:
        people: N evaluated people.
        xy_image: (N, K, 2) predictions.
        snapshot: for skeleton and taught keypoints.

    Returns:
        At most WORST of {"instance_id", "image_id", "oks", "labeled", "wrong": [{"keypoint", "kind", "px"}], "box",
        "labels", "points"}, worst first; px is None for a keypoint that was not predicted. labels and points (the
        prediction): [x, y] of each keypoint in image pixels, None where there is none or it is not judged.
    """
    shown = (people.state == PLACED) & (snapshot.taught | ~snapshot.taught.any())
    visibility = np.where(shown, people.visibility, 0)
    area, sigmas = scoring.areas(people), np.array(snapshot.skeleton.oks_sigmas)
    oks = metrics.oks(xy_image, people.xy_image, visibility, area, sigmas)
    kinds = metrics.error_kinds(
        xy_image, people.xy_image, visibility, area, sigmas,
        flip_index=snapshot.skeleton.flip_index, image_id=people.image_id,
    )  # fmt: skip
    gaps = metrics.distances(xy_image, people.xy_image, visibility)
    known = np.flatnonzero(np.isfinite(oks))
    found = []
    for index in known[np.argsort(oks[known], kind="stable")][:WORST]:
        wrong = [
            {"keypoint": snapshot.skeleton.keypoints[k], "kind": metrics.ERROR_KINDS[kinds[index, k]],
             "px": float(gaps[index, k]) if np.isfinite(gaps[index, k]) else None}
            for k in np.flatnonzero(kinds[index] > 0)
        ]  # fmt: skip
        found.append({
            "instance_id": int(people.instance_id[index]), "image_id": int(people.image_id[index]),
            "oks": float(oks[index]), "labeled": int((kinds[index] >= 0).sum()), "wrong": wrong,
            "box": people.box_xywh[index].tolist(), "labels": _places(people.xy_image[index], shown[index]),
            "points": _places(xy_image[index], snapshot.taught | ~snapshot.taught.any()),
        })  # fmt: skip
    return found


def _places(xy: np.ndarray, there: np.ndarray) -> list[list[float] | None]:
    """[x, y] to a tenth of a pixel, None where nothing is."""
    there = there & np.isfinite(xy).all(axis=1)
    return [
        [round(float(x), 1), round(float(y), 1)] if on else None
        for (x, y), on in zip(xy, there, strict=True)
    ]


def nobody(people: People, split: str) -> str:
    """Why these people of a split cannot be evaluated, and what to do."""
    there = int((~people.iscrowd).sum())
    if there:
        return (
            f"None of the {there} people of {split} has every keypoint reviewed.\n"
            f"Label some: on Correct with the split {split}, or posestudio queue --split {split}"
        )
    if split != "val":
        return f"There is nobody in the split {split}. See the page Images, or: posestudio split"
    return (
        "There is no val set yet.\nSet some labeled people aside: on the page Images, or posestudio split val --share "
        "0.2. Or bring some in: posestudio import coco FILE --images DIR --split val"
    )
