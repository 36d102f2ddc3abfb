"""Changes of color, a batch at a time: normalization, jitter and RandAugment without its geometric operations."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Per channel, R, G, B in [0, 1]. Source: torchvision, ImageNet classification weights."""

GRAY = (0.299, 0.587, 0.114)
"""Shares of R, G and B in gray. Source: ITU-R BT.601, as Pillow's mode L."""


def normalize(images: Tensor) -> Tensor:
    """Images (..., 3, H, W) in [0, 1] to the scale that the networks take, with the ImageNet mean at 0."""
    mean, std = _statistics(images)
    return torch.addcmul(-mean / std, images, 1 / std)


def denormalize(images: Tensor) -> Tensor:
    """The opposite of `normalize`; nothing is clamped."""
    mean, std = _statistics(images)
    return torch.addcmul(mean, images, std)


def jitter_color(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Change brightness, contrast and saturation, in this order, by factors drawn for each image.

    Each factor is uniform in 1 - strength .. 1 + strength, but not below 0. The three are one matrix product in
    color space, and the result is clamped once to what a picture can hold.

    Args:
        images: (B, 3, H, W) normalized.
        strength: 0 for none.
        generator: source of the draws, made on its device.

    Returns:
        (B, 3, H, W), a new tensor.

    Source: the three changes are those of torchvision's ColorJitter; the fixed order and the single clamp are ours.
    """
    mean, std = (part.flatten() for part in _statistics(images, torch.float32))
    gray = images.new_tensor(GRAY, dtype=torch.float32)
    draws = torch.rand(3, len(images), 1, 1, generator=generator, device=generator.device)
    factors = (1 + strength * (2 * draws - 1)).clamp(min=0)
    brightness, contrast, saturation = factors.to(images.device)
    mix = saturation * torch.eye(3, device=images.device) + (1 - saturation) * gray
    mix = brightness * contrast * mix
    pixels = images.flatten(2).to(torch.float32)
    color = pixels.mean(dim=-1) * std + mean
    level = (1 - contrast) * brightness * (color @ gray)[:, None, None]
    mix_normalized = mix * std / std[:, None]
    shift = ((mix @ mean)[..., None] + level - mean[:, None]) / std[:, None]
    jittered = torch.baddbmm(shift, mix_normalized, pixels).unflatten(-1, images.shape[2:])
    return _clamped(jittered).to(images.dtype)


def rand_augment(
    images: Tensor, generator: torch.Generator, ops: int = 2, magnitude: float = 20.0
) -> Tensor:
    """Apply operations drawn for each image, with replacement, one after another.

    Args:
        images: (B, 3, H, W) normalized.
        generator: source of the draws, made on its device.
        ops: operations an image.
        magnitude: 0..30, how strong they are.

    Returns:
        (B, 3, H, W), a new tensor.

    Source: list, ranges and the defaults 2 and 20 are those of PoseDual's code (Xie et al., ICCV 2021), after Cubuk
    et al. (arXiv 1909.13719); the cut square, given there for crops 192 wide, scales with the crop here.
    """
    batch, device = len(images), generator.device
    kinds = torch.randint(len(OPERATIONS), (ops, batch), generator=generator, device=device)
    draws = torch.rand(ops, batch, 2, generator=generator, device=device).to(images.device)
    pixels = denormalize(images.to(torch.float32)).clamp_(0, 1)
    for kind, draw in zip(kinds.tolist(), draws, strict=True):
        for number, operation in enumerate(OPERATIONS):
            chosen = [row for row, drawn in enumerate(kind) if drawn == number]
            if chosen:
                rows = torch.tensor(chosen, device=images.device)
                pixels[rows] = operation(pixels[rows], magnitude / 30, draw[rows])
    return normalize(pixels).to(images.dtype)


def _statistics(images: Tensor, dtype: torch.dtype | None = None) -> tuple[Tensor, Tensor]:
    mean = images.new_tensor(IMAGENET_MEAN, dtype=dtype).view(3, 1, 1)
    return mean, images.new_tensor(IMAGENET_STD, dtype=dtype).view(3, 1, 1)


def _clamped(images: Tensor) -> Tensor:
    """Normalized images, in place, within black and white."""
    mean, std = _statistics(images)
    return images.clamp_(-mean / std, (1 - mean) / std)


# The operations. Each takes images (N, 3, H, W) in [0, 1], a strength in [0, 1] and draws (N, 2) in [0, 1], and
# returns new images in [0, 1]. Names, ranges and directions follow PoseDual's list.


def _auto_contrast(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    low, high = images.amin((2, 3), keepdim=True), images.amax((2, 3), keepdim=True)
    span = high - low
    return torch.where(span > 0, (images - low) / span.clamp(min=1e-6), images).clamp_(0, 1)


def _equalize(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    levels = _levels(images).flatten(2).flatten(0, 1)
    counts = torch.zeros(len(levels), 256, dtype=torch.long, device=images.device)
    counts.scatter_add_(1, levels, torch.ones_like(levels))
    top = counts.gather(1, levels.amax(1, keepdim=True))
    step = (levels.shape[1] - top) // 255
    below = counts.cumsum(1) - counts
    table = ((below + step // 2) // step.clamp(min=1)).clamp_(0, 255)
    table = torch.where(step > 0, table, torch.arange(256, device=images.device))
    return (table.gather(1, levels) / 255).view_as(images)


def _invert(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    return 1 - images


def _posterize(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    width = 2 ** (8 - max(2, 6 - int(4 * strength)))
    return _levels(images).div_(width, rounding_mode="floor").mul_(width) / 255


def _solarize(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    return torch.where(images * 255 < 256 - 256 * strength, images, 1 - images)


def _solarize_add(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    lighter = (images + 110 / 255 * strength).clamp_(max=1)
    return torch.where(lighter * 255 < 128, lighter, 1 - lighter)


def _saturate(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    return _blend(_gray(images), images, strength, draws)


def _contrast(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    return _blend(_gray(images).mean((2, 3), keepdim=True), images, strength, draws)


def _brighten(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    return _blend(torch.zeros_like(images[:, :1, :1, :1]), images, strength, draws)


def _sharpen(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    kernel = images.new_tensor([[1, 1, 1], [1, 5, 1], [1, 1, 1]]).div_(13).expand(3, 1, 3, 3)
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = F.conv2d(images, kernel, groups=3)
    return _blend(smooth, images, strength, draws)


def _cut_square(images: Tensor, strength: float, draws: Tensor) -> Tensor:
    height, width = images.shape[-2:]
    side = 80 * strength * width / 192
    x = torch.arange(width, device=images.device) - draws[:, :1] * width
    y = torch.arange(height, device=images.device) - draws[:, 1:] * height
    hidden = (y.abs() < side / 2)[:, :, None] & (x.abs() < side / 2)[:, None]
    return torch.where(hidden[:, None], _statistics(images)[0], images)


def _levels(images: Tensor) -> Tensor:
    """Images in [0, 1] as integers 0..255."""
    return (images * 255).round_().long()


def _gray(images: Tensor) -> Tensor:
    """(N, 1, H, W)."""
    return (images * images.new_tensor(GRAY).view(3, 1, 1)).sum(1, keepdim=True)


def _blend(plain: Tensor, images: Tensor, strength: float, draws: Tensor) -> Tensor:
    """Move images from `plain` by a factor of 1 plus or minus 0.9 times the strength."""
    sign = torch.where(draws[:, 0] < 0.5, -1.0, 1.0).view(-1, 1, 1, 1)
    return torch.lerp(plain.expand_as(images), images, 1 + 0.9 * strength * sign).clamp_(0, 1)


OPERATIONS: tuple[Callable[[Tensor, float, Tensor], Tensor], ...] = (
    _auto_contrast,
    _equalize,
    _invert,
    _posterize,
    _solarize,
    _solarize_add,
    _saturate,
    _contrast,
    _brighten,
    _sharpen,
    _cut_square,
)
