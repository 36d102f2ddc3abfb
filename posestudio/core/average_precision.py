"""How sure an average precision is: COCO's AP computed again on resampled images.

pycocotools gives the number; this module takes its matches and repeats the last step, from matches to AP, with every
unit (an image, or a group of images that belong together) counted a random number of times. numpy in float64.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read. Source: pycocotools cocoeval.py, Params.setKpParams."""

LEVEL = 0.95
"""Of every interval given here."""


@dataclass(frozen=True, slots=True)
class Matches:
    """D detections of U units, matched to labels at T thresholds of OKS.

    score: (D,), in the order in which ties are kept. unit: (D,) indices 0..U-1. right, wrong: (T, D) bool, the
    detection found a person, or nobody; both False where COCO ignores it. positives: (U,) people to be found.
    """

    score: Array
    unit: NDArray[np.int64]
    right: NDArray[np.bool_]
    wrong: NDArray[np.bool_]
    positives: NDArray[np.int64]


def average_precision(matches: Matches, weights: Array) -> Array:
    """Mean over thresholds of the interpolated precision, once for each weighting of the units.

    Args:
        matches: what was found.
        weights: (R, U), how often each unit counts; all ones give pycocotools' AP.

    Returns:
        (R,) in [0, 1]; NaN where no unit that counts has anybody to be found.
    """
    order = np.argsort(-matches.score, kind="mergesort")
    each = weights[:, matches.unit[order]]
    people = weights @ matches.positives
    total = np.zeros(len(weights))
    for right, wrong in zip(matches.right[:, order], matches.wrong[:, order], strict=True):
        found = np.cumsum(each * right, axis=1)
        false = np.cumsum(each * wrong, axis=1)
        recall = found / np.maximum(people, 1e-300)[:, None]
        precision = found / (false + found + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        total += [_read(row, reach) for row, reach in zip(best, recall, strict=True)]
    return np.where(people > 0, total / len(matches.right), np.nan)


def resampled(
    matches: Matches, over: Matches | None = None, *, count: int = 500, seed: int = 0
) -> tuple[float, float] | None:
    """The central 95 % of AP, or of its gain over other matches, in bootstrap samples of the units.

    Args:
        matches: what was found.
        over: matches of other predictions for the same units; both are resampled alike.
        count: bootstrap samples.
        seed: of the draws.

    Returns:
        Its ends, or None with fewer than two units or nobody to be found.
    """
    units = len(matches.positives)
    if units < 2:
        return None
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=count)
    values = average_precision(matches, drawn.astype(np.float64))
    if over is not None:
        values = values - average_precision(over, drawn.astype(np.float64))
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _read(best: Array, recall: Array) -> float:
    """Mean of the interpolated precision at RECALLS; 0 beyond the highest recall."""
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(best[places[places < len(best)]].sum() / len(RECALLS))
