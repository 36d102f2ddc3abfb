"""Oracles choose by the truth and nothing else, lies are lies, and the numbers about pools are right."""

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks import rendered, rendered_oracles, rendered_pools
from benchmarks.budget import cell as cells
from benchmarks.budget.study import Cell
from benchmarks.datasets import keep
from benchmarks.rendered_oracles import Spots
from posestudio import config as settings
from posestudio.core import geometry, heatmaps
from posestudio.core.skeleton import COCO17
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.models.weights import save_student
from posestudio.train import data, objective, worker
from posestudio.train.pool import Method, Pool, Votes, make_pool
from posestudio.train.run_folder import STUDENT_FILES, RunFolder

K, CELLS = 17, (32, 24)
TINY = {
    "data.height": 96, "data.width": 64, "data.batch_labeled": 3, "data.batch_unlabeled": 4,
    "model.head_channels": 8, "train.steps": 2, "train.threads": 1, "loss.ramp": 1,
}  # fmt: skip


def drawn(*places: Tensor, peak: float = 1.0) -> list[Votes]:
    """Votes of students whose single view is a Gaussian at each of `places` (U, K, 2)."""
    maps = [peak * heatmaps.encode(xy, CELLS, 2.0) for xy in places]
    valid = torch.ones(1, len(places[0]), 1, *CELLS, dtype=torch.bool)
    return [Votes(one[None], valid) for one in maps]


def pool_of(votes: list[Votes], **changes: Any) -> Pool:
    config = settings.make("paper", "tiny", {"pool.threshold": 0.3, **changes})
    return make_pool(votes, Method(config, COCO17.flip_index, contextlib.nullcontext))


def truth_at(xy_map: Tensor, height: float = 20.0) -> Spots:
    return Spots(xy_map, torch.full((len(xy_map),), height))


@pytest.fixture
def true() -> Tensor:
    """(2, K, 2) whole cells well inside the map."""
    draws = np.random.default_rng(0).integers([6, 6], [18, 26], (2, K, 2))
    return torch.from_numpy(draws).float()


def moved(xy: Tensor, cells: float) -> Tensor:
    return xy + torch.tensor([cells, 0.0])


def test_oracle_select_takes_the_nearest_accepted_offer(true: Tensor):
    pool = pool_of(drawn(moved(true, 5), moved(true, 2)))
    assert pool.accepted.all()
    assert (rendered_oracles.nearest(pool, truth_at(true)).chosen == 1).all()
    pool = pool_of([drawn(moved(true, 5))[0], drawn(moved(true, 2), peak=0.1)[0]])
    assert (rendered_oracles.nearest(pool, truth_at(true)).chosen == 0).all()
    pool = pool_of(drawn(true, true, peak=0.1))
    assert (rendered_oracles.nearest(pool, truth_at(true)).chosen == -1).all()


def test_oracle_select_leaves_what_nobody_knows(true: Tensor):
    pool = pool_of(drawn(moved(true, 5), true))
    unknown = true.clone()
    unknown[0, 3] = torch.nan
    chosen = rendered_oracles.nearest(pool, truth_at(unknown)).chosen
    assert (chosen[:, 0, 3] == pool.chosen[:, 0, 3]).all() and pool.chosen[0, 0, 3] == 0
    assert chosen.sum() == chosen.numel() - 2


@pytest.mark.parametrize("rule", ["min_uncertainty", "cross"])
def test_oracle_filter_accepts_what_is_right(true: Tensor, rule: Any):
    """0.15 of 20 cells are 3: an offer 2 cells off is right at any height, one 4 cells off never."""
    near = [drawn(moved(true, 2), peak=0.1)[0], drawn(moved(true, 4))[0]]
    pool = rendered_oracles.right_ones(pool_of(near), truth_at(true), rule)
    assert pool.accepted[0].all() and not pool.accepted[1].any()
    assert ((pool.reason == 0) == pool.accepted).all()
    expected = [0, 0] if rule == "min_uncertainty" else [-1, 0]
    assert (pool.chosen == torch.tensor(expected)[:, None, None]).all()
    unknown = truth_at(torch.full_like(true, torch.nan))
    assert (rendered_oracles.right_ones(pool, unknown, rule).chosen == -1).all()


def test_lies_are_confident_and_stay_where_they_are_told(true: Tensor):
    pool = pool_of(drawn(true, moved(true, 4), peak=0.1))
    assert (pool.chosen == -1).all()
    told = torch.zeros(2, K, dtype=torch.bool)
    told[1, 5:] = True
    lies = rendered_oracles.misled(pool, moved(true, 5), told, 2.0)
    for field in ("aggregated", "maps", "xy_map", "uncertainty", "chosen", "accepted"):
        before, after = getattr(pool, field), getattr(lies, field)
        assert torch.equal(before[:, ~told], after[:, ~told])
    assert (lies.chosen[:, told] == 0).all() and lies.accepted[:, told].all()
    peaks, height = heatmaps.decode(lies.aggregated[0], "argmax")
    assert torch.equal(peaks[told], moved(true, 5)[told]) and (height[told] == 1).all()
    assert torch.equal(lies.score, pool.score)


def student(config: settings.Config, seed: int) -> PoseNet:
    """A network with random weights whose maps have clear peaks."""
    spec = ModelSpec(
        backbone=config.model.backbone, head_channels=config.model.head_channels, num_keypoints=K,
        height=config.data.height, width=config.data.width, padding=config.data.padding,
        spread=config.data.spread, feature_stride=config.model.feature_stride,
    )  # fmt: skip
    net = build(spec, seed)
    torch.nn.init.normal_(net.final.weight, std=0.2, generator=torch.Generator().manual_seed(seed))
    return net


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of preset paper on ten rendered people, not yet trained."""
    folder = tmp_path_factory.mktemp("oracles")
    rendered.make(folder / "set", people=10, may_label=4, dev=1, test=2)
    dataset = rendered.rendered(folder / "set", folder)
    start, made = (RunFolder(dataset.project / "runs" / name) for name in ("start", "one"))
    config = settings.make("paper", "tiny", TINY)
    for seed, file in enumerate(STUDENT_FILES.values()):
        start.path.mkdir(parents=True, exist_ok=True)
        save_student(start.path / file, student(config, seed), {})
    made.path.mkdir()
    made.write_json("config.json", settings.to_dict(config))
    snapshot = keep(dataset, dataset.snapshot(3, 0))
    made.write_json("run.json", {"snapshot": snapshot, "from": "start", "weights": None})
    return made


def truth_for(run: RunFolder) -> rendered_oracles.Truth:
    people = rendered.exact_people(run.project.parent / "set")
    return rendered_oracles.truth_of(people, COCO17, run.config())


def first_batches(run: RunFolder, steps: int = 4) -> list[objective.Batch]:
    config = run.config()
    snapshot = rendered.rendered(run.project.parent / "set", run.project.parent).snapshot(3, 0)
    source = data.open_source(snapshot, run.project, config)
    device = torch.device("cpu")
    return [b for _, b in data.batches(source, config, first=1, last=steps, device=device)]


def test_the_truth_moves_with_the_crop(run: RunFolder):
    """Where a person of the batch is labeled, the product's own path says where; flips and turns are among them."""
    truth, compared, flipped = truth_for(run), 0, 0
    for batch in first_batches(run, 6):
        assert batch.state is not None and batch.placed_xy is not None and batch.easy is not None
        found = rendered_oracles.spots(truth, batch)
        placed = batch.state == objective.PLACED
        expected = geometry.points_to_map(batch.placed_xy, PoseNet.stride)
        assert torch.allclose(found.xy_map[placed], expected[placed], atol=1e-3)
        compared, flipped = compared + int(placed.sum()), flipped + int(batch.easy.flipped.sum())
        zoom = torch.linalg.svdvals(batch.easy.matrix[..., :2])[:, 0].float()
        height = truth.height[batch.index] / PoseNet.stride
        assert torch.allclose(found.height, height * zoom, rtol=1e-4)
    assert compared > 60 and 4 < flipped < 20


def test_wrong_targets_are_far_stable_and_nested(run: RunFolder):
    truth = truth_for(run)
    wrong = rendered_oracles.wrong_places(np.random.default_rng(1), truth)
    gap = (wrong - truth.xy_crop).norm(dim=-1) / truth.height[:, None]
    assert (gap >= rendered_oracles.APART).float().mean() > 0.98 and gap.min() > 0.15
    assert geometry.inside(wrong, truth.size_hw).all()
    told: dict[int, Tensor] = {}
    halves: dict[int, Tensor] = {}
    shares = {0.0: 0.0, 0.5: 0.0, 1.0: 0.0}
    batches = first_batches(run)
    for batch in batches:
        assert batch.index is not None and batch.easy is not None
        true = rendered_oracles.spots(truth, batch)
        votes = drawn(torch.full((4, K, 2), 9.0), torch.full((4, K, 2), 9.0))
        size = (votes[0].maps[..., :24, :16], votes[0].valid[..., :24, :16])
        pool = pool_of([Votes(*size)] * 2)
        before = None
        for share in shares:
            lies = rendered_oracles.wrong_targets(truth, share, seed=2)(pool, batch)
            changed = (lies.xy_map != pool.xy_map).any(-1).all(0)
            assert before is None or not (before & ~changed).any()
            shares[share] += float(changed.float().mean()) / len(batches)
            before = changed
            if share == 0.5:
                whose = batch.easy.swap(changed, COCO17.flip_index)
                for person, mine in zip(batch.index.tolist(), whose, strict=True):
                    assert torch.equal(halves.setdefault(person, mine), mine)
        assert (rendered_oracles.errors(lies.xy_map, true) > 0.15).all()
        xy = geometry.points_to_crop(lies.xy_map[0], PoseNet.stride)
        back = geometry.apply(geometry.invert(batch.easy.matrix), xy)
        back = batch.easy.swap(back, COCO17.flip_index)
        for person, places in zip(batch.index.tolist(), back, strict=True):
            again = told.setdefault(person, places)
            assert torch.allclose(again, places, atol=1e-2)
    assert shares == pytest.approx({0.0: 0.0, 0.5: 0.5, 1.0: 1.0}, abs=0.1)
    assert shares[0.0] == 0 and len(told) < 4 * len(batches)


def test_training_learns_what_is_chosen(run: RunFolder):
    """The students of two oracles and of a lie differ; the same choice gives the same students."""
    truth, made = truth_for(run), []
    names = ["oracle_select", "oracle_filter", "wrong_targets", "oracle_select"]
    for name in names:
        run.state_path.unlink(missing_ok=True)
        assert worker.run(run.path, choose=rendered_oracles.ORACLES[name](truth))["steps"] == 2
        made.append(load_file(run.path / "student_a.safetensors")["final.weight"])
    assert torch.equal(made[0], made[3])
    assert not any(torch.equal(made[a], made[b]) for a, b in ((0, 1), (0, 2), (1, 2)))


def test_oracles_are_arms_of_the_label_budget(run: RunFolder, tmp_path: Path):
    """The cells of both oracles and of best start alike, and end with other students and a line each."""
    place, weights = run.project.parent / "set", tmp_path / "weights.pth"
    torch.save(student(run.config(), 0).backbone.body.state_dict(), weights)
    changes = {key: str(value) for key, value in TINY.items() if key != "loss.ramp"}
    changes |= {"model.backbone": "shufflenet_v2_x0_5", "model.freeze": "0", "loss.ramp": "0"}
    changes |= {"model.feature_stride": "32", "train.precision": "fp32"}
    dataset = rendered.rendered(place, tmp_path)
    where = cells.Place(dataset, str(place), tmp_path, str(weights), lambda: False, lambda _: None)
    made = {}
    for arm in ("best", "oracle_select", "oracle_filter"):
        cell = Cell("rendered", "brief", arm, 3, 0, 1, changes)
        assert cells.run_cell(cell, where)
        made[arm] = load_file(where.run(cell).path / "student_a.safetensors")["final.weight"]
        assert cells.finished(tmp_path)[cell.name]["steps"] == 2
    assert not torch.equal(made["best"], made["oracle_select"])
    assert not torch.equal(made["best"], made["oracle_filter"])


def test_measure_reads_a_run(run: RunFolder, capsys: pytest.CaptureFixture[str]):
    truth = truth_for(run)
    run.state_path.unlink(missing_ok=True)
    worker.run(run.path, choose=rendered_oracles.oracle_filter(truth))
    found = rendered_pools.measure(run, truth, steps=3)
    assert found["gated_coverage"] is not None and 0 <= found["gated_coverage"] <= 1
    assert found["raw_wrong"] is not None and found["raw_wrong"] > 0.3
    better = rendered_pools.measure(
        run, truth, steps=3, choose=rendered_oracles.oracle_filter(truth)
    )
    assert better["gated_wrong"] in (0.0, None) and better["chosen_wrong"] in (0.0, None)
    assert better["aggregated_wrong"] == found["aggregated_wrong"]
    place = run.project.parent / "set"
    assert rendered_pools.main([str(place), str(run.path), "--steps", "3"]) == 0
    assert json.loads(capsys.readouterr().out) == found


def test_a_recipe_can_be_judged_on_other_students(run: RunFolder, capsys):
    start, place = run.path.parent / "start", run.project.parent / "set"
    config = settings.make("supervised", "tiny", TINY)
    RunFolder(start).write_json("config.json", settings.to_dict(config))
    RunFolder(start).write_json("run.json", RunFolder(run.path).record())
    words = [str(place), str(start), "--steps", "2"]
    assert rendered_pools.main(words) == 1 and "--preset" in capsys.readouterr().err
    found = []
    for threshold in (0.0, 0.9):
        changes = ["--preset", "paper", "--set", f"pool.threshold={threshold}"]
        assert rendered_pools.main([*words, *changes]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["gated_coverage"] > found[1]["gated_coverage"]
    assert found[0]["aggregated_wrong"] == found[1]["aggregated_wrong"]
    assert rendered_pools.main([*words, "--preset", "paper", "--set", "pool.gate=calibrated"]) == 1
    assert "thresholds.json" in capsys.readouterr().err


def numbers(pool: Pool, votes: list[Votes], true: Spots) -> dict[str, float | None]:
    counted = torch.ones(2, K, dtype=torch.bool)
    counted[0, 0] = False
    return rendered_pools.summary(rendered_pools.entries(pool, votes, true, counted))


def test_a_perfect_pool(true: Tensor):
    votes = drawn(true, true)
    found = numbers(pool_of(votes), votes, truth_at(true))
    wrong = [found[f"{name}_wrong"] for name in ("raw", "aggregated", "gated", "chosen")]
    assert wrong == [0.0] * 4 and found["gated_coverage"] == found["chosen_coverage"] == 1.0
    assert found["regret"] == found["apart"] == 0.0 and found["mean_peak"] == pytest.approx(1.0)
    assert found["auroc_uncertainty"] is found["chosen_better"] is found["chosen_right"] is None


def test_a_pool_that_chose_badly(true: Tensor):
    """The first student is 4 of 20 cells off and chosen, the second is 1 off."""
    votes = drawn(moved(true, 4), moved(true, 1))
    pool = pool_of(votes)
    pool = dataclasses.replace(pool, chosen=torch.zeros_like(pool.chosen))
    found = numbers(pool, votes, truth_at(true))
    assert found["aggregated_wrong"] == found["gated_wrong"] == 0.5 and found["chosen_wrong"] == 1.0
    assert found["regret"] == pytest.approx(3 / 20) and found["apart"] == pytest.approx(3 / 20)
    assert found["chosen_better"] == found["chosen_right"] == 0.0
    best = numbers(rendered_oracles.nearest(pool, truth_at(true)), votes, truth_at(true))
    assert best["regret"] == best["chosen_wrong"] == 0.0
    assert best["chosen_better"] == best["chosen_right"] == 1.0


def test_coverage_counts_what_nobody_chose(true: Tensor):
    votes = [drawn(true)[0], drawn(true, peak=0.1)[0]]
    pool = pool_of(votes, **{"select.rule": "cross"})
    found = numbers(pool, votes, truth_at(true))
    assert found["gated_coverage"] == found["chosen_coverage"] == 0.5
    assert found["mean_peak"] == pytest.approx(0.55) and found["auroc_confidence"] is None


def test_auroc_is_the_share_of_ordered_pairs():
    rng = np.random.default_rng(0)
    score = torch.from_numpy(rng.integers(0, 8, 60)).float()
    positive = torch.from_numpy(rng.random(60) < 0.4)
    pairs = score[positive][:, None] - score[~positive][None]
    expected = ((pairs > 0).double() + 0.5 * (pairs == 0).double()).mean()
    assert rendered_pools.auroc(score, positive) == pytest.approx(float(expected))
    assert rendered_pools.auroc(positive.float(), positive) == 1.0
    assert rendered_pools.auroc(score, torch.zeros(60, dtype=torch.bool)) is None


def test_steps_join(true: Tensor):
    counted = torch.ones(2, K, dtype=torch.bool)
    parts = []
    for off in (0.0, 5.0):
        votes = drawn(moved(true, off), moved(true, off))
        parts.append(rendered_pools.entries(pool_of(votes), votes, truth_at(true), counted))
    both = rendered_pools.summary(rendered_pools.joined(parts))
    assert both["chosen_wrong"] == 0.5 and both["chosen_coverage"] == 1.0


def test_the_data_folder_must_be_a_set(run: RunFolder, tmp_path: Path, capsys):
    assert rendered_pools.main([str(tmp_path), str(run.path)]) == 1
    assert "answers.json" in capsys.readouterr().err
