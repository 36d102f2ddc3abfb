"""Deeds on whole photos: put them away and bring them back, give them whole boxes, find them by name."""

from collections.abc import Sequence

from posestudio.core.skeleton import COCO17, Skeleton
from posestudio.errors import InputError, NotFound
from posestudio.store import bulk
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now, set_skeleton
from posestudio.store.people import NewPerson, add_many, require_who


def hide(store: Store, image_ids: Sequence[int], hidden: bool, *, who: str, edit_id: str) -> Row:
    """Put photos away with everybody in them, or bring them back with those who went with them.

    Nothing is deleted: labels stay, and bringing back restores them. A repeated edit_id changes nothing.

    Returns:
        images (ids that changed), people (how many), repeated.

    Raises:
        NotFound: one of the images does not exist; then none changes.
        InputError: no image is named, or who or edit_id is no text.
    """
    wanted = sorted(set(image_ids))
    if not wanted or not isinstance(edit_id, str) or not edit_id:
        raise InputError("Name at least one photo, and the edit's id.")

    def job(cursor: Cursor) -> Row:
        name = require_who(who)
        done = fetch(cursor, "SELECT image_id FROM image_journal WHERE edit_id = ?", [edit_id])
        if done:
            return {"images": [row["image_id"] for row in done], "people": 0, "repeated": True}
        _require_images(cursor, wanted)
        away = {row[0] for row in cursor.execute("FROM hidden_images").fetchall()}
        changed = [one for one in wanted if (one in away) != hidden]
        people = _hide_people(cursor, changed, hidden, name, edit_id)
        bulk.insert(
            cursor,
            "image_journal",
            {
                "revision": ("BIGINT", next_ids(cursor, "image_revisions", len(changed))),
                "image_id": ("BIGINT", changed),
                "hidden": ("BOOLEAN", hidden),
                "who": ("VARCHAR", name),
                "at": ("TIMESTAMP", now()),
                "edit_id": ("VARCHAR", edit_id),
            },
        )
        return {"images": changed, "people": people, "repeated": False}

    return store.write(job)


def assume_skeleton(cursor: Cursor) -> None:
    """In a job: give a project without a skeleton COCO's, which another may replace while there is no label."""
    set_skeleton(cursor, COCO17)
    cursor.execute("INSERT INTO meta VALUES ('skeleton_assumed', 'true')")


def settled_skeleton(store: Store) -> Skeleton | None:
    """The project's skeleton; None while another may still take its place."""
    assumed = store.read(
        """SELECT 1 FROM meta WHERE key = 'skeleton_assumed' AND NOT EXISTS (FROM labels)"""
    )
    return None if assumed else store.skeleton()


def add_whole(store: Store, image_ids: Sequence[int], *, who: str) -> list[int]:
    """Give each photo in which nobody is marked one person whose box is the whole photo; returns the people's ids.

    Raises:
        NotFound: one of the images does not exist; then nobody is added.
    """
    wanted = sorted(set(image_ids))

    def job(cursor: Cursor) -> list[int]:
        _require_images(cursor, wanted)
        rows = fetch(
            cursor,
            """SELECT image_id, width, height FROM images WHERE image_id IN (SELECT unnest(?::BIGINT[]))
            AND image_id NOT IN (SELECT image_id FROM instances JOIN boxes_now USING (instance_id) WHERE NOT hidden)
            ORDER BY image_id""",
            [wanted],
        )
        new = [
            NewPerson(row["image_id"], (0.0, 0.0, row["width"], row["height"]), "full")
            for row in rows
        ]
        return add_many(cursor, new, require_who(who)) if new else []

    return store.write(job)


def by_name(store: Store, names: Sequence[str]) -> dict[str, str]:
    """Stored photos by the names under which they came in: name -> path from the project folder.

    A name fits an image's whole name, or else its last parts, such as `1.jpg` that came in as `beach/1.jpg`; a name
    that fits several images is left out.
    """
    rows = store.read(
        """SELECT DISTINCT image_id, file_name, coalesce(link_path, 'images/' || sha256) AS path
        FROM image_sources JOIN images USING (image_id)
        WHERE list_contains(?, string_split(file_name, '/')[-1])""",
        [[name.rsplit("/", 1)[-1] for name in names]],
    )
    found = {}
    for name in names:
        whole = {row["image_id"]: row["path"] for row in rows if row["file_name"] == name}
        ends = {
            row["image_id"]: row["path"]
            for row in rows
            if f"/{row['file_name']}".endswith(f"/{name}")
        }
        fits = whole or ends
        if len(fits) == 1:
            found[name] = next(iter(fits.values()))
    return found


def _hide_people(cursor: Cursor, image_ids: list[int], hidden: bool, who: str, edit_id: str) -> int:
    """Everybody of photos that go; of those that come back, everybody who went with them."""
    which = "NOT b.hidden" if hidden else "b.hidden AND b.edit_id = last.edit_id"
    rows = fetch(
        cursor,
        f"""SELECT b.* FROM boxes_now b JOIN instances USING (instance_id) LEFT JOIN (
            SELECT image_id, arg_max(edit_id, revision) AS edit_id FROM image_journal WHERE hidden GROUP BY image_id
        ) last USING (image_id)
        WHERE image_id IN (SELECT unnest(?::BIGINT[])) AND {which} ORDER BY instance_id""",
        [image_ids],
    )
    bulk.insert(
        cursor,
        "box_journal",
        {
            "box_revision": ("BIGINT", next_ids(cursor, "box_revisions", len(rows))),
            "instance_id": ("BIGINT", [row["instance_id"] for row in rows]),
            **{name: ("DOUBLE", [row[name] for row in rows]) for name in "xywh"},
            "source": ("VARCHAR", [row["source"] for row in rows]),
            "hidden": ("BOOLEAN", hidden),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", now()),
            "edit_id": ("VARCHAR", edit_id),
        },
    )
    return len(rows)


def _require_images(cursor: Cursor, image_ids: list[int]) -> None:
    found = cursor.execute(
        "SELECT image_id FROM images WHERE image_id IN (SELECT unnest(?::BIGINT[]))", [image_ids]
    ).fetchall()
    missing = sorted(set(image_ids) - {row[0] for row in found})
    if missing:
        raise NotFound(f"There is no image {', '.join(map(str, missing[:5]))}.")
