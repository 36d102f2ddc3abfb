"""PoseDual's step, written out plainly, gives the loss and the gradients of preset posedual.

The transcription follows Xie et al. (ICCV 2021): per-sample cv2 matrices through affine_grid, boxes cut pixel by
pixel, a loop over keypoints in the loss. It shares the networks and the random numbers with the product, nothing else.
"""

import contextlib
import copy
from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from posestudio import config
from posestudio.core.skeleton import COCO17
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.train import objective
from posestudio.train.objective import Batch, Method

HEIGHT, WIDTH, STRIDE = 128, 96, 4
K = 17


def students(count: int = 2) -> list[PoseNet]:
    spec = ModelSpec(
        backbone="shufflenet_v2_x0_5", head_channels=16, num_keypoints=K, height=HEIGHT,
        width=WIDTH, padding=1.25, spread=2.0,
    )  # fmt: skip
    nets = [build(spec, seed).double().train() for seed in range(count)]
    for (
        net
    ) in nets:  # heads of std 0.001 give maps too flat to tell a wrong target from a right one
        torch.nn.init.normal_(net.final.weight, std=0.2, generator=torch.Generator().manual_seed(5))
    return nets


def batch(people: int = 3) -> Batch:
    draws = torch.Generator().manual_seed(1)
    size = torch.tensor([WIDTH - 1.0, HEIGHT - 1.0])
    weight = (torch.rand(people, K, generator=draws) > 0.2).double()
    return Batch(
        labeled=torch.randn(people, 3, HEIGHT, WIDTH, generator=draws).double(),
        labeled_xy=(torch.rand(people, K, 2, generator=draws) * size).double(),
        labeled_weight=weight,
        unlabeled=torch.randn(people, 3, HEIGHT, WIDTH, generator=draws).double(),
        state=torch.zeros(people, K, dtype=torch.int64),
        placed_xy=torch.zeros(people, K, 2, dtype=torch.float64),
        taught=torch.ones(K, dtype=torch.bool),
    )


def method(preset: str, **changes) -> Method:
    settings = config.make(preset, "small", changes)
    return Method(settings, COCO17.flip_index, contextlib.nullcontext)


def gradients(nets: list[PoseNet]) -> list[torch.Tensor]:
    return [
        weights.grad for net in nets for weights in net.parameters() if weights.grad is not None
    ]


def draw_theta(generator: torch.Generator, people: int) -> torch.Tensor:
    """PoseDual's A60: rotation N(0, 30) within 60 degrees for 8 of 10, scale N(1, 0.25) within 0.25."""
    normal = torch.randn(2, people, generator=generator, dtype=torch.float64)
    chance = torch.rand(2, people, generator=generator)
    rows = []
    for index in range(people):
        degrees = float(np.clip(normal[0, index] * 30, -60, 60)) if chance[0, index] < 0.8 else 0.0
        scale = float(np.clip(1 + normal[1, index] * 0.25, 0.75, 1.25))
        rows.append(cv2.getRotationMatrix2D((0, 0), degrees, scale))
    return torch.from_numpy(np.stack(rows))


def move(maps: torch.Tensor, theta: torch.Tensor) -> torch.Tensor:
    grid = F.affine_grid(theta, list(maps.shape), align_corners=False)
    return F.grid_sample(maps, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


def cut(images: torch.Tensor, maps: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Five boxes at keypoints where the other student sees them, pixel by pixel."""
    people = len(images)
    order = torch.rand(people, K, generator=generator)
    shift = torch.randn(people, 5, 2, generator=generator)
    half = torch.randint(10, 20, (people, 5, 2), generator=generator)
    images, zoom = images.clone(), WIDTH / 192
    for person in range(people):
        ranked = sorted(range(K), key=lambda k: -float(order[person, k]))[:5]
        for number, keypoint in enumerate(ranked):
            row, column = divmod(int(maps[person, keypoint].argmax()), WIDTH // STRIDE)
            x = (column + 0.5) * STRIDE - 0.5 + float(shift[person, number, 0]) * 10 * zoom
            y = (row + 0.5) * STRIDE - 0.5 + float(shift[person, number, 1]) * 10 * zoom
            reach_x, reach_y = (float(side) * zoom for side in half[person, number])
            for v in range(HEIGHT):
                for u in range(WIDTH):
                    if abs(u - x) < reach_x and abs(v - y) < reach_y:
                        images[person, :, v, u] = 0
    return images


def mse(
    prediction: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for k in range(K):
        difference = prediction[:, k] - target[:, k]
        if weight is not None:
            difference = difference * weight[:, k, None, None]
        total = total + 0.5 * (difference**2).mean()
    return total / K


def drawn_labels(given: Batch) -> torch.Tensor:
    target = torch.zeros(len(given.labeled), K, HEIGHT // STRIDE, WIDTH // STRIDE).double()
    for person in range(len(target)):
        for k in range(K):
            x, y = ((given.labeled_xy[person, k] + 0.5) / STRIDE - 0.5).tolist()
            for v in range(target.shape[2]):
                for u in range(target.shape[3]):
                    target[person, k, v, u] = np.exp(-((u - x) ** 2 + (v - y) ** 2) / (2 * 2.0**2))
    return target


def posedual(nets: list[PoseNet], given: Batch, generator: torch.Generator) -> torch.Tensor:
    """L = 0.5 MSE(S1, y) + 0.5 MSE(S2, y) + MSE(C1, W(H2)) + MSE(C2, W(H1))."""
    assert given.unlabeled is not None
    first, second = nets
    labels = drawn_labels(given)
    loss = 0.5 * mse(first(given.labeled), labels, given.labeled_weight)
    loss = loss + 0.5 * mse(second(given.labeled), labels, given.labeled_weight)
    with torch.no_grad():
        maps_first, maps_second = first(given.unlabeled), second(given.unlabeled)
    theta = draw_theta(generator, len(given.unlabeled))
    hard_first = move(cut(given.unlabeled, maps_second, generator), theta)
    hard_second = move(cut(given.unlabeled, maps_first, generator), theta)
    loss = loss + mse(first(hard_first), move(maps_second, theta))
    return loss + mse(second(hard_second), move(maps_first, theta))


def test_posedual_loss_and_gradients_equal_the_transcription():
    given, ours = batch(), students()
    theirs = copy.deepcopy(ours)
    expected = posedual(theirs, given, torch.Generator().manual_seed(3))
    expected.backward()
    found = objective.semi_supervised(
        ours, given, method("posedual"), weight=1.0, generator=torch.Generator().manual_seed(3)
    )
    found["loss"].backward()
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-9)
    assert found["kept"] == 1
    pairs = list(zip(gradients(ours), gradients(theirs), strict=True))
    assert len(pairs) > 100
    for mine, plain in pairs:
        scale = plain.abs().max().clamp(min=1e-7)
        assert ((mine - plain).abs().max() / scale).item() < 1e-6


def test_the_transcription_notices_a_wrong_target():
    """The comparison can fail: with each student's own maps as target the loss differs by far."""
    given, ours = batch(), students()
    expected = posedual(copy.deepcopy(ours), given, torch.Generator().manual_seed(3))
    changed = method("posedual", **{"pool.refine": "gaussian"})
    found = objective.semi_supervised(
        ours, given, changed, weight=1.0, generator=torch.Generator().manual_seed(3)
    )
    assert abs(found["loss"].item() / expected.item() - 1) > 0.01


def test_posecons_is_the_one_student_case():
    given, nets = batch(), students(1)
    twin = copy.deepcopy(nets)[0]
    generator = torch.Generator().manual_seed(4)
    assert given.unlabeled is not None
    labels = drawn_labels(given)
    expected = mse(twin(given.labeled), labels, given.labeled_weight)
    with torch.no_grad():
        maps = twin(given.unlabeled)
    theta = draw_theta(generator, len(given.unlabeled))
    expected = expected + mse(twin(move(given.unlabeled, theta)), move(maps, theta))
    found = objective.semi_supervised(
        nets, given, method("posecons"), weight=1.0, generator=torch.Generator().manual_seed(4)
    )
    assert found["loss"].item() == pytest.approx(expected.item(), rel=1e-9)


def test_no_gradient_reaches_the_pass_that_makes_targets():
    """The gradient of the whole equals the gradient with the targets held as constants."""
    given, nets = batch(), students()
    settings = method("paper", **{"pool.threshold": "0.01"})
    twins = copy.deepcopy(nets)
    objective.semi_supervised(
        nets, given, settings, weight=1.0, generator=torch.Generator().manual_seed(3)
    )["loss"].backward()
    assert given.unlabeled is not None
    for net in twins:
        net.requires_grad_(False)
    generator = torch.Generator().manual_seed(3)
    views = objective.draw_views(generator, given.unlabeled, 4, settings.config.data.color)
    pool = objective.make_pool(
        [objective.predict_views(n, views, settings) for n in twins], settings
    )
    for net in twins:
        net.requires_grad_(True)
    total = objective.supervised(twins, given, settings)["loss"]
    view = objective.draw_hard_affine(generator, given.unlabeled, settings)
    for index, net in enumerate(twins):
        hard = objective.harden(generator, given, view, pool.xy_map[-1 - index], settings)
        target, weight = objective.hard_target(given, pool, index, view, settings)
        assert not target.requires_grad
        total = total + objective.losses.heatmap_mse(net(hard), target, weight)
    total.backward()
    for mine, theirs in zip(gradients(nets), gradients(twins), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-4, atol=1e-7)


def test_weights_of_open_placed_absent_and_untaught_keypoints():
    """Design 9: placed ones are truth in both branches, open ones take offers, absent and untaught ones nothing."""
    given = batch(1)
    state = torch.zeros(1, K, dtype=torch.int64)
    state[0, 5], state[0, 6] = objective.PLACED, objective.ABSENT
    taught = torch.ones(K, dtype=torch.bool)
    taught[:5] = False
    placed_xy = torch.zeros(1, K, 2)
    placed_xy[0, 5] = torch.tensor([40.0, 60.0])
    given = replace(given, state=state, placed_xy=placed_xy, taught=taught)
    settings = method("paper")
    shape = (2, 1, K)
    chosen = torch.zeros(shape, dtype=torch.int64)
    chosen[:, 0, 7] = -1
    pool = objective.Pool(
        aggregated=torch.rand(2, 1, K, 32, 24), maps=torch.rand(2, 1, K, 32, 24),
        xy_map=torch.full((2, 1, K, 2), 10.0), score=torch.ones(shape), uncertainty=torch.zeros(shape),
        accepted=torch.ones(shape, dtype=torch.bool),
        reason=torch.zeros(shape, dtype=torch.int8), chosen=chosen,
    )  # fmt: skip
    still = objective.augment.View.identity(1)
    target, weight = objective.hard_target(given, pool, 0, still, settings)
    expected = [0.0] * 5 + [1.0, 0.0, 0.0] + [1.0] * 9
    assert weight[0].tolist() == expected
    peak = divmod(int(target[0, 5].argmax()), 24)
    assert peak == (15, 10)  # (60 + 0.5) / 4 - 0.5 = 14.6 down, (40 + 0.5) / 4 - 0.5 = 9.6 across
    assert divmod(int(target[0, 8].argmax()), 24) == (10, 10)


def test_a_keypoint_that_leaves_the_hard_view_has_weight_zero():
    given = batch(1)
    settings = method("paper")
    chosen = torch.zeros(2, 1, K, dtype=torch.int64)
    xy_map = torch.zeros(2, 1, K, 2)
    xy_map[..., 0, :] = torch.tensor([12.0, 16.0])
    pool = objective.Pool(
        aggregated=torch.rand(2, 1, K, 32, 24), maps=torch.rand(2, 1, K, 32, 24), xy_map=xy_map,
        score=torch.ones(2, 1, K), uncertainty=torch.zeros(2, 1, K),
        accepted=torch.ones(2, 1, K, dtype=torch.bool),
        reason=torch.zeros(2, 1, K, dtype=torch.int8), chosen=chosen,
    )  # fmt: skip
    matrix = torch.tensor([[[1.0, 0.0, -20.0], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    moved = objective.augment.View(matrix, torch.zeros(1, dtype=torch.bool), swaps=False)
    target, weight = objective.hard_target(given, pool, 0, moved, settings)
    assert (
        weight[0, 0] == 1 and weight[0, 1:].sum() == 0
    )  # column 0 moves 20 pixels to the left, out of sight
    assert divmod(int(target[0, 0].argmax()), 24) == (16, 7)


@pytest.mark.parametrize("refine", ["none", "scaled"])
def test_students_learn_lifted_maps(refine: str):
    """A peak of 0.25 teaches 0.5 with lift 0.5; what a person placed teaches 1."""
    given, shape = batch(1), (2, 1, K)
    state = torch.zeros(1, K, dtype=torch.int64)
    state[0, 5] = objective.PLACED
    given = replace(given, state=state, placed_xy=torch.full((1, K, 2), 41.5))
    low = 0.25 * objective.encode(torch.full((1, K, 2), 41.5), method("paper"))
    settings = method("best", **{"pool.refine": refine, "views.compose": False})
    votes = objective.Votes(low[None], torch.ones(1, 1, 1, *low.shape[-2:], dtype=torch.bool))
    pool = objective.make_pool([votes, votes], settings)
    assert pool.score.shape == shape
    still = objective.augment.View.identity(1)
    target, _ = objective.hard_target(given, pool, 0, still, settings)
    peaks = target.amax(dim=(-2, -1))[0]
    assert peaks[5].item() == pytest.approx(1.0, abs=1e-4)
    assert peaks[torch.arange(K) != 5].tolist() == pytest.approx([0.5] * (K - 1), abs=1e-4)


def test_swapping_students_leaves_the_loss_of_the_paper_preset():
    given, nets = batch(), students()
    settings = method("paper", **{"pool.threshold": 0.05, "views.hard": "affine"})
    losses = [
        objective.semi_supervised(
            pair, given, settings, weight=1.0, generator=torch.Generator().manual_seed(3)
        )["loss"].item()
        for pair in (copy.deepcopy(nets), copy.deepcopy(nets)[::-1])
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_an_empty_pool_leaves_only_the_labels():
    given, nets = batch(), students()
    for net in nets:
        net.final.weight.data.mul_(1e-3)
    settings = method("paper", **{"pool.threshold": 0.3})
    named = objective.semi_supervised(
        nets, given, settings, weight=1.0, generator=torch.Generator().manual_seed(3)
    )
    assert named["kept"] == 0 and named["loss_unlabeled"] == 0
    assert named["loss"].item() == pytest.approx(named["loss_labeled"].item())


def test_a_batch_without_an_open_keypoint_says_nothing_of_offers():
    """Its zeros would bring down the means of the steps that had some, and with them the alarms' first heights."""
    given, nets = batch(), students()
    names = {"kept", "peak", "uncertainty", "distance"}
    for kind in (objective.PLACED, objective.OPEN):
        state = torch.full((3, K), kind)
        one = replace(given, state=state, placed_xy=given.labeled_xy)
        named = objective.semi_supervised(
            nets, one, method("paper"), weight=1.0, generator=torch.Generator().manual_seed(3)
        )
        assert names & named.keys() == (names if kind == objective.OPEN else set())


@pytest.mark.parametrize("soft", [0.25, 0.5, 2.0])
def test_keypoints_without_an_offer_count_as_much_as_loss_soft_says(soft: float):
    """The loss of a step is linear in loss.soft, not quadratic."""
    given, nets = batch(), students()
    missed = []
    for asked in (1.0, soft):
        settings = method("paper", **{"select.limit": 1e-9, "loss.soft": asked})
        named = objective.semi_supervised(
            nets, given, settings, weight=1.0, generator=torch.Generator().manual_seed(3)
        )
        missed.append(named["loss_unlabeled"].item())
    assert missed[0] > 0 and missed[1] == pytest.approx(soft * missed[0])
