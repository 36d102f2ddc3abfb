"""The order of the queue and its words, on hand-made people."""

import numpy as np
import pytest

from posestudio.core import calibrate, trust
from posestudio.studio import evidence, queue


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
    assert (found.probability[known.distance > 20] > 0.9).all()
    assert (found.probability[known.distance < 10] < 0.1).all()
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


def test_variety_can_be_weighed_by_worth():
    features, labeled = np.array([[0.0], [1.0], [2.0], [2.1]]), np.arange(4) == 0
    worth = np.array([9.0, 0.5, 0.9, 0.8])
    found = queue.by_variety(features, labeled, ~labeled, limit=9, worth=worth)
    assert [index for index, _ in found] == [2, 1, 3]
    assert [value for _, value in found] == pytest.approx([1.8, 0.5, 0.08])


def test_reasons_in_words():
    said = queue.reason("left_wrist", distance=40.2, height=200, score=0.9, uncertainty=np.nan)
    assert said == "left wrist: a and b 40 px apart"
    said = queue.reason("right_ankle", distance=1, height=200, score=0.12, uncertainty=np.nan)
    assert said == "right ankle: score 0.12"
    said = queue.reason(
        "right_ankle", distance=1, height=200, score=0.12, uncertainty=np.nan, error=0.618
    )
    assert said == "right ankle: error 62 %"
    assert "views differ" in queue.reason(
        "nose", distance=1, height=200, score=0.9, uncertainty=0.3
    )


def test_describe_has_no_nan():
    known = beliefs()
    known.xy_image[3] = np.nan
    assert np.isfinite(queue.describe(known, BOX)).all()


def chances_of_both(judges, box, label):
    """The probability of an error by both students, which these people have enough unseen labels for."""
    found = queue.chances(judges, box, label)["both"].probability
    assert found is not None
    return found


def judges_of(count=120, kinds=4, seed=0, labeled=60, unseen=(20, 20)):
    """Both students and each alone about people whose true doubt is known; labels of the first `labeled`.

    a left out the first unseen[0] people, b the next unseen[1]; the students repeat labels that they have seen.
    """
    draw = np.random.default_rng(seed)
    truth = draw.uniform(20, 80, (count, kinds, 2))
    hard = draw.normal(size=(count, kinds))
    label = np.where(np.arange(count)[:, None, None] < labeled, truth, np.nan)
    fresh = np.zeros((2, count, kinds), bool)
    fresh[0, : unseen[0]], fresh[1, unseen[0] : sum(unseen)] = True, True
    found, wrong = [], {}
    for name, who in (("both", [0, 1]), ("a", [0]), ("b", [1])):
        chance = 1 / (1 + np.exp(-2 * hard))
        new = fresh[who].all(axis=0) | ~np.isfinite(label[..., 0])
        wrong[name] = (draw.uniform(size=hard.shape) < chance) & new
        seen = truth + np.where(wrong[name], 40.0, 1.0)[..., None]
        measures = np.stack(
            [hard, hard + draw.normal(size=hard.shape), draw.normal(size=hard.shape)], -1
        )
        measures = np.where(
            new[..., None], 3 * measures + 1, -9.0
        )  # no doubt about what was learned
        unseen_by_all = np.asarray(fresh[who].all(axis=0))
        found.append(evidence.Judge(name, seen, measures, unseen_by_all))
    return found, label, wrong["both"]


def of(judges):
    count, kinds = judges[0].unseen.shape
    nan = np.full((count, kinds), np.nan)
    return queue.Beliefs(
        judges[0].xy_image, np.full((count, kinds), 0.5), nan, nan, np.zeros(count, bool)
    )


def test_people_whom_one_student_left_out_calibrate_both():
    judges, label, wrong = judges_of(count=400)
    box = np.tile([0.0, 0.0, 50.0, 100.0], (400, 1))
    none = np.zeros((400, 4), bool)
    found = queue.doubt(of(judges), box, label, calibrating=none, judges=judges)
    assert found.probability is not None and (found.score == found.probability).all()
    new = np.arange(400) >= 60
    assert trust.auroc(found.probability[new].ravel(), wrong[new].ravel()) > 0.76
    assert trust.ece(found.probability[new].ravel(), wrong[new].ravel(), 10) < 0.08
    worst = queue.by_doubt(found, np.isnan(label[..., 0]), limit=400)
    assert min(index for index, _ in worst) == 60


def test_labels_that_a_student_has_seen_never_calibrate():
    judges, label, _ = judges_of(count=400)
    box = np.tile([0.0, 0.0, 50.0, 100.0], (400, 1))
    first = chances_of_both(judges, box, label)
    label[40:60] += 1000  # seen by both: must not be looked at
    second = chances_of_both(judges, box, label)
    np.testing.assert_array_equal(first, second)
    label[:20] += 1000  # left out by a
    assert np.nanmean(chances_of_both(judges, box, label)) > np.nanmean(first)


def test_few_unseen_labels_give_the_rank_of_the_mean_grade():
    box = np.tile([0.0, 0.0, 50.0, 100.0], (120, 1))
    none = np.zeros((120, 4), bool)
    judges, label, _ = judges_of(unseen=(1, 1))  # 8 keypoints
    found = queue.doubt(of(judges), box, label, calibrating=none, judges=judges)
    assert found.probability is None
    open_ = np.isnan(label[..., 0])
    mean = calibrate.graded(judges[0].measures, open_).mean(axis=-1)
    assert trust.spearman(found.score[open_], mean[open_]) == pytest.approx(1)
    judges, label, _ = judges_of(unseen=(5, 5))  # 40
    found = queue.doubt(of(judges), box, label, calibrating=none, judges=judges)
    assert found.probability is not None
    score = queue.chances(judges, box, label)["both"].score
    order = np.argsort(score[open_])
    assert (np.diff(found.probability[open_][order]) >= 0).all()


def test_people_whom_the_judges_do_not_know_keep_the_doubt_of_their_predictions():
    judges, label, _ = judges_of(count=200)
    box = np.tile([0.0, 0.0, 50.0, 100.0], (200, 1))
    judges[0].measures[150] = np.nan
    known = of(judges)
    known.score[150] = [0.9, 0.2, 0.5, np.nan]
    found = queue.doubt(known, box, label, calibrating=np.zeros((200, 4), bool), judges=judges)
    assert found.probability is not None
    assert found.score[150, 1] > found.score[150, 0]
    assert np.isnan(found.score[150, 3])
    assert np.isnan(found.probability[150]).all()  # a rank is not a probability
    assert np.isfinite(found.probability[151]).all()
