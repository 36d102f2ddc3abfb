"""The line of a score over labels: exact on a line, honest on noise, silent below three counts."""

import numpy as np
import pytest

from posestudio.core import label_curve


def test_it_says_nothing_below_three_different_counts():
    assert label_curve.fit(np.array([50, 50, 50, 100]), np.array([0.1, 0.2, 0.1, 0.3])) is None
    assert label_curve.fit(np.array([]), np.array([])) is None


def test_a_perfect_line_is_found_with_no_width():
    people = np.array([50.0, 100, 200, 400])
    curve = label_curve.fit(people, 0.1 + 0.05 * np.log(people))
    assert curve is not None
    middle, half = curve.at(np.array([150.0]))
    assert middle[0] == pytest.approx(0.1 + 0.05 * np.log(150)) and half[0] == pytest.approx(
        0, abs=1e-9
    )
    gain, low, high = curve.gain(400, 400)
    assert gain == pytest.approx(0.05 * np.log(2)) and low == pytest.approx(gain) == pytest.approx(
        high
    )


def test_the_interval_of_the_gain_holds_the_truth_four_times_in_five():
    draw = np.random.default_rng(1)
    people = np.array([40.0, 60, 90, 140])
    truth = 0.06 * np.log((140 + 50) / 140)
    held = 0
    for _ in range(600):
        curve = label_curve.fit(people, 0.06 * np.log(people) + draw.normal(0, 0.02, 4))
        assert curve is not None
        _, low, high = curve.gain(140, 50)
        held += low <= truth <= high
    assert 0.76 < held / 600 < 0.84


def test_many_points_have_a_narrower_interval_than_three():
    people = np.linspace(50, 500, 30)
    noise = np.random.default_rng(0).normal(0, 0.02, 30)
    score = 0.05 * np.log(people) + noise
    many, few = label_curve.fit(people, score), label_curve.fit(people[::14], score[::14])
    assert many is not None and few is not None and many.t < few.t
