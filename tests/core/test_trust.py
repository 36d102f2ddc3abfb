"""Measures of a probability of error against hand values and plain definitions."""

import math

import numpy as np
import pytest

from posestudio.core import trust


def test_spearman_by_hand():
    assert trust.spearman(np.array([1.0, 2, 3]), np.array([10.0, 20, 90])) == pytest.approx(1)
    assert trust.spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, variances 4.5 and 5
    found = trust.spearman(np.array([0.0, 1, 1, 2]), np.array([1.0, 2, 3, 4]))
    assert found == pytest.approx(4.5 / math.sqrt(4.5 * 5))
    assert math.isnan(trust.spearman(np.ones(3), np.arange(3.0)))


@pytest.mark.parametrize("seed", range(5))
def test_auroc_equals_all_pairs(seed):
    draw = np.random.default_rng(seed)
    score, wrong = np.round(draw.uniform(size=60), 1), draw.uniform(size=60) < 0.3
    pairs = [
        1.0 if bad > good else 0.5 if bad == good else 0.0
        for bad in score[wrong]
        for good in score[~wrong]
    ]
    assert trust.auroc(score, wrong) == pytest.approx(np.mean(pairs))


def test_auroc_at_its_ends():
    assert trust.auroc(np.array([0.0, 0, 1, 1]), np.array([False, False, True, True])) == 1
    assert trust.auroc(np.zeros(4), np.array([False, False, True, True])) == 0.5
    assert math.isnan(trust.auroc(np.arange(3.0), np.zeros(3, bool)))


def test_risk_coverage_by_hand():
    wrong = np.array([False, True, False, True])
    # least doubtful first: right, wrong, right, wrong: risks 0, 1/2, 1/3, 1/2
    found = trust.risk_coverage(np.array([1.0, 2, 3, 4]), wrong)
    assert found == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    perfect = trust.risk_coverage(wrong.astype(float), wrong)
    assert perfect == pytest.approx((0 + 0 + 1 / 3 + 1 / 2) / 4)
    assert trust.risk_coverage(np.zeros(4), wrong) == pytest.approx(0.5)  # no order: the base rate


def test_ece_by_hand():
    probability = np.array([0.1, 0.1, 0.9, 0.9])
    wrong = np.array([False, False, True, False])
    assert trust.ece(probability, wrong, bins=2) == pytest.approx((0.1 + 0.4) / 2)
    assert trust.ece(np.array([0.0, 1.0]), np.array([False, True])) == 0
    draw = np.random.default_rng(0)
    chance = draw.uniform(size=20000)
    assert trust.ece(chance, draw.uniform(size=20000) < chance) < 0.02
    assert trust.ece(chance**2, draw.uniform(size=20000) < chance) > 0.1


def test_precision_of_the_most_doubtful():
    score = np.arange(10.0)
    wrong = np.array([0, 0, 0, 0, 0, 0, 1, 0, 1, 1], bool)
    assert trust.precision_at(score, wrong, 0.1) == 1
    assert trust.precision_at(score, wrong, 0.4) == pytest.approx(3 / 4)
    assert trust.precision_at(np.zeros(10), wrong, 0.1) == pytest.approx(0.3)  # ties count in part
