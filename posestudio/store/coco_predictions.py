"""COCO results of any other model as starting points: matched to the project's people, kept as predictions.

They are never labels; a person accepts them one by one. A result is matched within its image by the overlap of boxes,
so a model that found people of its own fits too; in an image with one person and one result, these belong together.
"""

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from posestudio.errors import InputError
from posestudio.store import coco_write, predictions
from posestudio.store.coco_read import load_json, number, refusal
from posestudio.store.database import Row, Store, fetch

STUDENT = "external"
_IDS = """
WITH known AS (
    SELECT source_id, coco_id, image_id FROM image_sources WHERE coco_id IS NOT NULL
    UNION ALL SELECT NULL, image_id, image_id FROM images
        WHERE image_id NOT IN (SELECT image_id FROM image_sources WHERE coco_id IS NOT NULL))
SELECT known.source_id, known.coco_id AS coco_image, known.image_id, p.instance_id, b.box_revision, b.x, b.y, b.w, b.h
FROM known LEFT JOIN (
    instances p JOIN boxes_now b ON b.instance_id = p.instance_id AND NOT b.hidden AND NOT p.iscrowd)
    ON p.image_id = known.image_id
ORDER BY p.instance_id
"""
LEAST_OVERLAP = 0.2
"""Least intersection over union of a person's box and a result's. Ours; keypoints span less than a person's box."""


@dataclass(frozen=True, slots=True)
class _Result:
    """One checked result. points: (K, 3) x, y, score. box_xyxy: of its bbox, or around its keypoints."""

    image_id: int
    points: np.ndarray
    box_xyxy: np.ndarray
    score: float


@dataclass(frozen=True, slots=True)
class _Known:
    """Whom results may be of. people: by the id of their image. shared: ids of two images, with their sources."""

    people: dict[int, list[Row]]
    shared: dict[int, list[str]]


def import_predictions(
    store: Store, file: Path, name: str, *, source: str | None = None
) -> dict[str, Any]:
    """Keep the results of another model as predictions.

    Args:
        store: the open project; it has its people already.
        file: COCO keypoint results: a list of image_id (as in the imported COCO file, or for other photos as
            `export_coco` writes it), keypoints (x, y, score of every keypoint of the skeleton), score, and bbox if the
            model has one.
        name: what to call the model; a second import under this name is newer than the first.
        source: whose image ids these are, as `export_coco` calls its file; needed only for ids that two sources share.

    Returns:
        model, results, people (matched), unmatched (results without a person), waiting (people without a result).

    Raises:
        InputError: the file has faults (their number and the first three), or none of it fits. Nothing was kept.
    """
    name = name.strip()
    if not name or len(name) > 100 or not name.isprintable():
        raise InputError(f"The name of a model is 1 to 100 visible characters, got {name[:100]!r}.")
    skeleton = store.require_skeleton()
    known = _known(store, source)
    results = _results(file, skeleton.keypoints, known)
    matched = _match(results, known.people)
    if not matched:
        raise InputError(
            f"{file.name}: none of its {len(results):,} results overlaps a person of this project.\n"
            "Import the people first, or give their boxes."
        )
    points = np.stack([result.points for _, result in matched])
    kept = predictions.save(
        store,
        model=name,
        student=STUDENT,
        instance_id=[person["instance_id"] for person, _ in matched],
        box_revision=[person["box_revision"] for person, _ in matched],
        xy_image=points[..., :2],
        score=points[..., 2],
    )
    everybody = {row["instance_id"] for rows in known.people.values() for row in rows}
    return {
        "model": name,
        "results": len(results),
        "people": len(kept),
        "unmatched": len(results) - len(matched),
        "waiting": len(everybody) - len(matched),
    }


def _known(store: Store, source: str | None) -> _Known:
    """People by the ids that `export_coco` writes, of one source or of all."""
    with store.database.reading() as cursor:
        names = coco_write.source_names(cursor)
        rows = fetch(cursor, _IDS)
    if source is not None and source not in names.values():
        raise InputError(
            f"There is no source {source!r}. There are {', '.join(sorted(names.values()))}."
        )
    images: dict[int, dict[int, str]] = defaultdict(dict)
    people: dict[int, dict[int, Row]] = defaultdict(dict)
    for row in rows:
        name = names[row["source_id"]]
        if source in (None, name):
            images[row["coco_image"]].setdefault(row["image_id"], name)
            if row["instance_id"] is not None:
                people[row["coco_image"]][row["instance_id"]] = row
    return _Known(
        {one: list(people[one].values()) for one, found in images.items() if len(found) == 1},
        {one: sorted(found.values()) for one, found in images.items() if len(found) > 1},
    )


def _results(file: Path, names: Sequence[str], known: _Known) -> list[_Result]:
    """What a file of results holds, checked."""
    content = load_json(file)
    if not isinstance(content, list) or not content:
        raise InputError(
            f"{file.name}: not COCO results: a list of objects with image_id, keypoints and score is needed.\n"
            "An annotation file is taken by: posestudio import coco FILE --images DIR"
        )
    results: list[_Result] = []
    faults: list[str] = []
    for place, record in enumerate(content):
        try:
            results.append(_result(record, names, known))
        except ValueError as error:
            faults.append(f"result number {place + 1}: {error}")
    if faults:
        raise refusal(file.name, faults, "correct the file and try again")
    return results


def _result(record: Any, names: Sequence[str], known: _Known) -> _Result:
    if not isinstance(record, dict):
        raise ValueError("is not an object")
    missing = [key for key in ("image_id", "keypoints", "score") if key not in record]
    if missing:
        raise ValueError(f"has no {', '.join(missing)}")
    image_id = record["image_id"]
    if type(image_id) is not int or image_id not in known.people.keys() | known.shared.keys():
        raise ValueError(f"image {image_id!r} is unknown")
    if image_id in known.shared:
        raise ValueError(
            f"image {image_id} is the id of two images; say whose ids these are: --source "
            + " or ".join(known.shared[image_id])
        )
    numbers = record["keypoints"]
    if not isinstance(numbers, list) or len(numbers) != 3 * len(names):
        length = len(numbers) if isinstance(numbers, list) else "no list of"
        raise ValueError(f"keypoints has {length} numbers, not {3 * len(names)}")
    for i, value in enumerate(numbers):
        number(value, f"{('x', 'y', 'score')[i % 3]} of {names[i // 3]}")
    score = number(record["score"], "score")
    points = np.asarray(numbers, np.float64).reshape(-1, 3)
    points[:, 2] = points[:, 2].clip(0, 1)
    return _Result(image_id, points, _box(record.get("bbox"), points), float(score))


def _box(given: Any, points: np.ndarray) -> np.ndarray:
    """Corners of the result's box, or of the box around its keypoints."""
    if given is None:
        return np.concatenate([points[:, :2].min(0), points[:, :2].max(0)])
    if not isinstance(given, list) or len(given) != 4:
        raise ValueError(f"bbox is {given!r}, not four numbers")
    x, y, w, h = (float(number(value, "a number of bbox")) for value in given)
    return np.array([x, y, x + w, y + h])


def _match(
    results: Sequence[_Result], people: Mapping[int, list[Row]]
) -> list[tuple[Row, _Result]]:
    """Pairs of person and result: within an image the largest overlap first, each used once."""
    by_image: dict[int, list[_Result]] = defaultdict(list)
    for result in results:
        by_image[result.image_id].append(result)
    matched: dict[int, tuple[Row, _Result]] = {}
    for image_id, found in by_image.items():
        known = people[image_id]
        if len(known) == 1 and len(found) == 1:
            pairs = [(known[0], found[0])]
        else:
            pairs = _greedy(known, found)
        for person, result in pairs:
            matched.setdefault(person["instance_id"], (person, result))
    return [matched[key] for key in sorted(matched)]


def _greedy(known: Sequence[Row], found: Sequence[_Result]) -> list[tuple[Row, _Result]]:
    ranked = sorted(
        (
            (-_overlap(person, result), -result.score, i, j)
            for i, person in enumerate(known)
            for j, result in enumerate(found)
        )
    )
    pairs, persons, taken = [], set(), set()
    for overlap, _, i, j in ranked:
        if -overlap >= LEAST_OVERLAP and i not in persons and j not in taken:
            persons.add(i)
            taken.add(j)
            pairs.append((known[i], found[j]))
    return pairs


def _overlap(person: Row, result: _Result) -> float:
    """Intersection over union of the two boxes, 0 to 1."""
    x, y, w, h = person["x"], person["y"], person["w"], person["h"]
    left, top, right, bottom = result.box_xyxy
    across = min(x + w, right) - max(x, left)
    down = min(y + h, bottom) - max(y, top)
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    union = w * h + (right - left) * (bottom - top) - both
    return float(both / union) if math.isfinite(union) and union > 0 else 0.0
