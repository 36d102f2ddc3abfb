"""Deeds on whole photos: put them away and bring them back, give them whole boxes, find them by name."""

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence
from pathlib import PurePosixPath
from typing import TypeVar

from posestudio.core.skeleton import COCO17, Skeleton
from posestudio.errors import InputError, NotFound
from posestudio.store import bulk
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now, set_skeleton
from posestudio.store.people import NewPerson, add_many, require_who

Photo = TypeVar("Photo", bound=Hashable)


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
    """Stored photos by the names that a labels file gives them, see `fitting`: name -> path from the project folder."""
    rows = store.read(
        """SELECT DISTINCT image_id, file_name, coalesce(link_path, 'images/' || sha256) AS path
        FROM image_sources JOIN images USING (image_id)
        WHERE string_split(file_name, '/')[-1] IN (SELECT unnest(?::VARCHAR[]))""",
        [[name.rsplit("/", 1)[-1] for name in names]],
    )
    path = {row["image_id"]: row["path"] for row in rows}
    found = fitting(names, [(row["file_name"], row["image_id"]) for row in rows])
    return {name: path[image_id] for name, image_id in found.items()}


def fitting(
    names: Iterable[str], there: Iterable[tuple[str, Photo]], *, shortened: bool = False
) -> dict[str, Photo]:
    """The photo that each name of a labels file means; never one photo for two names.

    A name fits a photo of just this name, or else one whose name ends with it, such as `1.jpg` that is there as
    `beach/1.jpg`. A name that fits several photos is left out; of two names that fit one photo the longer has it.

    Args:
        names: as a labels file gives them.
        there: the names of photos, each with the photo.
        shortened: photos may have lost folders: a name fits also a photo whose own name is its end, such as
            `train/beach/1.jpg` that is there as `1.jpg`, unless another name has the same last part.
    """
    near: dict[str, list[tuple[str, Photo]]] = defaultdict(list)
    for name, photo in there:
        near[PurePosixPath(name).name].append((f"/{name}", photo))
    wanted = sorted(set(names), key=len, reverse=True)
    alike = Counter(PurePosixPath(name).name for name in wanted)
    found: dict[str, Photo] = {}
    taken: set[Photo] = set()
    for name in wanted:
        last, path = PurePosixPath(name).name, f"/{PurePosixPath(name)}"
        fits = {photo for own, photo in near[last] if own == path}
        fits = fits or {photo for own, photo in near[last] if own.endswith(path)}
        if not fits and shortened and alike[last] == 1:
            fits = {photo for own, photo in near[last] if path.endswith(own)}
        if len(fits) == 1 and not fits & taken:
            taken |= fits
            (found[name],) = fits
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
