"""Store verbs about the project, its images and people, splits and exports."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from posestudio.config import unknown
from posestudio.core.skeleton import from_dict
from posestudio.errors import InputError
from posestudio.store import (
    coco_import,
    coco_predictions,
    coco_write,
    database,
    freeze,
    groups,
    media_import,
    people,
    photos,
    runs,
    splits,
    verify,
    yolo,
)
from posestudio.store import images as image_rows
from posestudio.store.database import Store
from posestudio.studio import evidence

Record = dict[str, Any]
Progress = Callable[[int, int | None], None]


def project(store: Store) -> Record:
    """The project in numbers: folder, skeleton (or None), untaught keypoints, and the counts of `splits`."""
    skeleton = store.skeleton()
    return {
        "project": str(store.project),
        "skeleton": skeleton.to_dict() if skeleton else None,
        "untaught": splits.untaught(store) if skeleton else [],
        **splits.counts(store),
    }


def set_skeleton(store: Store, skeleton: Record) -> Record:
    """Give the project its skeleton; the same one again is fine."""
    wanted = from_dict(skeleton)
    store.write(lambda cursor: database.set_skeleton(cursor, wanted))
    return wanted.to_dict()


def import_coco(
    store: Store,
    file: str,
    images: str,
    split: str = "train",
    labeled: int | str | list[str] | None = None,
    seed: int = 0,
    boxes: str | None = None,
    skip_bad: bool = False,
    who: str = "import",
    folder_of: dict[str, str] | None = None,
    folders: dict[str, int] | None = None,
    progress: Progress | None = None,
) -> Record:
    """COCO keypoints in, all or nothing; see `coco_import.import_coco`. progress: for callers in this process."""
    return coco_import.import_coco(
        store, Path(file), Path(images), split=split, labeled=labeled, seed=seed, boxes=boxes,
        skip_bad=skip_bad, who=who, folder_of=folder_of, folders=folders,
        progress=progress if callable(progress) else None,
    )  # fmt: skip


def import_images(
    store: Store,
    paths: list[str],
    boxes: str | None = "full",
    link: bool = False,
    group: bool = False,
    folders: dict[str, int] | None = None,
    names: list[str] | None = None,
    progress: Progress | None = None,
) -> Record:
    """Photos, folders, zips and videos in, unlabeled. boxes: "full", or None for no people yet.

    A project without a skeleton is taken for one of COCO's 17 keypoints, until a file brings another. progress: told
    about each item; only for callers in this process.
    """
    report = media_import.import_images(
        store, [Path(path) for path in paths], boxes=boxes, link=link, group=group,
        folders=folders, names=names, progress=progress if callable(progress) else None,
    )  # fmt: skip
    if report["added"] and store.skeleton() is None:
        store.write(photos.assume_skeleton)
        report["warnings"].append(
            "people have COCO's 17 keypoints until a COCO file brings other ones"
        )
    return report


def import_predictions(store: Store, file: str, name: str, source: str | None = None) -> Record:
    """COCO results of any model in, as predictions that wait for `accept`. source: whose image ids these are."""
    return coco_predictions.import_predictions(store, Path(file), name, source=source)


def images(
    store: Store, split: str | None = None, limit: int | None = None, offset: int = 0
) -> list[Record]:
    """Images by id, with their split and how many people they show."""
    return image_rows.list_images(store, splits_word(split), limit=limit, offset=offset)


def image(store: Store, image_id: int) -> Record:
    """One image with its sources; `path` starts from the project folder, or is absolute when linked."""
    return image_rows.get(store, image_id)


def sources(store: Store) -> list[Record]:
    """Files and folders that came in."""
    return image_rows.list_sources(store)


def people_of(
    store: Store,
    image_id: int | None = None,
    split: str | None = None,
    hidden: bool = False,
    limit: int | None = None,
    offset: int = 0,
) -> list[Record]:
    """People with box, split and how many keypoints are decided; of one image, one split, or all."""
    if image_id is not None:
        image_rows.get(store, image_id)
    return people.list_people(
        store,
        image_id=image_id,
        split=splits_word(split),
        hidden=hidden,
        limit=limit,
        offset=offset,
    )


def person(store: Store, instance_id: int) -> Record:
    """One person with labels and the revision that the next edit is based on."""
    return people.get(store, instance_id)


def add_people(
    store: Store,
    image_id: int,
    boxes_xywh: list[list[float]],
    who: str = "detector",
    source: str = "detector",
) -> list[int]:
    """Add people to an image by their boxes, such as a detector's; returns their ids."""
    return [
        people.add(store, image_id, box, who=who, box_source=source)["instance_id"]
        for box in boxes_xywh
    ]


def split_counts(store: Store) -> Record:
    """How many images and people each split has."""
    return splits.counts(store)


def set_split(
    store: Store, split: str, images: list[int] | None = None, people: list[int] | None = None
) -> Record:
    """Move images, or people with their images, to a split; whole groups move."""
    return splits.set_split(
        store, splits_word(split) or "", image_ids=images or [], instance_ids=people or []
    )


def set_val_aside(
    store: Store,
    share: float = splits.VAL_SHARE,
    at_least: int = splits.VAL_LEAST,
    seed: int = 0,
) -> Record:
    """Set labeled people of train aside for evaluation, by whole groups.

    Those come last whose labels a run has learned, which cannot be judged by them any more, and those with a label that
    was accepted from a prediction.

    Returns:
        As `splits.make_val`, and learned: how many people of val some run has learned.
    """
    known = freeze.look(store).people
    learned = np.zeros(len(known), bool)
    for run in runs.list_runs(store):
        learned |= evidence.learned(store.project, run["run_id"], known)
    accepted = store.read("SELECT DISTINCT instance_id FROM labels WHERE origin = 'accept'")
    last = {*known.instance_id[learned].tolist(), *(row["instance_id"] for row in accepted)}
    done = splits.make_val(store, share, at_least, seed, last)
    val = freeze.look(store).people.split == "val"
    return {**done, "learned": int((learned & val & known.reviewed).sum())}


def snapshot(store: Store) -> Record:
    """Freeze people and labels: snapshot_id, path, people, labeled."""
    return freeze.freeze(store)


def snapshots(store: Store) -> list[Record]:
    """Snapshots, the newest first."""
    return freeze.list_snapshots(store)


def verify_store(store: Store) -> Record:
    """Check the store against images, runs and itself."""
    return verify.verify(store)


def export_coco(store: Store, out: str, split: str | None = None) -> Record:
    """COCO keypoints out: one file for OUT.json, a folder with one file a source otherwise."""
    return coco_write.export_coco(store, Path(out), split=splits_word(split))


def coco_files(store: Store, split: str | None = None) -> list[Record]:
    """The ids that people have in what `export_coco` writes, for each file of it."""
    return coco_write.coco_files(store, splits_word(split))


def export_yolo(store: Store, out: str) -> Record:
    """A YOLO-pose data set out."""
    return yolo.export_yolo(store, Path(out))


def splits_word(split: str | None) -> str | None:
    """A split, checked.

    Raises:
        InputError: it is not one.
    """
    if split is not None and split not in groups.SPLITS:
        raise InputError(unknown("split", str(split), dict.fromkeys(groups.SPLITS)))
    return split


OFFERED = {
    function.__name__: function
    for function in (
        project, set_skeleton, import_coco, import_predictions, import_images, images, image, sources, person,
        add_people, set_split, set_val_aside, snapshot, snapshots, export_coco, coco_files,
        export_yolo,
    )
} | {"people": people_of, "splits": split_counts, "verify": verify_store}  # fmt: skip
