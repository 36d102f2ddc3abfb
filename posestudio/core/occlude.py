"""Hide parts of a picture: at keypoints or anywhere, behind nothing or behind pieces of other pictures.

Every box has a half-side of 10 to 19 pixels on each axis at a crop width of 192, and scales with the width. Keypoints
are drawn without replacement from those that may be drawn; a person with too few gets fewer boxes. What is hidden by
nothing becomes 0, the ImageNet mean of a normalized image. No input is written to.

Source: the size law, the shift of 10 pixels and the counts are those of the code of PoseDual (Xie et al., ICCV 2021),
SSPCM (Huang et al., CVPR 2023) and MultiAugs (arXiv 2402.11566). Drawing without replacement from real keypoints and
scaling with the crop are ours.
"""

from typing import NamedTuple

import torch
from torch import Tensor

WIDTH = 192
"""Crop width in pixels for which the published sizes are meant."""

SHIFT = 10.0
"""Standard deviation in pixels of a box's centre about its keypoint, at that width."""


class Boxes(NamedTuple):
    """N boxes for each of B images: centre and half-side (B, N, 2) in crop pixels; half-side 0 hides nothing."""

    centre: Tensor
    half: Tensor


def joint_cutout(
    images: Tensor,
    xy_crop: Tensor,
    generator: torch.Generator,
    count: int = 5,
    weight: Tensor | None = None,
) -> Tensor:
    """Hide boxes near keypoints.

    Args:
        images: (B, 3, H, W) normalized.
        xy_crop: (B, K, 2) in crop pixels; what is not finite is never drawn.
        generator: source of the draws, made on its device.
        count: boxes an image.
        weight: (B, K), above 0 (or True) for the keypoints that may be drawn; all when None.

    Returns:
        (B, 3, H, W), a new tensor.
    """
    boxes = _boxes_at_keypoints(images, xy_crop, generator, count, weight)
    return images.masked_fill(_hidden(boxes, images).unsqueeze(1), 0.0)


def joint_cut_occlude(
    images: Tensor,
    xy_crop: Tensor,
    generator: torch.Generator,
    count: int = 2,
    weight: Tensor | None = None,
) -> Tensor:
    """Paste boxes found at keypoints of one other image of the batch near keypoints of this one.

    A pixel that would come from outside the other crop stays as it was; a batch of one stays as it is.

    Args:
        images: (B, 3, H, W) normalized.
        xy_crop: (B, K, 2) in crop pixels; what is not finite is never drawn.
        generator: source of the draws, made on its device.
        count: pastes an image.
        weight: (B, K), above 0 (or True) for the keypoints that may be drawn, here and there; all when None.

    Returns:
        (B, 3, H, W), a new tensor.
    """
    batch, height, width = len(images), images.shape[-2], images.shape[-1]
    boxes = _boxes_at_keypoints(images, xy_crop, generator, count, weight)
    other = _others(batch, generator).to(images.device)
    there = None if weight is None else weight.to(images.device)[other]
    found = _boxes_at_keypoints(images, xy_crop.to(images.device)[other], generator, count, there)
    usable = (found.half > 0) & (other != torch.arange(batch, device=other.device))[:, None, None]
    boxes = Boxes(boxes.centre, boxes.half * usable)
    step = (found.centre - boxes.centre).round().long()
    across, down = _spans(boxes, (height, width))
    pasted = images.clone()
    for paste in range(step.shape[1]):
        covered = down[:, paste, :, None] & across[:, paste, None]
        image, row, column = covered.nonzero(as_tuple=True)
        x, y = column + step[image, paste, 0], row + step[image, paste, 1]
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        image, row, column, x, y = (part[seen] for part in (image, row, column, x, y))
        pasted[image, :, row, column] = images[other[image], :, y, x]
    return pasted


def cutout(images: Tensor, generator: torch.Generator, count: int = 5) -> Tensor:
    """Hide `count` boxes anywhere in each of the images (B, 3, H, W); returns a new tensor."""
    boxes = _boxes_anywhere(images, generator, count)
    return images.masked_fill(_hidden(boxes, images).unsqueeze(1), 0.0)


def cutmix(images: Tensor, generator: torch.Generator, count: int = 5) -> Tensor:
    """Show one other image of the batch in `count` boxes anywhere; labels and targets stay.

    Args:
        images: (B, 3, H, W) normalized; a batch of one stays as it is.
        generator: source of the draws, made on its device.
        count: boxes an image.

    Returns:
        (B, 3, H, W), a new tensor.
    """
    boxes = _boxes_anywhere(images, generator, count)
    other = _others(len(images), generator).to(images.device)
    return torch.where(_hidden(boxes, images).unsqueeze(1), images[other], images)


def joco(
    images: Tensor, xy_crop: Tensor, generator: torch.Generator, weight: Tensor | None = None
) -> Tensor:
    """Joint cut-occlude, then cutout; arguments as in `joint_cut_occlude`. Source: MultiAugs."""
    return cutout(joint_cut_occlude(images, xy_crop, generator, weight=weight), generator)


def jccm(
    images: Tensor, xy_crop: Tensor, generator: torch.Generator, weight: Tensor | None = None
) -> Tensor:
    """Joint cutout, then CutMix; arguments as in `joint_cutout`. Source: MultiAugs."""
    return cutmix(joint_cutout(images, xy_crop, generator, weight=weight), generator)


def _boxes_at_keypoints(
    images: Tensor, xy_crop: Tensor, generator: torch.Generator, count: int, weight: Tensor | None
) -> Boxes:
    """Boxes about keypoints drawn without replacement; those that could not be drawn have half-side 0."""
    device, (batch, keypoints) = generator.device, xy_crop.shape[:2]
    count, xy_crop = min(count, keypoints), xy_crop.to(images.device, torch.float32)
    order = torch.rand(batch, keypoints, generator=generator, device=device).to(images.device)
    shift = torch.randn(batch, count, 2, generator=generator, device=device).to(images.device)
    may = xy_crop.isfinite().all(-1)
    if weight is not None:
        may &= weight.to(images.device) > 0
    key, drawn = order.masked_fill(~may, -1.0).topk(count, dim=1)
    centre = xy_crop.nan_to_num(0, 0, 0).gather(1, drawn[..., None].expand(-1, -1, 2))
    centre = centre + shift * (SHIFT * images.shape[-1] / WIDTH)
    return Boxes(centre, _halves(images, generator, count) * (key >= 0)[..., None])


def _boxes_anywhere(images: Tensor, generator: torch.Generator, count: int) -> Boxes:
    draws = torch.rand(len(images), count, 2, generator=generator, device=generator.device)
    size = torch.tensor([images.shape[-1], images.shape[-2]], device=images.device)
    return Boxes(draws.to(images.device) * size - 0.5, _halves(images, generator, count))


def _halves(images: Tensor, generator: torch.Generator, count: int) -> Tensor:
    """Half-sides (B, count, 2) in pixels."""
    shape = (len(images), count, 2)
    half = torch.randint(10, 20, shape, generator=generator, device=generator.device)
    return half.to(images.device) * (images.shape[-1] / WIDTH)


def _spans(boxes: Boxes, size_hw: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Which columns (B, N, W) and rows (B, N, H) have their centre in each box."""
    height, width = size_hw
    cells = torch.arange(max(height, width), device=boxes.centre.device)
    across = (cells[:width] - boxes.centre[..., :1]).abs() < boxes.half[..., :1]
    down = (cells[:height] - boxes.centre[..., 1:]).abs() < boxes.half[..., 1:]
    return across, down


def _hidden(boxes: Boxes, images: Tensor) -> Tensor:
    """Pixels (B, H, W) bool that lie in some box."""
    across, down = _spans(boxes, (images.shape[-2], images.shape[-1]))
    return (down.mT.float() @ across.float()) > 0


def _others(batch: int, generator: torch.Generator) -> Tensor:
    """For each image (B,) the index of another one, or its own in a batch of one."""
    step = torch.randint(1, max(batch, 2), (batch,), generator=generator, device=generator.device)
    return (torch.arange(batch, device=generator.device) + step) % batch
