"""What the students minimize: labels, and each other's denoised and selected pseudo-heatmaps.

Four moves: predict the views, denoise, select, compare. `posecons`, `posedual` and `paper` are settings of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.core import augment, color, geometry, heatmaps, losses, occlude, pseudo
from posestudio.models.pose_net import PoseNet
from posestudio.train.pool import (
    Method,
    Pool,
    Votes,
    draw_views,
    forward,
    make_pool,
    predict_views,
)

__all__ = [
    "ABSENT", "OPEN", "PLACED", "Batch", "Method", "Pool", "Votes", "draw_hard_affine", "draw_views", "encode",
    "forward", "hard_target", "harden", "make_pool", "predict_views", "semi_supervised", "supervised",
]  # fmt: skip

OPEN, PLACED, ABSENT = 0, 1, 2
"""Each keypoint of a person is open (no label), placed by a person, or declared absent by a person."""

MIXED = ("joco", "jccm", "cutout", "affine")
"""What views.hard mixed does to the hard views of one step, in turn."""


@dataclass(frozen=True, slots=True)
class Batch:
    """One step's people, already cut and easily augmented.

    labeled: (L, 3, H, W) crops. labeled_xy: (L, K, 2) crop pixels. labeled_weight: (L, K), 1 where a person placed the
    keypoint and it lies in the crop. unlabeled: (U, 3, H, W) crops or None. state: (U, K) OPEN, PLACED or ABSENT.
    placed_xy: (U, K, 2) crop pixels of the placed ones. taught: (K,) bool, keypoints that some label shows.
    shown: (S, L + U) bool, whose labels, the labeled people's first, a student may see; None for everyone's.
    index: (U,) the unlabeled people's indices in the snapshot. easy: the move from the person's crop to the easy one.
    pixels: (U, 3, Hc, Wc) normalized, what the easy crops were cut from, and to_easy: (U, 2, 3), the matrix that cut
    them; only with views.compose.
    """

    labeled: Tensor
    labeled_xy: Tensor
    labeled_weight: Tensor
    unlabeled: Tensor | None
    state: Tensor | None
    placed_xy: Tensor | None
    taught: Tensor
    shown: Tensor | None = None
    index: Tensor | None = None
    easy: augment.View | None = None
    pixels: Tensor | None = None
    to_easy: Tensor | None = None


def supervised(students: Sequence[PoseNet], batch: Batch, method: Method) -> dict[str, Tensor]:
    """Losses of each student on the labeled people.

    Returns:
        Named scalars; "loss" is the one to minimize, "blank_labeled" what blank maps would have for "loss_labeled",
        "peak_labeled" the mean height of the students' maps of the placed keypoints.
    """
    target = encode(batch.labeled_xy, method)
    total = blank = torch.zeros((), device=target.device)
    peaks = []
    for index, student in enumerate(students):
        weight = batch.labeled_weight
        if batch.shown is not None:
            weight = weight * batch.shown[index, : len(weight), None]
        maps = forward(student, batch.labeled, method)
        total = total + losses.heatmap_mse(maps, target, weight)
        blank = blank + losses.heatmap_mse(torch.zeros_like(target), target, weight)
        peaks.append(_mean(maps.detach().amax(dim=(-2, -1))[None], weight))
    loss = method.config.loss.labeled * total
    return {
        "loss": loss,
        "loss_labeled": loss.detach(),
        "blank_labeled": method.config.loss.labeled * blank,
        "peak_labeled": torch.stack(peaks).mean(),
    }


def semi_supervised(
    students: Sequence[PoseNet],
    batch: Batch,
    method: Method,
    *,
    weight: float,
    generator: torch.Generator,
    voters: Sequence[PoseNet] = (),
    choose: Callable[[Pool, Batch], Pool] | None = None,
    tell: Callable[[Sequence[Votes], Pool, Batch], None] | None = None,
) -> dict[str, Tensor]:
    """Losses of each student on labels and on pseudo-targets.

    Source: the dual-student base is PoseDual (Xie et al., ICCV 2021); denoising and selection are arXiv 2310.00099.

    Args:
        students: one or two networks in training mode.
        batch: with unlabeled people.
        method: settings and skeleton.
        weight: weight of the pseudo-target loss at this step.
        generator: source of every draw made here.
        voters: the networks whose votes make the pool; the students themselves when empty.
        choose: changes the pool before targets are made of it; for studies that know the truth.
        tell: told the votes, and the pool that the targets are made of.

    Returns:
        Named scalars, those of `supervised` among them. "missed": the unweighted loss on pseudo-targets, "blank": what
        blank maps would have for it; where open, taught keypoints are there, "kept": the share of them with an accepted
        offer, "peak" and "uncertainty": their offers' means, "distance": mean cells between two voters' peaks.
    """
    if batch.unlabeled is None or batch.state is None:
        raise ValueError("semi_supervised needs a batch with unlabeled people")
    config = method.config
    asked = _asked(batch)
    named = supervised(students, batch, method)
    views = draw_views(
        generator, batch.unlabeled, config.views.count, config.data.color, mirror=method.mirrors
    )
    whose = voters or students
    votes = [predict_views(voter, views, method) for voter in whose]
    pool = make_pool(votes, method, generator)
    pool = choose(pool, batch) if choose else pool
    costs = pool.score.new_zeros(3)
    for path in range(config.views.hard_paths):
        view = draw_hard_affine(generator, batch.unlabeled, method)
        for index, student in enumerate(students):
            hard = harden(generator, batch, view, pool.xy_map[-1 - index], method, path)
            target = hard_target(batch, pool, index, view, method)
            costs = costs + _costs(forward(student, hard, method), *target, batch.state)
    total, missed, blank = costs.unbind()
    if tell is not None:
        tell(votes, pool, batch)
    return {
        **named,
        "loss": named["loss"] + weight * total,
        "loss_unlabeled": weight * total.detach(),
        "missed": missed.detach(),
        "blank": blank.detach(),
        **_answers(pool, votes if whose[0] is not whose[-1] else (), asked),
    }


def _asked(batch: Batch) -> Tensor | None:
    """1 where a keypoint (U, K) is open and taught, else 0; None when there is none.

    Asked before the networks run, for on a GPU it waits for what was begun.
    """
    found = (batch.state == OPEN) & batch.taught
    return found.to(batch.labeled.dtype) if found.any() else None


def _answers(pool: Pool, votes: Sequence[Votes], asked: Tensor | None) -> dict[str, Tensor]:
    """What the pool says of the keypoints asked, in means; votes: of two voters or more, else none."""
    if asked is None:
        return {}
    found = {
        "kept": _mean((pool.chosen >= 0).to(asked.dtype), asked),
        "uncertainty": _mean(pool.uncertainty, asked),
        "peak": _mean(pool.score, asked),
    }
    return found | {"distance": _mean(_apart(votes)[None], asked)} if votes else found


def _costs(maps: Tensor, target: Tensor, weight: Tensor, state: Tensor) -> Tensor:
    """Loss of maps, its part on pseudo-targets alone, and that part of blank maps; only the first has a gradient."""
    theirs = weight * (state != PLACED)
    return torch.stack([
        losses.heatmap_mse(maps, target, weight),
        losses.heatmap_mse(maps.detach(), target, theirs),
        losses.heatmap_mse(torch.zeros_like(target), target, theirs),
    ])  # fmt: skip


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of values (S, B, K) where counted (B, K) is 1."""
    return (values * counted).sum() / (counted.sum() * len(values)).clamp(min=1)


def _apart(votes: Sequence[Votes]) -> Tensor:
    """Distance (B, K) in cells between the first and the last student's peaks in the first view."""
    ends = [pseudo.view_peaks(vote.maps[:1], vote.valid[:1])[0][0] for vote in votes]
    return (ends[0] - ends[-1]).norm(dim=-1)


def encode(xy_crop: Tensor, method: Method) -> Tensor:
    """Target heatmaps (B, K, h, w) of crop points (B, K, 2)."""
    height, width = method.size_hw
    size_hw = (height // PoseNet.stride, width // PoseNet.stride)
    xy_map = geometry.points_to_map(xy_crop, PoseNet.stride)
    return heatmaps.encode(xy_map, size_hw, method.config.data.spread)


def draw_hard_affine(generator: torch.Generator, crops: Tensor, method: Method) -> augment.View:
    """The hard affine, the same for both students; drawn for 8 of 10 crops. Source: PoseDual's A60."""
    views = method.config.views
    return augment.draw_affine(
        generator, crops.shape[0], size_hw=method.size_hw, rotation=views.rotation, scale=views.scale,
        probability=0.8, geometry=views.geometry,
    ).to(crops.device)  # fmt: skip


def harden(
    generator: torch.Generator,
    batch: Batch,
    view: augment.View,
    xy_map: Tensor,
    method: Method,
    path: int = 0,
) -> Tensor:
    """The hard view (U, 3, H, W) of the unlabeled crops.

    What hides parts comes before the move, as in PoseDual; after it when the view is cut from the photograph.

    Args:
        generator: source of the draws.
        batch: with unlabeled people.
        view: the hard affine, applied after occlusions.
        xy_map: (U, K, 2) where the other student sees the keypoints; occlusions fall there.
        method: settings.
        path: number of this hard view, for views.hard mixed.
    """
    if batch.unlabeled is None:
        raise ValueError("harden needs a batch with unlabeled people")
    xy_crop = geometry.points_to_crop(xy_map, PoseNet.stride)
    drawable = batch.taught.expand(xy_crop.shape[:2])
    kind = method.config.views.hard
    if kind == "mixed":
        kind = MIXED[path % len(MIXED)]
    crops, pixels, to_easy = batch.unlabeled, batch.pixels, batch.to_easy
    if pixels is not None and to_easy is not None:
        matrix = geometry.compose(view.matrix, to_easy.to(view.matrix))
        crops = geometry.warp(pixels, matrix.to(crops.dtype), method.size_hw)
        xy_crop = view.points(xy_crop, method.flip_index).to(crops.dtype)
    if kind == "cutout":
        crops = occlude.joint_cutout(crops, xy_crop, generator, weight=drawable)
    elif kind == "randaugment":
        crops = color.rand_augment(crops, generator)
    elif kind == "joco":
        crops = occlude.joco(crops, xy_crop, generator, weight=drawable)
    elif kind == "jccm":
        crops = occlude.jccm(crops, xy_crop, generator, weight=drawable)
    return view.images(crops) if pixels is None else crops


def hard_target(
    batch: Batch, pool: Pool, student: int, view: augment.View, method: Method
) -> tuple[Tensor, Tensor]:
    """What a student must show on the hard view, and how much each keypoint counts.

    Placed keypoints are ground truth; open, taught ones take the chosen offer; absent and untaught ones have weight
    0, as have keypoints without an accepted offer, unless loss.soft gives their combined map a weight. Refined offers
    are moved as points and redrawn, so the Gaussian keeps its width; unrefined maps are warped, as PoseDual does.

    Returns:
        target (U, K, h, w) and weight (U, K) of `losses.heatmap_mse`, the root of how much a keypoint counts.
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
    config = method.config
    if config.pool.refine == "scaled":
        height = pseudo.take(pool.score, chosen)[student].masked_fill(placed, 1.0)
        target = pseudo.lifted(target * height[..., None, None], height, config.pool.lift)
    if config.pool.refine != "none" and config.loss.soft == 0:
        return target, ((placed | offered) & seen).to(target.dtype)
    # where nothing was accepted, the other student's map before it was refined, as in PoseDual
    index = torch.where(chosen < 0, len(chosen) - 1 - student, chosen)
    offers = pool.maps if config.pool.refine == "none" else pool.aggregated
    maps = pseudo.take(offers, index)[student]
    warped = view.maps(maps, method.flip_index, PoseNet.stride)
    raw = ~placed if config.pool.refine == "none" else ~placed & ~offered
    target = torch.where(raw[..., None, None], warped, target)
    seen = seen | raw
    unsure = (batch.state == OPEN) & batch.taught & ~offered
    weight = ((placed | offered) & seen).to(target.dtype)
    return target, weight + config.loss.soft**0.5 * unsure  # the loss squares it
