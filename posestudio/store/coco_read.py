"""COCO keypoint files, read and checked line by line. Pure: no store, no images, nothing is changed.

Every number is kept as the file has it (an int stays an int). A file with faults is refused as a whole, unless the
caller takes the rest; faults of the file itself (broken JSON, no category with keypoints) always refuse it.
"""

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posestudio.core import skeleton as skeletons
from posestudio.core.skeleton import Skeleton
from posestudio.errors import InputError
from posestudio.store import media

MAX_FILE_BYTES = 2 * 1024**3
OUTSIDE_PX = 2.0
"""How far outside the image a labeled keypoint may lie. Ours."""
MAX_COORDINATE = 1e6
"""Pixel coordinates beyond this are slips, whatever the visibility. Ours; no image side exceeds 20,000."""


@dataclass(frozen=True, slots=True)
class CocoImage:
    """One checked entry of `images`; raw is the entry itself."""

    coco_id: int
    file_name: str
    width: int
    height: int
    raw: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CocoAnnotation:
    """One checked person.

    box_xywh: in image pixels. keypoints: the file's 3 K numbers x, y, v. area: None when the file gives none. raw:
    the entry itself.
    """

    coco_id: int
    image_id: int
    category_id: int
    box_xywh: tuple[float, float, float, float]
    keypoints: list[float]
    area: float | None
    iscrowd: bool
    raw: dict[str, Any]

    @property
    def labeled(self) -> bool:
        """Some keypoint has v > 0."""
        return any(v > 0 for v in self.keypoints[2::3])


@dataclass(slots=True)
class CocoFile:
    """What a file holds after the checks.

    header: every top-level key but images and annotations. faults: what was left out, one line each; dragged: people
    who were left out because of their image. notes: what was kept but should be known.
    """

    path: Path
    header: dict[str, Any]
    skeleton: Skeleton
    images: list[CocoImage] = field(default_factory=list)
    annotations: list[CocoAnnotation] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    dragged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Fault(Exception):
    """One row of the file cannot be taken; the text says what and which value."""


def parse(file: Path, skeleton: Skeleton | None = None, *, skip_bad: bool = False) -> CocoFile:
    """Read and check a COCO keypoint file.

    Args:
        file: the JSON file.
        skeleton: the project's, whose keypoint names the file must have; None before the first import.
        skip_bad: take the rows without faults and list the others, instead of refusing the file.

    Raises:
        InputError: the file cannot be read at all, its keypoints are not the project's, or it has faults: their
            number and the first three.
    """
    content = load_json(file)
    if not isinstance(content, dict):
        raise InputError(
            f"{file.name}: not a COCO keypoint file: it holds a {type(content).__name__}, not an object.\n"
            "A list of results of a model is taken by: posestudio import predictions FILE --name MODEL"
        )
    for key in ("images", "annotations", "categories"):
        if not isinstance(content.get(key), list):
            raise InputError(f"{file.name}: not a COCO keypoint file: there is no list {key!r}.")
    header = {key: value for key, value in content.items() if key not in ("images", "annotations")}
    _check_text(header, file)
    categories = _categories(header["categories"], file)
    found = CocoFile(path=file, header=header, skeleton=_skeleton(categories, skeleton, file))
    sizes = _images(content["images"], found)
    _annotations(content["annotations"], found, categories=categories, sizes=sizes)
    if found.faults and not skip_bad:
        raise refusal(file.name, found.faults)
    return found


def refusal(name: str, faults: list[str], advice: str = "--skip-bad takes the rest") -> InputError:
    """The error for a file that is refused: how many faults, and the first three."""
    count = f"{len(faults):,} fault{'s' if len(faults) > 1 else ''}"
    first = "; ".join(faults[:3])
    return InputError(f"{name}: {count}, nothing was imported ({advice}).\nFirst: {first}")


def drag(annotation: int, image: int) -> str:
    """The line for a person who is left out because of the image."""
    return f"annotation {annotation}: its image {image} has a fault"


def load_json(file: Path) -> Any:
    """Read a JSON file of at most 2 GiB.

    Raises:
        InputError: missing, too large, not UTF-8, or broken JSON (with the line).
    """
    try:
        if not file.is_file():
            raise InputError(f"{file}: there is no such file.")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise InputError(f"{file.name}: over {MAX_FILE_BYTES:,} bytes; split the file.")
        return json.loads(file.read_bytes().decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file.name}: broken JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file.name}: not UTF-8 text, so not a JSON file.") from error
    except RecursionError as error:
        raise InputError(f"{file.name}: broken JSON: nested too deeply.") from error
    except ValueError as error:
        raise InputError(f"{file.name}: broken JSON: {error}") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror or error}).") from error


def number(value: Any, what: str) -> float:
    """`value` as it is, when it is a finite number that a pixel coordinate can be.

    Raises:
        ValueError: it is not; the message says what and the value.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{what} is {_show(value)}, not a number")
    if not math.isfinite(value) or abs(value) > MAX_COORDINATE:
        raise ValueError(f"{what} is {_show(value)}, not a pixel coordinate")
    return value


def _check_text(header: dict[str, Any], file: Path) -> None:
    try:
        json.dumps(header, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise InputError(
            f"{file.name}: NaN, infinity or broken text beside images and annotations."
        ) from error


def _categories(given: list[Any], file: Path) -> dict[int, dict[str, Any]]:
    """The categories by id; at least one has keypoints."""
    found: dict[int, dict[str, Any]] = {}
    for record in given:
        if not isinstance(record, dict) or not _is_id(record.get("id")):
            raise InputError(f"{file.name}: category {_show(record)} has no whole number as id.")
        if record["id"] in found:
            raise InputError(f"{file.name}: category id {record['id']} is there twice.")
        found[record["id"]] = record
    if not any(record.get("keypoints") for record in found.values()):
        names = ", ".join(_show(record.get("name")) for record in found.values()) or "none at all"
        raise InputError(
            f"{file.name}: no category has keypoints (categories: {names}).\n"
            "Give the category of people a list 'keypoints' of names."
        )
    return found


def _skeleton(
    categories: dict[int, dict[str, Any]], project: Skeleton | None, file: Path
) -> Skeleton:
    """The one skeleton of all categories that have keypoints, in agreement with the project's."""
    read = [
        skeletons.from_dict(record, f"{file.name}: category {record['id']}")
        for record in categories.values()
        if record.get("keypoints")
    ]
    for other in read[1:]:
        _same_names(read[0].keypoints, other.keypoints, f"{file.name}: its first category")
    if project is not None:
        _same_names(project.keypoints, read[0].keypoints, f"{file.name}: this project")
        return project
    return read[0]


def _same_names(wanted: tuple[str, ...], got: tuple[str, ...], where: str) -> None:
    if wanted == got:
        return
    missing = [name for name in wanted if name not in got]
    extra = [name for name in got if name not in wanted]
    parts = [f"missing here: {', '.join(missing)}"] if missing else []
    parts += [f"only here: {', '.join(extra)}"] if extra else []
    if not parts:
        place = next(i for i, (a, b) in enumerate(zip(wanted, got, strict=True)) if a != b)
        parts = [f"another order: number {place + 1} is {got[place]}, not {wanted[place]}"]
    raise InputError(
        f"{where} has {len(wanted)} keypoints, and this category {len(got)}; they differ ({'; '.join(parts)}).\n"
        "A project has one skeleton: import this file into another project."
    )


def _images(given: list[Any], found: CocoFile) -> dict[int, tuple[int, int] | None]:
    """Check the images; returns (width, height) by id, None for an image that was left out."""
    sizes: dict[int, tuple[int, int] | None] = {}

    def take(record: Any) -> None:
        image = _image(record)
        if image.coco_id in sizes:
            raise _Fault("the id is there twice")
        sizes[image.coco_id] = (image.width, image.height)
        found.images.append(image)

    for record in _checked(given, "image", take, found):
        if isinstance(record, dict) and _is_id(record.get("id")):
            sizes.setdefault(record["id"], None)
    return sizes


def _checked(
    given: list[Any], what: str, take: Callable[[Any], None], found: CocoFile
) -> Iterator[Any]:
    """Take every record; a fault is noted under the record's id and the record given back."""
    for place, record in enumerate(given):
        try:
            if not isinstance(record, dict):
                raise _Fault(f"is {_show(record)}, not an object")
            take(record)
        except (_Fault, ValueError) as error:
            known = isinstance(record, dict) and "id" in record
            where = f"{what} {_show(record['id'])}" if known else f"{what} number {place + 1}"
            found.faults.append(f"{where}: {error}")
            yield record


def _image(record: dict[str, Any]) -> CocoImage:
    _require(record, ("id", "file_name", "width", "height"))
    name = record["file_name"]
    if not isinstance(name, str) or not name:
        raise _Fault(f"file_name is {_show(name)}, not a name")
    if media.leads_out(name):
        raise _Fault(f"file_name {_show(name)} leads out of the image folder")
    for key in ("width", "height"):
        if type(record[key]) is not int or not 0 < record[key] <= media.MAX_SIDE:
            raise _Fault(f"{key} is {_show(record[key])}, not 1 to {media.MAX_SIDE}")
    _storable(record)
    return CocoImage(record["id"], name, record["width"], record["height"], record)


def _annotations(
    given: list[Any],
    found: CocoFile,
    *,
    categories: dict[int, dict[str, Any]],
    sizes: dict[int, tuple[int, int] | None],
) -> None:
    seen: set[int] = set()
    count = {"other": 0, "outside": 0, "miscounted": 0}

    def take(record: dict[str, Any]) -> None:
        _require(record, ("id", "image_id", "category_id"))
        if record["id"] in seen:
            raise _Fault("the id is there twice")
        category = categories.get(record["category_id"]) if _is_id(record["category_id"]) else None
        if category is None:
            raise _Fault(f"category {_show(record['category_id'])} is unknown")
        if not _is_id(record["image_id"]) or record["image_id"] not in sizes:
            raise _Fault(f"image {_show(record['image_id'])} is unknown")
        seen.add(record["id"])
        size = sizes[record["image_id"]]
        if size is None:
            found.dragged.append(drag(record["id"], record["image_id"]))
            return
        if not category.get("keypoints"):
            count["other"] += 1
            return
        annotation, outside = _person(record, found.skeleton.keypoints, size)
        count["outside"] += outside
        stated = record.get("num_keypoints")
        actual = sum(v > 0 for v in annotation.keypoints[2::3])
        count["miscounted"] += stated is not None and stated != actual
        found.annotations.append(annotation)

    for _ in _checked(given, "annotation", take, found):
        pass
    texts = {
        "other": "annotations of categories without keypoints were left out",
        "outside": f"keypoints lie up to {OUTSIDE_PX:g} px outside their image; they are kept exactly",
        "miscounted": "annotations have a num_keypoints other than their number of v > 0; it is kept",
    }
    found.notes += [f"{count[key]:,} {text}" for key, text in texts.items() if count[key]]


def _person(
    record: dict[str, Any], names: tuple[str, ...], size_wh: tuple[int, int]
) -> tuple[CocoAnnotation, int]:
    """Check one person; also returns how many labeled keypoints lie a little outside the image."""
    _require(record, ("keypoints", "bbox"))
    outside = _keypoints(record["keypoints"], names, size_wh)
    box = _box(record["bbox"], size_wh)
    area = record.get("area")
    if area is not None and (isinstance(area, bool) or not isinstance(area, (int, float))):
        raise _Fault(f"area is {_show(area)}, not a number")
    if area is not None and not (math.isfinite(area) and 0 <= area <= MAX_COORDINATE**2):
        raise _Fault(f"area is {_show(area)}")
    crowd = record.get("iscrowd", 0)
    if crowd not in (0, 1):
        raise _Fault(f"iscrowd is {_show(crowd)}, not 0 or 1")
    stated = record.get("num_keypoints")
    if stated is not None and (type(stated) is not int or not 0 <= stated <= len(names)):
        raise _Fault(f"num_keypoints is {_show(stated)}")
    _storable(record)
    annotation = CocoAnnotation(
        coco_id=record["id"],
        image_id=record["image_id"],
        category_id=record["category_id"],
        box_xywh=box,
        keypoints=record["keypoints"],
        area=None if area is None else float(area),
        iscrowd=bool(crowd),
        raw=record,
    )
    return annotation, outside


def _keypoints(given: Any, names: tuple[str, ...], size_wh: tuple[int, int]) -> int:
    if not isinstance(given, list) or len(given) != 3 * len(names):
        length = f"{len(given)} numbers" if isinstance(given, list) else _show(given)
        raise _Fault(f"keypoints has {length}, not {3 * len(names)} (x, y, v of {len(names)})")
    width, height = size_wh
    outside = 0
    for k, name in enumerate(names):
        x, y, v = given[3 * k : 3 * k + 3]
        number(x, f"x of {name}")
        number(y, f"y of {name}")
        if isinstance(v, bool) or v not in (0, 1, 2):
            raise _Fault(f"v of {name} is {_show(v)}, not 0, 1 or 2")
        excess = max(-x, x - width, -y, y - height)
        if v > 0 and excess > OUTSIDE_PX:
            raise _Fault(f"{name} at ({x:g}, {y:g}) is outside the {width} x {height} image")
        outside += v > 0 and excess > 0
    return outside


def _box(given: Any, size_wh: tuple[int, int]) -> tuple[float, float, float, float]:
    if not isinstance(given, list) or len(given) != 4:
        raise _Fault(f"bbox is {_show(given)}, not four numbers x, y, width, height")
    x, y, w, h = (float(number(value, "a number of bbox")) for value in given)
    if w <= 0 or h <= 0:
        raise _Fault(f"bbox {given} has no area")
    if x + w <= 0 or y + h <= 0 or x >= size_wh[0] or y >= size_wh[1]:
        raise _Fault(f"bbox {given} is outside the {size_wh[0]} x {size_wh[1]} image")
    return x, y, w, h


def _require(record: dict[str, Any], keys: tuple[str, ...]) -> None:
    missing = [key for key in keys if key not in record]
    if missing:
        raise _Fault(f"has no {', '.join(missing)}")
    if "id" in keys and not _is_id(record["id"]):
        raise _Fault(f"the id is {_show(record['id'])}, not a whole number")


def _storable(record: dict[str, Any]) -> None:
    """Refuse NaN, infinities and broken text anywhere else in a record: JSON has no place for them."""
    try:
        json.dumps(record, allow_nan=False, ensure_ascii=False).encode()
    except ValueError as error:
        raise _Fault("has NaN, infinity or broken text in one of its fields") from error


def _is_id(value: Any) -> bool:
    return type(value) is int and abs(value) < 2**63


def _show(value: Any) -> str:
    text = repr(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."
