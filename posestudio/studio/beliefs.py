"""What a run or an imported model said of people, from the store's rows to the arrays of the queue and the scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posestudio.store.snapshots import People
from posestudio.studio.queue import Beliefs

Row = Mapping[str, Any]


def empty(people: People) -> Beliefs:
    """Beliefs of N people about whom nothing is said."""
    count, kinds = people.state.shape
    nothing = np.full((count, kinds), np.nan)
    return Beliefs(
        np.full((count, kinds, 2), np.nan),
        nothing,
        nothing.copy(),
        nothing.copy(),
        np.zeros(count, bool),
    )


def gather(predictions: Sequence[Row], uncertainties: Sequence[Row], people: People) -> Beliefs:
    """Rows of one model as beliefs.

    The ensemble's points and scores are taken; those of an imported model without students when there is no ensemble.

    Args:
        predictions: instance_id, student, x, y, score, stale.
        uncertainties: instance_id, keypoint, uncertainty.
        people: N people; rows of others are left out.
    """
    found = empty(people)
    place = {int(instance_id): index for index, instance_id in enumerate(people.instance_id)}
    students: dict[str, np.ndarray] = {}
    for row in predictions:
        index = place.get(int(row["instance_id"]))
        if index is None or len(row["x"]) != people.state.shape[1]:
            continue
        points = np.stack([row["x"], row["y"]], axis=1)
        if row["student"] in ("a", "b"):
            students.setdefault(row["student"], np.full(found.xy_image.shape, np.nan))[index] = (
                points
            )
        else:
            found.xy_image[index], found.score[index] = points, row["score"]
            found.stale[index] = bool(row["stale"])
    for row in uncertainties:
        index = place.get(int(row["instance_id"]))
        if (
            index is not None
            and row["uncertainty"] is not None
            and row["keypoint"] < people.state.shape[1]
        ):
            found.uncertainty[index, row["keypoint"]] = row["uncertainty"]
    if len(students) == 2:
        found.distance[:] = np.linalg.norm(students["a"] - students["b"], axis=-1)
    return found


def from_students(
    found: Mapping[Any, tuple[np.ndarray, np.ndarray]], uncertainty: np.ndarray
) -> Beliefs:
    """Predictions of students a, b and ensemble of N people, just made, as beliefs."""
    xy_image, score = found["ensemble"]
    distance = np.full(score.shape, np.nan)
    if "b" in found:
        distance = np.linalg.norm(found["a"][0] - found["b"][0], axis=-1)
    return Beliefs(xy_image, score, distance, uncertainty, np.zeros(len(score), bool))


def points(predictions: Sequence[Row], people: People) -> tuple[np.ndarray, np.ndarray]:
    """(xy_image (N, K, 2), score (N, K)) of rows of one model and student; NaN and 0 for people without a row."""
    xy_image, score = np.full(people.xy_image.shape, np.nan), np.zeros(people.state.shape)
    place = {int(instance_id): index for index, instance_id in enumerate(people.instance_id)}
    for row in predictions:
        index = place.get(int(row["instance_id"]))
        if index is not None and len(row["x"]) == people.state.shape[1]:
            xy_image[index] = np.stack([row["x"], row["y"]], axis=1)
            score[index] = row["score"]
    return xy_image, score
