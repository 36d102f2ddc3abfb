"""Thresholds that are read off labels nobody trained on, and runs that use them."""

import json
from pathlib import Path

import numpy as np
import pytest

from posestudio.errors import TrainingError
from posestudio.train import session, thresholds, validate, worker
from tests.train import people


def test_least_peak_is_the_lowest_that_keeps_the_precision():
    score = np.array([[0.6], [0.5], [0.4], [0.3], [0.2]])
    right = np.array([[1.0], [1.0], [0.0], [1.0], [0.0]])
    assert thresholds.least_peaks(score, right, 1.0).tolist() == [0.5]
    assert thresholds.least_peaks(score, right, 0.75).tolist() == [0.3]
    assert thresholds.least_peaks(score, right, 0.6).tolist() == [0.2]
    assert thresholds.least_peaks(score, 0 * right, 0.5).tolist() == [thresholds.LIMITS[1]]


def test_a_keypoint_with_enough_labels_has_a_threshold_of_its_own():
    rng = np.random.default_rng(0)
    score = rng.uniform(0.1, 0.7, (200, 2))
    right = (score > [0.3, 0.5]).astype(float)
    found = thresholds.least_peaks(score, right, 0.95)
    assert found[0] == pytest.approx(0.28, abs=0.03) and found[1] == pytest.approx(0.49, abs=0.03)
    right[thresholds.LEAST_ALONE - 1 :, 1] = np.nan
    few = thresholds.least_peaks(score, right, 0.95)
    assert few[0] == found[0] and few[0] < few[1] < found[1]


def test_a_run_calibrates_on_what_the_run_before_hid(tmp_path: Path):
    points = people.draw(tmp_path / "images", 12)
    split = np.array(["train"] * 8 + ["unlabeled"] * 4)
    people.write_snapshot(tmp_path, people.people(points, split))
    start = people.make_run(tmp_path, "start", "supervised", changes={"data.cross_fit": 0.25})
    worker.run(start.path)
    run = people.make_run(tmp_path, "run", "paper", changes={"pool.gate": "calibrated"})
    with pytest.raises(TrainingError, match="labels that no student saw"):
        worker.run(run.path)
    run.write_json("run.json", {**run.record(), "from": "start"})
    assert worker.run(run.path)["steps"] == 3
    written = json.loads((run.path / thresholds.FILE).read_text())
    assert written["people"] == 4 and len(written["threshold"]) == 4
    low, high = thresholds.LIMITS
    assert all(low <= value <= high for value in written["threshold"])


def test_a_fold_that_the_run_before_learned_judges_nothing(tmp_path: Path):
    points = people.draw(tmp_path / "images", 12)
    split = np.array(["train"] * 8 + ["unlabeled"] * 4)
    fold = np.arange(12) < 3
    people.write_snapshot(tmp_path, people.people(points, split, fold=fold))
    changes = {"data.cross_fit": 0.25, "data.hold_fold": False, "train.seed": 1}
    worker.run(people.make_run(tmp_path, "start", "supervised", changes=changes).path)
    run = people.make_run(
        tmp_path, "run", "paper", changes={"pool.gate": "calibrated", "data.hold_fold": True}
    )
    run.write_json("run.json", {**run.record(), "from": "start"})
    opened = session.open_session(run, steps=3)
    hid = [set(map(int, np.flatnonzero(~mine.any(axis=1)[:8]))) for mine in opened.learned]
    assert [len(one) for one in hid] == [2, 2]
    assert [set(map(int, who)) for who in validate.judged_on(opened)] == [
        one & {0, 1, 2} for one in hid
    ]
    judges = thresholds.unseen(opened.snapshot.people, opened.learned, opened.config, begun=True)
    kept = [set(map(int, np.flatnonzero(mine.any(axis=1)))) for mine in judges]
    assert kept == [one & {0, 1, 2} for one in hid] and any(kept)
