"""Predictions of a cell on the people who judge: crops cut once, one row for each person, and numbers from the rows.

A row holds what every table and interval needs, so that they can be made again without photographs: the rank of the
prediction, its OKS to the label and to the label with left and right swapped, and how many keypoints are near.
"""

import hashlib
import os
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from benchmarks.datasets import Dataset
from posestudio import evaluate
from posestudio.core import average_precision, geometry, metrics
from posestudio.core.skeleton import Skeleton
from posestudio.predict import ENSEMBLE, Found, Predictor, cut_crop, load_image
from posestudio.store.snapshots import People

THRESHOLDS = np.linspace(0.5, 0.95, 10)
"""Of OKS. Source: pycocotools cocoeval.py, Params.setKpParams."""
JITTER = 0.1
"""Largest shift of a jittered box over its side, and largest logarithm of its stretch."""
BATCH = 16

Rows = dict[str, np.ndarray]
"""Columns: instance, score, oks, oks_mirrored, near10, near20, labeled; one entry for each person."""


@dataclass(frozen=True, slots=True)
class Crops:
    """People who judge with their crops (N, H, W, 3) uint8 and the matrices (N, 2, 3) from image to crop."""

    people: People
    pixels: np.ndarray
    matrices: np.ndarray


def jittered(boxes_xywh: np.ndarray, seed: int = 0) -> np.ndarray:
    """Boxes (N, 4) moved by up to a tenth of their side and stretched by up to a tenth, on each axis by itself."""
    draws = np.random.default_rng(seed).uniform(-JITTER, JITTER, (len(boxes_xywh), 2, 2))
    corner, side = boxes_xywh[:, :2], boxes_xywh[:, 2:]
    stretched = side * np.exp(draws[:, 0])
    return np.concatenate([corner + side * (draws[:, 1] + 0.5) - stretched / 2, stretched], axis=1)


def open_crops(
    dataset: Dataset, split: str, size_hw: tuple[int, int], padding: float, *, jitter: bool = False
) -> Crops:
    """The crops of a split as `predict` cuts them, cut once and memory-mapped from the project's cache."""
    people = dataset.people(split)
    boxes = jittered(people.box_xywh) if jitter else people.box_xywh
    key = hashlib.sha256(f"{size_hw} {padding} {people.image_path}".encode() + boxes.tobytes())
    path = dataset.project / "cache" / "judges" / f"{key.hexdigest()[:24]}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{uuid.uuid4().hex}.part")
        images = (load_image(dataset.project / name) for name in people.image_path)
        cut = [
            cut_crop(image, box, size_hw, padding)[0]
            for image, box in zip(images, boxes, strict=True)
        ]
        with part.open("wb") as file:
            np.save(file, np.stack(cut))
        os.replace(part, path)
    matrices = geometry.box_to_crop(torch.from_numpy(boxes), size_hw, padding).numpy()
    return Crops(people, np.load(path, mmap_mode="r"), matrices)


def predict(
    predictor: Predictor, crops: Crops, students: Sequence[str], *, flip: bool = False
) -> dict[str, Found]:
    """Positions (N, K, 2) in image pixels and scores (N, K) of each student asked that the run has."""
    asked = [name for name in students if name == ENSEMBLE or name in predictor.students]
    parts: dict[str, list[Found]] = {name: [] for name in asked}
    for at in range(0, len(crops.pixels), BATCH):
        images = predictor.tensor(np.asarray(crops.pixels[at : at + BATCH]))
        maps = predictor.all_heatmaps(images, asked, flip=flip)
        for name in asked:
            parts[name].append(predictor.read(maps[name], crops.matrices[at : at + BATCH]))
    return {
        name: (np.concatenate([xy for xy, _ in found]), np.concatenate([s for _, s in found]))
        for name, found in parts.items()
    }


def rows_of(people: People, found: Found, skeleton: Skeleton) -> Rows:
    """The rows of one set of predictions, one person an image.

    Raises:
        ValueError: two people share an image, or somebody has no labeled keypoint; AP would need more than rows.
    """
    xy, score = found
    visibility = people.visibility * np.isfinite(people.xy_image).all(axis=-1)
    if len(np.unique(people.image_id)) < len(people) or not (visibility > 0).any(axis=1).all():
        raise ValueError(
            "people who judge must be alone in their image and have a labeled keypoint"
        )
    ranked = evaluate.coco_results(people, xy, score, skeleton)
    area, sigmas = evaluate.areas(people), np.array(skeleton.oks_sigmas)
    mirror = list(skeleton.flip_index)
    gap = metrics.distances(xy, people.xy_image, visibility)
    side = people.box_xywh[:, 2:].max(axis=1)[:, None]
    return {
        "instance": people.instance_id.astype(np.int32),
        "score": np.array([row["score"] for row in ranked], np.float64),
        "oks": metrics.oks(xy, people.xy_image, visibility, area, sigmas),
        "oks_mirrored": metrics.oks(
            xy, people.xy_image[:, mirror], visibility[:, mirror], area, sigmas
        ),
        "near10": (gap <= 0.1 * side).sum(axis=1).astype(np.int8),
        "near20": (gap <= 0.2 * side).sum(axis=1).astype(np.int8),
        "labeled": (visibility > 0).sum(axis=1).astype(np.int8),
    }


def matches_of(
    rows: Rows, thresholds: np.ndarray = THRESHOLDS, *, swaps: bool = False
) -> average_precision.Matches:
    """Matches of one prediction a person; with `swaps`, the better of label and mirrored label counts."""
    oks = np.maximum(rows["oks"], rows["oks_mirrored"]) if swaps else rows["oks"]
    right = oks[None] >= np.asarray(thresholds)[:, None]
    count = len(oks)
    return average_precision.Matches(
        score=rows["score"], unit=np.arange(count), right=right, wrong=~right,
        positives=np.ones(count, np.int64),
    )  # fmt: skip


def ap(rows: Rows, thresholds: np.ndarray = THRESHOLDS, *, swaps: bool = False) -> float:
    """COCO's AP of the rows, in [0, 1]."""
    matches = matches_of(rows, thresholds, swaps=swaps)
    return float(average_precision.average_precision(matches, np.ones((1, len(matches.score))))[0])


def numbers(rows: Rows) -> dict[str, float]:
    """ap, ap50, ap75, swap_ap, pck (within 0.2 of the box's longer side) and pck10, in [0, 1]."""
    labeled = rows["labeled"].sum()
    return {
        "ap": ap(rows),
        "ap50": ap(rows, np.array([0.5])),
        "ap75": ap(rows, np.array([0.75])),
        "swap_ap": ap(rows, swaps=True),
        "pck": float(rows["near20"].sum() / labeled),
        "pck10": float(rows["near10"].sum() / labeled),
    }


def joined(parts: Iterable[Rows]) -> Rows:
    """The rows of several splits as one."""
    found = list(parts)
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}


def write(path: Path, found: Mapping[tuple[str, str], Rows]) -> None:
    """Keep rows by (split, variant) in one Parquet file, floats in 32 bits."""
    columns: dict[str, list] = {"split": [], "variant": []}
    for (split, variant), rows in found.items():
        columns["split"].append(np.full(len(rows["oks"]), split))
        columns["variant"].append(np.full(len(rows["oks"]), variant))
        for name, values in rows.items():
            narrow = values.astype(np.float32) if values.dtype.kind == "f" else values
            columns.setdefault(name, []).append(narrow)
    arrays = {name: pa.array(np.concatenate(parts)) for name, parts in columns.items()}
    words = ["split", "variant"]
    for name in words:
        arrays[name] = arrays[name].dictionary_encode()
    part = path.with_name(path.name + ".part")
    floats = ["score", "oks", "oks_mirrored"]
    options: Any = {
        "use_dictionary": [name for name in arrays if name not in floats],
        "use_byte_stream_split": floats,
    }
    pq.write_table(pa.table(arrays), part, compression="zstd", compression_level=19, **options)
    os.replace(part, path)


def read(path: Path) -> dict[tuple[str, str], Rows]:
    """What `write` kept, by (split, variant); floats in 64 bits with 32 bits' content."""
    table = pq.read_table(path)
    names = [name for name in table.column_names if name not in ("split", "variant")]
    columns = {name: table.column(name).to_numpy() for name in names}
    wide = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in columns.items()}
    splits = np.array(table.column("split").to_pylist())
    variants = np.array(table.column("variant").to_pylist())
    return {
        (split, variant): {
            name: values[(splits == split) & (variants == variant)] for name, values in wide.items()
        }
        for split in dict.fromkeys(splits.tolist())
        for variant in dict.fromkeys(variants[splits == split].tolist())
    }
