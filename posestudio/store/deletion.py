"""Erase people or whole images for privacy. Only a tombstone without content stays."""

import shutil
from collections.abc import Sequence

from posestudio.errors import NotFound
from posestudio.store import bulk, image_files, media
from posestudio.store.database import Cursor, Row, Store, now
from posestudio.store.people import require_people, require_who


def delete_people(store: Store, instance_ids: Sequence[int], *, who: str) -> Row:
    """Erase people with all labels, boxes, marks, predictions and cached pictures; a tombstone without content stays.

    Snapshots, run folders, backups and exports that were made before still hold them: delete those by hand.

    Raises:
        NotFound: one of them does not exist; then none is deleted.
    """

    def job(cursor: Cursor) -> tuple[Row, list[str]]:
        wanted = sorted(set(instance_ids))
        pictures = cursor.execute(
            "SELECT DISTINCT sha256 FROM instances JOIN images USING (image_id)"
            " WHERE instance_id IN (SELECT unnest(?::BIGINT[]))",
            [wanted],
        ).fetchall()
        _erase(cursor, wanted, require_who(who))
        return {"deleted": wanted}, [row[0] for row in pictures]

    found, pictures = store.write(job)
    _forget(store, pictures)
    store.database.checkpoint()
    return found


def delete_image(store: Store, image_id: int, *, who: str) -> Row:
    """Erase an image with its file and everybody in it; a linked file outside the project is left alone.

    Waits for a running import to end: that may count on the file.

    Raises:
        NotFound: no such image.
    """

    def job(cursor: Cursor) -> tuple[Row, str]:
        name = require_who(who)
        image = cursor.execute(
            "SELECT sha256, link_path FROM images WHERE image_id = ?", [image_id]
        ).fetchone()
        if image is None:
            raise NotFound(f"There is no image {image_id}.")
        people = erase_image(cursor, image_id, name)
        file = None if image[1] else image[0]
        return {"image": image_id, "deleted": people, "file": file}, image[0]

    with image_files.one_at_a_time:
        found, sha256 = store.write(job)
        if found["file"] is not None:
            (store.project / "images" / found["file"]).unlink(missing_ok=True)
    _forget(store, [sha256])
    store.database.checkpoint()
    return found


def erase_image(cursor: Cursor, image_id: int, who: str) -> list[int]:
    """Erase the rows of an image and of everybody in it in a transaction; returns the people's instance_ids."""
    inside = cursor.execute(
        "SELECT instance_id FROM instances WHERE image_id = ? ORDER BY ALL", [image_id]
    ).fetchall()
    groups = cursor.execute("SELECT group_id FROM images WHERE image_id = ?", [image_id]).fetchall()
    people = [row[0] for row in inside]
    _erase(cursor, people, who)
    cursor.execute("DELETE FROM image_sources WHERE image_id = ?", [image_id])
    cursor.execute("DELETE FROM image_journal WHERE image_id = ?", [image_id])
    cursor.execute("DELETE FROM images WHERE image_id = ?", [image_id])
    cursor.execute(
        "DELETE FROM groups WHERE group_id IN (SELECT unnest(?::BIGINT[]))"
        " AND group_id NOT IN (SELECT group_id FROM images)",
        [[row[0] for row in groups]],
    )
    _bury(cursor, "image", [image_id], who)
    return people


def list_tombstones(store: Store) -> list[Row]:
    """What was erased: kind ("person" or "image"), id, who, when."""
    return store.read('SELECT * FROM tombstones ORDER BY "at", id')


def worked_on(store: Store) -> bool:
    """Say whether somebody edited, marked, hid or deleted anything here, or brought in files from elsewhere."""
    rows = store.read(
        """SELECT EXISTS (FROM label_journal WHERE who <> 'import') OR EXISTS (FROM box_journal WHERE who <> 'import')
            OR EXISTS (FROM marks) OR EXISTS (FROM image_journal) OR EXISTS (FROM tombstones)
            OR EXISTS (FROM sources WHERE NOT starts_with(path, ?)) AS yes""",
        [media.plain(f"{store.project}/")],
    )
    return rows[0]["yes"]


def _erase(cursor: Cursor, instance_ids: Sequence[int], who: str) -> None:
    """Erase people, and what came back of people who were erased before: these have their tombstone."""
    back = cursor.execute(
        """SELECT DISTINCT id FROM tombstones WHERE kind = 'person' AND id IN (SELECT unnest(?::BIGINT[]))
        AND id IN (SELECT instance_id FROM predictions UNION ALL SELECT instance_id FROM uncertainties)""",
        [list(instance_ids)],
    ).fetchall()
    wanted = sorted(set(instance_ids))
    present = sorted(set(wanted) - {row[0] for row in back})
    require_people(cursor, present)
    tables = (
        "labels", "label_journal", "box_journal", "marks", "predictions", "uncertainties", "instances",
    )  # fmt: skip
    for table in tables:
        cursor.execute(
            f"DELETE FROM {table} WHERE instance_id IN (SELECT unnest(?::BIGINT[]))", [wanted]
        )
    _bury(cursor, "person", present, who)


def _forget(store: Store, pictures: Sequence[str]) -> None:
    """Take the thumbnails of these images (by content hash) and what is of many people a file out of the cache."""
    cache = store.project / "cache"
    for many in ("crops", "scores"):
        shutil.rmtree(cache / many, ignore_errors=True)
    for sha256 in pictures:
        for path in (cache / "thumbs").glob(f"{sha256}-*"):
            path.unlink(missing_ok=True)


def _bury(cursor: Cursor, kind: str, ids: list[int], who: str) -> None:
    bulk.insert(
        cursor,
        "tombstones",
        {
            "kind": ("VARCHAR", kind),
            "id": ("BIGINT", ids),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", now()),
        },
    )
