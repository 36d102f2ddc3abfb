"""The rows of the label journal: check an edit, append it, find what an earlier one changed. All inside a job.

Two tabs or people cannot overwrite each other unseen: an edit says the newest revision that its author has seen, and
is refused when a keypoint of it has moved on. Every row names the row that it follows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.errors import InputError, NotFound
from posestudio.store import bulk
from posestudio.store.database import Cursor, Row, fetch, next_ids, now, plain
from posestudio.store.fields import Base, base_of, is_finite, require_revision, require_text

STATES = ("open", "placed", "absent")
REASONS = ("outside", "cannot tell")

MARGIN = 2.0
"""A placed keypoint may lie this many pixels outside its image. Ours."""

DERIVED = 'instance_id, keypoint, revision, state, x, y, v, reason, who, "at", origin'
"""Columns of the table `labels`, which follows the journal in the same transaction."""

_FIELDS = {"keypoint", "state", "x", "y", "v", "reason", "base_revision", "run_id"}


class Conflict(InputError):
    """Somebody else changed one of these keypoints since the page was loaded; `labels` says what they are now."""

    def __init__(self, message: str, labels: list[Row]) -> None:
        """Keep the current labels of the person beside the message."""
        super().__init__(message)
        self.labels = labels


@dataclass(frozen=True, slots=True)
class Change:
    """What one keypoint becomes. base: newest revision its author has seen, None for no check."""

    keypoint: int
    state: str
    x: float | None = None
    y: float | None = None
    v: int = 0
    reason: str | None = None
    run_id: str | None = None
    base: int | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """What all rows of one edit share: who did it, why, and which edit they take back.

    after: edit ids whose rows the author knows although they are newer than the base: earlier edits of one page.
    """

    instance_id: int
    who: str
    origin: str
    edit_id: str
    queued_for: str | None = None
    seconds: float | None = None
    undoes: str | None = None
    after: tuple[str, ...] = ()


def read_edits(
    edits: Sequence[Mapping[str, Any]],
    names: Sequence[str],
    size: tuple[int, int],
    base: Base,
    run_id: str | None,
) -> list[Change]:
    """Check the edits of a client.

    Args:
        edits: as `labels.save_edits` takes them.
        names: the K keypoint names.
        size: (width, height) of the image in pixels.
        base: newest revisions that the client has seen, for edits that give none of their own.
        run_id: the run whose prediction was seen, or None; for edits that name none of their own.

    Raises:
        InputError: one is not valid, a keypoint is there twice, or there is none.
    """
    if not isinstance(edits, (list, tuple)) or not edits:
        raise InputError("An edit needs a list with at least one keypoint.")
    changes = [_change(edit, names, size, base, run_id) for edit in edits]
    seen = [change.keypoint for change in changes]
    if len(set(seen)) != len(seen):
        twice = next(k for k in seen if seen.count(k) > 1)
        raise InputError(f"The keypoint {names[twice]} is there twice in one edit.")
    return changes


def image_size(cursor: Cursor, instance_id: int) -> tuple[int, int]:
    """(width, height) of the image of a person.

    Raises:
        NotFound: no such person.
    """
    found = cursor.execute(
        "SELECT width, height FROM instances JOIN images USING (image_id) WHERE instance_id = ?",
        [instance_id],
    ).fetchone()
    if found is None:
        raise NotFound(f"There is no person {instance_id}.")
    return found


def labels_of(cursor: Cursor, instance_id: int) -> list[Row]:
    """The keypoints of a person that have a row, by index."""
    rows = fetch(
        cursor, "SELECT * FROM labels WHERE instance_id = ? ORDER BY keypoint", [instance_id]
    )
    return [{key: row[key] for key in row if key != "instance_id"} for row in rows]


def newer(cursor: Cursor, instance_id: int, base: Base, own: set[int]) -> list[Row]:
    """Labels of a person after the newest of `base`, those of the keypoints `own` left out; none without a base."""
    if isinstance(base, Mapping):
        base = max(base.values(), default=None)
    return [
        row
        for row in labels_of(cursor, instance_id)
        if base is not None and row["revision"] > base and row["keypoint"] not in own
    ]


def earlier(cursor: Cursor, context: Context) -> Row | None:
    """The answer that this edit_id got before, or None. One edit may have changed two people (see store/pairs.py).

    Raises:
        InputError: it belonged to another person, or to another kind of edit.
    """
    found = fetch(
        cursor,
        'SELECT instance_id, undoes, max(revision) AS revision, max("at") AS saved_at FROM label_journal'
        " WHERE edit_id = ? GROUP BY instance_id, undoes",
        [context.edit_id],
    )
    if not found:
        return None
    own = [row for row in found if row["instance_id"] == context.instance_id]
    if not own or (own[0]["undoes"] is None) == (context.origin == "undo"):
        raise InputError(f"The edit id {context.edit_id!r} was already used for another edit.")
    row = own[0]
    saved = {"revision": row["revision"], "saved_at": row["saved_at"], "repeated": True}
    return {**saved, "undone": row["undoes"]} if row["undoes"] is not None else saved


def append(
    cursor: Cursor, context: Context, changes: Sequence[Change], names: Sequence[str]
) -> Row:
    """Add a row a change to the journal and bring the derived table along.

    Raises:
        Conflict: a keypoint has a newer row than its change's base.
    """
    newest = require_seen(cursor, context, changes, names)
    at, revisions = now(), next_ids(cursor, "label_revisions", len(changes))
    follows = [newest[c.keypoint]["revision"] if c.keypoint in newest else None for c in changes]
    bulk.insert(
        cursor,
        "label_journal",
        {
            "revision": ("BIGINT", revisions),
            "instance_id": ("BIGINT", context.instance_id),
            "keypoint": ("SMALLINT", [change.keypoint for change in changes]),
            "state": ("VARCHAR", [change.state for change in changes]),
            "x": ("DOUBLE", [change.x for change in changes]),
            "y": ("DOUBLE", [change.y for change in changes]),
            "v": ("TINYINT", [change.v for change in changes]),
            "reason": ("VARCHAR", [change.reason for change in changes]),
            "who": ("VARCHAR", context.who),
            "at": ("TIMESTAMP", at),
            "origin": ("VARCHAR", context.origin),
            "run_id": ("VARCHAR", [change.run_id for change in changes]),
            "queued_for": ("VARCHAR", context.queued_for),
            "seconds": ("DOUBLE", context.seconds),
            "follows": ("BIGINT", follows),
            "edit_id": ("VARCHAR", context.edit_id),
            "undoes": ("VARCHAR", context.undoes),
        },
    )
    cursor.execute(
        f"INSERT OR REPLACE INTO labels SELECT {DERIVED} FROM label_journal WHERE revision BETWEEN ? AND ?",
        [revisions[0], revisions[-1]],
    )
    return {"revision": revisions[-1], "saved_at": plain(at), "repeated": False}


def require_seen(
    cursor: Cursor, context: Context, changes: Sequence[Change], names: Sequence[str]
) -> dict[int, Row]:
    """The newest row of each keypoint of the person, once it is clear that no change overwrites one unseen.

    Raises:
        Conflict: a keypoint has a newer row than its change's base, and none of the edits in context.after made it.
    """
    present = labels_of(cursor, context.instance_id)
    newest = {row["keypoint"]: row for row in present}
    mine = _revisions(cursor, context.after)
    for change in changes:
        row = newest.get(change.keypoint)
        if row is None or change.base is None or row["revision"] in mine:
            continue
        if row["revision"] > change.base:
            raise Conflict(
                f"{names[change.keypoint]} of person {context.instance_id} was changed by {row['who']} at"
                f" {row['at']}, after this page was loaded.\nReload the person and decide again.",
                present,
            )
    return newest


def promote(cursor: Cursor, instance_id: int) -> None:
    """Move the group of a person with labels from "unlabeled" to "train"; val stays val."""
    cursor.execute(
        """UPDATE groups SET split = 'train' WHERE split = 'unlabeled'
        AND group_id IN (SELECT group_id FROM instances JOIN images USING (image_id) WHERE instance_id = ?)
        AND EXISTS (SELECT 1 FROM labels WHERE instance_id = ? AND state <> 'open')""",
        [instance_id, instance_id],
    )


def last_edit(cursor: Cursor, instance_id: int, author: str | None = None) -> str:
    """edit_id of the newest edit of a person that was not taken back; of an author, one that nobody else built on.

    Raises:
        InputError: there is none.
    """
    found = cursor.execute(
        """SELECT edit_id FROM label_journal WHERE instance_id = $person AND origin IN ('edit', 'accept')
        AND edit_id NOT IN (SELECT undoes FROM label_journal WHERE instance_id = $person AND undoes IS NOT NULL)
        AND ($author IS NULL OR who = $author AND edit_id NOT IN (
            SELECT own.edit_id FROM label_journal own JOIN label_journal later USING (instance_id, keypoint)
            WHERE instance_id = $person AND own.edit_id IS NOT NULL
            AND later.who <> $author AND later.revision > own.revision))
        ORDER BY revision DESC LIMIT 1""",
        {"person": instance_id, "author": author},
    ).fetchone()
    if found is None:
        whose = f" of {author}'s" if author else ""
        raise InputError(f"There is nothing{whose} to undo for person {instance_id}.")
    return found[0]


def before(cursor: Cursor, edit_id: str, instance_id: int, base: Base) -> list[Change]:
    """The changes that bring back what the keypoints of a person were before an edit."""
    rows = cursor.execute(
        """SELECT e.keypoint, coalesce(old.state, 'open'), old.x, old.y, coalesce(old.v, 0), old.reason, old.run_id
        FROM label_journal e LEFT JOIN label_journal old ON old.revision = e.follows
        WHERE e.edit_id = ? AND e.instance_id = ? ORDER BY e.revision""",
        [edit_id, instance_id],
    ).fetchall()
    return [Change(*row, base=base_of(base, row[0])) for row in rows]


def touched(cursor: Cursor, edit_id: str) -> dict[int, int]:
    """The people whose keypoints an edit changed, each with its newest revision of them."""
    rows = cursor.execute(
        "SELECT instance_id, max(revision) FROM label_journal WHERE edit_id = ? GROUP BY ALL ORDER BY ALL",
        [edit_id],
    ).fetchall()
    return dict(rows)


def _revisions(cursor: Cursor, edit_ids: Sequence[str]) -> set[int]:
    """The rows that these edits made."""
    if not edit_ids:
        return set()
    rows = cursor.execute(
        "SELECT revision FROM label_journal WHERE edit_id IN (SELECT unnest(?::VARCHAR[]))",
        [list(edit_ids)],
    ).fetchall()
    return {row[0] for row in rows}


def is_inside(x: float, y: float, size: tuple[int, int]) -> bool:
    """Whether a point lies in an image of (width, height) pixels, or at most MARGIN outside."""
    return all(
        -0.5 - MARGIN <= value <= length - 0.5 + MARGIN
        for value, length in zip((x, y), size, strict=True)
    )


def _change(
    edit: Mapping[str, Any],
    names: Sequence[str],
    size: tuple[int, int],
    base: Base,
    run_id: str | None,
) -> Change:
    if not isinstance(edit, Mapping) or not _FIELDS >= set(edit):
        raise InputError(f"An edit has the fields {', '.join(sorted(_FIELDS))}; got {edit!r}.")
    keypoint = _keypoint(edit.get("keypoint"), names)
    where = names[keypoint]
    state, v, reason = edit.get("state"), edit.get("v"), edit.get("reason")
    seen = base_of(require_revision(edit.get("base_revision", base)), keypoint)
    run_id = edit.get("run_id", run_id)
    if run_id is not None:
        require_text(run_id, "run_id")
    if state not in STATES:
        raise InputError(f"{where}: state must be one of {', '.join(STATES)}, got {state!r}.")
    if state == "placed":
        if reason is not None or type(v) is not int or v not in (1, 2):
            raise InputError(
                f"{where}: a placed keypoint has v 1 (hidden) or 2 (visible) and no reason; got v {v!r}."
            )
        x, y = _point(edit.get("x"), edit.get("y"), size, where)
        return Change(keypoint, "placed", x, y, v, None, run_id, seen)
    if v not in (None, 0) or isinstance(v, bool):
        raise InputError(f"{where}: a keypoint that is not placed has v 0, got {v!r}.")
    if state == "absent" and reason not in REASONS:
        raise InputError(
            f"{where}: an absent keypoint has a reason, {' or '.join(REASONS)}; got {reason!r}."
        )
    if state == "open" and reason is not None:
        raise InputError(f"{where}: an open keypoint has no reason, got {reason!r}.")
    return Change(keypoint, state, None, None, 0, reason, run_id, seen)


def _keypoint(given: Any, names: Sequence[str]) -> int:
    if isinstance(given, str) and given in names:
        return names.index(given)
    if type(given) is int and 0 <= given < len(names):
        return given
    raise InputError(f"There is no keypoint {given!r}; the skeleton has {', '.join(names)}.")


def _point(x: Any, y: Any, size: tuple[int, int], where: str) -> tuple[float, float]:
    if not (is_finite(x) and is_finite(y)):
        raise InputError(f"{where}: x and y must be finite numbers, got {x!r}, {y!r}.")
    if not is_inside(x, y, size):
        raise InputError(
            f"{where}: ({x:g}, {y:g}) lies outside the image of {size[0]} x {size[1]} pixels.\n"
            "Declare it absent with the reason 'outside' instead."
        )
    return float(x), float(y)
