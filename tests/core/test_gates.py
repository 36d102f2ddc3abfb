"""What speaks against an offer, which uncertainties there are, and every rule of choice, against cases set by hand."""

import pytest
import torch

from posestudio.core import heatmaps, pseudo
from posestudio.core.gates import Gates
from posestudio.core.peaks import agreement, mean_of_near, second_peak

SIZE = (32, 24)


def votes(*places: tuple[float, float], height: float = 1.0) -> torch.Tensor:
    """One view a place: (V, 1, 1, H, W), a Gaussian there."""
    at = torch.tensor(places)[:, None, None]
    return height * heatmaps.encode(at, SIZE, 1.5)


def seen(maps: torch.Tensor) -> torch.Tensor:
    return torch.ones(*maps.shape[:2], 1, *SIZE, dtype=torch.bool)


def offer(maps: torch.Tensor, **changed) -> pseudo.Offer:
    said = {"aggregate": "mean", "threshold": 0.1, "refine": "gaussian", "center": "argmax"}
    return pseudo.denoise(maps, seen(maps), spread=1.5, **{**said, **changed})


def reason(found: pseudo.Offer) -> str:
    return pseudo.REASONS[int(found.reason.flatten()[0])]


def test_each_gate_rejects_for_its_own_reason_and_only_when_asked():
    three_of_four = votes((8, 8), (8, 9), (9, 8), (20, 28))
    assert reason(offer(three_of_four)) == "accepted"
    assert reason(offer(three_of_four, gates=Gates(agree=0.75))) == "accepted"
    assert reason(offer(three_of_four, gates=Gates(agree=0.8))) == "views disagree"
    assert reason(offer(three_of_four, threshold=0.95)) == "below threshold"
    two = votes((6, 8)) + 0.6 * votes((18, 20))
    assert reason(offer(two, gates=Gates(second=0.55))) == "two peaks"
    assert reason(offer(two, gates=Gates(second=0.65))) == "accepted"
    assert reason(offer(votes((1, 16)), gates=Gates(edge=2))) == "at the edge"
    assert reason(offer(votes((2, 16)), gates=Gates(edge=2))) == "accepted"
    assert reason(offer(two, threshold=2.0, gates=Gates(second=0.1, edge=9))) == "below threshold"


def test_a_swap_suspect_is_one_whose_partner_claims_the_place():
    left, right = votes((8, 8)), votes((16, 20)) + 0.7 * votes((8, 8))
    maps = torch.cat([left, right], dim=2)
    gates = Gates(swap=0.5, partner=(1, 0))
    found = offer(maps, gates=gates)
    assert [pseudo.REASONS[int(code)] for code in found.reason[0]] == ["swap suspect", "accepted"]
    alone = offer(maps, gates=Gates(swap=0.5, partner=(0, 1)))
    assert (alone.reason == 0).all()


def test_a_view_that_did_not_see_the_peak_has_no_say():
    maps = votes((8, 8), (20, 28))
    valid = seen(maps)
    at = torch.tensor([[[8.0, 8.0]]])
    assert agreement(maps, valid, at).item() == 0.5
    valid[1, :, :, :16] = False
    assert agreement(maps, valid, at).item() == 1.0


def test_the_second_peak_is_a_local_maximum_away_from_the_first():
    assert second_peak(votes((8, 8))[0], torch.tensor([[[8.0, 8.0]]])).item() < 1e-3
    two = votes((6, 8))[0] + 0.4 * votes((18, 20))[0]
    assert second_peak(two, torch.tensor([[[6.0, 8.0]]])).item() == pytest.approx(0.4, abs=1e-3)


def test_thresholds_may_differ_by_keypoint():
    maps = torch.cat([votes((8, 8), height=0.5), votes((9, 9), height=0.5)], dim=2)
    found = offer(maps, threshold=torch.tensor([0.4, 0.6]))
    assert found.accepted[0].tolist() == [True, False]


def test_scaled_offers_are_as_high_as_their_peak():
    found = offer(votes((8, 8), height=0.5), refine="scaled")
    assert found.maps.max().item() == pytest.approx(0.5)
    assert offer(votes((8, 8), height=0.5)).maps.max().item() == pytest.approx(1.0)


def test_lift_raises_low_maps_and_leaves_their_form():
    low = votes((8, 8), height=0.25) + 0.5 * votes((20, 20), height=0.25)
    kept = offer(low, refine="none")
    assert torch.equal(kept.maps, kept.aggregated)
    half = offer(low, refine="none", lift=0.5)
    assert torch.allclose(half.maps, 2 * kept.maps) and torch.equal(half.aggregated, kept.maps)
    assert torch.equal(half.score, kept.score)
    assert offer(low, refine="none", lift=1.0).maps.max().item() == pytest.approx(1.0)
    assert offer(low, refine="scaled", lift=0.5).maps.max().item() == pytest.approx(0.5)
    drawn = offer(low, refine="gaussian", lift=0.5)
    assert torch.equal(drawn.maps, offer(low, refine="gaussian").maps)


def test_lift_makes_no_mountain_of_noise():
    noise = votes((8, 8), height=1e-4) - 1e-5
    raised = offer(noise, refine="none", lift=1.0).maps
    assert raised.min() == 0 and raised.max() < 0.01


def test_the_local_mean_weighs_the_peaks_that_agree():
    peaks = torch.tensor([[8.0, 8.0], [10.0, 8.0], [20.0, 20.0]])[:, None, None]
    score = torch.tensor([0.9, 0.3, 1.0])[:, None, None]
    found = mean_of_near(torch.tensor([[[8.0, 8.0]]]), peaks, score)
    assert found.flatten().tolist() == pytest.approx([8.5, 8.0])
    maps = votes((8, 8), (10, 8), (20, 20))
    assert offer(maps, center="local_mean").xy_map.flatten()[1].item() == pytest.approx(8.0)


def test_kinds_of_uncertainty():
    steady, torn = votes((8, 8), (8, 8)), votes((8, 8), (20, 24))
    pair = [(steady, seen(steady)), (torn, seen(torn))]
    view = pseudo.uncertainties(pair, "view_std").flatten()
    assert view[0] < 1e-6 and view[1] == pytest.approx(0.5, abs=1e-3)
    both = pseudo.uncertainties(pair, "all_std").flatten()
    assert both[0] == both[1] == pytest.approx(0.75**0.5 * 0.25**0.5, abs=1e-3)
    cross = pseudo.uncertainties(pair, "cross_std").flatten()
    assert cross[0] == cross[1] == pytest.approx(0.25, abs=1e-3)
    places = pseudo.uncertainties(pair, "coord_std").flatten()
    assert places[0] == 0 and places[1] == pytest.approx((6**2 + 8**2) ** 0.5, abs=1e-3)


def test_rules_choose_as_they_say():
    accepted = torch.tensor([[1, 1, 0, 0, 1]], dtype=torch.bool)
    accepted = torch.stack([accepted, torch.tensor([[1, 1, 1, 0, 0]], dtype=torch.bool)])
    unsure = torch.tensor([[[0.1, 0.4, 0.1, 0.1, 0.9]], [[0.2, 0.3, 0.5, 0.1, 0.1]]])
    score = torch.tensor([[[0.5, 0.9, 0.9, 0.9, 0.2]], [[0.6, 0.8, 0.1, 0.9, 0.9]]])

    def chosen(rule: pseudo.Rule) -> list[list[int]]:
        generator = torch.Generator().manual_seed(0)
        found = pseudo.select(accepted, unsure, rule, score=score, generator=generator)
        return found[:, 0].tolist()

    assert chosen("min_uncertainty") == [[0, 1, 1, -1, 0]] * 2
    assert chosen("confidence") == [[1, 0, 1, -1, 0]] * 2
    assert chosen("cross") == [[1, 1, 1, -1, -1], [0, 0, -1, -1, 0]]
    assert chosen("gated_cross") == [[0, 1, 1, -1, 0], [0, 1, 1, -1, 0]]
    drawn = chosen("random")
    assert drawn[0] == drawn[1] and drawn[0][2:] == [1, -1, 0] and {*drawn[0][:2]} <= {0, 1}


def test_random_takes_each_about_as_often():
    accepted = torch.ones(2, 400, 5, dtype=torch.bool)
    generator = torch.Generator().manual_seed(1)
    found = pseudo.select(accepted, torch.zeros(2, 400, 5), "random", generator=generator)
    assert 0.45 < found.float().mean() < 0.55


def test_a_person_is_chosen_as_a_whole_by_its_accepted_offers():
    accepted = torch.tensor([[[True, True]], [[True, False]]])
    unsure = torch.tensor([[[0.2, 0.6]], [[0.3, 0.0]]])
    whole = pseudo.by_person(unsure, accepted)
    assert whole[:, 0].flatten().tolist() == pytest.approx([0.4, 0.4, 0.3, 0.3])
    nobody = pseudo.by_person(unsure, torch.zeros_like(accepted))
    assert nobody.isinf().all()
