"""What people say of a person apart from labels: skip, cannot tell, flags, comments, seen. An append-only journal.

A comment stands until one that says "resolved"; a flag until "unflag", that of a keypoint also until somebody labels
the keypoint; "cannot tell", "seen" and "skip" stand until "unflag" or until somebody labels the person after all; a
skip also ends with the day. An "unflag" of a keypoint takes only that keypoint's marks away; one whose text is the
edit_id of a mark takes back that mark alone, as if it had not been said (see `undo`).
"""

from datetime import UTC, datetime
from typing import Any

from posestudio.errors import InputError
from posestudio.store import journal
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now, plain
from posestudio.store.fields import is_whole, require_text
from posestudio.store.people import require_who

KINDS = ("skip", "cannot_tell", "flag", "unflag", "comment", "seen")

TEXT_LENGTH = 2000

_SAID = """
taken AS (
    SELECT u.mark_id AS undo, m.mark_id AS undone FROM marks u
    JOIN marks m ON u.kind = 'unflag' AND u.instance_id = m.instance_id AND u.text = m.edit_id),
said AS (FROM marks WHERE mark_id NOT IN (SELECT undo FROM taken UNION ALL SELECT undone FROM taken))
"""
"""Marks that nobody took back."""

_STANDING = f"""
WITH worked AS (
    SELECT instance_id, max("at") AS "at" FROM label_journal WHERE origin <> 'import' GROUP BY instance_id), {_SAID}
SELECT m.instance_id, m.kind, m.keypoint, m.text, m.who, m."at" FROM said m LEFT JOIN worked USING (instance_id)
WHERE CASE m.kind
    WHEN 'comment' THEN NOT EXISTS (
        FROM said r WHERE r.kind = 'comment' AND r.instance_id = m.instance_id AND r.mark_id >= m.mark_id
        AND lower(r.text) = 'resolved')
    WHEN 'flag' THEN NOT EXISTS (
        FROM labels l WHERE l.instance_id = m.instance_id AND l.keypoint = m.keypoint AND l."at" > m."at"
        AND l.state <> 'open' AND l.origin IN ('edit', 'accept'))
    WHEN 'skip' THEN m."at" > coalesce(worked."at", TIMESTAMP '1970-01-01') AND m."at" >= $today
    ELSE m.kind IN ('cannot_tell', 'seen') AND m."at" > coalesce(worked."at", TIMESTAMP '1970-01-01') END
AND (m.kind = 'comment' OR NOT EXISTS (
    FROM said u WHERE u.kind = 'unflag' AND u.instance_id = m.instance_id AND u.mark_id > m.mark_id
    AND (u.keypoint IS NULL OR u.keypoint = m.keypoint)))
"""


def add(
    store: Store,
    instance_id: int,
    kind: str,
    *,
    who: str,
    edit_id: str,
    text: str | None = None,
    keypoint: int | None = None,
) -> Row:
    """Say something of a person. A repeated edit_id changes nothing.

    Args:
        store: the open store.
        instance_id: of whom.
        kind: one of KINDS.
        who: name of the person who says so.
        edit_id: the client's id of this deed.
        text: up to TEXT_LENGTH characters; a comment needs it.
        keypoint: index of the keypoint that it is about, or None for the whole person.

    Returns:
        mark_id, saved_at, repeated.

    Raises:
        NotFound: no such person.
        InputError: the kind, the text or the keypoint is not valid, or the edit_id was used for another person.
    """
    name, text = require_who(who), _text(kind, text)
    require_text(edit_id, "edit_id")
    count = len(store.require_skeleton().keypoints)
    if keypoint is not None and (type(keypoint) is not int or not 0 <= keypoint < count):
        raise InputError(f"A mark's keypoint is an index from 0 to {count - 1}, got {keypoint!r}.")
    return store.write(lambda c: _append(c, instance_id, kind, keypoint, text, name, edit_id))


def undo(store: Store, instance_id: int, undoes: str, *, who: str, edit_id: str) -> Row | None:
    """Take back the one mark of a person that an edit made; None when the edit made none.

    Returns:
        mark_id, saved_at, repeated and undone, the edit_id that was taken back.

    Raises:
        NotFound: no such person. InputError: the edit_id was used for another edit.
    """
    name = require_who(who)
    require_text(edit_id, "edit_id")

    def job(cursor: Cursor) -> Row | None:
        made = "SELECT 1 FROM marks WHERE instance_id = ? AND edit_id = ?"
        if not fetch(cursor, made, [instance_id, undoes]):
            return None
        saved = _append(cursor, instance_id, "unflag", None, undoes, name, edit_id)
        return {**saved, "undone": undoes}

    return store.write(job)


def _append(
    cursor: Cursor,
    instance_id: int,
    kind: str,
    keypoint: int | None,
    text: str | None,
    who: str,
    edit_id: str,
) -> Row:
    journal.image_size(cursor, instance_id)
    done = fetch(
        cursor,
        'SELECT mark_id, instance_id, kind, "at" AS saved_at FROM marks WHERE edit_id = ?',
        [edit_id],
    )
    if done and (done[0].pop("instance_id"), done[0].pop("kind")) != (instance_id, kind):
        raise InputError(f"The edit id {edit_id!r} was already used for another edit.")
    if done:
        return {**done[0], "repeated": True}
    mark_id, at = next_ids(cursor, "mark_ids", 1)[0], now()
    values = [mark_id, instance_id, kind, keypoint, text, who, at, edit_id]
    cursor.execute(f"INSERT INTO marks VALUES ({', '.join('?' * 8)})", values)
    return {"mark_id": mark_id, "saved_at": plain(at), "repeated": False}


def of_person(store: Store, instance_id: int) -> list[Row]:
    """Everything that was said of a person, the oldest first.

    Raises:
        NotFound: no such person.
    """
    with store.database.reading() as cursor:
        journal.image_size(cursor, instance_id)
        return rows_of(cursor, instance_id)


def rows_of(cursor: Cursor, instance_id: int) -> list[Row]:
    """`of_person` in a reading: kind, keypoint, text, who, at."""
    return fetch(
        cursor,
        'SELECT kind, keypoint, text, who, "at" FROM marks WHERE instance_id = ? ORDER BY mark_id',
        [instance_id],
    )


def standing(store: Store) -> list[Row]:
    """Marks that hold now, the oldest first: instance_id, kind (not unflag), keypoint, text, who, at."""
    with store.database.reading() as cursor:
        return standing_rows(cursor)


def standing_rows(cursor: Cursor, instance_id: int | None = None) -> list[Row]:
    """`standing` in a reading, of everybody or of one person."""
    where = "" if instance_id is None else " AND m.instance_id = $who"
    params: dict[str, Any] = {"today": _today()}
    if instance_id is not None:
        params["who"] = instance_id
    cursor.execute(f"{_STANDING}{where} ORDER BY m.mark_id", params)
    names = [column[0] for column in cursor.description or []]
    return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]


def worked_today(store: Store) -> dict[int, bool]:
    """People whom somebody labeled or looked at today, and whether they were seen as a whole after today's labels."""
    rows = store.read(
        f"""WITH {_SAID}
        SELECT instance_id, max(done) FILTER (seen) >= coalesce(max(done) FILTER (NOT seen), TIMESTAMP '1970-01-01')
            AS seen
        FROM (
            SELECT instance_id, "at" AS done, false AS seen FROM label_journal WHERE origin <> 'import' AND "at" >= ?
            UNION ALL SELECT instance_id, "at", true FROM said
            WHERE kind = 'seen' AND keypoint IS NULL AND "at" >= ?)
        GROUP BY instance_id ORDER BY instance_id""",
        [_today(), _today()],
    )
    return {row["instance_id"]: bool(row["seen"]) for row in rows}


def seconds_each(store: Store, newest: int = 50) -> list[float]:
    """Seconds that the last people who were worked on took, each summed over its edits; the newest first."""
    rows = store.read(
        """SELECT sum(seconds) AS seconds FROM (
            SELECT instance_id, edit_id, max(seconds) AS seconds, max(revision) AS revision FROM label_journal
            WHERE seconds IS NOT NULL AND undoes IS NULL GROUP BY instance_id, edit_id)
        GROUP BY instance_id ORDER BY max(revision) DESC LIMIT ?""",
        [newest],
    )
    return [row["seconds"] for row in rows]


def _today() -> datetime:
    """When this machine's day began, in the store's form."""
    start = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    return start.astimezone(UTC).replace(tzinfo=None)


def _text(kind: Any, text: Any) -> str | None:
    if kind not in KINDS:
        raise InputError(f"A mark must be one of {', '.join(KINDS)}, got {kind!r}.")
    if text is not None and (not isinstance(text, str) or len(text) > TEXT_LENGTH):
        raise InputError(f"The text of a mark has at most {TEXT_LENGTH} characters.")
    if text is not None and not is_whole(text):
        raise InputError(f"The text of a mark has whole characters only, got {text!r:.200}.")
    stripped = (text or "").strip()
    if kind == "comment" and not stripped:
        raise InputError("A comment needs a text.")
    return stripped or None
