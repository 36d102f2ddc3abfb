"""Color tables of maps: viridis for belief, magma for uncertainty, purple to green for a difference.

Each is perceptually uniform: equal steps of the value are equal steps of lightness, so a map looks the same to people
with any color blindness, and no edge appears that is not in the numbers.
"""

import base64

import cv2
import numpy as np

MAGMA_TOP = 0.25
"""Uncertainty at the bright end of its scale; on 0..1 the usual 0.02 to 0.2 would look black. Ours."""

_PURPLE, _GREEN = 315.0, 150.0
"""Hues of a difference in degrees of OKLCh; neither is a color of the body's sides."""


def _opencv(name: int) -> np.ndarray:
    ramp = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(ramp, name)[:, 0, ::-1])


def _difference() -> np.ndarray:
    """From bright purple through near black to bright green, lightness linear on both sides. In OKLCh."""
    t = np.linspace(-1, 1, 256)
    light, chroma = 0.22 + 0.56 * np.abs(t), 0.17 * np.abs(t) ** 0.6
    hue = np.radians(np.where(t < 0, _PURPLE, _GREEN))
    a, b = chroma * np.cos(hue), chroma * np.sin(hue)
    lms = np.stack([
        light + 0.3963377774 * a + 0.2158037573 * b,
        light - 0.1055613458 * a - 0.0638541728 * b,
        light - 0.0894841775 * a - 1.2914855480 * b,
    ]) ** 3  # fmt: skip
    to_rgb = np.array([
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ])  # fmt: skip
    linear = np.clip(to_rgb @ lms, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.ascontiguousarray((255 * shown.T).round().astype(np.uint8))


VIRIDIS = _opencv(cv2.COLORMAP_VIRIDIS)
"""(256, 3) uint8 RGB of belief, 0 to 1: heatmaps, votes, offers and targets."""
MAGMA = _opencv(cv2.COLORMAP_MAGMA)
"""(256, 3) uint8 RGB of uncertainty, 0 to MAGMA_TOP."""
DIFFERENCE = _difference()
"""(256, 3) uint8 RGB of a minus b, -1 to 1. Source of the space: Ottosson, OKLab, 2020."""

TABLES = {"belief": VIRIDIS, "uncertainty": MAGMA, "difference": DIFFERENCE}


def for_browser() -> dict[str, str]:
    """Each table as base64 of 768 bytes, by name."""
    return {
        name: base64.b64encode(table.tobytes()).decode("ascii") for name, table in TABLES.items()
    }
