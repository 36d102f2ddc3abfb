"""How good the students are on labels that are held out, and how sure elsewhere, in seconds, while a run goes on."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from posestudio.core import color, geometry, heatmaps, metrics
from posestudio.core.average_precision import Matches, average_precision
from posestudio.models.pose_net import PoseNet
from posestudio.train.data import Source
from posestudio.train.objective import OPEN, PLACED, forward

if TYPE_CHECKING:
    from posestudio.train.session import Session

CHUNK = 64
OKS_LEVELS = np.arange(0.5, 1.0, 0.05)
"""COCO's thresholds."""


def judged_on(session: "Session") -> list[np.ndarray]:
    """People of the train labels on whom each student is scored: those it left out (data.cross_fit), else the fold.

    They are unseen if data.hold_fold or data.cross_fit kept them out of training; whom the student learned in a run
    before judges nothing.
    """
    split, config = session.source.split, session.config
    alone = bool(split.left_out) and not config.data.hold_fold
    judges = split.left_out if alone else (split.fold,) * len(session.learner.averages)
    known = np.asarray(session.learned.any(axis=2))
    return [people[~known[student, people]] for student, people in enumerate(judges)]


@dataclass(frozen=True, slots=True)
class Held:
    """What students find of the labels that they are judged on.

    shares: for each student the share of its people's placed keypoints within 0.2 of the box's longer side, and within
    0.1, and AP. near: (N,) for each person and student the share within 0.1. peak: median height of the peaks.
    people: a student.
    """

    shares: list[tuple[float, float, float]]
    near: np.ndarray
    peak: float
    people: int


def held_out(session: "Session", nets: Sequence[PoseNet], most: int | None = None) -> Held | None:
    """Let each student find the placed keypoints of the people that `judged_on` names; None when there is nobody.

    Args:
        session: the run.
        nets: students.
        most: people a student at most, always the same ones.
    """
    shares, near, heights, count = [], [], [], 0
    for net, fold in zip(nets, judged_on(session), strict=False):
        people = some(fold, most, session.config.train.seed)
        if len(people) == 0:
            return None
        boxes = torch.from_numpy(session.snapshot.people.box_xywh[people])
        zoom = geometry.box_to_crop(boxes, session.method.size_hw, session.config.data.padding)
        longer = boxes[:, 2:].amax(dim=1) * zoom[:, 0, 0]
        found, height = peaks(net, session, people)
        placed = session.source.state[people] == PLACED
        away = (found - session.source.xy_crop[people].double()).norm(dim=-1) / longer[:, None]
        close = ((away <= 0.1) & placed).double()
        ap = _average_precision(session, people, found, height, zoom[:, 0, 0])
        shares.append(
            (float((away <= 0.2)[placed].double().mean()), float(close[placed].mean()), ap)
        )
        near.append((close.sum(dim=1) / placed.sum(dim=1)).numpy())
        heights.append(height[placed])
        count = len(people)
    peak = round(float(torch.cat(heights).median()), 4)
    return Held(shares, np.concatenate(near), peak, count)


def _average_precision(
    session: "Session", people: np.ndarray, found: Tensor, height: Tensor, zoom: Tensor
) -> float:
    """COCO's AP of some people, each alone in its crop: no prediction is held against another person's label."""
    source, whole = session.source, session.snapshot.people
    labeled = (source.state[people] == PLACED).numpy()
    oks = metrics.oks(
        found.numpy(), source.xy_crop[people].double().numpy(), labeled,
        whole.area[people] * zoom.numpy() ** 2, np.array(session.snapshot.skeleton.oks_sigmas),
    )  # fmt: skip
    right = np.nan_to_num(oks)[None] >= OKS_LEVELS[:, None]
    matches = Matches(
        score=height.double().mean(dim=1).numpy(), unit=np.arange(len(people)),
        right=right, wrong=~right, positives=np.ones(len(people), np.int64),
    )  # fmt: skip
    return float(average_precision(matches, np.ones((1, len(people))))[0])


def fold_scores(
    session: "Session", nets: Sequence[PoseNet] | None = None, most: int | None = None
) -> dict[str, float]:
    """`held_out` of the run's averages, or other networks, as numbers by name.

    Returns:
        For student a, and b if there are two: "pck_a" within 0.2 of the box's longer side and "pck10_a" within 0.1,
        shares in [0, 1], and AP "ap_a"; "peak", the median height of their peaks; "people". Nothing when there is
        nobody.
    """
    held = held_out(session, nets or session.learner.averages, most)
    if held is None:
        return {}
    scores = {"people": float(held.people), "peak": held.peak}
    for name, (pck, pck10, ap) in zip("ab", held.shares, strict=False):
        scores |= {f"pck_{name}": round(pck, 4), f"pck10_{name}": round(pck10, 4)}
        scores[f"ap_{name}"] = round(ap, 4)
    return scores


def unlabeled_peak(session: "Session", nets: Sequence[PoseNet], most: int) -> float | None:
    """Median height of students' peaks for open, taught keypoints of some unlabeled people; None if none is open."""
    source = session.source
    asked = (source.state == OPEN) & source.taught
    people = source.split.unlabeled
    people = some(people[asked[people].any(dim=1).numpy()], most, session.config.train.seed)
    if len(people) == 0:
        return None
    heights = [peaks(net, session, people)[1][asked[people]] for net in nets]
    return round(float(torch.cat(heights).median()), 4)


def some(people: np.ndarray, most: int | None, seed: int) -> np.ndarray:
    """At most so many of the people, always the same ones."""
    if most is None or len(people) <= most:
        return people
    return np.sort(np.random.default_rng([seed, 13]).permutation(people)[:most])


def plain_crops(source: Source, indices: np.ndarray, size_hw: tuple[int, int]) -> Tensor:
    """Network crops (B, 3, H, W) of some people as they are, without augmentation."""
    pixels = torch.from_numpy(source.crops[indices]).float().div_(255)
    matrix = source.to_crop.expand(len(indices), 2, 3)
    return geometry.warp(color.normalize(pixels), matrix, size_hw)


@torch.no_grad()
def peaks(net: PoseNet, session: "Session", people: np.ndarray) -> tuple[Tensor, Tensor]:
    """What a student sees on plain crops of some people.

    Returns:
        Keypoints (B, K, 2) in crop pixels, float64, and the heights (B, K) of their peaks.
    """
    training, found = net.training, []
    net.eval()
    for at in range(0, len(people), CHUNK):
        part = people[at : at + CHUNK]
        crops = plain_crops(session.source, part, session.method.size_hw).to(session.device)
        maps = forward(net, crops, session.method)
        xy_map, height = heatmaps.decode(maps, "dark", session.config.data.spread)
        xy_crop = geometry.points_to_crop(xy_map, net.stride)
        found.append((xy_crop.cpu().double(), height.cpu().float()))
    net.train(training)
    return torch.cat([xy for xy, _ in found]), torch.cat([height for _, height in found])
