"""One source of the sides' colors: the style sheet repeats it, and every color can be read where it is used."""

import re

import pytest

from posestudio.core.skeleton import COCO17
from posestudio.ui import sides, theme


def declared(block: str) -> dict[str, str]:
    """The variables of a block of the style sheet: name -> value."""
    sheet = theme.STYLE.read_text()
    found = re.search(rf"^{re.escape(block)} \{{(.*?)\}}", sheet, re.MULTILINE | re.DOTALL)
    assert found
    return dict(re.findall(r"(--ps-[\w-]+): (#\w+)", found[1]))


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb. Source: WCAG 2."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_style_sheet_has_the_same_colors():
    light, dark = declared(":root"), declared(".dark")
    assert sides.variables("light").items() <= light.items()
    assert sides.variables("dark").items() <= (light | dark).items()


@pytest.mark.parametrize(("shade", "page"), [("light", "#ffffff"), ("dark", "#1e293b")])
def test_words_in_these_colors_can_be_read(shade, page):
    for color in sides.IN_TEXT[shade].values():
        assert contrast(color, page) >= 4.5


def test_each_side_has_a_color_and_a_shape_of_its_own():
    for table in (sides.SHAPES, sides.ON_PHOTO, *sides.IN_TEXT.values()):
        assert len(set(table.values())) == len(table) == 3


def test_sides_of_coco():
    found = dict(zip(COCO17.keypoints, sides.of(COCO17), strict=True))
    assert found["nose"] == "center"
    assert found["left_wrist"] == "left" and found["right_hip"] == "right"
