"""Store verbs about labels: the queue, edits, accept, undo, boxes, history."""

import uuid
from typing import Any

import numpy as np

from posestudio.config import unknown
from posestudio.errors import InputError, NotFound
from posestudio.store import freeze, labels, people, predictions
from posestudio.store.database import Store
from posestudio.store.snapshots import OPEN, PLACED, Snapshot
from posestudio.studio import beliefs, evidence, queue, suspects, verbs_data, verbs_runs

Record = dict[str, Any]
SHUFFLE_SEED = 0


def label(
    store: Store,
    instance_id: int,
    edits: list[Record],
    who: str,
    edit_id: str | None = None,
    base_revision: int | None = None,
    queued_for: str | None = None,
    seconds: float | None = None,
    run_id: str | None = None,
) -> Record:
    """Save a person's edits of one instance in one transaction; see `labels.save_edits`.

    Raises:
        NotFound: no such person, or no such keypoint (with the nearest match).
    """
    names = store.require_skeleton().keypoints
    for edit in edits:
        said = edit.get("keypoint")
        if isinstance(said, str) and said not in names:
            raise NotFound(unknown("keypoint", said, dict.fromkeys(names)))
    return labels.save_edits(
        store, instance_id, edits, who=who, edit_id=edit_id or uuid.uuid4().hex, base_revision=base_revision,
        queued_for=queued_for, seconds=seconds, run_id=run_id,
    )  # fmt: skip


def accept(
    store: Store,
    instance_id: int,
    who: str,
    edit_id: str | None = None,
    run: str | None = None,
    student: str | None = None,
    keypoints: list[int | str] | None = None,
    base_revision: int | None = None,
    queued_for: str | None = None,
    seconds: float | None = None,
) -> Record:
    """Turn a person's newest prediction into labels: its open, taught keypoints, or the named ones.

    Args:
        store: the open store.
        instance_id: the person.
        who: name of the person who accepts.
        edit_id: the client's id of this deed; the same again changes nothing.
        run: run or imported model; the newest prediction when absent.
        student: "a", "b" or "ensemble"; the ensemble when absent.
        keypoints: indices or names.
        base_revision: newest revision that the client has seen; None skips the check.
        queued_for: why the person was in the queue.
        seconds: time spent.

    Raises:
        NotFound: no such person, or nothing is predicted for it.
    """
    found = predictions.of_person(store, instance_id)
    name = verbs_runs.model_name(store, run) if run is not None else None
    found = [
        row for row in found if name in (None, row["model"]) and student in (None, row["student"])
    ]
    found.sort(
        key=lambda row: row["student"] in ("a", "b")
    )  # the newest ensemble (or other model) first
    if not found:
        whose = f" by {run}" if run else ""
        raise NotFound(
            f"Person {instance_id} has no prediction{whose} to accept.\nMake some: posestudio predict --out FILE"
        )
    names = store.require_skeleton().keypoints
    wanted = None if keypoints is None else [keypoint_index(one, names) for one in keypoints]
    return predictions.accept(
        store, instance_id, found[0]["prediction_id"], who=who, edit_id=edit_id or uuid.uuid4().hex,
        base_revision=base_revision, keypoints=wanted, queued_for=queued_for, seconds=seconds,
    )  # fmt: skip


def keypoint_index(said: int | str, names: tuple[str, ...]) -> int:
    """A keypoint by name or index.

    Raises:
        NotFound: the skeleton has none such; with the nearest match.
    """
    if isinstance(said, int) and 0 <= said < len(names):
        return said
    if said in names:
        return names.index(str(said))
    raise NotFound(unknown("keypoint", str(said), dict.fromkeys(names)))


def undo(
    store: Store,
    instance_id: int,
    who: str,
    edit_id: str | None = None,
    base_revision: int | None = None,
) -> Record:
    """Take a person's last edit back, by further rows."""
    return labels.undo(
        store,
        instance_id,
        who=who,
        edit_id=edit_id or uuid.uuid4().hex,
        base_revision=base_revision,
    )


def history(store: Store, instance_id: int) -> list[Record]:
    """Every label row of a person, the oldest first, with the keypoint's name."""
    return labels.history(store, instance_id)


def boxes(store: Store, instance_id: int) -> list[Record]:
    """Every box that a person had, the oldest first."""
    return people.boxes(store, instance_id)


def set_box(
    store: Store, instance_id: int, box_xywh: list[float], who: str, edit_id: str | None = None
) -> Record:
    """Move or resize a person's box; its predictions become stale."""
    return people.set_box(store, instance_id, box_xywh, who=who, edit_id=edit_id)


def add_person(store: Store, image_id: int, box_xywh: list[float], who: str) -> Record:
    """Add a person to an image by its box."""
    return {"instance_id": people.add(store, image_id, box_xywh, who=who)}


def hide_person(
    store: Store, instance_id: int, who: str, hidden: bool = True, edit_id: str | None = None
) -> Record:
    """Take a person out of pages and snapshots, or bring it back; nothing is erased."""
    return people.set_hidden(store, instance_id, hidden, who=who, edit_id=edit_id)


def queue_(
    store: Store,
    limit: int = 20,
    split: str | None = None,
    run: str | None = None,
    suspects: bool = False,
) -> Record:
    """What to correct next, the most useful person first with the reason said; or which labels look wrong.

    Args:
        store: the open store.
        limit: how many people at most.
        split: "val" for people to evaluate on, in random order and without predictions; "train" or "unlabeled" for
            only these; both of them when absent.
        run: whose doubts; the newest run with predictions when absent.
        suspects: labeled people of train whose labels the run's students contradict, left/right swaps first.

    Returns:
        {"run_id", "order": "doubt" | "variety" | "random" | "suspects", "note": a sentence or None, "calibrated": bool,
        "items"}. An item: instance_id, image_id, file_name, split, score (None in random order), reason, keypoints (see
        `queue.keypoints` and `suspects.keypoints`; empty in the other two orders) and open (names of the open, taught
        keypoints).
    """
    verbs_data.splits_word(split)
    named = verbs_runs.get_run(store, run)["run_id"] if run is not None else None
    snapshot = freeze.look(store)
    if suspects:
        return _suspect_queue(store, snapshot, named, split=split, limit=limit)
    if split == "val":
        return _val_queue(snapshot, limit)
    run_id = named or verbs_runs.newest_predicting(store)
    return _doubt_queue(store, snapshot, run_id, split=split, limit=limit)


def _open(snapshot: Snapshot) -> np.ndarray:
    """(N, K): keypoints to ask about, open and taught; while nothing is taught, all open ones."""
    taught = snapshot.taught if snapshot.taught.any() else np.ones_like(snapshot.taught)
    return (snapshot.people.state == OPEN) & taught & ~snapshot.people.iscrowd[:, None]


def _val_queue(snapshot: Snapshot, limit: int) -> Record:
    people_, open_ = snapshot.people, _open(snapshot)
    asked = np.flatnonzero((people_.split == "val") & ~people_.reviewed & open_.any(axis=1))
    order = asked[np.random.default_rng(SHUFFLE_SEED).permutation(len(asked))][:limit]
    items = [
        _item(snapshot, int(i), open_, score=None, reason="val: random order", points=[])
        for i in order
    ]
    note = (
        "Val people come in random order and without predictions, so that the score stays honest."
    )
    return {"run_id": None, "order": "random", "note": note, "calibrated": False, "items": items}


def _doubt_queue(
    store: Store, snapshot: Snapshot, run_id: str | None, *, split: str | None, limit: int
) -> Record:
    people_, open_ = snapshot.people, _open(snapshot)
    wanted = people_.split == split if split else np.isin(people_.split, ["train", "unlabeled"])
    asked = open_ & wanted[:, None]
    known = beliefs.empty(people_)
    if run_id is not None:
        known = beliefs.gather(
            predictions.of_model(store, run_id), predictions.uncertainties(store, run_id), people_
        )
    labeled = (people_.state == PLACED).any(axis=1) & (people_.split == "train")
    score = np.where(known.stale[:, None], np.nan, known.score)
    doubtful = bool((np.isfinite(score) & asked).any())
    if int(labeled.sum()) < queue.MIN_LABELED or not doubtful:
        why = _why_variety(int(labeled.sum()), run_id)
        features = queue.describe(known, people_.box_xywh)
        chosen = queue.by_variety(features, labeled, np.asarray(asked.any(axis=1)), limit=limit)
        items = [
            _item(
                snapshot,
                i,
                open_,
                score=s,
                reason="differs most from those labeled so far",
                points=[],
            )
            for i, s in chosen
        ]
        return {
            "run_id": run_id,
            "order": "variety",
            "note": why,
            "calibrated": False,
            "items": items,
        }
    fresh = evidence.unseen(store.project, str(run_id), people_)
    doubts = queue.doubt(
        known, people_.box_xywh, people_.xy_image, calibrating=np.asarray(fresh.all(axis=0)),
        judges=evidence.read(store.project / "runs" / str(run_id), people_, fresh),
    )  # fmt: skip
    items = []
    for i, s in queue.by_doubt(doubts, asked, limit=limit):
        points = queue.keypoints(
            i,
            snapshot.skeleton.keypoints,
            open_,
            known,
            doubts,
            height=float(people_.box_xywh[i, 3]),
        )
        reason = ", ".join(point["reason"] for point in points[: queue.TOP])
        items.append(_item(snapshot, i, open_, score=s, reason=reason, points=points))
    return {
        "run_id": run_id, "order": "doubt", "note": None, "calibrated": doubts.probability is not None,
        "items": items,
    }  # fmt: skip


def _suspect_queue(
    store: Store, snapshot: Snapshot, run_id: str | None, *, split: str | None, limit: int
) -> Record:
    """The people whose labels the students of a run contradict.

    Raises:
        InputError: a split without such labels was asked for.
    """
    if split not in (None, "train"):
        raise InputError(
            f"Suspect labels are those of train; {split} has none that students may be held against."
        )
    people_ = snapshot.people
    run_id = run_id or verbs_runs.newest_predicting(store)
    fresh = evidence.unseen(store.project, str(run_id), people_)
    judges = evidence.read(store.project / "runs" / str(run_id), people_, fresh)
    answer = {"run_id": run_id, "order": "suspects", "calibrated": False, "items": []}
    if not judges:
        named = f" --run {run_id}" if run_id else ""
        return {
            **answer,
            "note": f"There are no votes on these labels yet. Gather some: posestudio pool{named}",
        }
    asked = (people_.state == PLACED) & (people_.split == "train")[:, None]
    label_ = np.where((asked & ~people_.iscrowd[:, None])[..., None], people_.xy_image, np.nan)
    opinion = suspects.witnesses(judges, people_.box_xywh, people_.xy_image)
    found = suspects.suspect(opinion, people_.box_xywh, label_, snapshot.skeleton.flip_index)
    items = []
    for i, score, _ in suspects.ranked(found)[:limit]:
        points = suspects.keypoints(i, snapshot.skeleton.keypoints, found)
        why = suspects.reason(i, points, found)
        items.append(_item(snapshot, i, _open(snapshot), score=score, reason=why, points=points))
    learned = (asked & ~opinion.unseen).any(axis=1).sum()
    note = None if not learned else (
        f"The labels of {learned} of {asked.any(axis=1).sum()} people were learned by both students, which seldom "
        "contradict what they learned. So that one student judges each label: posestudio train --set data.cross_fit=0.5"
    )  # fmt: skip
    return {**answer, "note": note, "calibrated": opinion.calibrated, "items": items}


def _why_variety(labeled: int, run_id: str | None) -> str:
    if run_id is None:
        return "No run has predicted yet, so the most different people come first. Train: posestudio train"
    if labeled < queue.MIN_LABELED:
        return (
            f"With {labeled} labeled people (under {queue.MIN_LABELED}) the students' doubts say little, so the most "
            "different people come first."
        )
    return f"Run {run_id} has no fresh prediction of these people. Make some: posestudio pool --run {run_id}"


def _item(
    snapshot: Snapshot,
    index: int,
    open_: np.ndarray,
    *,
    score: float | None,
    reason: str,
    points: list[Record],
) -> Record:
    people_, names = snapshot.people, snapshot.skeleton.keypoints
    return {
        "instance_id": int(people_.instance_id[index]),
        "image_id": int(people_.image_id[index]),
        "file_name": people_.file_name[index],
        "split": str(people_.split[index]),
        "score": score,
        "reason": reason,
        "keypoints": points,
        "open": [names[k] for k in np.flatnonzero(open_[index])],
    }


OFFERED = {
    function.__name__: function
    for function in (label, accept, undo, history, boxes, set_box, add_person, hide_person)
} | {"queue": queue_}
