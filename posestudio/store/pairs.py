"""Deeds on two people of one image: a duplicate merges into another, and keypoints go over. One transaction each."""

from collections.abc import Sequence
from dataclasses import replace

from posestudio.errors import InputError, NotFound
from posestudio.store import journal, people
from posestudio.store.database import Cursor, Row, Store, fetch
from posestudio.store.fields import Base, base_of, require_after, require_revision, require_text
from posestudio.store.journal import Change, Context


def merge(
    store: Store,
    instance_id: int,
    into: int,
    *,
    who: str,
    edit_id: str,
    base_revision: Base = None,
    after: Sequence[str] | None = None,
) -> Row:
    """Take a duplicate out: placed keypoints that the other person lacks go over, and the duplicate is hidden.

    `labels.undo` of the other person takes both back; where no keypoint went over, showing the duplicate again does.

    Args:
        store: the open store.
        instance_id: the duplicate.
        into: the person who stays.
        who: name of the person who decides.
        edit_id: the client's id of this deed; the same again changes nothing.
        base_revision: as in `labels.save_edits`, of the duplicate.
        after: as in `labels.save_edits`.

    Returns:
        box_revision and saved_at of the duplicate, repeated, moved (indices of the keypoints that went over).

    Raises:
        NotFound: no such person. Conflict: the duplicate's labels are newer than base_revision.
        InputError: the two are not in one image, or one of them is hidden already.
    """
    context = _context(into, who, edit_id, after)
    base, names = require_revision(base_revision), store.require_skeleton().keypoints

    def job(cursor: Cursor) -> Row:
        if _done(cursor, edit_id, instance_id):
            saved = people.hide(cursor, instance_id, True, who, edit_id)
            return {**saved, "moved": _keypoints(cursor, edit_id, into)}
        _require_pair(cursor, instance_id, into)
        theirs = journal.labels_of(cursor, instance_id)
        _require_seen(cursor, replace(context, instance_id=instance_id), theirs, base, names)
        taken = _decided(journal.labels_of(cursor, into))
        moved = [row for row in theirs if row["state"] == "placed" and row["keypoint"] not in taken]
        if moved:
            journal.append(cursor, context, [_placed(row) for row in moved], names)
        saved = people.hide(cursor, instance_id, True, who, edit_id)
        return {**saved, "moved": [row["keypoint"] for row in moved]}

    return store.write(job)


def hand(
    store: Store,
    instance_id: int,
    to: int,
    keypoints: Sequence[int],
    *,
    who: str,
    edit_id: str,
    base_revision: Base = None,
    after: Sequence[str] | None = None,
) -> Row:
    """Hand placed keypoints to another person of the image: there they are placed, here they are open again.

    What the other person had at these keypoints is replaced; `labels.undo` of either takes both back.

    Args:
        store: the open store.
        instance_id: who has them.
        to: who gets them.
        keypoints: indices.
        who: name of the person who decides.
        edit_id: the client's id of this deed; the same again changes nothing.
        base_revision: as in `labels.save_edits`, of the giver.
        after: as in `labels.save_edits`.

    Returns:
        revision and saved_at of the giver, repeated, to_revision (newest of the one who gets them).

    Raises:
        NotFound: no such person. Conflict: one of these keypoints is newer than base_revision.
        InputError: the two are not in one image, one is hidden, or a keypoint is not placed.
    """
    context = _context(instance_id, who, edit_id, after)
    base, names = require_revision(base_revision), store.require_skeleton().keypoints
    wanted = _indices(keypoints, names)

    def job(cursor: Cursor) -> Row:
        saved = journal.earlier(cursor, context)
        if saved is None:
            _require_pair(cursor, instance_id, to)
            own = {row["keypoint"]: row for row in journal.labels_of(cursor, instance_id)}
            missing = [k for k in wanted if k not in own or own[k]["state"] != "placed"]
            if missing:
                said = ", ".join(names[k] for k in missing)
                raise InputError(f"Person {instance_id} has no placed {said} to hand over.")
            given = [Change(k, "open", base=base_of(base, k)) for k in wanted]
            saved = journal.append(cursor, context, given, names)
            theirs = replace(context, instance_id=to)
            journal.append(cursor, theirs, [_placed(own[k]) for k in wanted], names)
        elif to not in journal.touched(cursor, edit_id):
            raise InputError(f"The edit id {edit_id!r} was already used for another edit.")
        return {**saved, "to_revision": journal.touched(cursor, edit_id)[to]}

    return store.write(job)


def _context(instance_id: int, who: str, edit_id: str, after: Sequence[str] | None) -> Context:
    return Context(
        instance_id, people.require_who(who), "edit", require_text(edit_id, "edit_id"),
        after=require_after(after),
    )  # fmt: skip


def _require_pair(cursor: Cursor, first: int, second: int) -> None:
    if first == second:
        raise InputError(f"Name two people; {first} is there twice.")
    rows = fetch(
        cursor,
        "SELECT instance_id, image_id, hidden FROM boxes_now JOIN instances USING (instance_id)"
        " WHERE instance_id IN (?, ?)",
        [first, second],
    )
    found = {row["instance_id"]: row for row in rows}
    for one in (first, second):
        if one not in found:
            raise NotFound(f"There is no person {one}.")
        if found[one]["hidden"]:
            raise InputError(f"Person {one} is hidden. Bring it back first.")
    if found[first]["image_id"] != found[second]["image_id"]:
        raise InputError(f"The people {first} and {second} are in different images.")


def _require_seen(
    cursor: Cursor, context: Context, rows: Sequence[Row], base: Base, names: Sequence[str]
) -> None:
    """See that the author knows all these labels, by the rule of an edit that would leave them as they are."""
    kept = [
        Change(row["keypoint"], row["state"], base=base_of(base, row["keypoint"])) for row in rows
    ]
    journal.require_seen(cursor, context, kept, names)


def _decided(rows: Sequence[Row]) -> set[int]:
    return {row["keypoint"] for row in rows if row["state"] != "open"}


def _placed(row: Row) -> Change:
    return Change(row["keypoint"], "placed", row["x"], row["y"], row["v"])


def _done(cursor: Cursor, edit_id: str, instance_id: int) -> bool:
    found = cursor.execute(
        "SELECT instance_id, hidden FROM box_journal WHERE edit_id = ?", [edit_id]
    ).fetchone()
    if found is not None and found != (instance_id, True):
        raise InputError(f"The edit id {edit_id!r} was already used for another edit.")
    return found is not None


def _keypoints(cursor: Cursor, edit_id: str, instance_id: int) -> list[int]:
    rows = cursor.execute(
        "SELECT keypoint FROM label_journal WHERE edit_id = ? AND instance_id = ? ORDER BY ALL",
        [edit_id, instance_id],
    ).fetchall()
    return [row[0] for row in rows]


def _indices(keypoints: Sequence[int], names: Sequence[str]) -> list[int]:
    listed = list(keypoints) if isinstance(keypoints, (list, tuple)) else []
    valid = all(type(k) is int and 0 <= k < len(names) for k in listed)
    if not listed or not valid or len(set(listed)) != len(listed):
        raise InputError(
            f"Name the keypoints as different indices from 0 to {len(names) - 1}, got {keypoints!r:.200}."
        )
    return listed
