"""The threshold of each keypoint, read off labels that a student never saw."""

import json
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from posestudio.config import Config
from posestudio.core import geometry
from posestudio.errors import TrainingError
from posestudio.models.pose_net import PoseNet
from posestudio.store.snapshots import PLACED, People
from posestudio.train import data, pool, validate
from posestudio.train.run_folder import RunFolder

FILE = "thresholds.json"
RIGHT = 0.15
"""An offer is right within this share of the box's height."""
LEAST_ALONE = 50
"""Offers from which a keypoint has a threshold of its own; with fewer, all keypoints' offers are read together."""
LIMITS = (0.1, 0.7)
"""Thresholds stay between these. Source: as `LEAST_ALONE` from our notes on the method, not from the publication."""
CHUNK = 32


def unseen(people: People, learned: np.ndarray, config: Config, *, begun: bool) -> np.ndarray:
    """Labels by which the offers of each student may be judged before a run: of the held-out fold, else all unseen.

    Args:
        people: N people of the run.
        learned: (2, N, K) bool, labels that each student learned in the runs before.
        config: of the run.
        begun: whether the students come from a run before; others know nothing yet of labels that they will learn.

    Returns:
        (2, N, K) bool, for students a and b.
    """
    usable = (people.state == PLACED) & ((people.split == "train") & ~people.iscrowd)[:, None]
    fresh = usable & ~learned
    held = fresh & (people.fold & config.data.hold_fold)[:, None]
    return held if held.any() or not begun else fresh


def calibrated(
    folder: RunFolder,
    students: Sequence[PoseNet],
    source: data.Source,
    unseen: np.ndarray,
    method: pool.Method,
) -> Tensor:
    """Thresholds (K,) of a run, from its folder if it has them, else measured and written there.

    Args:
        folder: of the run.
        students: one or two.
        source: of its people.
        unseen: (2, N, K) bool, labels that judge each student's offers, see `unseen`.
        method: of its pool.

    Raises:
        TrainingError: no label is unseen.
    """
    path = folder.path / FILE
    if path.exists():
        return torch.tensor(json.loads(path.read_text())["threshold"])
    if not unseen.any():
        raise TrainingError(
            "pool.gate=calibrated needs labels that no student saw. Train with data.hold_fold=true, or start "
            "--from a run with data.cross_fit."
        )
    parts = [
        opinions(student, source, mine, method)
        for student, mine in zip(students, unseen, strict=False)
    ]
    score = np.concatenate([part[0] for part in parts])
    right = np.concatenate([part[1] for part in parts])
    threshold = least_peaks(score, right, method.config.pool.precision)
    folder.write_json(FILE, {"threshold": threshold.tolist(), "people": len(score)})
    return torch.tensor(threshold)


@torch.no_grad()
def opinions(
    student: PoseNet, source: data.Source, unseen: np.ndarray, method: pool.Method
) -> tuple[np.ndarray, np.ndarray]:
    """A student's offers for the M people who have an unseen label.

    Args:
        student: whose.
        source: of N people.
        unseen: (N, K) bool, labels to judge by.
        method: of the pool.

    Returns:
        score: (M, K) peak heights. right: (M, K), 1 within RIGHT of the box's height of the label, 0 beyond, NaN
        without such a label.
    """
    config: Config = method.config
    scores, rights, people = [], [], np.flatnonzero(unseen.any(axis=1))
    device = next(student.parameters()).device
    alone = pool.Method(_ungated(config), method.flip_index, method.passes)
    training = student.training
    student.eval()
    for at in range(0, len(people), CHUNK):
        index = people[at : at + CHUNK]
        crops = validate.plain_crops(source, index, method.size_hw).to(device)
        generator = data.step_generator(config.train.seed, at, 10)
        views = pool.draw_views(
            generator, crops, config.views.count, config.data.color, mirror=method.mirrors
        )
        found = pool.make_pool([pool.predict_views(student, views, alone)], alone)
        xy_crop = geometry.points_to_crop(found.xy_map[0].cpu(), PoseNet.stride)
        near = (xy_crop - source.xy_crop[index]).norm(dim=-1) <= RIGHT * source.height[index][
            :, None
        ]
        scores.append(found.score[0].cpu().numpy())
        rights.append(np.where(unseen[index], near.numpy(), np.nan))
    student.train(training)
    keypoints = len(source.taught)
    if not scores:
        return np.zeros((0, keypoints)), np.zeros((0, keypoints))
    return np.concatenate(scores), np.concatenate(rights)


def least_peaks(score: np.ndarray, right: np.ndarray, precision: float) -> np.ndarray:
    """The least peak (K,) from which a share `precision` of the offers is right, within LIMITS.

    Args:
        score: (N, K) peak heights.
        right: (N, K) 1, 0 or NaN for unknown.
        precision: share asked for. Where no peak gives it, the upper limit.
    """
    known = ~np.isnan(right)
    together = _least(score[known], right[known], precision)
    found = [
        _least(score[mine, k], right[mine, k], precision) if mine.sum() >= LEAST_ALONE else together
        for k, mine in enumerate(known.T)
    ]
    return np.clip(np.array(found), *LIMITS)


def _least(score: np.ndarray, right: np.ndarray, precision: float) -> float:
    order = np.argsort(-score, kind="stable")
    share = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    enough = np.flatnonzero(share >= precision)
    return float(score[order[enough[-1]]]) if len(enough) else LIMITS[1]


def _ungated(config: Config) -> Config:
    """The same settings with every offer accepted, and an offer of each student's own votes."""
    kept = replace(config.pool, gate="fixed", threshold=0.0, share=False)
    return replace(config, pool=kept)
