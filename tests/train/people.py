"""A small project for training tests: drawn crosses whose arms are the keypoints, and a snapshot of them."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.torch import load_file

from posestudio import config
from posestudio.core import skeleton
from posestudio.store import snapshots
from posestudio.store.snapshots import People
from posestudio.train.run_folder import RunFolder

SKELETON = skeleton.from_dict(
    {"keypoints": ["head", "left_hand", "right_hand", "foot"], "skeleton": [[1, 4], [2, 3]]}
)
COLORS = ((250, 60, 60), (60, 250, 60), (60, 60, 250), (250, 250, 60))


def draw(folder: Path, count: int, seed: int = 0) -> np.ndarray:
    """Write images of one cross each and return their keypoints (count, 4, 2)."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True)
    points = np.zeros((count, 4, 2))
    for index in range(count):
        image = rng.integers(60, 120, (96, 80, 3), dtype=np.uint8)
        center = rng.uniform([34, 42], [46, 54])
        arms = np.array([[0, -26], [20, -6], [-20, -6], [0, 30]]) + rng.uniform(-4, 4, (4, 2))
        points[index] = center + arms
        for (x, y), color in zip(points[index], COLORS, strict=True):
            middle = (int(center[0]), int(center[1]))
            cv2.line(image, middle, (round(x), round(y)), (200, 200, 200), 2)
            cv2.circle(image, (round(x), round(y)), 5, color, -1)
        cv2.imwrite(str(folder / f"{index}.png"), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
    return points


def people(points: np.ndarray, split: np.ndarray, **changes: Any) -> People:
    """Rows for images/0.png, 1.png, ...; unlabeled people have every keypoint open."""
    count, keypoints = points.shape[:2]
    ids = np.arange(1, count + 1)
    known = np.repeat((split != "unlabeled")[:, None], keypoints, axis=1)
    fields: dict[str, Any] = {
        "instance_id": ids,
        "image_id": ids,
        "image_path": [f"images/{index}.png" for index in range(count)],
        "width": np.full(count, 80),
        "height": np.full(count, 96),
        "box_xywh": np.tile([8.0, 6.0, 64.0, 84.0], (count, 1)),
        "box_revision": ids,
        "xy_image": np.where(known[..., None], points, np.nan),
        "visibility": np.where(known, 2, 0).astype(np.int8),
        "state": known.astype(np.int8),
        "split": split.astype("<U9"),
        "fold": np.zeros(count, bool),
        "area": np.full(count, 2500.0),
        "area_given": np.ones(count, bool),
        "iscrowd": np.zeros(count, bool),
        "reviewed": known[:, 0],
        "group_id": ids,
        "source_id": np.ones(count, np.int64),
        "coco_image_id": ids,
        "coco_id": ids,
        "file_name": [f"{index}.png" for index in range(count)],
    }
    return People(**{**fields, **changes})


def write_snapshot(project: Path, rows: People, told: skeleton.Skeleton = SKELETON) -> str:
    """Write the rows as the store freezes them, and return the snapshot's id."""
    name = snapshots.content_id(rows, told)
    folder = project / "snapshots" / name
    folder.mkdir(parents=True, exist_ok=True)
    columns: dict[str, Any] = {
        key: getattr(rows, key) for key in ("image_path", "file_name", *snapshots._SCALARS)
    }
    columns["split"] = [str(split) for split in rows.split]
    for place, letter in enumerate("xywh"):
        columns[f"box_{letter}"] = rows.box_xywh[:, place]
    columns["x"], columns["y"] = rows.xy_image[..., 0].tolist(), rows.xy_image[..., 1].tolist()
    columns["v"], columns["state"] = rows.visibility.tolist(), rows.state.tolist()
    pq.write_table(pa.table(columns), folder / snapshots.PEOPLE_FILE)
    header = {"id": name, "skeleton": told.to_dict()}
    (folder / snapshots.SNAPSHOT_FILE).write_text(json.dumps(header))
    return name


def write_run(
    project: Path, name: str, snapshot: str, changes: dict[str, Any], preset: str = "paper"
) -> Path:
    """A run folder that a worker can train in seconds."""
    settings = {
        "data.height": 64, "data.width": 64, "data.batch_labeled": 4, "data.batch_unlabeled": 4,
        "train.threads": 1, "train.save_every": 4, "train.warmup": 2, "views.count": 3,
        "pool.threshold": 0.02, **changes,
    }  # fmt: skip
    run = project / "runs" / name
    run.mkdir(parents=True)
    made = config.make(preset, "tiny", settings)
    (run / "config.json").write_text(json.dumps(config.to_dict(made)))
    record = {"snapshot": snapshot, "from": None, "weights": None}
    (run / "run.json").write_text(json.dumps(record))
    return run


def tensors_equal(one: Path, other: Path) -> bool:
    """Whether two safetensors files hold the same tensors to the bit; the order of their header is free."""
    mine, theirs = load_file(one), load_file(other)
    return mine.keys() == theirs.keys() and all(mine[k].equal(theirs[k]) for k in mine)


def make_run(
    project: Path,
    name: str,
    preset: str,
    *,
    start: str | None = None,
    changes: dict[str, Any] | None = None,
) -> RunFolder:
    """A run folder of a few tiny steps, not trained yet."""
    small = {
        "data.height": 64, "data.width": 64, "train.steps": 3, "train.threads": 1,
        "data.batch_labeled": 4, "data.batch_unlabeled": 4, "data.hold_fold": False,
    }  # fmt: skip
    path = project / "runs" / name
    path.mkdir(parents=True)
    asked = config.make(preset, "tiny", {**small, **(changes or {})})  # type: ignore[arg-type]
    (path / "config.json").write_text(json.dumps(config.to_dict(asked)))
    snapshot = next((project / "snapshots").iterdir()).name
    (path / "run.json").write_text(json.dumps({"snapshot": snapshot, "from": start}))
    return RunFolder(path)
