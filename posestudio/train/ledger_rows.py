"""What votes and a pool say, as rows of the ledger."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from posestudio.core import augment, geometry, pseudo
from posestudio.models.pose_net import PoseNet
from posestudio.train import ledger
from posestudio.train.pool import Method, Pool, Votes

VOTERS = ("a", "b")
TAUGHT = ("", "a", "b", "ab")


def rows(
    votes: Sequence[Votes],
    pool: Pool,
    method: Method,
    *,
    step: int,
    instance_id: np.ndarray,
    box_xywh: np.ndarray,
    asked: np.ndarray,
    easy: augment.View | None = None,
) -> pa.Table:
    """A row for each voter's offer of each keypoint asked.

    Args:
        votes: of each voter.
        pool: made of them.
        method: settings and skeleton.
        step: of the students.
        instance_id: (B,) who the people of the batch are.
        box_xywh: (B, 4) their boxes.
        asked: (B, K) bool, their open, taught keypoints.
        easy: the move from a person's crop to the crop that the voters saw; None when they saw the person's own.

    Returns:
        A table of ledger.SCHEMA.
    """
    view = augment.View.identity(len(instance_id)) if easy is None else easy.to("cpu")
    padding = method.config.data.padding
    to_crop = geometry.box_to_crop(torch.from_numpy(box_xywh), method.size_hw, padding)
    back = geometry.invert(geometry.compose(view.matrix, to_crop))

    def own(values: Tensor) -> np.ndarray:
        """(N, ...) of the keypoints asked, from (B, K, ...) with left and right as in the crop."""
        return view.swap(values.cpu(), method.flip_index).numpy()[asked]

    def place(xy_map: Tensor) -> np.ndarray:
        """(N, 2) image pixels from (B, K, 2) cells."""
        xy_crop = geometry.points_to_crop(xy_map.double().cpu(), PoseNet.stride)
        return geometry.apply(back, view.swap(xy_crop, method.flip_index)).numpy()[asked]

    who, keypoint = np.nonzero(asked)
    learners, found = pool.chosen[: method.config.views.students], []
    for voter, vote in enumerate(votes):
        xy_view, score_view = pseudo.view_peaks(vote.maps, vote.valid)
        agrees = pseudo.main_group(xy_view, score_view)
        seen = np.stack([place(one) for one in xy_view], axis=1)
        offer = place(pool.xy_map[voter])
        teaches = sum((one == voter).long() << bit for bit, one in enumerate(learners))
        columns: dict[str, Any] = {
            "step": np.full(len(who), step), "instance_id": instance_id[who], "keypoint": keypoint,
            "voter": (np.full(len(who), voter), VOTERS), "x": offer[:, 0], "y": offer[:, 1],
            "score": own(pool.score[voter]), "uncertainty": own(pool.uncertainty[voter]),
            "reason": (own(pool.reason[voter]), pseudo.REASONS),
            "teaches": (own(torch.as_tensor(teaches)), TAUGHT),
            "view_x": seen[..., 0], "view_y": seen[..., 1],
            "view_score": np.stack([own(one) for one in score_view], axis=1),
            "view_agrees": np.stack([own(one) for one in agrees], axis=1),
        }  # fmt: skip
        found.append(ledger.table(columns))
    return pa.concat_tables(found)
