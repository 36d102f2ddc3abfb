"""Rows of people are enough: the AP made from them is pycocotools', and what is kept on disk gives it again."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from benchmarks.budget import scores
from posestudio import evaluate
from posestudio.core.skeleton import COCO17
from posestudio.store.snapshots import People
from tests.train import people as drawn


def judges(count: int = 60, seed: int = 0) -> People:
    """People of 17 keypoints, alone in their images, some keypoints without a label, boxes of all sizes."""
    rng = np.random.default_rng(seed)
    side = rng.uniform(40, 300, (count, 1))
    points = 100 + side[:, None] * rng.uniform(0, 1, (count, 17, 2))
    people = drawn.people(points, np.full(count, "val"))
    hidden = rng.random((count, 17)) < 0.3
    hidden[:, 5] = False
    return dataclasses.replace(
        people,
        xy_image=np.where(hidden[..., None], np.nan, points),
        visibility=np.where(hidden, 0, 2).astype(np.int8),
        box_xywh=np.concatenate([np.full((count, 2), 100.0), side, 1.2 * side], axis=1),
        area=0.6 * side[:, 0] ** 2,
        area_given=rng.random(count) < 0.5,
    )


def guesses(people: People, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Predictions from good to bad; some keypoint scores are under the rank's limit."""
    rng = np.random.default_rng(seed)
    size = people.box_xywh[:, 2, None, None]
    far = rng.gamma(1.0, 0.06, (len(people), 1, 1))
    xy = np.nan_to_num(people.xy_image, nan=150.0)
    return xy + rng.normal(0, 1, xy.shape) * size * far, rng.uniform(0, 1, xy.shape[:2])


@pytest.mark.parametrize("seed", range(4))
def test_ap_from_rows_is_that_of_evaluate(seed: int):
    people = judges(seed=seed)
    found = guesses(people, seed)
    theirs = evaluate.evaluate(people, *found, COCO17).to_dict()
    ours = scores.numbers(scores.rows_of(people, found, COCO17))
    pairs = {"ap": "AP", "ap50": "AP50", "ap75": "AP75", "pck10": "pck@0.1", "pck": "pck@0.2"}
    assert 0.05 < theirs["AP"] < 0.95
    for mine, name in pairs.items():
        assert ours[mine] == pytest.approx(theirs[name], abs=1e-9), name


def test_a_mirrored_prediction_is_forgiven_by_the_swap_tolerant_ap_only():
    people = judges()
    xy = np.nan_to_num(people.xy_image, nan=150.0)
    mirrored = xy[:, list(COCO17.flip_index)]
    full = dataclasses.replace(people, xy_image=xy, visibility=np.full((60, 17), 2, np.int8))
    rows = scores.rows_of(full, (mirrored, np.ones((60, 17))), COCO17)
    assert rows["oks_mirrored"] == pytest.approx(1.0)
    found = scores.numbers(rows)
    assert found["swap_ap"] == pytest.approx(1.0) and found["ap"] < 0.5


def test_rows_on_disk_give_the_same_numbers(tmp_path: Path):
    people = judges()
    made = {
        (split, variant): scores.rows_of(people, guesses(people, seed), COCO17)
        for seed, (split, variant) in enumerate([("dev", "a"), ("val", "a"), ("val", "a_flip")])
    }
    scores.write(tmp_path / "rows.parquet", made)
    read = scores.read(tmp_path / "rows.parquet")
    assert list(read) == list(made)
    for key, rows in made.items():
        assert read[key].keys() == rows.keys()
        assert (read[key]["instance"] == people.instance_id).all()
        for name in rows:
            assert read[key][name] == pytest.approx(rows[name], rel=1e-6)
        assert scores.numbers(read[key]) == pytest.approx(scores.numbers(rows), abs=1e-6)


def test_rows_of_many_cells_stay_small(tmp_path: Path):
    """A cell keeps 7 variants of 2,500 people."""
    rng = np.random.default_rng(0)
    rows: scores.Rows = {name: rng.random(2500) for name in ("score", "oks", "oks_mirrored")}
    for name in ("near10", "near20", "labeled"):
        rows[name] = rng.integers(0, 13, 2500).astype(np.int8)
    rows["instance"] = np.arange(2500, dtype=np.int32).view()
    scores.write(tmp_path / "rows.parquet", {("val", str(k)): rows for k in range(7)})
    assert (tmp_path / "rows.parquet").stat().st_size < 250_000


def test_jittered_boxes_stay_within_a_tenth_and_are_the_same_each_time():
    boxes = np.tile([10.0, 20.0, 100.0, 200.0], (500, 1))
    moved = scores.jittered(boxes)
    assert (moved == scores.jittered(boxes)).all()
    stretch = np.log(moved[:, 2:] / boxes[:, 2:])
    shift = (moved[:, :2] + moved[:, 2:] / 2 - boxes[:, :2] - boxes[:, 2:] / 2) / boxes[:, 2:]
    for part in (stretch, shift):
        assert np.abs(part).max() <= 0.1 and part.std() == pytest.approx(0.2 / 12**0.5, rel=0.1)


def test_two_people_of_one_image_are_refused():
    people = judges()
    people.image_id[1] = people.image_id[0]
    with pytest.raises(ValueError, match="alone in their image"):
        scores.rows_of(people, guesses(people), COCO17)
