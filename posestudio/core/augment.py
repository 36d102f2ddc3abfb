"""Views of a crop: an affine move, a mirror, or nothing, drawn for a batch at once and undone exactly or by one warp.

A `View` moves images, points and heatmaps together. What changes colors is written in `posestudio.core.color`, what
hides parts of the picture in `posestudio.core.occlude`; both are offered here too, so that this is the one door.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from posestudio.core import heatmaps
from posestudio.core.color import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    denormalize,
    jitter_color,
    normalize,
    rand_augment,
)
from posestudio.core.geometry import (
    apply,
    coverage,
    flip_images,
    flip_matrix,
    invert,
    matrix_to_map,
    normalized_matrix,
    sample,
    sampling_grid,
    warp,
)
from posestudio.core.occlude import cutmix, cutout, jccm, joco, joint_cut_occlude, joint_cutout

__all__ = [
    "IMAGENET_MEAN", "IMAGENET_STD", "View", "affine_matrix", "cutmix", "cutout", "denormalize", "draw_affine", "jccm",
    "jitter_color", "joco", "joint_cut_occlude", "joint_cutout", "normalize", "rand_augment",
]  # fmt: skip

Geometry = Literal["rigid", "normalized"]


@dataclass(frozen=True, slots=True)
class View:
    """One move for each crop of a batch.

    matrix: (B, 2, 3) float64, crop to view, both in crop pixels; a mirror, where there is one, comes first in it.
    flipped: (B,) bool, whether that mirror is in it, so that left and right keypoints change places.
    kind: "identity" and "mirror" are exact and never resample; "affine" is one bilinear warp.
    swaps: False promises that nothing is flipped.
    """

    matrix: Tensor
    flipped: Tensor
    kind: Literal["identity", "mirror", "affine"] = "affine"
    swaps: bool = True

    @classmethod
    def identity(cls, batch: int, device: torch.device | str | None = None) -> "View":
        """The crops as they are."""
        matrix = torch.eye(2, 3, dtype=torch.float64, device=device).expand(batch, 2, 3)
        flipped = torch.zeros(batch, dtype=torch.bool, device=device)
        return cls(matrix, flipped, kind="identity", swaps=False)

    @classmethod
    def mirror(cls, batch: int, width: int, device: torch.device | str | None = None) -> "View":
        """Every crop, `width` pixels wide, mirrored left to right."""
        matrix = flip_matrix(width).to(device).expand(batch, 2, 3)
        return cls(matrix, torch.ones(batch, dtype=torch.bool, device=device), kind="mirror")

    def __len__(self) -> int:
        return len(self.matrix)

    def part(self, index: slice) -> "View":
        """The view of some of the crops."""
        return View(self.matrix[index], self.flipped[index], self.kind, self.swaps)

    def to(self, device: torch.device | str) -> "View":
        """The same view with its tensors on a device."""
        return View(self.matrix.to(device), self.flipped.to(device), self.kind, self.swaps)

    def images(self, images: Tensor) -> Tensor:
        """Show images (B, C, H, W) in this view; what comes from outside the crop is 0, the ImageNet mean."""
        if self.kind == "identity":
            return images
        if self.kind == "mirror":
            return flip_images(images)
        return warp(images, self.matrix, (images.shape[-2], images.shape[-1]))

    def points(self, xy_crop: Tensor, flip_index: Sequence[int] | Tensor) -> Tensor:
        """Move keypoints (B, K, 2) in crop pixels into this view, left and right swapped where it is flipped."""
        if self.kind == "identity":
            return xy_crop
        moved = apply(self.matrix, xy_crop)
        return self.swap(moved, flip_index)

    def maps(self, maps: Tensor, flip_index: Sequence[int] | Tensor, stride: int) -> Tensor:
        """Move heatmaps (B, K, H, W) of the crop, one cell being `stride` crop pixels, into this view."""
        if self.kind == "identity":
            return maps
        if self.kind == "mirror":
            return heatmaps.flip_maps(maps, flip_index)
        matrix = matrix_to_map(self.matrix, stride)
        moved = warp(maps, matrix, (maps.shape[-2], maps.shape[-1]))
        return self.swap(moved, flip_index)

    def undo_maps(
        self, maps: Tensor, flip_index: Sequence[int] | Tensor, stride: int
    ) -> tuple[Tensor, Tensor]:
        """Move heatmaps of this view back onto the crop.

        Args:
            maps: (B, K, H, W) of the view.
            flip_index: K indices, Skeleton.flip_index.
            stride: crop pixels per heatmap cell.

        Returns:
            maps: (B, K, H, W) of the crop; 0 where the view does not show the crop.
            valid: (B, 1, H, W) bool, the cells of the crop that the view shows by more than half.
        """
        size = (maps.shape[-2], maps.shape[-1])
        if self.kind != "affine":
            back = maps if self.kind == "identity" else heatmaps.flip_maps(maps, flip_index)
            return back, torch.ones(len(maps), 1, *size, dtype=torch.bool, device=maps.device)
        matrix = matrix_to_map(self.matrix, stride).to(maps.device)
        grid = sampling_grid(invert(matrix), size, size)
        back = self.swap(sample(maps, grid), flip_index)
        return back, coverage(grid, size) > 0.5

    def swap(self, values: Tensor, flip_index: Sequence[int] | Tensor) -> Tensor:
        """Swap left and right in values (B, K, ...) of the people whose view is flipped."""
        if not self.swaps:
            return values
        index = torch.as_tensor(flip_index, dtype=torch.long, device=values.device)
        plain = torch.arange(values.shape[1], device=values.device)
        order = torch.where(self.flipped.to(values.device)[:, None], index, plain)
        rows = torch.arange(len(values), device=values.device)[:, None]
        return values[rows, order]


def draw_affine(
    generator: torch.Generator,
    batch: int,
    *,
    size_hw: tuple[int, int],
    rotation: float,
    scale: float,
    probability: float,
    geometry: Geometry = "rigid",
    flip: float = 0.0,
) -> View:
    """Draw a rotation and a scale about the crop's centre, and perhaps a mirror before them, for each crop.

    The angle is normal with deviation `rotation`, clipped at twice that, and 0 with probability 1 - `probability`;
    the scale is normal about 1, clipped at `scale` from it, and above 1 zooms out.

    Args:
        generator: source of the draws; they are made on its device and the view stays there.
        batch: number of crops B.
        size_hw: height and width of the crops in pixels.
        rotation: degrees.
        scale: deviation and limit of the scale.
        probability: share of crops that are rotated.
        geometry: "rigid" rotates pixels; "normalized" rotates [-1, 1] coordinates, which shears what is not square.
        flip: share of crops that are mirrored first.

    Returns:
        A view of kind "affine".

    Source: the laws and the normalized form are those of PoseDual's code (Xie et al., ICCV 2021), where the matrix
    of cv2.getRotationMatrix2D((0, 0), degrees, scale) is fed to affine_grid. The rigid form is ours.
    """
    device = generator.device
    normal = torch.randn(2, batch, generator=generator, device=device, dtype=torch.float64)
    chance = torch.rand(2, batch, generator=generator, device=device)
    degrees = (normal[0] * rotation).clamp(-2 * rotation, 2 * rotation)
    degrees = degrees.where(chance[0] < probability, 0.0)
    zoom = (1 + normal[1] * scale).clamp(1 - scale, 1 + scale)
    flipped = chance[1] < flip
    matrix = affine_matrix(degrees, zoom, flipped, size_hw=size_hw, geometry=geometry)
    return View(matrix, flipped, swaps=flip > 0)


def affine_matrix(
    degrees: Tensor,
    zoom: Tensor,
    flipped: Tensor,
    *,
    size_hw: tuple[int, int],
    geometry: Geometry = "rigid",
) -> Tensor:
    """Matrix of a mirror where `flipped`, then a rotation and a scale about the centre of the frame.

    Args:
        degrees: (B,) float64; positive turns the picture clockwise as seen, y pointing down.
        zoom: (B,) float64; above 1 makes the picture smaller.
        flipped: (B,) bool.
        size_hw: height and width of the frame in pixels.
        geometry: as in `draw_affine`.

    Returns:
        (B, 2, 3) float64, source to destination in pixels.
    """
    height, width = size_hw
    angle = degrees * (math.pi / 180)
    cos, sin, zero = zoom * angle.cos(), zoom * angle.sin(), torch.zeros_like(zoom)
    back = torch.stack([cos, sin, zero, -sin, cos, zero], dim=-1).unflatten(-1, (2, 3))
    if geometry == "normalized":
        matrix = normalized_matrix(back, size_hw)
    else:
        centre = back.new_tensor([[(width - 1) / 2], [(height - 1) / 2]])
        back[..., 2:] = centre - back[..., :2] @ centre
        matrix = invert(back)
    mirrored = matrix.clone()
    mirrored[:, :, 0] = -matrix[:, :, 0]
    mirrored[:, :, 2] = matrix[:, :, 2] + (width - 1) * matrix[:, :, 0]
    return torch.where(flipped[:, None, None], mirrored, matrix)
