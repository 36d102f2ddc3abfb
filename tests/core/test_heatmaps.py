"""Encode and decode are each other's inverse, to the error that each way of decoding is known to have."""

import math

import pytest
import torch

from posestudio.core import geometry, heatmaps
from posestudio.core.skeleton import COCO17

SIZE = (64, 48)


def points(batch: int = 20, keypoints: int = 17, margin: float = 5.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    span = torch.tensor([SIZE[1] - 1.0, SIZE[0] - 1.0]) - 2 * margin
    return torch.rand(batch, keypoints, 2, generator=generator) * span + margin


def test_encode_is_one_at_a_whole_cell_and_falls_as_a_gaussian():
    maps = heatmaps.encode(torch.tensor([[10.0, 20.0]]), SIZE, 2.0)
    assert maps.shape == (1, *SIZE)
    assert maps[0, 20, 10] == 1
    assert maps[0, 20, 14].item() == pytest.approx(math.exp(-2))  # two spreads away
    assert maps[0, 23, 14].item() == pytest.approx(math.exp(-25 / 8))
    assert maps[0, 20, 20].item() == pytest.approx(math.exp(-12.5))  # not truncated at three


def test_encode_between_cells_keeps_the_centre_and_loses_height():
    maps = heatmaps.encode(torch.tensor([[10.5, 20.5]]), SIZE, 2.0)
    corners = maps[0, 20:22, 10:12].flatten().tolist()
    assert corners == pytest.approx([math.exp(-0.5 / 8)] * 4)  # 0.939


def test_encode_of_what_is_nowhere_is_empty_and_of_what_is_outside_fades():
    xy = torch.tensor([[torch.nan, torch.nan], [torch.inf, 3.0], [-1.0, 5.0], [-300.0, 5.0]])
    maps = heatmaps.encode(xy, SIZE, 2.0)
    assert maps.isfinite().all()
    assert maps.amax((1, 2)).tolist() == pytest.approx([0, 0, math.exp(-1 / 8), 0])


def test_encode_takes_any_leading_dimensions():
    xy = points(6, 3)
    flat = heatmaps.encode(xy, SIZE, 2.0)
    assert torch.equal(heatmaps.encode(xy.view(2, 3, 3, 2), SIZE, 2.0), flat.view(2, 3, 3, *SIZE))
    assert torch.equal(heatmaps.encode(xy[0, 0], SIZE, 2.0), flat[0, 0])


@pytest.mark.parametrize(
    ("method", "rms", "most"),
    [("dark", 1e-4, 1e-3), ("quarter", 0.203, 0.36), ("argmax", 0.405, 0.71)],
)
def test_decode_finds_what_encode_drew(method, rms, most):
    """Identity 6."""
    xy = points()
    found, score = heatmaps.decode(heatmaps.encode(xy, SIZE, 2.0), method)
    error = (found - xy).norm(dim=-1)
    assert error.max() < most
    if method == "dark":
        assert error.square().mean().sqrt() < rms
    else:
        assert error.square().mean().sqrt().item() == pytest.approx(rms, abs=0.03)
    assert ((score > 0.93) & (score <= 1)).all()


@pytest.mark.parametrize("spread", [1.0, 2.0, 3.0])
def test_dark_with_blur_still_finds_the_centre(spread):
    xy = points(margin=12.0)
    found, _ = heatmaps.decode(heatmaps.encode(xy, SIZE, spread), "dark", spread, blur=True)
    assert (found - xy).norm(dim=-1).max() < 0.02


def test_blur_helps_on_noise():
    xy = points(margin=8.0)
    clean = heatmaps.encode(xy, SIZE, 2.0)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(1))
    noisy = (clean + 0.05 * noise).clamp(min=0)
    plain = (heatmaps.decode(noisy)[0] - xy).norm(dim=-1).mean()
    smoothed = (heatmaps.decode(noisy, blur=True)[0] - xy).norm(dim=-1).mean()
    assert smoothed < 0.8 * plain


def test_dark_never_leaves_the_cells_around_the_peak():
    noise = torch.rand(8, 17, *SIZE, generator=torch.Generator().manual_seed(2))
    peak, _ = heatmaps.decode(noise, "argmax")
    found, score = heatmaps.decode(noise, "dark")
    assert (found - peak).abs().max() <= 1
    assert found.isfinite().all() and score.isfinite().all()


@pytest.mark.parametrize("method", ["dark", "quarter", "argmax"])
def test_flat_negative_and_edge_maps_decode_to_a_cell(method):
    maps = torch.zeros(1, 4, *SIZE)
    maps[0, 1] = -3.0
    maps[0, 2, 0, 0] = 5.0
    maps[0, 3, -1, -1] = 0.5
    found, score = heatmaps.decode(maps, method)
    assert found[0].tolist() == [[0, 0], [0, 0], [0, 0], [47, 63]]
    assert score[0].tolist() == [0, 0, 1, 0.5]


def test_decode_takes_bfloat16_and_answers_in_float32():
    xy = points(2)
    found, score = heatmaps.decode(heatmaps.encode(xy, SIZE, 2.0).bfloat16())
    assert found.dtype == score.dtype == torch.float32
    assert (found - xy).norm(dim=-1).max() < 0.8


def test_decode_of_one_is_the_decode_of_many():
    maps = heatmaps.encode(points(5), SIZE, 2.0)
    many = heatmaps.decode(maps)
    one = heatmaps.decode(maps[3:4])
    assert torch.equal(one[0][0], many[0][3]) and torch.equal(one[1][0], many[1][3])


def test_flipped_maps_are_maps_of_flipped_points():
    """Identity 4, with the swap of left and right."""
    index = COCO17.flip_index
    xy = points(3)
    maps = heatmaps.encode(xy, SIZE, 2.0)
    flipped = geometry.apply(geometry.flip_matrix(SIZE[1]), xy)
    mirrored = heatmaps.encode(flipped[:, list(index)], SIZE, 2.0)
    torch.testing.assert_close(heatmaps.flip_maps(maps, index), mirrored, rtol=0, atol=1e-5)
    assert torch.equal(heatmaps.flip_maps(heatmaps.flip_maps(maps, index), index), maps)
    assert torch.equal(
        heatmaps.flip_maps(maps, torch.tensor(index)), heatmaps.flip_maps(maps, index)
    )
