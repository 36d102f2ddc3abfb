"""A pen, palettes, and things that stand in the way of rendered people."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from posestudio.studio.drawing.paint import SHIFT, Array, Color, Point

SKIES: tuple[tuple[Color, Color], ...] = (
    ((118, 178, 226), (214, 234, 244)), ((146, 196, 222), (248, 232, 206)), ((96, 130, 190), (248, 196, 160)),
    ((172, 190, 206), (226, 230, 232)), ((84, 150, 210), (190, 224, 240)),
)  # fmt: skip
GREENS: tuple[Color, ...] = (
    (118, 168, 84),
    (142, 178, 92),
    (98, 148, 88),
    (160, 176, 96),
    (84, 138, 92),
)
WALLS: tuple[Color, ...] = (
    (232, 222, 206), (206, 218, 222), (222, 206, 200), (196, 208, 190), (236, 232, 226),
    (188, 196, 212), (230, 208, 168),
)  # fmt: skip
WOODS: tuple[Color, ...] = ((176, 132, 92), (148, 106, 74), (200, 162, 118), (120, 88, 66))
BRICKS: tuple[Color, ...] = (
    (188, 122, 98),
    (206, 168, 138),
    (158, 150, 146),
    (214, 196, 172),
    (140, 118, 110),
    (172, 186, 190),
)
BRIGHT: tuple[Color, ...] = (
    (222, 92, 78), (240, 176, 72), (92, 160, 150), (86, 124, 186), (150, 104, 164), (236, 228, 214), (96, 100, 112),
)  # fmt: skip


@dataclass(slots=True)
class Pen:
    """Draws on an image and, when there is one, marks what was drawn in a mask (0..255)."""

    image: Array
    mask: Array | None = None

    def shape(self, points: Sequence[Point], color: Sequence[float]) -> None:
        """A filled polygon."""
        fixed = np.round(np.asarray(points, np.float64) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(self.image, [fixed], tuple(color), cv2.LINE_AA, SHIFT)
        if self.mask is not None:
            cv2.fillPoly(self.mask, [fixed], 255, cv2.LINE_AA, SHIFT)

    def box(self, x: float, y: float, w: float, h: float, color: Sequence[float]) -> None:
        """A filled upright rectangle."""
        self.shape([(x, y), (x + w, y), (x + w, y + h), (x, y + h)], color)

    def taper(
        self, x: float, low: float, high: float, halves: tuple[float, float], color: Sequence[float]
    ) -> None:
        """A filled trapezoid about column x from row `low` up to row `high`; halves: half widths there."""
        wide, narrow = halves
        self.shape(
            [(x - wide, low), (x + wide, low), (x + narrow, high), (x - narrow, high)], color
        )

    def oval(self, x: float, y: float, rx: float, ry: float, color: Sequence[float]) -> None:
        """A filled upright ellipse about (x, y)."""
        angles = np.linspace(0, 2 * np.pi, 28, endpoint=False)
        self.shape(np.stack([x + rx * np.cos(angles), y + ry * np.sin(angles)], -1).tolist(), color)

    def line(
        self, start: Sequence[float], end: Sequence[float], color: Sequence[float], width: float
    ) -> None:
        """A straight stroke with square ends."""
        a, b = np.asarray(start, float), np.asarray(end, float)
        side = np.array([a[1] - b[1], b[0] - a[0]]) / (np.hypot(*(b - a)) + 1e-6) * width / 2
        self.shape([a + side, b + side, b - side, a - side], color)


def tint(color: Sequence[float], factor: float) -> Color:
    """The color times a brightness, within 0..255."""
    r, g, b = (float(min(max(c * factor, 0), 255)) for c in color)
    return r, g, b


def pick(rng: np.random.Generator, colors: Sequence[Color], spread: float = 0.06) -> Color:
    """One of the colors, a little brighter or darker."""
    return tint(colors[int(rng.integers(len(colors)))], 1 + float(rng.uniform(-spread, spread)))


def plant(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A potted plant, somewhat over half of `size` high."""
    size *= rng.uniform(0.42, 0.68)
    pot, green = (
        pick(rng, ((196, 112, 78), (232, 226, 216), (96, 108, 122))),
        pick(rng, GREENS, 0.2),
    )
    half = size * 0.16
    for k in range(13):
        angle = np.radians(-90 + (k - 6) * rng.uniform(9, 15))
        reach = size * rng.uniform(0.45, 0.72)
        base = np.array([x, ground - size * 0.28])
        tip = base + reach * np.array([np.cos(angle), np.sin(angle)])
        bend = base + 0.55 * (tip - base) + np.array([0, -0.10 * size])
        side = np.array([-(tip - base)[1], (tip - base)[0]]) * 0.13
        pen.shape([base, bend + side, tip, bend - side], tint(green, rng.uniform(0.75, 1.2)))
    pen.taper(x, ground, ground - size * 0.3, (half * 0.75, half), pot)
    pen.box(x - half * 1.1, ground - size * 0.32, half * 2.2, size * 0.06, tint(pot, 1.12))


def crate(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A box or two, of wood or card."""
    color = pick(rng, (*WOODS, (206, 172, 128), (86, 124, 160)))
    wide, tall = size * rng.uniform(0.30, 0.62), size * rng.uniform(0.22, 0.5)
    top = tall * 0.16
    left = x - wide / 2
    pen.box(left, ground - tall, wide, tall, color)
    pen.taper(x, ground - tall, ground - tall - top, (wide / 2, wide * 0.4), tint(color, 1.18))
    for k in range(1, 4):
        pen.box(left, ground - tall * k / 4, wide, 1.5, tint(color, 0.78))
    pen.box(left, ground - tall, wide * 0.08, tall, tint(color, 0.86))
    pen.box(left + wide * 0.92, ground - tall, wide * 0.08, tall, tint(color, 0.86))


def pole(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A lamp post or a traffic sign, taller than a person."""
    half, color = size * 0.028, pick(rng, ((92, 96, 104), (172, 174, 178), (70, 92, 84)))
    pen.box(x - half, ground - size * 1.5, half * 2, size * 1.5, color)
    pen.box(x - half, ground - size * 1.5, half * 0.7, size * 1.5, tint(color, 1.3))
    pen.oval(x, ground, half * 3, half * 1.2, tint(color, 0.8))
    if rng.random() < 0.5:
        pen.oval(x, ground - size * 1.2, size * 0.11, size * 0.11, pick(rng, BRIGHT))
        pen.oval(x, ground - size * 1.2, size * 0.085, size * 0.085, (246, 244, 240))


def fence(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A piece of fence or railing."""
    color = pick(rng, (*WOODS, (240, 238, 232), (96, 100, 110)))
    wide, tall = size * rng.uniform(0.8, 1.5), size * rng.uniform(0.26, 0.4)
    step = size * 0.10
    for y in (0.85, 0.35):
        pen.box(x - wide / 2, ground - tall * y, wide, tall * 0.10, tint(color, 0.86))
    for at in np.arange(x - wide / 2, x + wide / 2, step):
        middle, half = at + step * 0.28, step * 0.28
        pen.box(at, ground - tall * 0.92, half * 2, tall * 0.92, color)
        pen.taper(middle, ground - tall * 0.92, ground - tall, (half, 0.3), color)


def table(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A table or desk with something on it."""
    color = pick(rng, WOODS)
    wide, tall = size * rng.uniform(0.6, 1.0), size * rng.uniform(0.36, 0.46)
    pen.box(x - wide * 0.44, ground - tall, size * 0.04, tall, tint(color, 0.7))
    pen.box(x + wide * 0.40, ground - tall, size * 0.04, tall, tint(color, 0.7))
    pen.box(x - wide / 2, ground - tall, wide, size * 0.06, color)
    pen.box(x - wide / 2, ground - tall, wide, size * 0.015, tint(color, 1.25))
    pen.box(
        x - wide * 0.2, ground - tall - size * 0.12, size * 0.18, size * 0.12, pick(rng, BRIGHT)
    )
    pen.oval(
        x + wide * 0.22, ground - tall - size * 0.04, size * 0.04, size * 0.05, pick(rng, BRIGHT)
    )


def ball_or_cone(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A large ball or a traffic cone."""
    color = pick(rng, BRIGHT)
    if rng.random() < 0.5:
        radius = size * rng.uniform(0.12, 0.2)
        pen.oval(x, ground - radius, radius, radius, color)
        pen.oval(
            x - radius * 0.3,
            ground - radius * 1.35,
            radius * 0.42,
            radius * 0.34,
            tint(color, 1.25),
        )
        return
    tall, half = size * rng.uniform(0.3, 0.42), size * 0.12
    pen.box(x - half * 1.3, ground - size * 0.03, half * 2.6, size * 0.03, (60, 58, 62))
    pen.taper(x, ground - size * 0.03, ground - tall, (half, half * 0.16), (232, 112, 56))
    pen.taper(
        x, ground - tall * 0.36, ground - tall * 0.62, (half * 0.72, half * 0.48), (246, 242, 236)
    )


THINGS: tuple[Callable[[Pen, np.random.Generator, float, float, float], None], ...] = (
    crate, pole, plant, fence, table, ball_or_cone,
)  # fmt: skip
