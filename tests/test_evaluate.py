"""The numbers are pycocotools' own: run by hand on the written files, they agree to 1e-9. Each known trap is a test."""

import contextlib
import dataclasses
import io
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posestudio.core import average_precision as ap
from posestudio.core import coco
from posestudio.core import skeleton as skeletons
from posestudio.core.skeleton import COCO17, Skeleton
from posestudio.errors import InputError
from posestudio.evaluate import (
    Scores,
    areas,
    coco_ground_truth,
    coco_ids,
    coco_results,
    compare,
    evaluate,
)
from posestudio.store.snapshots import People
from posestudio.studio.baseline import mean_pose, mean_pose_predictions

LSP14 = skeletons.from_dict(
    {
        "keypoints": [
            "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist",
            "right_elbow", "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
        ]
    }
)  # fmt: skip


def crowd_of(
    seed: int = 0, count: int = 60, images: int = 20, keypoints: int = 17, **changes: Any
) -> People:
    """People at random places and of random sizes, several in an image, some keypoints without a label."""
    rng = np.random.default_rng(seed)
    size = rng.uniform(20, 260, (count, 2))
    corner = rng.uniform(0, 300, (count, 2))
    unit = rng.uniform(0, 1, (count, keypoints, 2))
    visibility = rng.choice([0, 1, 2], (count, keypoints), p=[0.3, 0.2, 0.5]).astype(np.int8)
    xy = corner[:, None] + unit * size[:, None]
    image_id = rng.integers(1, images + 1, count)
    no = np.zeros(count, bool)
    values = {
        "instance_id": np.arange(1, count + 1), "image_id": image_id,
        "image_path": [f"images/{i}" for i in image_id], "width": np.full(count, 640),
        "height": np.full(count, 640), "box_xywh": np.concatenate([corner, size], axis=1),
        "box_revision": np.ones(count, int), "xy_image": np.where(visibility[..., None] > 0, xy, np.nan),
        "visibility": visibility, "state": (visibility > 0).astype(np.int8),
        "split": np.array(["val"] * count), "fold": no, "area": size.prod(axis=1) * 0.6,
        "area_given": ~no, "iscrowd": no, "reviewed": ~no, "group_id": image_id + 1000,
        "source_id": np.ones(count, int), "coco_image_id": image_id + 500,
        "coco_id": np.arange(count) + 9000, "file_name": [f"{i}.jpg" for i in image_id],
    }  # fmt: skip
    return People(**{**values, **changes})


def replace(people: People, **changes: Any) -> People:
    return dataclasses.replace(people, **changes)


def guess(people: People, error: float = 0.05, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that are off by about `error` of the box, and scores that know a little of it."""
    rng = np.random.default_rng(seed)
    scale = people.box_xywh[:, 2:].max(axis=1)[:, None, None]
    middle = (people.box_xywh[:, :2] + people.box_xywh[:, 2:] / 2)[:, None]
    truth = np.where(np.isnan(people.xy_image), middle, people.xy_image)
    how = error * rng.gamma(1.0, 1.0, (len(people), 1, 1))
    xy = truth + rng.normal(size=truth.shape) * scale * how
    score = np.clip(0.9 - 2 * how[..., 0] + rng.normal(size=truth.shape[:2]) * 0.1, 0, 1)
    return xy, score


def by_hand(truth: Any, results: Any, sigmas: Any, folder: Path) -> dict[str, float | None]:
    """pycocotools as a stranger would run it on two files."""
    (folder / "truth.json").write_text(json.dumps(truth))
    (folder / "results.json").write_text(json.dumps(results))
    with contextlib.redirect_stdout(io.StringIO()):
        labels = COCO(str(folder / "truth.json"))
        run = COCOeval(labels, labels.loadRes(str(folder / "results.json")), "keypoints")
        if sigmas is not None:
            run.params.kpt_oks_sigmas = np.array(sigmas)
        run.evaluate()
        run.accumulate()
        run.summarize()
    return {
        name: None if value == -1 else float(value)
        for name, value in zip(coco.NUMBERS, run.stats, strict=True)
    }


def agree(ours: dict[str, float | None], theirs: dict[str, float | None]) -> bool:
    return all(
        (ours[name] is None) == (theirs[name] is None)
        and (ours[name] is None or abs(ours[name] - theirs[name]) < 1e-9)  # type: ignore[operator]
        for name in coco.NUMBERS
    )


@pytest.mark.parametrize("seed", range(6))
def test_the_ten_numbers_are_pycocotools(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    people = crowd_of(seed, iscrowd=rng.random(60) < 0.1, reviewed=rng.random(60) < 0.9)
    people.visibility[:3] = 0
    xy, score = guess(people)
    scores = evaluate(people, xy, score, COCO17)
    kept = people.take(people.reviewed | people.iscrowd)
    index = np.flatnonzero(people.reviewed | people.iscrowd)
    truth = coco_ground_truth(kept, COCO17)
    results = coco_results(kept, xy[index], score[index], COCO17)
    theirs = by_hand(truth, results, None, tmp_path)
    assert agree(scores.coco, theirs), (scores.coco, theirs)
    assert 0.05 < (scores.coco["AP"] or 0) < 0.95
    assert scores.people + scores.crowds + scores.unreviewed + scores.unlabeled == 60


def test_the_numbers_fit_the_source_file_of_real_labels(tmp_path: Path, shared_data: Path) -> None:
    """Predictions with the source's ids, scored on the source's own file, give what `evaluate` says."""
    path = shared_data / "coco_mini" / "annotations" / "person_keypoints_val.json"
    source = json.loads(path.read_text())
    people = from_coco(source)
    xy, score = guess(people, 0.04)
    results = coco_results(people, xy, score, COCO17)
    assert {row["image_id"] for row in results} <= {row["id"] for row in source["images"]}
    scores = evaluate(people, xy, score, COCO17)
    assert agree(scores.coco, by_hand(source, results, None, tmp_path))
    assert (scores.coco["AP"] or 0) > 0.1 and scores.crowds + scores.people > 100


def from_coco(source: dict[str, Any]) -> People:
    rows = source["annotations"]
    size = {row["id"]: row for row in source["images"]}
    flat = np.array([row["keypoints"] for row in rows], float).reshape(len(rows), -1, 3)
    visibility = flat[..., 2].astype(np.int8)
    image = np.array([row["image_id"] for row in rows])
    order = {key: index + 1 for index, key in enumerate(dict.fromkeys(image.tolist()))}
    ours = np.array([order[key] for key in image.tolist()])
    return crowd_of(
        count=len(rows), keypoints=flat.shape[1], image_id=ours, coco_image_id=image, group_id=ours,
        coco_id=np.array([row["id"] for row in rows]), visibility=visibility,
        xy_image=np.where(visibility[..., None] > 0, flat[..., :2], np.nan),
        box_xywh=np.array([row["bbox"] for row in rows], float),
        area=np.array([row["area"] for row in rows], float),
        iscrowd=np.array([row["iscrowd"] == 1 for row in rows]),
        width=np.array([size[key]["width"] for key in image.tolist()]),
        height=np.array([size[key]["height"] for key in image.tolist()]),
    )  # fmt: skip


def test_perfect_predictions_score_one() -> None:
    people = crowd_of(coco_id=np.arange(60))  # 0 among the source's annotation ids
    xy = np.where(np.isnan(people.xy_image), 0.0, people.xy_image)
    scores = evaluate(people, xy, np.ones((60, 17)), COCO17)
    assert all(value == pytest.approx(1, abs=1e-9) for value in scores.coco.values())
    assert scores.pck == {"pck@0.1": 1.0, "pck@0.2": 1.0}
    assert scores.error_kinds["good"] == 1 and set(scores.oks) == {1.0}
    assert scores.interval == pytest.approx((1, 1))


# The twelve traps of method.md 6.3, in its order.


def test_trap_1_annotation_id_0_counts_as_unmatched(tmp_path: Path) -> None:
    people = crowd_of(coco_id=np.arange(60), coco_image_id=np.maximum(crowd_of().image_id - 1, 0))
    truth = coco_ground_truth(people, COCO17)
    assert all(row["id"] > 0 for row in truth["annotations"])
    assert all(row["id"] > 0 for row in truth["images"])
    xy = np.where(np.isnan(people.xy_image), 0.0, people.xy_image)
    results = coco_results(people, xy, np.ones((60, 17)), COCO17)
    assert by_hand(truth, results, None, tmp_path)["AP"] == pytest.approx(1, abs=1e-9)
    lowest = min(truth["annotations"], key=lambda row: row["id"])
    lowest["id"] = 0
    assert (by_hand(truth, results, None, tmp_path)["AP"] or 0) < 0.999


def test_trap_2_labels_always_have_what_cocoeval_reads() -> None:
    people = crowd_of(area=np.zeros(60), area_given=np.arange(60) % 2 == 0)
    needed = {
        "id",
        "image_id",
        "category_id",
        "keypoints",
        "num_keypoints",
        "area",
        "bbox",
        "iscrowd",
    }
    for row in coco_ground_truth(people, COCO17)["annotations"]:
        assert set(row) == needed
        assert row["area"] > 0 and len(row["keypoints"]) == 51
        assert row["num_keypoints"] == sum(v > 0 for v in row["keypoints"][2::3])
        assert all(type(v) is int for v in row["keypoints"][2::3])
        for x, y, v in zip(*(row["keypoints"][i::3] for i in range(3)), strict=True):
            assert v > 0 or (x, y) == (0, 0)


def test_trap_3_a_crowd_is_ignored_because_it_is_a_crowd() -> None:
    """A prediction on a crowd is neither right nor wrong; were the crowd a person, it would be missed."""
    people = crowd_of(images=60)
    people = people.take(np.unique(people.image_id, return_index=True)[1])
    xy, score = guess(people, 0.01)
    plain = evaluate(people, xy, score, COCO17)
    crowded = np.zeros(len(people), bool)
    crowded[:5] = True
    with_crowds = replace(people, iscrowd=crowded)
    scores = evaluate(with_crowds, xy, score, COCO17)
    rest = evaluate(people.take(~crowded), xy[~crowded], score[~crowded], COCO17)
    assert agree(scores.coco, rest.coco) and scores.crowds == 5
    assert scores.people == plain.people - 5


def test_trap_4_predicted_visibility_is_unused_and_nan_is_refused() -> None:
    people = crowd_of()
    xy, score = guess(people)
    ones = replace(people, visibility=np.minimum(people.visibility, 1))
    assert evaluate(ones, xy, score, COCO17).coco == evaluate(people, xy, score, COCO17).coco
    xy[4, 3] = np.nan
    with pytest.raises(InputError, match="person 5"):
        evaluate(people, xy, score, COCO17)
    xy[4] = np.nan  # nothing at all: that person has no prediction
    scores = evaluate(people, xy, score, COCO17)
    assert scores.unpredicted == 1 and scores.oks[list(scores.instance_ids).index(5)] == 0
    score[3, 2] = np.inf
    with pytest.raises(InputError, match="finite"):
        evaluate(people, xy, score, COCO17)


def test_trap_5_results_carry_no_box_so_keypoints_size_a_detection() -> None:
    people = crowd_of()
    results = coco_results(people, *guess(people), COCO17)
    assert all(set(row) == {"image_id", "category_id", "keypoints", "score"} for row in results)


def test_trap_6_ids_fit_and_an_empty_result_list_scores_zero() -> None:
    people = crowd_of()
    truth = coco_ground_truth(people, COCO17)
    results = coco_results(people, *guess(people), COCO17)
    assert {row["image_id"] for row in results} <= {row["id"] for row in truth["images"]}
    assert {row["category_id"] for row in results} == {row["id"] for row in truth["categories"]}
    scores = evaluate(people, np.full((60, 17, 2), np.nan), np.zeros((60, 17)), COCO17)
    assert set(scores.coco.values()) == {0.0} and scores.unpredicted == scores.people == 60
    assert scores.error_kinds["miss"] == 1 and scores.pck["pck@0.2"] == 0
    assert scores.keypoints[0]["error_px"] is None
    assert scores.interval == (0, 0)


def test_trap_7_sigmas_are_those_of_the_skeleton(tmp_path: Path) -> None:
    people = crowd_of(keypoints=14)
    xy, score = guess(people)
    scores = evaluate(people, xy, score, LSP14)
    truth, results = coco_ground_truth(people, LSP14), coco_results(people, xy, score, LSP14)
    assert agree(scores.coco, by_hand(truth, results, LSP14.oks_sigmas, tmp_path))
    wide = dataclasses.replace(LSP14, oks_sigmas=(0.3,) * 14, sigmas_source="file")
    wider = evaluate(people, xy, score, wide)
    assert (wider.coco["AP"] or 0) > (scores.coco["AP"] or 0) + 0.05
    assert wider.sigmas_source == "file" and wider.oks_sigmas == (0.3,) * 14
    assert scores.sigmas_source == "coco and default"
    near = evaluate(crowd_of(), *guess(crowd_of()), COCO17)
    assert near.oks_sigmas == pytest.approx(_cocos_own(), abs=1e-12)


def _cocos_own() -> list[float]:
    return COCOeval(iouType="keypoints").params.kpt_oks_sigmas.tolist()


def test_trap_8_images_of_people_who_are_not_evaluated_do_not_count() -> None:
    people = crowd_of(images=60)
    xy, score = guess(people)
    half = people.image_id % 2 == 0
    alone = evaluate(people.take(half), xy[half], score[half], COCO17)
    among = evaluate(replace(people, reviewed=half), xy, score, COCO17)
    assert agree(alone.coco, among.coco)
    assert among.unreviewed == int((~half).sum()) and among.images == alone.images


def test_trap_9_nobody_of_a_size_is_none_not_minus_one_and_not_zero() -> None:
    people = crowd_of(area=np.full(60, 200.0 * 200.0))
    scores = evaluate(people, *guess(people), COCO17)
    assert scores.coco["APm"] is None and scores.coco["ARm"] is None
    assert scores.coco["APl"] is not None and scores.coco["APl"] > 0
    nobody = evaluate(
        people.take(np.zeros(60, bool)), np.zeros((0, 17, 2)), np.zeros((0, 17)), COCO17
    )
    assert set(nobody.coco.values()) == {None} and nobody.people == 0 and nobody.rough
    assert nobody.interval is None and set(nobody.pck.values()) == {None}
    json.dumps(nobody.to_dict(), allow_nan=False)


def test_trap_10_no_name_of_an_old_numpy_is_needed() -> None:
    """Warnings are errors here: removed or deprecated numpy names would show."""
    code = (
        "import warnings; warnings.simplefilter('error')\n"
        "from tests.test_evaluate import *\n"
        "people = crowd_of(); evaluate(people, *guess(people), COCO17)\n"
    )
    project = Path(__file__).resolve().parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_trap_11_sizes_are_of_the_labels_area(tmp_path: Path) -> None:
    """A person counts as medium from 32 x 32 and as large from 96 x 96, by area, whatever the box."""
    people = crowd_of(images=60)
    people = people.take(np.unique(people.image_id, return_index=True)[1])
    large = np.arange(len(people)) % 2 == 0
    people = replace(people, area=np.where(large, 96.0**2 + 1, 96.0**2 - 1))
    xy, score = guess(people, 0.02)
    xy[~large] += 1000.0
    scores = evaluate(people, xy, score, COCO17)
    assert (scores.coco["ARm"], scores.coco["ARl"]) == (0, evaluate(
        people.take(large), xy[large], score[large], COCO17).coco["AR"])  # fmt: skip
    assert (scores.coco["ARl"] or 0) > 0.3


def test_trap_12_coordinates_are_pixel_centres_as_they_stand() -> None:
    """Nothing shifts by half a pixel on the way to the files, and such a slip would cost small faces."""
    people = crowd_of(area=np.full(60, 32.0**2 + 1))
    truth = coco_ground_truth(people, COCO17)
    kept = np.array([row["keypoints"] for row in truth["annotations"]]).reshape(60, 17, 3)
    seen = people.visibility > 0
    assert np.array_equal(kept[..., :2][seen], people.xy_image[seen])
    xy, score = guess(people)
    results = coco_results(people, xy, score, COCO17)
    first = np.array(results[0]["keypoints"]).reshape(17, 3)
    assert np.array_equal(first[:, :2], xy[0]) and np.array_equal(first[:, 2], score[0])
    slipped = np.where(seen[..., None], people.xy_image, 0.0) + 0.5
    face = np.array([1] * 5 + [0] * 12, bool)
    assert (evaluate(people, slipped, score, COCO17, face).coco["AP"] or 0) < 0.95
    assert evaluate(people, slipped - 0.5, score, COCO17, face).coco["AP"] == pytest.approx(1)


# Beyond the traps.


def test_ids_of_two_sources_that_clash_are_told_apart(tmp_path: Path) -> None:
    """Both sources number their images and people from 0."""
    one, other = crowd_of(0, 30, 10), crowd_of(1, 30, 10)
    joined = {}
    for field in dataclasses.fields(People):
        a, b = getattr(one, field.name), getattr(other, field.name)
        joined[field.name] = a + b if isinstance(a, list) else np.concatenate([a, b])
    image = np.concatenate([one.image_id, other.image_id + 100])
    people = replace(
        People(**joined), instance_id=np.arange(1, 61), image_id=image, group_id=image,
        coco_image_id=np.concatenate([one.image_id - 1, other.image_id - 1]),
        coco_id=np.tile(np.arange(30), 2), source_id=np.repeat([1, 2], 30),
    )  # fmt: skip
    images, ids = coco_ids(people)
    assert len(set(ids.tolist())) == 60 and ids.min() > 0 and images.min() > 0
    for a in range(60):
        assert ((images == images[a]) == (image == image[a])).all()
    xy, score = guess(people)
    truth, results = coco_ground_truth(people, COCO17), coco_results(people, xy, score, COCO17)
    assert len(truth["images"]) == len(set(image.tolist()))
    scores = evaluate(people, xy, score, COCO17)
    assert agree(scores.coco, by_hand(truth, results, None, tmp_path))
    fresh = replace(people, coco_id=np.arange(60) + 1, coco_image_id=image)
    assert agree(scores.coco, evaluate(fresh, xy, score, COCO17).coco)


def test_good_ids_of_the_source_are_kept() -> None:
    people = crowd_of()
    images, ids = coco_ids(people)
    assert np.array_equal(images, people.coco_image_id) and np.array_equal(ids, people.coco_id)
    mixed = replace(people, coco_id=np.where(np.arange(60) < 5, -1, people.coco_id))
    _, ids = coco_ids(mixed)
    assert np.array_equal(ids[5:], people.coco_id[5:]) and ids[:5].min() > people.coco_id.max()


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_people_and_images_does_not_matter(seed: int) -> None:
    people = crowd_of(seed)
    xy, score = guess(people)
    order = np.random.default_rng(seed).permutation(60)
    shuffled = replace(people.take(order), image_id=100 - people.image_id[order])
    one, other = (
        evaluate(people, xy, score, COCO17),
        evaluate(shuffled, xy[order], score[order], COCO17),
    )
    assert agree(one.coco, other.coco)
    assert sorted(one.oks) == pytest.approx(sorted(other.oks))


def test_untaught_keypoints_are_left_out_and_named(tmp_path: Path) -> None:
    people = crowd_of()
    xy, score = guess(people)
    taught = np.array([False] * 5 + [True] * 12)
    scores = evaluate(people, xy, score, COCO17, taught)
    assert scores.untaught == COCO17.keypoints[:5]
    assert [row["n"] for row in scores.keypoints[:5]] == [0] * 5
    assert scores.keypoints[0]["oks"] is None and scores.keypoints[0]["taught"] is False
    blind = replace(people, visibility=np.where(taught, people.visibility, 0))
    results = coco_results(people, xy, score, COCO17)
    assert agree(scores.coco, by_hand(coco_ground_truth(blind, COCO17), results, None, tmp_path))
    xy[:, :5] += 5.0
    nudged = evaluate(people, xy, score, COCO17, taught)
    assert nudged.oks == scores.oks
    assert evaluate(people, xy, score, COCO17, np.zeros(17, bool)).untaught == ()


def test_a_copy_of_a_better_prediction_is_dropped() -> None:
    people = crowd_of(count=4, images=1)
    xy, score = guess(people)
    xy[1], xy[3] = xy[0] + 0.5, xy[2]
    score[:] = np.array([0.5, 0.9, 0.8, 0.8])[:, None]
    rows = coco_results(people, xy, score, COCO17)
    assert [row["score"] for row in rows] == pytest.approx([0.9, 0.8])
    assert np.allclose(rows[1]["keypoints"][0::3], xy[2, :, 0])  # the earlier of two equals
    apart = replace(people, image_id=np.arange(4), coco_image_id=np.arange(4) + 1)
    assert len(coco_results(apart, xy, score, COCO17)) == 4


def test_a_persons_score_is_the_mean_of_what_is_above_a_fifth() -> None:
    people = crowd_of(count=3, images=3)
    xy, _ = guess(people)
    score = np.zeros((3, 17))
    score[0, :2], score[0, 2], score[1] = (0.8, 0.4), 0.2, 0.1
    score[2] = 1.0
    ranks = [
        r["score"] for r in coco_results(people, xy, score, COCO17, box_score=np.array([1, 1, 0.5]))
    ]
    assert ranks == pytest.approx([0.6, 0.0, 0.5])
    json.dumps(coco_results(people, xy, score, COCO17), allow_nan=False)


@pytest.mark.parametrize("seed", range(3))
def test_ap_from_matches_with_unit_weights_is_pycocotools_ap(seed: int) -> None:
    people = crowd_of(seed, iscrowd=np.random.default_rng(seed).random(60) < 0.2)
    xy, score = guess(people)
    score = score.round(1)  # ties
    truth, results = coco_ground_truth(people, COCO17), coco_results(people, xy, score, COCO17)
    numbers, run = coco.run(truth, results, COCO17.oks_sigmas)
    groups = {int(row["id"]): int(row["id"]) % 7 for row in truth["images"]}
    matches = coco.matches(run, groups)
    twice = ap.average_precision(
        matches, np.array([[1.0], [3.0]]).repeat(len(matches.positives), 1)
    )
    assert twice == pytest.approx([numbers["AP"], numbers["AP"]], abs=1e-9)
    assert len(matches.positives) == 7
    weights = np.ones(7)
    weights[2] = 0
    kept = np.array([groups[i] != 2 for i in coco_ids(people)[0].tolist()])
    fewer = evaluate(people.take(kept), xy[kept], score[kept], COCO17)
    assert ap.average_precision(matches, weights[None])[0] == pytest.approx(
        fewer.coco["AP"], abs=1e-9
    )


def test_every_one_of_the_ten_numbers_has_an_interval_and_unit_weights_give_the_number() -> None:
    people = crowd_of()
    xy, score = guess(people)
    scores = evaluate(people, xy, score, COCO17, intervals=True)
    assert scores.intervals["AP"] == scores.interval and set(scores.intervals) == set(scores.coco)
    for name, value in scores.coco.items():
        low, high = scores.intervals[name] or (0, 1)
        assert value is not None and low <= value <= high, name
    truth = coco_ground_truth(people, COCO17)
    numbers, run = coco.run(truth, coco_results(people, xy, score, COCO17), COCO17.oks_sigmas)
    group_of = dict(zip(coco_ids(people)[0].tolist(), people.group_id.tolist(), strict=True))
    for name, (size, kind, levels) in ap.COLUMNS.items():
        matches = coco.matches(run, group_of, size)
        once = ap.by_threshold(matches, np.ones((1, len(matches.positives))))[kind][levels]
        assert once.mean() == pytest.approx(numbers[name], abs=1e-9), name


def test_few_people_are_rough_and_the_interval_holds_the_score() -> None:
    people = crowd_of()
    scores = evaluate(people, *guess(people), COCO17)
    assert not scores.rough and scores.interval is not None
    low, high = scores.interval
    assert low < (scores.coco["AP"] or 0) < high and high - low > 0.02
    few = people.take(people.image_id <= 5)
    xy, score = guess(few)
    small = evaluate(few, xy, score, COCO17)
    assert small.rough and small.interval is not None
    assert small.interval[1] - small.interval[0] > high - low
    one = replace(few, group_id=np.zeros(len(few), int))
    assert evaluate(one, xy, score, COCO17).interval is None


def test_a_difference_is_clear_only_when_it_is_there() -> None:
    people = crowd_of(count=120, images=60)
    good, bad = guess(people, 0.02, seed=1), guess(people, 0.1, seed=2)
    better = compare(people, bad, good, COCO17)
    assert better.clear and better.interval is not None and better.interval[0] > 0
    assert better.difference == pytest.approx((better.second or 0) - (better.first or 0))
    same = compare(people, good, good, COCO17)
    assert same.difference == 0 and same.interval == (0, 0) and not same.clear
    noise = compare(people, guess(people, 0.05, seed=3), guess(people, 0.05, seed=4), COCO17)
    assert noise.interval is not None and noise.interval[0] < noise.interval[1]
    none = compare(people.take(np.zeros(120, bool)), *[(np.zeros((0, 17, 2)), np.zeros((0, 17)))] * 2, COCO17)  # type: ignore[arg-type]  # fmt: skip
    assert none.difference is None and not none.clear


def test_the_mean_pose_beats_nothing_and_fits_its_own_people() -> None:
    people = crowd_of(count=200, images=100)
    steady = people.box_xywh[:, None, :2] + 0.25 * people.box_xywh[:, None, 2:] - 0.5
    steady = np.where(
        people.visibility[..., None] > 0, np.broadcast_to(steady, (200, 17, 2)), np.nan
    )
    alike = replace(people, xy_image=steady)
    alike.visibility[:, 4] = 0
    pose = mean_pose(alike)
    expected = np.full((17, 2), 0.25)
    expected[4] = 0.5
    assert pose == pytest.approx(expected)
    xy, score = mean_pose_predictions(alike, pose)
    assert xy.shape == (200, 17, 2) and score.shape == (200, 17)
    assert evaluate(alike, xy, score, COCO17).oks == pytest.approx([1.0] * 200)
    random = evaluate(people, *mean_pose_predictions(people, mean_pose(people)), COCO17)
    close = evaluate(people, *guess(people, 0.02), COCO17)
    assert (random.coco["AP"] or 0) < 0.1 < (close.coco["AP"] or 0)


def test_pck_is_of_the_longer_side_of_the_box() -> None:
    people = crowd_of(box_xywh=np.tile([10.0, 10, 40, 100], (60, 1)), visibility=np.full((60, 17), 2, np.int8),
                      xy_image=np.full((60, 17, 2), 30.0))  # fmt: skip
    xy = people.xy_image + np.array([9.9, 0])
    xy[:, 3] += np.array([1.0, 0])
    scores = evaluate(people, xy, np.ones((60, 17)), COCO17)
    assert scores.pck == {"pck@0.1": pytest.approx(16 / 17), "pck@0.2": 1.0}
    assert scores.keypoints[3]["pck@0.1"] == 0 and scores.keypoints[2]["error_px"] == pytest.approx(
        9.9
    )
    assert "longer side" in scores.pck_rule and scores.to_dict()["pck_rule"] == scores.pck_rule


def test_areas_say_where_they_come_from() -> None:
    people = crowd_of(box_xywh=np.tile([0.0, 0, 10, 10], (60, 1)), area=np.full(60, 7.0))
    given = np.arange(60) < 20
    for flags, rule in ((np.ones(60, bool), "given"), (np.zeros(60, bool), "0.53 x box")):
        one = replace(people, area_given=flags)
        assert evaluate(one, *guess(one), COCO17).area_rule == rule
    mixed = replace(people, area_given=given)
    assert "20 of 60" in evaluate(mixed, *guess(mixed), COCO17).area_rule
    assert areas(mixed).tolist() == pytest.approx([7.0] * 20 + [53.0] * 40)


def test_scores_are_json_with_the_numbers_on_top() -> None:
    people = crowd_of()
    record = evaluate(people, *guess(people), COCO17).to_dict()
    back = json.loads(json.dumps(record, allow_nan=False))
    assert set(coco.NUMBERS) | {"pck@0.1", "pck@0.2", "oks", "keypoints"} <= set(back)
    assert len(back["oks"]) == len(back["instance_ids"]) == back["people"]
    assert sum(back["error_kinds"].values()) == pytest.approx(1)


def test_shapes_that_do_not_fit_are_refused() -> None:
    people = crowd_of()
    xy, score = guess(people)
    with pytest.raises(InputError, match="60 people with 17"):
        evaluate(people, xy[:5], score[:5], COCO17)
    with pytest.raises(InputError, match="14"):
        evaluate(people, xy, score, LSP14)
    with pytest.raises(InputError, match="keypoints"):
        evaluate(people, xy, score, COCO17, np.ones(5, bool))


def test_oks_is_cocoevals() -> None:
    people = crowd_of(images=60)
    people = people.take(np.unique(people.image_id, return_index=True)[1])
    people = people.take((people.visibility > 0).any(axis=1))
    xy, score = guess(people)
    truth, results = coco_ground_truth(people, COCO17), coco_results(people, xy, score, COCO17)
    _, run = coco.run(truth, results, COCO17.oks_sigmas)
    theirs = [float(run.ious[int(i), 1][0, 0]) for i in coco_ids(people)[0]]
    assert evaluate(people, xy, score, COCO17).oks == pytest.approx(theirs, abs=1e-12)


def test_nothing_is_printed_and_pycocotools_itself_still_prints(capsys: Any) -> None:
    people = crowd_of()
    evaluate(people, *guess(people), COCO17)
    assert capsys.readouterr().out == ""
    labels = COCO()
    labels.dataset = coco_ground_truth(people, COCO17)  # type: ignore[assignment]
    labels.createIndex()
    assert "index" in capsys.readouterr().out


def test_five_hundred_people_take_well_under_five_seconds() -> None:
    people = crowd_of(count=500, images=400)
    xy, score = guess(people)
    start = time.process_time()
    scores: Scores = evaluate(people, xy, score, COCO17)
    assert time.process_time() - start < 5
    assert scores.people > 450


def test_a_skeleton_of_one_keypoint_works() -> None:
    dot = Skeleton("dot", ("dot",), (), (), (0.079,))
    people = crowd_of(keypoints=1)
    scores = evaluate(people, *guess(people, 0.01), dot)
    assert (scores.coco["AP"] or 0) > 0.3 and scores.keypoints[0]["name"] == "dot"


def test_a_crowd_that_nobody_reviewed_still_forgives_predictions_on_it() -> None:
    people = crowd_of(count=3, images=1, visibility=np.full((3, 17), 2, np.int8))
    people.visibility[2] = 0
    people.xy_image[:] = np.where(np.isnan(people.xy_image), 50.0, people.xy_image)
    crowd = np.array([False, False, True])
    people = replace(people, iscrowd=crowd, reviewed=~crowd)
    people.box_xywh[2] = [1000, 1000, 100, 100]
    xy, score = people.xy_image.copy(), np.tile([[0.5], [0.9], [0.1]], (1, 17))
    xy[1] = 1050.0
    on_crowd = evaluate(people, xy, score, COCO17)
    without = evaluate(people.take(~crowd), xy[~crowd], score[~crowd], COCO17)
    assert on_crowd.coco["AR"] == without.coco["AR"] == 0.5
    assert on_crowd.coco["AP"] == pytest.approx(51 / 101)
    assert without.coco["AP"] == pytest.approx(51 / 202)
    assert on_crowd.crowds == 1 and on_crowd.unreviewed == 0 and on_crowd.people == 2
