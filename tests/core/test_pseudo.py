"""Denoising and selecting: the identities and the metamorphic checks of a pool of pseudo-heatmaps."""

import math

import pytest
import torch

from posestudio.core import heatmaps, pseudo

SIZE = (64, 48)
SPREAD = 2.0


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def all_valid(votes: torch.Tensor) -> torch.Tensor:
    return torch.ones(*votes.shape[:2], 1, *votes.shape[-2:], dtype=torch.bool)


def centers(count: int, seed: int, margin: float = 8.0) -> torch.Tensor:
    """(count, 2) points well inside the map."""
    height, width = SIZE
    span = torch.tensor([width - 1 - 2 * margin, height - 1 - 2 * margin])
    return margin + torch.rand(count, 2, generator=generator(seed)) * span


def student(
    truth: torch.Tensor, seed: int, *, wrong: float, jitter: float, views: int = 4
) -> torch.Tensor:
    """Votes (V, N, 1, H, W): peaks near the truth, a share `wrong` of them anywhere instead."""
    draws = generator(seed)
    seen = truth + jitter * torch.randn(views, *truth.shape, generator=draws)
    astray = torch.rand(views, len(truth), generator=draws) < wrong
    height, width = SIZE
    anywhere = torch.rand(views, *truth.shape, generator=draws) * torch.tensor(
        [width - 1.0, height - 1.0]
    )
    seen = torch.where(astray[..., None], anywhere, seen)
    return heatmaps.encode(seen[:, :, None], SIZE, SPREAD)


def offer(
    votes: torch.Tensor, threshold: float = 0.3, aggregate: pseudo.Aggregate = "max"
) -> pseudo.Offer:
    return pseudo.denoise(
        votes, all_valid(votes), aggregate=aggregate, threshold=threshold, refine="gaussian",
        center="argmax", spread=SPREAD,
    )  # fmt: skip


def choose(votes: list[torch.Tensor], normalize: bool, threshold: float = 0.3) -> torch.Tensor:
    """(N,) index of the chosen student, by the least uncertain accepted offer."""
    accepted = torch.stack([offer(v, threshold).accepted for v in votes])
    unsure = torch.stack([pseudo.uncertainty(v, all_valid(v), normalize=normalize) for v in votes])
    return pseudo.select(accepted, unsure, "min_uncertainty")[0, :, 0]


class TestDenoise:
    def test_refining_twice_changes_nothing(self):
        once = offer(student(centers(20, 1), 2, wrong=0.1, jitter=1.0))
        twice = offer(once.maps[None])
        assert torch.equal(once.maps, twice.maps)
        assert torch.equal(once.xy_map, twice.xy_map)

    def test_a_view_more_never_lowers_the_maximum(self):
        votes = student(centers(20, 1), 2, wrong=0.3, jitter=2.0, views=6)
        scores = torch.stack([offer(votes[:count]).score for count in range(1, 7)])
        assert (scores.diff(dim=0) >= 0).all()

    @pytest.mark.parametrize("aggregate", ["max", "mean", "cluster"])
    def test_the_order_of_views_does_not_matter(self, aggregate):
        votes = student(centers(20, 3), 4, wrong=0.2, jitter=1.0)
        votes = votes * torch.linspace(0.6, 0.9, 4).view(4, 1, 1, 1, 1)  # no ties between groups
        there, back = offer(votes, aggregate=aggregate), offer(votes.flip(0), aggregate=aggregate)
        assert torch.allclose(there.aggregated, back.aggregated, atol=1e-6)

    def test_a_cell_no_view_saw_is_zero_and_a_hidden_view_has_no_say(self):
        votes = student(centers(5, 5), 6, wrong=0.0, jitter=0.0)
        valid = all_valid(votes)
        valid[1:] = False
        for aggregate in ("max", "mean", "cluster"):
            assert torch.allclose(pseudo.combine(votes, valid, aggregate), votes[0], atol=1e-6)
        valid[0, ..., :10, :] = False
        assert pseudo.combine(votes, valid, "max")[..., :10, :].abs().max() == 0

    def test_cluster_outvotes_one_confident_stray_where_max_does_not(self):
        truth = centers(50, 7)
        votes = 0.8 * student(truth, 8, wrong=0.0, jitter=0.5, views=4)
        stray = torch.stack([truth[:, 0], SIZE[0] - 1.0 - truth[:, 1]], dim=-1)
        votes[0] = heatmaps.encode(stray.round()[:, None], SIZE, SPREAD)
        far = (stray - truth).norm(dim=-1) > 8
        error = {
            how: (offer(votes, aggregate=how).xy_map[:, 0] - truth).norm(dim=-1)[far]
            for how in ("max", "cluster")
        }
        assert (error["cluster"] < 3).all()
        assert (error["max"] > 3).all()

    def test_threshold_up_means_fewer_offers(self):
        votes = student(centers(200, 9), 10, wrong=0.2, jitter=1.0, views=1)
        votes = votes * torch.rand(1, 200, 1, 1, 1, generator=generator(11))
        kept = [offer(votes, tau).accepted.float().mean() for tau in (0.0, 0.2, 0.4, 0.6, 0.8)]
        assert kept == sorted(kept, reverse=True)
        assert kept[0] == 1 and kept[-1] < 0.4

    @pytest.mark.parametrize(("noise", "empty"), [(0.02, True), (0.05, True), (0.1, False)])
    def test_pure_noise_gives_an_empty_pool_up_to_the_level_worked_out(self, noise, empty):
        # the largest of h*w*V = 12,288 normal draws is near noise * sqrt(2 ln 12288) = 4.3 noise
        votes = noise * torch.randn(4, 50, 3, *SIZE, generator=generator(12))
        accepted = offer(votes).accepted
        assert accepted.any().item() is not empty


class TestUncertainty:
    @pytest.mark.parametrize(
        ("cells", "value"),
        [(0.25, 0.038), (0.5, 0.074), (1, 0.141), (2, 0.279), (3, 0.374), (4, 0.432), (10, 0.5)],
    )
    def test_two_unit_maps_some_cells_apart(self, cells, value):
        points = torch.tensor([[20.0, 30.0], [20.0 + cells, 30.0]])
        votes = heatmaps.encode(points[:, None, None], SIZE, SPREAD)
        assert pseudo.uncertainty(votes, all_valid(votes)).item() == pytest.approx(value, abs=0.006)

    @pytest.mark.parametrize("views", [2, 3, 4, 5, 8])
    def test_one_far_outlier(self, views):
        points = torch.tensor([[10.0, 10.0]] + [[35.0, 50.0]] * (views - 1))
        votes = heatmaps.encode(points[:, None, None], SIZE, SPREAD)
        found = pseudo.uncertainty(votes, all_valid(votes)).item()
        assert found == pytest.approx(math.sqrt(views - 1) / views, abs=1e-4)

    def test_equal_views_are_certain(self):
        votes = student(centers(5, 1), 2, wrong=0, jitter=0)
        assert pseudo.uncertainty(votes, all_valid(votes)).max() < 1e-6

    def test_cells_outside_a_view_do_not_count(self):
        votes = student(centers(5, 1), 2, wrong=0, jitter=0)
        valid = all_valid(votes)
        votes[2, ..., :20, :] = 9.0
        valid[2, ..., :20, :] = False
        assert pseudo.uncertainty(votes, valid).max() < 1e-6

    def test_amplitude_cancels_only_when_normalized(self):
        votes = student(centers(30, 3), 4, wrong=0.2, jitter=1.0)
        valid = all_valid(votes)
        for factor in (0.5, 0.8):
            assert torch.allclose(
                pseudo.uncertainty(factor * votes, valid, normalize=True),
                pseudo.uncertainty(votes, valid, normalize=True),
                atol=1e-5,
            )
            scaled = pseudo.uncertainty(factor * votes, valid)
            assert torch.allclose(scaled, factor * pseudo.uncertainty(votes, valid), atol=1e-6)


class TestSelect:
    def test_the_steady_student_is_chosen_over_the_noisy_one(self):
        truth = centers(600, 1)
        good = student(truth, 2, wrong=0.05, jitter=0.7)
        noisy = student(truth, 3, wrong=0.4, jitter=6.0)
        assert (choose([good, noisy], normalize=True) == 0).float().mean() >= 0.98
        assert (choose([good, noisy], normalize=False) == 0).float().mean() >= 0.92

    def test_a_perfect_student_is_chosen_over_a_noisy_one(self):
        truth = centers(600, 4)
        pair = [student(truth, 5, wrong=0, jitter=0), student(truth, 6, wrong=0.4, jitter=6.0)]
        for normalize in (True, False):
            assert (choose(pair, normalize) == 0).float().mean() >= 0.99

    def test_swapping_students_swaps_the_choice(self):
        truth = centers(100, 7)
        pair = [student(truth, 8, wrong=0.1, jitter=1.0), student(truth, 9, wrong=0.3, jitter=2.0)]
        assert torch.equal(choose(pair, True), 1 - choose(pair[::-1], True))

    def test_a_collapsed_student_is_never_chosen(self):
        truth = centers(200, 10)
        pair = [
            student(truth, 11, wrong=0.05, jitter=0.7),
            0.1 * student(truth, 12, wrong=0.4, jitter=6),
        ]
        assert (choose(pair, normalize=False) == 0).all()

    def test_without_the_threshold_a_collapsed_student_would_win(self):
        """Why the threshold comes before the choice: low maps have low deviation."""
        truth = centers(200, 10)
        pair = [
            student(truth, 11, wrong=0.05, jitter=0.7),
            0.1 * student(truth, 12, wrong=0.4, jitter=6),
        ]
        assert (choose(pair, normalize=False, threshold=0.0) == 1).float().mean() > 0.5

    def test_two_perfect_students_give_the_truth_everywhere(self):
        truth = centers(50, 13).round()
        votes = student(truth, 14, wrong=0, jitter=0)
        accepted = torch.stack([offer(votes).accepted] * 2)
        assert accepted.all()
        assert torch.equal(offer(votes).xy_map[:, 0], truth)

    def test_a_shared_mistake_cannot_be_seen(self):
        """The limit of the method: identical wrong students are certain and accepted."""
        wrong = student(centers(20, 15), 16, wrong=0, jitter=0)
        assert offer(wrong).accepted.all()
        assert pseudo.uncertainty(wrong, all_valid(wrong)).max() < 1e-6

    def test_an_empty_pool_has_no_target(self):
        accepted = torch.zeros(2, 3, 4, dtype=torch.bool)
        for rule in ("min_uncertainty", "cross"):
            assert (pseudo.select(accepted, torch.rand(2, 3, 4), rule) == -1).all()

    def test_cross_takes_the_other_and_only_if_accepted(self):
        accepted = torch.tensor([[[True, False]], [[True, True]]])
        chosen = pseudo.select(accepted, torch.rand(2, 1, 2), "cross")
        assert chosen.tolist() == [[[1, 1]], [[0, -1]]]

    def test_cross_with_one_student_takes_its_own(self):
        assert (
            pseudo.select(torch.ones(1, 2, 2, dtype=torch.bool), torch.rand(1, 2, 2), "cross")
            .eq(0)
            .all()
        )

    def test_an_unknown_rule_is_refused(self):
        with pytest.raises(ValueError, match="unknown rule 'best'"):
            pseudo.select(torch.ones(1, 1, 1, dtype=torch.bool), torch.rand(1, 1, 1), "best")  # type: ignore[arg-type]

    def test_take_picks_maps_and_points_alike(self):
        maps = torch.rand(2, 3, 4, 5, 6)
        chosen = torch.randint(-1, 2, (2, 3, 4), generator=generator(1))
        taken = pseudo.take(maps, chosen)
        for learner in range(2):
            for person in range(3):
                for keypoint in range(4):
                    index = max(0, int(chosen[learner, person, keypoint]))
                    assert torch.equal(
                        taken[learner, person, keypoint], maps[index, person, keypoint]
                    )
