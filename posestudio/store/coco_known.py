"""Who of a COCO file is here already.

Images are known by their content. A person is who is there with the same box and labels, whatever the numbers in the
file, or else who has the same number or lies near.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from posestudio.store import labels, marks
from posestudio.store.coco_read import CocoAnnotation
from posestudio.store.database import Cursor, fetch

SAME_SHARE = 0.5
"""A file is a later state of an earlier one where at least this share of people is the same. Ours."""

NEAR_OVERLAP = 0.5
"""Intersection over union from which a box of a later state is that of a person with another number. Ours."""

Said = tuple[list[float], dict[int, tuple[float, float, int]]]
"""A box and the placed keypoints: index -> x, y, v."""

Given = Mapping[int, Sequence[CocoAnnotation]]
"""The people of a file by the id of their image in it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person whom an earlier file brought. raw: the entry then. now: how it is. edited: changed or checked here."""

    instance_id: int
    coco_id: int
    raw: dict[str, Any]
    now: Said
    edited: bool

    @property
    def bare(self) -> bool:
        """The labels were left out."""
        return "keypoints" not in self.raw

    def equals(self, one: CocoAnnotation) -> bool:
        """Box and labels are those of the entry then, or as they are here now; numbers do not count."""
        same = list(one.box_xywh) == self.raw["bbox"]
        same = same and (self.bare or one.keypoints == self.raw["keypoints"])
        return same or self.now == said(one)


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
class Found:
    """before: images that came in before. here: ids of further people of the file who are there just as it says."""

    before: dict[int, Before]
    here: set[int]


def find(cursor: Cursor, images: Mapping[int, int], given: Given) -> Found:
    """In a job: what earlier files said of a file's images, by the ids of these in the file.

    A file that names the same image but none of the same people is another file, not a later state of the earlier one.

    Args:
        cursor: of the running job.
        images: ids in the file and in the store, of images that are there by content.
        given: the file's people.
    """
    present = _present(cursor, images.values())
    entries = _entries(cursor, images.values(), present)
    found = _match(images, given, entries, frozenset())
    later = _later_states(found)
    if later:
        found = _match(images, given, entries, later)
    return _without_who_is_here(found, images, given, present)


def said(one: CocoAnnotation) -> Said:
    """What an annotation says of a person."""
    numbers = one.keypoints
    placed = {
        k: (numbers[3 * k], numbers[3 * k + 1], int(v))
        for k, v in enumerate(numbers[2::3])
        if v > 0
    }
    return list(one.box_xywh), placed


def _present(cursor: Cursor, image_ids: Collection[int]) -> dict[int, tuple[int, Said]]:
    """Everybody in these images as they are: instance_id -> image_id, box and labels."""
    rows = cursor.execute(
        """SELECT instance_id, image_id, x, y, w, h FROM instances JOIN boxes_now USING (instance_id)
        WHERE image_id IN (SELECT unnest(?::BIGINT[])) ORDER BY instance_id""",
        [list(image_ids)],
    ).fetchall()
    placed = labels.placed(cursor, [row[0] for row in rows])
    return {one: (image_id, (box, placed.get(one, {}))) for one, image_id, *box in rows}


def _without_who_is_here(
    before: dict[int, Before],
    images: Mapping[int, int],
    given: Given,
    present: Mapping[int, tuple[int, Said]],
) -> Found:
    """Of new people, leave out whom somebody drew here and the file, such as an export, brings as they are."""
    paired = {known.instance_id for one in before.values() for known, _ in one.pairs}
    free: dict[int, list[Said]] = defaultdict(list)
    for instance_id, (image_id, now) in present.items():
        if instance_id not in paired:
            free[image_id].append(now)
    here: set[int] = set()
    for coco_id, image_id in images.items():
        new = before[coco_id].new if coco_id in before else given.get(coco_id, [])
        for one in new:
            if said(one) in free[image_id]:
                free[image_id].remove(said(one))
                here.add(one.coco_id)
    left = {
        coco_id: replace(one, new=[who for who in one.new if who.coco_id not in here])
        for coco_id, one in before.items()
    }
    return Found(left, here)


def _entries(
    cursor: Cursor, image_ids: Collection[int], present: Mapping[int, tuple[int, Said]]
) -> dict[int, list[Entry]]:
    """What files said of these images: image_id -> entries, the oldest first."""
    rows = fetch(
        cursor,
        """SELECT image_id, source_id, coco_id, extra FROM image_sources
        WHERE coco_id IS NOT NULL AND image_id IN (SELECT unnest(?::BIGINT[])) ORDER BY source_id, position""",
        [list(image_ids)],
    )
    known = _people(cursor, image_ids, present)
    found: dict[int, list[Entry]] = defaultdict(list)
    for row in rows:
        people = known.get((row["source_id"], row["coco_id"]), [])
        raw = json.loads(row["extra"])
        entry = Entry(row["image_id"], row["source_id"], row["coco_id"], raw, people)
        found[row["image_id"]].append(entry)
    return found


def _people(
    cursor: Cursor, image_ids: Collection[int], present: Mapping[int, tuple[int, Said]]
) -> dict[tuple[int, int], list[Known]]:
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
        edited = row["edited"] or instance_id in checked
        one = Known(instance_id, row["coco_id"], raw, present[instance_id][1], edited)
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
