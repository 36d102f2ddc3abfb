"""Peaks of votes: where each view sees a keypoint, which views agree, and whether there is a second peak."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from posestudio.core import heatmaps

AGREE_CELLS = 3.0
"""Two peaks closer than this many heatmap cells are the same opinion. Ours (method notes: 1.5 spreads)."""


FAINT = 0.1
"""A further peak lower than this share of the keypoint's highest is noise. Ours."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Where each of K keypoints may be, P at most, the highest first.

    xy_map: (K, P, 2) in heatmap cells. score: (K, P), 0 where there are no more. student: (K, P), whose map it is.
    """

    xy_map: Tensor
    score: Tensor
    student: Tensor


def candidates(maps: Tensor, limit: int) -> Candidates:
    """The peaks of all students' maps of one person; of peaks within AGREE_CELLS only the highest.

    Args:
        maps: (S, K, H, W).
        limit: peaks a keypoint at most.
    """
    students, _, height, width = maps.shape
    top = maps == F.max_pool2d(maps, 3, stride=1, padding=1)
    each = min(2 * limit, height * width)
    score, index = maps.masked_fill(~top, 0.0).flatten(-2).topk(each)
    xy_map = heatmaps.refine(maps, torch.stack([index % width, index // width], dim=-1))
    student = torch.arange(students, device=maps.device)[:, None, None].expand_as(score)
    score, xy_map, student = (one.transpose(0, 1).flatten(1, 2) for one in (score, xy_map, student))
    order = score.argsort(dim=1, descending=True, stable=True)
    score, student = score.gather(1, order), student.gather(1, order)
    xy_map = xy_map.gather(1, order[..., None].expand_as(xy_map))
    near = torch.cdist(xy_map, xy_map) <= AGREE_CELLS
    kept = score > (FAINT * score[:, :1]).clamp(min=1e-3)
    for place in range(score.shape[1] - 1):
        kept[:, place + 1 :] &= ~(near[:, place, place + 1 :] & kept[:, place, None])
    first = (~kept).int().argsort(dim=1, stable=True)[:, :limit]
    score = (score * kept).clamp(0, 1).gather(1, first)
    xy_map = xy_map.gather(1, first[..., None].expand(-1, -1, 2))
    return Candidates(xy_map, score, student.gather(1, first))


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


def mean_of_near(xy_map: Tensor, peaks: Tensor, score: Tensor) -> Tensor:
    """Mean (B, K, 2) of the peaks (V, B, K, 2) within AGREE_CELLS of a point, by score; the point where none is."""
    weight = score * ((peaks - xy_map).norm(dim=-1) <= AGREE_CELLS)
    total = weight.sum(dim=0)[..., None]
    mean = (peaks * weight[..., None]).sum(dim=0) / total.clamp(min=1e-6)
    return torch.where(total > 0, mean, xy_map)


def agreement(votes: Tensor, valid: Tensor, xy_map: Tensor) -> Tensor:
    """Share (B, K) of the views that saw a peak (B, K, 2) whose own peak lies within AGREE_CELLS of it."""
    peaks, _ = view_peaks(votes, valid)
    near = (peaks - xy_map).norm(dim=-1) <= AGREE_CELLS
    maps = valid.expand(-1, -1, xy_map.shape[1], -1, -1).flatten(0, 1).to(votes.dtype)
    saw = value_at(maps, xy_map.repeat(len(votes), 1, 1)).unflatten(0, votes.shape[:2]) > 0.5
    return (near & saw).sum(dim=0) / saw.sum(dim=0).clamp(min=1)


def second_peak(maps: Tensor, xy_map: Tensor) -> Tensor:
    """Height of the second peak of maps (B, K, H, W) as a share of the first, (B, K).

    The second peak is the highest cell that is a local maximum and farther than AGREE_CELLS from the first, xy_map.
    """
    height, width = maps.shape[-2:]
    rows = torch.arange(height, device=maps.device)[:, None] - xy_map[..., 1, None, None]
    columns = torch.arange(width, device=maps.device) - xy_map[..., 0, None, None]
    far = rows.square() + columns.square() > AGREE_CELLS**2
    top = maps == F.max_pool2d(maps, 3, stride=1, padding=1)
    second = maps.masked_fill(~(far & top), 0.0).amax(dim=(-2, -1))
    return second / maps.amax(dim=(-2, -1)).clamp(min=1e-6)


def value_at(maps: Tensor, xy_map: Tensor) -> Tensor:
    """Values (B, K) of maps (B, K, H, W) at the cells nearest to points (B, K, 2)."""
    height, width = maps.shape[-2:]
    x = xy_map[..., 0].round().long().clamp(0, width - 1)
    y = xy_map[..., 1].round().long().clamp(0, height - 1)
    return maps.flatten(-2).gather(-1, (y * width + x)[..., None])[..., 0]
