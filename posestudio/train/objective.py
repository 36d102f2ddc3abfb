"""What the students minimize: labels, and each other's denoised and selected pseudo-heatmaps.

Four moves: predict the views, denoise, select, compare. `posecons`, `posedual` and `paper` are settings of them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posestudio.config import Config
from posestudio.core import augment, color, geometry, heatmaps, losses, occlude, pseudo
from posestudio.models.pose_net import PoseNet

OPEN, PLACED, ABSENT = 0, 1, 2
"""Each keypoint of a person is open (no label), placed by a person, or declared absent by a person."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's people, already cut and easily augmented.

    labeled: (L, 3, H, W) crops. labeled_xy: (L, K, 2) crop pixels. labeled_weight: (L, K), 1 where a person placed the
    keypoint and it lies in the crop. unlabeled: (U, 3, H, W) crops or None. state: (U, K) OPEN, PLACED or ABSENT.
    placed_xy: (U, K, 2) crop pixels of the placed ones. taught: (K,) bool, keypoints that some label shows.
    """

    labeled: Tensor
    labeled_xy: Tensor
    labeled_weight: Tensor
    unlabeled: Tensor | None
    state: Tensor | None
    placed_xy: Tensor | None
    taught: Tensor
    shown: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Votes:
    """A student's opinion of every view: maps (V, B, K, H, W) in the crop's frame, valid (V, B, 1, H, W)."""

    maps: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class Pool:
    """All students' offers, and who learns from which.

    aggregated, maps: (S, B, K, H, W), before and after threshold and refine. xy_map: (S, B, K, 2). score,
    uncertainty: (S, B, K). accepted: (S, B, K) bool. chosen: (S, B, K) index of the offer each student learns from, -1
    for none.
    """

    aggregated: Tensor
    maps: Tensor
    xy_map: Tensor
    score: Tensor
    uncertainty: Tensor
    accepted: Tensor
    chosen: Tensor


@dataclass(frozen=True, slots=True)
class Method:
    """The objective with everything it needs besides students and a batch.

    flip_index: K channels of a mirrored person. passes: context in which networks run (autocast, say).
    """

    config: Config
    flip_index: tuple[int, ...]
    passes: Callable[[], AbstractContextManager]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crops in pixels."""
        return self.config.data.height, self.config.data.width


def supervised(students: Sequence[PoseNet], batch: Batch, method: Method) -> dict[str, Tensor]:
    """Losses of each student on the labeled people.

    Returns:
        Named scalars; "loss" is the one to minimize.
    """
    target = encode(batch.labeled_xy, method)
    total = torch.zeros((), device=target.device)
    for index, student in enumerate(students):
        weight = batch.labeled_weight
        if batch.shown is not None:
            weight = weight * batch.shown[index, : len(weight), None]
        total = total + losses.heatmap_mse(forward(student, batch.labeled, method), target, weight)
    loss = method.config.loss.labeled * total
    return {"loss": loss, "loss_labeled": loss.detach()}


def semi_supervised(
    students: Sequence[PoseNet],
    batch: Batch,
    method: Method,
    *,
    weight: float,
    generator: torch.Generator,
) -> dict[str, Tensor]:
    """Losses of each student on labels and on pseudo-targets.

    Source: the dual-student base is PoseDual (Xie et al., ICCV 2021); denoising and selection are arXiv 2310.00099.

    Args:
        students: one or two networks in training mode.
        batch: with unlabeled people.
        method: settings and skeleton.
        weight: weight of the pseudo-target loss at this step.
        generator: source of every draw made here.

    Returns:
        Named scalars; "loss" is the one to minimize, "kept" the share of open, taught keypoints with a target.
    """
    if batch.unlabeled is None or batch.state is None or batch.placed_xy is None:
        raise ValueError("semi_supervised needs a batch with unlabeled people")
    config = method.config
    named = supervised(students, batch, method)
    views = draw_views(generator, batch.unlabeled, config.views.count, config.data.color)
    pool = make_pool([predict_views(s, views, method) for s in students], method)
    total = torch.zeros((), device=batch.unlabeled.device)
    for _ in range(config.views.hard_paths):
        view = draw_hard_affine(generator, batch.unlabeled, method)
        for index, student in enumerate(students):
            hard = harden(generator, batch, view, pool.xy_map[-1 - index], method)
            target, target_weight = hard_target(batch, pool, index, view, method)
            total = total + losses.heatmap_mse(
                forward(student, hard, method), target, target_weight
            )
    open_taught = (batch.state == OPEN) & batch.taught
    kept = ((pool.chosen >= 0) & open_taught).sum() / (open_taught.sum() * len(students)).clamp(
        min=1
    )
    return {
        "loss": named["loss"] + weight * total,
        "loss_labeled": named["loss_labeled"],
        "loss_unlabeled": weight * total.detach(),
        "kept": kept,
        "uncertainty": pool.uncertainty.mean(),
    }


def forward(student: PoseNet, crops: Tensor, method: Method) -> Tensor:
    """Heatmaps (B, K, h, w) of crops (B, 3, H, W), in the crops' dtype whatever the pass computes in."""
    with method.passes():
        maps = student(crops)
    return maps.to(crops.dtype)


def encode(xy_crop: Tensor, method: Method) -> Tensor:
    """Target heatmaps (B, K, h, w) of crop points (B, K, 2)."""
    height, width = method.size_hw
    size_hw = (height // PoseNet.stride, width // PoseNet.stride)
    xy_map = geometry.points_to_map(xy_crop, PoseNet.stride)
    return heatmaps.encode(xy_map, size_hw, method.config.data.spread)


def draw_views(
    generator: torch.Generator, crops: Tensor, count: int, strength: float
) -> list[tuple[augment.View, Tensor]]:
    """The views of the no-grad pass: identity, mirror, affine, affine with color, then more of the last two.

    Which views the publication takes is unknown; strong and weak ones are known. Affine: rotation N(0, 15) clipped at
    30 degrees, scale N(1, 0.125) clipped at 0.125, ours.

    Returns:
        For each view its geometry and its crops (B, 3, H, W).
    """
    batch, (height, width) = crops.shape[0], crops.shape[-2:]
    views: list[tuple[augment.View, Tensor]] = []
    for number in range(count):
        if number == 0:
            view = augment.View.identity(batch, device=crops.device)
        elif number == 1:
            view = augment.View.mirror(batch, width, device=crops.device)
        else:
            view = augment.draw_affine(
                generator, batch, size_hw=(height, width), rotation=15.0, scale=0.125,
                probability=1.0, geometry="rigid",
            ).to(crops.device)  # fmt: skip
        seen = view.images(crops)
        if number >= 2 and number % 2 == 1 and strength > 0:
            seen = color.jitter_color(seen, 2 * strength, generator)
        views.append((view, seen))
    return views


def predict_views(
    student: PoseNet, views: list[tuple[augment.View, Tensor]], method: Method
) -> Votes:
    """A student's votes: all views in one no-grad pass, moved back to the crop."""
    training = student.training
    with torch.no_grad():
        student.train(training and method.config.views.batch_norm == "train")
        maps = forward(student, torch.cat([crops for _, crops in views]), method)
        student.train(training)
        batch = views[0][1].shape[0]
        undone = [
            view.undo_maps(part, method.flip_index, PoseNet.stride)
            for (view, _), part in zip(views, maps.split(batch), strict=True)
        ]
    return Votes(torch.stack([m for m, _ in undone]), torch.stack([v for _, v in undone]))


def make_pool(votes: list[Votes], method: Method) -> Pool:
    """Denoise each student's votes and select from the offers."""
    pool, config = method.config.pool, method.config
    with torch.no_grad():
        offers = [
            pseudo.denoise(
                v.maps, v.valid, aggregate=pool.aggregate,
                threshold=pool.threshold, refine=pool.refine == "gaussian", center=pool.center,
                spread=config.data.spread,
            )
            for v in votes
        ]  # fmt: skip
        unsure = torch.stack(
            [pseudo.uncertainty(v.maps, v.valid, normalize=config.select.normalize) for v in votes]
        )
        accepted = torch.stack([offer.accepted for offer in offers])
        return Pool(
            aggregated=torch.stack([offer.aggregated for offer in offers]),
            maps=torch.stack([offer.maps for offer in offers]),
            xy_map=torch.stack([offer.xy_map for offer in offers]),
            score=torch.stack([offer.score for offer in offers]),
            uncertainty=unsure,
            accepted=accepted,
            chosen=pseudo.select(accepted, unsure, config.select.rule),
        )


def draw_hard_affine(generator: torch.Generator, crops: Tensor, method: Method) -> augment.View:
    """The hard affine, the same for both students; drawn for 8 of 10 crops. Source: PoseDual's A60."""
    views = method.config.views
    return augment.draw_affine(
        generator, crops.shape[0], size_hw=method.size_hw, rotation=views.rotation, scale=views.scale,
        probability=0.8, geometry=views.geometry,
    ).to(crops.device)  # fmt: skip


def harden(
    generator: torch.Generator, batch: Batch, view: augment.View, xy_map: Tensor, method: Method
) -> Tensor:
    """The hard view (U, 3, H, W) of the unlabeled crops.

    Args:
        generator: source of the draws.
        batch: with unlabeled people.
        view: the hard affine, applied after occlusions.
        xy_map: (U, K, 2) where the other student sees the keypoints; occlusions fall there.
        method: settings.
    """
    if batch.unlabeled is None:
        raise ValueError("harden needs a batch with unlabeled people")
    xy_crop = geometry.points_to_crop(xy_map, PoseNet.stride)
    drawable = batch.taught.expand(xy_crop.shape[:2])
    kind: Literal["affine", "cutout", "randaugment", "joco", "jccm"] = method.config.views.hard
    crops = batch.unlabeled
    if kind == "cutout":
        crops = occlude.joint_cutout(crops, xy_crop, generator, weight=drawable)
    elif kind == "randaugment":
        crops = color.rand_augment(crops, generator)
    elif kind == "joco":
        crops = occlude.joco(crops, xy_crop, generator, weight=drawable)
    elif kind == "jccm":
        crops = occlude.jccm(crops, xy_crop, generator, weight=drawable)
    return view.images(crops)


def hard_target(
    batch: Batch, pool: Pool, student: int, view: augment.View, method: Method
) -> tuple[Tensor, Tensor]:
    """What a student must show on the hard view, and how much each keypoint counts.

    Placed keypoints are ground truth; open, taught ones take the chosen offer; absent and untaught ones have weight
    0, as have keypoints without an accepted offer. Refined offers are moved as points and redrawn, so the Gaussian
    keeps its width; unrefined maps are warped, as PoseDual does.

    Returns:
        target (U, K, h, w) and weight (U, K).
    """
    if batch.state is None or batch.placed_xy is None:
        raise ValueError("hard_target needs a batch with unlabeled people")
    chosen = pool.chosen
    placed = batch.state == PLACED
    if batch.shown is not None:
        placed = placed & batch.shown[student, len(batch.labeled) :, None]
    offered = (batch.state == OPEN) & batch.taught & (chosen[student] >= 0)
    xy_map = pseudo.take(pool.xy_map, chosen)[student]
    xy_offer = geometry.points_to_crop(xy_map, PoseNet.stride)
    xy_crop = torch.where(placed[..., None], batch.placed_xy, xy_offer)
    xy_hard = view.points(xy_crop, method.flip_index)
    target = encode(xy_hard, method)
    seen = geometry.inside(xy_hard, method.size_hw)
    if method.config.pool.refine == "none":
        maps = pseudo.take(pool.aggregated, chosen)[student]
        warped = view.maps(maps, method.flip_index, PoseNet.stride)
        target = torch.where(placed[..., None, None], target, warped)
        seen = seen | ~placed
    return target, ((placed | offered) & seen).to(target.dtype)
