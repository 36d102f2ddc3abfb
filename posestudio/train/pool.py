"""From views of unlabeled people to the pool: predict the views, denoise, select; the first three of the four moves."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.config import Config
from posestudio.core import augment, color, pseudo
from posestudio.core.skeleton import mirrors
from posestudio.models.pose_net import PoseNet


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

    @property
    def mirrors(self) -> bool:
        """Whether a mirrored crop shows such a person too; see core.skeleton."""
        return mirrors(self.flip_index)


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
    (S, B, K) index of the offer each student learns from, -1 for none. threshold: (K,) or one number, the least peak
    of an accepted offer.
    """

    aggregated: Tensor
    maps: Tensor
    xy_map: Tensor
    score: Tensor
    uncertainty: Tensor
    accepted: Tensor
    reason: Tensor
    chosen: Tensor
    threshold: float | Tensor = 0.0


def forward(student: PoseNet, crops: Tensor, method: Method) -> Tensor:
    """Heatmaps (B, K, h, w) of crops (B, 3, H, W), in the crops' dtype whatever the pass computes in."""
    with method.passes():
        maps = student(crops)
    return maps.to(crops.dtype)


def draw_views(
    generator: torch.Generator, crops: Tensor, count: int, strength: float, *, mirror: bool = True
) -> list[tuple[augment.View, Tensor]]:
    """The views of the no-grad pass: identity, mirror, affine, affine with color, then more of the last two.

    Which views the publication takes is unknown; strong and weak ones are known. Affine: rotation N(0, 15) clipped at
    30 degrees, scale N(1, 0.125) clipped at 0.125, ours. Without `mirror` an affine takes its place.

    Returns:
        For each view its geometry and its crops (B, 3, H, W).
    """
    batch, (height, width) = crops.shape[0], crops.shape[-2:]
    views: list[tuple[augment.View, Tensor]] = []
    for number in range(count):
        if number == 0:
            view = augment.View.identity(batch, device=crops.device)
        elif number == 1 and mirror:
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
                center=pool.center, spread=method.config.data.spread, lift=pool.lift, gates=gates,
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
            threshold=least,
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
