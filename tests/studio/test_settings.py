"""What is trained when nobody says how."""

import pytest

from posestudio.studio import demo, settings, training
from posestudio.studio.studio import Studio


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
    assert settings.advised(start, unlabeled) == method


def test_a_run_without_a_method_takes_the_advised_one(tmp_path):
    demo.make_demo(tmp_path / "p", seed=5, counts={"train": 6, "val": 2}, labeled=4)
    studio = Studio(tmp_path / "p")
    first = training.start(studio, size="tiny")["run_id"]
    students = studio.call("newest_run")["run_id"]  # those of the demo
    second = training.start(studio, from_run=students)["run_id"]
    named = training.start(studio, preset="paper", from_run=students)["run_id"]
    found = [studio.call("run", run=run)["preset"] for run in (first, second, named)]
    assert found == ["supervised", "best", "paper"]
