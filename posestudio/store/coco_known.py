"""Who of a COCO file is here already.

Images are known by their content. A person is who is there with the same box and labels, whatever the numbers in the
file; in a later state of an earlier file also who lies near, or has the same number and a box that overlaps.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from posestudio.store import labels, marks
from posestudio.store.coco_read import CocoAnnotation
from posestudio.store.database import Cursor, fetch

SAME_SHARE = 0.5
"""A file is a later state of an earlier one from this share of people on, see `_later_state`. Ours."""

NEAR_OVERLAP = 0.5
"""Intersection over union from which a box of a later state is that of a person with another number. Ours."""

Said = tuple[list[float], dict[int, tuple[float, float, int]]]
"""A box and the placed keypoints: index -> x, y, v."""

Given = Mapping[int, Sequence[CocoAnnotation]]
"""The people of a file by the id of their image in it."""


@dataclass(frozen=True, slots=True)
class Known:
    """A person whom an earlier file brought.

    raw: the entry then. now: how it is. edited: changed or checked here. hidden: removed here.
    """

    instance_id: int
    coco_id: int
    raw: dict[str, Any]
    now: Said
    edited: bool
    hidden: bool

    @property
    def bare(self) -> bool:
        """The labels were left out."""
        return "keypoints" not in self.raw

    def equals(self, one: CocoAnnotation) -> bool:
        """Box and labels are those of the entry then, or as they are here now; numbers do not count."""
        same = list(one.box_xywh) == self.raw["bbox"]
        same = same and (self.bare or one.keypoints == self.raw["keypoints"])
        return same or self.now == said(one)

    def overlap(self, one: CocoAnnotation) -> float:
        """Of the annotation's box with that of the entry then, or with the box as it is here now."""
        return max(_overlap(box, one.box_xywh) for box in (self.raw["bbox"], self.now[0]))

    def follows(self, one: CocoAnnotation) -> bool:
        """Whether the annotation, which has the same number, can be this person corrected, and not somebody else."""
        overlap = self.overlap(one)
        same_labels = one.labeled and one.keypoints == self.raw.get("keypoints")
        return overlap >= NEAR_OVERLAP or same_labels and overlap > 0


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

    @property
    def first_labels(self) -> bool:
        """Nobody in the image has labels or was to have none, and now labels come in."""
        coming = [*self.new, *(one for known, one in self.pairs if not known.edited)]
        none = not any(known.bare or known.now[1] for known in self.entry.people)
        return none and any(one.labeled for one in coming)


@dataclass(frozen=True, slots=True)
class _Later:
    """How a file is a later state of a source: the share of unchanged people, and whether they have their numbers."""

    unchanged: float
    numbered: bool


@dataclass(frozen=True, slots=True)
class Found:
    """Who of a file is here.

    before: images of which the file is a later state. here: ids of further people of the file who are there just as
    it says. bare: those of them whose labels were left out. other: how many images with people came in
    before, but with files of which this is no later state.
    """

    before: dict[int, Before]
    here: set[int] = field(default_factory=set)
    bare: list[CocoAnnotation] = field(default_factory=list)
    other: int = 0


def find(cursor: Cursor, images: Mapping[int, int], given: Given) -> Found:
    """In a job: what earlier files said of a file's images, by the ids of these in the file.

    A file that is no later state of an earlier one changes nobody: its people are new, but for who is there as it says.

    Args:
        cursor: of the running job.
        images: ids in the file and in the store, of images that are there by content.
        given: the file's people.
    """
    present = _present(cursor, images.values())
    entries = _entries(cursor, images.values(), present)
    before = _match(images, given, entries, _later_states(images, given, entries))
    return _without_who_is_here(before, images, given, entries, present)


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
    entries: Mapping[int, Sequence[Entry]],
    present: Mapping[int, tuple[int, Said]],
) -> Found:
    """Of new people, leave out who is there as the file says: drawn here, as in an export, or of another file."""
    paired = {known.instance_id for one in before.values() for known, _ in one.pairs}
    known = {
        one.instance_id: one for rows in entries.values() for row in rows for one in row.people
    }
    free: dict[int, list[int]] = defaultdict(list)
    for instance_id, (image_id, _) in present.items():
        if instance_id not in paired:
            free[image_id].append(instance_id)
    found = Found({})
    for coco_id, image_id in images.items():
        for one in before[coco_id].new if coco_id in before else given.get(coco_id, []):
            for instance_id in free[image_id]:
                was, now = known.get(instance_id), present[instance_id][1]
                if now == said(one) or was is not None and was.equals(one):
                    free[image_id].remove(instance_id)
                    found.here.add(one.coco_id)
                    if was is not None and was.bare and not now[1]:
                        found.bare.append(one)
                    break
    for coco_id, one in before.items():
        new = [who for who in one.new if who.coco_id not in found.here]
        found.before[coco_id] = replace(one, new=new)
    other = sum(
        coco_id not in before and bool(given.get(coco_id)) and image_id in entries
        for coco_id, image_id in images.items()
    )
    return replace(found, other=other)


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
            instance_id IN (SELECT instance_id FROM boxes_now WHERE hidden) AS hidden,
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
        now = present[instance_id][1]
        one = Known(instance_id, row["coco_id"], raw, now, edited, row["hidden"])
        found[row["source_id"], raw["image_id"]].append(one)
    return found


def _later_states(
    images: Mapping[int, int], given: Given, entries: Mapping[int, Sequence[Entry]]
) -> dict[int, _Later]:
    """Sources of which the file is a later state."""
    in_file: dict[int, list[int]] = defaultdict(list)
    for coco_id, image_id in images.items():
        in_file[image_id].append(coco_id)
    shared: dict[int, list[Entry]] = defaultdict(list)
    for rows in entries.values():
        for entry in rows:
            shared[entry.source_id].append(entry)
    states = {one: _later_state(rows, in_file, given) for one, rows in shared.items()}
    return {one: state for one, state in states.items() if state is not None}


def _later_state(
    shared: Sequence[Entry], in_file: Mapping[int, Sequence[int]], given: Given
) -> _Later | None:
    """How the file is a later state of a source, by the images that they share; None if it is not.

    It is one where most people are unchanged, of as many as both have; or where most of before have their number and a
    box near the old one, though all labels are others. Who came in without labels can be told by the box alone, and
    counts only where there is nobody else. Where one of the two shows nobody at all, the numbers of the images tell.
    """
    fits: list[tuple[int, int, int, bool, int, int]] = []
    for bare in (False, True):
        fits = [
            max(_fit(entry, one, given.get(one, []), bare) for one in in_file[entry.image_id])
            for entry in shared
        ]
        unchanged, numbered, following, _, both, all_before = map(sum, zip(*fits, strict=True))
        if both:
            later = unchanged >= SAME_SHARE * both or following >= SAME_SHARE * all_before
            return _Later(unchanged / both, 2 * numbered >= unchanged) if later else None
    return _Later(0.0, True) if sum(fit[3] for fit in fits) >= SAME_SHARE * len(fits) else None


def _fit(
    entry: Entry, coco_id: int, given: Sequence[CocoAnnotation], bare: bool
) -> tuple[int, int, int, bool, int, int]:
    """How an image fits to an entry of before.

    Who is unchanged, who of them has the number of before, who is unchanged or follows by number, whether the image has
    its number, and how many both have and were there before.
    """
    known = [one for one in entry.people if not one.hidden and (bare or not one.bare)]
    both, named = min(len(known), len(given)), entry.coco_id == coco_id
    by_id = {one.coco_id: one for one in given} if named else {}
    pairs = [(one, by_id[one.coco_id]) for one in known if one.coco_id in by_id]
    unchanged = {one.instance_id for one in known if any(map(one.equals, given))}
    numbered = {known.instance_id for known, one in pairs if known.equals(one)}
    following = unchanged | {known.instance_id for known, one in pairs if known.follows(one)}
    return (
        min(len(unchanged), both), len(numbered), len(following), named, both, len(known)
    )  # fmt: skip


def _match(
    images: Mapping[int, int],
    given: Given,
    entries: Mapping[int, Sequence[Entry]],
    later: Mapping[int, _Later],
) -> dict[int, Before]:
    """For each image of the file the entry that fits best, of the sources `later`; each entry once.

    Where no entry has more people just as they are, and all have the image's number, the source that kept more counts.
    """
    fits = []
    for coco_id, image_id in images.items():
        for entry in entries.get(image_id, []):
            state = later.get(entry.source_id)
            if state is not None:
                before = _before(entry, coco_id, given.get(coco_id, []), state.numbered)
                equal = sum(known.equals(one) for known, one in before.pairs)
                named = entry.coco_id == coco_id
                rank = equal, named, state.unchanged, len(before.pairs), entry.source_id
                fits.append((rank, coco_id, before))
    found: dict[int, Before] = {}
    taken: set[tuple[int, int]] = set()
    for _, coco_id, before in sorted(fits, key=lambda fit: fit[0], reverse=True):
        key = before.entry.source_id, before.entry.coco_id
        if coco_id not in found and key not in taken:
            found[coco_id] = before
            taken.add(key)
    return {coco_id: found[coco_id] for coco_id in images if coco_id in found}


def _before(entry: Entry, coco_id: int, given: Sequence[CocoAnnotation], numbered: bool) -> Before:
    """Who of an image is who: the most certain pairs first, each person once."""
    ranked = sorted(_likely(entry, coco_id, given, numbered), reverse=True)
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
    entry: Entry, coco_id: int, given: Sequence[CocoAnnotation], numbered: bool
) -> Iterator[tuple[bool, bool, bool, float, int, int]]:
    """Pairs that may be one person: is equal, has the same number, is near, overlap, and the indices, negative.

    Near goes before the number in a file that was numbered anew.
    """
    for i, known in enumerate(entry.people):
        for j, one in enumerate(given):
            equal = known.equals(one)
            overlap = known.overlap(one)
            near = overlap >= NEAR_OVERLAP
            named = entry.coco_id == coco_id and known.coco_id == one.coco_id and overlap > 0
            if equal or near or named:
                first, second = (named, near) if numbered else (near, named)
                yield equal, first, second, overlap, -i, -j


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, width, height."""
    x, y, w, h = first
    other_x, other_y, other_w, other_h = second
    across = min(x + w, other_x + other_w) - max(x, other_x)
    down = min(y + h, other_y + other_h) - max(y, other_y)
    both = max(across, 0.0) * max(down, 0.0)
    return both / (w * h + other_w * other_h - both)
