"""Losses: what weights 0, equal maps and batching must do."""

import torch

from posestudio.core.losses import heatmap_mse


def maps(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def test_value_worked_out_by_hand():
    # one person, two keypoints of 1 x 2 cells: differences (1, 2) with weight 1 and (3, 4) with weight 0.5.
    prediction = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]]])
    weight = torch.tensor([[1.0, 0.5]])
    # 0.5 * mean(1, 4, 2.25, 4) = 0.5 * 11.25 / 4
    assert heatmap_mse(prediction, torch.zeros_like(prediction), weight).item() == 1.40625


def test_weight_zero_has_exactly_zero_gradient():
    prediction = maps(0, 2, 3, 4, 4).requires_grad_()
    weight = torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]])
    heatmap_mse(prediction, maps(1, 2, 3, 4, 4), weight).backward()
    gradient = prediction.grad
    assert gradient is not None
    assert torch.equal(gradient[weight == 0], torch.zeros_like(gradient[weight == 0]))
    assert (gradient[weight == 1] != 0).any()


def test_equal_maps_cost_nothing():
    target = maps(2, 2, 3, 4, 4)
    assert heatmap_mse(target.clone(), target, torch.ones(2, 3)).item() == 0


def test_a_batch_costs_the_mean_of_its_halves():
    prediction, target, weight = maps(3, 4, 3, 5, 4), maps(4, 4, 3, 5, 4), maps(5, 4, 3).round()
    halves = [
        heatmap_mse(prediction[part], target[part], weight[part])
        for part in (slice(0, 2), slice(2, 4))
    ]
    assert torch.allclose(heatmap_mse(prediction, target, weight), torch.stack(halves).mean())


def test_masked_extra_keypoints_only_dilute():
    """PoseDual averages over 24 keypoints of which COCO has 17: a factor of 17/24."""
    prediction, target = maps(6, 2, 24, 4, 4), maps(7, 2, 24, 4, 4)
    weight = torch.ones(2, 24)
    weight[:, 17:] = 0
    few = heatmap_mse(prediction[:, :17], target[:, :17], weight[:, :17])
    assert torch.allclose(heatmap_mse(prediction, target, weight), few * 17 / 24)
