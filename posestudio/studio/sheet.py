"""The contact sheet: one keypoint of many people, so that a look is enough to find those that were predicted wrong."""

from typing import Any

import numpy as np

from posestudio.errors import InputError
from posestudio.store import documents, journal, marks
from posestudio.store.database import Store
from posestudio.studio import standing, verbs_data, verbs_labels, verbs_queue, verbs_runs

Record = dict[str, Any]

ORDERS = ("doubt", "sure")

SIZE = 0.5
"""Side of a picture over the height of the person's box."""

LEAST_SIZE = 48
"""Least side of a picture in image pixels."""


def sheet(
    store: Store,
    keypoint: int | str,
    order: str = "doubt",
    offset: int = 0,
    limit: int = 24,
    split: str | None = None,
    run: str | None = None,
) -> Record:
    """People whose `keypoint` is open and predicted, the most doubtful or the surest first; nobody of val.

    People whose keypoint is flagged, who were skipped today or of whom somebody cannot tell are left out, and so are
    those whose box has moved since the prediction or whose point lies outside the image.

    Args:
        store: the open store.
        keypoint: name or index.
        order: "doubt" or "sure".
        offset: skip so many.
        limit: how many at most.
        split: "train" or "unlabeled"; both when absent.
        run: whose predictions; those of the newest run when absent.

    Returns:
        keypoint (name), index, run_id, calibrated, total (before offset and limit), and items: instance_id, image_id,
        x, y (image pixels), score, error (probability, None where unknown), revision (base of an edit), prediction_id,
        size (side of a square around the point that shows enough of the person).

    Raises:
        NotFound: no such keypoint or run. InputError: val was asked for, or a number or word is not valid.
    """
    names = store.require_skeleton().keypoints
    k = verbs_labels.keypoint_index(keypoint, names)
    if order not in ORDERS:
        raise InputError(f"order must be one of {', '.join(ORDERS)}, got {order!r}.")
    if verbs_data.splits_word(split) == "val":
        raise InputError("Labels of val must not come from a model, so val has no contact sheet.")
    for name, value in (("offset", offset), ("limit", limit)):
        verbs_queue.whole(value, name)
    run_id = verbs_runs.model_name(store, run) if run else verbs_runs.newest_predicting(store)
    known = standing.latest(store, run_id)
    index = _asked(store, known, k, split)
    score = known.doubts.score[index, k]
    ranked = index[np.argsort(-score if order == "doubt" else score, kind="stable")]
    shown = ranked[offset : offset + limit]
    revisions = documents.revisions(store, known.snapshot.people.instance_id[shown].tolist())
    return {
        "keypoint": names[k],
        "index": k,
        "run_id": run_id,
        "calibrated": known.doubts.probability is not None,
        "total": len(ranked),
        "items": [_item(known, int(i), k, revisions) for i in shown],
    }


def _item(known: standing.Standing, i: int, k: int, revisions: dict[int, int]) -> Record:
    people, chance = known.snapshot.people, known.doubts.probability
    person = int(people.instance_id[i])
    return {
        "instance_id": person,
        "image_id": int(people.image_id[i]),
        "x": float(known.known.xy_image[i, k, 0]),
        "y": float(known.known.xy_image[i, k, 1]),
        "score": float(known.known.score[i, k]),
        "error": None if chance is None else float(chance[i, k]),
        "revision": revisions.get(person, 0),
        "prediction_id": int(known.prediction_id[i]),
        "size": max(LEAST_SIZE, round(SIZE * float(people.box_xywh[i, 3]))),
    }


def _asked(store: Store, known: standing.Standing, k: int, split: str | None) -> np.ndarray:
    """Indices of the people whose keypoint is open now and whose known prediction is of the present box."""
    now = standing.snapshot(store)
    wanted = np.isin(now.people.split, [split] if split else ["train", "unlabeled"])
    open_ = verbs_queue.open_keypoints(now)[:, k] & wanted
    away = {
        row["instance_id"]
        for row in marks.standing(store)
        if row["kind"] in ("skip", "cannot_tell")
        or (row["kind"] == "flag" and row["keypoint"] in (None, k))
    }
    found = []
    for i in np.flatnonzero(open_ & ~np.isin(now.people.instance_id, list(away))):
        index = known.place.get(int(now.people.instance_id[i]))
        if (
            index is not None
            and known.prediction_id[index] >= 0
            and not known.known.stale[index]
            and known.snapshot.people.box_revision[index] == now.people.box_revision[i]
            and np.isfinite(known.doubts.score[index, k])
            and _inside(known, index, k)
        ):
            found.append(index)
    return np.array(found, np.int64)


def _inside(known: standing.Standing, index: int, k: int) -> bool:
    """Whether the point could be a label: it lies in its image."""
    people, (x, y) = known.snapshot.people, known.known.xy_image[index, k].tolist()
    return journal.is_inside(x, y, (int(people.width[index]), int(people.height[index])))


OFFERED = {"sheet": sheet}
