"""Turn scores into probabilities that mean what they say. Pure numpy."""

from dataclasses import dataclass

import numpy as np


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

    Equal scores share one value.

    Args:
        score: (N,) finite scores, N at least 1, higher is worse.
        wrong: (N,) bool.

    Returns:
        The map. Its mean over the given scores is the share of wrong ones.
    """
    knots, place, counts = np.unique(
        np.asarray(score, dtype=np.float64), return_inverse=True, return_counts=True
    )
    share = np.bincount(place.reshape(-1), weights=np.asarray(wrong, dtype=np.float64)) / counts
    return Isotonic(knots, pool_adjacent(share, counts))
