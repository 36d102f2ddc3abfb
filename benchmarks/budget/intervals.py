"""How sure a difference between two arms is: seeds and people who judge drawn again together, alike for both arms."""

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
    """AP of the second arm over the first, paired by seed and by draw.

    Args:
        first: `mean_ap` (R,) by seed; row 0 is the sample itself.
        second: the same of the other arm, under the same weights.
        seed: of the draws of seeds.

    Returns:
        None without a common seed. With one seed only people are drawn again.
    """
    common = sorted(first.keys() & second.keys())
    if not common:
        return None
    one, other = (np.stack([arm[key] for key in common], axis=1) for arm in (first, second))
    count, draws = len(common), len(one)
    picked = np.random.default_rng(seed).integers(0, count, (draws, count))
    picked[0] = np.arange(count)
    old, new = (np.take_along_axis(arm, picked, axis=1).mean(axis=1) for arm in (one, other))
    ends = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]
    relative = np.where(old > 0, new / np.maximum(old, 1e-9) - 1, 0.0)
    low, high = np.quantile((new - old)[1:], ends)
    part_low, part_high = np.quantile(relative[1:], ends)
    return Gain(
        float(new[0] - old[0]), (float(low), float(high)),
        float(relative[0]), (float(part_low), float(part_high)), count,
    )  # fmt: skip
