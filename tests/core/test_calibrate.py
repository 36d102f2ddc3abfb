"""Isotonic calibration against plain definitions."""

import itertools

import numpy as np
import pytest

from posestudio.core.calibrate import fit, pool_adjacent


def test_pool_adjacent_by_hand():
    assert pool_adjacent(np.array([1.0, 3.0, 2.0, 4.0])).tolist() == [1, 2.5, 2.5, 4]
    assert pool_adjacent(np.array([3.0, 2.0, 1.0])).tolist() == [2, 2, 2]
    assert pool_adjacent(np.array([4.0, 0.0]), np.array([3.0, 1.0])).tolist() == [3, 3]


@pytest.mark.parametrize("seed", range(20))
def test_pool_adjacent_equals_the_min_max_formula(seed):
    draw = np.random.default_rng(seed)
    values, weight = draw.normal(size=12), draw.uniform(0.5, 2, size=12)

    def mean(low, high):
        return np.average(values[low : high + 1], weights=weight[low : high + 1])

    expected = [
        max(min(mean(low, high) for high in range(place, 12)) for low in range(place + 1))
        for place in range(12)
    ]
    np.testing.assert_allclose(pool_adjacent(values, weight), expected, atol=1e-12)


def test_fit_rises_keeps_the_mean_and_handles_ties():
    draw = np.random.default_rng(0)
    score = np.round(draw.uniform(size=500), 1)
    wrong = draw.uniform(size=500) < score
    curve = fit(score, wrong)
    assert all(a <= b for a, b in itertools.pairwise(curve.values))
    assert curve(score).mean() == pytest.approx(wrong.mean())
    assert len(curve.knots) == len(np.unique(score))
    assert np.abs(curve(np.array([0.1, 0.5, 0.9])) - [0.1, 0.5, 0.9]).max() < 0.15


def test_fit_is_flat_beyond_its_ends():
    curve = fit(np.array([1.0, 2.0]), np.array([False, True]))
    assert curve(np.array([-5.0, 1.5, 9.0])).tolist() == [0, 0.5, 1]


def test_all_right_gives_zero():
    assert fit(np.array([1.0, 2.0]), np.array([False, False]))(np.array([3.0])) == 0
