"""Matrices, points and warps agree with each other and with torch's own affine_grid."""

from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F

from posestudio.core import augment, geometry, heatmaps

SIZE = (64, 48)


def affine(degrees: float, zoom: float, size_hw=SIZE, batch: int = 1, kind: Any = "rigid"):
    """Matrix (batch, 2, 3) of one rotation and scale about the centre."""
    return augment.affine_matrix(
        torch.full((batch,), degrees, dtype=torch.float64),
        torch.full((batch,), zoom, dtype=torch.float64),
        torch.zeros(batch, dtype=torch.bool),
        size_hw=size_hw,
        geometry=kind,
    )


def random_matrices(batch: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    noise = torch.rand(batch, 2, 3, generator=generator, dtype=torch.float64) - 0.5
    return torch.eye(2, 3, dtype=torch.float64) + noise * torch.tensor([1.0, 1.0, 40.0])


def smooth(batch: int, channels: int, size_hw: tuple[int, int]) -> torch.Tensor:
    """Images in [0, 1] without sharp edges."""
    noise = torch.rand(batch, channels, *size_hw, generator=torch.Generator().manual_seed(2))
    return F.avg_pool2d(noise, 5, stride=1, padding=2)


def test_invert_undoes_and_compose_chains():
    first, second = random_matrices(50)[:25], random_matrices(50)[25:]
    xy = torch.rand(25, 7, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64) * 50
    chained = geometry.apply(geometry.compose(second, first), xy)
    one_by_one = geometry.apply(second, geometry.apply(first, xy))
    torch.testing.assert_close(chained, one_by_one, rtol=0, atol=1e-9)
    back = geometry.apply(geometry.invert(first), geometry.apply(first, xy))
    torch.testing.assert_close(back, xy, rtol=0, atol=1e-9)


def test_apply_keeps_dtype_and_broadcasts_one_matrix_over_people():
    matrix = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, -1.0]], dtype=torch.float64)
    xy = torch.tensor([[[1.0, 1.0]], [[0.0, 2.0]]])
    moved = geometry.apply(matrix, xy)
    assert moved.dtype == torch.float32
    assert moved.tolist() == [[[3.0, 2.0]], [[1.0, 5.0]]]


def test_box_to_crop_puts_the_middle_in_the_middle_and_stretches_nothing():
    # A box 10..30 by 20..40 (edges) has its centre at pixel (19.5, 29.5). Crop 8 x 6, padding 1: height 20 needs
    # 20 / 8 = 2.5 image pixels a crop pixel, width 20 needs 20 / 6 = 3.33, which is larger and wins.
    box = torch.tensor([[10.0, 20.0, 20.0, 20.0]])
    matrix = geometry.box_to_crop(box, (8, 6), 1.0)
    centre = geometry.apply(matrix, torch.tensor([[[19.5, 29.5]]]))
    torch.testing.assert_close(centre, torch.tensor([[[2.5, 3.5]]]))
    assert matrix[0, 0, 0].item() == pytest.approx(6 / 20)
    assert matrix[0, 1, 1] == matrix[0, 0, 0] and matrix[0, 0, 1] == matrix[0, 1, 0] == 0
    # The left edge of the first box pixel, 0.5 left of centre 10, falls on the left edge of the crop.
    edge = geometry.apply(matrix, torch.tensor([[[9.5, 29.5]]]))
    assert edge[0, 0, 0].item() == pytest.approx(-0.5, abs=1e-5)


def test_box_to_crop_padding_zooms_out_and_an_empty_box_stays_finite():
    box = torch.tensor([[0.0, 0.0, 30.0, 40.0], [5.0, 5.0, 0.0, 0.0]])
    plain = geometry.box_to_crop(box, (128, 96), 1.0)
    padded = geometry.box_to_crop(box, (128, 96), 1.25)
    torch.testing.assert_close(plain[0, 0, 0] / padded[0, 0, 0], torch.tensor(1.25).double())
    assert padded.isfinite().all()


def test_the_whole_image_as_box_is_a_resize():
    matrix = geometry.box_to_crop(torch.tensor([0.0, 0.0, 96.0, 128.0]), (64, 48), 1.0)
    half = torch.tensor([[0.5, 0.0, -0.25], [0.0, 0.5, -0.25]], dtype=torch.float64)
    torch.testing.assert_close(matrix, half)


def test_points_to_map_and_back():
    xy = torch.tensor([[0.0, 0.0], [1.5, 1.5], [3.5, 95.0]])
    on_map = geometry.points_to_map(xy, 4)
    # The middle of the first four crop pixels, 1.5, is the centre of cell 0.
    assert on_map[1].tolist() == [0.0, 0.0]
    assert on_map[2].tolist() == [0.5, 23.375]
    torch.testing.assert_close(geometry.points_to_crop(on_map, 4), xy)


def test_matrix_to_map_moves_cells_as_the_crop_moves():
    matrix = random_matrices(6)
    xy = torch.rand(6, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4)) * 90
    by_crop = geometry.points_to_map(geometry.apply(matrix, xy), 4)
    by_map = geometry.apply(geometry.matrix_to_map(matrix, 4), geometry.points_to_map(xy, 4))
    torch.testing.assert_close(by_map, by_crop, rtol=0, atol=1e-9)


def test_flip_matrix_points_and_images_are_one_mirror():
    xy = torch.tensor([[0.0, 3.0], [11.0, 0.0], [4.25, 1.0]])
    mirrored = geometry.apply(geometry.flip_matrix(12), xy)
    assert mirrored.tolist() == [[11.0, 3.0], [0.0, 0.0], [6.75, 1.0]]
    images = torch.rand(2, 3, 7, 12, generator=torch.Generator().manual_seed(5))
    by_warp = geometry.warp(images, geometry.flip_matrix(12).expand(2, 2, 3), (7, 12))
    torch.testing.assert_close(by_warp, geometry.flip_images(images), rtol=0, atol=2e-6)
    assert torch.equal(geometry.flip_images(geometry.flip_images(images)), images)


def test_inside_takes_whole_outer_pixels_and_refuses_nan():
    xy = torch.tensor(
        [[-0.5, 0.0], [-0.6, 0.0], [9.5, 4.5], [9.6, 0.0], [0.0, 4.6], [torch.nan, 0]]
    )
    assert geometry.inside(xy, (5, 10)).tolist() == [True, False, True, False, False, False]


def test_identity_warp_is_the_input():
    """Identity 1."""
    identity = torch.eye(2, 3).expand(3, 2, 3)
    xy = torch.rand(3, 17, 2, generator=torch.Generator().manual_seed(6)) * torch.tensor([48, 64])
    maps = heatmaps.encode(xy, SIZE, 2.0)
    torch.testing.assert_close(geometry.warp(maps, identity, SIZE), maps, rtol=0, atol=1e-6)
    images = torch.rand(3, 3, 128, 96, generator=torch.Generator().manual_seed(7)).double()
    moved = geometry.warp(images, identity, (128, 96))
    torch.testing.assert_close(moved, images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("degrees", [-60.0, -20.0, 30.0, 60.0])
@pytest.mark.parametrize("zoom", [0.75, 1.0, 1.25])
def test_warp_and_unwarp_give_the_map_back(degrees, zoom):
    """Identity 2: peak within 0.3 cell, values within 0.15, in the core that the view shows."""
    matrix = affine(degrees, zoom)
    near = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(8)) * 14 - 7
    xy = near + torch.tensor([23.5, 31.5])
    maps = heatmaps.encode(xy, SIZE, 2.0)
    there = geometry.warp(maps, matrix, SIZE)
    back = geometry.warp(there, geometry.invert(matrix), SIZE)
    found, _ = heatmaps.decode(back)
    assert (found - xy).norm(dim=-1).max() < 0.3
    assert (back - maps).abs().max() < 0.15


@pytest.mark.parametrize("degrees", [-60.0, 20.0, 60.0])
@pytest.mark.parametrize("zoom", [0.75, 1.0, 1.25])
def test_a_warped_gaussian_is_the_gaussian_redrawn(degrees, zoom):
    """Identity 3: within 0.08, peak within 0.15 cell; a picture that shrinks narrows its Gaussians.

    Where the picture grows, linear interpolation leaves flat facets: without DARK's blur 0.22 cell must do.
    """
    matrix = affine(degrees, zoom)
    near = torch.rand(1, 200, 2, generator=torch.Generator().manual_seed(9)) * 16 - 8
    xy = near + torch.tensor([23.5, 31.5])
    warped = geometry.warp(heatmaps.encode(xy, SIZE, 2.0), matrix, SIZE)
    moved = geometry.apply(matrix, xy)
    assert (warped - heatmaps.encode(moved, SIZE, 2.0 / zoom)).abs().max() < 0.08
    found, _ = heatmaps.decode(warped)
    assert (found - moved).norm(dim=-1).max() < (0.15 if zoom >= 1 else 0.22)
    found, _ = heatmaps.decode(warped, blur=True)
    assert (found - moved).norm(dim=-1).max() < 0.02


@pytest.mark.parametrize("degrees", [0.0, -30.0, 30.0, 60.0])
@pytest.mark.parametrize("zoom", [0.75, 1.0, 1.25])
@pytest.mark.parametrize("kind", ["rigid", "normalized"])
def test_a_painted_dot_and_its_cell_move_together(degrees, zoom, kind):
    """Identity 5: the centroid of a dot in the warped picture, in cells, is where the map's matrix sends its cell."""
    size, stride = (256, 192), 4
    matrix = affine(degrees, zoom, size, kind=kind)
    xy = torch.tensor([[[70.3, 110.8]]])
    picture = heatmaps.encode(xy, size, 3.0)
    seen = geometry.warp(picture, matrix, size)[0, 0]
    weight = seen / seen.sum()
    y, x = torch.meshgrid(torch.arange(256.0), torch.arange(192.0), indexing="ij")
    centroid = torch.stack([(weight * x).sum(), (weight * y).sum()])
    on_map = geometry.points_to_map(xy, stride)
    expected = geometry.apply(geometry.matrix_to_map(matrix, stride), on_map)[0, 0]
    torch.testing.assert_close(
        geometry.points_to_map(centroid, stride), expected, rtol=0, atol=0.05
    )


@pytest.mark.parametrize(("degrees", "zoom"), [(30.0, 1.0), (-60.0, 0.75), (17.0, 1.25)])
@pytest.mark.parametrize(("channels", "stride"), [(3, 1), (17, 4)])
def test_normalized_is_affine_grid_of_opencvs_matrix(degrees, zoom, channels, stride):
    """Images and heatmaps alike move as in PoseDual's code: one theta for both."""
    theta = torch.tensor(cv2.getRotationMatrix2D((0, 0), degrees, zoom)).expand(2, 2, 3)
    size = (128 // stride, 96 // stride)
    images = smooth(2, channels, size)
    grid = F.affine_grid(theta.float(), [2, channels, *size], align_corners=False)
    expected = F.grid_sample(images, grid, align_corners=False)
    matrix = affine(degrees, zoom, (128, 96), batch=2, kind="normalized")
    moved = geometry.warp(images, geometry.matrix_to_map(matrix, stride), size)
    torch.testing.assert_close(moved, expected, rtol=0, atol=1e-5)
    torch.testing.assert_close(geometry.normalized_matrix(theta, (128, 96)), matrix)


def test_warp_agrees_with_opencv():
    image = smooth(1, 1, (40, 30))
    matrix = affine(25.0, 0.9, (40, 30))
    by_opencv = cv2.warpAffine(
        image[0, 0].double().numpy(), matrix[0].numpy(), (20, 50), flags=cv2.INTER_LINEAR
    )
    moved = geometry.warp(image, matrix, (50, 20))[0, 0].numpy()
    assert np.abs(moved - by_opencv).max() < 0.02  # OpenCV rounds places to 1/32 pixel


def test_coverage_is_the_warp_of_ones():
    matrix = affine(40.0, 1.2)
    grid = geometry.sampling_grid(matrix, SIZE, SIZE)
    ones = geometry.sample(torch.ones(1, 1, *SIZE), grid)
    torch.testing.assert_close(geometry.coverage(grid, SIZE), ones, rtol=0, atol=1e-5)
    assert 0.3 < (ones > 0.5).float().mean() < 0.95


def test_warp_to_another_size_is_a_resize():
    images = torch.arange(16.0).view(1, 1, 1, 16)
    half = torch.tensor([[[0.5, 0.0, -0.25], [0.0, 1.0, 0.0]]], dtype=torch.float64)
    shrunk = geometry.warp(images, half, (1, 8))
    # Cell i of the half-size picture reads at 2 i + 0.5, halfway between two pixels.
    assert shrunk.flatten().tolist() == pytest.approx([2 * i + 0.5 for i in range(8)], abs=1e-4)


def test_warp_keeps_dtype_and_memory():
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        images = smooth(2, 3, (16, 12)).to(dtype)
        before = images.clone()
        assert geometry.warp(images, affine(10.0, 1.0, (16, 12), 2), (16, 12)).dtype == dtype
        assert torch.equal(images, before)
