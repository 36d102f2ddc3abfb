"""The labeled people as a YOLO-pose data set: images, label files and data.yaml, as Ultralytics reads them.

Only images with a labeled person go out, by their split: an image without label file would teach "nobody here".
Coordinates are divided by width and height and kept within 0 and 1, because the reader refuses a whole image otherwise.
"""

import json
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from posestudio.core.skeleton import Skeleton
from posestudio.errors import InputError
from posestudio.store import media
from posestudio.store.coco_write import write_text
from posestudio.store.database import Row, Store

SPLITS = ("train", "val")

_PEOPLE = """
SELECT p.instance_id, p.image_id, b.x, b.y, b.w, b.h FROM instances p JOIN boxes_now b USING (instance_id)
WHERE NOT hidden AND NOT iscrowd ORDER BY p.instance_id
"""
_IMAGES = """
SELECT image_id, sha256, width, height, link_path, split,
    (SELECT arg_min(file_name, (source_id, position)) FROM image_sources s WHERE s.image_id = images.image_id) AS name
FROM images JOIN groups USING (group_id)
WHERE split IN ('train', 'val') AND image_id NOT IN (FROM hidden_images) ORDER BY image_id
"""


def export_yolo(store: Store, out: Path) -> dict[str, Any]:
    """Write images/{train,val}, labels/{train,val} and data.yaml below a new or empty folder.

    Args:
        store: the open project.
        out: the folder.

    Returns:
        path, images and people by split, left_out (images without a labeled person), warnings.

    Raises:
        InputError: the folder has something in it, there is no labeled person, or a file cannot be read or written.
    """
    skeleton = store.require_skeleton()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is not an empty folder. Choose another name for the export.")
    images, persons, placed = _read(store)
    taken = {row["image_id"] for row in persons if placed.get(row["instance_id"])}
    chosen = [image for image in images if image["image_id"] in taken]
    if not chosen:
        raise InputError(
            "There is no labeled person in split train or val, so there is nothing to export."
        )
    by_image: dict[int, list[Row]] = defaultdict(list)
    for row in persons:
        by_image[row["image_id"]].append(row)
    counts: dict[str, Counter[str]] = {"images": Counter(), "people": Counter()}
    used: set[str] = set()
    for image in chosen:
        split, own = image["split"], by_image[image["image_id"]]
        stem = _stem(image, used)
        lines = [
            _line(row, placed.get(row["instance_id"], {}), image, len(skeleton.keypoints))
            for row in own
        ]
        write_text(out / "labels" / split / f"{stem}.txt", "\n".join(lines) + "\n")
        _copy(store, image, out / "images" / split / stem)
        counts["images"][split] += 1
        counts["people"][split] += len(own)
    warnings = []
    if not counts["images"]["val"]:
        warnings.append("there is no labeled val image; data.yaml names train as val")
    write_text(out / "data.yaml", _yaml(skeleton, [s for s in SPLITS if counts["images"][s]]))
    return {
        "path": str(out),
        "images": dict(counts["images"]),
        "people": dict(counts["people"]),
        "left_out": len(images) - len(chosen),
        "warnings": warnings,
    }


def _read(store: Store) -> tuple[list[Row], list[Row], dict[int, dict[int, tuple[float, ...]]]]:
    """Images of train and val, people, and placed keypoints by person, at one moment."""
    with store.database.reading() as cursor:
        found = []
        for query in (_IMAGES, _PEOPLE):
            cursor.execute(query)
            names = [column[0] for column in cursor.description or []]
            found.append([dict(zip(names, row, strict=True)) for row in cursor.fetchall()])
        points = cursor.execute(
            "SELECT instance_id, keypoint, x, y, v FROM labels WHERE state = 'placed'"
        ).fetchall()
    placed: dict[int, dict[int, tuple[float, ...]]] = defaultdict(dict)
    for instance_id, keypoint, *numbers in points:
        placed[instance_id][keypoint] = tuple(numbers)
    return found[0], found[1], placed


def _line(row: Row, points: dict[int, tuple[float, ...]], image: Row, count: int) -> str:
    """Class, box center and size, then x, y, v of each keypoint; 0 0 0 for one that is not placed."""
    width, height = image["width"], image["height"]
    left, right = _share(row["x"], width), _share(row["x"] + row["w"], width)
    top, bottom = _share(row["y"], height), _share(row["y"] + row["h"], height)
    numbers = [(left + right) / 2, (top + bottom) / 2, right - left, bottom - top]
    parts = ["0", *(f"{value:.6f}" for value in numbers)]
    for keypoint in range(count):
        if keypoint in points:
            x, y, v = points[keypoint]
            parts += [f"{_share(x, width):.6f}", f"{_share(y, height):.6f}", f"{v:.0f}"]
        else:
            parts += ["0", "0", "0"]
    return " ".join(parts)


def _share(value: float, size: int) -> float:
    return min(max(value / size, 0.0), 1.0)


def _stem(image: Row, used: set[str]) -> str:
    """A file name of plain characters that no other image has; the image's own where that is free."""
    plain = re.sub(r"[^\w-]+", "_", Path(image["name"] or "").stem).strip("_")[:100]
    stem = plain or f"image-{image['image_id']}"
    while stem.lower() in used:
        stem += f"-{image['image_id']}"
    used.add(stem.lower())
    return stem


def _copy(store: Store, image: Row, stem: Path) -> None:
    source = Path(image["link_path"] or store.project / "images" / image["sha256"])
    try:
        with source.open("rb") as file:
            suffix = media.image_suffix(file.read(12)) or ".jpg"
        stem.parent.mkdir(parents=True, exist_ok=True)
        target = stem.with_name(stem.name + suffix)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        shutil.copyfile(source, temporary)
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(
            f"The image {image['image_id']} cannot be copied to {stem.parent}: {error.strerror or error}."
        ) from error


def _yaml(skeleton: Skeleton, splits: Sequence[str]) -> str:
    """data.yaml, whose paths start from its own folder; JSON's quoting of a list or text is YAML's too."""
    train, val = splits[0], splits[-1]
    return "\n".join(
        [
            f"train: images/{train}",
            f"val: images/{val}",
            f"kpt_shape: [{len(skeleton.keypoints)}, 3]",
            f"flip_idx: {json.dumps(list(skeleton.flip_index))}",
            "names:",
            f"  0: {json.dumps(skeleton.name)}",
            f"kpt_names:\n  0: {json.dumps(list(skeleton.keypoints))}",
            "",
        ]
    )
