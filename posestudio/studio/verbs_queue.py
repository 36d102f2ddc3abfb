"""The store verb `queue`: which people to correct next, and why."""

import math
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np

from posestudio.config import unknown
from posestudio.errors import InputError
from posestudio.store import gallery, marks
from posestudio.store.database import Store
from posestudio.store.snapshots import OPEN, PLACED, Snapshot
from posestudio.studio import queue, standing, verbs_data, verbs_runs
from posestudio.studio import suspects as suspicion
from posestudio.studio.standing import Standing

Record = dict[str, Any]
SHUFFLE_SEED = 0

ORDERS = ("doubt", "suspects", "variety", "random", "marked")

LEAST_TIMED = 5
"""People whose time is known, below which a person's time is assumed."""

ASSUMED = 40
"""Seconds a person until LEAST_TIMED are timed. Ours."""

VAL_NOTE = (
    "Val people come in random order and without predictions, so that the score stays honest."
)


def queue_(
    store: Store,
    limit: int = 20,
    split: str | None = None,
    run: str | None = None,
    suspects: bool = False,
    order: str | None = None,
    minutes: float | None = None,
) -> Record:
    """What to correct next, the most useful person first with the reason said; or which labels look wrong.

    Whoever was skipped or finished today, or of whom somebody cannot tell, is left out, except in the order "marked".

    Args:
        store: the open store.
        limit: how many people at most.
        split: "val" for people to evaluate on, in random order and without predictions; "train" or "unlabeled" for
            only these; both of them when absent.
        run: whose doubts; the newest run with predictions when absent.
        suspects: the same as order "suspects".
        order: "doubt" (the default; "variety" where doubts say little), "suspects" (labeled people of train whose
            labels the run's students contradict, left/right swaps first), "variety", "random", or "marked" (flagged,
            skipped, cannot-tell and commented people).
        minutes: time at hand, for `fits`.

    Returns:
        {"run_id", "order", "note": a sentence or None, "calibrated": bool, "seconds_per_person": median over the last
        people or None, "assumed_seconds": in its place while it is None, "fits": how many fit in `minutes` or None,
        "total": people in this order before the limit, "done": people finished today, "items"}. An item: instance_id,
        image_id, file_name, split, score (None in random order and without a prediction), reason, keypoints (see
        `queue.keypoints` and `suspects.keypoints`; empty in the other orders), open (names of the open keypoints to
        ask for) and marks (those that stand).
    """
    verbs_data.splits_word(split)
    order = _order(order, suspects)
    named = verbs_runs.model_name(store, run) if run is not None else None
    limit = whole(limit, "limit")
    said = marks.standing(store)
    standing_marks = _by_person([row for row in said if row["kind"] != "seen"])
    done = _finished(store, standing.snapshot(store))
    away = {*done, *(i for i, rows in standing_marks.items() if _has(rows, "skip", "cannot_tell"))}
    if order == "marked":
        found = _marked_queue(store, _unsettled(said), split)
    elif order == "suspects":
        found = _suspect_queue(store, named, away, _seen(said), split=split)
    elif split == "val":
        found = _random_queue(store, away, ("val",))
    elif order == "random":
        found = _random_queue(store, away, _splits(split))
    else:
        run_id = named or verbs_runs.newest_predicting(store)
        found = _useful_queue(store, run_id, away, split, order, limit)
    items = found["items"][:limit]
    for item in items:
        item["marks"] = standing_marks.get(item["instance_id"], [])
    total = found.pop("total", len(found["items"]))
    return {**found, **_time(store, minutes, total), "total": total, "done": len(done), "items": items}  # fmt: skip


def _order(order: str | None, suspects: bool) -> str:
    if order is not None and order not in ORDERS:
        raise InputError(unknown("order", str(order), dict.fromkeys(ORDERS)))
    return order or ("suspects" if suspects else "doubt")


def whole(value: Any, name: str) -> int:
    """A whole number from 0.

    Raises:
        InputError: it is none.
    """
    if type(value) is not int or value < 0:
        raise InputError(f"{name} must be a whole number from 0, got {value!r}.")
    return value


def _by_person(rows: list[Record]) -> dict[int, list[Record]]:
    found: dict[int, list[Record]] = {}
    for row in rows:
        rest = {key: value for key, value in row.items() if key != "instance_id"}
        found.setdefault(row["instance_id"], []).append(rest)
    return found


def _seen(rows: list[Record]) -> dict[int, set[int | None]]:
    """By person the keypoints that somebody has looked at, None for the whole person."""
    found: dict[int, set[int | None]] = {}
    for row in rows:
        if row["kind"] == "seen":
            found.setdefault(row["instance_id"], set()).add(row["keypoint"])
    return found


def _unsettled(rows: list[Record]) -> dict[int, list[Record]]:
    """By person the marks that still ask for somebody.

    Whoever was seen through since asks no more, but for flags of the person and comments.
    """
    found: dict[int, list[Record]] = {}
    for row in rows:
        own = found.setdefault(row["instance_id"], [])
        if row["kind"] != "seen":
            own.append(row)
        elif row["keypoint"] is None:
            own[:] = [one for one in own if one["kind"] == "comment" or _is_flag_of_all(one)]
    return found


def _is_flag_of_all(row: Record) -> bool:
    return row["kind"] == "flag" and row["keypoint"] is None


def _has(rows: list[Record], *kinds: str) -> bool:
    return any(row["kind"] in kinds for row in rows)


def _finished(store: Store, snapshot: Snapshot) -> set[int]:
    """People of today's work: somebody saw them through, or labeled them and left no keypoint open."""
    touched = marks.worked_today(store)
    left = _needed(store, snapshot).any(axis=1)
    complete = set(snapshot.people.instance_id[~left].tolist())
    return {one for one, seen in touched.items() if seen or one in complete}


def _time(store: Store, minutes: float | None, total: int) -> Record:
    if minutes is not None and not (isinstance(minutes, (int, float)) and 0 <= minutes < 1e6):
        raise InputError(f"minutes must be a number from 0, got {minutes!r}.")
    known = marks.seconds_each(store)
    each = median(known) if len(known) >= LEAST_TIMED else None
    fits = None if minutes is None else min(math.floor(60 * minutes / (each or ASSUMED)), total)
    return {
        "seconds_per_person": each, "assumed_seconds": None if each else ASSUMED, "fits": fits,
    }  # fmt: skip


def open_keypoints(snapshot: Snapshot) -> np.ndarray:
    """(N, K): keypoints that students may speak of, open and taught; while nothing is taught, all open ones."""
    taught = snapshot.taught if snapshot.taught.any() else np.ones_like(snapshot.taught)
    return (snapshot.people.state == OPEN) & taught & ~snapshot.people.iscrowd[:, None]


def _needed(store: Store, snapshot: Snapshot) -> np.ndarray:
    """(N, K): open keypoints that people are asked for, shown by a label or not."""
    needed = np.isin(np.arange(len(snapshot.skeleton.keypoints)), gallery.needed_keypoints(store))
    return (snapshot.people.state == OPEN) & needed & ~snapshot.people.iscrowd[:, None]


def _splits(split: str | None) -> tuple[str, ...]:
    return (split,) if split else ("train", "unlabeled")


def _there(snapshot: Snapshot, away: set[int], splits: tuple[str, ...]) -> np.ndarray:
    people = snapshot.people
    return np.isin(people.split, splits) & ~np.isin(people.instance_id, list(away))


def _random_queue(store: Store, away: set[int], splits: tuple[str, ...]) -> Record:
    snapshot = standing.snapshot(store)
    open_ = _needed(store, snapshot)
    asked = _there(snapshot, away, splits) & open_.any(axis=1)
    val = splits == ("val",)
    if val:
        asked &= ~snapshot.people.reviewed
    chosen = np.flatnonzero(asked)
    why = "val: random order" if val else "random order"
    items = [
        _item(snapshot, int(i), open_, score=None, reason=why, points=[])
        for i in chosen[np.random.default_rng(SHUFFLE_SEED).permutation(len(chosen))]
    ]
    note = VAL_NOTE if val else None
    return {"run_id": None, "order": "random", "note": note, "calibrated": False, "items": items}


def _marked_queue(store: Store, rows: dict[int, list[Record]], split: str | None) -> Record:
    snapshot = standing.snapshot(store)
    open_, people = _needed(store, snapshot), snapshot.people
    items = []
    marked = [instance_id for instance_id, said in rows.items() if said]
    for i in np.flatnonzero(np.isin(people.instance_id, marked)):
        if split in (None, str(people.split[i])):
            last = rows[int(people.instance_id[i])][-1]
            said = f"{last['kind'].replace('_', ' ')} by {last['who']}"
            why = said if last["text"] is None else f"{said}: {last['text']}"
            items.append(_item(snapshot, int(i), open_, score=None, reason=why, points=[]))
    note = None if items else "Nobody is flagged, skipped, marked as cannot tell or commented on."
    return {"run_id": None, "order": "marked", "note": note, "calibrated": False, "items": items}


def _useful_queue(
    store: Store, run_id: str | None, away: set[int], split: str | None, order: str, limit: int
) -> Record:
    """By doubt, or by variety where that was asked for or doubts say little."""
    found = standing.now(store, run_id)
    people, open_ = found.snapshot.people, _needed(store, found.snapshot)
    there = _there(found.snapshot, away, _splits(split))[:, None]
    asked, told = open_ & there, open_keypoints(found.snapshot) & there
    labeled = (people.state == PLACED).any(axis=1) & (people.split == "train")
    score = np.where(found.known.stale[:, None], np.nan, found.known.score)
    doubtful = bool((np.isfinite(score) & told).any())
    few = int(labeled.sum()) < queue.MIN_LABELED
    if order == "doubt" and doubtful and not few:
        return _doubt_queue(found, told, asked, open_, limit)
    chosen = queue.by_variety(
        queue.describe(found.known, people.box_xywh), labeled, np.asarray(asked.any(axis=1)), limit=limit
    )  # fmt: skip
    items = [
        _item(found.snapshot, i, open_, score=s, reason="differs most from those labeled so far", points=[])
        for i, s in chosen
    ]  # fmt: skip
    note = _why_variety(int(labeled.sum()), found.run_id) if order == "doubt" else None
    return {
        "run_id": found.run_id, "order": "variety", "note": note, "calibrated": False, "items": items,
        "total": int(asked.any(axis=1).sum()),
    }  # fmt: skip


def _doubt_queue(
    found: Standing, told: np.ndarray, asked: np.ndarray, open_: np.ndarray, limit: int
) -> Record:
    """By doubt, and after them the people whom nobody has predicted."""
    items = []
    ranked = queue.by_doubt(found.doubts, told, limit=len(told))
    for i, s in ranked[:limit]:
        points = doubtful(found, i)
        reason = ", ".join(point["reason"] for point in points[: queue.TOP])
        items.append(_item(found.snapshot, i, open_, score=s, reason=reason, points=points))
    unseen = np.flatnonzero(asked.any(axis=1) & (found.prediction_id < 0))
    for i in unseen[: limit - len(items)]:
        items.append(
            _item(found.snapshot, int(i), open_, score=None, reason="not predicted yet", points=[])
        )
    return {
        "run_id": found.run_id, "order": "doubt", "note": _not_predicted(len(unseen)),
        "calibrated": found.doubts.probability is not None, "items": items, "total": len(ranked) + len(unseen),
    }  # fmt: skip


def _not_predicted(count: int) -> str | None:
    if not count:
        return None
    people = "1 person has" if count == 1 else f"{count} people have"
    come = "comes" if count == 1 else "come"
    return (
        f"{people} no prediction yet and {come} last; whoever is opened in Correct is predicted then. The order Most "
        "different asks about them sooner."
    )


def doubtful(found: Standing, index: int) -> list[Record]:
    """The open keypoints of one person, most doubtful first; see `queue.keypoints`."""
    return queue.keypoints(
        index, found.snapshot.skeleton.keypoints, open_keypoints(found.snapshot), found.known, found.doubts,
        height=float(found.snapshot.people.box_xywh[index, 3]),
    )  # fmt: skip


def _suspect_queue(
    store: Store,
    run_id: str | None,
    away: set[int],
    seen: Mapping[int, set[int | None]],
    *,
    split: str | None,
) -> Record:
    """The people whose labels the students of a run contradict; those labels apart that somebody has seen since.

    Raises:
        InputError: a split without such labels was asked for.
    """
    if split not in (None, "train"):
        raise InputError(
            f"Suspect labels are those of train; {split} has none that students may be held against."
        )
    run_id = run_id or verbs_runs.newest_predicting(store)
    found = standing.now(store, run_id)
    answer = {"run_id": run_id, "order": "suspects", "calibrated": False, "items": []}
    if found.suspects is None:
        named = f" --run {run_id}" if run_id else ""
        return {
            **answer,
            "note": "There are no votes on these labels yet. The next run on Train gathers them at its end; for "
            f"this one: posestudio pool{named}",
        }
    snapshot, people = found.snapshot, found.snapshot.people
    items, open_ = [], _needed(store, snapshot)
    for i, score, _ in suspicion.ranked(found.suspects):
        kept = seen.get(int(people.instance_id[i]), set())
        points = suspicion.keypoints(i, snapshot.skeleton.keypoints, found.suspects)
        points = [point for point in points if not kept & {None, point["keypoint"]}]
        if int(people.instance_id[i]) in away or not points:
            continue
        why = suspicion.reason(i, points, found.suspects)
        items.append(_item(snapshot, i, open_, score=score, reason=why, points=points))
    asked, opinion = standing.judged(people), found.suspects.opinion
    learned = (asked & ~opinion.unseen).any(axis=1).sum()
    note = None if not learned else (
        f"The labels of {learned} of {asked.any(axis=1).sum()} people were learned by both students, which seldom "
        "contradict what they learned. So that one student judges each label, train with data.cross_fit 0.5 (All "
        "settings on Train, or posestudio train --set data.cross_fit=0.5)."
    )  # fmt: skip
    return {**answer, "note": note, "calibrated": opinion.calibrated, "items": items}


def _why_variety(labeled: int, run_id: str | None) -> str:
    if run_id is None:
        return "No run has predicted yet, so the most different people come first. Label about 20, then train."
    if labeled < queue.MIN_LABELED:
        return (
            f"With {labeled} labeled people (under {queue.MIN_LABELED}) the students' doubts say little, so the most "
            "different people come first."
        )
    return (
        f"Run {run_id} has no fresh prediction of these people. Have them made on Train, where the run stands, or by: "
        f"posestudio pool --run {run_id}"
    )


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


OFFERED = {"queue": queue_}
