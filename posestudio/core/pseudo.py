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

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posestudio.core import heatmaps

Aggregate = Literal["max", "mean", "cluster"]
Rule = Literal["min_uncertainty", "cross"]

AGREE_CELLS = 3.0
"""Two peaks closer than this many heatmap cells are the same opinion. Ours (method notes: 1.5 spreads)."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One student's denoised opinion of every keypoint.

    maps: (B, K, H, W), refined where accepted. aggregated: (B, K, H, W), the same before threshold and refine.
    xy_map: (B, K, 2) peak in heatmap cells. score: (B, K) peak height. accepted: (B, K) bool.
    """

    maps: Tensor
    aggregated: Tensor
    xy_map: Tensor
    score: Tensor
    accepted: Tensor


def denoise(
    votes: Tensor,
    valid: Tensor,
    *,
    aggregate: Aggregate,
    threshold: float,
    refine: bool,
    center: Literal["argmax", "dark"],
    spread: float,
) -> Offer:
    """Combine a student's votes, reject weak peaks and redraw the others.

    Args:
        votes: (V, B, K, H, W), in the frame of the crop's heatmap.
        valid: (V, B, 1, H, W) bool, the cells that a view saw.
        aggregate: how votes are combined, see `combine`.
        threshold: an offer is accepted when its peak is at least this; 0 or less accepts all.
        refine: draw a Gaussian with peak 1 at the peak instead of keeping the combined map.
        center: where the peak is: the highest cell, or DARK's fraction of a cell.
        spread: Gaussian width in cells.

    Returns:
        The offer.
    """
    combined = combine(votes, valid, aggregate)
    xy_map, score = heatmaps.decode(combined, center, spread)
    accepted = score >= threshold
    maps = combined
    if refine:
        size_hw = (combined.shape[-2], combined.shape[-1])
        maps = heatmaps.encode(xy_map, size_hw, spread)
    return Offer(maps=maps, aggregated=combined, xy_map=xy_map, score=score, accepted=accepted)


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


def view_peaks(votes: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """The peak of every vote.

    Args:
        votes: (V, B, K, H, W).
        valid: (V, B, 1, H, W) bool.

    Returns:
        xy_map: (V, B, K, 2) in cells. score: (V, B, K).
    """
    seen = votes.masked_fill(~valid, 0.0)
    xy_map, score = heatmaps.decode(seen.flatten(0, 1), "argmax")
    return xy_map.unflatten(0, votes.shape[:2]), score.unflatten(0, votes.shape[:2])


def main_group(xy_map: Tensor, score: Tensor) -> Tensor:
    """Which peaks belong to the strongest opinion.

    Around every peak, the scores of all peaks within AGREE_CELLS are summed; the group around the peak with the
    largest sum is the main one.

    Args:
        xy_map: (V, ..., 2) cells.
        score: (V, ...).

    Returns:
        (V, ...) bool.
    """
    near = (xy_map[:, None] - xy_map[None]).norm(dim=-1) <= AGREE_CELLS
    support = (near * score[None]).sum(dim=1)
    return near.gather(0, support.argmax(dim=0)[None, None].expand_as(near[:1]))[0]


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


def select(accepted: Tensor, uncertain: Tensor, rule: Rule) -> Tensor:
    """Choose from the pool whose offer each student learns from.

    Args:
        accepted: (S, B, K) bool.
        uncertain: (S, B, K) uncertainty of each offer.
        rule: "min_uncertainty" gives all students the least uncertain accepted offer; "cross" gives each student the
            other's offer if accepted (its own when there is one student).

    Returns:
        (S, B, K) int64: index of the offer for each learning student, or -1 for none.
    """
    students = accepted.shape[0]
    if rule == "min_uncertainty":
        costs = uncertain.masked_fill(~accepted, torch.inf)
        best = costs.argmin(dim=0).masked_fill(~accepted.any(dim=0), -1)
        return best[None].expand(students, *best.shape)
    if rule == "cross":
        other = torch.arange(students - 1, -1, -1, device=accepted.device)
        index = other.view(-1, 1, 1).expand(accepted.shape)
        return index.masked_fill(~accepted.gather(0, index), -1)
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
