"""Turn numbers into probabilities that mean what they say, and measure how well they do. Pure numpy.

    grades = graded(values, among)                 each number as its rank among others, so that scales do not matter
    model  = fit_errors(grades, ...)               a small logistic regression, then a rising curve, both cross-fitted
    model(grades)                                  the probability of an error

The metrics are in `core/trust.py`.
"""

from dataclasses import dataclass

import numpy as np

FOLDS = 5
"""Parts of the people for cross-fitting. Ours."""

TOGETHER = 100.0
"""Penalty on the squared differences of weights from their common value: keypoints' worth. Ours, on 100 labels."""

ALIKE = 20.0
"""Penalty on the squared intercept of each kind of keypoint. Ours, on 100 labels."""

SMOOTH = 1000.0
"""Keypoints at which the isotonic curve counts as much as the logistic one. Ours."""


HELD = 2.0
"""Scores' worth that hold each step of a fitted curve towards the overall share of errors."""


@dataclass(frozen=True, slots=True)
class Isotonic:
    """A rising map from a score to a probability.

    knots: (M,) scores, rising. values: (M,) probabilities in [0, 1], never falling. Between knots the map is
    linear; beyond the ends it is flat.
    """

    knots: np.ndarray
    values: np.ndarray

    def __call__(self, score: np.ndarray) -> np.ndarray:
        """Map scores of any shape to probabilities of the same shape."""
        return np.interp(np.asarray(score, dtype=np.float64), self.knots, self.values)


def pool_adjacent(values: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """Find the closest never-falling sequence in weighted squared error.

    Pools adjacent violators: neighbors that fall are replaced by their weighted mean until none is left.

    Args:
        values: (N,) finite numbers in the order of their score.
        weight: (N,) positive weights; ones when absent.

    Returns:
        (N,) fitted values.

    Source: Ayer et al. 1955, the pool-adjacent-violators algorithm.
    """
    weights = np.ones(len(values)) if weight is None else np.asarray(weight, dtype=np.float64)
    means: list[float] = []
    masses: list[float] = []
    counts: list[int] = []
    for value, mass in zip(np.asarray(values, dtype=np.float64), weights, strict=True):
        means.append(float(value))
        masses.append(float(mass))
        counts.append(1)
        while len(means) > 1 and means[-2] >= means[-1]:
            total = masses[-2] + masses[-1]
            means[-2] = (means[-2] * masses[-2] + means[-1] * masses[-1]) / total
            masses[-2] = total
            counts[-2] += counts[-1]
            del means[-1], masses[-1], counts[-1]
    return np.repeat(means, counts)


def fit(score: np.ndarray, wrong: np.ndarray) -> Isotonic:
    """Fit the probability of being wrong as a rising function of a score.

    Equal scores share one value. Each step of the map is held towards the overall share as by HELD scores more, so
    that a few that were all wrong, or all right, do not make what comes certain.

    Args:
        score: (N,) finite scores, N at least 1, higher is worse.
        wrong: (N,) bool.

    Returns:
        The map. Its mean over the given scores is nearly the share of wrong ones.

    Source: Laplace's rule of succession, on the steps of an isotonic regression.
    """
    knots, place, counts = np.unique(
        np.asarray(score, dtype=np.float64), return_inverse=True, return_counts=True
    )
    share = np.bincount(place.reshape(-1), weights=np.asarray(wrong, dtype=np.float64)) / counts
    steps = pool_adjacent(share, counts)
    _, step = np.unique(steps, return_inverse=True)
    size = np.bincount(step, weights=counts)[step]
    overall = (np.sum(wrong) + 1) / (np.size(wrong) + 2)
    held = (size * steps + HELD * overall) / (size + HELD)
    return Isotonic(knots, pool_adjacent(held, counts))


def ranks(values: np.ndarray, among: np.ndarray | None = None) -> np.ndarray:
    """Share of the finite values of `among` that are smaller, equal ones counted half; NaN stays.

    Args:
        values: any shape.
        among: any shape; `values` when absent.

    Returns:
        The shape of `values`, in [0, 1]; 0.5 where `among` holds nothing finite or one value only.
    """
    known = np.isfinite(values)
    others = np.asarray(values if among is None else among, dtype=np.float64)
    others = np.sort(others[np.isfinite(others)])
    found = np.where(known, 0.5, np.nan)
    if len(others) and others[0] < others[-1]:
        below = np.searchsorted(others, values[known], "left")
        upto = np.searchsorted(others, values[known], "right")
        found[known] = (below + upto) / 2 / len(others)
    return found


def graded(values: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Every number as its grade: its rank among others, centred and scaled to variance 1; last, the person's others.

    The last grade of a keypoint is that of the mean over the other keypoints of the same person: where a person is
    upside down or hidden, all its keypoints are worse. Grades of two students together and of one alone are
    comparable, as each is graded among its like.

    Args:
        values: (N, K, F), higher is worse, NaN where unknown.
        among: (N, K) bool, the keypoints that the ranks are taken among.

    Returns:
        (N, K, F + 1), NaN where a value is unknown.

    Source: ours.
    """
    known = np.asarray(np.isfinite(values).all(axis=-1))
    among = among & known if (among & known).any() else known
    columns = [_centred(values[..., f], known, among) for f in range(values.shape[-1])]
    mean = np.where(known, np.mean(columns, axis=0), 0.0)
    others = np.maximum(known.sum(axis=1, keepdims=True) - 1, 1)
    company = np.round(
        (mean.sum(axis=1, keepdims=True) - mean) / others, 9
    )  # so that ties stay ties
    return np.stack([*columns, _centred(company, known, among)], axis=-1)


def _centred(values: np.ndarray, known: np.ndarray, among: np.ndarray) -> np.ndarray:
    return np.sqrt(12) * (ranks(np.where(known, values, np.nan), values[among]) - 0.5)


@dataclass(frozen=True, slots=True)
class ErrorModel:
    """The probability of an error from grades.

    weight: (F,). offset: (K,) intercept of each kind of keypoint. line: (2,) intercept and slope of the logistic curve
    over the weighted sum. curve: the isotonic one. trust: share of the isotonic one in the result.
    """

    weight: np.ndarray
    offset: np.ndarray
    line: np.ndarray
    curve: Isotonic
    trust: float

    def __call__(self, grades: np.ndarray) -> np.ndarray:
        """Probabilities (..., K) of grades (..., K, F); NaN where a grade is."""
        known = np.isfinite(grades).all(axis=-1)
        score = np.nan_to_num(grades) @ self.weight + self.offset
        smooth = _sigmoid(self.line[0] + self.line[1] * score)
        chance = (1 - self.trust) * smooth + self.trust * self.curve(score)
        return np.where(known, chance, np.nan)


def fit_errors(
    grades: np.ndarray, keypoint: np.ndarray, wrong: np.ndarray, person: np.ndarray, kinds: int
) -> ErrorModel:
    """Fit the probability of being wrong to graded keypoints whose errors are known.

    A logistic regression whose weights are drawn together, so that few keypoints give the mean of the grades and many
    give each its own weight; then a logistic and an isotonic curve over scores of people that were not fitted.

    Args:
        grades: (M, F) finite.
        keypoint: (M,) in 0..kinds - 1.
        wrong: (M,) bool.
        person: (M,) any number; a person's keypoints are never on both sides of a cross-fit.
        kinds: K.

    Returns:
        The model.

    Source: logistic regression by Newton's method; Platt 1999 for the curve over held-out scores; the penalties, the
    mixture of both curves and their numbers are ours.
    """
    table = _table(grades, keypoint, kinds)
    penalty = np.concatenate([
        [1e-6, 1e-2], np.full(grades.shape[1], TOGETHER), np.full(kinds, ALIKE),
    ])  # fmt: skip
    part = np.unique(person, return_inverse=True)[1].reshape(-1) % FOLDS
    score = np.zeros(len(wrong))
    for number in np.unique(part):
        mine = part == number
        score[mine] = table[mine] @ logistic(table[~mine], wrong[~mine], penalty)
    found = logistic(table, wrong, penalty)
    line = logistic(np.stack([np.ones_like(score), score], axis=1), wrong, np.array([1e-6, 1e-2]))
    size = grades.shape[1]
    return ErrorModel(
        weight=found[2 : 2 + size] + found[1] / size,
        offset=found[2 + size :] + found[0],
        line=line,
        curve=fit(score, wrong),
        trust=len(wrong) / (len(wrong) + SMOOTH),
    )


def logistic(table: np.ndarray, wrong: np.ndarray, penalty: np.ndarray) -> np.ndarray:
    """Logistic regression with a quadratic penalty on each coefficient.

    Args:
        table: (M, C); a constant column is the intercept. M may be 0.
        wrong: (M,) bool.
        penalty: (C,) above 0.

    Returns:
        (C,) coefficients, where the penalized likelihood is highest.

    Source: Newton's method (iteratively reweighted least squares), with halved steps where it would overshoot.
    """
    target = np.asarray(wrong, dtype=np.float64)
    found = np.zeros(table.shape[1])

    def loss(at: np.ndarray) -> float:
        score = table @ at
        return float((np.logaddexp(0, score) - target * score).sum() + (penalty * at**2).sum() / 2)

    now = loss(found)
    for _ in range(100):
        chance = _sigmoid(table @ found)
        slope = table.T @ (chance - target) + penalty * found
        bend = (table * (chance * (1 - chance))[:, None]).T @ table + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        size = 1.0
        while (then := loss(found - size * step)) > now and size > 1e-6:
            size /= 2
        found, now = found - size * step, then
        if np.abs(size * step).max() < 1e-9:
            break
    return found


def _table(grades: np.ndarray, keypoint: np.ndarray, kinds: int) -> np.ndarray:
    """(M, 2 + F + K): one, the mean grade, the grades, and which keypoint it is."""
    count = len(grades)
    which = np.zeros((count, kinds))
    which[np.arange(count), keypoint] = 1.0
    return np.concatenate(
        [np.ones((count, 1)), grades.mean(axis=1, keepdims=True), grades, which], axis=1
    )


def _sigmoid(score: np.ndarray) -> np.ndarray:
    return np.exp(-np.logaddexp(0, -score))
