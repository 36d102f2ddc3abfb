"""Score a run, or an imported model, on the labels of a split. Also `posestudio evaluate`."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio import evaluate as scoring
from posestudio.core import metrics
from posestudio.errors import InputError
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.studio import baseline, beliefs, evidence, ledger, reliability
from posestudio.studio.json_form import plain
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
    """Score a run, or an imported model by its name, on the reviewed people of a split.

    People of val whose labels the run learned, or a run that it started from, are left out: they were train then.

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
    imported = any(row["model"] == run and row["run_id"] is None for row in studio.call("models"))
    if imported:
        run_id = str(run)
        found = beliefs.points(studio.call("predictions", run=run_id), people.take(judged))
    else:
        run_id, predictor = choose(studio, run)
        check_skeleton(predictor, snapshot, run_id)
        if split == "val":
            learned = _learned(studio, run_id, people) & judged
            judged &= ~learned
        found = predict_people(
            predictor, people.take(judged), studio.project, students=(student,), flip=flip,
            progress=named("predicting", progress),
        )[student]  # fmt: skip
    xy_image[judged], score[judged] = found
    kept = ~learned
    scores = scoring.evaluate(
        people.take(kept), xy_image[kept], score[kept], snapshot.skeleton, snapshot.taught, intervals=True
    )  # fmt: skip
    record = plain({
        "run_id": run_id, "split": split, "student": "model" if imported else student, "flip": flip,
        "learned": int(learned.sum()), "revision": revision,
        "when": datetime.now(UTC).isoformat(timespec="seconds"), **scores.to_dict(),
        "worst": worst(people.take(judged), xy_image[judged], snapshot),
        "reliability": None if imported else reliability.reliability(studio, run_id, snapshot),
        "mean_pose_pck@0.2": baseline.floor(snapshot, people.take(judged)),
    })  # fmt: skip
    if not imported:
        studio.call("record_scores", run_id=run_id, scores=record)
    return record


def _learned(studio: "Studio", run_id: str, people: People) -> np.ndarray:
    """(N,) bool: `evidence.learned`, when somebody is left to judge by.

    Raises:
        InputError: the run learned the labels of everybody.
    """
    learned = evidence.learned(studio.project, run_id, people)
    if learned[people.reviewed & ~people.iscrowd].all():
        raise InputError(
            f"{run_id}, or a run it started from, learned the labels of all {learned.sum()} people of val.\n"
            "Train one that did not start from it, or label others: posestudio queue --split val"
        )
    return learned


def worst(people: People, xy_image: np.ndarray, snapshot: Snapshot) -> list[dict[str, Any]]:
    """The people that are predicted worst, and which of their keypoints went how wrong.

    Args:
        people: N evaluated people.
        xy_image: (N, K, 2) predictions.
        snapshot: for skeleton and taught keypoints.

    Returns:
        At most WORST of {"instance_id", "image_id", "oks", "labeled", "wrong": [{"keypoint", "kind", "px"}]}, worst
        first; px is None for a keypoint that was not predicted.
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
        })  # fmt: skip
    return found


def nobody(people: People, split: str) -> str:
    """Why these people of a split cannot be evaluated, and what to do."""
    there = int((~people.iscrowd).sum())
    if there:
        return (
            f"None of the {there} people of {split} has every keypoint reviewed.\n"
            f"Label some: posestudio queue --split {split}"
        )
    if split != "val":
        return f"There is nobody in the split {split}. See: posestudio split"
    return (
        "There is no val set yet.\nSet some labeled people aside: posestudio split val --share 0.2, "
        "or import some: posestudio import coco FILE --images DIR --split val"
    )
