"""A small project for the editor's tests: photos, labels, val people, and predictions whose errors are known."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from posestudio import config
from posestudio.core.skeleton import COCO17
from posestudio.store import freeze, images, labels, people, predictions, runs
from posestudio.store.database import Store, set_skeleton

RUN = "0001-calm-owl"
K = len(COCO17.keypoints)
SIZE = (320, 240)
BOX = (60.0, 20.0, 100.0, 200.0)
LABELED, OPEN, VAL = 40, 6, 4
BAD = (9, 10)
"""Keypoints of the open people that are predicted wrong, with little confidence."""


@dataclass(frozen=True)
class Made:
    """Instance ids by what they are; `pair` are two open people of one image."""

    folder: Path
    labeled: list[int]
    open: list[int]
    pair: tuple[int, int]
    val: list[int]


def photo(folder: Path, number: int) -> Path:
    """A JPEG that resembles no other."""
    path = folder / f"photo {number}.jpg"
    noise = np.random.default_rng(number).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize(SIZE, Image.Resampling.BICUBIC).save(path, quality=80)
    return path


def make(folder: Path, count: int = OPEN) -> Made:
    """The project in folder/project, with so many open photos; its run has predicted everybody, without students."""
    (folder / "photos").mkdir(parents=True)
    with Store(folder / "project", create=True) as store:
        store.write(lambda cursor: set_skeleton(cursor, COCO17))
        labeled = _people(store, folder / "photos", LABELED, "train", 0)
        open_ = _people(store, folder / "photos", count, "unlabeled", 100)
        val = _people(store, folder / "photos", VAL, "val", 900)
        first = people.get(store, open_[0])["image_id"]
        second = people.add(store, first, (170, 30, 90, 180), who="me")["instance_id"]
        snapshot = freeze.freeze(store)["snapshot_id"]
        _run(store, snapshot)
        _predict(store, labeled, [*open_, second, *val])
    return Made(folder / "project", labeled, open_, (open_[0], second), val)


def _people(store: Store, photos: Path, count: int, split: str, start: int) -> list[int]:
    files = [photo(photos, start + number) for number in range(count)]

    def job(cursor):
        source = images.add_source(cursor, "images", f"photos of {split}")
        new = [
            images.NewImage(
                hashlib.sha256(file.read_bytes()).hexdigest(),
                *SIZE,
                split=split,
                link_path=str(file),
            )
            for file in files
        ]
        ids = images.add_many(cursor, new)
        names = [
            images.ImageSource(image_id, source, file.name, place)
            for place, (image_id, file) in enumerate(zip(ids, files, strict=True))
        ]
        images.add_image_sources(cursor, names)
        return people.add_many(cursor, [people.NewPerson(i, BOX, "file") for i in ids])

    return store.write(job)


def _run(store: Store, snapshot: str) -> None:
    """A run on a snapshot in which nobody was labeled yet, so that no label was learned."""
    runs.register(store, RUN, preset="best", size="tiny", snapshot_id=snapshot)
    path = store.project / "runs" / RUN
    path.mkdir()
    (path / "config.json").write_text(json.dumps(config.to_dict(config.Config())))
    (path / "run.json").write_text(json.dumps({"snapshot": snapshot, "from": None}))


def truth(count: int, seed: int = 0) -> np.ndarray:
    """(count, K, 2) points inside BOX."""
    share = np.random.default_rng(seed).uniform(0.1, 0.9, (count, K, 2))
    return np.array(BOX[:2]) + share * np.array(BOX[2:])


def _predict(store: Store, labeled: list[int], rest: list[int]) -> None:
    everybody = [*labeled, *rest]
    points = truth(len(everybody))
    bad = np.random.default_rng(1).uniform(size=points.shape[:2]) < 0.3
    bad[len(labeled) :] = np.isin(np.arange(K), BAD)
    aside = np.where(bad, 60.0, 1.0)
    guess = points + np.stack([aside, np.zeros_like(aside)], axis=-1) * np.where(
        points[..., :1] > SIZE[0] / 2, -1, 1
    )
    rows = [
        labels.NewLabel(person, k, "placed", float(points[i, k, 0]), float(points[i, k, 1]), 2)
        for i, person in enumerate(labeled)
        for k in range(K)
    ]
    store.write(lambda cursor: labels.import_many(cursor, rows))
    boxes = {row["instance_id"]: row["box_revision"] for row in people.list_people(store)}
    for student, shift in (("a", -0.5), ("b", 0.5), ("ensemble", 0.0)):
        apart = shift * np.where(bad, 40.0, 2.0)
        predictions.save(
            store, model=RUN, run_id=RUN, student=student, instance_id=everybody,
            box_revision=[boxes[i] for i in everybody],
            xy_image=guess + np.stack([np.zeros_like(apart), apart], axis=-1),
            score=np.where(bad, 0.1, 0.9),
        )  # fmt: skip
