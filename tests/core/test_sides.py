"""Poses alone tell a swapped person from one who is the right way round."""

import numpy as np
import pytest

from posestudio.core import sides
from posestudio.core.skeleton import COCO17

FLIP = (0, 2, 1, 4, 3)
POSE = np.array([[50.0, 10], [80, 40], [20, 40], [70, 90], [30, 90]])


def people(count, seed=0, backs=0.4):
    """People of any place, size and turn, facing the camera but for a share whose sides are exchanged with their pose.

    Those who show their back hold their hands high, so that the pose tells.
    """
    draw = np.random.default_rng(seed)
    pose = np.tile(POSE, (count, 1, 1))
    back = draw.uniform(size=count) < backs
    pose[back, 1:3, 1] -= 120
    pose[back] = pose[back][:, list(FLIP)]
    pose += draw.normal(0, 3, pose.shape)
    angle, size = draw.uniform(-3, 3, count), draw.uniform(0.5, 3, count)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    moved = np.einsum("ijn,nkj->nki", turn, pose) * size[:, None, None]
    return moved + draw.uniform(-500, 500, (count, 1, 2))


def test_a_swapped_pose_has_exactly_the_opposite_answer():
    prior, fresh = sides.fit(people(60), FLIP), people(40, seed=1)
    np.testing.assert_allclose(prior(fresh[:, list(FLIP)]), -prior(fresh), atol=1e-9)


def test_facing_and_turned_people_are_told_from_swapped_ones():
    prior, fresh = sides.fit(people(100), FLIP), people(300, seed=1)
    assert (prior(fresh) > 0).mean() > 0.97


def test_place_size_turn_and_mirror_change_nothing():
    prior, fresh = sides.fit(people(60), FLIP), people(20, seed=1)
    turned = fresh[..., ::-1] * np.array([-3.0, 3.0]) + 77
    np.testing.assert_allclose(prior(turned), prior(fresh), atol=1e-9)
    mirrored = (fresh * np.array([-1.0, 1.0]))[:, list(FLIP)]
    np.testing.assert_allclose(prior(mirrored), prior(fresh), atol=0.05)


def test_swapped_labels_among_those_learned_from_do_little_harm():
    labels = people(200)
    labels[:10] = labels[:10][:, list(FLIP)]
    found = sides.judged(labels, FLIP)
    assert (found[:10] < 0).all() and (found[10:] > 0).mean() > 0.95


def test_missing_keypoints_say_nothing():
    labels = people(100)
    labels[:50, 1:3] = np.nan
    prior = sides.fit(labels, FLIP)
    fresh = people(20, seed=2)
    fresh[:, 1:] = np.nan
    assert np.abs(prior(fresh)).max() < 1e-9
    none = np.full((3, 5, 2), np.nan)
    assert (prior(none) == 0).all()
    assert (sides.judged(np.concatenate([labels, none]), FLIP)[-3:] == 0).all()


def test_few_people_or_no_pairs_teach_nothing():
    assert (sides.judged(people(sides.LEAST - 1), FLIP) == 0).all()
    assert (sides.judged(people(60), range(5)) == 0).all()


def test_many_people_are_thinned_out():
    prior = sides.fit(people(3 * sides.MOST), FLIP)
    assert len(prior.weight) == 2 * sides.MOST


@pytest.mark.parametrize("count", [30, 200])
def test_keypoints_that_no_label_shows_do_not_matter(count):
    draw = np.random.default_rng(0)
    labels = draw.normal(size=(count, 17, 2)) + np.arange(17)[:, None]
    labels[:, :5] = np.nan
    assert np.isfinite(sides.judged(labels, COCO17.flip_index)).all()
