"""A snapshot: the people and labels of a project at one moment, frozen on disk. Read here without the store.

A snapshot is a folder with people.parquet (a row a person, ordered by instance_id) and snapshot.json. Its id is a hash
over the rows and the skeleton: the same labels always give the same id, and damage shows. This module never opens the
store file, so that a training process can use it beside the app.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio.core import skeleton as skeletons
from posestudio.core.skeleton import Skeleton
from posestudio.errors import NotFound, StoreError

PEOPLE_FILE = "people.parquet"
SNAPSHOT_FILE = "snapshot.json"
FORMAT = 1

OPEN, PLACED, ABSENT = 0, 1, 2
"""What a keypoint of a person can be: no label, placed by a person, declared absent by a person."""

_SCALARS: dict[str, Any] = {
    "instance_id": np.int64,
    "image_id": np.int64,
    "width": np.int64,
    "height": np.int64,
    "box_revision": np.int64,
    "fold": np.bool_,
    "area": np.float64,
    "area_given": np.bool_,
    "iscrowd": np.bool_,
    "reviewed": np.bool_,
    "group_id": np.int64,
    "source_id": np.int64,
    "coco_image_id": np.int64,
    "coco_id": np.int64,
}


@dataclass(frozen=True, slots=True, eq=False)
class People:
    """N people with K keypoints, ordered by instance_id.

    instance_id, image_id: (N,) int64. image_path: N paths, relative to the project folder or absolute (linked).
    width, height: (N,) of the image in pixels. box_xywh: (N, 4) in image pixels. box_revision: (N,).
    xy_image: (N, K, 2) float64, NaN where nothing is placed. visibility: (N, K) int8, COCO's 0, 1, 2.
    state: (N, K) int8, OPEN, PLACED or ABSENT. split: (N,) str, "train", "val" or "unlabeled"; a person of a train
    group in whom nobody has decided any keypoint counts as "unlabeled". fold: (N,) bool, the stored fold of train.
    area: (N,) in square pixels; area_given: (N,) bool, the file gave it (else 0.53 of the box).
    iscrowd: (N,) bool. reviewed: (N,) bool, every taught keypoint was decided by a person or the person came with
    a file's labels. group_id: (N,). source_id, coco_image_id, coco_id: (N,), -1 for none. file_name: N names.
    """

    instance_id: np.ndarray
    image_id: np.ndarray
    image_path: list[str]
    width: np.ndarray
    height: np.ndarray
    box_xywh: np.ndarray
    box_revision: np.ndarray
    xy_image: np.ndarray
    visibility: np.ndarray
    state: np.ndarray
    split: np.ndarray
    fold: np.ndarray
    area: np.ndarray
    area_given: np.ndarray
    iscrowd: np.ndarray
    reviewed: np.ndarray
    group_id: np.ndarray
    source_id: np.ndarray
    coco_image_id: np.ndarray
    coco_id: np.ndarray
    file_name: list[str]

    def __len__(self) -> int:
        """N."""
        return len(self.instance_id)

    def take(self, index: Any) -> "People":
        """The people at `index`: an integer array or list, a slice, or a (N,) bool mask."""
        order = np.arange(len(self))[np.asarray(index) if not isinstance(index, slice) else index]
        taken = {}
        for field in dataclasses.fields(self):
            values = getattr(self, field.name)
            taken[field.name] = (
                [values[i] for i in order] if isinstance(values, list) else values[order]
            )
        return People(**taken)


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The people of a project at one moment.

    taught: (K,) bool, some placed keypoint of the train split shows it; the others are left out of training,
    uncertainty and scores.
    """

    id: str
    skeleton: Skeleton
    people: People
    taught: np.ndarray


def read(folder: Path) -> Snapshot:
    """Read a snapshot folder and check its content against its id.

    Raises:
        NotFound: the folder or one of its two files is missing.
        StoreError: a file is damaged, or the rows do not give the id.
    """
    folder = Path(folder)
    try:
        header = json.loads((folder / SNAPSHOT_FILE).read_text(encoding="utf-8"))
        skeleton = skeletons.from_dict(header["skeleton"], f"{folder / SNAPSHOT_FILE}: skeleton")
        people = read_people(folder / PEOPLE_FILE, len(skeleton.keypoints))
    except FileNotFoundError as error:
        raise NotFound(f"{folder} is not a snapshot: {error.filename} is missing.") from error
    except (ValueError, KeyError, TypeError, OSError, pa.ArrowException) as error:
        raise StoreError(
            f"The snapshot {folder} is damaged: {error}\nMake a new one with: posestudio snapshot"
        ) from error
    found = content_id(people, skeleton)
    if found != header.get("id"):
        raise StoreError(
            f"The snapshot {folder} was changed: its rows give {found}, not {header.get('id')}.\n"
            "Make a new one with: posestudio snapshot"
        )
    return Snapshot(found, skeleton, people, taught(people))


def read_people(file: Path, keypoints: int) -> People:
    """The rows of a people.parquet whose people have `keypoints` keypoints each.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a column is missing or has the wrong length (pyarrow's errors are ValueErrors too).
    """
    with open(file, "rb") as stream:
        table = pq.read_table(stream)
    count = table.num_rows

    def points(name: str, kind: Any) -> np.ndarray:
        flat = table.column(name).combine_chunks().flatten()
        return np.asarray(flat.to_numpy(zero_copy_only=False), kind).reshape(count, keypoints)

    scalars = {
        name: np.asarray(table.column(name).to_numpy(), kind) for name, kind in _SCALARS.items()
    }
    box = [np.asarray(table.column(f"box_{name}").to_numpy(), np.float64) for name in "xywh"]
    return People(
        **scalars,
        image_path=table.column("image_path").to_pylist(),
        file_name=table.column("file_name").to_pylist(),
        split=np.array(table.column("split").to_pylist(), dtype="<U9"),
        box_xywh=np.stack(box, axis=1),
        xy_image=np.stack([points("x", np.float64), points("y", np.float64)], axis=2),
        visibility=points("v", np.int8),
        state=points("state", np.int8),
    )


def taught(people: People) -> np.ndarray:
    """(K,) bool: which keypoints some person of the train split (crowds aside) has placed."""
    used = (people.split == "train") & ~people.iscrowd
    return (people.state[used] == PLACED).any(axis=0)


def content_id(people: People, skeleton: Skeleton) -> str:
    """16 hex digits that depend on every value of the rows and on the skeleton, and on nothing else."""
    digest = hashlib.sha256(json.dumps([FORMAT, skeleton.to_dict()], sort_keys=True).encode())
    for field in dataclasses.fields(people):
        values = getattr(people, field.name)
        if isinstance(values, np.ndarray) and values.dtype.kind == "f":
            values = np.where(np.isnan(values), np.nan, values) + 0.0
        if isinstance(values, np.ndarray) and values.dtype.kind != "U":
            data = np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes()
        else:
            data = json.dumps(list(map(str, values))).encode()
        digest.update(f"{field.name} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()[:16]
