"""How good predictions are, by COCO's own program: labels and predictions to its two files, and its ten numbers.

Beside them stands what explains them: PCK, each keypoint, the kinds of error, an interval. Evaluated are reviewed
people who are no crowd. Crowds, and reviewed people without a label, are regions where a prediction is neither right
nor wrong. A keypoint that no label taught is left out.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from posestudio.core import average_precision as ap
from posestudio.core import coco, metrics
from posestudio.core.skeleton import COCO17, OTHER_SIGMA, Skeleton
from posestudio.errors import InputError
from posestudio.store.snapshots import People

AREA_OF_BOX = 0.53
"""Area of a person over that of the box, where no area is given. Source: the convention of xtcocotools."""
SCORED_FROM = 0.2
"""Keypoint scores above this make a person's score. Source: IN_VIS_THRE of SimpleBaseline and PoseDual."""
FRACTIONS = (0.1, 0.2)
PCK_RULE = "error <= fraction x the longer side of the person's box"
ROUGH_BELOW = 50
"""A score on fewer people is called rough."""


@dataclass(frozen=True, slots=True)
class Scores:
    """What `evaluate` found; None stands for "nobody of this kind", never for 0.

    coco: pycocotools' ten numbers. interval: of AP, 95 %, by resampling groups of images; None below two groups.
    intervals: of all ten where they were asked for. rough: fewer than 50 people. pck: "pck@0.1" and "pck@0.2" over all
    keypoints, by `pck_rule`. keypoints: a row for each keypoint. error_kinds: share of the labeled keypoints of each
    kind. instance_ids, oks: the evaluated people and their OKS, 0 without a prediction. people, images: evaluated.
    crowds, unreviewed, unlabeled, unpredicted: people who were not, by why; the unpredicted count as not found.
    untaught: names of keypoints left out.
    """

    coco: dict[str, float | None]
    interval: tuple[float, float] | None
    intervals: dict[str, tuple[float, float] | None]
    rough: bool
    pck: dict[str, float | None]
    keypoints: tuple[dict[str, Any], ...]
    error_kinds: dict[str, float | None]
    instance_ids: tuple[int, ...]
    oks: tuple[float, ...]
    people: int
    images: int
    crowds: int
    unreviewed: int
    unlabeled: int
    unpredicted: int
    untaught: tuple[str, ...]
    oks_sigmas: tuple[float, ...]
    sigmas_source: str
    area_rule: str
    pck_rule: str = PCK_RULE

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready; the ten numbers and the PCKs stand at the top, by name."""
        record = dataclasses.asdict(self)
        return {**record.pop("coco"), **record.pop("pck"), **record}


@dataclass(frozen=True, slots=True)
class Difference:
    """AP of a second set of predictions over a first, on the same people.

    interval: of the difference, 95 %, both resampled alike. clear: the interval leaves out 0.
    """

    first: float | None
    second: float | None
    difference: float | None
    interval: tuple[float, float] | None
    clear: bool


def evaluate(
    people: People,
    xy_image: np.ndarray,
    score: np.ndarray,
    skeleton: Skeleton,
    taught: np.ndarray | None = None,
    *,
    box_score: np.ndarray | None = None,
    intervals: bool = False,
) -> Scores:
    """Score predictions against the labels of people.

    Args:
        people: N people, evaluated or not.
        xy_image: (N, K, 2) predictions in image pixels; a person whose keypoints are all NaN has no prediction.
        score: (N, K) of the keypoints; a person's rank is the mean of those above 0.2.
        skeleton: of the K keypoints; its oks_sigmas are used, whatever K is.
        taught: (K,) bool, what labels showed; all when None, or when nothing is.
        box_score: (N,) of the boxes; 1 when None.
        intervals: of all ten numbers, not of AP alone.

    Returns:
        Scores; pycocotools on the files of `coco_ground_truth` and `coco_results` gives the same ten numbers.

    Raises:
        InputError: shapes do not fit, or a prediction is NaN in part.
    """
    run = _run(people, xy_image, score, skeleton, taught=taught, box_score=box_score)
    judged, xy = run.people, run.xy_image
    visibility = _visible(judged, run.taught)
    counted = ~judged.iscrowd & (visibility > 0).any(axis=1)
    one, xy, visibility = judged.take(counted), xy[counted], visibility[counted]
    area, sigmas = areas(one), np.array(skeleton.oks_sigmas)
    oks = metrics.oks(xy, one.xy_image, visibility, area, sigmas)
    kinds = metrics.error_kinds(
        xy, one.xy_image, visibility, area, sigmas,
        flip_index=skeleton.flip_index, image_id=one.image_id,
    )  # fmt: skip
    rows, overall = _by_keypoint(one, xy, visibility, kinds, skeleton, run.taught)
    return Scores(
        coco=run.numbers,
        interval=ap.resampled(run.matches),
        intervals=ap.intervals(run.by_size()) if intervals else {},
        rough=len(one) < ROUGH_BELOW,
        pck=overall,
        keypoints=rows,
        error_kinds=_shares(kinds),
        instance_ids=tuple(one.instance_id.tolist()),
        oks=tuple(oks.tolist()),
        people=len(one),
        images=len(set(one.image_id.tolist())),
        crowds=int(people.iscrowd.sum()),
        unreviewed=int((~people.reviewed & ~people.iscrowd).sum()),
        unlabeled=int((~judged.iscrowd).sum()) - len(one),
        unpredicted=int((~np.isfinite(xy).all(axis=(1, 2))).sum()),
        untaught=tuple(row["name"] for row in rows if not row["taught"]),
        oks_sigmas=skeleton.oks_sigmas,
        sigmas_source=skeleton.sigmas_source,
        area_rule=area_rule(one),
    )


def compare(
    people: People,
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    skeleton: Skeleton,
    taught: np.ndarray | None = None,
) -> Difference:
    """Say whether one set of predictions is better than another on the same people.

    Args:
        people: as in `evaluate`, and so are skeleton and taught.
        first: xy_image (N, K, 2) and score (N, K) of the older predictions.
        second: of the newer ones.
        skeleton: of the K keypoints.
        taught: (K,) bool or None.
    """
    runs = [_run(people, *found, skeleton, taught=taught) for found in (first, second)]
    old, new = runs[0].numbers["AP"], runs[1].numbers["AP"]
    if old is None or new is None:
        return Difference(old, new, None, None, False)
    span = ap.resampled(runs[1].matches, runs[0].matches)
    return Difference(old, new, new - old, span, span is not None and not span[0] <= 0 <= span[1])


def areas(people: People) -> np.ndarray:
    """Area (N,) in square pixels that OKS is measured by: the given one, else 0.53 of the box."""
    boxed = AREA_OF_BOX * people.box_xywh[:, 2] * people.box_xywh[:, 3]
    return np.where(_given(people), people.area, boxed)


def area_rule(people: People) -> str:
    """What `areas` did, in words: "given", "0.53 x box", or how many of each."""
    given, count = int(_given(people).sum()), len(people)
    if given in (0, count):
        return "given" if given else f"{AREA_OF_BOX} x box"
    return f"given for {given} of {count} people, {AREA_OF_BOX} x box for the others"


def coco_ids(people: People) -> tuple[np.ndarray, np.ndarray]:
    """Image and annotation ids (N,) for COCO files, unique and above 0.

    An id of the source is kept when it is above 0 and no other image (or person) claims it; the others count on from
    the highest kept one. COCOeval reads annotation id 0 as "not matched", so 0 is never used.
    """
    images = coco.unique_ids(people.image_id, people.coco_image_id)
    return images, coco.unique_ids(people.instance_id, people.coco_id)


def coco_ground_truth(
    people: People, skeleton: Skeleton, *, taught: np.ndarray | None = None
) -> dict[str, Any]:
    """Labels as a COCO keypoint dataset that COCOeval reads: every person given, crowds included.

    Args:
        people: N people.
        skeleton: becomes category 1.
        taught: (K,) bool; a keypoint that is not is written as not labeled (v 0, x 0, y 0).
    """
    image_ids, ids = coco_ids(people)
    visibility, area = _visible(people, taught), areas(people)
    points = np.where(visibility[..., None] > 0, people.xy_image, 0.0)
    rows = np.concatenate([points, visibility[..., None]], axis=-1).tolist()
    images = {
        image_id: {
            "id": image_id, "file_name": people.file_name[index],
            "width": int(people.width[index]), "height": int(people.height[index]),
        }
        for index, image_id in enumerate(image_ids.tolist())
    }  # fmt: skip
    annotations = [
        {
            "id": int(ids[index]), "image_id": int(image_ids[index]), "category_id": 1,
            "keypoints": [n for row in rows[index] for n in (row[0], row[1], int(row[2]))],
            "num_keypoints": int((visibility[index] > 0).sum()),
            "area": float(area[index]), "bbox": people.box_xywh[index].tolist(),
            "iscrowd": int(people.iscrowd[index]),
        }
        for index in range(len(people))
    ]  # fmt: skip
    category = {
        "id": 1, "name": skeleton.name, "supercategory": "person",
        "keypoints": list(skeleton.keypoints),
        "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
    }  # fmt: skip
    return {"images": list(images.values()), "annotations": annotations, "categories": [category]}


def coco_results(
    people: People,
    xy_image: np.ndarray,
    score: np.ndarray,
    skeleton: Skeleton | None = None,
    *,
    box_score: np.ndarray | None = None,
    ids: tuple[np.ndarray, ...] | None = None,
) -> list[dict[str, Any]]:
    """Predictions as a COCO results file, one row a person.

    A row's score is the box score times the mean of the keypoint scores above 0.2 (0 if none is). Of predictions in
    one image with an OKS above 0.9 to a better one, only that is kept; this OKS takes all keypoints and the mean of
    the two boxes' areas. No bbox is written, so COCOeval sizes a prediction by the extent of its keypoints.

    Args:
        people: N people; crowds, and people whose prediction is all NaN, give no row.
        xy_image: (N, K, 2) in image pixels.
        score: (N, K).
        skeleton: whose oks_sigmas compare predictions; COCO's, or a shoulder's for all, when None.
        box_score: (N,) of the boxes; 1 when None.
        ids: image and category ids (N,) to write; those of `coco_ground_truth` when None.

    Raises:
        InputError: shapes do not fit, or a prediction is NaN in part.
    """
    xy, score, there = _checked(people, xy_image, score)
    sure = score > SCORED_FROM
    mean = np.where(sure, score, 0).sum(axis=1) / np.maximum(sure.sum(axis=1), 1)
    rank = mean if box_score is None else mean * np.asarray(box_score, np.float64)
    index = np.flatnonzero(there & ~people.iscrowd)
    size, image = people.box_xywh[index, 2:].prod(axis=1), people.image_id[index]
    sigmas = _sigmas(skeleton, xy.shape[1])
    kept = index[coco.distinct(xy[index], rank[index], size, image, sigmas)]
    image_ids, categories = ids or (coco_ids(people)[0], np.ones(len(people)))
    rows = np.concatenate([xy, score[..., None]], axis=-1).reshape(len(people), 3 * xy.shape[1])
    return [
        {
            "image_id": int(image_ids[i]), "category_id": int(categories[i]),
            "keypoints": rows[i].tolist(), "score": float(rank[i]),
        }
        for i in kept
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Run:
    """One pass of COCOeval: who was in it, what it said, and its matches by group of images."""

    people: People
    xy_image: np.ndarray
    taught: np.ndarray
    numbers: dict[str, float | None]
    evaluation: Any
    group_of: dict[int, int]

    @property
    def matches(self) -> ap.Matches:
        """Of people of all sizes."""
        return coco.matches(self.evaluation, self.group_of)

    def by_size(self) -> list[ap.Matches]:
        """Of people of all sizes, medium and large ones."""
        return [coco.matches(self.evaluation, self.group_of, size) for size in range(3)]


def _run(
    people: People,
    xy_image: np.ndarray,
    score: np.ndarray,
    skeleton: Skeleton,
    *,
    taught: np.ndarray | None,
    box_score: np.ndarray | None = None,
) -> _Run:
    """Run COCOeval on the reviewed people and the crowds."""
    count = len(skeleton.keypoints)
    known = np.asarray(np.ones(count) if taught is None else taught, bool)
    if people.xy_image.shape[1] != count or known.shape != (count,):
        theirs = people.xy_image.shape[1]
        raise InputError(
            f"Skeleton, people and taught have {count}, {theirs}, {known.size} keypoints."
        )
    if not known.any():
        known = ~known
    xy, score, _ = _checked(people, xy_image, score)
    index = np.flatnonzero(people.reviewed | people.iscrowd)
    judged, xy, score = people.take(index), xy[index], score[index]
    box_score = None if box_score is None else np.asarray(box_score)[index]
    truth = coco_ground_truth(judged, skeleton, taught=known)
    results = coco_results(judged, xy, score, skeleton, box_score=box_score)
    numbers, run = coco.run(truth, results, skeleton.oks_sigmas)
    group_of = dict(zip(coco_ids(judged)[0].tolist(), judged.group_id.tolist(), strict=True))
    return _Run(judged, xy, known, numbers, run, group_of)


def _by_keypoint(
    people: People,
    xy_image: np.ndarray,
    visibility: np.ndarray,
    kinds: np.ndarray,
    skeleton: Skeleton,
    taught: np.ndarray,
) -> tuple[tuple[dict[str, Any], ...], dict[str, float | None]]:
    """A row of numbers for each keypoint, and the PCKs over all."""
    labels = (xy_image, people.xy_image, visibility)
    side = people.box_xywh[:, 2:].max(axis=1, initial=0.0)
    found = {f"pck@{part}": metrics.pck(*labels, side, part) for part in FRACTIONS}
    terms = metrics.oks_terms(*labels, areas(people), np.array(skeleton.oks_sigmas))
    gaps = metrics.distances(*labels)
    rows = []
    for k, name in enumerate(skeleton.keypoints):
        labeled = visibility[:, k] > 0
        near = gaps[:, k][np.isfinite(gaps[:, k])]
        row = {"name": name, "taught": bool(taught[k]), "n": int(labeled.sum())}
        row |= {key: _number(value.per_keypoint[k]) for key, value in found.items()}
        row["oks"] = float(terms[labeled, k].mean()) if labeled.any() else None
        row["error_px"] = float(near.mean()) if len(near) else None
        rows.append(row | {"error_kinds": _shares(kinds[:, k])})
    return tuple(rows), {key: _number(value.overall) for key, value in found.items()}


def _checked(
    people: People, xy_image: np.ndarray, score: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Predictions in float64, and (N,) bool: who has one. A NaN in COCOeval would poison an OKS without a word."""
    xy, score = np.asarray(xy_image, np.float64), np.asarray(score, np.float64)
    shape = people.xy_image.shape
    if xy.shape != shape or score.shape != shape[:2]:
        needed = f"Predictions of {shape[0]} people with {shape[1]} keypoints are needed"
        raise InputError(f"{needed}, got positions {xy.shape} and scores {score.shape}.")
    there = np.asarray(np.isfinite(xy).any(axis=(1, 2)))
    bad = there & ~(np.isfinite(xy).all(axis=(1, 2)) & np.isfinite(score).all(axis=-1))
    if bad.any():
        who = f"person {people.instance_id[bad][0]} (and {int(bad.sum()) - 1} more)"
        raise InputError(
            f"A keypoint of {who} is predicted at NaN. Give each keypoint a finite x, y, score."
        )
    return xy, score, there


def _visible(people: People, taught: np.ndarray | None) -> np.ndarray:
    """Visibility (N, K) of the labels that count: placed somewhere, and taught."""
    seen = (people.visibility > 0) & np.isfinite(people.xy_image).all(axis=-1)
    if taught is not None:
        seen &= np.asarray(taught, bool)
    return np.where(seen, people.visibility, 0)


def _given(people: People) -> np.ndarray:
    return people.area_given & np.isfinite(people.area) & (people.area > 0)


def _sigmas(skeleton: Skeleton | None, count: int) -> np.ndarray:
    given = (skeleton or COCO17).oks_sigmas
    return np.array(given if len(given) == count else (OTHER_SIGMA,) * count)


def _shares(kinds: np.ndarray) -> dict[str, float | None]:
    """Share of each error kind among labeled keypoints."""
    names, labeled = metrics.ERROR_KINDS, kinds[kinds >= 0]
    share = [float((labeled == k).mean()) if labeled.size else None for k in range(len(names))]
    return dict(zip(names, share, strict=True))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
