"""Isotonic calibration against plain definitions."""

import itertools

import numpy as np
import pytest

from posestudio.core.calibrate import (
    fit,
    fit_errors,
    graded,
    logistic,
    pool_adjacent,
    ranks,
)


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
    assert curve(score).mean() == pytest.approx(wrong.mean(), abs=0.002)
    assert len(curve.knots) == len(np.unique(score))
    assert np.abs(curve(np.array([0.1, 0.5, 0.9])) - [0.1, 0.5, 0.9]).max() < 0.15


def test_fit_is_flat_beyond_its_ends():
    curve = fit(np.array([1.0, 2.0]), np.array([False, True]))
    assert curve(np.array([-5.0, 1.5, 9.0])).tolist() == pytest.approx([1 / 3, 1 / 2, 2 / 3])


def test_a_few_never_make_certain_and_many_nearly():
    for count, bound in ((2, 0.2), (20, 0.01), (1000, 1e-5)):
        score = np.arange(float(count))
        assert 0 < fit(score, np.zeros(count, bool))(score).max() < bound
        assert 1 - bound < fit(score, np.ones(count, bool))(score).min() < 1


def test_ranks_with_ties_and_gaps():
    values = np.array([3.0, 1.0, 3.0, np.nan, 2.0])
    np.testing.assert_allclose(ranks(values), [0.75, 0.125, 0.75, np.nan, 0.375])
    np.testing.assert_allclose(ranks(np.array([0.0, 2.0, 9.0]), values), [0, 0.375, 1])
    assert ranks(np.array([[4.0, 4.0]])).tolist() == [[0.5, 0.5]]
    assert np.isnan(ranks(np.array([np.nan]))).all()


def graded_people(count, seed, kinds=5, size=4):
    """Grades of people whose first number tells of errors, whose second tells a little, the others nothing."""
    draw = np.random.default_rng(seed)
    values = draw.normal(size=(count, kinds, size))
    chance = 1 / (1 + np.exp(-(2 * values[..., 0] + 0.5 * values[..., 1] - 0.5)))
    return values, draw.uniform(size=(count, kinds)) < chance, chance


def fitted(values, wrong):
    person, keypoint = np.nonzero(np.ones(wrong.shape, bool))
    grades = graded(values, np.ones(wrong.shape, bool))
    rows = grades.reshape(-1, grades.shape[-1])
    return fit_errors(rows, keypoint, wrong.ravel(), person, wrong.shape[1]), grades


def test_grades_have_one_scale_whatever_the_numbers_are():
    values, _, _ = graded_people(50, 0)
    grades = graded(values, np.ones(values.shape[:2], bool))
    assert grades.shape == (50, 5, 5)
    np.testing.assert_allclose(grades.mean(axis=(0, 1)), 0, atol=1e-9)
    np.testing.assert_allclose(grades.std(axis=(0, 1)), 1, atol=0.01)
    again = graded(np.exp(3 * values), np.ones(values.shape[:2], bool))
    np.testing.assert_allclose(again[..., :4], grades[..., :4])
    values[7, 2, 1] = np.nan
    assert np.isnan(graded(values, np.ones(values.shape[:2], bool))[7, 2]).all()


def test_the_last_grade_is_that_of_the_persons_other_keypoints():
    values = np.zeros((4, 3, 1))
    values[2, 0] = 5.0  # the others of person 2 have bad company, itself has not
    company = graded(values, np.ones((4, 3), bool))[..., -1]
    assert company[2, 1] == company[2, 2] == company.max()
    assert company[2, 0] == company[0, 0] == company.min()


def test_logistic_is_the_maximum_of_the_penalized_likelihood():
    draw = np.random.default_rng(3)
    table = np.column_stack([np.ones(80), draw.normal(size=(80, 2))])
    wrong = draw.uniform(size=80) < 0.4
    penalty = np.array([0.1, 1.0, 2.0])

    def loss(at):
        score = table @ at
        return (np.logaddexp(0, score) - wrong * score).sum() + (penalty * at**2).sum() / 2

    found = logistic(table, wrong, penalty)
    for column in range(3):
        for step in (-1e-3, 1e-3):
            assert loss(found + step * np.eye(3)[column]) > loss(found)


def test_logistic_stands_separable_and_one_sided_labels():
    table = np.column_stack([np.ones(40), np.linspace(-1, 1, 40)])
    assert np.isfinite(logistic(table, table[:, 1] > 0, np.array([1e-6, 1e-2]))).all()
    assert np.isfinite(logistic(table, np.zeros(40, bool), np.array([1e-6, 1e-2]))).all()


def test_many_keypoints_give_each_number_its_own_weight_and_true_probabilities():
    values, wrong, _ = graded_people(800, 1)
    model, _ = fitted(values, wrong)
    assert model.weight[0] > 3 * model.weight[1] > 0
    assert np.abs(model.weight[2:4]).max() < 0.1 * model.weight[0]
    fresh, _, chance = graded_people(400, 2)
    found = model(graded(fresh, np.ones(chance.shape, bool)))
    assert np.abs(found - chance).mean() < 0.05
    assert abs(found.mean() - chance.mean()) < 0.03


def test_few_keypoints_stay_near_the_mean_of_the_grades():
    values, wrong, _ = graded_people(30, 1)  # 150 keypoints
    model, grades = fitted(values, wrong)
    assert (model.weight[:4] > 0).all() and model.weight[:4].max() < 8 * model.weight[:4].min()
    found = model(grades)
    assert ((found > 0) & (found < 1)).all()
    assert abs(found.mean() - wrong.mean()) < 0.05


def test_a_kind_of_keypoint_that_is_always_wrong_is_known_for_it():
    values, wrong, _ = graded_people(400, 4)
    wrong[:, 3] = True
    model, grades = fitted(values, wrong)
    found = model(grades).mean(axis=0)
    assert found[3] > 0.85 > 0.6 > np.delete(found, 3).max()


def test_a_missing_grade_gives_no_probability():
    values, wrong, _ = graded_people(50, 5)
    model, grades = fitted(values, wrong)
    grades[3, 1, 2] = np.nan
    found = model(grades)
    assert np.isnan(found[3, 1]) and np.isfinite(np.delete(found.ravel(), 16)).all()
