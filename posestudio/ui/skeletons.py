"""A person's labels and prediction drawn over a crop of the photo: labels solid, the prediction dashed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.core.skeleton import Skeleton
from posestudio.ui import sides

MARGIN = 1.25
"""How much larger than the longer side of the box the crop is."""
LEAST, MOST = 8, 8192
"""Sides of a crop that are served, see ui/crops.py."""
Place = Sequence[float] | None


@dataclass(frozen=True, slots=True)
class Square:
    """A square of the photo: the middle, and the side, in image pixels as ui/crops.py rounds them."""

    x: float
    y: float
    size: int

    @classmethod
    def of(cls, box_xywh: Sequence[float]) -> "Square":
        """The square around a box; boxes count from corners, points from the middle of the first pixel."""
        x, y, w, h = box_xywh
        side = round(MARGIN * max(w, h))
        return cls(
            round(x + w / 2 - 0.5, 1), round(y + h / 2 - 0.5, 1), min(max(side, LEAST), MOST)
        )

    def source(self, image_id: int, width: int) -> str:
        """Where its picture is, already escaped."""
        return f"media/{image_id}/around?x={self.x:g}&amp;y={self.y:g}&amp;size={self.size}&amp;w={width}"


def drawn(case: Mapping[str, Any], square: Square, skeleton: Skeleton) -> str:
    """An SVG to lie over the square's picture: both skeletons of a person of `scores.worst`."""
    side, radius = sides.of(skeleton), square.size / 80
    left, top = square.x - square.size / 2, square.y - square.size / 2
    return (
        f'<svg viewBox="{left:.1f} {top:.1f} {square.size} {square.size}" aria-hidden="true">'
        + _figure("label", case["labels"], side, skeleton.limbs, radius)
        + _figure("predicted", case["points"], side, skeleton.limbs, radius)
        + "</svg>"
    )


def _figure(
    kind: str,
    places: Sequence[Place],
    side: list[str],
    limbs: Sequence[Sequence[int]],
    radius: float,
) -> str:
    lines = "".join(
        f'<line class="case" {_ends(places[a], places[b])}/>'
        f'<line class="{_limb_side(side[a], side[b])}" {_ends(places[a], places[b])}/>'
        for a, b in limbs
        if places[a] is not None and places[b] is not None
    )
    dots = "".join(
        f'<circle class="{side[k]}" cx="{at[0]:g}" cy="{at[1]:g}" r="{radius:.2f}"/>'
        for k, at in enumerate(places)
        if at is not None
    )
    return f'<g class="ps-bones ps-{kind}">{lines}{dots}</g>'


def _ends(a: Place, b: Place) -> str:
    (ax, ay), (bx, by) = a or (0, 0), b or (0, 0)
    return f'x1="{ax:g}" y1="{ay:g}" x2="{bx:g}" y2="{by:g}"'


def _limb_side(a: str, b: str) -> str:
    """The side of both ends, or of the one that is not in the middle."""
    if sides.CENTER in (a, b):
        return a if b == sides.CENTER else b
    return a if a == b else sides.CENTER
