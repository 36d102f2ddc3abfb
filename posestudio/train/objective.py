"""What the students minimize: labels, and each other's denoised and selected pseudo-heatmaps.

Four moves: predict the views, denoise, select, compare. `posecons`, `posedual` and `paper` are settings of them.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.config import Config
from posestudio.core import augment, color, geometry, heatmaps, losses, occlude, pseudo
from posestudio.models.pose_net import PoseNet

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


@dataclass(frozen=True, slots=True)
class Votes:
    """A student's opinion of every view: maps (V, B, K, H, W) in the crop's frame, valid (V, B, 1, H, W)."""

    maps: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class Pool:
    """All students' offers, and who learns from which.

    aggregated, maps: (S, B, K, H, W), before and after threshold and refine. xy_map: (S, B, K, 2). score,
    uncertainty: (S, B, K). accepted: (S, B, K) bool. reason: (S, B, K) int8, an index into pseudo.REASONS. chosen:
    (S, B, K) index of the offer each student learns from, -1 for none.
    """

    aggregated: Tensor
    maps: Tensor
    xy_map: Tensor
    score: Tensor
    uncertainty: Tensor
    accepted: Tensor
    reason: Tensor
    chosen: Tensor


@dataclass(frozen=True, slots=True)
class Method:
    """The objective with everything it needs besides students and a batch.

    flip_index: K channels of a mirrored person. passes: context in which networks run (autocast, say). threshold:
    (K,) of pool.gate calibrated, or None.
    """

    config: Config
    flip_index: tuple[int, ...]
    passes: Callable[[], AbstractContextManager]
    threshold: Tensor | None = None

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
    averages: Sequence[PoseNet] = (),
    choose: Callable[[Pool, Batch], Pool] | None = None,
) -> dict[str, Tensor]:
    """Losses of each student on labels and on pseudo-targets.

    Source: the dual-student base is PoseDual (Xie et al., ICCV 2021); denoising and selection are arXiv 2310.00099.

    Args:
        students: one or two networks in training mode.
        batch: with unlabeled people.
        method: settings and skeleton.
        weight: weight of the pseudo-target loss at this step.
        generator: source of every draw made here.
        averages: the students' weight averages, for views.voters averages.
        choose: changes the pool before targets are made of it; for studies that know the truth.

    Returns:
        Named scalars; "loss" is the one to minimize, "kept" the share of open, taught keypoints with an accepted offer,
        "peak" the mean height and "uncertainty" the mean uncertainty of their offers, "distance" the mean distance in
        cells between the peaks of the two students on the crop as it is.
    """
    if batch.unlabeled is None or batch.state is None:
        raise ValueError("semi_supervised needs a batch with unlabeled people")
    config = method.config
    named = supervised(students, batch, method)
    views = draw_views(generator, batch.unlabeled, config.views.count, config.data.color)
    voters = averages if config.views.voters == "averages" and averages else students
    votes = [predict_views(voter, views, method) for voter in voters]
    pool = make_pool(votes, method, generator)
    pool = pool if choose is None else choose(pool, batch)
    total = torch.zeros((), device=batch.unlabeled.device)
    for path in range(config.views.hard_paths):
        view = draw_hard_affine(generator, batch.unlabeled, method)
        for index, student in enumerate(students):
            hard = harden(generator, batch, view, pool.xy_map[-1 - index], method, path)
            target, target_weight = hard_target(batch, pool, index, view, method)
            total = total + losses.heatmap_mse(
                forward(student, hard, method), target, target_weight
            )
    asked = ((batch.state == OPEN) & batch.taught).to(pool.score.dtype)
    return {
        "loss": named["loss"] + weight * total,
        "loss_labeled": named["loss_labeled"],
        "loss_unlabeled": weight * total.detach(),
        "kept": _mean((pool.chosen >= 0).to(asked.dtype), asked),
        "uncertainty": _mean(pool.uncertainty, asked),
        "peak": _mean(pool.score, asked),
        "distance": _mean(_apart(votes)[None], asked),
    }


def _mean(values: Tensor, counted: Tensor) -> Tensor:
    """Mean of values (S, B, K) where counted (B, K) is 1."""
    return (values * counted).sum() / (counted.sum() * len(values)).clamp(min=1)


def _apart(votes: Sequence[Votes]) -> Tensor:
    """Distance (B, K) in cells between the first and the last student's peaks in the first view."""
    ends = [pseudo.view_peaks(vote.maps[:1], vote.valid[:1])[0][0] for vote in votes]
    return (ends[0] - ends[-1]).norm(dim=-1)


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


def make_pool(
    votes: Sequence[Votes], method: Method, generator: torch.Generator | None = None
) -> Pool:
    """Denoise each student's votes, or all students' together, and select from the offers.

    Args:
        votes: of each student.
        method: settings and skeleton.
        generator: source of the draws of select.rule random.
    """
    pool, rule = method.config.pool, method.config.select
    gates = pseudo.Gates(
        agree=pool.agree, second=pool.second, swap=pool.swap, edge=pool.edge,
        partner=method.flip_index,
    )  # fmt: skip
    with torch.no_grad():
        asked = [(vote.maps, vote.valid) for vote in votes]
        if pool.share:
            asked = [(torch.cat([m for m, _ in asked]), torch.cat([seen for _, seen in asked]))]
        least = threshold(asked, method)
        copies = len(votes) // len(asked)
        offers = copies * [
            pseudo.denoise(
                *vote, aggregate=pool.aggregate, threshold=least, refine=pool.refine,
                center=pool.center, spread=method.config.data.spread, gates=gates,
            )
            for vote in asked
        ]  # fmt: skip
        unsure = pseudo.uncertainties(asked, rule.uncertainty, normalize=rule.normalize)
        unsure = unsure.repeat(copies, 1, 1)
        reason = torch.stack([offer.reason for offer in offers])
        if rule.limit > 0:
            late = pseudo.REASONS.index("too uncertain")
            reason = reason.masked_fill((reason == 0) & (unsure > rule.limit), late)
        accepted, score = reason == 0, torch.stack([offer.score for offer in offers])
        costs = pseudo.by_person(unsure, accepted) if rule.granularity == "person" else unsure
        return Pool(
            aggregated=torch.stack([offer.aggregated for offer in offers]),
            maps=torch.stack([offer.maps for offer in offers]),
            xy_map=torch.stack([offer.xy_map for offer in offers]),
            score=score,
            uncertainty=unsure,
            accepted=accepted,
            reason=reason,
            chosen=pseudo.select(accepted, costs, rule.rule, score=score, generator=generator),
        )


def threshold(votes: Sequence[tuple[Tensor, Tensor]], method: Method) -> float | Tensor:
    """The least peak of an accepted offer: one number, or one a keypoint (K,)."""
    pool = method.config.pool
    if pool.gate == "fixed":
        return pool.threshold
    if pool.gate == "calibrated":
        if method.threshold is None:
            raise ValueError("pool.gate calibrated needs thresholds")
        return method.threshold
    peaks = [pseudo.combine(*vote, pool.aggregate).amax(dim=(-2, -1)) for vote in votes]
    return torch.cat(peaks).quantile(pool.quantile, dim=0)


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
    config = method.config
    if config.pool.refine == "scaled":
        height = pseudo.take(pool.score, chosen)[student].masked_fill(placed, 1.0)
        target = target * height[..., None, None]
    if config.pool.refine != "none" and config.loss.soft == 0:
        return target, ((placed | offered) & seen).to(target.dtype)
    # where nothing was accepted, the other student's combined map, as in PoseDual
    index = torch.where(chosen < 0, len(chosen) - 1 - student, chosen)
    maps = pseudo.take(pool.aggregated, index)[student]
    warped = view.maps(maps, method.flip_index, PoseNet.stride)
    raw = ~placed if config.pool.refine == "none" else ~placed & ~offered
    target = torch.where(raw[..., None, None], warped, target)
    seen = seen | raw
    unsure = (batch.state == OPEN) & batch.taught & ~offered
    weight = ((placed | offered) & seen).to(target.dtype)
    return target, weight + config.loss.soft * unsure
