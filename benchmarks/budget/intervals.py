"""How sure a difference between two arms is: people drawn again, alike for both arms, and few seeds count as few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.budget.scores import Rows, matches_of
from posestudio.core.average_precision import LEVEL, average_precision

CHUNK = 100


@dataclass(frozen=True, slots=True)
class Gain:
    """AP of one arm over another, in [-1, 1], and relative to it; each with its central 95 %. seeds: how many."""

    value: float
    interval: tuple[float, float]
    relative: float
    relative_interval: tuple[float, float]
    seeds: int


def weights_of(people: int, draws: int, seed: int = 0) -> np.ndarray:
    """(draws + 1, people) how often each counts: once in the first row, then as drawn with replacement."""
    random = np.random.default_rng(seed)
    drawn = random.multinomial(people, np.full(people, 1 / people), size=draws)
    return np.concatenate([np.ones((1, people)), drawn.astype(np.float64)])


def seed_weights(seeds: int, draws: int, seed: int = 1) -> np.ndarray:
    """(draws + 1, seeds) how much each seed counts: alike at first, then so that means vary as other seeds would.

    Deviations from the mean are weighed so that the weighted mean of k seeds follows Student's t with k - 1 degrees of
    freedom. Drawing few seeds again with replacement would not do: of two it gives little more than their two values,
    and its 95 % cover the truth in half of all studies. One seed always counts 1: of its spread nothing is known.

    Source: Gosset 1908; the random weights are ours.
    """
    random = np.random.default_rng(seed)
    if seeds == 1:
        return np.ones((draws + 1, 1))
    away = random.standard_normal((draws + 1, seeds))
    away -= away.mean(axis=1, keepdims=True)
    away /= np.sqrt(seeds * random.chisquare(seeds - 1, (draws + 1, 1)))
    away[0] = 0
    return 1 / seeds + away


def mean_ap(students: Sequence[Rows], weights: np.ndarray) -> np.ndarray:
    """AP (R,) under each weighting (R, people), the mean of the students; these hold the same people in one order."""
    total = np.zeros(len(weights))
    for rows in students:
        matches = matches_of(rows)
        for at in range(0, len(weights), CHUNK):
            total[at : at + CHUNK] += average_precision(matches, weights[at : at + CHUNK])
    return total / len(students)


def gain(
    first: Mapping[int, np.ndarray], second: Mapping[int, np.ndarray], seed: int = 1
) -> Gain | None:
    """AP of the second arm over the first, paired by seed and by draw: people drawn again, seeds weighed anew.

    Args:
        first: `mean_ap` (R,) by seed; row 0 is the sample itself.
        second: the same of the other arm, under the same weights.
        seed: of the seeds' weights.

    Returns:
        None without a common seed. With one seed only people are drawn again.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    old, new = (np.stack([arm[key] for key in common], axis=1) for arm in (first, second))
    count, base = len(common), old.mean(axis=1)
    apart = ((new - old) * seed_weights(count, len(old) - 1, seed)).sum(axis=1)
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    relative = np.where(base > 0, apart / np.maximum(base, 1e-9), 0.0)
    low, high = np.quantile(apart[1:], ends)
    part_low, part_high = np.quantile(relative[1:], ends)
    return Gain(
        float(apart[0]), (float(low), float(high)),
        float(relative[0]), (float(part_low), float(part_high)), count,
    )  # fmt: skip
