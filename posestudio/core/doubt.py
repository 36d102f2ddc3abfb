"""What speaks against a predicted keypoint: numbers from the votes, all larger where an error is more likely.

The votes of both students, or of the one student that has not seen a person's label, are laid over each other. Each
number is one column of FEATURES. `core/calibrate.py` makes a probability of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.core import heatmaps, pseudo
from posestudio.core.peaks import AGREE_CELLS, second_peak, value_at, view_peaks

FEATURES = (
    "unconfidence", "spread", "distance", "entropy", "second_peak", "uncertainty", "side", "limb",
)  # fmt: skip
"""Columns of `measure`, in order; each function below, or in core/peaks.py, says what its own is."""

LONGEST = 4.0
"""Largest z-score of a limb. Ours."""

PRIOR_PEOPLE = 10.0
"""How many people's worth of the pooled width each limb's own width is mixed with. Ours."""


@dataclass(frozen=True, slots=True)
class Opinion:
    """Votes about B people: maps (V, B, K, h, w) in the crop's frame, valid (V, B, 1, h, w) bool."""

    maps: Tensor
    valid: Tensor


@dataclass(frozen=True, slots=True)
class LimbPrior:
    """How long limbs are, beside each other, in labeled people.

    ends: (L, 2) keypoint indices. mean: (L,) log length over the person's scale. wide: (L, 2) widths below and above
    the mean. Limbs that no label shows are left out.
    """

    ends: Tensor
    mean: Tensor
    wide: Tensor


def measure(
    opinions: Sequence[Opinion],
    xy_map: Tensor,
    *,
    height_map: Tensor,
    flip_index: Sequence[int],
    prior: LimbPrior | None = None,
) -> Tensor:
    """Every number that speaks against the predicted keypoints.

    Args:
        opinions: of both students; or one student's alone, whose even and odd views then stand for the two.
        xy_map: (B, K, 2) the predicted keypoints in cells.
        height_map: (B,) height of the person's box in cells.
        flip_index: K indices, Skeleton.flip_index.
        prior: limbs of labeled people; without it the column "limb" is 0.

    Returns:
        (B, K, len(FEATURES)), finite.
    """
    votes = torch.cat([one.maps for one in opinions])
    valid = torch.cat([one.valid for one in opinions])
    mean = pseudo.combine(votes, valid, "mean")
    peaks, score = view_peaks(votes, valid)
    tall = height_map[:, None].clamp(min=1e-6)
    uncertain = [pseudo.uncertainty(one.maps, one.valid, normalize=True) for one in opinions]
    columns = {
        "unconfidence": 1 - value_at(mean, xy_map),
        "spread": spread(peaks, score, xy_map) / tall,
        "distance": distance(opinions) / tall,
        "entropy": entropy(mean),
        "second_peak": second_peak(mean, heatmaps.decode(mean, "argmax")[0]),
        "uncertainty": torch.stack(uncertain).mean(dim=0),
        "side": side(mean, xy_map, flip_index),
        "limb": torch.zeros_like(mean[..., 0, 0]) if prior is None else limb(prior, xy_map),
    }
    return torch.stack([columns[name] for name in FEATURES], dim=-1)


def spread(peaks: Tensor, score: Tensor, xy_map: Tensor) -> Tensor:
    """How far the votes lie from the prediction: score-weighted root mean square of the distances, in cells.

    Args:
        peaks: (V, B, K, 2) of `pseudo.view_peaks`.
        score: (V, B, K), their heights.
        xy_map: (B, K, 2) the prediction.

    Returns:
        (B, K).

    Source: coordinate variance of an ensemble, the usual baseline of uncertain landmarks (Schobs et al. 2022, arXiv
    2203.02351); the weight is ours.
    """
    weight = score.clamp(min=1e-3)
    squared = (peaks - xy_map).square().sum(dim=-1)
    return ((weight * squared).sum(dim=0) / weight.sum(dim=0)).sqrt()


def distance(opinions: Sequence[Opinion]) -> Tensor:
    """Cells (B, K) between the peaks of the two opinions' mean maps; of one opinion, of its even and odd views.

    Source: the gap between two networks, as in SSPCM (Huang et al., CVPR 2023) and ours.
    """
    two = [(one.maps, one.valid) for one in opinions]
    if len(two) == 1:
        two = [(two[0][0][half::2], two[0][1][half::2]) for half in (0, 1)]
    points = [heatmaps.decode(pseudo.combine(m, v, "mean"), "dark")[0] for m, v in two]
    return (points[0] - points[1]).norm(dim=-1)


def entropy(maps: Tensor) -> Tensor:
    """Entropy (B, K) of maps as distributions over cells, from 0 (one cell) to 1 (flat).

    Source: full-map entropy, a baseline of active learning for poses (Gong et al., CVPR 2022).
    """
    mass = maps.clamp(min=0).flatten(-2)
    mass = mass / mass.sum(dim=-1, keepdim=True).clamp(min=1e-9)
    spent = -(mass * mass.clamp(min=1e-12).log()).sum(dim=-1)
    return spent / torch.log(torch.tensor(float(mass.shape[-1])))


def side(maps: Tensor, xy_map: Tensor, flip_index: Sequence[int]) -> Tensor:
    """How much a keypoint and its mirrored partner claim each other's place: left/right ambiguity.

    The two maps at the other's place over the two maps at their own; 0 for keypoints without a partner and for
    partners that lie within AGREE_CELLS of each other, where nothing can be told apart.

    Args:
        maps: (B, K, h, w) mean votes.
        xy_map: (B, K, 2) cells.
        flip_index: K indices, Skeleton.flip_index.

    Returns:
        (B, K), 0 or more. Source: ours; left/right inversions are the largest kind of error here.
    """
    index = torch.as_tensor(flip_index, dtype=torch.long, device=maps.device)
    there = xy_map[:, index]
    own, other = value_at(maps, xy_map).clamp(min=0), value_at(maps, there).clamp(min=0)
    claimed = (other + other[:, index]) / (own + own[:, index]).clamp(min=1e-3)
    return claimed.masked_fill((xy_map - there).norm(dim=-1) <= AGREE_CELLS, 0.0)


def fit_limbs(xy: Tensor, limbs: Sequence[tuple[int, int]]) -> LimbPrior:
    """Learn how long limbs are from labeled people.

    A person's scale is the median over its limbs of the log length less that limb's mean, so no box is needed and a
    wrong limb hardly moves it. Means and widths are medians and quantiles over people. A limb's widths are mixed with
    those of all limbs, so that thirty people are enough; below the mean they are larger, as limbs point at the camera.

    Args:
        xy: (N, K, 2), any frame, NaN where there is no label.
        limbs: pairs of keypoint indices, Skeleton.limbs.

    Returns:
        The prior; empty when no label shows a limb.

    Source: ours; poses judged by a prior of limbs as in VL4Pose (Shukla et al. 2022, arXiv 2210.06028).
    """
    ends = torch.as_tensor(limbs, dtype=torch.long).reshape(-1, 2)
    length = _log_lengths(xy, ends)
    shown = length.isfinite().any(dim=0)
    ends, length = ends[shown], length[:, shown]
    if not len(ends):
        nothing = torch.zeros(0, dtype=xy.dtype)
        return LimbPrior(ends, nothing, nothing[:, None].expand(0, 2))
    mean = length.nanmedian(dim=0).values
    for _ in range(3):
        mean = mean + (length - _scale(length, mean) - mean).nanmedian(dim=0).values
    gap = length - _scale(length, mean) - mean
    count = gap.isfinite().sum(dim=0)[:, None]
    wide = _widths(gap).nan_to_num(nan=0.0)
    pooled = _widths(gap.reshape(-1, 1))
    mixed = (count * wide + PRIOR_PEOPLE * pooled) / (count + PRIOR_PEOPLE)
    return LimbPrior(ends, mean, mixed.clamp(min=0.05))


def limb(prior: LimbPrior, xy: Tensor) -> Tensor:
    """How strange the limbs around each keypoint are: the mean of their absolute z-scores, each at most LONGEST.

    Args:
        prior: of `fit_limbs`.
        xy: (B, K, 2), any frame that keeps the aspect.

    Returns:
        (B, K), 0 for keypoints without a limb.
    """
    found = torch.zeros(xy.shape[:2], dtype=xy.dtype)
    if not len(prior.ends):
        return found
    length = _log_lengths(xy, prior.ends)
    gap = length - _scale(length, prior.mean.to(xy.dtype)) - prior.mean
    z = (gap.abs() / torch.where(gap < 0, prior.wide[:, 0], prior.wide[:, 1])).clamp(max=LONGEST)
    z = z.nan_to_num(nan=0.0).to(xy.dtype)
    count = torch.zeros(xy.shape[1], dtype=xy.dtype)
    for end in prior.ends.unbind(dim=1):
        found.index_add_(1, end, z)
        count.index_add_(0, end, torch.ones_like(z[0]))
    return found / count.clamp(min=1)


def _log_lengths(xy: Tensor, ends: Tensor) -> Tensor:
    """(N, L) log lengths of limbs, NaN where an end is unknown."""
    return (xy[:, ends[:, 0]] - xy[:, ends[:, 1]]).norm(dim=-1).clamp(min=1e-3).log()


def _scale(length: Tensor, mean: Tensor) -> Tensor:
    """(N, 1) log scale of each person; NaN where no limb is known."""
    return (length - mean).nanmedian(dim=1, keepdim=True).values


def _widths(gap: Tensor) -> Tensor:
    """(L, 2) distances from 0 to the sixteenth and the eighty-fourth hundredth of the gaps (N, L)."""
    ends = torch.tensor([0.16, 0.84], dtype=gap.dtype)
    return gap.nanquantile(ends, dim=0).abs().T
