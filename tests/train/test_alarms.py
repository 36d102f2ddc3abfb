"""Alarms: what raises them, what does not, and what a run does when one is raised."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from posestudio.core import heatmaps
from posestudio.events import Evaluated, Stepped, Warned
from posestudio.models.weights import load_student
from posestudio.train import worker
from posestudio.train.alarms import Alarms
from posestudio.train.run_folder import RunFolder
from tests.train import people

FINE = {
    "kept": 0.6, "peak": 0.4, "peak_labeled": 0.7, "distance": 3.0, "missed": 0.4, "blank": 1.0, "loss_labeled": 0.2,
    "blank_labeled": 1.0,
}  # fmt: skip


def told(alarms: Alarms, *means: dict[str, float]) -> list[str]:
    """Codes said over reports ten steps apart."""
    return [
        warned.code
        for number, one in enumerate(means)
        for warned in alarms.hear(10 * (number + 1), {**FINE, **one})
    ]


def looked(
    alarms: Alarms, *scores: float, peak: float = 0.5, unlabeled: float | None = 0.5, people: int = 60
) -> list[str]:  # fmt: skip
    """Codes said over looks 50 steps apart, at people who are found as a whole or not at all."""
    found = []
    for number, score in enumerate(scores):
        step, shares = 50 * (number + 1), [float(place < score * people) for place in range(people)]
        shares = shares * alarms.students  # both see the same
        alarms.note_best(step, score)
        found += alarms.look(step, shares=shares, peak=peak, peak_unlabeled=unlabeled)
    return [warned.code for warned in found]


class TestReports:
    def test_peaks_that_sink_on_all_people_alike_are_no_collapse(self):
        """Students forked from 1,500 steps on 100 labels of lspet and taught softly for 600 more."""
        path = np.linspace(0, 1, 60)
        means = [{"peak": 0.446 - 0.23 * t, "peak_labeled": 0.748 - 0.32 * t} for t in path]
        assert told(Alarms(1500, 2), *means) == []

    def test_peaks_that_sink_on_unlabeled_people_alone_are(self):
        alarms = Alarms(1500, 2)
        means = [{"peak": 0.45 * 0.8**step} for step in range(20)]
        assert told(alarms, *means) == ["collapse"]
        assert alarms.dropped == 90  # the eighth report is under a quarter, the ninth too

    def test_unlearning_what_was_known_by_heart_is_no_collapse(self):
        """PoseDual's students, forked from 1,500 steps on 100 labels of lspet, over 170 good steps."""
        path = np.linspace(0, 1, 17)
        means = [{"peak": 0.54 - 0.30 * t, "peak_labeled": 0.68 - 0.05 * t} for t in path]
        assert told(Alarms(3000, 2), *means, *means[-1:] * 20) == []

    def test_one_bad_report_is_no_collapse(self):
        low = {"peak": 0.1}
        assert told(Alarms(1500, 2), {}, low, {}, low, {}, low) == []

    def test_noise_of_fresh_students_is_no_collapse(self):
        means = [{"peak": 0.02, "peak_labeled": 0.02}, *[{"peak": 0.001}] * 5]
        assert told(Alarms(1500, 2), *means) == []

    def test_targets_that_contradict_what_students_see_are_harm(self):
        strange = {"missed": 1.02}
        alarms = Alarms(1500, 2)
        assert told(alarms, *[strange] * 30) == ["harm"] and alarms.dropped == 80
        assert told(Alarms(1500, 2), *[*[strange] * 7, {}] * 4) == []

    def test_fresh_students_may_explain_nothing(self):
        fresh = {"missed": 1.02, "loss_labeled": 0.9}
        assert told(Alarms(1500, 2), *[fresh] * 30) == []

    def test_students_that_become_one_are_told_once_an_episode(self):
        near, far = {"distance": 0.1}, {"distance": 1.0}
        alarms = Alarms(1500, 2)
        assert told(alarms, {}, near, near, near) == ["coupling"] and alarms.dropped == 0
        assert told(alarms, near, near, far, near, near, near) == ["coupling"]

    def test_students_that_start_as_one_are_coupled(self):
        assert told(Alarms(1500, 2), *[{"distance": 0.0}] * 3) == ["coupling"]
        assert told(Alarms(1500, 1), *[{"distance": 0.0}] * 3) == []

    def test_an_empty_pool_is_told_once_an_episode_and_not_at_the_start(self):
        none = {"kept": 0.0, "missed": 0.0, "blank": 0.0}
        assert told(Alarms(1500, 2), *[none] * 30) == []
        assert told(Alarms(80, 2), none, none, none, none, {}, none) == ["empty_pool"] * 2

    def test_steps_on_labels_alone_say_nothing(self):
        assert Alarms(100, 2).hear(50, {"loss_labeled": 0.2, "blank_labeled": 1.0}) == []

    def test_reports_in_which_nobody_was_open_say_nothing(self):
        """Two in a row were a collapse while steps without an open keypoint counted as peaks of 0."""
        alarms = Alarms(1500, 2)
        silent = {key: FINE[key] for key in ("loss_labeled", "blank_labeled", "peak_labeled")}
        silent |= {"missed": 0.0, "blank": 0.0}
        assert told(alarms, *[{}] * 3) == []
        assert [alarms.hear(step, silent) for step in range(300, 400, 10)] == [[]] * 10
        assert told(alarms, *[{}] * 3) == [] and not alarms.dropped

    def test_harm_is_seen_though_labels_are_forgotten_too(self):
        means = [{"missed": 1.1, "loss_labeled": 0.55 + 0.05 * step} for step in range(12)]
        assert told(Alarms(1500, 2), *means) == ["harm"]


class TestLooks:
    def test_a_score_that_falls_for_two_looks_is_harm(self):
        alarms = Alarms(1500, 2)
        assert looked(alarms, 0.5, 0.7, 0.45, 0.6, 0.45, 0.45) == ["harm"]
        assert (alarms.best, alarms.best_step, alarms.dropped) == (0.7, 100, 300)

    def test_what_few_people_say_must_be_clearer(self):
        assert looked(Alarms(1500, 2), 0.7, 0.5, 0.5, people=60) == ["harm"]
        assert looked(Alarms(1500, 2), 0.7, 0.5, 0.5, people=10) == []

    def test_a_handful_of_people_say_nothing(self):
        assert looked(Alarms(1500, 2), 1.0, 0.0, 0.0, people=7) == []
        assert looked(Alarms(1500, 2), 1.0, 0.0, 0.0, people=8) == ["harm"]

    def test_students_who_find_nothing_have_nothing_to_lose(self):
        assert looked(Alarms(1500, 2), 0.0, 0.0, 0.0, 0.4, 0.4) == []

    def test_a_small_fall_is_no_harm_however_sure(self):
        assert looked(Alarms(1500, 2), 0.70, 0.65, 0.65, people=4000) == []

    def test_seeing_little_on_unlabeled_people_is_collapse(self):
        assert looked(Alarms(1500, 2), 0.7, 0.7, 0.7, unlabeled=0.2) == ["collapse"]
        assert looked(Alarms(1500, 2), 0.7, 0.7, 0.7, unlabeled=0.35) == []
        assert looked(Alarms(1500, 2), 0.7, 0.7, 0.7, unlabeled=None) == []
        assert looked(Alarms(1500, 2), 0.7, 0.7, 0.7, peak=0.03, unlabeled=0.01) == []

    def test_the_best_is_known_after_the_alarm_too(self):
        alarms = Alarms(1500, 2)
        looked(alarms, 0.7, 0.2, 0.2)
        alarms.note_best(200, 0.6)
        alarms.note_best(250, 0.8)
        assert (alarms.best, alarms.best_step) == (0.8, 250)

    def test_what_it_remembers_survives_json(self):
        alarms = Alarms(1500, 2)
        told(alarms, {}, {"peak": 0.1}, {"kept": 0.0})
        looked(alarms, 0.7, 0.3)
        again = Alarms.from_dict(json.loads(json.dumps(alarms.to_dict())))
        assert again == alarms
        assert looked(again, 0.3) == looked(alarms, 0.3) == ["harm"]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crosses, 24 labeled and 20 held out, and a run on labels, "start", that finds most of the held-out keypoints."""
    folder = tmp_path_factory.mktemp("project")
    points = people.draw(folder / "images", 80)
    fold = np.arange(80) < 20
    split = np.array(["train"] * 44 + ["unlabeled"] * 36)
    people.write_snapshot(folder, people.people(points, split, fold=fold))
    worker.run(
        people.make_run(folder, "start", "supervised", changes=SMALL | {"train.steps": 50}).path
    )
    return folder


SMALL = {
    "data.batch_labeled": 8, "data.batch_unlabeled": 8, "data.hold_fold": True, "train.lr": 3e-3, "train.warmup": 2,
    "train.save_every": 50, "train.ema": 0.9,
}  # fmt: skip


def fork(project: Path, name: str, steps: int) -> Path:
    """A run from "start" that learns from pseudo-targets."""
    changes = {
        "train.steps": steps,
        "train.look_every": 10,
        "views.count": 2,
        "pool.threshold": 0.02,
    }
    return people.make_run(project, name, "paper", start="start", changes=SMALL | changes).path


def lies(where: str):
    """A `choose` that has every student taught wrong places with certainty: of another keypoint, or anywhere."""

    def choose(pool, batch):
        xy_map = pool.xy_map.roll(1, dims=2)
        if where == "anywhere":
            draws = torch.Generator().manual_seed(int(batch.index.sum()))
            anywhere = 15 * torch.rand(xy_map.shape[1:], generator=draws)
            xy_map = anywhere.expand_as(xy_map)
        maps = heatmaps.encode(xy_map, (pool.maps.shape[-2], pool.maps.shape[-1]), 2.0)
        return dataclasses.replace(
            pool, xy_map=xy_map, maps=maps, aggregated=maps, accepted=pool.accepted | True,
            reason=pool.reason * 0, chosen=pool.chosen * 0,
        )  # fmt: skip

    return choose


def codes(run: Path) -> list[tuple[int, str]]:
    return [
        (e.step, e.code)
        for e in RunFolder(run).events()
        if isinstance(e, Warned) and e.code != "start"
    ]


@pytest.mark.parametrize("where", ["another keypoint", "anywhere"])
def test_wrong_confident_targets_are_dropped_and_the_best_students_kept(project, where):
    run = fork(project, where.split()[0], 100)
    worker.run(run, choose=lies(where))
    folder = RunFolder(run)
    ((fired, code),) = codes(run)
    assert code == "harm" and 10 <= fired < 100
    reports = [e for e in folder.events() if isinstance(e, Stepped)]
    assert all((e.loss_unlabeled > 0) == (e.step <= fired) for e in reports)
    looks = [e for e in folder.events() if isinstance(e, Evaluated)][:-1]
    score = {e.step: e.metrics["pck10_a"] + e.metrics["pck10_b"] for e in looks}
    best = max(score, key=lambda step: (score[step], -step))
    assert folder.metrics()["kept_step"] == best
    assert load_student(folder.students()["a"])[2]["kept_step"] == best
    fold = folder.metrics()["fold"]
    assert fold["pck10_a"] + fold["pck10_b"] == pytest.approx(score[best], abs=1e-3)
    assert score[looks[-1].step] > 0.8 * score[best]


def test_students_that_teach_each_other_well_raise_no_alarm(project):
    run = fork(project, "well", 60)
    worker.run(run)
    assert codes(run) == []
    folder = RunFolder(run)
    assert "kept_step" not in folder.metrics()
    assert ([e for e in folder.events() if isinstance(e, Stepped)][-1].peak or 0) > 0.3


def test_a_run_stopped_on_the_way_to_an_alarm_ends_in_the_same_state(project):
    whole, parts = fork(project, "whole", 60), fork(project, "parts", 60)
    worker.run(whole, choose=lies("another keypoint"))
    ((fired, _),) = codes(whole)
    for last in (fired - 3, fired + 8):
        asked = iter(range(1, 1000))
        begin = RunFolder(parts).metrics().get("steps", 0)
        worker.run(
            parts,
            choose=lies("another keypoint"),
            stop=lambda asked=asked, begin=begin, last=last: begin + next(asked) == last,
        )
        assert RunFolder(parts).metrics()["steps"] == last
    worker.run(parts, choose=lies("another keypoint"))
    assert codes(parts) == codes(whole)
    for file in ("state.safetensors", "student_a.safetensors"):
        assert people.tensors_equal(parts / file, whole / file), file
