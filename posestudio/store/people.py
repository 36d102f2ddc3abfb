"""People (instances): who is in which image, and the journal of their boxes. A removed person is hidden, not gone."""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.errors import InputError, NotFound
from posestudio.store import bulk
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now, plain
from posestudio.store.fields import is_finite
from posestudio.store.groups import require_split

AREA_SHARE = 0.53
"""Area of a person whose file gives none, as a share of the box. Source: xtcocotools and Ultralytics use it too."""

WHO_LENGTH = 100
NOT_IN_WHO = ("Cc", "Cs", "Zl", "Zp")
"""Unicode's categories that no name has; joiners and no-break blanks are part of names. As in the page's wiring.js."""

_BOX_ROW = 'SELECT instance_id, box_revision, "at" AS saved_at FROM box_journal'

_PERSON = """
SELECT instance_id, image_id, image_path, width, height, group_id, split, fold, x, y, w, h, box_revision, box_source,
    hidden, iscrowd, category_id, source_id, coco_id, area, area_source, placed, absent, reviewed
FROM people_now
"""


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to add.

    box_xywh: in image pixels. box_source: "file", "detector", "drawn", "keypoints" or "full". area: in square pixels
    as the file gives it, or None. reviewed_on_import: every keypoint counts as looked at (imported COCO labels do).
    extra: fields of the file to give back on export.
    """

    image_id: int
    box_xywh: tuple[float, float, float, float]
    box_source: str
    source_id: int | None = None
    coco_id: int | None = None
    category_id: int = 1
    iscrowd: bool = False
    area: float | None = None
    area_source: str | None = None
    reviewed_on_import: bool = False
    extra: dict[str, Any] | None = None


def add_many(
    cursor: Cursor, rows: Sequence[NewPerson], who: str = "import", edit_id: str | None = None
) -> list[int]:
    """In a job: add people with their first boxes; returns an instance_id for each row."""
    at = now()
    ids = next_ids(cursor, "instance_ids", len(rows))
    bulk.insert(
        cursor,
        "instances",
        {
            "instance_id": ("BIGINT", ids),
            "image_id": ("BIGINT", [row.image_id for row in rows]),
            "source_id": ("BIGINT", [row.source_id for row in rows]),
            "coco_id": ("BIGINT", [row.coco_id for row in rows]),
            "category_id": ("BIGINT", [row.category_id for row in rows]),
            "iscrowd": ("BOOLEAN", [row.iscrowd for row in rows]),
            "area": ("DOUBLE", [row.area for row in rows]),
            "area_source": ("VARCHAR", [row.area_source for row in rows]),
            "reviewed_on_import": ("BOOLEAN", [row.reviewed_on_import for row in rows]),
            "extra": ("JSON", [None if r.extra is None else json.dumps(r.extra) for r in rows]),
            "created_at": ("TIMESTAMP", at),
        },
    )
    boxes = [row.box_xywh for row in rows]
    _insert_boxes(cursor, ids, boxes, [row.box_source for row in rows], who, edit_id)
    return ids


def follow(cursor: Cursor, boxes: Mapping[int, Sequence[float]], who: str) -> None:
    """In a job: a further box row for each of these people, who are not hidden, whose file has another box now."""
    present = cursor.execute(
        "SELECT instance_id, x, y, w, h FROM boxes_now WHERE instance_id IN (SELECT unnest(?::BIGINT[]))",
        [list(boxes)],
    ).fetchall()
    moved = [one for one, *box in present if box != list(map(float, boxes[one]))]
    _insert_boxes(cursor, moved, [boxes[one] for one in moved], ["file"] * len(moved), who)


def list_people(
    store: Store,
    image_id: int | None = None,
    *,
    split: str | None = None,
    hidden: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> list[Row]:
    """People by instance_id with their current box, split and how many keypoints are placed and absent.

    Args:
        store: the open store.
        image_id: only those in this image.
        split: only those of this split, as in a snapshot: nobody decided a keypoint yet means "unlabeled".
        hidden: also those that were removed.
        limit: at most so many.
        offset: skip so many.
    """
    where, params = [], []
    if image_id is not None:
        where.append("image_id = ?")
        params.append(image_id)
    if split is not None:
        where.append("split = ?")
        params.append(require_split(split))
    if not hidden:
        where.append("NOT hidden")
    condition = f"WHERE {' AND '.join(where)}" if where else ""
    rows = store.read(
        f"{_PERSON} {condition} ORDER BY instance_id LIMIT ? OFFSET ?",
        [*params, limit, offset],
    )
    return [_person(row) for row in rows]


def get(store: Store, instance_id: int) -> Row:
    """One person, hidden or not: the fields of `list_people`, `labels` (see `labels.current`) and `revision`.

    `revision` is the newest label revision of the person (0 without any): the base revision of the next edit.

    Raises:
        NotFound: no such person.
    """
    with store.database.reading() as cursor:
        rows = fetch(cursor, f"{_PERSON} WHERE instance_id = ?", [instance_id])
        if not rows:
            raise NotFound(f"There is no person {instance_id}.")
        labels = fetch(
            cursor, "SELECT * FROM labels WHERE instance_id = ? ORDER BY keypoint", [instance_id]
        )
    revision = max((row["revision"] for row in labels), default=0)
    for row in labels:
        del row["instance_id"]
    return {**_person(rows[0]), "labels": labels, "revision": revision}


def boxes(store: Store, instance_id: int) -> list[Row]:
    """Every box a person had, the oldest first: box_xywh, source, hidden, who, when.

    Raises:
        NotFound: no such person.
    """
    rows = store.read(
        "SELECT * FROM box_journal WHERE instance_id = ? ORDER BY box_revision", [instance_id]
    )
    if not rows:
        raise NotFound(f"There is no person {instance_id}.")
    return [_person(row) for row in rows]


def add(
    store: Store,
    image_id: int,
    box_xywh: Sequence[float],
    *,
    who: str,
    box_source: str = "drawn",
    iscrowd: bool = False,
    edit_id: str | None = None,
) -> Row:
    """Add one person, or a region to ignore, to an image. A repeated edit_id adds nobody.

    Args:
        store: the open store.
        image_id: which image.
        box_xywh: in image pixels.
        who: name of whoever draws it.
        box_source: as in `NewPerson`.
        iscrowd: a region with people whom nobody labels: never asked about, trained on or counted by evaluation.
        edit_id: the client's id of this edit.

    Returns:
        instance_id, box_revision, saved_at, repeated.

    Raises:
        NotFound: no such image.
        InputError: the box is not four finite numbers with a size, or misses the image; or the edit_id was used for
            something else.
    """

    def job(cursor: Cursor) -> Row:
        box = _box_in_image(cursor, image_id, box_xywh)
        done = _earlier_box(cursor, edit_id)
        if done is None:
            new = NewPerson(image_id, box, box_source, iscrowd=bool(iscrowd))
            instance_id = add_many(cursor, [new], require_who(who), edit_id)[0]
            found = fetch(cursor, f"{_BOX_ROW} WHERE instance_id = ?", [instance_id])
            return {**found[0], "repeated": False}
        first = cursor.execute(
            "SELECT min(box_revision), any_value(image_id) FROM box_journal JOIN instances USING (instance_id)"
            " WHERE instance_id = ?",
            [done["instance_id"]],
        ).fetchone()
        if first != (done["box_revision"], image_id):
            raise InputError(f"The edit id {edit_id!r} was already used for another edit.")
        return {**done, "repeated": True}

    return store.write(job)


def set_box(
    store: Store,
    instance_id: int,
    box_xywh: Sequence[float],
    *,
    who: str,
    edit_id: str | None = None,
    box_source: str = "drawn",
) -> Row:
    """Move or resize a person's box; the old one stays in the journal. A repeated edit_id changes nothing.

    Returns:
        box_revision, saved_at, repeated.

    Raises:
        NotFound: no such person.
        InputError: the box is not four finite numbers with a size, or misses the image; or the edit_id was used for
            another person.
    """

    def job(cursor: Cursor) -> Row:
        last = _last_box(cursor, instance_id)
        box = _box_in_image(cursor, last["image_id"], box_xywh)
        return _append_box(cursor, last, box, box_source, last["hidden"], who, edit_id)

    return store.write(job)


def set_hidden(
    store: Store, instance_id: int, hidden: bool, *, who: str, edit_id: str | None = None
) -> Row:
    """Remove a person from every page and snapshot, or bring the person back; labels stay as they are.

    Returns:
        box_revision, saved_at, repeated.

    Raises:
        NotFound: no such person.
    """
    return store.write(lambda cursor: hide(cursor, instance_id, hidden, who, edit_id))


def hide(cursor: Cursor, instance_id: int, hidden: bool, who: str, edit_id: str | None) -> Row:
    """`set_hidden` in a job."""
    last = _last_box(cursor, instance_id)
    box = (last["x"], last["y"], last["w"], last["h"])
    return _append_box(cursor, last, box, last["source"], bool(hidden), who, edit_id)


def bring_back(cursor: Cursor, undone: str, who: str, edit_id: str) -> None:
    """In a job: show whoever an edit hid, if nothing was said of that person's box since."""
    rows = cursor.execute(
        "SELECT instance_id FROM boxes_now WHERE edit_id = ? AND hidden", [undone]
    ).fetchall()
    for (instance_id,) in rows:
        hide(cursor, instance_id, False, who, edit_id)


def existing(cursor: Cursor, instance_ids: Sequence[int]) -> set[int]:
    """In a job: which of these people exist; others were erased."""
    found = cursor.execute(
        "SELECT instance_id FROM instances WHERE instance_id IN (SELECT unnest(?::BIGINT[]))",
        [list(instance_ids)],
    )
    return {row[0] for row in found.fetchall()}


def require_people(cursor: Cursor, instance_ids: Sequence[int]) -> None:
    """In a job: check that all these people exist.

    Raises:
        NotFound: one does not; the message names up to five.
    """
    missing = sorted(set(instance_ids) - existing(cursor, instance_ids))
    if missing:
        names = ", ".join(map(str, missing[:5])) + (" ..." if len(missing) > 5 else "")
        raise NotFound(f"There is no person {names}.")


def require_who(who: str) -> str:
    """The name of whoever edits, without surrounding blanks.

    Raises:
        InputError: it is empty, longer than 100 characters, or holds control characters, line ends or half a character.
    """
    name = who.strip() if isinstance(who, str) else ""
    if not 0 < len(name) <= WHO_LENGTH or any(unicodedata.category(c) in NOT_IN_WHO for c in name):
        raise InputError(
            f"who must be a name of 1 to {WHO_LENGTH} characters without control characters, got {who!r:.200}."
        )
    return name


def _person(row: Row) -> Row:
    box = [row.pop(name) for name in "xywh"]
    return {**row, "box_xywh": box}


def _box_in_image(
    cursor: Cursor, image_id: int, box_xywh: Sequence[float]
) -> tuple[float, float, float, float]:
    size = cursor.execute(
        "SELECT width, height FROM images WHERE image_id = ?", [image_id]
    ).fetchone()
    if size is None:
        raise NotFound(f"There is no image {image_id}.")
    numbers = list(box_xywh) if isinstance(box_xywh, (list, tuple)) else []
    if len(numbers) != 4 or not all(map(is_finite, numbers)):
        raise InputError(f"A box is four finite numbers x, y, width, height; got {box_xywh!r}.")
    x, y, w, h = map(float, numbers)
    if w < 1 or h < 1:
        raise InputError(f"A box must be at least 1 pixel wide and high, got {w:g} x {h:g}.")
    if x + w <= 0 or y + h <= 0 or x >= size[0] or y >= size[1] or max(w, h) > 4 * max(size):
        raise InputError(f"The box {box_xywh!r} misses its image of {size[0]} x {size[1]} pixels.")
    return x, y, w, h


def _last_box(cursor: Cursor, instance_id: int) -> Row:
    rows = fetch(
        cursor,
        "SELECT b.*, image_id FROM boxes_now b JOIN instances USING (instance_id) WHERE instance_id = ?",
        [instance_id],
    )
    if not rows:
        raise NotFound(f"There is no person {instance_id}.")
    return rows[0]


def _earlier_box(cursor: Cursor, edit_id: str | None) -> Row | None:
    """The box that an edit_id has made before, or None."""
    if edit_id is None:
        return None
    found = fetch(cursor, f"{_BOX_ROW} WHERE edit_id = ?", [edit_id])
    return found[0] if found else None


def _insert_boxes(
    cursor: Cursor,
    instance_ids: Sequence[int],
    boxes: Sequence[Sequence[float]],
    sources: Sequence[str],
    who: str,
    edit_id: str | None = None,
) -> None:
    bulk.insert(
        cursor,
        "box_journal",
        {
            "box_revision": ("BIGINT", next_ids(cursor, "box_revisions", len(boxes))),
            "instance_id": ("BIGINT", list(instance_ids)),
            **{name: ("DOUBLE", [float(box[i]) for box in boxes]) for i, name in enumerate("xywh")},
            "source": ("VARCHAR", list(sources)),
            "hidden": ("BOOLEAN", False),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", now()),
            "edit_id": ("VARCHAR", edit_id),
        },
    )


def _append_box(
    cursor: Cursor,
    last: Row,
    box: tuple[float, float, float, float],
    source: str,
    hidden: bool,
    who: str,
    edit_id: str | None,
) -> Row:
    done = _earlier_box(cursor, edit_id)
    if done is not None and done.pop("instance_id") != last["instance_id"]:
        raise InputError(f"The edit id {edit_id!r} was already used for another person.")
    if done is not None:
        return {**done, "repeated": True}
    revision, at = next_ids(cursor, "box_revisions", 1)[0], now()
    values = [revision, last["instance_id"], *box, source, hidden, require_who(who), at, edit_id]
    cursor.execute(f"INSERT INTO box_journal VALUES ({', '.join('?' * 11)})", values)
    return {"box_revision": revision, "saved_at": plain(at), "repeated": False}
