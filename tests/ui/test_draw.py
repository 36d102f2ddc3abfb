"""Pictures carry the numbers that they are drawn from."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.ui import draw


def pixels(uri: str) -> np.ndarray:
    """(H, W, 4) uint8 of a PNG data URI."""
    kind, _, text = uri.partition(";base64,")
    assert kind == "data:image/png"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGBA"))


def test_a_map_is_read_back_from_its_picture():
    maps = np.linspace(0, 1, 6 * 4, dtype=np.float32).reshape(1, 6, 4)
    shown = pixels(draw.map_uris(maps, draw.VIRIDIS)[0])
    index = [
        np.abs(draw.VIRIDIS[:255].astype(int) - c[:3]).sum(1).argmin() for c in shown.reshape(-1, 4)
    ]
    assert np.abs(np.array(index) / 254 - maps.ravel()).max() <= 0.5 / 254 + 1e-6
    assert (shown[..., 3] == 255).all()


def test_one_scale_for_all_maps_of_a_call_and_clipped_at_its_ends():
    low, high = draw.map_uris(np.array([[[0.0, 0.2]], [[-3.0, 7.0]]]), draw.MAGMA, top=0.5)
    assert (pixels(low)[0, 1, :3] == draw.MAGMA[round(0.4 * 254)]).all()
    assert (pixels(high)[0, 0, :3] == draw.MAGMA[0]).all()
    assert (pixels(high)[0, 1, :3] == draw.MAGMA[254]).all()


def test_cells_without_a_value_are_clear():
    valid = np.array([[[True, False, True]]])
    shown = pixels(draw.map_uris(np.array([[[0.5, 0.5, np.nan]]]), draw.VIRIDIS, valid)[0])
    assert shown[0, :, 3].tolist() == [255, 0, 0]


def test_left_and_right_differ_in_color_and_in_shape():
    points = np.full((17, 2), np.nan)
    points[0], points[5], points[6] = (10, 10), (20, 30), (5, 30)
    svg = draw.skeleton_svg(points, COCO17, who="a")
    assert re.search(r'<g class="left"[^>]*><circle cx="20.5" cy="30.5"', svg)
    assert re.search(r'<g class="right"[^>]*><rect', svg)
    assert re.search(r'<g class="center"[^>]*><polygon', svg)
    assert svg.count("<line") == 1  # only the shoulders are both known
    assert "nan" not in svg


def test_faint_when_unsure_and_hollow_when_occluded():
    points = np.tile(np.arange(17.0)[:, None], 2)
    scores = np.linspace(0, 1, 17)
    svg = draw.skeleton_svg(points, COCO17, who="b", scores=scores, hollow=np.arange(17) == 4)
    opacity = [
        float(v) for v in re.findall(r'<g class="(?:left|right|center)[^>]*opacity="([\d.]+)"', svg)
    ]
    assert opacity == sorted(opacity) and opacity[0] == 0.25 and opacity[-1] == 1
    assert svg.count("hollow") == 1


def test_marks_sit_on_pixel_centers_and_skip_what_is_not_finite():
    svg = draw.marks_svg(
        [draw.Mark(3, 4), draw.Mark(float("nan"), 4), draw.Mark(1, 2, "label")], (40, 30)
    )
    assert 'viewBox="0 0 30 40"' in svg and "M1.7 4.5H5.3" in svg
    assert 'cx="1.5" cy="2.5"' in svg and svg.count("<circle") == 1
    assert draw.marks_svg([], (40, 30)) == ""


@pytest.mark.parametrize("table", [draw.VIRIDIS, draw.MAGMA])
def test_color_bars_run_from_the_first_to_the_last_color(table):
    css = draw.gradient(table)
    first, last = (f"#{r:02x}{g:02x}{b:02x}" for r, g, b in (table[0], table[254]))
    assert css.startswith(f"linear-gradient(90deg,{first}") and css.endswith(f"{last})")
