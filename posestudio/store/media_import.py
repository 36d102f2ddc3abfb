"""Photographs into the store: single images, folders, zips and videos, without labels.

What is readable is taken, the rest is listed with its reason; an image that is there by content is not added again.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from posestudio.errors import InputError
from posestudio.store import containers, images, people
from posestudio.store.containers import Item
from posestudio.store.database import Cursor, Store
from posestudio.store.image_files import ImageFiles, Progress, in_threads
from posestudio.store.images import ImageSource, InFolder, NewImage
from posestudio.store.media import Picture, plain
from posestudio.store.people import NewPerson

Read = tuple[Item, Picture | str]
"""An item with its picture, or with the reason why it was refused."""


def import_images(
    store: Store,
    paths: Sequence[Path],
    *,
    boxes: str | None = None,
    link: bool = False,
    group: bool = False,
    folders: Mapping[str, int] | None = None,
    names: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Take in images, folders, zips and videos as unlabeled images.

    Args:
        store: the open project.
        paths: what to take in.
        boxes: "full" gives every new image one person whose box is the whole image; None gives it none.
        link: leave image files where they are and note their paths; frames, zip entries and images that had to be
            turned are copied all the same.
        group: the images of a folder belong together and stay in one split, such as pictures of one session.
        folders: with group: what the imports of earlier parts of the same folders gave under this name.
        names: what to call the paths, such as the names of uploads; the last parts of the paths by default.
        progress: told after every item.

    Returns:
        added and duplicates (counts), image_ids and instance_ids (of the added), refused (a list of name and reason),
        people (count), near (how many share a group as they look alike), folders (folder -> an image), warnings.

    Raises:
        InputError: nothing at all could be taken. The store is as it was.
    """
    if boxes not in (None, "full"):
        raise InputError(f"boxes must be 'full' or left out, got {boxes!r}.")
    calls = [Path(path).name for path in paths] if names is None else list(names)
    if len(calls) != len(paths):
        raise InputError(f"{len(paths)} paths but {len(calls)} names were given.")
    with ImageFiles(store) as files:
        taken: list[tuple[Item, Picture]] = []
        refused: list[dict[str, str]] = []
        found = _everything([Path(path) for path in paths], calls)
        with closing(in_threads(lambda item: _read(item, files, link), found)) as results:
            for count, (item, result) in enumerate(results):
                if isinstance(result, Picture):
                    taken.append((item, result))
                else:
                    refused.append({"name": plain(item.name), "reason": plain(result)})
                if progress is not None:
                    progress(count + 1, None)
        if not taken:
            raise _nothing(refused, calls)
        files.settle()
        label = str(paths[0]) if len(paths) == 1 and names is None else ", ".join(calls[:10])
        placed = _placed(taken, named=names is not None) if group else []
        return store.write(
            lambda cursor: {
                **_insert(cursor, taken, label, boxes=boxes, link=link),
                "folders": images.keep_together(cursor, placed, folders or {}),
                "refused": refused,
            }
        )


def _placed(taken: Sequence[tuple[Item, Picture]], *, named: bool) -> list[InFolder]:
    """Items with their folders, but for frames: a video is a group of its own.

    Where names were given they say the folder: uploads all lie in one place.
    """
    found = []
    for item, picture in taken:
        if item.group is None:
            path = PurePosixPath(item.name) if named or item.path is None else item.path.resolve()
            found.append(InFolder(plain(str(path.parent)), picture.sha256, plain(item.name)))
    return found


def linkable(item: Item, picture: Picture) -> bool:
    """Say whether the file itself can serve as the stored image: one by itself, upright, its path plain text."""
    whole = item.path is not None and not picture.rewritten
    return whole and str(item.path) == plain(str(item.path))


def _everything(paths: Sequence[Path], names: Sequence[str]) -> Iterator[Item]:
    for path, name in zip(paths, names, strict=True):
        yield from containers.items(path, name)


def _read(item: Item, files: ImageFiles, link: bool) -> Read:
    try:
        picture = item.read()
    except InputError as error:
        return item, str(error)
    if link and linkable(item, picture):
        return item, picture
    return item, files.put(picture)


def _nothing(refused: list[dict[str, str]], names: Sequence[str]) -> InputError:
    if not refused:
        return InputError(f"There is no image in {plain(', '.join(names[:3]))}.")
    first = "; ".join(f"{one['name']}: {one['reason']}" for one in refused[:3])
    return InputError(
        f"Nothing was imported: {len(refused):,} of {len(refused):,} files cannot be taken.\nFirst: {first}"
    )


def _insert(
    cursor: Cursor,
    taken: Sequence[tuple[Item, Picture]],
    label: str,
    *,
    boxes: str | None,
    link: bool,
) -> dict[str, Any]:
    known = images.known(cursor, [picture.sha256 for _, picture in taken])
    fresh = {pair[1].sha256: pair for pair in reversed(taken)}
    new = [pair for pair in taken if pair[1].sha256 not in known and fresh[pair[1].sha256] is pair]
    report = {
        "added": len(new),
        "duplicates": len(taken) - len(new),
        "image_ids": [],
        "instance_ids": [],
        "people": 0,
        "near": 0,
        "warnings": [],
    }
    if not new:
        return report
    rows = [_row(item, picture, link) for item, picture in new]
    image_ids = images.add_many(cursor, rows)
    source_id = images.add_source(cursor, "images", plain(label))
    images.add_image_sources(
        cursor,
        [
            ImageSource(image_id, source_id, plain(item.name), position)
            for position, (image_id, (item, _)) in enumerate(zip(image_ids, new, strict=True))
        ],
    )
    report["image_ids"] = image_ids
    single = [i for i, row in zip(image_ids, rows, strict=True) if row.group_key is None]
    report["near"] = joined(cursor, single)
    if boxes == "full":
        report["instance_ids"] = people.add_many(
            cursor,
            [
                NewPerson(image_id, (0.0, 0.0, picture.width, picture.height), "full", source_id)
                for image_id, (_, picture) in zip(image_ids, new, strict=True)
            ],
        )
        report["people"] = len(image_ids)
    turned = sum(picture.rewritten for _, picture in new)
    if turned:
        report["warnings"].append(
            f"{turned:,} images were turned upright by their EXIF orientation"
        )
    return report


def _row(item: Item, picture: Picture, link: bool) -> NewImage:
    linked = link and linkable(item, picture)
    return NewImage(
        sha256=picture.sha256,
        width=picture.width,
        height=picture.height,
        phash=picture.phash,
        group_key=item.group,
        link_path=str(item.path.resolve()) if linked and item.path is not None else None,
    )


def joined(cursor: Cursor, image_ids: Sequence[int]) -> int:
    """In a job: how many of these images share a group with another image."""
    row = cursor.execute(
        """SELECT count(*) FROM images one WHERE image_id IN (SELECT unnest(?::BIGINT[]))
        AND EXISTS (
            SELECT 1 FROM images other
            WHERE other.group_id = one.group_id AND other.image_id <> one.image_id)""",
        [list(image_ids)],
    ).fetchone()
    return row[0] if row else 0
