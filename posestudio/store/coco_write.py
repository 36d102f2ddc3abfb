"""The store as COCO keypoint files: what was imported comes back equal, what was edited comes back as it stands now.

An entry starts from what its source had, every field of it. Only what a person changed is replaced: keypoints (with
num_keypoints) and the box. An open keypoint is 0, 0, 0 unless the source had other numbers beside its v = 0.
"""

import json
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posestudio.core.skeleton import Skeleton
from posestudio.errors import InputError
from posestudio.store import groups
from posestudio.store.database import Cursor, Row, Store
from posestudio.store.people import AREA_SHARE

PHOTOS = "photos"
"""Name of the file for images that came in without a COCO file."""

_PEOPLE = """
SELECT instance_id, image_id, source_id, coco_id, category_id, iscrowd, area, extra, x, y, w, h
FROM instances JOIN boxes_now USING (instance_id) WHERE NOT hidden ORDER BY instance_id
"""
_IMAGES = """
SELECT s.source_id, s.image_id, s.file_name, s.coco_id, s.extra, width, height, kind = 'coco' AS coco
FROM image_sources s JOIN images USING (image_id) JOIN groups USING (group_id) JOIN sources USING (source_id)
WHERE ($split IS NULL OR split = $split) AND image_id NOT IN (FROM hidden_images) ORDER BY s.source_id, s.position
"""


@dataclass(slots=True)
class _Part:
    """One file to be: a source with its images and people. people: whose the annotations are."""

    name: str
    header: dict[str, Any]
    images: list[dict[str, Any]] = field(default_factory=list)
    annotations: list[dict[str, Any]] = field(default_factory=list)
    people: list[int] = field(default_factory=list)


def export_coco(store: Store, out: Path, *, split: str | None = None) -> dict[str, Any]:
    """Write the project's images and people as COCO keypoint files.

    Args:
        store: the open project.
        out: a name ending in .json for one file; the sources then need distinct ids and equal headers, otherwise
            each gets a file of its own beside it. Any other name is a folder with one file a source.
        split: only images of this split.

    Returns:
        files (path, images, annotations of each), and the sums images, annotations and labeled.

    Raises:
        InputError: there is nothing to export, or a file cannot be written.
    """
    parts = _parts(store, split)
    if not parts:
        where = f" in split {split}" if split else ""
        raise InputError(f"There is nothing to export{where}: the project has no images there.")
    if out.suffix.lower() == ".json":
        merged = _merged(parts)
        if merged is not None:
            targets = [(out, merged)]
        else:
            targets = [(out.with_name(f"{out.stem}-{part.name}.json"), part) for part in parts]
    else:
        targets = [(out / f"{part.name}.json", part) for part in parts]
    _check_targets(store, [path for path, _ in targets])
    for path, part in targets:
        content = {**part.header, "images": part.images, "annotations": part.annotations}
        write_text(path, json.dumps(content, ensure_ascii=False, allow_nan=False))
    return {
        "files": [
            {"path": str(path), "images": len(part.images), "annotations": len(part.annotations)}
            for path, part in targets
        ],
        "images": sum(len(part.images) for part in parts),
        "annotations": sum(len(part.annotations) for part in parts),
        "labeled": sum(one["num_keypoints"] > 0 for part in parts for one in part.annotations),
    }


def coco_files(store: Store, split: str | None = None) -> list[dict[str, Any]]:
    """Which ids people have in what `export_coco` writes to a .json.

    Returns:
        For each file that has people its name, and of these N people instance_id, image_id and category_id.

    Raises:
        InputError: there is no such split, or the project has no skeleton yet.
    """
    parts = _parts(store, split)
    merged = _merged(parts) if parts else None
    return [
        {
            "name": part.name,
            "instance_id": part.people,
            "image_id": [one["image_id"] for one in part.annotations],
            "category_id": [one["category_id"] for one in part.annotations],
        }
        for part in (parts if merged is None else [merged])
        if part.people
    ]


def source_names(cursor: Cursor) -> dict[int | None, str]:
    """What the files of `export_coco` are called, by the source's id; None stands for images of no COCO file."""
    rows = cursor.execute("SELECT source_id, path FROM sources WHERE kind = 'coco' ORDER BY 1")
    taken: set[str] = set()
    names: dict[int | None, str] = {
        source_id: _name(Path(path).stem, taken) for source_id, path in rows.fetchall()
    }
    return {**names, None: _name(PHOTOS, taken)}


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all; its folder is made.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink()
        raise InputError(f"{path} cannot be written: {error.strerror or error}.") from error


def category(skeleton: Skeleton) -> dict[str, Any]:
    """The COCO category of a skeleton; importing it gives the skeleton back."""
    record = {key: value for key, value in skeleton.to_dict().items() if key != "sigmas_source"}
    return {"id": 1, "supercategory": "person", **record}


def _parts(store: Store, split: str | None) -> list[_Part]:
    """A part for each source that has images in the split."""
    if split is not None and split not in groups.SPLITS:
        raise InputError(f"The split must be one of {', '.join(groups.SPLITS)}, got {split!r}.")
    skeleton = store.require_skeleton()
    with store.database.reading() as cursor:
        names = source_names(cursor)
        headers = cursor.execute("SELECT source_id, header FROM sources WHERE kind = 'coco'")
        headers = {source_id: json.loads(header) for source_id, header in headers.fetchall()}
        images = _rows(cursor.execute(_IMAGES, {"split": split}))
        persons = _rows(cursor.execute(_PEOPLE))
        points = cursor.execute("""SELECT instance_id, keypoint, x, y, v FROM labels
            WHERE state = 'placed'""").fetchall()
    placed: dict[int, dict[int, tuple[float, float, int]]] = defaultdict(dict)
    for instance_id, keypoint, x, y, v in points:
        placed[instance_id][keypoint] = (x, y, v)
    photos = {"info": {"description": "PoseStudio export"}, "categories": [category(skeleton)]}
    parts = {one: _Part(name, headers.get(one, photos)) for one, name in names.items()}
    home = _place_images(images, parts)
    _place_people(persons, parts, home, placed, skeleton)
    return [part for part in parts.values() if part.images]


def _place_images(
    images: Sequence[Row], parts: Mapping[int | None, _Part]
) -> dict[tuple[int, int | None], int]:
    """Put images into their files; returns the id of an image in a file, by image and source."""
    home: dict[tuple[int, int | None], int] = {}
    in_coco = {row["image_id"] for row in images if row["coco"]}
    for row in images:
        image_id, source_id = row["image_id"], row["source_id"]
        if row["coco"]:
            home.setdefault((image_id, source_id), row["coco_id"])
            parts[source_id].images.append(json.loads(row["extra"]))
        elif image_id not in in_coco and (image_id, None) not in home:
            home[image_id, None] = image_id
            parts[None].images.append(
                {
                    "id": image_id,
                    "file_name": row["file_name"],
                    "width": row["width"],
                    "height": row["height"],
                }
            )
    return home


def _place_people(
    persons: Sequence[Row],
    parts: Mapping[int | None, _Part],
    home: Mapping[tuple[int, int | None], int],
    placed: Mapping[int, dict[int, tuple[float, float, int]]],
    skeleton: Skeleton,
) -> None:
    """Put people into the file of their source, or else into the first file that has their image."""
    first: dict[int, int | None] = {}
    for image_id, source_id in home:
        first.setdefault(image_id, source_id)
    new: dict[int | None, list[dict[str, Any]]] = defaultdict(list)
    for row in persons:
        if row["image_id"] not in first:
            continue
        own = (row["image_id"], row["source_id"]) in home
        source_id = row["source_id"] if own else first[row["image_id"]]
        part = parts[source_id]
        entry = _annotation(row, placed.get(row["instance_id"], {}), len(skeleton.keypoints))
        if "image_id" not in entry:
            entry["image_id"] = home[row["image_id"], source_id]
            entry["category_id"] = _person_category(part.header)
            new[source_id].append(entry)
        part.annotations.append(entry)
        part.people.append(row["instance_id"])
    for source_id, entries in new.items():
        last = max((one.get("id", 0) for one in parts[source_id].annotations), default=0)
        for number, entry in enumerate(entries, start=max(0, last) + 1):
            entry["id"] = number


def _annotation(
    row: Row, placed: Mapping[int, tuple[float, float, int]], count: int
) -> dict[str, Any]:
    """One person: the source's entry with what changed; without id and image for a person that no file brought."""
    entry: dict[str, Any] = json.loads(row["extra"]) if row["extra"] else {}
    before = entry.get("keypoints")
    keypoints = _keypoints(before or [0] * (3 * count), placed)
    if before is None or keypoints != before or entry.get("num_keypoints") is None:
        entry["keypoints"] = keypoints
        entry["num_keypoints"] = sum(v > 0 for v in keypoints[2::3])
    box = [row["x"], row["y"], row["w"], row["h"]]
    if entry.get("bbox") != box:
        entry["bbox"] = box
    if "area" not in entry or entry["area"] is None:
        entry["area"] = AREA_SHARE * row["w"] * row["h"] if row["area"] is None else row["area"]
    entry.setdefault("iscrowd", int(row["iscrowd"]))
    return entry


def _keypoints(
    before: Sequence[float], placed: Mapping[int, tuple[float, float, int]]
) -> list[float]:
    """3 K numbers; those that nobody changed are the very numbers of the source."""
    numbers = list(before)
    for k in range(len(before) // 3):
        was = numbers[3 * k : 3 * k + 3]
        now = placed.get(k)
        if now is None:
            if was[2] > 0:
                numbers[3 * k : 3 * k + 3] = [0, 0, 0]
        elif list(now) != was:
            numbers[3 * k : 3 * k + 3] = list(now)
    return numbers


def _merged(parts: Sequence[_Part]) -> _Part | None:
    """All parts as one file, or None when ids clash or the headers contradict each other."""
    for key in ("images", "annotations"):
        ids = [entry["id"] for part in parts for entry in getattr(part, key)]
        if len(set(ids)) != len(ids):
            return None
    infos = [part.header.get("info") for part in parts]
    rest = [{k: v for k, v in part.header.items() if k != "info"} for part in parts]
    if any(other != rest[0] for other in rest):
        return None
    header = parts[0].header
    if any(info != infos[0] for info in infos):
        header = {**header, "info": {"description": "PoseStudio export", "sources": infos}}
    return _Part(
        name=parts[0].name,
        header=header,
        images=[image for part in parts for image in part.images],
        annotations=[one for part in parts for one in part.annotations],
        people=[one for part in parts for one in part.people],
    )


def _check_targets(store: Store, paths: Sequence[Path]) -> None:
    came_from = {row["path"] for row in store.read("SELECT path FROM sources WHERE kind = 'coco'")}
    for path in paths:
        if str(path.resolve()) in came_from:
            raise InputError(
                f"{path} is the file that was imported; it is not overwritten. Choose another name."
            )


def _person_category(header: Mapping[str, Any]) -> int:
    return next(record["id"] for record in header["categories"] if record.get("keypoints"))


def _name(stem: str, taken: set[str]) -> str:
    """A file name of plain characters that no other source has."""
    plain = re.sub(r"[^\w.-]+", "_", stem).strip("._") or "source"
    name, count = plain, 1
    while name.lower() in taken:
        count += 1
        name = f"{plain}-{count}"
    taken.add(name.lower())
    return name


def _rows(cursor: Any) -> list[Row]:
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
