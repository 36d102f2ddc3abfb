"""How good the students are on the stored fold of the train labels, in seconds, while a run goes on."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from posestudio.core import color, geometry, heatmaps
from posestudio.models.pose_net import PoseNet
from posestudio.train.data import Source
from posestudio.train.objective import PLACED, forward

if TYPE_CHECKING:
    from posestudio.train.session import Session

CHUNK = 64


def fold_scores(session: "Session") -> dict[str, float]:
    """Share of the fold's placed keypoints found within 0.2 of the box's longer side, in [0, 1].

    Returns:
        "pck_a", "pck_b" (with two students) and "people"; nothing when the fold is empty. The people of the fold are
        unseen only if data.hold_fold kept them out of training.
    """
    source, people = session.source, session.snapshot.people
    fold = source.split.fold
    if len(fold) == 0:
        return {}
    size_hw = session.method.size_hw
    boxes = torch.from_numpy(people.box_xywh[fold])
    zoom = geometry.box_to_crop(boxes, size_hw, session.config.data.padding)[:, 0, 0]
    allowed = 0.2 * boxes[:, 2:].amax(dim=1) * zoom
    truth, placed = source.xy_crop[fold].double(), source.state[fold] == PLACED
    scores: dict[str, float] = {"people": float(len(fold))}
    for name, net in zip("ab", session.learner.averages, strict=False):
        found = torch.cat(
            [
                points(net, source, fold[at : at + CHUNK], session)
                for at in range(0, len(fold), CHUNK)
            ]
        )
        near = (found - truth).norm(dim=-1) <= allowed[:, None]
        scores[f"pck_{name}"] = round(float(near[placed].double().mean()), 4)
    return scores


def plain_crops(source: Source, indices: np.ndarray, size_hw: tuple[int, int]) -> Tensor:
    """Network crops (B, 3, H, W) of some people as they are, without augmentation."""
    pixels = torch.from_numpy(source.crops[indices]).float().div_(255)
    matrix = source.to_crop.expand(len(indices), 2, 3)
    return geometry.warp(color.normalize(pixels), matrix, size_hw)


@torch.no_grad()
def points(net: PoseNet, source: Source, indices: np.ndarray, session: "Session") -> Tensor:
    """Keypoints (B, K, 2) in crop pixels, float64, that a student sees on plain crops."""
    training = net.training
    crops = plain_crops(source, indices, session.method.size_hw).to(session.device)
    maps = forward(net.eval(), crops, session.method)
    net.train(training)
    xy_map, _ = heatmaps.decode(maps, "dark", session.config.data.spread)
    return geometry.points_to_crop(xy_map, net.stride).cpu().double()
