"""How right pseudo-labels were, once a person has labeled the keypoints they were for. Pure numpy."""

from typing import NamedTuple

import numpy as np


class Tally(NamedTuple):
    """Counts over G groups of offers, each (G,).

    asked: times a student could have learned a keypoint. told: times it was given a target. right: times that target
    was right.
    """

    asked: np.ndarray
    told: np.ndarray
    right: np.ndarray

    @property
    def precision(self) -> np.ndarray:
        """(G,) share of the targets that were right; NaN without any."""
        return _share(self.right, self.told)

    @property
    def recall(self) -> np.ndarray:
        """(G,) share of the times asked that gave a right target; NaN where nobody asked."""
        return _share(self.right, self.asked)


def tally(
    gap: np.ndarray,
    taught: np.ndarray,
    *,
    voters: int,
    students: int,
    tolerance: float,
    group: np.ndarray,
    groups: int,
) -> Tally:
    """Count targets and right ones.

    Args:
        gap: (N,) distance of each offer from the later label, in heights of the person's box.
        taught: (N,) how many students learned the offer.
        voters: offers for each person, keypoint and step.
        students: who could have learned one of them.
        tolerance: the largest gap of a right offer.
        group: (N,) in 0..groups - 1, what to count by.
        groups: how many there are.

    Source: ours.
    """
    right = np.where(gap <= tolerance, taught, 0)
    asked, told, good = (
        np.bincount(group, weights=weight, minlength=groups)
        for weight in (np.full(len(gap), students / voters), taught, right)
    )
    return Tally(asked.round().astype(int), told.astype(int), good.astype(int))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.full(len(whole), np.nan), where=whole > 0)
