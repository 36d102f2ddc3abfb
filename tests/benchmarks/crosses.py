"""A small dataset of drawn crosses and a place to train on it in seconds."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.budget.cell import Place
from benchmarks.budget.study import Cell
from benchmarks.datasets import Dataset
from posestudio.models.pose_net import ModelSpec, build
from tests.train import people as drawn

CHANGES = {
    "model.backbone": "shufflenet_v2_x0_5", "model.head_channels": "8", "model.freeze": "0",
    "data.height": "64", "data.width": "64", "data.batch_labeled": "4", "data.batch_unlabeled": "4",
    "train.steps": "8", "train.save_every": "4", "train.warmup": "2", "train.precision": "fp32",
}  # fmt: skip


def dataset(project: Path, *, given: bool = True) -> Dataset:
    """30 crosses: 12 may be labeled, 6 are never, and 4 judge in each of three splits."""
    points = drawn.draw(project / "images", 30)
    rows = drawn.people(points, np.full(30, "val"))
    may_label = np.zeros(18, bool)
    may_label[[0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14]] = True
    return Dataset(
        name="crosses",
        skeleton=drawn.SKELETON,
        project=project,
        learnable=rows.take(np.arange(18)),
        may_label=may_label,
        given={3: frozenset({"1.png", "4.png", "9.png"})} if given else {},
        judges={
            name: rows.take(np.arange(at, at + 4))
            for name, at in (("dev", 18), ("val", 22), ("test2", 26))
        },
    )


def place(known: Dataset, folder: Path, stop: Callable[[], bool] = lambda: False) -> Place:
    """A place to train on the dataset, with weights of a small backbone; results go into the folder."""
    weights = folder / "weights.pth"
    if not weights.exists():
        spec = ModelSpec(
            backbone="shufflenet_v2_x0_5", head_channels=8, num_keypoints=4, height=64, width=64,
            padding=1.1, spread=1.5,
        )  # fmt: skip
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(build(spec, seed=0).backbone.body.state_dict(), weights)
    return Place(known, "data/crosses", folder / "results", str(weights), stop, lambda line: None)


def cell(arm: str, budget: int = 3, seed: int = 0, **changes: str) -> Cell:
    """A cell that trains for 8 steps."""
    return Cell("crosses", "quick", arm, budget, seed, 1, {**CHANGES, **changes})
