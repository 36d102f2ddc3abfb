"""What to correct next: which person first, which of its keypoints, and why. Arrays in, a ranked list out; no store."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from posestudio.core import calibrate
from posestudio.studio.evidence import Judge

TOLERANCE = 0.15
"""A predicted keypoint is wrong when it is farther than this share of the box's height from the label. Ours."""

MIN_FOLD_KEYPOINTS = 20
"""Calibrating keypoints below which no error probability is given. Ours."""

MIN_FITTED = 150
"""Calibrating keypoints from which the measures get weights of their own. Ours: about 13 people of 12 keypoints."""

MIN_LABELED = 30
"""Labeled people below which the students' doubts say little and variety decides. Ours (method notes: under about
50 labels, uncertainty is often worse than random)."""

TOP = 3
"""A person's score is the mean over this many of its worst keypoints. Ours."""

FAR = 0.05
"""A distance between the students of more than this share of the box's height is named as the reason. Ours."""


@dataclass(frozen=True, slots=True)
class Beliefs:
    """What a run says of N people with K keypoints; NaN where it says nothing.

    xy_image: (N, K, 2) of the ensemble. score: (N, K) of the ensemble in [0, 1]. distance: (N, K) pixels between the
    students a and b. uncertainty: (N, K) of the pool. stale: (N,) bool, the box moved since.
    """

    xy_image: np.ndarray
    score: np.ndarray
    distance: np.ndarray
    uncertainty: np.ndarray
    stale: np.ndarray


@dataclass(frozen=True, slots=True)
class Doubt:
    """How doubtful each keypoint is. score: (N, K) in [0, 1]; probability: (N, K) of an error, or None."""

    score: np.ndarray
    probability: np.ndarray | None


def doubt(
    beliefs: Beliefs,
    box_xywh: np.ndarray,
    xy_label: np.ndarray,
    *,
    calibrating: np.ndarray,
    judges: Sequence[Judge] = (),
    heard: Mapping[str, Doubt] | None = None,
) -> Doubt:
    """Score every predicted keypoint, and say how likely it is wrong.

    With judges, what they measured decides, see `chances`; the score is the probability where there is one. Without,
    or for people whom they do not know, the score is the mean of the ranks of what the predictions show: distance
    between the students over the box's height, 1 - confidence, uncertainty of the pool; the probability is its
    isotonic fit to errors beyond TOLERANCE on the calibrating keypoints.

    Args:
        beliefs: of N people.
        box_xywh: (N, 4) pixels.
        xy_label: (N, K, 2) pixels, NaN where there is no label.
        calibrating: (N, K) bool, labeled keypoints that no training has seen.
        judges: of the same people, both students together first.
        heard: their `chances`, where these are known already.

    Returns:
        NaN where there is no prediction. The probability is None with too few calibrating keypoints; with judges it
        is NaN for people whom they do not know when the predictions alone cannot be calibrated.

    Source: the average of ranks and the isotonic fit are ours, from what ensembles are known to be good for.
    """
    plain = _of_predictions(beliefs, box_xywh, xy_label, calibrating)
    if not judges:
        return plain
    found = (heard or chances(judges, box_xywh, xy_label))[judges[0].name]
    if found.probability is None:
        score = np.where(np.isfinite(found.score), found.score, plain.score)
        return Doubt(np.where(np.isfinite(beliefs.score), score, np.nan), None)
    rest = np.nan if plain.probability is None else plain.probability
    chance = np.where(np.isfinite(found.probability), found.probability, rest)
    chance = np.where(np.isfinite(beliefs.score), chance, np.nan)
    return Doubt(np.where(np.isfinite(chance), chance, plain.score), chance)


def chances(
    judges: Sequence[Judge], box_xywh: np.ndarray, xy_label: np.ndarray
) -> dict[str, Doubt]:
    """How doubtful each judge's own prediction of each keypoint is.

    What a judge measured is graded among the keypoints whose labels it has not seen; those of these that have a label
    are the calibrating ones. A label that one student left out is held against that student alone; as grades are
    ranks, what it teaches holds for both together too. From MIN_FITTED calibrating keypoints on, a model is fitted
    (`calibrate.fit_errors`); from MIN_FOLD_KEYPOINTS on, an isotonic curve over the mean grade; below there is no
    probability.

    Args:
        judges: of N people, both students together first.
        box_xywh: (N, 4) pixels.
        xy_label: (N, K, 2) pixels, NaN where there is no label.

    Returns:
        By the judge's name; NaN where a judge knows nothing. The score is the rank of the mean grade.
    """
    height = np.maximum(box_xywh[:, 3:4], 1.0)
    labeled = np.asarray(np.isfinite(xy_label).all(axis=-1))
    new = {judge.name: ~labeled | judge.unseen for judge in judges}
    grades = {judge.name: calibrate.graded(judge.measures, new[judge.name]) for judge in judges}
    rows = []
    spoken = np.zeros(labeled.shape, bool)
    for judge in judges:
        usable = judge.unseen & labeled & ~spoken & np.isfinite(grades[judge.name]).all(axis=-1)
        spoken |= judge.unseen
        error = np.linalg.norm(judge.xy_image - xy_label, axis=-1) / height
        person, keypoint = np.nonzero(usable)
        rows.append((grades[judge.name][usable], keypoint, error[usable] > TOLERANCE, person))
    known, keypoint, wrong, person = (np.concatenate(column) for column in zip(*rows, strict=True))
    mean = {name: grade.mean(axis=-1) for name, grade in grades.items()}
    score = {name: calibrate.ranks(value, value[new[name]]) for name, value in mean.items()}
    if len(wrong) >= MIN_FITTED:
        model = calibrate.fit_errors(known, keypoint, wrong, person, labeled.shape[1])
        return {name: Doubt(score[name], model(grade)) for name, grade in grades.items()}
    if len(wrong) < MIN_FOLD_KEYPOINTS:
        return {name: Doubt(value, None) for name, value in score.items()}
    curve = calibrate.fit(known.mean(axis=-1), wrong)
    return {
        name: Doubt(score[name], np.where(np.isfinite(value), curve(value), np.nan))
        for name, value in mean.items()
    }


def _of_predictions(
    beliefs: Beliefs, box_xywh: np.ndarray, xy_label: np.ndarray, calibrating: np.ndarray
) -> Doubt:
    """Doubts from stored predictions alone, as `doubt` says."""
    height = np.maximum(box_xywh[:, 3:4], 1.0)
    known = np.isfinite(beliefs.score)
    measures = [beliefs.distance / height, 1 - beliefs.score, beliefs.uncertainty]
    ranks = [calibrate.ranks(np.where(known, measure, np.nan)) for measure in measures]
    usable = np.stack([rank for rank in ranks if np.isfinite(rank).any()] or [ranks[1]])
    counted = np.isfinite(usable).sum(axis=0)
    score = np.where(counted > 0, np.nansum(usable, axis=0) / np.maximum(counted, 1), np.nan)
    fold = calibrating & np.isfinite(score) & np.isfinite(xy_label).all(axis=-1)
    if fold.sum() < MIN_FOLD_KEYPOINTS:
        return Doubt(score, None)
    error = np.linalg.norm(beliefs.xy_image - xy_label, axis=-1) / height
    curve = calibrate.fit(score[fold], error[fold] > TOLERANCE)
    return Doubt(score, np.where(np.isfinite(score), curve(np.nan_to_num(score)), np.nan))


def by_doubt(doubts: Doubt, open_: np.ndarray, *, limit: int) -> list[tuple[int, float]]:
    """People by the mean of their TOP most doubtful open keypoints, worst first.

    Args:
        doubts: of N people.
        open_: (N, K) bool, keypoints to ask about.
        limit: how many people at most.

    Returns:
        (index, score) pairs; people without a predicted open keypoint are left out.
    """
    scores = np.where(open_ & np.isfinite(doubts.score), doubts.score, np.nan)
    asked = np.flatnonzero(np.isfinite(scores).any(axis=1))
    worst = -np.sort(-np.nan_to_num(scores[asked], nan=-1.0), axis=1)[:, :TOP]
    mean = np.where(worst >= 0, worst, 0).sum(axis=1) / np.maximum((worst >= 0).sum(axis=1), 1)
    order = np.argsort(-mean, kind="stable")[:limit]
    return [(int(asked[place]), float(mean[place])) for place in order]


def by_variety(
    features: np.ndarray,
    labeled: np.ndarray,
    asked: np.ndarray,
    *,
    limit: int,
    worth: np.ndarray | None = None,
) -> list[tuple[int, float]]:
    """People that differ most from the labeled ones and from each other, farthest first.

    Args:
        features: (N, D) descriptors, see `describe`.
        labeled: (N,) bool, people to stay away from.
        asked: (N,) bool, people to choose among.
        limit: how many at most.
        worth: (N,) that distances are multiplied by, 1 for all when absent.

    Returns:
        (index, distance times worth) pairs.

    Source: greedy k-center, as in core-set selection (Sener & Savarese, ICLR 2018).
    """
    left = np.flatnonzero(asked)
    if not len(left):
        return []
    near = np.full(len(left), np.inf)
    chosen = []
    starts = np.flatnonzero(labeled)
    for start in starts:
        near = np.minimum(near, np.linalg.norm(features[left] - features[start], axis=1))
    if not len(starts):
        near = np.linalg.norm(features[left] - features[left].mean(axis=0), axis=1)
        first = int(near.argmin())
        chosen.append((int(left[first]), 0.0))
        near = np.linalg.norm(features[left] - features[left[first]], axis=1)
        near[first] = -1.0
    value = np.ones(len(left)) if worth is None else worth[left]
    while len(chosen) < min(limit, len(left)):
        next_ = int(np.where(near < 0, -1.0, near * value).argmax())
        chosen.append((int(left[next_]), float(near[next_] * value[next_])))
        near = np.minimum(near, np.linalg.norm(features[left] - features[left[next_]], axis=1))
        near[next_] = -1.0
    return chosen


def describe(beliefs: Beliefs, box_xywh: np.ndarray) -> np.ndarray:
    """A cheap descriptor of each person: the predicted pose within its box, or the box's form.

    Args:
        beliefs: of N people.
        box_xywh: (N, 4) pixels.

    Returns:
        (N, 2 K + 2): x and y over the box's size (0 where not predicted), log aspect and log size.
    """
    size = np.maximum(box_xywh[:, 2:], 1.0)
    pose = (beliefs.xy_image - box_xywh[:, None, :2]) / size[:, None] - 0.5
    form = np.stack([np.log(size[:, 0] / size[:, 1]), 0.25 * np.log(size.prod(axis=1))], axis=1)
    flat = np.clip(np.nan_to_num(pose), -1, 1).reshape(len(box_xywh), -1)
    return np.concatenate([flat / np.sqrt(max(flat.shape[1], 1) / 2), form], axis=1)


def reason(
    name: str,
    *,
    distance: float,
    height: float,
    score: float,
    uncertainty: float,
    error: float | None = None,
) -> str:
    """Why one keypoint is asked about, in words: "left wrist: a and b 40 px apart".

    Args:
        name: of the keypoint.
        distance: pixels between the students.
        height: of the box.
        score: of the prediction.
        uncertainty: of the pool.
        error: the probability of an error where it is known.
    """
    said = name.replace("_", " ")
    if np.isfinite(distance) and distance > FAR * height:
        return f"{said}: a and b {distance:.0f} px apart"
    if np.isfinite(uncertainty) and uncertainty > 0.15 and score > 0.5:
        return f"{said}: views differ (uncertainty {uncertainty:.2f})"
    if error is not None and np.isfinite(error):
        return f"{said}: error {'< 1' if error < 0.01 else f'{100 * error:.0f}'} %"
    return f"{said}: score {score:.2f}"


def keypoints(
    index: int,
    names: tuple[str, ...],
    open_: np.ndarray,
    beliefs: Beliefs,
    doubts: Doubt,
    *,
    height: float,
) -> list[dict[str, Any]]:
    """The open keypoints of one person, most doubtful first, each with its numbers and its reason."""
    found = []
    for place in np.flatnonzero(open_[index] & np.isfinite(doubts.score[index])):
        at = (index, int(place))
        numbers = {
            "distance_px": float(beliefs.distance[at]),
            "confidence": float(beliefs.score[at]),
            "uncertainty": float(beliefs.uncertainty[at]),
        }
        error = None if doubts.probability is None else float(doubts.probability[at])
        found.append({
            "keypoint": int(place),
            "name": names[place],
            "score": float(doubts.score[at]),
            "error_probability": error,
            **numbers,
            "reason": reason(
                names[place], distance=numbers["distance_px"], height=height,
                score=numbers["confidence"], uncertainty=numbers["uncertainty"], error=error,
            ),
        })  # fmt: skip
    return sorted(found, key=lambda item: -item["score"])
