"""Recipes of targets are the product's own, measured against labels."""

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import target_recipes
from posestudio import config as settings
from posestudio.core import heatmaps
from posestudio.train import pool
from tests.train import people as drawn


def test_every_recipe_is_a_valid_setting_and_different():
    made = [settings.make("paper", "small", changes) for changes in target_recipes.RECIPES.values()]
    assert len(set(made)) == len(made)
    assert all(one.views.count <= target_recipes.VIEWS for one in made)


def test_targets_of_known_votes():
    """Student a is right, b is wrong: each recipe takes what it says it takes."""
    right, wrong = torch.tensor([[[8.0, 9.0]]]), torch.tensor([[[20.0, 25.0]]])
    maps = [heatmaps.encode(at, (32, 24), 1.5).expand(6, 1, 1, 32, 24) for at in (right, wrong)]
    maps[1] = 0.5 * maps[1]
    seen = torch.ones(6, 1, 1, 32, 24, dtype=torch.bool)
    votes = [pool.Votes(one, seen) for one in maps]

    def target(name: str) -> tuple[list[float], float, bool]:
        changes = {**target_recipes.RECIPES[name], "data.spread": 1.5}
        config = settings.make("paper", "small", changes)
        method = pool.Method(config, (0,), torch.no_grad)
        xy_crop, score, kept = target_recipes.targets_of(votes, config, method)
        return ((xy_crop[0, 0] + 0.5) / 4 - 0.5).tolist(), float(score[0, 0]), bool(kept[0, 0])

    assert target("the other student, one view (posedual)")[0] == pytest.approx([20, 25], abs=0.01)
    both = target("both students, mean with mirror (best)")
    assert both[0] == pytest.approx([8, 9], abs=0.01) and both[1] == pytest.approx(0.5)
    assert not target("both students, mean of 4, 3 of 4 agree")[2]
    assert target("max of 4, least uncertain, threshold 0.3 (paper)")[2]


def test_measures_against_labels_by_hand(tmp_path: Path):
    points = drawn.draw(tmp_path / "images", 4)
    people = drawn.people(points, np.array(["val"] * 4))
    matrices = np.tile(np.array([[2.0, 0, 5], [0, 2.0, 7]]), (4, 1, 1))
    xy_crop = points @ np.diag([2.0, 2.0]) + [5, 7]
    xy_crop[0, 0] += [2 * 0.2 * 84, 0]
    kept = np.ones((4, 4), bool)
    kept[1, 1] = False
    score = np.full((4, 4), 0.9)
    score[0, 0] = 0.1
    found = target_recipes.measure(people, xy_crop, score, kept, matrices, drawn.SKELETON)
    assert found["coverage"] == pytest.approx(15 / 16)
    assert found["wrong"] == pytest.approx(1 / 15) and found["wrong_surest_60"] == 0
    assert found["distance"] == pytest.approx(0, abs=1e-9) and found["ap"] > 0.5
