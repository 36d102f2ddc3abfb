"""Which labels the students of a run have been shown, in it or in the runs that it started from."""

from pathlib import Path

import numpy as np

from posestudio.config import Config
from posestudio.errors import NotFound, StoreError
from posestudio.store import snapshots
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.train.run_folder import RunFolder


def labels(project: Path, run_id: str, people: People) -> np.ndarray | None:
    """Labels that each student was shown, in a run or in those that it started from.

    Args:
        project: the project's folder.
        run_id: of a run in it.
        people: N people with K keypoints.

    Returns:
        (2, N, K) bool for students a and b; None if one of the runs, or what it learned from, is gone.
    """
    seen = np.zeros((2, *people.state.shape), bool)
    next_: str | None = run_id
    while next_ is not None:
        folder = RunFolder(project / "runs" / next_)
        try:
            config, record = folder.config(), folder.record()
            snapshot = snapshots.read(project / "snapshots" / str(record["snapshot"]))
            seen |= _shown(snapshot, config, people)
        except (NotFound, StoreError, KeyError):
            return None
        next_ = record.get("from")
    return seen


def _shown(snapshot: Snapshot, config: Config, people: People) -> np.ndarray:
    """(2, N, K): the labels of `people` that a training on a snapshot shows to each student."""
    theirs = snapshot.people
    used = (theirs.split == "train") & ~theirs.iscrowd & ~held(theirs, config.data.hold_fold)
    shown = np.broadcast_to(
        (theirs.state == PLACED) & used[:, None], (2, *theirs.state.shape)
    ).copy()
    if config.data.cross_fit > 0:
        from posestudio.train import data  # lazy: torch

        left_out = data.split_people(snapshot, config).left_out
        for student, mine in enumerate(left_out[:2]):
            shown[student, mine] = False
        if len(left_out) == 1:
            shown[1] = shown[0]
    found = np.zeros((2, *people.state.shape), bool)
    if theirs.state.shape[1] != people.state.shape[1]:
        return found
    row = places(people.instance_id, theirs.instance_id)
    found[:, row >= 0] = shown[:, row[row >= 0]]
    return found


def held(people: People, hold_fold: bool) -> np.ndarray:
    """(N,) bool: labeled people of the stored fold whom data.hold_fold keeps out of a training on these people.

    Nobody where nobody else is labeled, as in a project of one video, which is all in the fold or not at all.
    """
    labeled = (people.state == PLACED).any(axis=1) & (people.split == "train") & ~people.iscrowd
    fold = labeled & people.fold
    return fold if hold_fold and (labeled & ~fold).any() else np.zeros_like(fold)


def places(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    """Where each wanted id stands among others, -1 where it does not."""
    place = {int(one): index for index, one in enumerate(among)}
    return np.array([place.get(int(one), -1) for one in wanted], np.int64)
