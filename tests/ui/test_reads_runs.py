"""What Train says and offers, without a browser."""

import pytest

from posestudio.ui import reads_runs


@pytest.mark.parametrize(
    ("start", "unlabeled", "method"),
    [
        (False, 80, "supervised"),
        (False, 0, "supervised"),
        (True, 0, "supervised"),
        (True, 80, "best"),
    ],
)
def test_students_learn_from_labels_before_they_teach_each_other(
    start: bool, unlabeled: int, method: str
):
    assert reads_runs.advised(start, unlabeled) == method
