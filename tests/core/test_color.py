"""Color changes: they keep shape, type and input, and do what their names say, image by image."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from posestudio.core import color

NAMES = {operation.__name__.strip("_"): operation for operation in color.OPERATIONS}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def photos(batch: int = 6) -> torch.Tensor:
    """Pictures in [0, 1] on the 256 levels of a photograph, dull enough for a contrast to be stretched."""
    levels = torch.randint(30, 200, (batch, 3, 32, 24), generator=generator(1))
    return levels.float() / 255


def test_normalize_puts_the_mean_at_zero_and_back():
    mean = torch.tensor(color.IMAGENET_MEAN).view(1, 3, 1, 1).expand(2, 3, 4, 5)
    assert color.normalize(mean).abs().max() < 1e-6
    white = color.normalize(torch.ones(1, 3, 1, 1)).flatten().tolist()
    assert white == pytest.approx([0.515 / 0.229, 0.544 / 0.224, 0.594 / 0.225])
    torch.testing.assert_close(color.denormalize(color.normalize(photos())), photos())
    assert color.normalize(photos()[0]).shape == (3, 32, 24)


@pytest.mark.parametrize(
    "change",
    [
        lambda x, g: color.jitter_color(x, 0.4, g),
        lambda x, g: color.jitter_color(x, 2.0, g),
        lambda x, g: color.rand_augment(x, g),
        lambda x, g: color.rand_augment(x, g, ops=3, magnitude=30),
    ],
    ids=["jitter", "strong jitter", "rand augment", "strong rand augment"],
)
@pytest.mark.parametrize("batch", [1, 6])
def test_changes_keep_shape_dtype_input_and_range(change, batch):
    images = color.normalize(photos(batch))
    before, global_state = images.clone(), torch.random.get_rng_state()
    changed = change(images, generator(2))
    assert changed.shape == images.shape and changed.dtype == images.dtype
    assert torch.equal(images, before)
    assert torch.equal(torch.random.get_rng_state(), global_state)
    assert torch.equal(change(images, generator(2)), changed)
    assert not torch.equal(changed, images)
    pixels = color.denormalize(changed)
    assert pixels.min() > -1e-5 and pixels.max() < 1 + 1e-5
    assert change(images.bfloat16(), generator(2)).dtype == torch.bfloat16


def test_jitter_of_strength_zero_changes_nothing():
    images = color.normalize(photos())
    torch.testing.assert_close(
        color.jitter_color(images, 0.0, generator()), images, rtol=0, atol=1e-5
    )


def test_jitter_is_brightness_then_contrast_then_saturation():
    """Against the three steps written out, with the factors read from the same draws."""
    pixels, strength = photos() * 0.5 + 0.25, 0.2
    factors = 1 + strength * (2 * torch.rand(3, 6, 1, 1, generator=generator(3)) - 1)
    bright, contrast, saturation = factors[..., None]
    gray = torch.tensor(color.GRAY).view(1, 3, 1, 1)
    expected = pixels * bright
    middle = (expected * gray).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    expected = contrast * expected + (1 - contrast) * middle
    expected = saturation * expected + (1 - saturation) * (expected * gray).sum(1, keepdim=True)
    jittered = color.jitter_color(color.normalize(pixels), strength, generator(3))
    torch.testing.assert_close(color.denormalize(jittered), expected.clamp(0, 1), rtol=0, atol=1e-5)


def test_rand_augment_draws_for_each_image_alone():
    same = color.normalize(photos(1)).expand(40, -1, -1, -1)
    changed = color.rand_augment(same, generator(), ops=1)
    different = torch.unique(changed.flatten(1).mul(1000).round(), dim=0)
    assert len(different) >= 8  # 11 operations, some with two signs
    assert torch.equal(same[0], same[39])


def pillow(operation, pixels: torch.Tensor) -> torch.Tensor:
    """What Pillow makes of each picture."""
    results = []
    for picture in (pixels * 255).round().byte().permute(0, 2, 3, 1).numpy():
        results.append(np.asarray(operation(Image.fromarray(picture))))
    return torch.from_numpy(np.stack(results)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("auto_contrast", ImageOps.autocontrast),
        ("equalize", ImageOps.equalize),
        ("invert", ImageOps.invert),
        ("posterize", lambda image: ImageOps.posterize(image, 4)),  # 6 - int(4 * 2 / 3) = 4 bits
        ("solarize", lambda image: ImageOps.solarize(image, 86)),  # 256 - 256 * 2 / 3 = 85.3
        ("saturate", lambda image: ImageEnhance.Color(image).enhance(1.6)),
        ("contrast", lambda image: ImageEnhance.Contrast(image).enhance(1.6)),
        ("brighten", lambda image: ImageEnhance.Brightness(image).enhance(1.6)),
        ("sharpen", lambda image: ImageEnhance.Sharpness(image).enhance(1.6)),
    ],
)
def test_operations_agree_with_pillow(name, operation):
    """At magnitude 20 of 30 and the sign plus; Pillow rounds to whole levels on the way."""
    up = torch.ones(6, 2)
    ours = NAMES[name](photos(), 2 / 3, up)
    assert (ours - pillow(operation, photos())).abs().max() < 2.1 / 255


def test_blends_take_both_signs():
    pixels = photos(2)
    draws = torch.tensor([[0.2, 0.0], [0.7, 0.0]])
    darker, lighter = NAMES["brighten"](pixels, 1.0, draws)
    torch.testing.assert_close(darker, pixels[0] * 0.1)
    torch.testing.assert_close(lighter, (pixels[1] * 1.9).clamp(max=1))


def test_solarize_add_lightens_and_turns_what_is_then_light():
    pixels = torch.tensor([20.0, 50.0, 100.0, 200.0]).view(1, 1, 1, 4).expand(1, 3, 1, 4) / 255
    changed = NAMES["solarize_add"](pixels, 20 / 30, torch.zeros(1, 2))[0, 0, 0] * 255
    # Plus 73.3: 93.3 stays; 123.3 stays; 173.3 turns to 81.7; 255 turns to 0.
    assert changed.tolist() == pytest.approx([93.33, 123.33, 81.67, 0.0], abs=0.01)


def test_cut_square_is_the_mean_color_and_scales_with_the_crop():
    pixels = torch.zeros(2, 3, 128, 96)
    cut = NAMES["cut_square"](pixels, 2 / 3, torch.full((2, 2), 0.5))
    hidden = cut[0, 0] > 0
    # 80 * 2/3 pixels at width 192 are 26.7 at 96: 27 columns about x = 48, and as many rows.
    assert hidden.any(0).sum() == hidden.any(1).sum() == 27
    assert cut[0, :, 64, 48].tolist() == pytest.approx(list(color.IMAGENET_MEAN))


@pytest.mark.parametrize("name", NAMES)
def test_operations_write_to_nothing_and_survive_one_flat_color(name):
    for pixels in (photos(3), torch.full((3, 3, 8, 8), 0.4), torch.zeros(3, 3, 8, 8)):
        before = pixels.clone()
        changed = NAMES[name](pixels, 2 / 3, torch.rand(3, 2, generator=generator(4)))
        assert torch.equal(pixels, before)
        assert changed.shape == pixels.shape and changed.isfinite().all()
        assert changed.min() >= 0 and changed.max() <= 1
