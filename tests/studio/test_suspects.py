"""Labels that look wrong, on hand-made people: two pairs of keypoints and one in the middle."""

import numpy as np
import pytest

from posestudio.studio import suspects
from posestudio.studio.evidence import Judge

NAMES = ("nose", "left_wrist", "right_wrist", "left_ankle", "right_ankle")
FLIP = (0, 2, 1, 4, 3)
POSE = np.array([[50.0, 10], [80, 40], [20, 40], [70, 90], [30, 90]])
BOX = np.tile([0.0, 0.0, 100.0, 100.0], (5, 1))


def opinion(seen, chance=0.1, unseen=True):
    shape = seen.shape[:2]
    return suspects.Opinion(seen, np.full(shape, chance), np.full(shape, unseen), True)


def people():
    """Labels and what a good student sees: fine, swapped, one pair swapped, a wrist far off, nothing labeled."""
    seen = np.tile(POSE, (5, 1, 1)) + 1.0
    label = np.tile(POSE, (5, 1, 1))
    label[1] = label[1][list(FLIP)]
    label[2, [3, 4]] = label[2, [4, 3]]
    label[3, 1] += (0.0, 40.0)
    label[4] = np.nan
    return seen, label


def test_swaps_come_first_then_what_lies_far_off_and_nothing_else():
    seen, label = people()
    found = suspects.suspect(opinion(seen), BOX, label, FLIP)
    ranked = suspects.ranked(found)
    assert [index for index, _, _ in ranked] == [1, 2, 3]
    assert [swap for _, _, swap in ranked] == [True, True, False]
    assert found.swap[0] < suspects.SUSPECT and found.swap[4] == 0
    assert found.swapped[1].tolist() == [False, True, True, True, True]
    assert found.swapped[2].tolist() == [False, False, False, True, True]


def test_the_keypoints_of_each_suspect_and_why():
    seen, label = people()
    found = suspects.suspect(opinion(seen), BOX, label, FLIP)
    points = suspects.keypoints(1, NAMES, found)
    assert {point["name"] for point in points} == set(NAMES[1:])
    assert points[0]["distance_px"] == pytest.approx(60, abs=2) and points[0]["unseen"]
    why = suspects.reason(1, points, found)
    assert why == "left and right look swapped: 4 of 4 keypoints fit better the other way"
    points = suspects.keypoints(3, NAMES, found)
    assert [point["name"] for point in points] == ["left_wrist"]
    assert suspects.reason(3, points, found) == "left wrist: seen 39 px from its label"


def odds(chance):
    """Log odds beyond those of somebody of whom nothing is known."""
    return np.log(chance / (1 - chance)) - np.log(suspects.SHARE / (1 - suspects.SHARE))


def test_an_unsure_opinion_says_little():
    seen, label = people()
    sure = suspects.suspect(opinion(seen, 0.1), BOX, label, FLIP)
    unsure = suspects.suspect(opinion(seen, 0.9), BOX, label, FLIP)
    np.testing.assert_allclose(odds(unsure.swap[:4]), odds(sure.swap[:4]) / 9, atol=1e-9)
    assert unsure.misplaced[3, 1] < 0.2 < sure.misplaced[3, 1]


def test_labels_that_were_learned_weigh_less_and_say_so():
    seen, label = people()
    known = opinion(seen)
    known.unseen[1] = False
    found = suspects.suspect(known, BOX, label, FLIP)
    fresh = suspects.suspect(opinion(seen), BOX, label, FLIP)
    assert odds(found.swap[1]) == pytest.approx(suspects.LEARNED * odds(fresh.swap[1]))
    assert "weak" in suspects.reason(1, suspects.keypoints(1, NAMES, found), found)
    assert "weak" not in suspects.reason(3, suspects.keypoints(3, NAMES, found), found)


def test_a_pose_that_looks_swapped_beside_the_others_is_suspect_without_any_opinion():
    draw = np.random.default_rng(0)
    label = POSE + draw.normal(0, 3, (120, 5, 2))
    label[7] = label[7][list(FLIP)]
    nowhere = opinion(np.full(label.shape, np.nan), chance=np.nan, unseen=False)
    found = suspects.suspect(nowhere, np.tile(BOX[:1], (120, 1)), label, FLIP)
    assert found.swap.argmax() == 7 and found.swap[7] > 3 * np.delete(found.swap, 7).max()


def test_the_better_the_students_the_more_their_opinion_weighs():
    draw = np.random.default_rng(0)
    label = POSE + draw.normal(0, 3, (200, 5, 2))
    box = np.tile(BOX[:1], (200, 1))
    poor = label.copy()
    often = draw.uniform(size=200) < 0.4
    poor[often] = poor[often][:, list(FLIP)]
    label[7] = label[7][list(FLIP)]
    good_one = suspects.suspect(opinion(POSE + np.zeros_like(label)), box, label, FLIP).swap[7]
    poor[7] = POSE
    assert good_one > suspects.suspect(opinion(poor), box, label, FLIP).swap[7] > 0.05


def test_no_opinion_and_no_partner_label_say_nothing_about_a_swap():
    seen, label = people()
    seen[1], label[2, 4] = np.nan, np.nan
    found = suspects.suspect(opinion(seen), BOX, label, FLIP)
    assert found.swap[1] == pytest.approx(suspects.SHARE) and (found.misplaced[1] == 0).all()
    assert not found.turned[2, 3:].any() and found.misplaced[2, 3] > 0
    assert np.isfinite(found.swap).all() and np.isfinite(found.misplaced).all()


def test_a_skeleton_without_pairs_has_misplaced_labels_only():
    seen, label = people()
    found = suspects.suspect(opinion(seen), BOX, label, range(5))
    assert (found.swap == 0).all() and not found.swapped.any()
    assert {index for index, _, _ in suspects.ranked(found)} == {1, 2, 3}


def test_the_witness_of_a_label_is_whoever_has_not_seen_it():
    draw = np.random.default_rng(0)
    places = {
        name: np.full((6, 5, 2), value) for name, value in (("both", 1.0), ("a", 2.0), ("b", 3.0))
    }
    fresh = {name: np.zeros((6, 5), bool) for name in places}
    fresh["both"][0] = fresh["a"][[0, 1, 3]] = fresh["b"][[0, 2]] = True
    judges = [
        Judge(name, places[name], draw.normal(size=(6, 5, 3)), fresh[name]) for name in places
    ]
    found = suspects.witnesses(judges, np.tile(BOX[:1], (6, 1)), np.ones((6, 5, 2)))
    assert found.xy_image[:, 0, 0].tolist() == [1, 2, 3, 2, 1, 1]
    assert found.unseen[:, 0].tolist() == [True, True, True, True, False, False]
    assert found.calibrated and np.isfinite(found.chance).all()  # 20 keypoints: just enough
