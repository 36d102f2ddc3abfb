"""COCOeval as a pure function: a dataset and results as COCO's dictionaries in, its ten numbers and matches out.

pycocotools runs unchanged, on a private copy of its modules that prints nothing. (Redirecting stdout instead would
swallow what other threads print.)
"""

import functools
import importlib.util
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from posestudio.core.average_precision import Matches

Array = NDArray[np.float64]

NUMBERS = ("AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl")
"""pycocotools' numbers for keypoints in its order."""

SAME_POSE = 0.9
"""Of two predictions this alike in an image, the better one is kept. Source: OKS_THRE of SimpleBaseline."""


def run(
    truth: Mapping[str, Any], results: Sequence[Mapping[str, Any]], oks_sigmas: Sequence[float]
) -> tuple[dict[str, float | None], Any]:
    """Run COCOeval for keypoints on all images of `truth`.

    Args:
        truth: a COCO dataset whose people are of category 1.
        results: COCO results; may be empty, which finds nobody.
        oks_sigmas: K constants; COCOeval's own are for 17 keypoints.

    Returns:
        The ten numbers by name, None where nobody of that size is labeled; and the COCOeval object.
    """
    module = _quiet("coco")
    labels, found = module.COCO(), module.COCO()
    labels.dataset = {**truth, "annotations": [dict(row) for row in truth["annotations"]]}
    labels.createIndex()
    if results:
        found = labels.loadRes([dict(row) for row in results])
    else:
        found.dataset = {**truth, "annotations": []}
        found.createIndex()
    evaluation = _quiet("cocoeval").COCOeval(labels, found, "keypoints")
    evaluation.params.kpt_oks_sigmas = np.asarray(oks_sigmas, np.float64)
    evaluation.params.imgIds = sorted(labels.getImgIds())
    evaluation.params.catIds = [1]
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    stats = [None if value == -1 else float(value) for value in evaluation.stats]
    return dict(zip(NUMBERS, stats, strict=True)), evaluation


def matches(evaluation: Any, group_of: Mapping[int, int], size: int = 0) -> Matches:
    """The matches of a COCOeval that ran.

    Args:
        evaluation: of `run`.
        group_of: for each image id, the group that is resampled as one.
        size: 0 for people of all sizes, 1 for medium, 2 for large ones.
    """
    thresholds = len(evaluation.params.iouThrs)
    count = len(evaluation.params.imgIds)
    mine = evaluation.evalImgs[size * count : (size + 1) * count]
    rows = [row for row in mine if row is not None]
    groups = sorted({group_of[int(row["image_id"])] for row in rows})
    unit = {group: index for index, group in enumerate(groups)}
    units = [unit[group_of[int(row["image_id"])]] for row in rows]
    positives = np.zeros(len(groups), np.int64)
    for index, row in zip(units, rows, strict=True):
        positives[index] += int((np.asarray(row["gtIgnore"]) == 0).sum())
    counts = [len(row["dtScores"]) for row in rows]
    empty = [np.zeros((thresholds, 0))]
    matched = np.concatenate(empty + [row["dtMatches"] for row in rows], axis=1) != 0
    ignored = np.concatenate(empty + [row["dtIgnore"] for row in rows], axis=1) != 0
    score = [value for row in rows for value in row["dtScores"]]
    return Matches(
        score=np.array(score, np.float64),
        unit=np.repeat(np.array(units, np.int64), np.array(counts, np.int64)),
        right=matched & ~ignored,
        wrong=~matched & ~ignored,
        positives=positives,
    )


def distinct(
    xy: Array, rank: Array, area: Array, image_id: NDArray, sigmas: Array
) -> NDArray[np.intp]:
    """Find the predictions that are no copy of a better one: greedy suppression by OKS.

    Args:
        xy: (N, K, 2) finite, image pixels.
        rank: (N,), the higher the better; ties go to the earlier one.
        area: (N,) in square pixels; two predictions are compared by the mean of theirs.
        image_id: (N,); only predictions of one image are compared.
        sigmas: (K,), Skeleton.oks_sigmas.

    Returns:
        Indices of the kept predictions, ascending.

    Source: oks_nms of SimpleBaseline and PoseDual, all keypoints compared.
    """
    kept = np.ones(len(xy), bool)
    order = np.argsort(-rank, kind="mergesort")
    by_image: dict[int, list[int]] = {}
    for index in order.tolist():
        by_image.setdefault(int(image_id[index]), []).append(index)
    for members in by_image.values():
        for place, one in enumerate(members[:-1]):
            rest = np.array(members[place + 1 :])
            if kept[one]:
                size = (area[one] + area[rest]) / 2 + np.spacing(1)
                squared = ((xy[one] - xy[rest]) ** 2).sum(-1) / (2 * sigmas) ** 2
                alike = np.exp(-squared / size[:, None] / 2).mean(axis=-1)
                kept[rest[alike > SAME_POSE]] = False
    return np.flatnonzero(kept)


def unique_ids(own: NDArray, claimed: NDArray) -> NDArray[np.int64]:
    """One id above 0 for each thing: the claimed one where only that thing claims it, else a fresh one.

    Args:
        own: (N,) our key of a thing; a thing may be there several times.
        claimed: (N,) the id that a source gave it; 0 and below claim nothing.

    Returns:
        (N,), equal exactly where `own` is. Fresh ids count on from the highest kept one.
    """
    keys, claims = own.tolist(), claimed.tolist()
    claimants: dict[int, set[int]] = {}
    for key, claim in zip(keys, claims, strict=True):
        claimants.setdefault(claim, set()).add(key)
    chosen: dict[int, int] = {}
    for key, claim in zip(keys, claims, strict=True):
        if claim > 0 and len(claimants[claim]) == 1:
            chosen.setdefault(key, claim)
    fresh = max(chosen.values(), default=0)
    for key in keys:
        if key not in chosen:
            fresh += 1
            chosen[key] = fresh
    return np.array([chosen[key] for key in keys], np.int64)


@functools.cache
def _quiet(name: str) -> ModuleType:
    """A private copy of a module of pycocotools in which `print` does nothing."""
    spec = importlib.util.find_spec(f"pycocotools.{name}")
    if spec is None or spec.loader is None:
        raise ImportError(f"pycocotools.{name} is not installed")
    module = importlib.util.module_from_spec(spec)
    module.print = lambda *_, **__: None  # type: ignore[attr-defined]
    spec.loader.exec_module(module)
    return module
