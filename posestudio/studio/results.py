"""Predictions as COCO results, with the ids of the labels that `export coco` writes, so that any tool can score them.

Labels whose ids clash are a file for each source, and so are their results.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from posestudio import evaluate as scoring
from posestudio.core.skeleton import Skeleton
from posestudio.store.snapshots import People
from posestudio.studio.json_form import write_json

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Results = dict[str, list[dict[str, Any]]]
"""COCO results by the name of their source, as `export coco` names its files."""


def of_people(
    studio: "Studio",
    people: People,
    xy_image: np.ndarray,
    score: np.ndarray,
    skeleton: Skeleton,
    *,
    split: str | None = None,
) -> Results:
    """Results for each file of labels; people whom `export coco` leaves out by now are left out.

    Args:
        studio: the project.
        people: N people.
        xy_image: (N, K, 2) in image pixels; a person whose keypoints are all NaN has no prediction.
        score: (N, K).
        skeleton: of the K keypoints.
        split: of the people, when all are of one; the labels are then those of `export coco --split`.
    """
    labeled = None if split == "unlabeled" else split  # unlabeled people of train lie in train
    found = {}
    for file in studio.call("coco_files", split=labeled):
        _, mine, theirs = np.intersect1d(
            people.instance_id, np.array(file["instance_id"], np.int64), return_indices=True
        )
        ids = tuple(np.array(file[name], np.int64)[theirs] for name in ("image_id", "category_id"))
        rows = scoring.coco_results(
            people.take(mine), xy_image[mine], score[mine], skeleton, ids=ids
        )
        if rows:
            found[file["name"]] = rows
    return found


def write(out: Path, results: Results) -> dict[str, Any]:
    """Write results: those of one file of labels as `out`, others beside it as `out`-SOURCE.

    Returns:
        out (None when there are several files) and files, their paths.

    Raises:
        InputError: a file cannot be written.
    """
    files = {out: next(iter(results.values()), [])}
    if len(results) > 1:
        files = {
            out.with_name(f"{out.stem}-{name}{out.suffix}"): rows for name, rows in results.items()
        }
    for path, rows in files.items():
        write_json(path, rows)
    return {"out": str(out) if out in files else None, "files": [str(path) for path in files]}
