"""Affine moves of points, images and heatmaps that agree with one another to a fraction of a pixel.

A matrix (..., 2, 3) moves points from its source frame to its destination frame; `warp` samples an image so that what
was at a point lands where the matrix sends it. Compose matrices first and resample once. The pixel rule is that of
`posestudio.core`: centres at whole coordinates, `align_corners=False` throughout.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def compose(after: Tensor, before: Tensor) -> Tensor:
    """One matrix that moves points by `before` and then by `after`.

    Args:
        after: (..., 2, 3), applied last.
        before: (..., 2, 3), applied first; leading dimensions broadcast.

    Returns:
        (..., 2, 3).
    """
    linear = after[..., :2] @ before[..., :2]
    shift = after[..., :2] @ before[..., 2:] + after[..., 2:]
    return torch.cat([linear, shift], dim=-1)


def invert(matrix: Tensor) -> Tensor:
    """Matrix (..., 2, 3) of the opposite move; infinite or NaN where `matrix` has no inverse."""
    a, b, c, d = matrix[..., 0, 0], matrix[..., 0, 1], matrix[..., 1, 0], matrix[..., 1, 1]
    tx, ty = matrix[..., 0, 2], matrix[..., 1, 2]
    det = a * d - b * c
    rows = [d, -b, b * ty - d * tx, -c, a, c * tx - a * ty]
    return (torch.stack(rows, dim=-1) / det[..., None]).unflatten(-1, (2, 3))


def apply(matrix: Tensor, xy: Tensor) -> Tensor:
    """Move points.

    Args:
        matrix: (..., 2, 3) source to destination.
        xy: (..., N, 2) points in the source frame; leading dimensions broadcast with those of `matrix`.

    Returns:
        (..., N, 2) in the destination frame, with the dtype and on the device of `xy`.
    """
    matrix = matrix.to(xy)
    return xy @ matrix[..., :2].mT + matrix[..., 2].unsqueeze(-2)


def box_to_crop(box_xywh: Tensor, size_hw: tuple[int, int], padding: float) -> Tensor:
    """Matrix from image pixels to crop pixels that puts a padded box in the middle of the crop.

    The box is widened or heightened about its centre to the crop's aspect, then enlarged by `padding`; nothing is
    stretched. A side under one pixel counts as one pixel.

    Args:
        box_xywh: (..., 4) left and top edge, width and height in image pixels, edges as in COCO: the first pixel
            reaches from 0 to 1, so the centre of the box in pixel centres is x + w / 2 - 0.5.
        size_hw: height and width of the crop in pixels.
        padding: how much larger than the box the crop is; 1 for just the box.

    Returns:
        (..., 2, 3) float64.

    Source: the aspect rule is that of SimpleBaseline (Xiao et al. 2018, arXiv 1804.06208), which pads by 1.25.
    """
    height, width = size_hw
    box = box_xywh.to(torch.float64)
    side = box[..., 2:].clamp(min=1.0)
    centre = box[..., :2] + box[..., 2:] / 2 - 0.5
    span = torch.maximum(side[..., 0] / width, side[..., 1] / height) * padding
    zoom = 1 / span
    zero = torch.zeros_like(zoom)
    rows = [
        zoom, zero, (width - 1) / 2 - zoom * centre[..., 0],
        zero, zoom, (height - 1) / 2 - zoom * centre[..., 1],
    ]  # fmt: skip
    return torch.stack(rows, dim=-1).unflatten(-1, (2, 3))


def points_to_map(xy_crop: Tensor, stride: int) -> Tensor:
    """Points in crop pixels to heatmap cells of `stride` crop pixels each."""
    return (xy_crop + 0.5) / stride - 0.5


def points_to_crop(xy_map: Tensor, stride: int) -> Tensor:
    """Points in heatmap cells of `stride` crop pixels each to crop pixels."""
    return (xy_map + 0.5) * stride - 0.5


def matrix_to_map(matrix: Tensor, stride: int) -> Tensor:
    """The same move between heatmaps as `matrix` (..., 2, 3) makes between crops of `stride` times their size."""
    edge = (stride - 1) / 2
    linear, shift = matrix[..., :2], matrix[..., 2:]
    corner = linear.sum(dim=-1, keepdim=True) * edge
    return torch.cat([linear, (corner + shift - edge) / stride], dim=-1)


def flip_matrix(width: int) -> Tensor:
    """Matrix (2, 3), float64, of the mirror of a frame that is `width` pixels wide: x to width - 1 - x.

    Of points and heatmaps it swaps no left and right names; see Skeleton.flip_index.
    """
    return torch.tensor([[-1, 0, width - 1], [0, 1, 0]], dtype=torch.float64)


def flip_images(images: Tensor) -> Tensor:
    """Mirror images (..., H, W) left to right; of heatmaps, the channels are not swapped."""
    return images.flip(-1)


def inside(xy: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Whether points (..., 2) lie on a frame of this height and width, its outer pixels whole; NaN does not."""
    x, y = xy.unbind(-1)
    return (x >= -0.5) & (x <= size_hw[1] - 0.5) & (y >= -0.5) & (y <= size_hw[0] - 0.5)


def normalized_matrix(theta: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Turn a matrix of torch's affine_grid into a pixel matrix.

    Args:
        theta: (..., 2, 3) from destination to source, both in [-1, 1] coordinates n = (2 x + 1) / W - 1.
        size_hw: height and width of both frames in pixels.

    Returns:
        (..., 2, 3) float64 from source to destination in pixels.
    """
    theta = theta.to(torch.float64)
    half = theta.new_tensor([[size_hw[1] / 2], [size_hw[0] / 2]])
    linear = theta[..., :2] * half / half.mT
    shift = (theta[..., 2:] + 1) * half - 0.5 - linear @ (half - 0.5)
    return invert(torch.cat([linear, shift], dim=-1))


def sampling_grid(
    matrix: Tensor,
    source_hw: tuple[int, int],
    size_hw: tuple[int, int],
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Where in the source every pixel of the destination is read.

    Args:
        matrix: (B, 2, 3) source to destination, in pixels.
        source_hw: height and width of the source.
        size_hw: height and width of the destination.
        dtype: of the result; float32 keeps a place to about 1e-5 pixels.

    Returns:
        (B, h, w, 2), x and y in [-1, 1] coordinates of the source, as torch's grid_sample takes them.
    """
    height, width = size_hw
    back = invert(matrix.to(torch.float64))
    half = back.new_tensor([source_hw[1] / 2, source_hw[0] / 2])
    x = torch.arange(width, dtype=torch.float64, device=back.device)[:, None]
    y = torch.arange(height, dtype=torch.float64, device=back.device)[:, None]
    across = x * (back[:, None, :, 0] / half)
    down = y * (back[:, None, :, 1] / half) + (back[:, None, :, 2] + 0.5) / half - 1
    return down.to(dtype)[:, :, None] + across.to(dtype)[:, None]


def sample(images: Tensor, grid: Tensor) -> Tensor:
    """Read images (B, C, H, W) at `grid` (B, h, w, 2) of `sampling_grid`: bilinear, zeros outside."""
    read = F.grid_sample(
        images.to(grid.dtype), grid, mode="bilinear", padding_mode="zeros", align_corners=False
    )
    return read.to(images.dtype)


def coverage(grid: Tensor, source_hw: tuple[int, int]) -> Tensor:
    """Share of each read pixel that lies on the source: what `sample` makes of an image of ones.

    Args:
        grid: (B, h, w, 2) of `sampling_grid`.
        source_hw: height and width of the source.

    Returns:
        (B, 1, h, w) in [0, 1].
    """
    size = grid.new_tensor([source_hw[1], source_hw[0]])
    reach = ((1 - grid.abs()) * (size / 2) + 0.5).clamp_(0, 1)
    return (reach[..., 0] * reach[..., 1]).unsqueeze(1)


def warp(images: Tensor, matrix: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Move images as `apply` moves points: bilinear, zeros outside.

    Args:
        images: (B, C, H, W) float.
        matrix: (B, 2, 3) source to destination, in pixels.
        size_hw: height h and width w of the result.

    Returns:
        (B, C, h, w) with the dtype and on the device of `images`.
    """
    dtype = torch.float64 if images.dtype == torch.float64 else torch.float32
    source_hw = (images.shape[-2], images.shape[-1])
    return sample(images, sampling_grid(matrix.to(images.device), source_hw, size_hw, dtype))
