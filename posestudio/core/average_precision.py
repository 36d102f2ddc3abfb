"""How sure an average precision is: COCO's AP computed again on resampled images.

pycocotools gives the number; this module takes its matches and repeats the last step, from matches to AP, with every
unit (an image, or a group of images that belong together) counted a random number of times. numpy in float64.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read. Source: pycocotools cocoeval.py, Params.setKpParams."""

LEVEL = 0.95
"""Of every interval given here."""


_ALL, _50, _75 = slice(None), slice(0, 1), slice(5, 6)
COLUMNS = {
    "AP": (0, 0, _ALL), "AP50": (0, 0, _50), "AP75": (0, 0, _75), "APm": (1, 0, _ALL), "APl": (2, 0, _ALL),
    "AR": (0, 1, _ALL), "AR50": (0, 1, _50), "AR75": (0, 1, _75), "ARm": (1, 1, _ALL), "ARl": (2, 1, _ALL),
}  # fmt: skip
"""Each of COCO's numbers: size of people, precision or recall, thresholds of 0.5, 0.55, ... 0.95."""


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
    return by_threshold(matches, weights)[0].mean(axis=0)


def by_threshold(matches: Matches, weights: Array) -> tuple[Array, Array]:
    """Interpolated precision, and recall, (T, R) at each threshold; arguments and NaN as in `average_precision`."""
    order = np.argsort(-matches.score, kind="mergesort")
    each = weights[:, matches.unit[order]]
    people = weights @ matches.positives
    means, recalls = [], []
    for right, wrong in zip(matches.right[:, order], matches.wrong[:, order], strict=True):
        found = np.cumsum(each * right, axis=1)
        false = np.cumsum(each * wrong, axis=1)
        recall = found / np.maximum(people, 1e-300)[:, None]
        precision = found / (false + found + np.spacing(1))
        best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        means.append([_read(row, reach) for row, reach in zip(best, recall, strict=True)])
        recalls.append(recall[:, -1] if recall.shape[1] else np.zeros(len(weights)))
    somebody = people > 0
    return np.where(somebody, np.array(means), np.nan), np.where(
        somebody, np.array(recalls), np.nan
    )


def intervals(
    by_size: Sequence[Matches], *, count: int = 500, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """The central 95 % of COCO's ten numbers in bootstrap samples of the units, drawn as in `resampled`.

    Args:
        by_size: matches of people of all sizes, medium and large ones; the same units.
        count: bootstrap samples.
        seed: of the draws.

    Returns:
        By the number's name, None with fewer than two units or nobody of that size.
    """
    units = len(by_size[0].positives)
    if units < 2:
        return dict.fromkeys(COLUMNS)
    drawn = np.random.default_rng(seed).multinomial(units, np.full(units, 1 / units), size=count)
    found = [by_threshold(one, drawn.astype(np.float64)) for one in by_size]
    values = {
        name: found[size][recall][levels].mean(axis=0)
        for name, (size, recall, levels) in COLUMNS.items()
    }
    return {name: _central(value) for name, value in values.items()}


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
    return _central(values)


def _central(values: Array) -> tuple[float, float] | None:
    """The central share LEVEL of the values that are known, or None."""
    known = values[~np.isnan(values)]
    if len(known) < 2:
        return None
    low, high = np.quantile(known, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _read(best: Array, recall: Array) -> float:
    """Mean of the interpolated precision at RECALLS; 0 beyond the highest recall."""
    places = np.searchsorted(recall, RECALLS, side="left")
    return float(best[places[places < len(best)]].sum() / len(RECALLS))
