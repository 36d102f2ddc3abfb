"""Labels of people by people: an append-only journal, and what it says now.

Nothing here updates or deletes a row of the journal; an undo is a further row. The table `labels` holds the newest row
of each keypoint and is written in the same transaction.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from posestudio.errors import InputError
from posestudio.store import bulk, journal, people
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now
from posestudio.store.fields import (
    Base,
    require_after,
    require_revision,
    require_seconds,
    require_text,
)
from posestudio.store.journal import Conflict
from posestudio.store.people import require_who

__all__ = [
    "Conflict",
    "NewLabel",
    "current",
    "history",
    "import_many",
    "placed",
    "save_edits",
    "undo",
]


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A keypoint of a person as a file has it.

    state: "placed" (x, y in image pixels; v 1 hidden or 2 visible), "absent" (v 0, no x and y, with a reason, "outside"
    or "cannot tell") or "open" (v 0). A keypoint without any row is open: write none for those.
    """

    instance_id: int
    keypoint: int
    state: str
    x: float | None = None
    y: float | None = None
    v: int = 0
    reason: str | None = None


def import_many(cursor: Cursor, rows: Sequence[NewLabel], who: str = "import") -> int:
    """In a job: labels as a file has them, above what an earlier file said; returns how many.

    Those of people whom somebody has edited are the caller's to leave out.
    """
    revisions = next_ids(cursor, "label_revisions", len(rows))
    found = cursor.execute(
        """SELECT instance_id, keypoint, revision FROM labels WHERE instance_id IN (SELECT unnest(?::BIGINT[]))""",
        [list({row.instance_id for row in rows})],
    ).fetchall()
    newest = {(instance_id, keypoint): revision for instance_id, keypoint, revision in found}
    count = bulk.insert(
        cursor,
        "label_journal",
        {
            "revision": ("BIGINT", revisions),
            "instance_id": ("BIGINT", [row.instance_id for row in rows]),
            "keypoint": ("SMALLINT", [row.keypoint for row in rows]),
            "state": ("VARCHAR", [row.state for row in rows]),
            "x": ("DOUBLE", [row.x for row in rows]),
            "y": ("DOUBLE", [row.y for row in rows]),
            "v": ("TINYINT", [row.v for row in rows]),
            "reason": ("VARCHAR", [row.reason for row in rows]),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", now()),
            "origin": ("VARCHAR", "import"),
            "follows": ("BIGINT", [newest.get((row.instance_id, row.keypoint)) for row in rows]),
        },
    )
    if revisions:
        cursor.execute(
            f"INSERT {'OR REPLACE' if newest else ''} INTO labels SELECT {journal.DERIVED} FROM label_journal"
            " WHERE revision BETWEEN ? AND ?",
            [revisions[0], revisions[-1]],
        )
    return count


def placed(
    cursor: Cursor, instance_ids: Sequence[int]
) -> dict[int, dict[int, tuple[float, float, int]]]:
    """In a job: the placed keypoints of people: instance_id -> keypoint -> x, y, v."""
    rows = cursor.execute(
        """SELECT instance_id, keypoint, x, y, v FROM labels
        WHERE state = 'placed' AND instance_id IN (SELECT unnest(?::BIGINT[]))""",
        [list(instance_ids)],
    ).fetchall()
    found: dict[int, dict[int, tuple[float, float, int]]] = {}
    for instance_id, keypoint, *point in rows:
        found.setdefault(instance_id, {})[keypoint] = tuple(point)
    return found


def save_edits(
    store: Store,
    instance_id: int,
    edits: Sequence[Mapping[str, Any]],
    *,
    who: str,
    edit_id: str,
    base_revision: Base,
    origin: str = "edit",
    queued_for: str | None = None,
    seconds: float | None = None,
    run_id: str | None = None,
    after: Sequence[str] | None = None,
) -> Row:
    """Append a person's edits of one instance in one transaction. Saved when this returns.

    Args:
        store: the open store.
        instance_id: whose keypoints.
        edits: {"keypoint": index or name, "state": "placed" | "absent" | "open", "x", "y" in image pixels and "v" 1
            or 2 when placed, "reason" "outside" or "cannot tell" when absent}; its own "base_revision" and "run_id" go
            before the shared ones.
        who: name of the person who edits.
        edit_id: the client's id of this edit; the same one again changes nothing and returns the first answer.
        base_revision: newest revision of these keypoints that the client has seen: one number, or one for each keypoint
            by its index (0 for those that are not named); None skips the check (scripts).
        origin: "edit" or "accept" (a prediction was taken over).
        queued_for: why the person was in the queue.
        seconds: time that was spent on it.
        run_id: the run whose prediction was seen or accepted.
        after: edit ids whose rows are no conflict although newer than the base: earlier edits of the same page.

    Returns:
        revision (base of the next edit), saved_at, repeated, others (labels of other keypoints newer than the base).

    Raises:
        NotFound: no such person.
        Conflict: one of these keypoints is newer than its base revision.
        InputError: an edit is not valid; nothing of the whole edit is saved.
    """
    context = deed(
        instance_id, who, origin, edit_id, queued_for=queued_for, seconds=seconds, after=after
    )
    names, base = store.require_skeleton().keypoints, require_revision(base_revision)
    return store.write(lambda cursor: append_edits(cursor, context, edits, names, base, run_id))


def deed(
    instance_id: int,
    who: str,
    origin: str,
    edit_id: str,
    *,
    queued_for: str | None = None,
    seconds: float | None = None,
    after: Sequence[str] | None = None,
) -> journal.Context:
    """What the rows of one edit share, checked; the arguments are those of `save_edits`.

    Raises:
        InputError: one of them is not valid.
    """
    if origin not in ("edit", "accept"):
        raise InputError(f"origin must be edit or accept, got {origin!r}.")
    return journal.Context(
        instance_id,
        require_who(who),
        origin,
        require_text(edit_id, "edit_id"),
        None if queued_for is None else require_text(queued_for, "queued_for"),
        require_seconds(seconds),
        after=require_after(after),
    )


def append_edits(
    cursor: Cursor,
    context: journal.Context,
    edits: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    base: Base,
    run_id: str | None,
) -> Row:
    """`save_edits` in a job."""
    size = journal.image_size(cursor, context.instance_id)
    changes = journal.read_edits(edits, names, size, base, run_id)
    saved = journal.earlier(cursor, context)
    if saved is None:
        saved = journal.append(cursor, context, changes, names)
        journal.promote(cursor, context.instance_id)
    own = {change.keypoint for change in changes}
    return {**saved, "others": journal.newer(cursor, context.instance_id, base, own)}


def undo(
    store: Store,
    instance_id: int,
    *,
    who: str,
    edit_id: str,
    base_revision: Base = None,
    after: Sequence[str] | None = None,
    undoes: str | None = None,
    own: bool = False,
) -> Row:
    """Take back an edit of a person by further rows: the last one that was not taken back yet. Imports stay.

    An edit that changed two people is taken back for both, and whoever it hid comes back. A client that knows which
    edit it means says so in `undoes`; with `own` the last one is that of `who`, if nobody else has built on it.

    Returns:
        revision, saved_at, repeated, undone (the edit_id that was taken back) and labels (as they are now).

    Raises:
        NotFound: no such person.
        InputError: there is nothing to undo, or no edit `undoes` of this person.
        Conflict: somebody changed these keypoints after base_revision, or those of the other person since.
    """
    context = journal.Context(
        instance_id, require_who(who), "undo", require_text(edit_id, "edit_id"),
        after=require_after(after),
    )  # fmt: skip
    base = require_revision(base_revision)
    names = store.require_skeleton().keypoints

    def job(cursor: Cursor) -> Row:
        journal.image_size(cursor, instance_id)
        saved = journal.earlier(cursor, context)
        if saved is None:
            undone = undoes or journal.last_edit(cursor, instance_id, context.who if own else None)
            both = journal.touched(cursor, undone)
            if instance_id not in both:
                raise InputError(f"Person {instance_id} has no edit {undone!r:.80} to undo.")
            # Who names an edit knows it.
            known = (*context.after, undone) if undoes else context.after
            answers = {}
            for person, newest in both.items():
                seen = base if person == instance_id else newest
                changes = journal.before(cursor, undone, person, seen)
                mine = replace(context, instance_id=person, undoes=undone, after=known)
                answers[person] = journal.append(cursor, mine, changes, names)
            people.bring_back(cursor, undone, context.who, edit_id)
            saved = {**answers[instance_id], "undone": undone}
        return {**saved, "labels": journal.labels_of(cursor, instance_id)}

    return store.write(job)


def current(store: Store, instance_id: int) -> list[Row]:
    """The keypoints of a person that have a label row, by keypoint index; the others are open.

    Raises:
        NotFound: no such person.
    """
    with store.database.reading() as cursor:
        journal.image_size(cursor, instance_id)
        return journal.labels_of(cursor, instance_id)


def history(store: Store, instance_id: int) -> list[Row]:
    """Every label row of a person, the oldest first, with the keypoint's `name`.

    A row whose author saw a prediction has it in `predicted`: x and y where the run put the keypoint at that time.

    Raises:
        NotFound: no such person.
    """
    names = store.require_skeleton().keypoints
    with store.database.reading() as cursor:
        journal.image_size(cursor, instance_id)
        rows = fetch(
            cursor,
            """SELECT *, (
                SELECT arg_max([p.x[j.keypoint + 1], p.y[j.keypoint + 1]], prediction_id) FROM predictions p
                WHERE p.instance_id = j.instance_id AND p.model = j.run_id AND p.student NOT IN ('a', 'b')
                AND p."at" <= j."at") AS predicted
            FROM label_journal j WHERE instance_id = ? ORDER BY revision""",
            [instance_id],
        )
    return [{**row, "name": names[row["keypoint"]]} for row in rows]
