"""The benchmark of error probabilities and suspect labels: its pure parts, and once through on drawn crosses."""

import argparse
import json

import numpy as np
import pytest

from benchmarks import error_probability as bench
from posestudio.core.skeleton import COCO17
from posestudio.store.snapshots import OPEN, PLACED
from tests.benchmarks import crosses
from tests.train import people as drawn


def rows(count=6, seed=0):
    points = np.random.default_rng(seed).uniform(0, 50, (count, 4, 2))
    return drawn.people(points, np.full(count, "train"))


def test_a_swapped_person_has_every_pair_exchanged_and_nobody_else_anything():
    people = rows()
    who = np.array([False, True, False, False, False, False])
    found = bench.swap(people, who, drawn.SKELETON.flip_index, kind="person", seed=0)
    assert (found.xy_image[1] == people.xy_image[1, [0, 2, 1, 3]]).all()
    assert (found.xy_image[~who] == people.xy_image[~who]).all()
    back = bench.swap(found, who, drawn.SKELETON.flip_index, kind="person", seed=0)
    assert (back.xy_image == people.xy_image).all()


def test_one_pair_is_a_labeled_one():
    points = np.random.default_rng(0).uniform(0, 50, (20, 17, 2))
    people = drawn.people(points, np.full(20, "train"))
    people.state[:, 5:11] = OPEN
    people.xy_image[:, 5:11] = np.nan
    found = bench.swap(people, np.ones(20, bool), COCO17.flip_index, kind="pair", seed=1)
    moved = (np.nan_to_num(found.xy_image) != np.nan_to_num(people.xy_image)).any(axis=2)
    assert (moved.sum(axis=1) == 2).all() and not moved[:, 5:11].any()
    assert len({tuple(np.flatnonzero(row)) for row in moved}) > 2


def test_a_state_moves_with_its_keypoint():
    people = rows()
    people.state[0, 1], people.xy_image[0, 1] = OPEN, np.nan
    found = bench.swap(people, np.ones(6, bool), drawn.SKELETON.flip_index, kind="person", seed=0)
    assert found.state[0].tolist() == [PLACED, PLACED, OPEN, PLACED]
    assert np.isnan(found.xy_image[0, 2]).all() and np.isfinite(found.xy_image[0, 1]).all()


def test_the_interval_of_a_better_measure_leaves_out_zero():
    draw = np.random.default_rng(0)
    person = np.repeat(np.arange(150), 8)
    error = draw.uniform(0, 0.3, len(person))
    good, poor = error + draw.normal(0, 0.1, len(person)), error + draw.normal(0, 0.4, len(person))
    asked = argparse.Namespace(seed=0, draws=100)
    found = bench.compared(good, poor, error, person, asked)
    low, high = found["intervals"]["gain"]["auroc"]
    assert 0 < low < found["gain"]["auroc"] < high
    ratio = found["ratio"]["precision_first_tenth"]
    low, high = found["intervals"]["ratio"]["precision_first_tenth"]
    assert 1 < low < ratio < high
    assert found["base_rate"] == pytest.approx((error > 0.15).mean(), abs=1e-4)
    same = bench.compared(good, good, error, person, asked)
    assert same["gain"]["auroc"] == 0 and same["intervals"]["gain"]["auroc"] == [0, 0]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A dataset of crosses and a run that learned from swapped labels, each student from half of them."""
    folder = tmp_path_factory.mktemp("crosses")
    dataset = crosses.dataset(folder / "p", given=False)
    place = crosses.place(dataset, folder)
    asked = argparse.Namespace(
        dataset="crosses", budget=12, seed=0, share=0.2, kind="person", preset="supervised",
        start=None, steps=8, weights=place.weights,
        set=[f"{key}={value}" for key, value in crosses.CHANGES.items()],
    )  # fmt: skip
    done = bench.train_swapped(asked, dataset)
    assert bench.train_swapped(asked, dataset)["run"] == done["run"]
    return dataset, done["run"]


def test_suspects_of_a_trained_run_are_counted(trained):
    dataset, run = trained
    found = bench.score_suspects(argparse.Namespace(run=run, seed=0), dataset)
    assert found["labeled"] == 12 and found["injected"] == 2 and found["unseen"] == 12
    assert found["kind"] == "person"
    assert 0 <= found["found_in_first_tenth"] <= 1 and len(found["interval"]) == 2


def test_answers_are_scored_by_what_was_learned_from_people_left_out(trained):
    dataset, run = trained
    asked = argparse.Namespace(run=run, seed=0, people=5, draws=20)
    found = bench.score_answers(asked, dataset)
    assert found["people"] == 5 and found["keypoints"] == 20
    assert found["calibrating"] == {"both": 0, "a": 24, "b": 24}
    assert {"auroc", "spearman", "risk_coverage", "ece"} <= set(found["p_error"])
    json.dumps(found)
