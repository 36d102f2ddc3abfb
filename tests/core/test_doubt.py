"""What speaks against a keypoint, on votes made by hand."""

import math

import pytest
import torch

from posestudio.core import doubt, heatmaps
from posestudio.core.skeleton import COCO17

SIZE = (32, 24)
FLIP = (1, 0)


def opinion(places, heights=None):
    """Votes of V views about one person with two keypoints: places V x 2 x (x, y), peaks of these heights."""
    xy = torch.tensor(places, dtype=torch.float32)
    tall = torch.ones(xy.shape[:2]) if heights is None else torch.tensor(heights)
    maps = heatmaps.encode(xy, SIZE, 1.5) * tall[..., None, None]
    return doubt.Opinion(maps[:, None], torch.ones(len(xy), 1, 1, *SIZE, dtype=torch.bool))


LEFT, RIGHT = [16.0, 10.0], [6.0, 20.0]
SURE = opinion([[LEFT, RIGHT]] * 4)


def numbers(opinions, at=(LEFT, RIGHT), prior=None):
    found = doubt.measure(
        opinions, torch.tensor([at]), height_map=torch.tensor([20.0]), flip_index=FLIP, prior=prior,
    )  # fmt: skip
    return {name: found[0, :, place] for place, name in enumerate(doubt.FEATURES)}


def test_students_who_agree_leave_no_doubt():
    found = numbers([SURE, SURE])
    for name in (
        "unconfidence",
        "spread",
        "distance",
        "uncertainty",
        "second_peak",
        "side",
        "limb",
    ):
        assert found[name].abs().max() < 1e-4, name
    assert (found["entropy"] < 0.6).all()


def test_everything_rises_where_one_student_dissents():
    other = opinion([[[16.0, 24.0], RIGHT]] * 4)
    found = numbers([SURE, other])
    assert found["distance"][0] == pytest.approx(14 / 20, abs=0.01)
    assert found["spread"][0] == pytest.approx(14 / 20 * math.sqrt(1 / 2), abs=0.01)
    assert found["second_peak"][0] == pytest.approx(1, abs=0.01)
    assert found["unconfidence"][0] == pytest.approx(0.5, abs=0.01)
    assert found["entropy"][0] > found["entropy"][1]
    assert found["distance"][1] == found["spread"][1] == 0


def test_one_student_alone_is_split_into_its_even_and_odd_views():
    torn = opinion([[LEFT, RIGHT], [[16.0, 24.0], RIGHT]] * 2)
    found = numbers([torn])
    assert found["distance"][0] == pytest.approx(14 / 20, abs=0.01) and found["distance"][1] == 0
    assert found["uncertainty"][0] > 0.9


def test_a_weak_stray_vote_counts_little():
    strong, weak = ([[1.0, 1.0]] * 3 + [[h, 1.0]] for h in (1.0, 0.1))
    places = [[LEFT, RIGHT]] * 3 + [[[16.0, 24.0], RIGHT]]
    loud, quiet = (numbers([opinion(places, heights)])["spread"][0] for heights in (strong, weak))
    assert quiet < 0.5 * loud


def test_entropy_of_one_cell_and_of_a_flat_map():
    maps = torch.zeros(1, 2, *SIZE)
    maps[0, 0, 3, 3] = 1.0
    maps[0, 1] = 0.2
    found = doubt.entropy(maps)[0]
    assert found[0] == pytest.approx(0, abs=1e-6) and found[1] == pytest.approx(1, abs=1e-6)


def test_sides_that_claim_each_others_place():
    both = [[1.0, 1.0], [1.0, 1.0]]
    swapped = opinion([[LEFT, RIGHT], [RIGHT, LEFT]], both)
    assert numbers([swapped])["side"].tolist() == pytest.approx([1, 1], abs=0.01)
    beside = opinion([[[10.0, 10.0], [11.0, 10.0]]] * 2)
    assert numbers([beside], ([10.0, 10.0], [11.0, 10.0]))["side"].tolist() == [0, 0]
    alone = doubt.side(swapped.maps.mean(dim=0), torch.tensor([[LEFT, RIGHT]]), (0, 1))
    assert alone.tolist() == [[0, 0]]


def people(count, seed=0):
    """COCO poses of random scale and place whose limbs vary by a tenth."""
    draws = torch.Generator().manual_seed(seed)
    pose = torch.tensor([
        [50, 10], [52, 8], [48, 8], [55, 10], [45, 10], [60, 30], [40, 30], [65, 50], [35, 50], [68, 70], [32, 70],
        [56, 75], [44, 75], [57, 105], [43, 105], [58, 135], [42, 135],
    ], dtype=torch.float32)  # fmt: skip
    scale = 0.5 + 3 * torch.rand(count, 1, 1, generator=draws)
    noise = 1.5 * torch.randn(count, *pose.shape, generator=draws)
    return scale * (pose + noise) + 200 * torch.rand(count, 1, 2, generator=draws)


@pytest.mark.parametrize("count", [30, 300])
def test_limbs_of_labeled_people_look_right_and_a_wrong_wrist_does_not(count):
    prior = doubt.fit_limbs(people(count), COCO17.limbs)
    fresh = people(100, seed=9)
    usual = doubt.limb(prior, fresh)
    assert usual.mean() < 1.2
    fresh[:, 9] = fresh[:, 9] + 4 * (
        fresh[:, 9] - fresh[:, 7]
    )  # the left forearm is five times too long
    strange = doubt.limb(prior, fresh)
    assert (strange[:, 9] > 3).all() and strange[:, 9].mean() > 3 * usual[:, 9].mean()
    others = [0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16]
    assert (strange[:, others] - usual[:, others]).abs().mean() < 0.3


def test_limbs_do_not_depend_on_scale_and_place():
    prior = doubt.fit_limbs(people(50), COCO17.limbs)
    fresh = people(10, seed=3)
    torch.testing.assert_close(
        doubt.limb(prior, fresh), doubt.limb(prior, 7 * fresh + 100), atol=1e-3, rtol=1e-3
    )


def test_limbs_that_no_label_shows_are_left_out():
    shown = people(40)
    shown[:, :5] = float("nan")
    prior = doubt.fit_limbs(shown, COCO17.limbs)
    assert (prior.ends >= 5).all() and len(prior.ends) == 12
    assert (doubt.limb(prior, people(3))[:, :5] == 0).all()
    none = doubt.fit_limbs(torch.full((4, 17, 2), float("nan")), COCO17.limbs)
    assert len(none.ends) == 0 and doubt.limb(none, people(2)).abs().sum() == 0
    assert len(doubt.fit_limbs(people(4), ()).ends) == 0
