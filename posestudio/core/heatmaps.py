"""Keypoints to heatmaps and back, to a fraction of a cell. Everything is batched over people and keypoints."""

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Method = Literal["dark", "quarter", "argmax"]


def encode(xy_map: Tensor, size_hw: tuple[int, int], spread: float) -> Tensor:
    """Draw a Gaussian for every keypoint, centred between cells where the keypoint is.

    The peak is 1 at the exact centre, so the highest cell holds a little less when the centre falls between cells
    (0.939 at worst for spread 2). Nothing is truncated. A keypoint that is NaN gives a map of zeros.

    Args:
        xy_map: (..., K, 2) in heatmap cells.
        size_hw: height and width of the heatmaps.
        spread: Gaussian width in heatmap cells.

    Returns:
        (..., K, H, W) with the dtype of `xy_map`.

    Source: sub-cell centres as in DARK (Zhang et al. 2020, arXiv 1910.06278); the earlier habit of rounding the
    centre costs up to half a cell.
    """
    height, width = size_hw
    rate = -0.5 / spread**2
    cells = torch.arange(max(height, width), dtype=xy_map.dtype, device=xy_map.device)
    across = torch.exp(rate * (cells[:width] - xy_map[..., :1]) ** 2).nan_to_num(nan=0.0)
    down = torch.exp(rate * (cells[:height] - xy_map[..., 1:]) ** 2).nan_to_num(nan=0.0)
    return down.unsqueeze(-1) * across.unsqueeze(-2)


def decode(
    heatmaps: Tensor, method: Method = "dark", spread: float = 2.0, blur: bool = False
) -> tuple[Tensor, Tensor]:
    """Find the peak of every heatmap.

    argmax: the highest cell. quarter: moved a quarter cell towards its higher neighbour on each axis. dark: moved to
    the top of the parabola through the logarithm of the map, by at most one cell an axis; it stays on the cell where
    that is within two cells of the border or where the map does not curve down in every direction.

    Args:
        heatmaps: (B, K, H, W), any finite values.
        method: one of the three above.
        spread: Gaussian width of the heatmaps in cells; it sets the width of the blur.
        blur: smooth the maps by a Gaussian of that width before the parabola is laid, for noisy maps (dark only).

    Returns:
        xy_map: (B, K, 2) float32 in heatmap cells.
        score: (B, K) float32, the peak value clamped to [0, 1].

    Source: dark is Zhang et al. 2020 (arXiv 1910.06278); the limit of one cell and the curvature test are ours. The
    quarter is Xiao et al. 2018 (arXiv 1804.06208).
    """
    height, width = heatmaps.shape[-2:]
    flat = heatmaps.to(torch.float32).flatten(-2)
    peak, index = flat.max(dim=-1)
    column, row = index % width, index // width
    xy = torch.stack([column, row], dim=-1).to(torch.float32)
    if method == "quarter":
        xy = xy + _quarter(flat, column, row, (height, width))
    elif method == "dark":
        if blur:
            flat = _blurred(flat.unflatten(-1, (height, width)), spread).flatten(-2)
        xy = xy + _parabola(flat, column, row, (height, width))
    return xy, peak.clamp(0, 1)


def refine(heatmaps: Tensor, xy_cell: Tensor) -> Tensor:
    """Move several peaks of each map to the top of the parabola around their cells, as `decode` does by "dark".

    Args:
        heatmaps: (B, K, H, W).
        xy_cell: (B, K, P, 2) whole cells.

    Returns:
        (B, K, P, 2) float32 in heatmap cells.
    """
    height, width = heatmaps.shape[-2:]
    column, row = xy_cell.long().unbind(-1)
    flat = heatmaps.to(torch.float32).flatten(-2)[..., None, :].expand(*column.shape, -1)
    return xy_cell.to(torch.float32) + _parabola(flat, column, row, (height, width))


def flip_maps(heatmaps: Tensor, flip_index: Sequence[int] | Tensor) -> Tensor:
    """Mirror heatmaps left to right and swap the channels of left and right keypoints.

    Args:
        heatmaps: (..., K, H, W).
        flip_index: K indices, Skeleton.flip_index.

    Returns:
        (..., K, H, W).
    """
    index = torch.as_tensor(flip_index, dtype=torch.long, device=heatmaps.device)
    return heatmaps.flip(-1).index_select(-3, index)


def _neighbours(
    flat: Tensor, column: Tensor, row: Tensor, size_hw: tuple[int, int], steps: list[list[int]]
) -> Tensor:
    """Values (B, K, N) of the cells at N (dx, dy) steps from a cell; steps that leave the map stop at its edge."""
    step = torch.tensor(steps, device=flat.device)
    x = (column[..., None] + step[:, 0]).clamp_(0, size_hw[1] - 1)
    y = (row[..., None] + step[:, 1]).clamp_(0, size_hw[0] - 1)
    return flat.gather(-1, y * size_hw[1] + x)


def _border(column: Tensor, row: Tensor, size_hw: tuple[int, int], cells: int) -> Tensor:
    """Whether a cell lies within this many cells of the border."""
    height, width = size_hw
    beside = (column < cells) | (column >= width - cells)
    return beside | (row < cells) | (row >= height - cells)


def _quarter(flat: Tensor, column: Tensor, row: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Offsets (B, K, 2) of a quarter cell towards the higher neighbour."""
    around = _neighbours(flat, column, row, size_hw, [[1, 0], [-1, 0], [0, 1], [0, -1]])
    slope = torch.stack([around[..., 0] - around[..., 1], around[..., 2] - around[..., 3]], dim=-1)
    return (0.25 * slope.sign()).masked_fill(_border(column, row, size_hw, 1)[..., None], 0.0)


def _parabola(flat: Tensor, column: Tensor, row: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Offsets (B, K, 2) to the top of the parabola through the logarithm of the map around a cell."""
    steps = [[0, 0], [1, 0], [-1, 0], [0, 1], [0, -1], [2, 0], [-2, 0], [0, 2], [0, -2]]
    steps += [[1, 1], [-1, -1], [1, -1], [-1, 1]]
    values = _neighbours(flat, column, row, size_hw, steps).clamp(min=1e-10).log()
    here, east, west, south, north, east2, west2, south2, north2, se, nw, ne, sw = values.unbind(-1)
    dx, dy = (east - west) / 2, (south - north) / 2
    dxx, dyy = (east2 - 2 * here + west2) / 4, (south2 - 2 * here + north2) / 4
    dxy = (se + nw - ne - sw) / 4
    det = dxx * dyy - dxy * dxy
    still = (det <= 1e-12) | (dxx >= 0) | _border(column, row, size_hw, 2)
    safe = det.masked_fill(still, 1.0)
    offset = torch.stack([dxy * dy - dyy * dx, dxy * dx - dxx * dy], dim=-1) / safe[..., None]
    return offset.clamp(-1, 1).masked_fill(still[..., None], 0.0)


def _blurred(maps: Tensor, spread: float) -> Tensor:
    """Maps (B, K, H, W) smoothed by a Gaussian of `spread` cells; its kernel is 11 cells wide for spread 2."""
    radius = math.ceil(2.5 * spread)
    cells = torch.arange(-radius, radius + 1, dtype=maps.dtype, device=maps.device)
    kernel = torch.exp(-0.5 * (cells / spread) ** 2)
    kernel = kernel / kernel.sum()
    flat = maps.reshape(-1, 1, *maps.shape[-2:])
    flat = F.conv2d(flat, kernel.view(1, 1, 1, -1), padding=(0, radius))
    return F.conv2d(flat, kernel.view(1, 1, -1, 1), padding=(radius, 0)).reshape(maps.shape)
