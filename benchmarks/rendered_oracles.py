"""What the truth can do inside a training step: oracles that choose by it, and targets that are wrong on purpose.

A Choose fits `worker.run(..., choose=...)`: it is told the pool of a step and its batch, and gives back
the pool with other choices. oracle_select and oracle_filter are ceilings of selection and of acceptance; wrong_targets
is the stress that alarms must notice. Nothing in the product knows of the truth.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.rendered import exact_people
from posestudio.config import Config
from posestudio.core import augment, geometry, heatmaps, pseudo
from posestudio.core.skeleton import Skeleton
from posestudio.models.pose_net import PoseNet
from posestudio.store.snapshots import People
from posestudio.train import worker
from posestudio.train.objective import Batch
from posestudio.train.pool import Pool

Choose = worker.Choose

WRONG = 0.15
"""An offer is wrong when it lies more than this many heights of the person's box from the truth."""
APART = 0.3
"""Wrong targets lie at least this many heights of the box from the truth."""
TRIES = 32


@dataclass(frozen=True, slots=True)
class Truth:
    """Where the keypoints of a snapshot's people are, in pixels of their network crops.

    xy_crop: (N, K, 2) float32; NaN where nobody knows or nothing is. height: (N,) of the box. flip_index: K channels of
    a mirrored person. size_hw: of the crop.
    """

    xy_crop: Tensor
    height: Tensor
    flip_index: tuple[int, ...]
    size_hw: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Spots:
    """The truth about a batch. xy_map: (U, K, 2) cells of its easy crops. height: (U,) of the box in cells."""

    xy_map: Tensor
    height: Tensor


def truth_of(people: People, skeleton: Skeleton, config: Config) -> Truth:
    """The truth of a snapshot's people, given the same people with all that is known in xy_image."""
    size_hw = (config.data.height, config.data.width)
    box = torch.from_numpy(people.box_xywh)
    matrix = geometry.box_to_crop(box, size_hw, config.data.padding)
    xy_crop = geometry.apply(matrix, torch.from_numpy(people.xy_image))
    height = box[:, 3] * matrix[:, 0, 0]
    return Truth(xy_crop.float(), height.float(), skeleton.flip_index, size_hw)


def spots(truth: Truth, batch: Batch) -> Spots:
    """Move the truth along with the easy draws of a batch.

    Raises:
        ValueError: the batch has no unlabeled people.
    """
    if batch.unlabeled is None or batch.index is None or batch.easy is None:
        raise ValueError("the truth is about unlabeled people and the batch has none")
    device = batch.unlabeled.device
    return _moved(truth, truth.xy_crop, batch.index.cpu(), batch.easy.to("cpu"), device)


def _moved(
    truth: Truth, xy_crop: Tensor, index: Tensor, easy: augment.View, device: torch.device
) -> Spots:
    xy = easy.points(xy_crop[index], truth.flip_index)
    zoom = torch.linalg.det(easy.matrix[..., :2]).abs().sqrt()
    height = truth.height[index] * zoom.float() / PoseNet.stride
    return Spots(geometry.points_to_map(xy, PoseNet.stride).to(device), height.to(device))


def errors(xy_map: Tensor, true: Spots) -> Tensor:
    """Distance of positions (..., U, K, 2) from the truth in heights of the box, (..., U, K); NaN where unknown."""
    return (xy_map - true.xy_map).norm(dim=-1) / true.height[:, None]


def oracle_select(truth: Truth) -> Choose:
    """Everyone learns from the accepted offer that is nearest the truth; where that is unknown, as before."""
    return lambda pool, batch: nearest(pool, spots(truth, batch))


def nearest(pool: Pool, true: Spots) -> Pool:
    """The pool with the nearest accepted offer chosen for everyone."""
    gap = errors(pool.xy_map, true)
    best = gap.masked_fill(~pool.accepted, torch.inf).argmin(dim=0)
    best = best.masked_fill(~pool.accepted.any(dim=0), -1)
    chosen = torch.where(gap.isnan().any(dim=0), pool.chosen, best)
    return dataclasses.replace(pool, chosen=chosen)


def oracle_filter(truth: Truth, rule: pseudo.Rule = "min_uncertainty") -> Choose:
    """Accept exactly the offers within WRONG of the truth, whatever the threshold says, and select by a rule."""
    return lambda pool, batch: right_ones(pool, spots(truth, batch), rule)


def right_ones(pool: Pool, true: Spots, rule: pseudo.Rule) -> Pool:
    """The pool with exactly the right offers accepted; what is unknown is not right.

    Wrong offers that were accepted get the first reason to reject, "below threshold".
    """
    right = errors(pool.xy_map, true) <= WRONG
    reason = pool.reason.clamp(min=1).masked_fill(right, 0)
    chosen = pseudo.select(right, pool.uncertainty, rule, score=pool.score)
    return dataclasses.replace(pool, accepted=right, reason=reason, chosen=chosen)


def wrong_targets(truth: Truth, fraction: float, *, seed: int = 0, spread: float = 2.0) -> Choose:
    """Confident and wrong: this share of all people's keypoints gets one wrong place, offered by every student.

    Places and shares are drawn once, so a person is taught the same mistake every time, moved along with the crop;
    two people are taught different ones, so there is no rule in them.

    Args:
        truth: from which wrong places stay away, by APART at least where the crop has room.
        fraction: 0 to 1; what a small one spoils, a larger one does too.
        seed: of places and shares.
        spread: of the Gaussians in cells.
    """
    rng = np.random.default_rng([seed, 17])
    wrong = wrong_places(rng, truth)
    picked = torch.from_numpy(rng.random(tuple(wrong.shape[:2])) < fraction)

    def choose(pool: Pool, batch: Batch) -> Pool:
        if batch.unlabeled is None or batch.index is None or batch.easy is None:
            raise ValueError("wrong targets are for unlabeled people and the batch has none")
        index, easy = batch.index.cpu(), batch.easy.to("cpu")
        lies = _moved(truth, wrong, index, easy, batch.unlabeled.device)
        told = easy.swap(picked[index], truth.flip_index).to(batch.unlabeled.device)
        return misled(pool, lies.xy_map, told, spread)

    return choose


def wrong_places(rng: np.random.Generator, truth: Truth) -> Tensor:
    """(N, K, 2) places in the crop, the first of TRIES that is far enough from the truth, else the farthest."""
    height, width = truth.size_hw
    people, keypoints = truth.xy_crop.shape[:2]
    tries = torch.from_numpy(rng.random((TRIES, people, keypoints, 2), np.float32))
    tries = tries * tries.new_tensor([width - 1, height - 1])
    gap = (tries - truth.xy_crop).norm(dim=-1).nan_to_num(nan=torch.inf)
    best = (gap / truth.height[:, None]).clamp(max=APART).argmax(dim=0)
    return tries.gather(0, best[None, ..., None].expand(1, -1, -1, 2))[0]


def misled(pool: Pool, xy_map: Tensor, told: Tensor, spread: float) -> Pool:
    """The pool in which every student is sure of `xy_map` (U, K, 2) where `told` (U, K).

    Scores stay those of the students' own maps, so that what watches a run sees the students and not the lie.
    """
    size_hw = (pool.maps.shape[-2], pool.maps.shape[-1])
    drawn = heatmaps.encode(xy_map, size_hw, spread).to(pool.maps.dtype)
    where = told[..., None, None]
    return dataclasses.replace(
        pool,
        aggregated=torch.where(where, drawn, pool.aggregated),
        maps=torch.where(where, drawn, pool.maps),
        xy_map=torch.where(told[..., None], xy_map.to(pool.xy_map.dtype), pool.xy_map),
        uncertainty=pool.uncertainty.masked_fill(told, 0.0),
        accepted=pool.accepted | told,
        reason=pool.reason.masked_fill(told, 0),
        chosen=pool.chosen.masked_fill(told, 0),
    )


ORACLES: dict[str, Callable[[Truth], Choose]] = {
    "oracle_select": oracle_select,
    "oracle_filter": oracle_filter,
    "wrong_targets": lambda truth: wrong_targets(truth, 1.0),
}
"""Ways to choose by their names."""


def chooser(name: str, data: str, skeleton: Skeleton, config: Config) -> Choose | None:
    """Who chooses the targets of an arm of the label budget.

    Args:
        name: of the arm; None is answered where it is not in ORACLES.
        data: the folder that `rendered.py make` wrote.
        skeleton: of the set.
        config: of the run, for its crops.
    """
    if name not in ORACLES:
        return None
    return ORACLES[name](truth_of(exact_people(Path(data)), skeleton, config))
