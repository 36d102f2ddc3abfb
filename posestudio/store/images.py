"""Images: content hash, size, group and where they came from. The pixels are files in the project's images folder."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.errors import NotFound
from posestudio.store import bulk, groups
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now

_IMAGE = """
SELECT image_id, sha256, width, height, link_path, coalesce(link_path, 'images/' || sha256) AS path, group_id,
    split, fold, added_at,
    (SELECT arg_min(file_name, position) FROM image_sources s WHERE s.image_id = images.image_id) AS file_name,
    (SELECT count(*) FROM instances JOIN boxes_now USING (instance_id)
        WHERE instances.image_id = images.image_id AND NOT hidden) AS people
FROM images JOIN groups USING (group_id)
"""


@dataclass(frozen=True, slots=True)
class NewImage:
    """An image to add.

    width, height: in pixels, as the image is shown. phash: 64-bit perceptual hash, or None when unknown. group_key:
    images of one `add_many` with the same key share a group (frames of a video). link_path: absolute path of the file
    when it is not copied to images/<sha256>.
    """

    sha256: str
    width: int
    height: int
    phash: int | None = None
    split: str = "unlabeled"
    group_key: str | None = None
    link_path: str | None = None


@dataclass(frozen=True, slots=True)
class InFolder:
    """An image of a folder that is to stay together: the folder, the content's hash, the name under which it came."""

    folder: str
    sha256: str
    file_name: str


@dataclass(frozen=True, slots=True)
class ImageSource:
    """Under which name and id a source knew an image. position: its place in the source's list."""

    image_id: int
    source_id: int
    file_name: str
    position: int
    coco_id: int | None = None
    extra: dict[str, Any] | None = None


def add_source(cursor: Cursor, kind: str, path: str, header: dict[str, Any] | None = None) -> int:
    """In a job: note a file or folder that people or images came from; returns its source_id."""
    source_id = next_ids(cursor, "source_ids", 1)[0]
    text = None if header is None else json.dumps(header)
    cursor.execute(
        "INSERT INTO sources VALUES (?, ?, ?, ?, ?)", [source_id, kind, path, text, now()]
    )
    return source_id


def add_many(cursor: Cursor, rows: Sequence[NewImage]) -> list[int]:
    """In a job: add images and return an image_id for each row.

    An image that is already there by content keeps its row (twice in `rows` too). It keeps its split, unless that is
    "unlabeled" and the row asks for another one. New images get a group, then near-duplicates and equal group keys
    join groups (see `groups.merge`).
    """
    for row in rows:
        groups.require_split(row.split)
    ids = known(cursor, [row.sha256 for row in rows])
    fresh = {row.sha256: row for row in reversed(rows) if row.sha256 not in ids}
    new = [row for row in dict.fromkeys(rows) if fresh.get(row.sha256) is row]
    image_ids = next_ids(cursor, "image_ids", len(new))
    ids.update(zip([row.sha256 for row in new], image_ids, strict=True))
    _insert(cursor, new, image_ids)
    wanted = [(ids[row.sha256], row.split) for row in rows if row.split != "unlabeled"]
    _ask_for_split(cursor, wanted)
    pairs = _same_key(cursor, [(row.group_key, ids[row.sha256]) for row in rows if row.group_key])
    groups.merge(cursor, pairs)
    if image_ids:
        groups.merge(cursor, groups.near_groups(cursor, image_ids[0]))
    return [ids[row.sha256] for row in rows]


def add_image_sources(cursor: Cursor, rows: Sequence[ImageSource]) -> None:
    """In a job: note under which names and ids a source knew images."""
    bulk.insert(
        cursor,
        "image_sources",
        {
            "image_id": ("BIGINT", [row.image_id for row in rows]),
            "source_id": ("BIGINT", [row.source_id for row in rows]),
            "file_name": ("VARCHAR", [row.file_name for row in rows]),
            "coco_id": ("BIGINT", [row.coco_id for row in rows]),
            "extra": ("JSON", [None if r.extra is None else json.dumps(r.extra) for r in rows]),
            "position": ("BIGINT", [row.position for row in rows]),
        },
    )


def keep_together(
    cursor: Cursor, rows: Sequence[InFolder], folders: Mapping[str, int]
) -> dict[str, int]:
    """In a job: let the images of a folder share a group, those that came in under the same names before too.

    Args:
        cursor: of the running job.
        rows: images, in the store under these names. One that is there under other names only is left where it is.
        folders: folder -> an image of it that came in earlier; one that is gone meanwhile is passed over.

    Returns:
        folder -> an image of it, for what comes in from the same folders later.
    """
    found = cursor.execute(
        """SELECT DISTINCT folder, image_id FROM (SELECT unnest(?::VARCHAR[]) AS folder,
            unnest(?::VARCHAR[]) AS sha256, unnest(?::VARCHAR[]) AS file_name) given
        JOIN images USING (sha256) JOIN image_sources USING (image_id, file_name) ORDER BY image_id""",
        [
            [row.folder for row in rows],
            [row.sha256 for row in rows],
            [row.file_name for row in rows],
        ],
    ).fetchall()
    keyed = [*folders.items(), *found]
    groups.merge(cursor, _same_key(cursor, keyed))
    return dict(keyed)


def known(cursor: Cursor, hashes: Iterable[str]) -> dict[str, int]:
    """In a job: sha256 -> image_id of those that are in the store."""
    found = cursor.execute(
        "SELECT sha256, image_id FROM images WHERE sha256 IN (SELECT unnest(?::VARCHAR[]))",
        [list(hashes)],
    ).fetchall()
    return dict(found)


def list_images(
    store: Store, split: str | None = None, *, limit: int | None = None, offset: int = 0
) -> list[Row]:
    """Images by image_id, with their split and how many people they show."""
    where, params = ("WHERE split = ?", [groups.require_split(split)]) if split else ("", [])
    return store.read(
        f"{_IMAGE} {where} ORDER BY image_id LIMIT ? OFFSET ?", [*params, limit, offset]
    )


def get(store: Store, image_id: int) -> Row:
    """One image, with `sources`: under which names and ids it came in.

    Raises:
        NotFound: no such image.
    """
    found = store.read(f"{_IMAGE} WHERE image_id = ?", [image_id])
    if not found:
        raise NotFound(f"There is no image {image_id}.")
    sources = store.read(
        """SELECT source_id, kind, path, file_name, coco_id, position
        FROM image_sources JOIN sources USING (source_id) WHERE image_id = ? ORDER BY source_id, position""",
        [image_id],
    )
    return {**found[0], "sources": sources}


def list_sources(store: Store) -> list[Row]:
    """Files and folders that came in, by source_id, with the count of their images; headers parsed."""
    rows = store.read("""
        SELECT source_id, kind, path, header, added_at,
            (SELECT count(DISTINCT image_id) FROM image_sources i WHERE i.source_id = sources.source_id) AS images,
            (SELECT count(*) FROM instances p WHERE p.source_id = sources.source_id) AS people
        FROM sources ORDER BY source_id""")
    return [{**row, "header": json.loads(row["header"]) if row["header"] else None} for row in rows]


def _insert(cursor: Cursor, rows: Sequence[NewImage], image_ids: Sequence[int]) -> None:
    group_ids = next_ids(cursor, "group_ids", len(rows))
    bulk.insert(
        cursor,
        "groups",
        {
            "group_id": ("BIGINT", group_ids),
            "split": ("VARCHAR", [row.split for row in rows]),
            "fold": ("BOOLEAN", [groups.in_fold(row.sha256) for row in rows]),
        },
    )
    bulk.insert(
        cursor,
        "images",
        {
            "image_id": ("BIGINT", list(image_ids)),
            "sha256": ("VARCHAR", [row.sha256 for row in rows]),
            "width": ("INTEGER", [row.width for row in rows]),
            "height": ("INTEGER", [row.height for row in rows]),
            "phash": ("UBIGINT", [row.phash for row in rows]),
            "group_id": ("BIGINT", group_ids),
            "link_path": ("VARCHAR", [row.link_path for row in rows]),
            "added_at": ("TIMESTAMP", now()),
        },
    )


def _ask_for_split(cursor: Cursor, wanted: Sequence[tuple[int, str]]) -> None:
    cursor.execute(
        """UPDATE groups SET split = asked.split FROM (
            SELECT group_id, min(w.split) AS split FROM images
            JOIN (SELECT unnest(?::BIGINT[]) AS image_id, unnest(?::VARCHAR[]) AS split) w USING (image_id)
            GROUP BY group_id) asked
        WHERE groups.group_id = asked.group_id AND groups.split = 'unlabeled'""",
        [[image_id for image_id, _ in wanted], [split for _, split in wanted]],
    )


def _same_key(cursor: Cursor, keyed: Sequence[tuple[str | None, int]]) -> list[tuple[int, int]]:
    rows = fetch(
        cursor,
        "SELECT image_id, group_id FROM images WHERE image_id IN (SELECT unnest(?::BIGINT[]))",
        [[image_id for _, image_id in keyed]],
    )
    group_of = {row["image_id"]: row["group_id"] for row in rows}
    first: dict[str | None, int] = {}
    return [
        (first.setdefault(key, group_of[image]), group_of[image])
        for key, image in keyed
        if image in group_of
    ]
