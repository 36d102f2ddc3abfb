"""How near predicted keypoints are to labels: OKS, PCK and the kinds of error. numpy in float64; pixels of the image.

COCO's average precision is left to pycocotools (`posestudio.evaluate`); this room explains the number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ERROR_KINDS = ("good", "jitter", "inversion", "swap", "miss")
"""Kinds of error in the order of the numbers of `error_kinds`."""

JITTER_MIN, GOOD_MIN = 0.5, 0.85
"""OKS terms from which a keypoint counts as found, and as found well. Source: Ronchi and Perona 2017."""


def oks_terms(
    xy_pred: Array, xy_true: Array, visibility: NDArray, area: Array, sigmas: Array
) -> Array:
    """Similarity of every keypoint to its label: exp(-d^2 / (2 area (2 sigma)^2)).

    Args:
        xy_pred: (N, K, 2); a keypoint that is not finite has similarity 0.
        xy_true: (N, K, 2); what is not visible may be anything.
        visibility: (N, K), above 0 where there is a label.
        area: (N,) in square pixels.
        sigmas: (K,), Skeleton.oks_sigmas.

    Returns:
        (N, K) in [0, 1]; NaN where there is no label.

    Source: pycocotools cocoeval.py, COCOeval.computeOks.
    """
    gap = np.asarray(xy_pred, float) - np.asarray(xy_true, float)
    term = _similarity(gap, np.asarray(area, float)[:, None], np.asarray(sigmas, float))
    return np.where(np.asarray(visibility) > 0, term, np.nan)


def oks(xy_pred: Array, xy_true: Array, visibility: NDArray, area: Array, sigmas: Array) -> Array:
    """COCO's object keypoint similarity of each person: the mean of `oks_terms` over labeled keypoints.

    Takes the arguments of `oks_terms`.

    Returns:
        (N,) in [0, 1]; NaN for a person without a label, whom COCO ignores.
    """
    return _mean(oks_terms(xy_pred, xy_true, visibility, area, sigmas), axis=1)


class Pck(NamedTuple):
    """Share of labeled keypoints that are found: over all, and (K,) for each; NaN where none is labeled."""

    overall: float
    per_keypoint: Array


def pck(xy_pred: Array, xy_true: Array, visibility: NDArray, length: Array, fraction: float) -> Pck:
    """Share of labeled keypoints within a fraction of a person's length of their label.

    Args:
        xy_pred: (N, K, 2); a keypoint that is not finite is not found.
        xy_true: (N, K, 2).
        visibility: (N, K), above 0 where there is a label.
        length: (N,) in pixels, such as the longer side of the box, the torso or the head.
        fraction: of that length.
    """
    gap = distances(xy_pred, xy_true, visibility)
    found = np.where(np.isinf(gap), 0.0, gap <= fraction * np.asarray(length, float)[:, None])
    found = np.where(np.isnan(gap), np.nan, found)
    return Pck(float(_mean(found.reshape(1, -1), axis=1)[0]), _mean(found, axis=0))


def distances(xy_pred: Array, xy_true: Array, visibility: NDArray) -> Array:
    """Pixels (N, K) from each prediction to its label; NaN without a label, infinite without a prediction."""
    gap = np.linalg.norm(np.asarray(xy_pred, float) - np.asarray(xy_true, float), axis=-1)
    gap = np.where(np.isfinite(gap), gap, np.inf)
    return np.where(np.asarray(visibility) > 0, gap, np.nan)


def error_kinds(
    xy_pred: Array,
    xy_true: Array,
    visibility: NDArray,
    area: Array,
    sigmas: Array,
    *,
    flip_index: tuple[int, ...],
    image_id: NDArray,
) -> NDArray[np.int8]:
    """Say of every labeled keypoint how it went wrong.

    good: similarity 0.85 or more. jitter: 0.5 to 0.85. Below 0.5 it is an inversion if the prediction lies, by 0.5 or
    more, on the person's own mirror keypoint; a swap if it so lies on that keypoint or its mirror of another person in
    the image, and more so than on the own mirror keypoint; else a miss.

    Args:
        xy_pred: (N, K, 2).
        xy_true: (N, K, 2).
        visibility: (N, K), above 0 where there is a label.
        area: (N,) in square pixels; the person's own is taken for every comparison.
        sigmas: (K,), Skeleton.oks_sigmas.
        flip_index: K indices, Skeleton.flip_index.
        image_id: (N,), equal for people of one image.

    Returns:
        (N, K), an index into ERROR_KINDS; -1 where there is no label.

    Source: Ronchi and Perona 2017 (arXiv 1707.05388), section 3.1; the choice between inversion and swap by the
    larger similarity follows their code, coco-analyze.
    """
    pred, true = np.asarray(xy_pred, float), np.asarray(xy_true, float)
    labeled = np.asarray(visibility) > 0
    spread, size = np.asarray(sigmas, float), np.asarray(area, float)[:, None]
    mirror = np.asarray(flip_index)
    paired = mirror != np.arange(len(mirror))
    own = np.where(labeled, _similarity(pred - true, size, spread), np.nan)
    inverted = _similarity(pred - true[:, mirror], size, spread)
    inverted = np.where(labeled[:, mirror] & paired, inverted, 0.0)
    one, other = same_image(np.asarray(image_id))
    swapped = np.zeros_like(inverted)
    for order in (np.arange(len(mirror)), mirror):
        near = _similarity(pred[one] - true[other][:, order], size[one], spread)
        np.maximum.at(swapped, one, np.where(labeled[other][:, order], near, 0.0))
    kinds = np.select(
        [
            ~labeled,
            own >= GOOD_MIN,
            own >= JITTER_MIN,
            (inverted >= JITTER_MIN) & (inverted >= swapped),
            swapped >= JITTER_MIN,
        ],
        [-1, 0, 1, 2, 3],
        default=4,
    )
    return kinds.astype(np.int8)


def same_image(image_id: NDArray) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """All ordered pairs of different people of one image, as two index arrays of equal length."""
    order = np.argsort(image_id, kind="stable")
    _, group, count = np.unique(image_id, return_inverse=True, return_counts=True)
    first = np.cumsum(count) - count
    one = np.repeat(np.arange(len(image_id)), count[group])
    start = np.repeat(first[group], count[group])
    ends = np.cumsum(count[group])
    step = np.arange(len(one)) - np.repeat(ends - count[group], count[group])
    other = order[start + step]
    different = one != other
    return one[different], other[different]


def _similarity(gap: Array, area: Array, sigmas: Array) -> Array:
    """exp(-d^2 / (2 area (2 sigma)^2)) of gaps (N, K, 2); 0 where a gap is not finite."""
    squared = (gap**2).sum(-1) / (2 * sigmas) ** 2 / (area + np.spacing(1)) / 2
    return np.exp(-np.where(np.isfinite(squared), squared, np.inf))


def _mean(values: Array, axis: int) -> Array:
    """Mean without NaN, and NaN where there is nothing else, without a warning."""
    known = ~np.isnan(values)
    count = known.sum(axis)
    total = np.where(known, values, 0.0).sum(axis)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
