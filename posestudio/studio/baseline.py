"""What any model must beat: the same mean pose in every box."""

import numpy as np

from posestudio.core import metrics
from posestudio.store.snapshots import PLACED, People, Snapshot


def floor(snapshot: Snapshot, people: People) -> float | None:
    """PCK@0.2 of the same mean pose in every box, that of the train labels: what any model must beat."""
    train = snapshot.people.take(snapshot.people.split == "train")
    if not (train.state == PLACED).any():
        return None
    guess, _ = mean_pose_predictions(people, mean_pose(train))
    labeled = (people.state == PLACED) & snapshot.taught
    longer = people.box_xywh[:, 2:].max(axis=1)
    return metrics.pck(guess, people.xy_image, labeled, longer, 0.2).overall


def mean_pose(people: People) -> np.ndarray:
    """Mean position (K, 2) of each labeled keypoint in its person's box, 0 to 1 from edge to edge.

    A keypoint without a label is put in the middle. It is what a model must beat: `mean_pose_predictions`.
    """
    unit = (people.xy_image + 0.5 - people.box_xywh[:, None, :2]) / people.box_xywh[:, None, 2:]
    seen = (people.visibility > 0) & np.isfinite(people.xy_image).all(axis=-1)
    labeled = (seen & ~people.iscrowd[:, None])[..., None]
    count = labeled.sum(axis=0)
    total = np.where(labeled, unit, 0.0).sum(axis=0)
    return np.where(count > 0, total / np.maximum(count, 1), 0.5)


def mean_pose_predictions(people: People, pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same pose (K, 2) of `mean_pose` in every box: xy_image (N, K, 2), and scores (N, K) of 1."""
    xy_image = people.box_xywh[:, None, :2] + pose * people.box_xywh[:, None, 2:] - 0.5
    return xy_image, np.ones(xy_image.shape[:2])
