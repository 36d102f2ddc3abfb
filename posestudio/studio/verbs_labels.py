"""Store verbs about one person: edits, accept, undo, boxes, marks, history, and deeds on two people."""

import uuid
from typing import Any

from posestudio.config import unknown
from posestudio.errors import InputError, NotFound
from posestudio.store import labels, marks, pairs, people, predictions
from posestudio.store.database import Cursor, Store
from posestudio.store.fields import Base
from posestudio.studio import standing, verbs_runs

Record = dict[str, Any]


def label(
    store: Store,
    instance_id: int,
    edits: list[Record],
    who: str,
    edit_id: str | None = None,
    base_revision: Base = None,
    queued_for: str | None = None,
    seconds: float | None = None,
    run_id: str | None = None,
    after: list[str] | None = None,
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
        queued_for=queued_for, seconds=seconds, run_id=run_id, after=after,
    )  # fmt: skip


def accept(
    store: Store,
    instance_id: int,
    who: str,
    edit_id: str | None = None,
    run: str | None = None,
    student: str | None = None,
    keypoints: list[int | str] | None = None,
    base_revision: Base = None,
    queued_for: str | None = None,
    seconds: float | None = None,
    prediction_id: int | None = None,
    error_limit: float | None = None,
    after: list[str] | None = None,
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
        base_revision: as in `labels.save_edits`.
        queued_for: why the person was in the queue.
        seconds: time spent.
        prediction_id: this very prediction, as the client has seen it, instead of the newest.
        error_limit: without `keypoints`, leave those open whose probability of an error is known to be above.
        after: earlier edits of the same page, see `labels.save_edits`.

    Returns:
        As `predictions.accept`: revision, saved_at, repeated, others, accepted, left, skipped.

    Raises:
        NotFound: no such person, or nothing is predicted for it.
        InputError: there is nothing to accept, the person is of val, or the limit is no probability.
    """
    if error_limit is not None:
        standing.require_chance(error_limit, "error_limit")
    chosen = {"prediction_id": prediction_id, "model": None}
    if prediction_id is None:
        chosen = _prediction(store, instance_id, run, student)
    names = store.require_skeleton().keypoints
    wanted = None if keypoints is None else [keypoint_index(one, names) for one in keypoints]
    leave = []
    if error_limit is not None and wanted is None:
        model = chosen["model"] or predictions.model_of(store, chosen["prediction_id"])
        leave = standing.latest(store, model).too_doubtful(instance_id, error_limit)
    return predictions.accept(
        store, instance_id, chosen["prediction_id"], who=who, edit_id=edit_id or uuid.uuid4().hex,
        base_revision=base_revision, keypoints=wanted, leave=leave, queued_for=queued_for, seconds=seconds, after=after,
    )  # fmt: skip


def _prediction(store: Store, instance_id: int, run: str | None, student: str | None) -> Record:
    """The newest prediction of a person, of the ensemble (or another model) before the students alone."""
    found = predictions.of_person(store, instance_id)
    name = verbs_runs.model_name(store, run) if run is not None else None
    found = [
        row for row in found if name in (None, row["model"]) and student in (None, row["student"])
    ]
    found.sort(key=lambda row: row["student"] in ("a", "b"))
    if not found:
        whose = f" by {run}" if run else ""
        raise NotFound(
            f"Person {instance_id} has no prediction{whose} to accept.\n"
            "Correct makes one where a person is opened; for everybody: posestudio predict --out FILE"
        )
    return found[0]


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
    base_revision: Base = None,
    after: list[str] | None = None,
    undoes: str | None = None,
    own: bool = False,
) -> Record:
    """Take a person's last edit back by further rows; one that changed two people, for both.

    Args:
        store: the open store.
        instance_id: the person.
        who: name of the person who takes it back.
        edit_id: the client's id of this deed; the same again changes nothing.
        base_revision: as in `labels.save_edits`.
        after: earlier edits of the same page, see `labels.save_edits`.
        undoes: the edit to take back, which may also have been a mark; the last one of the labels when absent.
        own: without `undoes`, only an edit of `who` that nobody else has built on.

    Raises:
        NotFound: no such person. InputError: there is nothing to take back. Conflict: see `labels.undo`.
    """
    edit_id = edit_id or uuid.uuid4().hex
    taken = undoes and marks.undo(store, instance_id, undoes, who=who, edit_id=edit_id)
    if taken:
        return taken
    return labels.undo(
        store, instance_id, who=who, edit_id=edit_id, base_revision=base_revision, after=after, undoes=undoes, own=own
    )  # fmt: skip


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


def add_person(
    store: Store,
    image_id: int,
    box_xywh: list[float],
    who: str,
    iscrowd: bool = False,
    edit_id: str | None = None,
) -> Record:
    """Add a person to an image by its box, or with iscrowd a region to ignore."""
    return people.add(store, image_id, box_xywh, who=who, iscrowd=iscrowd, edit_id=edit_id)


def hide_person(
    store: Store, instance_id: int, who: str, hidden: bool = True, edit_id: str | None = None
) -> Record:
    """Take a person out of pages and snapshots, or bring it back; nothing is erased."""
    return people.set_hidden(store, instance_id, hidden, who=who, edit_id=edit_id)


def merge(
    store: Store,
    instance_id: int,
    into: int,
    who: str,
    edit_id: str | None = None,
    base_revision: Base = None,
    after: list[str] | None = None,
) -> Record:
    """Take a duplicate out, its placed keypoints that the other person lacks go over; see `pairs.merge`."""
    return pairs.merge(
        store, instance_id, into, who=who, edit_id=edit_id or uuid.uuid4().hex, base_revision=base_revision,
        after=after,
    )  # fmt: skip


def hand(
    store: Store,
    instance_id: int,
    to: int,
    keypoints: list[int | str],
    who: str,
    edit_id: str | None = None,
    base_revision: Base = None,
    after: list[str] | None = None,
) -> Record:
    """Hand placed keypoints to another person of the image; see `pairs.hand`."""
    names = store.require_skeleton().keypoints
    return pairs.hand(
        store, instance_id, to, [keypoint_index(one, names) for one in keypoints], who=who,
        edit_id=edit_id or uuid.uuid4().hex, base_revision=base_revision, after=after,
    )  # fmt: skip


def mark(
    store: Store,
    instance_id: int,
    kind: str,
    who: str,
    text: str | None = None,
    keypoint: int | str | None = None,
    edit_id: str | None = None,
) -> Record:
    """Say of a person: skip, cannot_tell, flag, unflag, comment or seen; see `marks.add`."""
    names = store.require_skeleton().keypoints
    return marks.add(
        store, instance_id, kind, who=who, edit_id=edit_id or uuid.uuid4().hex, text=text,
        keypoint=None if keypoint is None else keypoint_index(keypoint, names),
    )  # fmt: skip


def save_prediction(
    store: Store,
    run_id: str,
    instance_id: int,
    box_revision: int,
    points: dict[str, list[list[float]]],
    scores: dict[str, list[float]],
) -> Record:
    """Keep what a run's students see of one person with a box: K points and scores for each student and the ensemble.

    Raises:
        NotFound: no such person or run. InputError: the numbers do not fit.
    """
    person, run = people.get(store, instance_id), verbs_runs.get_run(store, run_id)["run_id"]
    count = len(store.require_skeleton().keypoints)
    for name in points:
        if len(points[name]) != count or len(scores.get(name, [])) != count:
            raise InputError(f"A prediction needs {count} points and scores of {name}.")

    def job(cursor: Cursor) -> list[int]:
        people.require_people(cursor, [instance_id])
        return [
            predictions.add_many(
                cursor, model=run, run_id=run, student=name, instance_id=[person["instance_id"]],
                box_revision=[box_revision], xy_image=[points[name]], score=[scores[name]],
            )[0]
            for name in points
        ]  # fmt: skip

    return {"run_id": run, "prediction_ids": store.write(job)}


def marks_of(store: Store, instance_id: int) -> list[Record]:
    """Everything that was said of a person, the oldest first."""
    return marks.of_person(store, instance_id)


OFFERED = {
    function.__name__: function
    for function in (
        label, accept, undo, history, boxes, set_box, add_person, hide_person, merge, hand, mark, save_prediction,
    )
} | {"marks": marks_of}  # fmt: skip
