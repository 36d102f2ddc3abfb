"""Precision and recall of pseudo-labels, counted by hand."""

import numpy as np
import pytest

from posestudio.core import hindsight


def test_targets_are_counted_once_for_each_student_that_learned_them():
    # two voters' offers for four keypoints, two students
    gap = np.array([0.1, 0.4, 0.2, 0.05, 0.3, 0.3, 0.0, 0.15])
    taught = np.array([2, 0, 1, 1, 0, 0, 0, 2])
    found = hindsight.tally(
        gap, taught, voters=2, students=2, tolerance=0.15, group=np.array([0, 0, 0, 0, 1, 1, 2, 2]),
        groups=4,
    )  # fmt: skip
    assert found.asked.tolist() == [4, 2, 2, 0]
    assert found.told.tolist() == [4, 0, 2, 0]
    assert found.right.tolist() == [3, 0, 2, 0]
    assert found.precision.tolist()[0] == 0.75 and found.precision.tolist()[2] == 1.0
    assert found.recall.tolist()[:3] == [0.75, 0.0, 1.0]
    assert np.isnan(found.precision[1]) and np.isnan(found.recall[3])


def test_one_student_of_two_voters_is_asked_once():
    found = hindsight.tally(
        np.array([0.1, 0.4]), np.array([0, 1]), voters=2, students=1, tolerance=0.15,
        group=np.zeros(2, int), groups=1,
    )  # fmt: skip
    assert (found.asked[0], found.told[0], found.right[0]) == (1, 1, 0)
    assert found.precision[0] == pytest.approx(0.0)
