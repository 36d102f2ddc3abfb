"""A COCO file with images that came in before: what it changes, and what was said here since.

A changed entry becomes further rows of box and labels, unless somebody has edited or checked the person here: no file
overwrites that. Other fields of an entry follow the file also then, where box and labels do not contradict. Who is gone
from the file stays. Who is who is found by `coco_known`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posestudio.store import labels, people
from posestudio.store.coco_known import Before, Entry, Found, Known, said
from posestudio.store.coco_read import CocoAnnotation, CocoImage
from posestudio.store.database import Cursor, fetch
from posestudio.store.labels import NewLabel
from posestudio.store.people import AREA_SHARE

LABEL_KEYS = ("keypoints", "num_keypoints")
"""Fields of an annotation that are not stored for people whose labels are left out."""

PLACE_KEYS = ("bbox", *LABEL_KEYS)
"""Fields of an annotation that say what people edit here."""

NUMBERS = ("id", "image_id", "category_id")
"""Fields that keep what the first file gave: others, and the header, refer to them."""


@dataclass(frozen=True, slots=True)
class Update:
    """A person to bring up to date.

    raw: the entry to keep. labeled: the labels follow the entry too. fields_only: neither box nor labels do.
    """

    instance_id: int
    annotation: CocoAnnotation
    raw: dict[str, Any]
    labeled: bool
    fields_only: bool


@dataclass(slots=True)
class Changes:
    """How a file differs from what came in before.

    same: images of which it says nothing new. touched: images with somebody new or changed. changed: who changed.
    images: whose own entries changed, with the file name and entry to keep. edited, gone, bare, renumbered: how many
    changed but were edited or checked here, are not in the file any more, came without labels, and have another number
    now. here: how many further people are there as the file says. other: images that came in with another file.
    """

    same: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)
    changed: list[Update] = field(default_factory=list)
    images: list[tuple[Entry, str, dict[str, Any]]] = field(default_factory=list)
    edited: int = 0
    gone: int = 0
    bare: int = 0
    renumbered: int = 0
    here: int = 0
    other: int = 0

    def notes(self) -> list[str]:
        """A line for each kind of difference that there is."""
        fields_only = sum(one.fields_only for one in self.changed)
        lines = (
            (
                len(self.same),
                "images were already there with the same people; nothing changed for them",
            ),
            (
                len(self.images),
                "images have another name or other fields in the file than before; these follow it",
            ),
            (
                self.other,
                "images came in before with a file of which this is not a later state; it changes nobody there",
            ),
            (self.here, "people were already there just as the file says, or with the same box"),
            (self.bare, "of these people came in without labels before and still have none"),
            (
                len(self.changed) - fields_only,
                "people changed in the file and follow it: nobody had edited them here",
            ),
            (
                fields_only,
                "people who were edited or checked here follow the file in its other fields; box and labels stay",
            ),
            (
                self.edited,
                "people changed in the file but were edited or checked here; they stay as they are here",
            ),
            (self.gone, "people of before are not in the file any more; they stay"),
            (
                self.renumbered,
                "people have another id in the file than before; they keep the first",
            ),
        )
        return [f"{count:,} {text}" for count, text in lines if count]


def compare(found: Found, images: Mapping[int, CocoImage], labeled: Collection[int]) -> Changes:
    """Sort out who changed.

    Args:
        found: what earlier files said, see `coco_known.find`.
        images: those of the file by their ids there.
        labeled: the ids of those whose labels are taken.
    """
    changes = Changes(here=len(found.here), other=found.other)
    changes.bare = sum(one.labeled and one.image_id in labeled for one in found.bare)
    for coco_id, was in found.before.items():
        differing = 0
        for known, one in was.pairs:
            follow = coco_id in labeled and not known.bare
            bare = known.bare and not known.now[1]
            changes.bare += coco_id in labeled and bare and one.labeled
            changes.renumbered += known.coco_id != one.coco_id
            raw = _kept(one, known, follow)
            if known.edited and _contradicts(known, one, raw):
                changes.edited += 1
                differing += 1
                continue
            if known.edited:
                raw = _with(raw, known.raw, PLACE_KEYS)
            if raw != known.raw:
                differing += 1
                update = Update(known.instance_id, one, raw, follow, fields_only=known.edited)
                changes.changed.append(update)
                changes.touched.add(coco_id)
        changes.gone += was.gone
        if was.new:
            changes.touched.add(coco_id)
        entry = {**images[coco_id].raw, "id": was.entry.coco_id}
        if entry != was.entry.raw:
            changes.images.append((was.entry, images[coco_id].file_name, entry))
        elif not (differing or was.gone or was.new):
            changes.same.add(coco_id)
    return changes


def _contradicts(known: Known, one: CocoAnnotation, raw: Mapping[str, Any]) -> bool:
    """Whether box or labels, where they are taken, are neither those of the entry before nor as they are here now."""
    same = all(raw.get(key) == known.raw.get(key) for key in ("bbox", "keypoints"))
    return not same and known.now != said(one)


def _kept(one: CocoAnnotation, known: Known, with_labels: bool) -> dict[str, Any]:
    """An entry of a known person as it is stored: the numbers of before, and the labels too unless they follow.

    What an entry lacked before and the export filled in does not count.
    """
    boxes = one.box_xywh, known.raw["bbox"], known.now[0]
    fills = {
        "area": [AREA_SHARE * w * h for _, _, w, h in boxes],
        "iscrowd": [0],
        "num_keypoints": [sum(v > 0 for v in one.keypoints[2::3])],
    }
    filled = [
        key
        for key, values in fills.items()
        if known.raw.get(key) is None and one.raw.get(key) in values
    ]
    return _with(one.raw, known.raw, (*NUMBERS, *filled, *(() if with_labels else LABEL_KEYS)))


def _with(
    raw: Mapping[str, Any], before: Mapping[str, Any], keys: Collection[str]
) -> dict[str, Any]:
    """An entry with these fields as they were before, or without them where they were not there."""
    found = {**raw, **{key: before[key] for key in keys if key in before}}
    return {key: found[key] for key in found if key not in keys or key in before}


def entry_of(raw: dict[str, Any], with_labels: bool) -> dict[str, Any]:
    """An annotation as it is stored, with its labels or without."""
    return raw if with_labels else {key: raw[key] for key in raw if key not in LABEL_KEYS}


def update_images(cursor: Cursor, changed: Sequence[tuple[Entry, str, dict[str, Any]]]) -> None:
    """In a job: keep what the file says of images now; their ids stay those of the earlier file."""
    rows = [(entry.source_id, entry.coco_id, name, json.dumps(raw)) for entry, name, raw in changed]
    if rows:
        cursor.execute(
            """UPDATE image_sources SET file_name = new.file_name, extra = new.extra
            FROM (SELECT unnest(?::BIGINT[]) AS source_id, unnest(?::BIGINT[]) AS coco_id,
                unnest(?::VARCHAR[]) AS file_name, unnest(?::JSON[]) AS extra) new
            WHERE image_sources.source_id = new.source_id AND image_sources.coco_id = new.coco_id""",
            [list(column) for column in zip(*rows, strict=True)],
        )


def update_people(cursor: Cursor, updates: Sequence[Update], who: str) -> int:
    """In a job: bring people to what the file says now; returns how many keypoints changed."""
    ids = [one.instance_id for one in updates]
    areas = [one.raw.get("area") for one in updates]
    cursor.execute(
        """UPDATE instances SET iscrowd = new.iscrowd, area = new.area,
            area_source = CASE WHEN new.area IS NOT NULL THEN 'given' END, extra = new.extra
        FROM (SELECT unnest(?::BIGINT[]) AS instance_id, unnest(?::BOOLEAN[]) AS iscrowd,
            unnest(?::DOUBLE[]) AS area, unnest(?::JSON[]) AS extra) new
        WHERE instances.instance_id = new.instance_id""",
        [
            ids,
            [one.annotation.iscrowd for one in updates],
            [None if area is None else float(area) for area in areas],
            [json.dumps(one.raw) for one in updates],
        ],
    )
    moving = [one for one in updates if not one.fields_only]
    people.follow(cursor, {one.instance_id: one.annotation.box_xywh for one in moving}, who)
    present = labels.placed(cursor, ids)
    rows = []
    for one in moving:
        if one.labeled:
            wanted = {row.keypoint: row for row in labels_of(one.annotation, one.instance_id)}
            before = present.get(one.instance_id, {})
            rows += [row for k, row in wanted.items() if before.get(k) != (row.x, row.y, row.v)]
            rows += [NewLabel(one.instance_id, k, "open") for k in before if k not in wanted]
    return labels.import_many(cursor, rows, who)


def labels_of(one: CocoAnnotation, instance_id: int) -> list[NewLabel]:
    """A row for each keypoint with v > 0; those with v = 0 are open."""
    numbers = one.keypoints
    return [
        NewLabel(instance_id, i // 3, "placed", float(numbers[i]), float(numbers[i + 1]), int(v))
        for i, v in zip(range(0, len(numbers), 3), numbers[2::3], strict=True)
        if v > 0
    ]


class Numbers:
    """Numbers for people who join files that came in before: their own where they fit there, else the next."""

    def __init__(self, cursor: Cursor, before: Mapping[int, Before]) -> None:
        self.before = before
        sources = list({one.entry.source_id for one in before.values() if one.new})
        rows = fetch(
            cursor,
            """SELECT source_id, any_value(header) AS header, list(coco_id) AS used
            FROM sources LEFT JOIN instances USING (source_id)
            WHERE source_id IN (SELECT unnest(?::BIGINT[])) GROUP BY source_id""",
            [sources],
        )
        self._used = {row["source_id"]: set(row["used"]) - {None} for row in rows}
        self._categories = {
            row["source_id"]: [
                one["id"] for one in json.loads(row["header"])["categories"] if one.get("keypoints")
            ]
            for row in rows
        }

    def of(self, one: CocoAnnotation) -> dict[str, Any]:
        """The entry of a new person, with the numbers of the file that it joins."""
        if one.image_id not in self.before:
            return one.raw
        entry = self.before[one.image_id].entry
        used, categories = self._used[entry.source_id], self._categories[entry.source_id]
        number = max(used) + 1 if one.coco_id in used else one.coco_id
        used.add(number)
        category = one.category_id if one.category_id in categories else categories[0]
        return {**one.raw, "id": number, "image_id": entry.coco_id, "category_id": category}
