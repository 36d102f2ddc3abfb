"""A COCO keypoint file into the store: all of it in one transaction, or nothing.

Every entry is stored whole beside what is read from it, so that the export gives back what came in. A later state of a
file that came in before adds whom it adds and changes whom nobody edited here, see `coco_again`.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from posestudio.errors import InputError
from posestudio.store import (
    coco_again,
    coco_known,
    coco_read,
    groups,
    images,
    labels,
    media,
    people,
    photos,
)
from posestudio.store.coco_budget import choose
from posestudio.store.coco_known import Before
from posestudio.store.coco_read import CocoAnnotation, CocoFile, CocoImage
from posestudio.store.database import Cursor, Store, fetch, set_skeleton
from posestudio.store.image_files import ImageFiles, Progress, in_threads
from posestudio.store.images import ImageSource, InFolder, NewImage
from posestudio.store.media import Picture
from posestudio.store.media_import import joined
from posestudio.store.people import NewPerson


@dataclass(slots=True)
class _Plan:
    """What is to be written: images with their pictures, people by image, and whose labels are kept."""

    file: CocoFile
    pairs: list[tuple[CocoImage, Picture]]
    split: str
    chosen: set[int] | None
    boxes: str | None
    who: str
    folder_of: Mapping[str, str]
    folders: Mapping[str, int]
    persons: dict[int, list[CocoAnnotation]] = field(default_factory=dict)
    before: dict[int, Before] = field(default_factory=dict)
    here: set[int] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)

    def keeps_labels(self, image: CocoImage) -> bool:
        return self.chosen is None or image.coco_id in self.chosen

    def new_people(self, image: CocoImage) -> list[CocoAnnotation]:
        if image.coco_id in self.before:
            return self.before[image.coco_id].new
        given = self.persons.get(image.coco_id, [])
        return [one for one in given if one.coco_id not in self.here]

    def placed(self) -> list[InFolder]:
        return [
            InFolder(self.folder_of[image.file_name], picture.sha256, image.file_name)
            for image, picture in self.pairs
            if image.file_name in self.folder_of
        ]

    def source_of(self, coco_id: int, new: int | None) -> int | None:
        """The source that a new person of an image belongs to: the one that brought it before, or the new one."""
        return self.before[coco_id].entry.source_id if coco_id in self.before else new

    def split_of(self, image: CocoImage) -> str:
        """What to ask for; "unlabeled" moves no image that is there already."""
        if image.coco_id in self.before:
            asks = self.before[image.coco_id].first_labels
        else:
            asks = bool(self.new_people(image)) or not self.persons.get(image.coco_id)
        return self.split if asks and self.keeps_labels(image) else "unlabeled"


def import_coco(
    store: Store,
    file: Path,
    images: Path,
    *,
    split: str = "train",
    labeled: int | str | Path | Sequence[str] | None = None,
    seed: int = 0,
    boxes: str | None = None,
    skip_bad: bool = False,
    who: str = "import",
    folder_of: Mapping[str, str] | None = None,
    folders: Mapping[str, int] | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Bring a COCO keypoint file and its images in.

    Args:
        store: the open project.
        file: the annotation file.
        images: the folder below which its file names lie.
        split: "train", "val" or "unlabeled"; images that are already in the store keep theirs, unless that is
            "unlabeled" and this file is the first to say something of their people, or to label them.
        labeled: None keeps all labels. A number N keeps those of the first N labeled images of one permutation (the
            same for all N, so that budgets nest); a text file, or a list, names the images. All other people come
            in with their boxes but without labels, as split "unlabeled".
        seed: of that permutation.
        boxes: "full" gives one whole-image person to each image that has no person.
        skip_bad: take what has no fault and list the rest, instead of refusing the file.
        who: recorded with every box and label.
        folder_of: folders by file names of images: those of one folder belong together and stay in one split.
        folders: with it: what earlier imports from these folders gave under this name.
        progress: told after every image.

    Returns:
        Counts (images, added, already, unchanged, people, updated, edited, labeled_images, labeled_people, keypoints,
        near), splits (images by split), source_id (None when no image was new to this file), folders (with folder_of:
        folder -> an image of it), faults (what was skipped) and warnings, a line each. unchanged: images of which the
        file says nothing new. updated: people whom an earlier state of the file brought and whose entry changed.
        edited: such people who were edited here, and whose box or labels changed: they are left alone.

    Raises:
        InputError: the file or an option has faults. The store is as it was.
        StoreError: the disk is full. The store is as it was.
    """
    _check_options(split, boxes, images)
    parsed = coco_read.parse(file, photos.settled_skeleton(store), skip_bad=skip_bad)
    with ImageFiles(store) as files:
        pairs = _pictures(parsed, images, files, progress)
        if len(pairs) < len(parsed.images):
            if not skip_bad:
                raise coco_read.refusal(file.name, parsed.faults)
            _leave_out(parsed, {image.coco_id for image, _ in pairs})
        plan = _Plan(parsed, pairs, split, None, boxes, who, folder_of or {}, folders or {})
        for annotation in parsed.annotations:
            plan.persons.setdefault(annotation.image_id, []).append(annotation)
        plan.chosen = choose(parsed, labeled, seed, notes=plan.notes)
        files.settle()
        return store.write(lambda cursor: _insert(cursor, plan))


def _check_options(split: str, boxes: str | None, folder: Path) -> None:
    if split not in groups.SPLITS:
        raise InputError(f"The split must be one of {', '.join(groups.SPLITS)}, got {split!r}.")
    if boxes not in (None, "full"):
        raise InputError(f"boxes must be 'full' or left out, got {boxes!r}.")
    if not folder.is_dir():
        raise InputError(f"There is no image folder {folder}. Name it with --images DIR.")


def _pictures(
    parsed: CocoFile, folder: Path, files: ImageFiles, progress: Progress | None
) -> list[tuple[CocoImage, Picture]]:
    """Decode every image and write it to the project; faults go to the parsed file's list."""
    root = folder.resolve()

    def load(image: CocoImage) -> Picture | str:
        try:
            path = (root / image.file_name).resolve()
            if not path.is_relative_to(root):
                return "leads out of the image folder"
            data = media.read_file(path)
            return files.put(media.read_picture(data, said_wh=(image.width, image.height)))
        except InputError as error:
            return str(error)
        except (OSError, RuntimeError) as error:
            return f"the file cannot be reached ({error})"

    pairs = []
    with closing(in_threads(load, parsed.images)) as results:
        for count, (image, result) in enumerate(zip(parsed.images, results, strict=True)):
            if isinstance(result, Picture):
                pairs.append((image, result))
            else:
                parsed.faults.append(f"image {image.coco_id} ({image.file_name}): {result}")
            if progress is not None:
                progress(count + 1, len(parsed.images))
    return pairs


def _leave_out(parsed: CocoFile, kept: set[int]) -> None:
    gone = [one for one in parsed.annotations if one.image_id not in kept]
    parsed.dragged += [coco_read.drag(one.coco_id, one.image_id) for one in gone]
    parsed.annotations = [one for one in parsed.annotations if one.image_id in kept]
    parsed.images = [image for image in parsed.images if image.coco_id in kept]


def _insert(cursor: Cursor, plan: _Plan) -> dict[str, Any]:
    set_skeleton(cursor, plan.file.skeleton)
    known = images.known(cursor, [picture.sha256 for _, picture in plan.pairs])
    there = {image.coco_id: known[p.sha256] for image, p in plan.pairs if p.sha256 in known}
    found = coco_known.find(cursor, there, plan.persons)
    plan.before, plan.here = found.before, found.here
    labeled = {image.coco_id for image, _ in plan.pairs if plan.keeps_labels(image)}
    changes = coco_again.compare(found, {image.coco_id: image for image, _ in plan.pairs}, labeled)
    coco_again.update_images(cursor, changes.images)
    settled = plan.before.keys() - changes.touched
    fresh = [pair for pair in plan.pairs if pair[0].coco_id not in settled]
    coming = {there.get(image.coco_id) for image, _ in fresh}
    rest = [pair for pair in plan.pairs if there.get(pair[0].coco_id) not in coming]
    whole = _whole_images(cursor, plan, rest, [there[image.coco_id] for image, _ in rest], None)
    changes.same -= {one for one in changes.same if there[one] in whole}
    report: dict[str, Any] = {
        "source_id": None,
        "images": len(plan.pairs),
        "added": len({p.sha256 for _, p in plan.pairs if p.sha256 not in known}),
        "already": sum(p.sha256 in known for _, p in plan.pairs),
        "unchanged": len(changes.same),
        "people": len(whole),
        "updated": len(changes.changed),
        "edited": changes.edited,
        "labeled_images": 0,
        "labeled_people": 0,
        "keypoints": 0,
        "near": 0,
        "splits": {},
        "faults": plan.file.faults + plan.file.dragged,
        "warnings": plan.file.skeleton.notices + plan.file.notes + plan.notes + changes.notes(),
    }
    if fresh or not plan.pairs:
        image_ids = _insert_images(cursor, plan, fresh, report, known)
        _insert_people(cursor, plan, fresh, image_ids, report)
        report["keypoints"] += coco_again.update_people(cursor, changes.changed, plan.who)
    report["folders"] = images.keep_together(cursor, plan.placed(), plan.folders)
    return report


def _insert_images(
    cursor: Cursor,
    plan: _Plan,
    fresh: Sequence[tuple[CocoImage, Picture]],
    report: dict[str, Any],
    known: Mapping[str, int],
) -> list[int]:
    rows = [
        NewImage(
            sha256=picture.sha256,
            width=picture.width,
            height=picture.height,
            phash=picture.phash,
            split=plan.split_of(image),
        )
        for image, picture in fresh
    ]
    image_ids = images.add_many(cursor, rows)
    new = [
        (i, image)
        for i, (image, _) in zip(image_ids, fresh, strict=True)
        if image.coco_id not in plan.before
    ]
    if new or not plan.pairs:
        path = media.plain(str(plan.file.path.resolve()))
        report["source_id"] = images.add_source(cursor, "coco", path, plan.file.header)
    images.add_image_sources(
        cursor,
        [
            ImageSource(
                image_id, report["source_id"], image.file_name, place, image.coco_id, image.raw
            )
            for place, (image_id, image) in enumerate(new)
        ],
    )
    report["near"] = joined(
        cursor, [i for i, row in zip(image_ids, rows, strict=True) if row.sha256 not in known]
    )
    now_in = fetch(
        cursor,
        """SELECT image_id, split FROM images JOIN groups USING (group_id)
        WHERE image_id IN (SELECT unnest(?::BIGINT[]))""",
        [image_ids],
    )
    split_of = {row["image_id"]: row["split"] for row in now_in}
    report["splits"] = dict(Counter(split_of.values()))
    moved = Counter(
        split_of[image_id]
        for image_id, row in zip(image_ids, rows, strict=True)
        if row.split != "unlabeled" and split_of[image_id] != row.split
    )
    for other, count in moved.items():
        report["warnings"].append(
            f"{count:,} images are in split {other}: they, or near-duplicates of them, were there before"
        )
    turned = sum(picture.rewritten for _, picture in fresh)
    if turned:
        report["warnings"].append(f"{turned:,} images had an EXIF orientation; it was settled once")
    return image_ids


def _insert_people(
    cursor: Cursor,
    plan: _Plan,
    fresh: Sequence[tuple[CocoImage, Picture]],
    image_ids: Sequence[int],
    report: dict[str, Any],
) -> None:
    place = {image.coco_id: i for i, (image, _) in enumerate(fresh)}
    new = {one.coco_id for image, _ in fresh for one in plan.new_people(image)}
    given = [one for one in plan.file.annotations if one.coco_id in new]
    numbers = coco_again.Numbers(cursor, plan.before)
    kept = [plan.keeps_labels(fresh[place[one.image_id]][0]) for one in given]
    rows = [
        _person(
            one,
            numbers.of(one),
            image_ids[place[one.image_id]],
            plan.source_of(one.image_id, report["source_id"]),
            keep,
        )
        for one, keep in zip(given, kept, strict=True)
    ]
    ids = people.add_many(cursor, rows, plan.who)
    points = [
        label
        for one, instance_id, keep in zip(given, ids, kept, strict=True)
        if keep
        for label in coco_again.labels_of(one, instance_id)
    ]
    report["keypoints"] = labels.import_many(cursor, points, plan.who)
    report["people"] += len(ids)
    with_labels = [one for one, keep in zip(given, kept, strict=True) if keep and one.labeled]
    report["labeled_people"] = len(with_labels)
    report["labeled_images"] = len({one.image_id for one in with_labels})
    report["people"] += len(_whole_images(cursor, plan, fresh, image_ids, report["source_id"]))


def _person(
    one: CocoAnnotation, raw: dict[str, Any], image_id: int, source_id: int | None, keep: bool
) -> NewPerson:
    return NewPerson(
        image_id=image_id,
        box_xywh=one.box_xywh,
        box_source="file",
        source_id=source_id,
        coco_id=raw["id"],
        category_id=raw["category_id"],
        iscrowd=one.iscrowd,
        area=one.area,
        area_source=None if one.area is None else "given",
        reviewed_on_import=keep,
        extra=coco_again.entry_of(raw, keep),
    )


def _whole_images(
    cursor: Cursor,
    plan: _Plan,
    pairs: Sequence[tuple[CocoImage, Picture]],
    image_ids: Sequence[int],
    source_id: int | None,
) -> set[int]:
    """With boxes "full": give each image that shows nobody one person whose box is the whole image; returns which.

    Images that were put away are left alone.
    """
    if plan.boxes != "full":
        return set()
    found = cursor.execute(
        """SELECT image_id FROM instances JOIN boxes_now USING (instance_id)
        WHERE NOT hidden AND image_id IN (SELECT unnest(?::BIGINT[])) UNION FROM hidden_images""",
        [list(image_ids)],
    ).fetchall()
    empty = dict(zip(image_ids, pairs, strict=True))
    for (image_id,) in found:
        empty.pop(image_id, None)
    rows = [
        NewPerson(
            image_id=image_id,
            box_xywh=(0.0, 0.0, picture.width, picture.height),
            box_source="full",
            source_id=plan.source_of(image.coco_id, source_id),
        )
        for image_id, (image, picture) in empty.items()
    ]
    people.add_many(cursor, rows, plan.who)
    return set(empty)
