"""What corrections buy: the annotator's actions are counted right, and curves are computed, kept and read."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from benchmarks import label_curve
from benchmarks.budget import rounds
from benchmarks.budget.cell import Place, run_cell
from benchmarks.budget.rounds import Asked, Curve, Plan
from benchmarks.label_curve import Measured
from posestudio.store import snapshots
from posestudio.store.snapshots import OPEN, PLACED
from posestudio.studio.queue import Doubt
from posestudio.train.run_folder import RunFolder
from tests.benchmarks import crosses
from tests.train import people as drawn

PLAN = Plan(
    budget=3, rounds=2, actions=6, candidates=8, steps=8, changes=dict(crosses.CHANGES)
)  # fmt: skip


def open_and_true(count: int = 5):
    """People with four keypoints each, unlabeled, and with their answers; boxes are 84 pixels high."""
    points = np.random.default_rng(0).uniform(20, 60, (count, 4, 2))
    truth = drawn.people(points, np.full(count, "unlabeled"))
    hidden = dataclasses.replace(truth)
    truth = dataclasses.replace(truth, xy_image=points, state=np.full((count, 4), PLACED, np.int8))
    return hidden, truth


def test_an_opened_person_costs_one_and_every_far_keypoint_one():
    people, truth = open_and_true()
    seen = truth.xy_image + np.array([3.0, 0.0])
    seen[:, :2] += 50.0
    changed, done = rounds.annotate(people, truth, seen, [4, 1, 0], actions=4, tolerance=0.05)
    assert done.who.tolist() == [4, 1] and done.moved == 4 and done.actions == 6
    assert (changed.state[[4, 1]] == PLACED).all() and (changed.state[[0, 2, 3]] == OPEN).all()
    assert changed.split.tolist() == ["unlabeled", "train", "unlabeled", "unlabeled", "train"]
    assert (changed.xy_image[4, :2] == truth.xy_image[4, :2]).all()
    assert (changed.xy_image[4, 2:] == seen[4, 2:]).all()
    assert np.isnan(changed.xy_image[0]).all()


def test_a_keypoint_without_an_answer_stays_open_and_costs_nothing():
    people, truth = open_and_true()
    truth.state[2, 1], truth.xy_image[2, 1] = OPEN, np.nan
    changed, done = rounds.annotate(
        people, truth, truth.xy_image + 40, [2], actions=9, tolerance=0.05
    )
    assert done.actions == 4 and changed.state[2].tolist() == [PLACED, OPEN, PLACED, PLACED]


def asked(score: np.ndarray, peak: np.ndarray, features: np.ndarray) -> Asked:
    count = len(score)
    labeled = np.arange(count) == 0
    draw = np.random.default_rng(3).permutation(count)
    return Asked(Doubt(score, score), peak, features, labeled, ~labeled, draw)


def test_strategies_order_the_candidates():
    draw = np.random.default_rng(1)
    score, peak = draw.random((7, 4)), draw.random((7, 4))
    one = asked(score, peak, draw.random((7, 3)))
    for strategy in rounds.STRATEGIES.values():
        assert sorted(strategy(one)) == list(range(1, 7))
    worst = np.sort(score[1:], axis=1)[:, -3:].mean(axis=1)
    assert rounds.by_doubt(one) == (1 + np.argsort(-worst)).tolist()
    least = np.sort(peak[1:], axis=1)[:, :3].mean(axis=1)
    assert rounds.by_confidence(one) == (1 + np.argsort(least)).tolist()
    assert rounds.by_random(one) == [i for i in one.draw.tolist() if i != 0]


def test_variety_does_not_open_the_same_doubt_twice():
    score = np.repeat(np.array([0.1, 0.9, 0.8, 0.5, 0.2])[:, None], 4, axis=1)
    features = np.array([[0.0, 0.0], [5.0, 0.0], [5.0, 0.1], [0.0, 4.0], [0.0, 0.1]])
    one = asked(score, 1 - score, features)
    assert rounds.by_doubt(one) == [1, 2, 3, 4]
    assert rounds.by_variety(one) == [1, 3, 2, 4]


def test_typical_people_come_before_odd_ones_and_none_twice():
    labeled = [[9.0, 9.0]]
    crowd, pair, odd = [[0.0, 0.0], [0.1, 0.0], [0.0, 0.1]], [[5.0, 0.0], [5.1, 0.0]], [[0.0, 40.0]]
    features = np.array(labeled + crowd + pair + odd)
    one = asked(np.full((7, 4), 0.5), np.full((7, 4), 0.5), features)
    order = rounds.by_typical(one)
    assert order[0] in (1, 2, 3) and sorted(order) == [1, 2, 3, 4, 5, 6]
    assert set(order[:3]) & {4, 5} and 6 in order[:3]  # one of each kind before a second of any


def test_actions_are_read_between_rounds():
    actions, ap = np.array([0.0, 100.0, 200.0]), np.array([0.1, 0.2, 0.15])
    assert label_curve.reached(actions, ap, 0.15) == pytest.approx(50)
    assert label_curve.reached(actions, ap, 0.05) == 0
    assert label_curve.reached(actions, ap, 0.3) == np.inf


def test_half_the_actions_are_half_the_actions():
    steps = np.tile([0.0, 100.0, 200.0], (3, 1))
    plain = np.array([0.1, 0.15, 0.2])[None, :, None] + np.zeros((3, 1, 50))
    quick = np.array([0.1, 0.2, 0.3])[None, :, None] + np.zeros((3, 1, 50))
    share, gain = label_curve.against(Measured(steps, plain), Measured(steps, quick))
    assert share == pytest.approx(np.full(50, 0.5)) and gain == pytest.approx(np.full(50, 0.1))
    share, gain = label_curve.against(Measured(steps, quick), Measured(steps, plain))
    assert np.isinf(share).all() and label_curve.said(share[0]) == "not reached"
    assert label_curve.ends(share[1:]) == (np.inf, np.inf)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("curve")
    return crosses.place(crosses.dataset(folder / "crosses"), folder)


def curve(strategy: str) -> Curve:
    return Curve("crosses", "quick", strategy, 0, PLAN)


def test_a_curve_is_computed_once_and_goes_on(place: Place):
    """Stopped before the second round trains, the curve goes on with the labels that were made for it."""
    one = curve("doubt")
    assert run_cell(one.start, place)
    asked_for, second = [0], RunFolder(place.dataset.project / "runs" / one.name(2))

    def stop() -> bool:
        asked_for[0] += 1
        return (second.path / "run.json").exists()

    assert not rounds.run(one, dataclasses.replace(place, stop=stop)) and asked_for[0] > 8
    before = second.record()
    assert set(rounds.finished(place.results)) == {one.name(0), one.name(1)}
    assert rounds.run(one, place) and rounds.run(one, place)
    assert second.record() == before
    lines = rounds.finished(place.results)
    story = [lines[one.name(number)] for number in range(3)]
    assert [line["strategy"] for line in story] == ["start", "doubt", "doubt"]
    assert [line["labeled"] for line in story] == [3 + line["people"] for line in story]
    for line, earlier in zip(story[1:], story, strict=False):
        spent = line["actions"] - earlier["actions"]
        assert 6 <= spent <= 6 + 4 and line["actions"] == line["people"] + line["moved"]
        assert line["people"] > earlier["people"]
    assert {"ap", "pck", "test2_ap", "core_minutes", "commit", "device"} <= set(story[2])
    assert "--strategies doubt --seeds 0" in story[2]["command"]


def test_a_curve_goes_on_from_results_alone(place: Place, tmp_path: Path):
    """Where the runs of finished rounds are gone, they are made again, and no line is written twice."""
    one, elsewhere = curve("confidence"), dataclasses.replace(place, results=tmp_path)
    assert rounds.run(one, elsewhere)
    path = rounds.results_file(tmp_path)
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines[:-1]), "utf-8")
    for number in (1, 2):
        shutil.rmtree(place.dataset.project / "runs" / one.name(number))
    assert rounds.run(one, elsewhere)
    again = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for line in (lines[-1], again[-1]):
        line.pop("core_minutes")
    assert again == lines


def test_labels_of_a_round_are_answers_or_proposals_near_them(place: Place):
    one = curve("random")
    assert rounds.run(one, place)
    record = RunFolder(place.dataset.project / "runs" / one.name(2)).record()
    people = snapshots.read(place.dataset.project / "snapshots" / record["snapshot"]).people
    labeled = (people.state == PLACED).all(axis=1)
    assert labeled.sum() == 3 + record["opened"]["people"]
    gap = np.linalg.norm(people.xy_image - place.dataset.learnable.xy_image, axis=-1)[labeled]
    assert gap.max() <= 0.05 * 84
    assert (people.split == np.where(labeled, "train", "unlabeled")).all()


def test_the_table_holds_strategies_against_random(place: Place, capsys):
    assert rounds.run(curve("doubt"), place) and rounds.run(curve("random"), place)
    path = rounds.results_file(place.results)
    text = path.read_text("utf-8")
    lines = [json.loads(line) for line in text.splitlines()]
    for line in lines:
        line["plan"]["changes"] = {}
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    words = ["table", "--dataset", "crosses", "--results", str(place.results), "--draws", "20"]
    assert label_curve.main(words) == 0
    said = capsys.readouterr().out
    assert "| random | 1 |" in said and "| doubt | 1 |" in said and " to " in said
    assert said == (place.results / "label_curve_crosses_quick.md").read_text("utf-8")
    svg = (place.results / "label_curve_crosses_quick_dev.svg").read_text("utf-8")
    assert "actions since the start" in svg
    path.write_text(text, "utf-8")
    assert label_curve.main(words) == 1 and "No curve" in capsys.readouterr().err


def test_an_unknown_strategy_is_one_line(tmp_path: Path, capsys):
    words = ["run", "--data", str(tmp_path), "--weights", "w", "--strategies", "luck"]
    assert label_curve.main(words) == 1
    assert capsys.readouterr().err.count("\n") == 1
