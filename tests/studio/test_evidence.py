"""Which labels a student never saw, and what votes leave in a run's folder."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from posestudio.core import doubt, heatmaps
from posestudio.store import snapshots
from posestudio.studio import evidence
from posestudio.train import data, objective
from posestudio.train.run_folder import RunFolder
from tests.train.people import SKELETON, people, write_run, write_snapshot

SPLIT = np.array(["train"] * 20 + ["unlabeled"] * 4 + ["val"] * 2)


def rows(**changes):
    points = np.random.default_rng(0).uniform(20, 60, (len(SPLIT), 4, 2))
    return people(points, SPLIT, **changes)


def run(project, name, labels, start=None, **changes):
    path = write_run(
        project, name, write_snapshot(project, labels), {"data.hold_fold": False, **changes}
    )
    record = json.loads((path / "run.json").read_text())
    (path / "run.json").write_text(json.dumps({**record, "from": start}))
    return path


def test_labels_that_everybody_learned_are_seen(tmp_path):
    labels = rows()
    run(tmp_path, "one", labels)
    assert not evidence.unseen(tmp_path, "one", labels).any()


def test_the_stored_fold_is_unseen_when_it_was_held(tmp_path):
    labels = rows(fold=np.arange(len(SPLIT)) % 5 == 0)
    run(tmp_path, "one", labels, **{"data.hold_fold": True})
    fresh = evidence.unseen(tmp_path, "one", labels)
    assert (fresh == (labels.fold & (SPLIT == "train"))[:, None]).all()
    run(tmp_path, "two", labels)
    assert not evidence.unseen(tmp_path, "two", labels).any()


def test_each_student_has_its_own_unseen_people(tmp_path):
    labels = rows()
    run(tmp_path, "one", labels, **{"data.cross_fit": 0.25})
    first, second = np.asarray(evidence.unseen(tmp_path, "one", labels).all(axis=2))
    config = RunFolder(tmp_path / "runs" / "one").config()
    snapshot = snapshots.Snapshot("", SKELETON, labels, np.ones(4, bool))
    theirs = data.split_people(snapshot, config).left_out
    assert sorted(theirs[0]) == np.flatnonzero(first).tolist() and first.sum() == 5
    assert sorted(theirs[1]) == np.flatnonzero(second).tolist() and not (first & second).any()


def test_what_an_earlier_run_saw_stays_seen(tmp_path):
    labels = rows()
    run(tmp_path, "all", labels)
    run(tmp_path, "some", labels, start="all", **{"data.cross_fit": 0.25})
    assert not evidence.unseen(tmp_path, "some", labels).any()
    run(tmp_path, "first", labels, **{"data.cross_fit": 0.25})
    run(tmp_path, "second", labels, start="first", **{"data.cross_fit": 0.25})
    kept = evidence.unseen(tmp_path, "second", labels)
    assert (kept == evidence.unseen(tmp_path, "first", labels)).all() and kept.any()
    run(tmp_path, "other", labels, start="first", **{"data.cross_fit": 0.25, "train.seed": 5})
    less = evidence.unseen(tmp_path, "other", labels)
    assert not (less & ~kept).any() and less.sum() < kept.sum()


def test_labels_placed_after_the_run_are_unseen_by_both(tmp_path):
    labels = rows()
    run(tmp_path, "one", labels)
    state, xy = labels.state.copy(), labels.xy_image.copy()
    state[21, 2], xy[21, 2] = snapshots.PLACED, (30.0, 40.0)
    now = dataclasses.replace(labels, state=state, xy_image=xy)
    fresh = evidence.unseen(tmp_path, "one", now)
    assert fresh.sum() == 2 and fresh[:, 21, 2].all()
    crowd = np.arange(len(SPLIT)) == 21
    assert not evidence.unseen(tmp_path, "one", dataclasses.replace(now, iscrowd=crowd)).any()


def test_nothing_is_known_of_a_model_from_elsewhere_or_a_lost_beginning(tmp_path):
    labels = rows()
    assert not evidence.unseen(tmp_path, "oracle", labels).any()
    run(tmp_path, "one", labels, start="lost", **{"data.cross_fit": 0.25})
    assert not evidence.unseen(tmp_path, "one", labels).any()


def vote(places, seed):
    """Votes of four views of people whose keypoints lie at `places` (B, 4, 2) in cells, a little off in each."""
    draws = torch.Generator().manual_seed(seed)
    moved = places + 0.3 * torch.randn(4, *places.shape, generator=draws)
    maps = heatmaps.encode(moved, (16, 16), 1.5)
    return objective.Votes(maps, torch.ones(4, len(places), 1, 16, 16, dtype=torch.bool))


@pytest.fixture
def heard(tmp_path):
    """A run with cross-fit, its snapshot, and what was heard of people 3, 4 and 22."""
    labels = rows()
    path = run(tmp_path, "one", labels, **{"data.cross_fit": 0.25})
    taught = np.array([True, True, True, False])
    snapshot = snapshots.Snapshot("", SKELETON, labels, taught)
    hearing = evidence.Hearing.of(RunFolder(path), snapshot)
    index = np.array([3, 4, 22])
    places = torch.tensor([[[8.0, 3], [4, 8], [12, 8], [8, 13]]]).repeat(3, 1, 1)
    apart = places.clone()
    apart[1, 0, 1] += 6  # of person 4's head, b believes something else
    hearing(index, [vote(places, 1), vote(apart, 2)])
    hearing.write(path)
    return path, labels, index


def test_evidence_comes_back_as_it_was_heard(heard):
    path, labels, index = heard
    fresh = evidence.unseen(path.parent.parent, "one", labels)
    judges = evidence.read(path, labels, fresh)
    assert [judge.name for judge in judges] == ["both", "a", "b"]
    both, a, b = judges
    known = np.asarray(np.isfinite(both.measures).all(axis=2))
    assert (known[index] == [True, True, True, False]).all()  # the foot is untaught
    assert known.sum() == 9
    distance = both.measures[index, 0, doubt.FEATURES.index("distance")]
    assert distance[1] > 5 * distance[0] and a.measures[index[1], 0, 2] < distance[1]
    box = labels.box_xywh[3]
    middle = box[:2] + box[2:] / 2
    assert np.abs(both.xy_image[3, :3].mean(axis=0) - middle).max() < 20
    gap = np.linalg.norm(a.xy_image[4, 0] - b.xy_image[4, 0])
    assert gap > 20 and np.linalg.norm(a.xy_image[3, 0] - b.xy_image[3, 0]) < 6
    assert (both.unseen == fresh.all(axis=0)).all() and (a.unseen == fresh[0]).all()


def test_evidence_of_a_moved_box_or_a_damaged_file_is_not_used(heard):
    path, labels, index = heard
    fresh = np.zeros((2, *labels.state.shape), bool)
    revision = labels.box_revision.copy()
    revision[3] += 1
    moved = dataclasses.replace(labels, box_revision=revision)
    judge = evidence.read(path, moved, fresh)[0]
    assert np.isnan(judge.measures[3]).all() and np.isfinite(judge.measures[4, 0]).all()
    assert evidence.read(path.parent, labels, fresh) == []
    (path / evidence.EVIDENCE_FILE).write_bytes(b"damaged")
    assert evidence.read(path, labels, fresh) == []


def test_without_cross_fit_both_students_are_one_judge(tmp_path):
    labels = rows()
    path = run(tmp_path, "one", labels)
    snapshot = snapshots.Snapshot("", SKELETON, labels, np.ones(4, bool))
    assert [j.name for j in evidence.Hearing.of(RunFolder(path), snapshot).judges] == ["both"]
