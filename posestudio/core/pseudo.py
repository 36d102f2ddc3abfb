"""Denoise and select pseudo-heatmaps: many votes, one offer a student, one target a keypoint.

Four words. A *vote* is one student's heatmap of one view, moved back to the crop. An *offer* is one student's denoised
map of a keypoint; accepted offers form the *pool*. The *target* is what a student must match.

    votes = students on views                      (V, B, K, H, W) a student
    offer = denoise(votes, valid, ...)             combine, threshold, refine
    u     = uncertainty(votes, valid, ...)         (B, K) a student
    index = select(accepted, u, rule)              (S, B, K): whose offer each student learns from

Source: "Denoising and Selecting Pseudo-Heatmaps for Semi-Supervised Human Pose Estimation", arXiv 2310.00099. Known of
it: per-pixel maximum over strong and weak views, a threshold, a Gaussian drawn at the argmax, and a choice by the
maximum of the pixel-wise standard deviation. Inferred by us: that the deviation runs over the views of one student,
that the choice is made keypoint by keypoint among accepted offers, that a keypoint without an accepted offer has weight
0, and every number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posestudio.core import heatmaps
from posestudio.core.gates import REASONS, Gates, why_not
from posestudio.core.peaks import AGREE_CELLS, main_group, mean_of_near, view_peaks

__all__ = [
    "AGREE_CELLS", "REASONS", "Gates", "Offer", "by_person", "combine", "denoise", "lifted", "main_group", "select",
    "take", "uncertainties", "uncertainty", "uncertainty_map", "view_peaks",
]  # fmt: skip

LOWEST_PEAK = 0.02
"""A lower peak is lifted as if it were this high, so that noise stays noise."""

Aggregate = Literal["max", "mean", "cluster"]
Center = Literal["argmax", "dark", "local_mean"]
Refine = Literal["gaussian", "scaled", "none"]
Kind = Literal["view_std", "cross_std", "all_std", "coord_std"]
Rule = Literal["min_uncertainty", "cross", "gated_cross", "confidence", "random"]


@dataclass(frozen=True, slots=True)
class Offer:
    """One student's denoised opinion of every keypoint.

    maps: (B, K, H, W), refined, accepted or not. aggregated: (B, K, H, W), the same before threshold and refine.
    xy_map: (B, K, 2) peak in heatmap cells. score: (B, K) peak height. accepted: (B, K) bool. reason: (B, K) int8, an
    index into REASONS.
    """

    maps: Tensor
    aggregated: Tensor
    xy_map: Tensor
    score: Tensor
    accepted: Tensor
    reason: Tensor


def denoise(
    votes: Tensor,
    valid: Tensor,
    *,
    aggregate: Aggregate,
    threshold: float | Tensor,
    refine: Refine,
    center: Center,
    spread: float,
    lift: float = 0.0,
    gates: Gates = Gates(),  # noqa: B008 - frozen
) -> Offer:
    """Combine a student's votes, reject weak or doubtful peaks and redraw the others.

    Args:
        votes: (V, B, K, H, W), in the frame of the crop's heatmap.
        valid: (V, B, 1, H, W) bool, the cells that a view saw.
        aggregate: how votes are combined, see `combine`.
        threshold: an offer is accepted when its peak is at least this, one number or (K,); 0 or less accepts all.
        refine: draw a Gaussian with peak 1 at the peak ("gaussian"), one as high as the peak ("scaled"), or keep the
            combined map ("none").
        center: where the peak is: the highest cell, DARK's fraction of a cell, or the mean of the views' peaks near
            the highest cell, each weighted by its height.
        spread: Gaussian width in cells.
        lift: how far maps that are scaled or kept are lifted to the height of a label, see `lifted`.
        gates: what is asked beside the threshold.

    Returns:
        The offer.
    """
    combined = combine(votes, valid, aggregate)
    xy_map, score = heatmaps.decode(combined, "dark" if center == "dark" else "argmax", spread)
    if center == "local_mean":
        xy_map = mean_of_near(xy_map, *view_peaks(votes, valid))
    reason = why_not(votes, valid, combined, xy_map, score, threshold=threshold, gates=gates)
    maps = combined
    if refine != "none":
        size_hw = (combined.shape[-2], combined.shape[-1])
        maps = heatmaps.encode(xy_map, size_hw, spread)
        if refine == "scaled":
            maps = maps * score[..., None, None]
    if refine != "gaussian":
        maps = lifted(maps, score, lift)
    return Offer(maps, combined, xy_map, score, accepted=reason == 0, reason=reason)


def lifted(maps: Tensor, score: Tensor, lift: float) -> Tensor:
    """Maps (..., H, W) whose peaks p, their score (...), become p ** (1 - lift); 0 leaves them alone.

    The mean of maps that disagree is lower than each of them. Students that learn it answer lower, and so on: their
    maps fade. Lifted wholly, to 1, doubtful maps would teach as loudly as sure ones. Ours.
    """
    if lift == 0:
        return maps
    return maps.clamp(min=0) * score.clamp(min=LOWEST_PEAK)[..., None, None] ** -lift


def combine(votes: Tensor, valid: Tensor, how: Aggregate) -> Tensor:
    """One map from the views that saw each cell.

    max takes the highest vote, mean their average; cluster averages the votes whose peaks agree with the group of
    peaks that has the largest summed score, so that one confident stray view cannot win.

    Args:
        votes: (V, B, K, H, W).
        valid: (V, B, 1, H, W) bool.
        how: "max", "mean" or "cluster".

    Returns:
        (B, K, H, W); 0 where no view saw the cell.
    """
    if votes.shape[0] == 1:
        return votes[0].masked_fill(~valid[0], 0.0)
    if how == "max":
        highest = votes.masked_fill(~valid, -torch.inf).amax(dim=0)
        return highest.masked_fill(~valid.any(dim=0), 0.0)
    counted = valid.to(votes.dtype)
    if how == "cluster":
        members = main_group(*view_peaks(votes, valid))
        counted = counted * members[..., None, None]
    return (votes * counted).sum(dim=0) / counted.sum(dim=0).clamp(min=1)


def uncertainty_map(votes: Tensor, valid: Tensor, *, normalize: bool = False) -> Tensor:
    """How much a student's views disagree, cell by cell: the population standard deviation over views.

    Args:
        votes: (V, B, K, H, W).
        valid: (V, B, 1, H, W) bool; a view counts only where it saw the cell.
        normalize: divide by the peak of the mean vote, so that a student's amplitude cancels.

    Returns:
        (B, K, H, W); 0 where fewer than two views saw the cell.
    """
    if votes.shape[0] == 1:
        return torch.zeros_like(votes[0])
    counted = valid.to(votes.dtype)
    number = counted.sum(dim=0).clamp(min=1)
    mean = (votes * counted).sum(dim=0) / number
    variance = ((votes - mean).square() * counted).sum(dim=0) / number
    deviation = variance.sqrt()
    if normalize:
        deviation = deviation / mean.amax(dim=(-2, -1), keepdim=True).clamp(min=1e-6)
    return deviation


def uncertainty(votes: Tensor, valid: Tensor, *, normalize: bool = False) -> Tensor:
    """One number an offer: the largest cell of `uncertainty_map`, (B, K).

    Source: arXiv 2310.00099 as noted second-hand ("maximum of the pixel-wise standard deviation"). Over what the
    deviation runs is our reading: the views of one student.
    """
    return uncertainty_map(votes, valid, normalize=normalize).amax(dim=(-2, -1))


def uncertainties(
    votes: Sequence[tuple[Tensor, Tensor]], kind: Kind, *, normalize: bool = False
) -> Tensor:
    """The uncertainty of every student's offers.

    view_std: of the student's own views, `uncertainty`, our first reading of the publication. all_std: of all views of
    all students. cross_std: of the students' mean maps, so "cross-student" in the other sense. coord_std: root mean
    squared distance of the student's peaks from their mean, in cells. all_std and cross_std give all students the same.

    Args:
        votes: for each student its votes (V, B, K, H, W) and valid (V, B, 1, H, W).
        kind: one of the four.
        normalize: divide by the peak of the mean vote; not for coord_std.

    Returns:
        (S, B, K).
    """
    if kind == "view_std":
        return torch.stack([uncertainty(*vote, normalize=normalize) for vote in votes])
    if kind == "coord_std":
        return torch.stack([_peak_spread(*vote) for vote in votes])
    if kind == "cross_std":
        maps = torch.stack([combine(*vote, "mean") for vote in votes])
        valid = torch.stack([valid.any(dim=0) for _, valid in votes])
    else:
        maps = torch.cat([maps for maps, _ in votes])
        valid = torch.cat([valid for _, valid in votes])
    one = uncertainty(maps, valid, normalize=normalize)
    return one.expand(len(votes), *one.shape)


def _peak_spread(votes: Tensor, valid: Tensor) -> Tensor:
    peaks, _ = view_peaks(votes, valid)
    return (peaks - peaks.mean(dim=0)).square().sum(dim=-1).mean(dim=0).sqrt()


def by_person(uncertain: Tensor, accepted: Tensor) -> Tensor:
    """Uncertainty (S, B, K) with every keypoint's replaced by the mean over the person's accepted offers."""
    counted = accepted.to(uncertain.dtype)
    mean = (uncertain * counted).sum(dim=-1, keepdim=True) / counted.sum(dim=-1, keepdim=True)
    return mean.nan_to_num(torch.inf).expand_as(uncertain)


def select(
    accepted: Tensor,
    uncertain: Tensor,
    rule: Rule,
    *,
    score: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Choose from the pool whose offer each student learns from.

    min_uncertainty gives all students the least uncertain accepted offer, of equally uncertain ones the one with the
    higher peak. cross gives each student the other's offer if accepted (its own when there is one student).
    gated_cross gives it the other's if that is accepted and not more uncertain than its own, else its own if accepted.
    confidence gives all the accepted offer with the highest peak, random any accepted one.

    Args:
        accepted: (S, B, K) bool.
        uncertain: (S, B, K) uncertainty of each offer.
        rule: one of the five.
        score: (S, B, K) peak heights; needed by confidence.
        generator: source of the draws of random.

    Returns:
        (S, B, K) int64: index of the offer for each learning student, or -1 for none.
    """
    students = accepted.shape[0]
    if rule in ("min_uncertainty", "confidence", "random"):
        if rule == "min_uncertainty":
            costs = uncertain if score is None else uncertain - 1e-6 * score
        elif rule == "confidence":
            if score is None:
                raise ValueError("rule confidence needs scores")
            costs = -score
        else:
            costs = torch.rand(accepted.shape, generator=generator).to(accepted.device)
        costs = costs.masked_fill(~accepted, torch.inf)
        best = costs.argmin(dim=0).masked_fill(~accepted.any(dim=0), -1)
        return best[None].expand(students, *best.shape)
    if rule in ("cross", "gated_cross"):
        own = torch.arange(students, device=accepted.device).view(-1, 1, 1).expand(accepted.shape)
        other = own.flip(0)
        taken = accepted.gather(0, other)
        if rule == "cross":
            return other.masked_fill(~taken, -1)
        surer = taken & (~accepted | (uncertain.gather(0, other) <= uncertain))
        return torch.where(surer, other, own.masked_fill(~accepted, -1))
    raise ValueError(f"unknown rule {rule!r}")


def take(values: Tensor, chosen: Tensor) -> Tensor:
    """Values of the chosen offers, for every learning student.

    Args:
        values: (S, B, K, ...), one entry an offer.
        chosen: (S, B, K) from `select`; where it is -1, the first student's value is returned and must not be used.

    Returns:
        (S, B, K, ...).
    """
    index = chosen.clamp(min=0)
    extra = values.dim() - index.dim()
    return values.gather(0, index.reshape(*index.shape, *[1] * extra).expand(-1, *values.shape[1:]))
