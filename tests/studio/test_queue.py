"""The order of the queue and its words, on hand-made people."""

import numpy as np

from posestudio.studio import queue


def beliefs(count=40, kinds=4, seed=0):
    draw = np.random.default_rng(seed)
    distance = draw.uniform(0, 30, (count, kinds))
    return queue.Beliefs(
        xy_image=draw.uniform(0, 100, (count, kinds, 2)),
        score=1 - distance / 40,
        distance=distance,
        uncertainty=np.full((count, kinds), np.nan),
        stale=np.zeros(count, bool),
    )


BOX = np.tile([0.0, 0.0, 50.0, 100.0], (40, 1))


def test_more_distance_and_less_confidence_mean_more_doubt():
    known = beliefs()
    found = queue.doubt(
        known, BOX, np.full((40, 4, 2), np.nan), calibrating=np.zeros((40, 4), bool)
    )
    order = np.argsort(known.distance, axis=None)
    assert (np.diff(found.score.ravel()[order]) > 0).all()
    assert found.probability is None


def test_the_probability_is_calibrated_on_the_fold_only():
    known = beliefs()
    fold = np.zeros((40, 4), bool)
    fold[:10] = True
    label = known.xy_image.copy()
    label[..., 0] += known.distance  # the error is the distance: wrong from 15 px on
    label[10:] += 1000  # not in the fold: must not be looked at
    found = queue.doubt(known, BOX, label, calibrating=fold)
    assert found.probability is not None
    assert (found.probability[known.distance > 20] == 1).all()
    assert (found.probability[known.distance < 10] == 0).all()
    few = np.zeros((40, 4), bool)
    few[:4] = True
    assert queue.doubt(known, BOX, label, calibrating=few).probability is None


def test_people_are_ordered_by_their_three_worst_open_keypoints():
    scores = np.array(
        [
            [0.9, 0.1, 0.1, 0.1],
            [0.5, 0.5, 0.5, 0.0],
            [1.0, 1.0, 1.0, 1.0],
            [0.2, 0.2, np.nan, np.nan],
        ]
    )
    open_ = np.ones((4, 4), bool)
    open_[2] = False  # complete
    found = queue.by_doubt(queue.Doubt(scores, None), open_, limit=9)
    assert [index for index, _ in found] == [1, 0, 3]
    np.testing.assert_allclose([score for _, score in found], [0.5, 1.1 / 3, 0.2])
    assert len(queue.by_doubt(queue.Doubt(scores, None), open_, limit=1)) == 1


def test_missing_student_b_leaves_confidence():
    known = beliefs()
    alone = queue.Beliefs(
        known.xy_image, known.score, np.full((40, 4), np.nan), known.uncertainty, known.stale
    )
    found = queue.doubt(
        alone, BOX, np.full((40, 4, 2), np.nan), calibrating=np.zeros((40, 4), bool)
    )
    assert np.isfinite(found.score).all()
    assert found.score.argmax() == known.score.argmin()


def test_variety_stays_away_from_labeled_people_and_from_itself():
    features = np.array([[0.0], [0.1], [5.0], [5.1], [10.0]])
    labeled = np.array([True, False, False, False, False])
    found = queue.by_variety(features, labeled, ~labeled, limit=3)
    assert [index for index, _ in found] == [4, 2, 1] or [index for index, _ in found] == [4, 3, 1]
    none = queue.by_variety(features, np.zeros(5, bool), np.ones(5, bool), limit=5)
    assert sorted(index for index, _ in none) == [0, 1, 2, 3, 4]
    assert queue.by_variety(features, labeled, np.zeros(5, bool), limit=3) == []


def test_reasons_in_words():
    said = queue.reason("left_wrist", distance=40.2, height=200, score=0.9, uncertainty=np.nan)
    assert said == "left wrist: a and b 40 px apart"
    said = queue.reason("right_ankle", distance=1, height=200, score=0.12, uncertainty=np.nan)
    assert said == "right ankle: confidence 0.12"
    assert "views differ" in queue.reason(
        "nose", distance=1, height=200, score=0.9, uncertainty=0.3
    )


def test_describe_has_no_nan():
    known = beliefs()
    known.xy_image[3] = np.nan
    assert np.isfinite(queue.describe(known, BOX)).all()
