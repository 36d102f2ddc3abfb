"""A small software rasterizer: shaded capsules, balls and hulls with anti-aliased edges and a depth buffer.

Points are (x, y, depth) in pixels: x right, y down, depth towards the viewer. Colors are RGB in 0..255. Normals are
(right, down, towards the viewer). Pure numpy and OpenCV; no randomness.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

Array = np.ndarray
Point = Array | Sequence[float]
"""Image x, y and depth, in pixels; or x and y where that is all that is asked."""

Color = tuple[float, float, float]

FAR = np.float32(-1e6)
PLAIN, SKIN, HAIR = 0, 1, 2
"""What a part is made of, as far as the visibility of face keypoints asks."""

SHIFT = 4
"""Fraction bits of OpenCV's sub-pixel drawing."""


@dataclass(frozen=True, slots=True)
class Cloth:
    """Color of a surface. `pattern` is plain, stripes, bands, checks or dots; `period` is in pixels."""

    color: Color
    second: Color = (0.0, 0.0, 0.0)
    pattern: str = "plain"
    period: float = 8.0

    def at(self, along: Array, across: Array) -> Array:
        """(h, w, 3) colors where `along` and `across` are (h, w) pixels along and across the part."""
        first = np.asarray(self.color, np.float32)
        if self.pattern == "plain":
            return np.broadcast_to(first, (*along.shape, 3))
        turn = np.float32(2 * np.pi / self.period)
        if self.pattern == "bands":
            wave = np.sin(turn * along)
        elif self.pattern == "stripes":
            wave = np.sin(turn * across)
        elif self.pattern == "checks":
            wave = np.sin(turn * along) * np.sin(turn * across)
        else:
            wave = np.sin(turn * along) * np.sin(turn * across) - np.float32(0.55)
        mix = np.clip(wave * np.float32(2.5) + np.float32(0.5), 0, 1)[..., None]
        return first * (1 - mix) + np.asarray(self.second, np.float32) * mix


@dataclass(slots=True)
class Layer:
    """One person on a transparent ground: premultiplied color, cover, depth, material and silhouette.

    silhouette holds the person's own parts whether or not something hides them; props are drawn but not held.
    tone is the brightness of what is drawn next.
    """

    height: int
    width: int
    light: tuple[float, float, float]
    tone: float = 1.0
    color: Array = field(init=False)
    cover: Array = field(init=False)
    depth: Array = field(init=False)
    material: Array = field(init=False)
    silhouette: Array = field(init=False)

    def __post_init__(self) -> None:
        size = (self.height, self.width)
        self.color = np.zeros((*size, 3), np.float32)
        self.cover = np.zeros(size, np.float32)
        self.depth = np.full(size, FAR, np.float32)
        self.material = np.zeros(size, np.uint8)
        self.silhouette = np.zeros(size, np.float32)

    def region(self, low: Point, high: Point) -> tuple[slice, slice] | None:
        """Rows and columns of the part of the rectangle low..high (x, y) that lies in the layer, or None."""
        x0, y0 = max(0, int(low[0]) - 2), max(0, int(low[1]) - 2)
        x1, y1 = min(self.width, int(high[0]) + 3), min(self.height, int(high[1]) + 3)
        return (slice(y0, y1), slice(x0, x1)) if x0 < x1 and y0 < y1 else None

    def put(
        self, where: tuple[slice, slice], cover: Array, color: Array, depth: Array,
        *, material: int = PLAIN, own: bool = True,
    ) -> None:  # fmt: skip
        """Draw a part over what is farther and under what is nearer; all arrays are of the region's size."""
        behind, before = self.depth[where], self.cover[where]
        near = depth > behind
        shown = cover * near
        keep = np.where(near, 1 - cover, 1)
        share = np.where(near, cover, cover * (1 - before))
        self.color[where] = color * share[..., None] + self.color[where] * keep[..., None]
        self.cover[where] = share + before * keep
        solid = shown > 0.5
        self.depth[where] = np.where(solid, depth, behind)
        self.material[where][solid] = material
        if own:
            np.maximum(self.silhouette[where], cover, out=self.silhouette[where])

    def shade(self, nx: Array, ny: Array, nz: Array) -> Array:
        """(h, w, 1) brightness of a surface with these normals: soft light, darker rim."""
        lx, ly, lz = self.light
        lit = np.maximum(nx * np.float32(lx) + ny * np.float32(ly) + nz * np.float32(lz), 0)
        rim = np.minimum(nz * np.float32(2.2), 1)
        shade = (0.60 + 0.46 * lit) * (0.80 + 0.20 * rim) * self.tone
        return shade.astype(np.float32)[..., None]


def capsule(
    layer: Layer, start: Point, end: Point, radii: tuple[float, float],
    cloth: Cloth, *, rest: Cloth | None = None, split: float = 1.0, bulge: float = 0.0,
    flat: float = 1.0, material: int = PLAIN, own: bool = True,
) -> None:  # fmt: skip
    """Draw a limb: a rounded bar from start to end (x, y, depth) with a radius at each end.

    Up to `split` of its length it wears `cloth` and is a little thicker, beyond it `rest`. `bulge` thickens the
    middle by that many pixels. `flat` < 1 makes it shallower in depth than wide.
    """
    ax, ay, az = (float(v) for v in start)
    bx, by, bz = (float(v) for v in end)
    reach = max(radii) * 1.15 + abs(bulge)
    where = layer.region(
        (min(ax, bx) - reach, min(ay, by) - reach), (max(ax, bx) + reach, max(ay, by) + reach)
    )
    if where is None:
        return
    ys = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None] - np.float32(ay)
    xs = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :] - np.float32(ax)
    dx, dy = bx - ax, by - ay
    length = float(np.hypot(dx, dy))
    t = np.clip(
        (xs * np.float32(dx) + ys * np.float32(dy)) / np.float32(max(length**2, 1e-3)), 0, 1
    )
    radius = radii[0] + (radii[1] - radii[0]) * t
    if bulge:
        radius = radius + np.float32(4 * bulge) * t * (1 - t)
    worn = np.clip((split - t) * np.float32(max(length, 1.0)) + 0.5, 0, 1) if split < 1 else None
    if rest is not None and worn is not None:
        radius = radius * (1 + np.float32(0.12) * worn)
    ex, ey = xs - t * np.float32(dx), ys - t * np.float32(dy)
    distance = np.sqrt(ex * ex + ey * ey)
    cover = np.clip(radius - distance + 0.5, 0, 1)
    nx, ny = ex / radius, ey / radius
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0))
    across = (ex * np.float32(-dy) + ey * np.float32(dx)) / np.float32(max(length, 1.0))
    color = cloth.at(t * np.float32(length), across)
    if rest is not None and worn is not None:
        color = color * worn[..., None] + np.asarray(rest.color, np.float32) * (1 - worn[..., None])
    depth = np.float32(az) + np.float32(bz - az) * t + np.float32(flat) * radius * nz
    layer.put(where, cover, color * layer.shade(nx, ny, nz), depth, material=material, own=own)


def hull(
    layer: Layer, groups: Sequence[Array], cloth: Cloth, *, axis: tuple[Point, Point],
    thickness: float, lift: float = 0.0, own: bool = True,
) -> None:  # fmt: skip
    """Draw a soft body: the union of the convex hulls of groups of discs.

    Args:
        layer: where to draw.
        groups: arrays (N, 4) of discs x, y, depth, radius; each group becomes one convex outline.
        cloth: what it wears; the pattern runs along `axis`.
        axis: two points (x, y, ...) that set the pattern's direction.
        thickness: how far the middle stands out towards the viewer, pixels.
        lift: pixels by which the whole is nearer than its discs say.
        own: False for a prop.
    """
    discs = np.concatenate(groups)
    low = (discs[:, :2] - discs[:, 3:]).min(0)
    high = (discs[:, :2] + discs[:, 3:]).max(0)
    where = layer.region((low[0] - 2, low[1] - 2), (high[0] + 2, high[1] + 2))
    if where is None:
        return
    rows, columns = where
    mask = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    corner = np.array([columns.start, rows.start], np.float32)
    for group in groups:
        cv2.fillConvexPoly(mask, outline(group, corner), 255, cv2.LINE_AA, SHIFT)
    soft = cv2.GaussianBlur(mask, (0, 0), max(0.8, thickness * 0.10)).astype(np.float32) / 255
    cover = np.clip((soft - 0.5) * 2.2 + 0.5, 0, 1)
    inside = cv2.distanceTransform((cover > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    dome = np.sqrt(1 - (1 - np.minimum(inside / np.float32(max(thickness, 1.0)), 1)) ** 2)
    dome = cv2.GaussianBlur(dome, (0, 0), max(1.0, thickness * 0.16)) * np.float32(thickness)
    sx, sy = (
        cv2.Sobel(dome, cv2.CV_32F, 1, 0, scale=0.125),
        cv2.Sobel(dome, cv2.CV_32F, 0, 1, scale=0.125),
    )
    nz = 1 / np.sqrt(1 + sx * sx + sy * sy)
    ys = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None]
    xs = np.arange(columns.start, columns.stop, dtype=np.float32)[None, :]
    a, b, c = plane(discs)
    (px, py), (qx, qy) = axis[0][:2], axis[1][:2]
    length = float(np.hypot(qx - px, qy - py)) + 1e-3
    ux, uy = np.float32((qx - px) / length), np.float32((qy - py) / length)
    along, across = (xs - px) * ux + (ys - py) * uy, (ys - py) * ux - (xs - px) * uy
    color = cloth.at(along.astype(np.float32), across.astype(np.float32))
    depth = (a + lift + b * xs + c * ys).astype(np.float32) + dome
    layer.put(where, cover, color * layer.shade(-sx * nz, -sy * nz, nz), depth, own=own)


def outline(discs: Array, corner: Array) -> Array:
    """The convex outline of discs (N, 4), in OpenCV's fixed point, relative to `corner`."""
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False, dtype=np.float32)
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    points = (discs[:, None, :2] - corner + ring[None] * discs[:, None, 3:]).reshape(-1, 2)
    return np.round(cv2.convexHull(points.astype(np.float32))[:, 0] * (1 << SHIFT)).astype(np.int32)


def plane(discs: Array) -> tuple[float, float, float]:
    """a, b, c of depth = a + b x + c y through the discs, damped where they leave the slope open."""
    middle = discs[:, :3].mean(0)
    offset = discs[:, :3] - middle
    spread = float(discs[:, 3].mean()) ** 2 * len(discs)
    normal = offset[:, :2].T @ offset[:, :2] + 0.3 * spread * np.eye(2)
    b, c = np.linalg.solve(normal, offset[:, :2].T @ offset[:, 2])
    return float(middle[2] - b * middle[0] - c * middle[1]), float(b), float(c)


Surface = Callable[[Array, Array, Array], tuple[Array, Array]]
"""From a unit ball's local coordinates (left, up, forward), each (h, w), to color (h, w, 3) and cover (h, w)."""


def ball(
    layer: Layer, center: Point, radii: Point, turn: Array,
    surface: Surface, *, material: int = PLAIN,
) -> None:  # fmt: skip
    """Draw an ellipsoid with a painted surface, such as a head or its hair.

    Args:
        layer: where to draw.
        center: x, y, depth.
        radii: half sizes in pixels along the ellipsoid's own left, up and forward.
        turn: (3, 3) columns are left, up and forward as (right, up, towards the viewer).
        surface: what is on it.
        material: SKIN or HAIR.
    """
    view = np.diag([1.0, -1.0, 1.0])
    frame = view @ turn @ np.diag(np.asarray(radii, np.float64))
    shape = frame @ frame.T
    half = np.sqrt(np.diag(shape))
    where = layer.region(
        (center[0] - half[0], center[1] - half[1]), (center[0] + half[0], center[1] + half[1])
    )
    if where is None:
        return
    ys = np.arange(where[0].start, where[0].stop, dtype=np.float32)[:, None] - np.float32(center[1])
    xs = np.arange(where[1].start, where[1].stop, dtype=np.float32)[None, :] - np.float32(center[0])
    inverse = np.linalg.inv(frame)
    quad = (inverse.T @ inverse).astype(np.float32)
    linear = quad[0, 2] * xs + quad[1, 2] * ys
    flat = quad[0, 0] * xs * xs + 2 * quad[0, 1] * xs * ys + quad[1, 1] * ys * ys
    room = linear * linear - quad[2, 2] * (flat - 1)
    depth = (-linear + np.sqrt(np.maximum(room, 0))) / quad[2, 2]
    size = np.float32(min(half[0], half[1]))
    edge = np.clip(room / quad[2, 2] * size * 0.5 + 0.5, 0, 1)
    local = [inverse[i, 0] * xs + inverse[i, 1] * ys + inverse[i, 2] * depth for i in range(3)]
    color, cover = surface(*(part.astype(np.float32) for part in local))
    normal = [quad[i, 0] * xs + quad[i, 1] * ys + quad[i, 2] * depth for i in range(3)]
    norm = np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + np.float32(1e-6)
    light = layer.shade(normal[0] / norm, normal[1] / norm, normal[2] / norm)
    layer.put(where, edge * cover, color * light, depth + np.float32(center[2]), material=material)
