"""Before a training: what it would learn from, and how long it would take."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from posestudio.config import Config, flat
from posestudio.errors import NotFound, StoreError
from posestudio.events import Warned
from posestudio.store import freeze, runs, snapshots
from posestudio.store.database import Store
from posestudio.store.snapshots import ABSENT, PLACED, People
from posestudio.train import seen
from posestudio.train.run_folder import RunFolder

Record = dict[str, Any]
SAME = (
    "model.backbone",
    "model.head_channels",
    "model.feature_stride",
    "data.height",
    "data.width",
)
"""Settings that must be equal for the time of one run to say something about another's."""


def learning(store: Store, hold_fold: bool = True) -> Record:
    """What a training that starts now would learn from.

    Args:
        store: the open project.
        hold_fold: the setting data.hold_fold of that training.

    Returns:
        people, keypoints (labeled ones of train, held-out people aside), fold (held-out people), unlabeled, val
        (reviewed people), names: for each keypoint {"name", "visible", "occluded", "absent", "open", "taught"} over
        train; since: what differs from the labels of the newest run, as `label_difference`, with its "run_id", or
        None.

    Raises:
        InputError: the project has no skeleton yet.
    """
    now = freeze.look(store)
    people = now.people
    real = ~people.iscrowd
    train = real & (people.split == "train")
    placed = (people.state == PLACED) & train[:, None]
    held = seen.held(people, hold_fold)
    shown = placed & ~held[:, None]
    rows = []
    for k, name in enumerate(now.skeleton.keypoints):
        mine = people.state[train, k]
        rows.append({
            "name": name, "visible": int((placed[:, k] & (people.visibility[:, k] == 2)).sum()),
            "occluded": int((placed[:, k] & (people.visibility[:, k] == 1)).sum()),
            "absent": int((mine == ABSENT).sum()), "open": int((mine == 0).sum()),
            "taught": bool(now.taught[k]),
        })  # fmt: skip
    return {
        "people": int(shown.any(axis=1).sum()), "keypoints": int(shown.sum()),
        "fold": int(held.sum()),
        "unlabeled": int((real & (people.split == "unlabeled")).sum()),
        "val": int((real & people.reviewed & (people.split == "val")).sum()),
        "names": rows, "since": _since(store, people),
    }  # fmt: skip


def _since(store: Store, people: People) -> Record | None:
    newest = next(iter(runs.list_runs(store, limit=1)), None)
    if newest is None or not newest["snapshot_id"]:
        return None
    try:
        old = snapshots.read(store.project / "snapshots" / newest["snapshot_id"]).people
    except (NotFound, StoreError):
        return None
    return {"run_id": newest["run_id"], **label_difference(old, people)}


def label_difference(old: People, new: People) -> dict[str, int]:
    """How the labels of two snapshots differ, in counts."""
    shared, at_old, at_new = np.intersect1d(old.instance_id, new.instance_id, return_indices=True)
    if old.state.shape[1] != new.state.shape[1]:
        shared, at_old, at_new = shared[:0], at_old[:0], at_new[:0]
    states = old.state[at_old] != new.state[at_new]
    moved = np.nan_to_num(old.xy_image[at_old] - new.xy_image[at_new]).any(axis=-1) & ~states
    seen = (old.visibility[at_old] != new.visibility[at_new]) & ~states
    return {
        "people_added": len(new) - len(shared),
        "people_gone": len(old) - len(shared),
        "keypoints_labeled": int(((new.state[at_new] == PLACED) & states).sum()),
        "keypoints_changed": int((moved | seen | states).sum()),
        "boxes_moved": int((old.box_revision[at_old] != new.box_revision[at_new]).sum()),
    }


def seconds_a_step(project: Path, config: Config) -> tuple[float, str] | None:
    """How long a step takes here by the newest run that trained such networks on such crops here; None without one.

    A run with other batches or views is scaled by its passes. Runs that came with the program count for nothing.

    Returns:
        Seconds, and that run's id.
    """
    wanted = flat(config)
    for path in sorted((project / "runs").glob("[0-9]*"), reverse=True):
        folder = RunFolder(path)
        try:
            theirs, metrics = folder.config(), folder.metrics()
        except NotFound:
            continue
        values = flat(theirs)
        if any(values[key] != wanted[key] for key in SAME) or not metrics.get("steps"):
            continue
        if any(isinstance(event, Warned) and event.code == "shipped" for event in folder.events()):
            continue
        pace = float(metrics["seconds"]) / float(metrics["steps"])
        return pace * _passes(wanted) / _passes(values), path.name
    return None


def _passes(settings: Mapping[str, Any]) -> float:
    """Crops through a network in a step, a training pass counted as three."""
    labeled = 3 * settings["data.batch_labeled"]
    if settings["loss.unlabeled"] == 0:
        return settings["views.students"] * labeled
    views = settings["views.count"] + 3 * settings["views.hard_paths"]
    return settings["views.students"] * (labeled + views * settings["data.batch_unlabeled"])


OFFERED = {"learning": learning}
