"""Equal steps of a value are equal steps of lightness, and the browser gets the same colors."""

import base64

import cv2
import numpy as np
import pytest

from posestudio.ui import palettes


def lightness(table: np.ndarray) -> np.ndarray:
    """CIE L* of each of 256 colors."""
    return cv2.cvtColor(table[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0, :, 0]


@pytest.mark.parametrize("name", ["belief", "uncertainty"])
def test_more_is_lighter_in_even_steps(name):
    light = lightness(palettes.TABLES[name])
    assert (np.diff(light) > -0.5).all()
    steps = np.diff(light[24::8])  # near black, L* itself is not even
    assert (steps > 0).all() and steps.max() < 2 * steps.min()


def test_a_difference_is_dark_in_the_middle_and_as_light_at_both_ends():
    light = lightness(palettes.DIFFERENCE)
    below, above = light[:120:8], light[136::8]
    assert (np.diff(below) < 0).all() and (np.diff(above) > 0).all()
    for side in (below, above):
        steps = np.abs(np.diff(side))
        assert steps.max() < 1.6 * steps.min()
    assert abs(light[0] - light[-1]) < 6 and light[127] < 25


def test_the_two_signs_of_a_difference_can_be_told_apart_without_red_and_green():
    """As a person without red or green receptors sees it: blue against yellow remains."""
    lab = cv2.cvtColor(palettes.DIFFERENCE[None].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[0]
    assert lab[10, 2] < -25 and lab[245, 2] > 20


def test_the_browser_gets_the_same_colors():
    for name, text in palettes.for_browser().items():
        table = np.frombuffer(base64.b64decode(text), np.uint8).reshape(256, 3)
        assert np.array_equal(table, palettes.TABLES[name])
