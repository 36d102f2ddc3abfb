"""A COCO file with images that came in before: who is the same, who changed, and what was said of them here since.

Images are known by their content. A person is who is there with the same box and labels, whatever the numbers in the
file, or else who has the same number or lies near. A changed entry becomes further rows of box and labels, unless
somebody has edited or checked the person here: no file overwrites that. Who is gone from the file stays.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from posestudio.store import marks
from posestudio.store.coco_read import CocoAnnotation, CocoImage
from posestudio.store.database import Cursor, fetch

LABEL_KEYS = ("keypoints", "num_keypoints")
"""Fields of an annotation that are not stored for people whose labels are left out."""

NUMBERS = ("id", "image_id", "category_id")
"""Fields that keep what the first file gave: others, and the header, refer to them."""

SAME_SHARE = 0.5
"""A file is a later state of an earlier one where at least this share of people is the same. Ours."""

NEAR_OVERLAP = 0.5
"""Intersection over union from which a box of a later state is that of a person with another number. Ours."""

Given = Mapping[int, Sequence[CocoAnnotation]]
"""The people of a file by the id of their image in it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person whom an earlier file brought. raw: the entry then. edited: somebody changed or checked it here."""

    instance_id: int
    coco_id: int
    raw: dict[str, Any]
    edited: bool

    @property
    def bare(self) -> bool:
        """The labels were left out."""
        return "keypoints" not in self.raw

    def equals(self, one: CocoAnnotation) -> bool:
        """Box and labels are those of the entry then; numbers do not count."""
        same = list(one.box_xywh) == self.raw["bbox"]
        return same and (self.bare or one.keypoints == self.raw["keypoints"])


@dataclass(frozen=True, slots=True)
class Entry:
    """What an earlier file said of an image."""

    image_id: int
    source_id: int
    coco_id: int
    raw: dict[str, Any]
    people: list[Known]


@dataclass(frozen=True, slots=True)
class Before:
    """An image that an earlier state of the file brought: its entry then, and who of its people is who."""

    entry: Entry
    pairs: list[tuple[Known, CocoAnnotation]]
    new: list[CocoAnnotation]
    gone: int


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


def find(cursor: Cursor, images: Mapping[int, int], given: Given) -> dict[int, Before]:
    """In a job: what earlier files said of a file's images, by the ids of these in the file.

    A file that names the same image but none of the same people is another file, not a later state of the earlier one.

    Args:
        cursor: of the running job.
        images: ids in the file and in the store, of images that are there by content.
        given: the file's people.
    """
    entries = _entries(cursor, images.values())
    found = _match(images, given, entries, frozenset())
    later = _later_states(found)
    return _match(images, given, entries, later) if later else found


def _entries(cursor: Cursor, image_ids: Collection[int]) -> dict[int, list[Entry]]:
    """What files said of these images: image_id -> entries, the oldest first."""
    rows = fetch(
        cursor,
        """SELECT image_id, source_id, coco_id, extra FROM image_sources
        WHERE coco_id IS NOT NULL AND image_id IN (SELECT unnest(?::BIGINT[])) ORDER BY source_id, position""",
        [list(image_ids)],
    )
    known = _people(cursor, image_ids)
    found: dict[int, list[Entry]] = defaultdict(list)
    for row in rows:
        people = known.get((row["source_id"], row["coco_id"]), [])
        raw = json.loads(row["extra"])
        entry = Entry(row["image_id"], row["source_id"], row["coco_id"], raw, people)
        found[row["image_id"]].append(entry)
    return found


def _people(cursor: Cursor, image_ids: Collection[int]) -> dict[tuple[int, int], list[Known]]:
    """People whom files brought, by source and the image's id there."""
    rows = fetch(
        cursor,
        """SELECT instance_id, source_id, coco_id, extra,
            instance_id IN (SELECT instance_id FROM label_journal WHERE origin <> 'import')
            OR instance_id IN (SELECT instance_id FROM box_journal WHERE hidden OR source <> 'file') AS edited
        FROM instances WHERE coco_id IS NOT NULL AND extra IS NOT NULL
        AND image_id IN (SELECT unnest(?::BIGINT[])) ORDER BY instance_id""",
        [list(image_ids)],
    )
    said = marks.standing_rows(cursor) if rows else []
    checked = {row["instance_id"] for row in said if row["kind"] in ("seen", "cannot_tell")}
    found: dict[tuple[int, int], list[Known]] = defaultdict(list)
    for row in rows:
        raw, instance_id = json.loads(row["extra"]), row["instance_id"]
        one = Known(instance_id, row["coco_id"], raw, row["edited"] or instance_id in checked)
        found[row["source_id"], raw["image_id"]].append(one)
    return found


def _match(
    images: Mapping[int, int],
    given: Given,
    entries: Mapping[int, Sequence[Entry]],
    later: Collection[int],
) -> dict[int, Before]:
    """For each image of the file the entry that fits best; of the sources `later` this file is a later state."""
    found: dict[int, Before] = {}
    taken: set[tuple[int, int]] = set()
    for coco_id, image_id in images.items():
        ranked = []
        for entry in entries.get(image_id, []):
            if (entry.source_id, entry.coco_id) not in taken:
                before = _before(
                    entry, coco_id, given.get(coco_id, []), near=entry.source_id in later
                )
                empty = not entry.people or not given.get(coco_id)
                named = entry.coco_id == coco_id
                if before.pairs or empty and (named or entry.source_id in later):
                    ranked.append((len(before.pairs), named, entry.source_id, before))
        if ranked:
            before = max(ranked, key=lambda one: one[:3])[3]
            found[coco_id] = before
            taken.add((before.entry.source_id, before.entry.coco_id))
    return found


def _before(entry: Entry, coco_id: int, given: Sequence[CocoAnnotation], near: bool) -> Before:
    """Who of an image is who: the most certain pairs first, each person once."""
    ranked = sorted(_likely(entry, coco_id, given, near), reverse=True)
    persons: dict[int, int] = {}
    for *_, i, j in ranked:
        if -i not in persons and -j not in persons.values():
            persons[-i] = -j
    return Before(
        entry,
        [(entry.people[i], given[j]) for i, j in sorted(persons.items())],
        [one for j, one in enumerate(given) if j not in persons.values()],
        len(entry.people) - len(persons),
    )


def _likely(
    entry: Entry, coco_id: int, given: Sequence[CocoAnnotation], near: bool
) -> Iterator[tuple[bool, bool, bool, float, int, int]]:
    """Pairs that may be one person: is equal, is near, has the same number, overlap, and the indices, negative."""
    for i, known in enumerate(entry.people):
        for j, one in enumerate(given):
            equal = known.equals(one)
            overlap = _overlap(known.raw["bbox"], one.box_xywh)
            close = near and overlap >= NEAR_OVERLAP
            named = entry.coco_id == coco_id and known.coco_id == one.coco_id
            named = named and (near or overlap > 0)
            if equal or named or close:
                yield equal, close, named, overlap, -i, -j


def _later_states(found: Mapping[int, Before]) -> frozenset[int]:
    """Sources most of whose people, in the images that they share with the file, are in the file as they were."""
    whole: Counter[int] = Counter()
    same: Counter[int] = Counter()
    for before in found.values():
        source_id = before.entry.source_id
        whole[source_id] += len(before.entry.people)
        same[source_id] += sum(known.equals(one) for known, one in before.pairs)
    return frozenset(one for one in whole if same[one] and same[one] >= SAME_SHARE * whole[one])


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    x, y, w, h = first
    other_x, other_y, other_w, other_h = second
    across = min(x + w, other_x + other_w) - max(x, other_x)
    down = min(y + h, other_y + other_h) - max(y, other_y)
    both = max(across, 0.0) * max(down, 0.0)
    return both / (w * h + other_w * other_h - both)


def compare(before: Mapping[int, Before], labeled: Collection[int]) -> Changes:
    """Sort out who changed.

    Args:
        before: what earlier files said, see `find`.
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
            if raw == known.raw:
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
