"""A COCO file with images that came in before: what it changes, and what was said here since.

A changed entry becomes further rows of box and labels, unless somebody has edited or checked the person here: no file
overwrites that. Who is gone from the file stays. Who is who is found by `coco_known`.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posestudio.store.coco_known import Before, said
from posestudio.store.coco_read import CocoAnnotation, CocoImage
from posestudio.store.database import Cursor, fetch

LABEL_KEYS = ("keypoints", "num_keypoints")
"""Fields of an annotation that are not stored for people whose labels are left out."""

NUMBERS = ("id", "image_id", "category_id")
"""Fields that keep what the first file gave: others, and the header, refer to them."""


@dataclass(frozen=True, slots=True)
class Update:
    """A person to bring up to date. raw: the entry to keep. labeled: the labels follow the entry too."""

    instance_id: int
    annotation: CocoAnnotation
    raw: dict[str, Any]
    labeled: bool


@dataclass(slots=True)
class Changes:
    """How a file differs from what came in before.

    same: images of which it says nothing new. touched: images with somebody new or changed. changed: who changed.
    edited, gone, bare, renumbered: how many changed but were edited or checked here, are not in the file any more,
    came without labels, and have another number now.
    """

    same: set[int] = field(default_factory=set)
    touched: set[int] = field(default_factory=set)
    changed: list[Update] = field(default_factory=list)
    edited: int = 0
    gone: int = 0
    bare: int = 0
    renumbered: int = 0

    def notes(self) -> list[str]:
        """A line for each kind of difference that there is."""
        lines = (
            (
                len(self.same),
                "images were already there with the same people; nothing changed for them",
            ),
            (self.bare, "of these people came in without labels before and still have none"),
            (
                len(self.changed),
                "people changed in the file and follow it: nobody had edited them here",
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


def compare(before: Mapping[int, Before], labeled: Collection[int]) -> Changes:
    """Sort out who changed.

    Args:
        before: what earlier files said, see `coco_known.find`.
        labeled: the images whose labels are taken, by their ids in the file.
    """
    found = Changes()
    for coco_id, was in before.items():
        differing = 0
        for known, one in was.pairs:
            follow = coco_id in labeled and not known.bare
            found.bare += coco_id in labeled and known.bare and one.labeled
            found.renumbered += known.coco_id != one.coco_id
            raw = _kept(one.raw, known.raw, follow)
            if raw == known.raw or known.edited and known.now == said(one):
                continue
            differing += 1
            if known.edited:
                found.edited += 1
            else:
                found.changed.append(Update(known.instance_id, one, raw, follow))
                found.touched.add(coco_id)
        found.gone += was.gone
        if was.new:
            found.touched.add(coco_id)
        if not (differing or was.gone or was.new):
            found.same.add(coco_id)
    return found


def _kept(raw: dict[str, Any], before: Mapping[str, Any], with_labels: bool) -> dict[str, Any]:
    """An entry of a known person as it is stored: the numbers of before, and the labels too unless they follow."""
    keys = NUMBERS if with_labels else (*NUMBERS, *LABEL_KEYS)
    return {**entry_of(raw, with_labels), **{key: before[key] for key in keys if key in before}}


def entry_of(raw: dict[str, Any], with_labels: bool) -> dict[str, Any]:
    """An annotation as it is stored, with its labels or without."""
    return raw if with_labels else {key: raw[key] for key in raw if key not in LABEL_KEYS}


def update_images(
    cursor: Cursor, images: Sequence[CocoImage], before: Mapping[int, Before]
) -> None:
    """In a job: keep what the file says of images now; their ids stay those of the earlier file."""
    changed = []
    for image in images:
        if image.coco_id in before:
            entry = before[image.coco_id].entry
            raw = {**image.raw, "id": entry.coco_id}
            if raw != entry.raw:
                changed.append((entry.source_id, entry.coco_id, image.file_name, json.dumps(raw)))
    if changed:
        cursor.execute(
            """UPDATE image_sources SET file_name = new.file_name, extra = new.extra
            FROM (SELECT unnest(?::BIGINT[]) AS source_id, unnest(?::BIGINT[]) AS coco_id,
                unnest(?::VARCHAR[]) AS file_name, unnest(?::JSON[]) AS extra) new
            WHERE image_sources.source_id = new.source_id AND image_sources.coco_id = new.coco_id""",
            [list(column) for column in zip(*changed, strict=True)],
        )


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
