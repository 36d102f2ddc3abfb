"""Batches: who trains how, what the cache holds, and that a draw depends on the seed and the step alone."""

import contextlib
import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from posestudio import config
from posestudio.core import color, geometry, skeleton
from posestudio.core.skeleton import COCO17
from posestudio.errors import TrainingError
from posestudio.events import Warned
from posestudio.store import snapshots
from posestudio.train import data, objective, seen, session, worker
from posestudio.train.run_folder import RunFolder
from tests.train import people


def settings(**changes) -> config.Config:
    small = {
        "data.height": 64,
        "data.width": 64,
        "data.batch_labeled": 3,
        "data.batch_unlabeled": 5,
    }
    return config.make("paper", "tiny", {**small, **changes})


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    points = people.draw(folder / "images", 12)
    split = np.array(["train"] * 6 + ["unlabeled"] * 4 + ["val"] * 2)
    people.write_snapshot(folder, people.people(points, split))
    return folder


@pytest.fixture(scope="module")
def snapshot(project: Path) -> snapshots.Snapshot:
    return snapshots.read(next((project / "snapshots").iterdir()))


def test_each_person_comes_once_an_epoch_whatever_the_batch():
    for size, batch in ((7, 3), (3, 7), (5, 5)):
        steps = size  # size * batch draws are `batch` whole epochs
        seen = Counter(
            i for step in range(1, steps + 1) for i in data.drawn(0, 0, size, batch, step)
        )
        assert set(seen.values()) == {batch} and len(seen) == size


def test_draws_differ_by_seed_stream_and_epoch_and_repeat_by_step():
    assert (data.drawn(0, 0, 50, 50, 1) == data.drawn(0, 0, 50, 50, 1)).all()
    for other in (
        data.drawn(1, 0, 50, 50, 1),
        data.drawn(0, 1, 50, 50, 1),
        data.drawn(0, 0, 50, 50, 2),
    ):
        assert (data.drawn(0, 0, 50, 50, 1) != other).any()


def test_a_cached_crop_shows_what_the_networks_crop_shows(
    project: Path, snapshot: snapshots.Snapshot
):
    """Single-pixel law through the cache: the head's red dot is where its keypoint is said to be."""
    source = data.open_source(snapshot, project, settings())
    plain = geometry.warp(
        torch.from_numpy(np.array(source.crops)).float(), source.to_crop.expand(12, 2, 3), (64, 64)
    )
    red = plain[:, 0] - plain[:, 1:].amax(dim=1)
    for person in range(6):
        weight = red[person].clamp(min=60) - 60
        total = weight.sum()
        x = (weight.sum(0) * torch.arange(64)).sum() / total
        y = (weight.sum(1) * torch.arange(64)).sum() / total
        assert torch.tensor([x, y]).sub(source.xy_crop[person, 0]).abs().max() < 0.6


def test_the_cache_is_made_once_and_again_only_when_a_box_moves(
    project: Path, snapshot: snapshots.Snapshot
):
    told: list[int] = []
    data.crop_cache(snapshot.people, project, (64, 64), 1.25, lambda done, total: told.append(done))
    before = len(told)
    data.crop_cache(snapshot.people, project, (64, 64), 1.25, lambda done, total: told.append(done))
    assert len(told) == before
    moved = snapshot.people.take(np.arange(12))
    moved.box_xywh[0] += 1
    data.crop_cache(moved, project, (64, 64), 1.25, lambda done, total: told.append(done))
    assert len(told) > before
    assert not list((project / "cache" / "crops").glob("*.part"))


def test_easy_crops_and_points_move_together(project: Path, snapshot: snapshots.Snapshot):
    source = data.open_source(snapshot, project, settings())
    changes = settings(**{"data.color": 0})
    for step, batch in data.batches(source, changes, first=1, last=4, device=torch.device("cpu")):
        assert batch.labeled.shape == (3, 3, 64, 64), step
        assert batch.unlabeled is not None and batch.unlabeled.shape == (5, 3, 64, 64)
        pixels = color.denormalize(batch.labeled)
        for person in range(3):
            for k, name in ((0, "head"), (3, "foot")):
                if batch.labeled_weight[person, k] == 0:
                    continue
                x, y = batch.labeled_xy[person, k].round().long().clamp(1, 62).tolist()
                red, green, blue = pixels[person, :, y, x].tolist()
                assert red > 0.6 and blue < 0.5, name
                assert (green > 0.6) == (name == "foot"), name


def test_a_mirror_swaps_left_and_right_in_points_and_state(
    project: Path, snapshot: snapshots.Snapshot
):
    rows = snapshot.people.take(np.arange(12))
    rows.state[:, 1] = objective.OPEN  # left hands open, right hands placed
    source = data.open_source(
        snapshots.Snapshot("x", people.SKELETON, rows, np.ones(4, bool)), project, settings()
    )
    seen = set()
    for _, batch in data.batches(source, settings(), first=1, last=8, device=torch.device("cpu")):
        pixels = color.denormalize(batch.labeled)
        for person in range(3):
            left, right = (
                batch.labeled_weight[person, 1].item(),
                batch.labeled_weight[person, 2].item(),
            )
            if left + right != 1:
                continue
            k = 1 if left else 2
            seen.add(k)
            x, y = batch.labeled_xy[person, k].round().long().clamp(1, 62).tolist()
            # the dot of the person's right hand is blue and stays the one that is placed
            assert pixels[person, 2, y, x] > pixels[person, 1, y, x] + 0.1
    assert seen == {1, 2}


@pytest.mark.parametrize(("pairs", "flips"), [([[1, 2]], True), ([], False)])
def test_people_without_left_and_right_are_never_mirrored(
    project: Path, snapshot: snapshots.Snapshot, pairs: list[list[int]], flips: bool
):
    """Neither in batches nor in the views of the pool: their mirror image would teach the wrong side."""
    told = skeleton.from_dict({**people.SKELETON.to_dict(), "flip_pairs": pairs})
    frozen = snapshots.Snapshot("x", told, snapshot.people, np.ones(4, bool))
    asked = settings(**{"data.rotation": 0, "data.scale": 0})
    source = data.open_source(frozen, project, asked)
    mirrored = 0
    for _, batch in data.batches(source, asked, first=1, last=4, device=torch.device("cpu")):
        assert batch.easy is not None
        mirrored += int(batch.easy.flipped.sum())
        straight = batch.labeled_xy[:, 0, 1] < batch.labeled_xy[:, 3, 1]
        assert straight.all()
    assert (mirrored > 0) == flips
    method = objective.Method(asked, told.flip_index, contextlib.nullcontext)
    views = objective.draw_views(
        torch.Generator().manual_seed(0), torch.zeros(2, 3, 64, 64), 4, 0.2, mirror=method.mirrors
    )
    kinds = [view.kind for view, _ in views]
    assert kinds == ["identity", "mirror" if flips else "affine", "affine", "affine"]


def test_a_distributed_run_shares_each_batch_out(project: Path, snapshot: snapshots.Snapshot):
    source = data.open_source(snapshot, project, settings())
    shares = [
        next(
            data.batches(
                source, settings(), first=1, last=1, device=torch.device("cpu"), share=(rank, 2)
            )
        )[1]
        for rank in range(2)
    ]
    assert [len(batch.labeled) for batch in shares] == [2, 1]
    assert [len(batch.unlabeled) for batch in shares if batch.unlabeled is not None] == [3, 2]


def test_split_people(project: Path, snapshot: snapshots.Snapshot):
    rows = snapshot.people.take(np.arange(12))
    rows.fold[:2] = True
    rows.iscrowd[5] = True
    frozen = snapshots.Snapshot("x", people.SKELETON, rows, np.ones(4, bool))
    held = data.split_people(frozen, settings(**{"data.hold_fold": True}))
    assert held.labeled.tolist() == [2, 3, 4] and held.fold.tolist() == [0, 1]
    assert held.unlabeled.tolist() == [2, 3, 4, 6, 7, 8, 9]
    free = data.split_people(frozen, settings(**{"data.hold_fold": False}))
    assert free.labeled.tolist() == [0, 1, 2, 3, 4] and free.fold.tolist() == [0, 1]


def test_a_fold_with_every_label_is_not_held_out(tmp_path: Path):
    """One video, or one labeled photo: its labels teach, judge nothing, and are known as learned; the run says so."""
    fold = np.arange(8) < 6
    points, split = people.draw(tmp_path / "images", 8), np.array(["train"] * 6 + ["unlabeled"] * 2)
    rows = people.people(points, split, fold=fold)
    frozen = snapshots.Snapshot("x", people.SKELETON, rows, np.ones(4, bool))
    assert data.split_people(frozen, settings()).labeled.tolist() == [0, 1, 2, 3, 4, 5]
    assert data.split_people(frozen, settings()).unlabeled.tolist() == list(range(8))
    run = people.write_run(
        tmp_path, "one", people.write_snapshot(tmp_path, rows), {"train.steps": 2}
    )
    assert worker.run(run)["fold"] == {}
    said = [event.message for event in RunFolder(run).events() if isinstance(event, Warned)]
    assert session.ALL_HELD in said
    shown = seen.labels(tmp_path, "one", rows)
    assert shown is not None and (shown.any(axis=(0, 2)) == fold).all()


def test_labels_of_people_who_are_not_train_teach_nothing(
    project: Path, snapshot: snapshots.Snapshot
):
    """A file may be imported as unlabeled with its labels, to be held against what the students say."""
    rows = snapshot.people.take(np.arange(12))
    rows.state[6] = snapshots.PLACED
    rows.xy_image[6] = 40.0
    frozen = snapshots.Snapshot("x", people.SKELETON, rows, np.ones(4, bool))
    assert 6 in data.split_people(frozen, settings()).unlabeled
    assert (data.known_state(rows)[6] == snapshots.OPEN).all()
    assert (data.known_state(rows)[:6] == rows.state[:6]).all()
    source = data.open_source(frozen, project, settings())
    assert (source.state[6] == snapshots.OPEN).all() and (source.state[0] == snapshots.PLACED).all()


def test_cross_fit_hides_other_labels_from_each_student(
    project: Path, snapshot: snapshots.Snapshot
):
    """What a student leaves out teaches it nothing, in both branches, and teaches the other."""
    asked = settings(**{"data.cross_fit": 0.3, "data.hold_fold": False})
    source = data.open_source(snapshot, project, asked)
    mine, theirs = source.split.left_out
    assert len(mine) == len(theirs) == 2 and not set(mine) & set(theirs)
    assert set(mine) | set(theirs) <= set(source.split.labeled)
    method = objective.Method(asked, people.SKELETON.flip_index, contextlib.nullcontext)
    student: Any = torch.nn.Conv2d(3, 4, 4, 4)
    hidden = 0
    batches = data.batches(source, asked, first=1, last=4, device=torch.device("cpu"))
    for _, batch in batches:
        assert batch.shown is not None and batch.shown.shape == (2, 3 + 5)
        for k in (0, 1):
            kept = batch.shown[k, :3]
            hidden += int((~kept).sum())
            moved = batch.labeled_xy + 9 * (~kept)[:, None, None]
            alone = dataclasses.replace(batch, shown=batch.shown[k : k + 1])
            losses = [
                objective.supervised([student], given, method)["loss"]
                for given in (alone, dataclasses.replace(alone, labeled_xy=moved))
            ]
            taught = (batch.labeled_weight[kept] > 0).any()
            assert losses[0] == losses[1] and (losses[0] > 0) == taught
            if not kept.all():
                seen = dataclasses.replace(alone, shown=None, labeled_xy=moved)
                assert objective.supervised([student], seen, method)["loss"] != losses[0]
    assert hidden > 0


def test_pseudo_targets_without_an_open_keypoint_are_refused(tmp_path: Path):
    """Everybody is fully labeled, but for a keypoint that was declared absent and one that no label shows."""
    rows = people.people(people.draw(tmp_path / "images", 6), np.array(["train"] * 6))
    rows.state[0, 0] = objective.ABSENT
    rows.state[:, 3] = objective.OPEN
    name = people.write_snapshot(tmp_path, rows)
    with pytest.raises(TrainingError, match="there are none: no keypoint is open"):
        worker.run(people.write_run(tmp_path, "best", name, {"train.steps": 1}, preset="best"))
    worker.run(people.write_run(tmp_path, "plain", name, {"train.steps": 1}, preset="supervised"))
    rows.state[2, 1] = objective.OPEN
    name = people.write_snapshot(tmp_path, rows)
    worker.run(people.write_run(tmp_path, "one", name, {"train.steps": 1}, preset="best"))


def test_nobody_labeled_is_said_plainly(snapshot: snapshots.Snapshot):
    rows = snapshot.people.take(np.arange(6, 10))
    with pytest.raises(TrainingError, match="nobody to learn from"):
        data.split_people(
            snapshots.Snapshot("x", people.SKELETON, rows, np.zeros(4, bool)), settings()
        )


def test_lspet_in_coco_form_has_untaught_faces_and_the_weights_of_design_9(shared_data: Path):
    """Face keypoints that no label shows weigh nothing anywhere; placed ones are truth in both branches."""
    file = shared_data / "lspet" / "annotations" / "lspet_coco17_train.json"
    found = json.loads(file.read_text())["annotations"][:40]
    points = np.array([a["keypoints"] for a in found], float).reshape(-1, 17, 3)
    split = np.array(["train"] * 20 + ["unlabeled"] * 20)
    rows = people.people(points[..., :2], split)
    visible = points[..., 2] > 0
    rows.state[:] = visible & (split == "train")[:, None]
    frozen = snapshots.Snapshot("x", COCO17, rows, snapshots.taught(rows))
    assert frozen.taught.tolist() == [False] * 5 + [True] * 12
    parts = data.split_people(frozen, settings(**{"data.hold_fold": False}))
    assert len(parts.labeled) == 20 and len(parts.unlabeled) == 40
    batch = objective.Batch(
        labeled=torch.zeros(1), labeled_xy=torch.zeros(1), labeled_weight=torch.zeros(1),
        unlabeled=torch.zeros(40, 3, 128, 96), state=torch.from_numpy(rows.state.astype(np.int64)),
        placed_xy=torch.full((40, 17, 2), 40.0), taught=torch.from_numpy(frozen.taught),
    )  # fmt: skip
    chosen = torch.zeros(2, 40, 17, dtype=torch.int64)
    pool = objective.Pool(
        aggregated=torch.zeros(2, 40, 17, 32, 24), maps=torch.zeros(2, 40, 17, 32, 24),
        xy_map=torch.full((2, 40, 17, 2), 12.0), score=torch.ones(2, 40, 17),
        uncertainty=torch.zeros(2, 40, 17), accepted=chosen == 0,
        reason=torch.zeros(2, 40, 17, dtype=torch.int8), chosen=chosen,
    )  # fmt: skip
    method = objective.Method(config.make("paper", "small"), COCO17.flip_index, torch.no_grad)
    _, weight = objective.hard_target(batch, pool, 0, objective.augment.View.identity(40), method)
    assert (weight[:, :5] == 0).all() and (weight[:, 5:] == 1).all()
    nothing = objective.Pool(**{
        name: chosen - 1 if name == "chosen" else getattr(pool, name) for name in pool.__slots__
    })  # fmt: skip
    _, weight = objective.hard_target(
        batch, nothing, 0, objective.augment.View.identity(40), method
    )
    assert torch.equal(weight[:20].bool(), torch.from_numpy(visible[:20]))
    assert (weight[20:] == 0).all()
