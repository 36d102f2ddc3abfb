"""Pictures from numbers: heatmaps as small PNG images, skeletons as SVG, color bars.

Arrays in, markup out; no gradio, no files, and no text but numbers and fixed words, so nothing needs escaping.
Points are in crop pixels with whole-numbered pixel centres; SVG counts from the corner, so drawing adds 0.5.
A map covers its crop exactly (half-pixel convention), so the browser may stretch it over the crop.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image

from posestudio.core.skeleton import Skeleton
from posestudio.ui import sides
from posestudio.ui.sides import CENTER, LEFT, RIGHT

SEE_THROUGH = 255
"""Palette index of a cell without a value; the values 0..1 use indices 0..254."""


def _table(name: int) -> np.ndarray:
    ramp = np.linspace(0, 255, SEE_THROUGH).round().astype(np.uint8)[:, None]
    colors = cv2.applyColorMap(ramp, name)[:, 0, ::-1]
    return np.ascontiguousarray(np.concatenate([colors, np.zeros((1, 3), np.uint8)]))


VIRIDIS = _table(cv2.COLORMAP_VIRIDIS)
"""(256, 3) colors of heatmaps, targets and votes."""
MAGMA = _table(cv2.COLORMAP_MAGMA)
"""(256, 3) colors of uncertainty."""
MAGMA_TOP = 0.25
"""Uncertainty at the bright end of its scale; on 0..1 the usual 0.02 to 0.2 would look black. Ours."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A point to mark on a tile. kind: "peak" (a cross) or "label" (a ring)."""

    x: float
    y: float
    kind: str = "peak"


def map_uris(
    maps: np.ndarray, colors: np.ndarray, valid: np.ndarray | None = None, top: float = 1.0
) -> list[str]:
    """PNG data URIs of heatmaps, one pixel a cell, on a fixed scale 0..top.

    Args:
        maps: (N, h, w); values outside [0, top] are clipped, what is not finite counts as no value.
        colors: (256, 3) uint8, as VIRIDIS.
        valid: bool, broadcasts to (N, h, w); cells where it is False are transparent.
        top: the value of the last color.
    """
    values = np.asarray(maps, np.float32)
    index = np.nan_to_num(np.clip(values / top, 0, 1) * (SEE_THROUGH - 1)).round().astype(np.uint8)
    hidden = ~np.isfinite(values)
    if valid is not None:
        hidden |= ~np.asarray(valid, bool)
    index[hidden] = SEE_THROUGH
    palette = colors.tobytes()
    return [_png(tile, palette) for tile in index]


def _png(index: np.ndarray, palette: bytes) -> str:
    picture = Image.fromarray(index)
    picture.putpalette(palette)
    with io.BytesIO() as file:
        picture.save(file, "PNG", compress_level=1, transparency=SEE_THROUGH)
        return data_uri(file.getvalue(), "image/png")


def photo_uri(pixels: np.ndarray, gray: bool = False) -> str:
    """Lossless data URI of an RGB crop (H, W, 3) uint8; gray for the ground that maps are laid over."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if gray:
        picture = picture.convert("L")
    with io.BytesIO() as file:
        picture.save(file, "PNG", compress_level=1)
        return data_uri(file.getvalue(), "image/png")


def data_uri(content: bytes, kind: str) -> str:
    """A picture's bytes as an address that holds the picture itself."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def gradient(colors: np.ndarray, stops: int = 12) -> str:
    """CSS gradient from value 0 (left) to 1 (right) of a color table."""
    picked = colors[np.linspace(0, SEE_THROUGH - 1, stops).round().astype(int)]
    return (
        "linear-gradient(90deg," + ",".join(f"#{r:02x}{g:02x}{b:02x}" for r, g, b in picked) + ")"
    )


def color_bar(words: str, colors: np.ndarray, top: float = 1.0) -> str:
    """A labeled scale from 0 to `top`, with a plus where larger values share the last color.

    `words` is fixed text of this program.
    """
    return (
        f'<span class="ps-scale"><span>{words}</span><b>0</b>'
        f'<i style="background:{gradient(colors)}"></i><b>{top:g}{"" if top == 1 else "+"}</b></span>'
    )


def skeleton_svg(
    points: np.ndarray,
    skeleton: Skeleton,
    *,
    who: str,
    scores: np.ndarray | None = None,
    hollow: np.ndarray | None = None,
    unit: float = 1.0,
) -> str:
    """One person's limbs and keypoints as an SVG group of class `who`.

    Left is orange and round, right is blue and square, the middle is gray and a diamond: color plus shape.

    Args:
        points: (K, 2) crop pixels; a keypoint that is not finite is left out with its limbs.
        skeleton: limbs and left/right pairs.
        who: "a", "b" or "label"; the style sheet draws each differently.
        scores: (K,) in [0, 1]; the lower, the fainter. None draws all in full.
        hollow: (K,) bool, keypoints drawn as outlines (occluded).
        unit: size of one mark unit in crop pixels.
    """
    side = sides.of(skeleton)
    known = np.asarray(np.isfinite(points).all(axis=1))
    strength = np.ones(len(points)) if scores is None else 0.25 + 0.75 * np.clip(scores, 0, 1)
    shapes = []
    for a, b in skeleton.limbs:
        if known[a] and known[b]:
            kind = side[a] if side[a] == side[b] else _limb_side(side[a], side[b])
            (x1, y1), (x2, y2) = points[a] + 0.5, points[b] + 0.5
            shapes.append(
                f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
                f'opacity="{min(strength[a], strength[b]):.2f}"/>'
            )
    for k in np.flatnonzero(known):
        open_ = " hollow" if hollow is not None and hollow[k] else ""
        shape = _shape(side[k], points[k] + 0.5, 2.4 * unit)
        shapes.append(f'<g class="{side[k]}{open_}" opacity="{strength[k]:.2f}">{shape}</g>')
    return f'<g class="ps-body ps-{who}">{"".join(shapes)}</g>'


def _limb_side(a: str, b: str) -> str:
    return CENTER if {a, b} == {LEFT, RIGHT} else a if b == CENTER else b


def _shape(side: str, center: np.ndarray, size: float) -> str:
    x, y = float(center[0]), float(center[1])
    if side == LEFT:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{size:.2f}"/>'
    if side == RIGHT:
        edge = 1.8 * size
        return (
            f'<rect x="{x - edge / 2:.1f}" y="{y - edge / 2:.1f}" '
            f'width="{edge:.2f}" height="{edge:.2f}"/>'
        )
    half = 1.25 * size
    return (
        f'<polygon points="{x:.1f},{y - half:.1f} {x + half:.1f},{y:.1f} '
        f'{x:.1f},{y + half:.1f} {x - half:.1f},{y:.1f}"/>'
    )


def marks_svg(marks: Sequence[Mark], size_hw: tuple[int, int]) -> str:
    """An SVG layer over a tile of (H, W) crop pixels with crosses at peaks and rings at labels."""
    height, width = size_hw
    arm = 0.045 * max(height, width)
    shapes = []
    for mark in marks:
        if not (np.isfinite(mark.x) and np.isfinite(mark.y)):
            continue
        x, y = float(mark.x) + 0.5, float(mark.y) + 0.5
        if mark.kind == "label":
            shapes.append(f'<circle class="label" cx="{x:.1f}" cy="{y:.1f}" r="{arm:.1f}"/>')
        else:
            path = f"M{x - arm:.1f} {y:.1f}H{x + arm:.1f}M{x:.1f} {y - arm:.1f}V{y + arm:.1f}"
            shapes.append(f'<path class="case" d="{path}"/><path d="{path}"/>')
    if not shapes:
        return ""
    return f'<svg class="ps-marks" viewBox="0 0 {width} {height}">{"".join(shapes)}</svg>'
