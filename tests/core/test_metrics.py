"""OKS, PCK and kinds of error against closed forms and against pycocotools."""

import contextlib
import io
from typing import Any

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posestudio.core import metrics
from posestudio.core.skeleton import COCO17

SIGMAS = np.array(COCO17.oks_sigmas)
INDEX = COCO17.flip_index
LEFT_WRIST, RIGHT_WRIST, NOSE = 9, 10, 0


def people(count: int, seed: int = 0):
    """Labels (count, 17, 2), visibilities and areas."""
    rng = np.random.default_rng(seed)
    xy = rng.uniform(0, 300, (count, 17, 2))
    return xy, rng.integers(0, 3, (count, 17)), rng.uniform(500, 50_000, count)


def coco_eval(xy_pred, xy_true, visibility, area, first_id: int = 1) -> Any:
    """pycocotools on one person an image, run to the end."""
    count = len(xy_true)
    triples = np.concatenate([xy_true, visibility[..., None]], -1).reshape(count, -1)
    truth: Any = COCO()  # its type stubs are narrower than what it takes
    truth.dataset = {
        "images": [{"id": n, "width": 400, "height": 400} for n in range(count)],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": [
            {
                "id": first_id + n, "image_id": n, "category_id": 1, "iscrowd": 0, "area": area[n],
                "bbox": [0, 0, 400, 400], "keypoints": triples[n].tolist(),
                "num_keypoints": int((visibility[n] > 0).sum()),
            }
            for n in range(count)
        ],
    }  # fmt: skip
    found = np.concatenate([xy_pred, np.ones((count, 17, 1))], -1).reshape(count, -1)
    results = [
        {
            "image_id": n,
            "category_id": 1,
            "keypoints": found[n].tolist(),
            "score": 1 - n / count / 2,
        }
        for n in range(count)
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        score = COCOeval(truth, truth.loadRes(results), "keypoints")
        score.evaluate()
        score.accumulate()
        score.summarize()
    return score


def test_a_perfect_prediction_has_oks_one():
    """Identity 10."""
    xy, visibility, area = people(20)
    visibility[:, 0] = 2
    assert metrics.oks(xy, xy, visibility, area, SIGMAS) == pytest.approx(np.ones(20))


def test_one_moved_keypoint_lowers_oks_by_the_closed_form():
    xy, _, area = people(5)
    visibility = np.full((5, 17), 2)
    moved = xy.copy()
    moved[:, LEFT_WRIST, 0] += 7.0
    term = np.exp(-(7.0**2) / (2 * area * (2 * 0.062) ** 2))
    expected = (16 + term) / 17
    assert metrics.oks(moved, xy, visibility, area, SIGMAS) == pytest.approx(expected, abs=1e-12)


def test_oks_does_not_change_with_the_size_of_the_picture():
    xy, visibility, area = people(20)
    pred = xy + np.random.default_rng(1).normal(0, 6, xy.shape)
    small = metrics.oks(pred, xy, visibility, area, SIGMAS)
    large = metrics.oks(pred * 3, xy * 3, visibility, area * 9, SIGMAS)
    np.testing.assert_allclose(large, small, rtol=0, atol=1e-12)


def test_oks_equals_pycocotools():
    """Identity 11, on 200 random people."""
    xy, visibility, area = people(200, seed=3)
    visibility[:, 3] = 1
    pred = xy + np.random.default_rng(4).normal(0, 12, xy.shape)
    score = coco_eval(pred, xy, visibility, area)
    theirs = np.array([score.ious[n, 1][0, 0] for n in range(200)])
    ours = metrics.oks(pred, xy, visibility, area, SIGMAS)
    assert ours.std() > 0.1
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-9)


def test_annotation_ids_start_at_one():
    """Identity 10: pycocotools takes id 0 for "unmatched", so perfect predictions would not score 1."""
    xy, _, area = people(10)
    visibility = np.full((10, 17), 2)
    assert coco_eval(xy, xy, visibility, area, first_id=1).stats[0] == pytest.approx(1.0)
    assert coco_eval(xy, xy, visibility, area, first_id=0).stats[0] < 0.99


def test_what_is_not_labeled_does_not_count_and_what_is_not_predicted_scores_zero():
    xy, _, area = people(2)
    visibility = np.zeros((2, 17), int)
    visibility[0, :2] = 1, 2
    pred = xy.copy()
    pred[0, 1] = np.nan
    pred[0, 2:] = 9999
    terms = metrics.oks_terms(pred, xy, visibility, area, SIGMAS)
    assert terms[0, :2].tolist() == [1.0, 0.0]
    assert np.isnan(terms[0, 2:]).all()
    score = metrics.oks(pred, xy, visibility, area, SIGMAS)
    assert score[0] == 0.5 and np.isnan(score[1])


def test_pck_counts_within_a_fraction_of_each_persons_length():
    xy = np.zeros((2, 3, 2))
    pred = xy.copy()
    pred[0, :, 0] = 5, 10, 10.1  # of length 100: within 0.1, at it, beyond it
    pred[1, :, 1] = 5, 6, np.nan  # of length 50
    visibility = np.array([[2, 1, 2], [1, 2, 2]])
    result = metrics.pck(pred, xy, visibility, np.array([100.0, 50.0]), 0.1)
    assert result.per_keypoint.tolist() == [1.0, 0.5, 0.0]
    assert result.overall == pytest.approx(3 / 6)
    visibility[:, 2] = 0
    result = metrics.pck(pred, xy, visibility, np.array([100.0, 50.0]), 0.1)
    assert result.overall == pytest.approx(3 / 4) and np.isnan(result.per_keypoint[2])


def test_distances_tell_no_label_from_no_prediction():
    pred = np.array([[[3.0, 4.0], [np.nan, 0.0], [1.0, 1.0]]])
    found = metrics.distances(pred, np.zeros((1, 3, 2)), np.array([[1, 2, 0]]))
    assert found[0, 0] == 5 and np.isinf(found[0, 1]) and np.isnan(found[0, 2])


def kinds(pred, xy, visibility, area, image_id):
    found = metrics.error_kinds(
        pred, xy, visibility, area, SIGMAS, flip_index=INDEX, image_id=image_id
    )
    return [[metrics.ERROR_KINDS[k] if k >= 0 else None for k in row] for row in found]


def apart(count: int):
    """People whose 17 keypoints are 100 pixels from each other, area 10000, all labeled."""
    xy = np.arange(17)[None, :, None] * np.array([100.0, 0]) + np.zeros((count, 1, 2))
    xy[..., 1] += 1000.0 * np.arange(count)[:, None]
    return xy, np.full((count, 17), 2), np.full(count, 10_000.0)


def radius(keypoint: int, similarity: float) -> float:
    """Pixels at which a keypoint of a person of area 10000 has this similarity."""
    return 2 * SIGMAS[keypoint] * np.sqrt(-2 * 10_000 * np.log(similarity))


def test_error_kinds_at_their_limits():
    xy, visibility, area = apart(2)
    pred = xy.copy()
    pred[0, NOSE, 1] += radius(NOSE, 0.86)
    pred[0, 1, 1] += radius(1, 0.84)
    pred[0, 2, 1] += radius(2, 0.51)
    pred[0, 3, 1] += radius(3, 0.49)
    pred[0, LEFT_WRIST] = xy[0, RIGHT_WRIST]
    pred[0, 5] = xy[1, 5]
    pred[0, 7] = xy[1, INDEX[7]]
    pred[0, 15] = np.nan
    visibility[0, 16] = 0
    found = kinds(pred, xy, visibility, area, np.array([4, 4]))[0]
    expected: list[str | None] = ["good"] * 17
    expected[1] = expected[2] = "jitter"
    expected[3] = expected[15] = "miss"
    expected[LEFT_WRIST] = "inversion"
    expected[5] = expected[7] = "swap"
    expected[16] = None
    assert found == expected


def test_people_of_other_images_are_no_swap():
    xy, visibility, area = apart(2)
    pred = xy[::-1].copy()
    assert set(kinds(pred, xy, visibility, area, np.array([1, 1]))[0]) == {"swap"}
    assert set(kinds(pred, xy, visibility, area, np.array([1, 2]))[0]) == {"miss"}


def test_unlabeled_mirrors_and_neighbours_explain_nothing():
    xy, visibility, area = apart(2)
    pred = xy.copy()
    pred[0, LEFT_WRIST], pred[0, 5] = xy[0, RIGHT_WRIST], xy[1, 5]
    visibility[0, RIGHT_WRIST] = visibility[1, 5] = 0
    found = kinds(pred, xy, visibility, area, np.array([1, 1]))[0]
    assert found[LEFT_WRIST] == found[5] == "miss"


def test_the_nearer_explanation_wins():
    """On the neighbour's wrist, a little off the own other wrist: a swap; the other way round an inversion."""
    xy, visibility, area = apart(2)
    off = radius(LEFT_WRIST, 0.7)
    for on_neighbour, expected in ((True, "swap"), (False, "inversion")):
        xy[1, LEFT_WRIST] = xy[0, RIGHT_WRIST] + [0, off]
        pred = xy.copy()
        pred[0, LEFT_WRIST] = xy[1, LEFT_WRIST] if on_neighbour else xy[0, RIGHT_WRIST]
        assert kinds(pred, xy, visibility, area, np.array([1, 1]))[0][LEFT_WRIST] == expected


def test_same_image_pairs_everyone_with_everyone_else():
    one, other = metrics.same_image(np.array([7, 3, 7, 5, 7, 3]))
    found = sorted(zip(one.tolist(), other.tolist(), strict=True))
    assert found == [(0, 2), (0, 4), (1, 5), (2, 0), (2, 4), (4, 0), (4, 2), (5, 1)]


def test_nobody_is_no_error():
    xy, visibility, area = np.zeros((0, 17, 2)), np.zeros((0, 17)), np.zeros(0)
    assert metrics.oks(xy, xy, visibility, area, SIGMAS).shape == (0,)
    assert np.isnan(metrics.pck(xy, xy, visibility, area, 0.1).overall)
    none = metrics.error_kinds(
        xy, xy, visibility, area, SIGMAS, flip_index=INDEX, image_id=np.zeros(0, int)
    )
    assert none.shape == (0, 17)
