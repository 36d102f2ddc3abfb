"""People to learn from and to be judged on, in the form that every benchmark of labels reads.

A dataset holds people whose labels are all known, and hides them: `snapshot` shows the labels of a budget and nothing
else, `people` gives those who judge. `lspet` reads the folder of photographs that benchmarks/README.md describes; no
image is copied.
"""

import dataclasses
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio.core.skeleton import COCO17, Skeleton
from posestudio.errors import InputError
from posestudio.store import groups, snapshots
from posestudio.store.snapshots import OPEN, PLACED, People, Snapshot

JUDGES = ("dev", "val", "test2")
"""Splits that no snapshot holds. Every choice is made on dev; val and test2 are read at the end."""


@dataclass(frozen=True, slots=True, eq=False)
class Dataset:
    """People with known labels, some to learn from and some to judge.

    name: of the dataset. skeleton: of its keypoints. project: folder that holds snapshots/, runs/ and cache/.
    learnable: the people of every snapshot, ordered by instance_id, with all their labels. may_label: (N,) bool, those
    of them whose labels a budget may show; the others' labels are answers, never taught. given: file names labeled at
    a budget with seed 0; without an entry the order of `permutation` is used. judges: people by split, all labeled.
    """

    name: str
    skeleton: Skeleton
    project: Path
    learnable: People
    may_label: np.ndarray
    given: Mapping[int, frozenset[str]]
    judges: Mapping[str, People]

    def labeled(self, budget: int | None, seed: int) -> np.ndarray:
        """(N,) bool, who of `learnable` shows labels; within a seed a smaller budget's people are part of a larger's.

        Raises:
            InputError: there are not that many people to label.
        """
        pool = np.flatnonzero(self.may_label)
        if budget is None:
            return self.may_label.copy()
        if not 1 <= budget <= len(pool):
            raise InputError(
                f"{self.name} has {len(pool)} people that may be labeled, got budget {budget}."
            )
        if seed == 0 and budget in self.given:
            return np.isin(np.array(self.learnable.file_name), sorted(self.given[budget]))
        chosen = np.zeros(len(self.learnable), bool)
        chosen[np.random.default_rng(seed).permutation(pool)[:budget]] = True
        return chosen

    def snapshot(self, budget: int | None, seed: int) -> Snapshot:
        """What a run learns from: `budget` labeled people (None for all that may be) and the others without labels.

        People and boxes do not depend on budget and seed, so all runs share one cache of crops.
        """
        shown = self.labeled(budget, seed)
        people = self.learnable
        known = shown[:, None] & (people.state == PLACED)
        hidden = dataclasses.replace(
            people,
            split=np.where(shown, "train", "unlabeled").astype("<U9"),
            xy_image=np.where(known[..., None], people.xy_image, np.nan),
            visibility=np.where(known, people.visibility, 0).astype(np.int8),
            state=np.where(known, PLACED, OPEN).astype(np.int8),
            fold=people.fold & shown,
            reviewed=shown,
        )
        return Snapshot(
            snapshots.content_id(hidden, self.skeleton),
            self.skeleton,
            hidden,
            snapshots.taught(hidden),
        )

    def people(self, split: str) -> People:
        """Labeled people of dev, val or test2; or unlabeled_answers, those whose labels no snapshot shows.

        Raises:
            InputError: no such split.
        """
        if split == "unlabeled_answers":
            return self.learnable.take(~self.may_label)
        if split not in self.judges:
            known = ", ".join((*self.judges, "unlabeled_answers"))
            raise InputError(f"{self.name} has no split {split!r}. It has {known}.")
        return self.judges[split]


def keep(dataset: Dataset, snapshot: Snapshot) -> str:
    """Write a snapshot into the dataset's project, whole or not at all, and return its id."""
    people, folder = snapshot.people, dataset.project / "snapshots" / snapshot.id
    if folder.exists():
        return snapshot.id
    names = [field.name for field in dataclasses.fields(people)]
    flat = [name for name in names if np.ndim(getattr(people, name)) == 1]
    columns: dict[str, Any] = {name: getattr(people, name) for name in flat if name != "split"}
    columns["split"] = [str(split) for split in people.split]
    for place, letter in enumerate("xywh"):
        columns[f"box_{letter}"] = people.box_xywh[:, place]
    columns["x"], columns["y"] = people.xy_image[..., 0].tolist(), people.xy_image[..., 1].tolist()
    columns["v"], columns["state"] = people.visibility.tolist(), people.state.tolist()
    fresh = folder.with_name(f".new-{uuid.uuid4().hex}")
    fresh.mkdir(parents=True)
    pq.write_table(pa.table(columns), fresh / snapshots.PEOPLE_FILE)
    header = {"id": snapshot.id, "skeleton": snapshot.skeleton.to_dict()}
    (fresh / snapshots.SNAPSHOT_FILE).write_text(json.dumps(header), "utf-8")
    try:
        fresh.rename(folder)
    except OSError:
        if not folder.exists():  # else another process wrote the same content
            raise
    return snapshot.id


def lspet(data: Path, work: Path) -> Dataset:
    """Leeds Sports Pose Extended in COCO-17 form: 100 to 1,000 labels, 6,000 unlabeled, 2,500 people who judge.

    Args:
        data: the folder with images/, annotations/ and splits/.
        work: folder in which the project is made.

    Raises:
        InputError: a file of the dataset cannot be read.
    """
    names = {name: _names(data, name) for name in ("dev", "test2")}
    train = _people(data, "train")
    held = {
        name: np.isin(np.array(train.file_name), sorted(names[name])) for name in ("dev", "test2")
    }
    answers = _people(data, "unlabeled_answers")
    pool = train.take(~(held["dev"] | held["test2"]))
    learnable = _joined(pool, answers)
    given = {
        budget: _names(data, f"train_labeled_{budget}") for budget in (50, 100, 200, 500, 1000)
    }
    judges = {name: train.take(held[name]) for name in ("dev", "test2")}
    return Dataset(
        name="lspet",
        skeleton=COCO17,
        project=work / "lspet",
        learnable=learnable,
        may_label=np.isin(learnable.image_id, pool.image_id),
        given=given,
        judges={**judges, "val": _people(data, "val")},
    )


def _names(data: Path, split: str) -> frozenset[str]:
    return frozenset(_read(data / "splits" / f"{split}.txt").split())


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}). Is --data right?") from error


def _people(data: Path, part: str) -> People:
    """The people of one annotation file, ordered by image id, which is unique over all files."""
    record = json.loads(_read(data / "annotations" / f"lspet_coco17_{part}.json"))
    rows = sorted(record["annotations"], key=lambda row: row["image_id"])
    images = {image["id"]: image for image in record["images"]}
    mine = [images[row["image_id"]] for row in rows]
    ids = np.array([image["id"] for image in mine], np.int64)
    points = np.array([row["keypoints"] for row in rows], np.float64).reshape(len(rows), -1, 3)
    seen = points[..., 2] > 0
    files = [image["file_name"] for image in mine]
    folder = Path(os.path.abspath(data)) / "images"
    return People(
        instance_id=ids,
        image_id=ids,
        image_path=[str(folder / name) for name in files],
        width=np.array([image["width"] for image in mine], np.int64),
        height=np.array([image["height"] for image in mine], np.int64),
        box_xywh=np.array([row["bbox"] for row in rows], np.float64),
        box_revision=np.ones(len(rows), np.int64),
        xy_image=np.where(seen[..., None], points[..., :2], np.nan),
        visibility=points[..., 2].astype(np.int8),
        state=np.where(seen, PLACED, OPEN).astype(np.int8),
        split=np.full(len(rows), "val", "<U9"),
        fold=np.array([_in_fold(name) for name in files]),
        area=np.array([row["area"] for row in rows], np.float64),
        area_given=np.ones(len(rows), bool),
        iscrowd=np.zeros(len(rows), bool),
        reviewed=np.ones(len(rows), bool),
        group_id=ids,
        source_id=np.ones(len(rows), np.int64),
        coco_image_id=ids,
        coco_id=np.array([row["id"] for row in rows], np.int64),
        file_name=files,
    )


def _in_fold(name: str) -> bool:
    return groups.in_fold(hashlib.sha256(name.encode()).hexdigest())


def _joined(first: People, second: People) -> People:
    """Both, ordered by instance_id."""
    both = {}
    for field in dataclasses.fields(People):
        one, other = getattr(first, field.name), getattr(second, field.name)
        both[field.name] = one + other if isinstance(one, list) else np.concatenate([one, other])
    people = People(**both)
    return people.take(np.argsort(people.instance_id, kind="stable"))


def _rendered(data: Path, work: Path) -> Dataset:
    from benchmarks.rendered import rendered  # it needs Dataset

    return rendered(data, work)


DATASETS: dict[str, Callable[[Path, Path], Dataset]] = {"lspet": lspet, "rendered": _rendered}
"""How each dataset is opened: (data folder, work folder) -> Dataset."""


def open_dataset(name: str, data: Path, work: Path) -> Dataset:
    """A dataset by its name.

    Raises:
        InputError: there is none of that name, or its files cannot be read.
    """
    if name not in DATASETS:
        raise InputError(f"Unknown dataset {name!r}. Known: {', '.join(DATASETS)}.")
    return DATASETS[name](data, work)
