"""Labels that look wrong: people's keypoints that confident students who never saw them put elsewhere.

Arrays in, a ranked list out; no store. Left/right swaps come first: they are the usual mistake of people who label,
and one of them spoils every keypoint of a person.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from posestudio.core import calibrate, sides
from posestudio.studio import queue
from posestudio.studio.evidence import Judge

FAR = 0.3
"""Distance from a label, over the box's height, at which it is as wrong as can be. Ours: twice queue.TOLERANCE."""

PAIR = 1.5
"""How much one pair alone must say, beside all pairs together, to count as much. Ours, on lspet."""

LEARNED = 0.5
"""What the opinion of students who have learned the label counts beside that of one who has not. Ours."""

SHARE = 0.03
"""Share of people that are swapped before anything is known of them. Ours: about that of lspet's labels."""

SUSPECT = 0.05
"""Chance of a swap from which a person is a swap suspect. Ours."""

WEIGHTS = (0.45, 1.8)
"""Log odds of a swap for each keypoint's worth of opinion, and for a pose that looks swapped. Ours, fitted on lspet;
from LEAST people whose labels a student has not seen they are fitted anew."""

LEAST = 50


@dataclass(frozen=True, slots=True)
class Opinion:
    """What is held against the labels of N people with K keypoints; NaN where nobody has an opinion.

    xy_image: (N, K, 2) where the best witness sees the keypoint. chance: (N, K) that the witness is wrong, in [0, 1].
    unseen: (N, K) bool, the witness was not trained on the label. calibrated: whether the chances are probabilities;
    else they are ranks.
    """

    xy_image: np.ndarray
    chance: np.ndarray
    unseen: np.ndarray
    calibrated: bool


@dataclass(frozen=True, slots=True)
class Suspects:
    """How suspect labels are.

    swap: (N,) chance that left and right of the person, or of one pair, are swapped. swapped: (N, K) bool, the labels
    that would change places. turned: (N, K) bool, those of pairs that fit better then. misplaced: (N, K) in [0, 1].
    distance: (N, K) pixels from the label to the opinion. opinion: behind it.
    """

    swap: np.ndarray
    swapped: np.ndarray
    turned: np.ndarray
    misplaced: np.ndarray
    distance: np.ndarray
    opinion: Opinion


def witnesses(
    judges: Sequence[Judge],
    box_xywh: np.ndarray,
    xy_label: np.ndarray,
    heard: Mapping[str, queue.Doubt] | None = None,
) -> Opinion:
    """The best opinion of each label: of both students if neither saw it, of the one that did not, or of both anyway.

    Args:
        judges: of N people, both students together first.
        box_xywh: (N, 4) pixels.
        xy_label: (N, K, 2) pixels, NaN where there is no label.
        heard: their `queue.chances`, where these are known already.
    """
    found = heard or queue.chances(judges, box_xywh, xy_label)
    both = judges[0]
    xy_image = both.xy_image.copy()
    chance, unseen = _chance(found[both.name]).copy(), both.unseen.copy()
    for judge in judges[1:]:
        better = judge.unseen & ~unseen & np.isfinite(judge.xy_image).all(axis=-1)
        xy_image[better] = judge.xy_image[better]
        chance[better] = _chance(found[judge.name])[better]
        unseen |= better
    return Opinion(xy_image, chance, unseen, found[both.name].probability is not None)


def _chance(doubt: queue.Doubt) -> np.ndarray:
    return doubt.score if doubt.probability is None else doubt.probability


def suspect(
    opinion: Opinion, box_xywh: np.ndarray, xy_label: np.ndarray, flip_index: Sequence[int]
) -> Suspects:
    """Hold opinions against labels.

    A keypoint of a left/right pair speaks for a swap as far as its prediction lies nearer to the partner's label than
    to its own, weighted by the chance that the prediction is right. All pairs of a person are added up, and so is how
    swapped its pose looks beside the others' (`core/sides.py`); or one pair is taken alone if it says more.

    Args:
        opinion: about N people.
        box_xywh: (N, 4) pixels.
        xy_label: (N, K, 2) pixels, NaN where there is no label.
        flip_index: K indices, Skeleton.flip_index.

    Source: ours, after out-of-sample disagreement in confident learning (Northcutt et al., JAIR 2021).
    """
    mirror = np.asarray(flip_index)
    height = np.maximum(box_xywh[:, 3:4], 1.0)
    distance = np.linalg.norm(opinion.xy_image - xy_label, axis=-1)
    other = np.linalg.norm(opinion.xy_image - xy_label[:, mirror], axis=-1)
    weight = np.nan_to_num(1 - opinion.chance) * np.where(opinion.unseen, 1.0, LEARNED)
    away = np.minimum(distance / height / FAR, 1.0)
    gain = np.nan_to_num(away - np.minimum(other / height / FAR, 1.0)) * weight
    gain = np.where(mirror == np.arange(len(mirror)), 0.0, gain)
    pair = gain + gain[:, mirror]
    posed = -sides.judged(xy_label, flip_index)
    worth = _weights(gain.sum(axis=1), posed, np.asarray(opinion.unseen.any(axis=1)))
    total = worth[0] * gain.sum(axis=1) + worth[1] * posed
    best = worth[0] * PAIR * pair.max(axis=1, initial=0.0)
    whole = total >= best
    odds = np.log(SHARE / (1 - SHARE)) + np.maximum(total, best)
    paired = np.isfinite(xy_label).all(axis=-1) & (mirror != np.arange(len(mirror)))
    paired &= paired[:, mirror]
    return Suspects(
        swap=np.where(paired.any(axis=1), 1 / (1 + np.exp(-odds)), 0.0),
        swapped=paired & (whole[:, None] | (pair == pair.max(axis=1, keepdims=True))),
        turned=paired & (pair > 0),
        misplaced=np.where(distance > queue.TOLERANCE * height, np.nan_to_num(away) * weight, 0.0),
        distance=distance,
        opinion=opinion,
    )


def _weights(gain: np.ndarray, posed: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Log odds (2,) of a swap for a unit of either number, from people whose swapped labels have the opposite ones."""
    numbers = np.stack([gain, posed], axis=1)[unseen]
    if len(numbers) < LEAST:
        return np.array(WEIGHTS)
    both = np.concatenate([numbers, -numbers])
    found = calibrate.logistic(both, np.arange(len(both)) >= len(numbers), np.ones(2))
    return np.maximum(found, 0.0)


def ranked(found: Suspects) -> list[tuple[int, float, bool]]:
    """People whose labels are suspect: swap suspects first, then by their most suspect keypoint.

    Returns:
        (index, score, whether a swap is suspected), most suspect first.
    """
    worst = found.misplaced.max(axis=1, initial=0.0)
    swaps = found.swap >= SUSPECT
    score = np.where(swaps, found.swap, worst)
    order = np.lexsort((-score, ~swaps))
    return [(int(i), float(score[i]), bool(swaps[i])) for i in order if score[i] > 0]


def keypoints(index: int, names: tuple[str, ...], found: Suspects) -> list[dict[str, Any]]:
    """The suspect keypoints of one person, most suspect first, each with its numbers and its reason."""
    swap = found.swap[index] >= SUSPECT
    asked = found.swapped[index] if swap else found.misplaced[index] > 0
    rows = [
        {
            "keypoint": int(k),
            "name": names[k],
            "score": float(found.misplaced[index, k]),
            "error_probability": float(found.opinion.chance[index, k]),
            "distance_px": float(found.distance[index, k]),
            "unseen": bool(found.opinion.unseen[index, k]),
            "reason": f"{names[k].replace('_', ' ')}: seen {found.distance[index, k]:.0f} px from its label",
        }
        for k in np.flatnonzero(asked)
    ]
    return sorted(rows, key=lambda row: -row["score"])


def reason(index: int, points: Sequence[dict[str, Any]], found: Suspects) -> str:
    """Why a person's labels are suspect, in words, with a remark where the students have learned them."""
    if found.swap[index] >= SUSPECT:
        mine = found.swapped[index]
        fit = int((found.turned[index] & mine).sum())
        said = f"left and right look swapped: {fit} of {int(mine.sum())} keypoints fit better the other way"
    else:
        said = ", ".join(point["reason"] for point in points[: queue.TOP])
    learned = not any(point["unseen"] for point in points)
    return f"{said} (weak: both students have learned these labels)" if learned else said
