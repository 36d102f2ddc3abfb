"""The pool ledger: rows say where votes and offers lie in the photograph, and survive stops and crashes exactly."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from posestudio import config as settings
from posestudio.core import geometry, heatmaps, pseudo
from posestudio.models.pose_net import PoseNet
from posestudio.store.snapshots import OPEN
from posestudio.store.snapshots import read as read_snapshot
from posestudio.train import data, ledger, ledger_rows, objective, pool, worker
from posestudio.train.run_folder import RunFolder
from tests.train import people

VIEWS = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    points = people.draw(folder / "images", 24)
    split = np.array(["train"] * 10 + ["unlabeled"] * 14)
    boxes = np.tile([8.0, 6.0, 64.0, 84.0], (24, 1)) + np.arange(24)[:, None] % 5
    people.write_snapshot(folder, people.people(points, split, box_xywh=boxes))
    np.save(folder / "points.npy", points)
    return folder


def make(project: Path, name: str, **changes: object) -> RunFolder:
    settings = {
        "train.ledger_every": 2,
        "train.steps": 10,
        "views.count": VIEWS,
        "pool.threshold": 0.02,
    }
    return people.make_run(project, name, "paper", changes={**settings, **changes})


@pytest.fixture(scope="module")
def whole(project: Path) -> RunFolder:
    run = make(project, "whole", **{"train.save_every": 4})
    worker.run(run.path)
    return run


def read(run: RunFolder) -> list[dict]:
    return [row for path in ledger.parts(run) for row in pq.read_table(path).to_pylist()]


def test_positions_are_those_of_the_photograph_whatever_the_crop_was_turned_into(project: Path):
    """Votes painted at the true keypoints of turned and mirrored crops come out at the true pixels."""
    run = make(project, "painted", **{"data.height": 128, "data.width": 96})
    config, truth = run.config(), np.load(project / "points.npy")
    snapshot = read_snapshot(project / "snapshots" / str(run.record()["snapshot"]))
    source = data.open_source(snapshot, project, config)
    index = np.array([0, *range(10, 24)])
    batch = data.assemble(source, config, index, source.crops[index], 1, 1, torch.device("cpu"))
    assert batch.easy is not None and batch.index is not None and batch.easy.flipped.any()
    flip_index = snapshot.skeleton.flip_index
    method = objective.Method(config, flip_index, torch.no_grad)
    who = batch.index.numpy()
    matrix = geometry.box_to_crop(
        torch.from_numpy(snapshot.people.box_xywh[who]), method.size_hw, config.data.padding
    )
    xy_crop = batch.easy.points(geometry.apply(matrix, torch.from_numpy(truth[who])), flip_index)
    maps = heatmaps.encode(geometry.points_to_map(xy_crop.float(), PoseNet.stride), (32, 24), 2.0)
    stray = maps.roll(8, dims=-1)  # the second view sees everything elsewhere
    votes = pool.Votes(torch.stack([maps, stray, maps]), torch.ones(3, len(who), 1, 32, 24) > 0)
    found = pool.make_pool([votes, votes], method)
    open_ = snapshot.people.state[who] == OPEN
    table = ledger_rows.rows(
        [votes, votes], found, method, step=7, instance_id=snapshot.people.instance_id[who],
        box_xywh=snapshot.people.box_xywh[who], asked=open_, easy=batch.easy,
    )  # fmt: skip
    rows = table.to_pylist()
    assert len(rows) == 2 * open_.sum() and {row["step"] for row in rows} == {7}
    seen = geometry.inside(xy_crop, method.size_hw)
    inside = batch.easy.swap(seen, flip_index).numpy()
    zoom = torch.linalg.det(batch.easy.matrix[..., :2]).abs().sqrt() * matrix[:, 0, 0]
    cell = PoseNet.stride / zoom.numpy()
    place = {int(one): number for number, one in enumerate(snapshot.people.instance_id[who])}
    checked = 0
    for row in rows:
        person, keypoint = place[row["instance_id"]], row["keypoint"]
        if not inside[person, keypoint]:
            continue
        checked += 1
        true = truth[who[person], keypoint]
        near = np.hypot(row["view_x"][0] - true[0], row["view_y"][0] - true[1])
        assert near <= 0.75 * cell[person]
        assert row["view_agrees"] == [True, False, True] and len(row["view_score"]) == 3
        assert row["reason"] == "accepted" and 0.8 < row["score"] <= 1
    assert checked > 60


def test_rows_say_what_the_pool_said():
    """Against the pool of two voters who disagree: who teaches whom, why not, and how sure."""
    draws = torch.Generator().manual_seed(0)
    maps = torch.rand(2, VIEWS, 5, 4, 16, 16, generator=draws) * torch.rand(
        2, 1, 5, 4, 1, 1, generator=draws
    )
    votes = [pool.Votes(one, torch.ones(VIEWS, 5, 1, 16, 16) > 0) for one in maps]
    config = settings.make("paper", "tiny", {
        "data.height": 64, "data.width": 64, "pool.threshold": 0.5, "select.rule": "cross",
    })  # fmt: skip
    method = objective.Method(config, people.SKELETON.flip_index, torch.no_grad)
    found = pool.make_pool(votes, method)
    asked = torch.rand(5, 4, generator=draws).numpy() < 0.7
    rows = ledger_rows.rows(
        votes, found, method, step=1, instance_id=np.arange(5), box_xywh=np.tile([0.0, 0, 64, 64], (5, 1)),
        asked=asked,
    ).to_pylist()  # fmt: skip
    assert {row["teaches"] for row in rows} >= {"", "a", "b"}
    for row in rows:
        voter, who, keypoint = "ab".index(row["voter"]), row["instance_id"], row["keypoint"]
        learners = [s for s in range(2) if found.chosen[s, who, keypoint] == voter]
        assert row["teaches"] == "".join("ab"[s] for s in learners)
        assert row["reason"] == pseudo.REASONS[int(found.reason[voter, who, keypoint])]
        assert row["uncertainty"] == pytest.approx(float(found.uncertainty[voter, who, keypoint]))
    assert len(rows) == 2 * asked.sum()


def test_training_writes_every_nth_step(whole: RunFolder):
    rows = read(whole)
    assert sorted({row["step"] for row in rows}) == [2, 4, 6, 8, 10]
    assert [path.name for path in ledger.parts(whole)] == [
        "00000004.parquet", "00000008.parquet", "00000010.parquet",
    ]  # fmt: skip
    assert {row["instance_id"] for row in rows} <= set(range(11, 25))  # the labeled are 1 to 10
    assert all(len(row["view_x"]) == VIEWS for row in rows)
    assert not list((whole.path / "ledger").glob(".*"))


@pytest.mark.parametrize(
    ("preset", "voters", "learners"),
    [
        ("posecons", "a", "a"),
        ("posedual", "ab", "ab"),
        ("best", "ab", "ab"),
        ("distill", "ab", "a"),
    ],
)
def test_every_method_is_logged(project: Path, whole: RunFolder, preset, voters, learners):
    small = {"train.ledger_every": 1, "train.steps": 2, "data.height": 64, "data.width": 64}
    run = people.make_run(project, f"log-{preset}", preset, start=whole.path.name, changes=small)
    worker.run(run.path)
    rows = read(run)
    assert {row["voter"] for row in rows} == set(voters)
    assert set("".join(row["teaches"] for row in rows)) == set(learners)
    views = run.config().views.count
    assert all(len(row["view_agrees"]) == views for row in rows)


def test_a_person_is_shown_as_logged(whole: RunFolder):
    rows = read(whole)
    one = rows[0]["instance_id"]
    found = ledger.logged(whole, one)
    assert len(found) == sum(row["instance_id"] == one for row in rows) > 0
    assert found == sorted(found, key=lambda row: (row["step"], row["keypoint"], row["voter"]))
    assert ledger.logged(whole, 3) == []


def test_nothing_is_written_when_not_asked(project: Path):
    run = make(project, "none", **{"train.ledger_every": 0, "train.steps": 2})
    worker.run(run.path)
    assert ledger.parts(run) == [] and ledger.logged(run, 11) == []


def test_a_resumed_run_has_the_rows_of_an_undisturbed_one(project: Path, whole: RunFolder):
    run = make(project, "resumed", **{"train.save_every": 4})
    asked = iter(range(1, 20))
    worker.run(run.path, stop=lambda: next(asked) == 6)
    before = read(run)
    assert max(row["step"] for row in before) == 6
    run.path.joinpath("ledger", "00000008.parquet").write_bytes(b"of a future that was lost")
    worker.run(run.path)
    assert read(run) == read(whole)


def test_files_of_another_form_are_left_out(whole: RunFolder, tmp_path: Path):
    torn, old = tmp_path / "torn.parquet", tmp_path / "old.parquet"
    torn.write_bytes(ledger.parts(whole)[0].read_bytes()[:-50])
    pq.write_table(pa.table({"instance_id": [11, 12], "accepted": [True, False]}), old)
    one = read(whole)[0]["instance_id"]
    alone = ledger.offers(ledger.parts(whole), [one])
    found = ledger.offers([torn, *ledger.parts(whole), old], [one])
    assert len(found["x"]) > 0 and list(found) == ledger.FLAT
    assert all((found[name] == alone[name]).all() for name in found)
    assert (
        len(ledger.offers([old], [11])["x"])
        == 0
        == len(ledger.offers(ledger.parts(whole), [])["x"])
    )
