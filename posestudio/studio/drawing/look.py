"""Skin, hair and clothes of rendered people."""

import colorsys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from posestudio.studio.drawing.paint import Cloth, Color

SKINS: tuple[Color, ...] = (
    (250, 219, 194), (241, 196, 162), (226, 172, 132), (203, 143, 102), (168, 111, 76), (132, 84, 58), (98, 62, 46),
)  # fmt: skip
HAIRS: tuple[Color, ...] = (
    (40, 32, 32), (62, 43, 34), (96, 62, 40), (140, 92, 52), (202, 160, 96), (168, 74, 44), (150, 148, 150),
    (226, 222, 214),
)  # fmt: skip
FABRICS: tuple[Color, ...] = (
    (214, 70, 62), (235, 128, 60), (244, 190, 72), (96, 162, 92), (56, 140, 130), (72, 138, 200), (54, 84, 158),
    (122, 88, 168), (206, 104, 150), (240, 236, 226), (150, 156, 164), (60, 64, 76), (134, 92, 66), (172, 208, 190),
    (248, 180, 168), (160, 40, 66),
)  # fmt: skip
BOTTOMS: tuple[Color, ...] = (
    (58, 78, 122), (84, 112, 158), (52, 54, 64), (120, 112, 100), (176, 154, 118), (88, 96, 76), (120, 66, 62),
    (202, 198, 190),
)  # fmt: skip
SHOES: tuple[Color, ...] = (
    (238, 238, 236),
    (50, 48, 52),
    (196, 62, 58),
    (66, 104, 168),
    (120, 82, 58),
    (84, 150, 120),
)


@dataclass(frozen=True, slots=True)
class Look:
    """Clothes and colors of one person. sleeve and leg: the share of the limb that is covered, 0..2 (2 = whole)."""

    skin: Color
    hair: Color
    style: str
    top: Cloth
    bottom: Cloth
    shoe: Color
    sleeve: float
    leg: float
    skirt: float
    hat: Color | None
    beard: bool


def sample_look(rng: np.random.Generator, scale: float, *, faceless: bool) -> Look:
    """Draw a look; `scale` is pixels per body height. faceless: hooded, front and back look alike."""
    tone = float(rng.normal(1, 0.03))
    skin = scaled(SKINS[int(rng.integers(len(SKINS)))], tone)
    hair = HAIRS[int(rng.choice(len(HAIRS), p=[0.26, 0.2, 0.17, 0.12, 0.1, 0.06, 0.06, 0.03]))]
    styles = ("short", "long", "bun", "tail", "bald", "afro", "bob")
    style = styles[int(rng.choice(len(styles), p=[0.40, 0.17, 0.09, 0.10, 0.06, 0.06, 0.12]))]
    color = varied(rng, FABRICS[int(rng.integers(len(FABRICS)))])
    second = varied(rng, FABRICS[int(rng.integers(len(FABRICS)))])
    patterns = ("plain", "bands", "stripes", "checks", "dots")
    pattern = patterns[int(rng.choice(len(patterns), p=[0.52, 0.22, 0.09, 0.10, 0.07]))]
    top = Cloth(color, second, pattern, period=scale * float(rng.uniform(0.030, 0.062)))
    bottom = Cloth(varied(rng, BOTTOMS[int(rng.integers(len(BOTTOMS)))]))
    sleeve = float(rng.choice([0.0, 0.5, 0.62, 1.45, 2.0], p=[0.12, 0.28, 0.18, 0.08, 0.34]))
    leg, skirt = float(rng.choice([0.5, 0.85, 1.55, 2.0], p=[0.14, 0.16, 0.08, 0.62])), 0.0
    if style in ("long", "bun", "tail", "bob") and rng.random() < 0.42:
        leg, skirt = 0.0, float(rng.uniform(0.55, 1.25))
        bottom = (
            top
            if rng.random() < 0.5
            else Cloth(varied(rng, FABRICS[int(rng.integers(len(FABRICS)))]))
        )
    hat = varied(rng, FABRICS[int(rng.integers(len(FABRICS)))]) if rng.random() < 0.14 else None
    beard = style in ("short", "bald", "afro") and rng.random() < 0.28
    if faceless:
        style, hat, hair, beard = "hood", None, color, False
    shoe = SHOES[int(rng.integers(len(SHOES)))]
    return Look(skin, hair, style, top, bottom, shoe, sleeve, leg, skirt, hat, beard)


def scaled(color: Sequence[float], factor: float) -> Color:
    """The color, brighter or darker, within 0..255."""
    r, g, b = (float(np.clip(c * factor, 0, 255)) for c in color)
    return r, g, b


def varied(rng: np.random.Generator, color: Sequence[float]) -> Color:
    """The color with a small change of hue, saturation and value."""
    h, s, v = colorsys.rgb_to_hsv(*(c / 255 for c in color))
    h, s, v = h + rng.normal(0, 0.015), s * rng.uniform(0.82, 1.12), v * rng.uniform(0.85, 1.06)
    r, g, b = colorsys.hsv_to_rgb(h % 1, min(max(s, 0), 1), min(max(v, 0), 1))
    return r * 255, g * 255, b * 255
