"""Places for rendered people: parks, streets, rooms, beaches and courts, of flat shapes and gradients."""

from collections.abc import Callable, Sequence

import numpy as np

from posestudio.studio.drawing.paint import Array
from posestudio.studio.drawing.things import (
    BRICKS,
    BRIGHT,
    GREENS,
    SKIES,
    WALLS,
    WOODS,
    Pen,
    pick,
    plant,
    tint,
)  # fmt: skip


def ramp(
    image: Array, top: int, bottom: int, first: Sequence[float], last: Sequence[float]
) -> None:
    """Fill rows top..bottom with a vertical gradient."""
    top, bottom = max(top, 0), min(bottom, image.shape[0])
    if top >= bottom:
        return
    t = np.linspace(0, 1, bottom - top, dtype=np.float32)[:, None, None]
    row = np.asarray(first, np.float32) * (1 - t) + np.asarray(last, np.float32) * t
    image[top:bottom] = row.astype(np.uint8)


def sky(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """Sky down to the horizon, with a few clouds."""
    top, low = SKIES[int(rng.integers(len(SKIES)))]
    ramp(image, 0, horizon, top, low)
    pen, width = Pen(image), image.shape[1]
    for _ in range(int(rng.integers(0, 4))):
        x, y = rng.uniform(0, width), rng.uniform(0.05, 0.6) * horizon
        size = rng.uniform(0.04, 0.10) * width
        white = tint(low, 1.06)
        for k in range(5):
            pen.oval(
                x + (k - 2) * size * 0.7, y - rng.uniform(0, 0.4) * size, size, size * 0.5, white
            )


def tree(pen: Pen, rng: np.random.Generator, x: float, ground: float, size: float) -> None:
    """A tree with a round or a pointed crown; `size` is its height in pixels."""
    green = pick(rng, GREENS, 0.15)
    pen.box(x - size * 0.035, ground - size * 0.4, size * 0.07, size * 0.4, pick(rng, WOODS))
    if rng.random() < 0.3:
        for k in range(3):
            y, half = ground - size * (0.25 + 0.22 * k), size * (0.26 - 0.06 * k)
            pen.shape(
                [(x - half, y), (x + half, y), (x, y - size * 0.36)], tint(green, 0.8 + 0.08 * k)
            )
        return
    for k in range(6):
        angle = k * 1.05 + rng.uniform(0, 0.5)
        dx, dy = 0.15 * np.cos(angle), 0.13 * np.sin(angle)
        radius = size * rng.uniform(0.15, 0.21)
        pen.oval(
            x + dx * size,
            ground - size * (0.66 - dy),
            radius,
            radius * 0.92,
            tint(green, 0.92 - 0.5 * dy),
        )
    pen.oval(x - 0.05 * size, ground - size * 0.74, size * 0.15, size * 0.13, tint(green, 1.12))


def park(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """Hills, trees, grass and a path."""
    height, width = image.shape[:2]
    sky(rng, image, horizon + 6)
    pen, green = Pen(image), pick(rng, GREENS)
    xs = np.linspace(-20, width + 20, 24)
    for k in range(2):
        waves = np.sin(xs * rng.uniform(0.008, 0.02) + rng.uniform(0, 6)) * rng.uniform(8, 22)
        ys = horizon - (26 - 14 * k) - waves * (0.9 - 0.3 * k)
        shade = tuple(c * 0.75 + 200 * 0.25 * (1 - k * 0.5) for c in tint(green, 0.82 + 0.06 * k))
        pen.shape([*zip(xs, ys, strict=True), (width + 20, horizon + 8), (-20, horizon + 8)], shade)
    ramp(image, horizon, height, tint(green, 1.10), tint(green, 0.82))
    if rng.random() < 0.6:
        x, end = rng.uniform(0.2, 0.8) * width, rng.uniform(0.1, 0.9) * width
        path = pick(rng, ((222, 204, 170), (200, 192, 180), (188, 160, 124)))
        pen.shape(
            [
                (x - 6, horizon),
                (x + 6, horizon),
                (end + 0.35 * width, height),
                (end - 0.25 * width, height),
            ],
            path,
        )
    for _ in range(int(rng.integers(2, 8))):
        far = rng.uniform(0, 1)
        tree(
            pen,
            rng,
            rng.uniform(-0.05, 1.05) * width,
            horizon + 4 + 26 * far,
            height * (0.16 + 0.42 * far),
        )
    for _ in range(40):
        x, y = rng.uniform(0, width), horizon + (height - horizon) * rng.uniform(0.05, 1) ** 0.7
        pen.line(
            (x, y),
            (x + rng.uniform(-3, 3), y - rng.uniform(3, 8)),
            tint(green, rng.uniform(0.7, 1.25)),
            1.4,
        )


def street(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """Houses with windows, a pavement and a road."""
    height, width = image.shape[:2]
    sky(rng, image, horizon + 4)
    pen, x = Pen(image), -20.0
    while x < width:
        wide, tall = rng.uniform(0.18, 0.42) * width, rng.uniform(0.55, 1.1) * horizon
        color, top = pick(rng, BRICKS), horizon + 6 - tall
        pen.box(x, top, wide, tall, color)
        pen.box(x, top, wide, 5, tint(color, 0.78))
        glass = pick(rng, ((96, 122, 146), (150, 186, 204), (70, 84, 104), (244, 216, 150)))
        columns, size = max(2, int(wide // rng.uniform(24, 36))), rng.uniform(0.45, 0.6)
        step = wide / columns
        for row in range(int(tall // (step * 1.25)) + 1):
            for column in range(columns):
                wx, wy = x + step * (column + 0.5 - size / 2), top + 14 + row * step * 1.25
                if wy + step * 0.75 < horizon - 10:
                    pen.box(wx - 1.5, wy - 1.5, step * size + 3, step * 0.78 + 3, tint(color, 1.18))
                    pen.box(wx, wy, step * size, step * 0.78, tint(glass, rng.uniform(0.85, 1.1)))
        if rng.random() < 0.6:
            shade = pick(rng, BRIGHT)
            pen.shape(
                [
                    (x + 6, horizon - 46),
                    (x + wide - 6, horizon - 46),
                    (x + wide, horizon - 30),
                    (x, horizon - 30),
                ],
                shade,
            )
            pen.box(x + wide * 0.4, horizon - 30, wide * 0.2, 36, tint(color, 0.55))
        x += wide + float(rng.choice([0.0, 0.0, 14.0]))
    stone = pick(rng, ((176, 174, 172), (192, 184, 172), (150, 152, 158)))
    ramp(image, horizon + 4, height, tint(stone, 1.06), tint(stone, 0.88))
    curb = horizon + int((height - horizon) * rng.uniform(0.15, 0.4))
    if rng.random() < 0.5:
        ramp(image, horizon + 4, curb, (104, 106, 112), (92, 94, 100))
        pen.box(0, curb, width, 4, tint(stone, 1.2))
    for k in range(9):
        far = ((k + 1) / 9) ** 1.6
        y = curb + 6 + (height - curb) * far
        pen.line((0, y), (width, y), tint(stone, 0.80), 1.2)
        pen.line(
            (width * (0.5 + 0.16 * (k - 4)), curb + 6),
            (width * (0.5 + 0.42 * (k - 4)), height),
            tint(stone, 0.80),
            1.1,
        )


def room(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """A wall, a wooden or tiled floor, a window or pictures, furniture and a rug."""
    height, width = image.shape[:2]
    wall, wood, floor = (
        pick(rng, WALLS),
        pick(rng, WOODS),
        min(horizon + int(0.14 * height), int(0.82 * height)),
    )
    ramp(image, 0, floor, tint(wall, 1.04), tint(wall, 0.92))
    ramp(image, floor, height, tint(wood, 0.90), tint(wood, 1.08))
    pen = Pen(image)
    if rng.random() < 0.35:
        for x in np.arange(0, width, rng.uniform(14, 30)):
            pen.box(x, 0, 1.5, floor, tint(wall, 0.93))
    for k in range(-8, 9):
        pen.line(
            (width * (0.5 + 0.10 * k), floor),
            (width * (0.5 + 0.26 * k), height),
            tint(wood, 0.82),
            1.2,
        )
    pen.box(0, floor - 7, width, 7, tint(wall, 1.12))
    x, size = rng.uniform(0.05, 0.6) * width, rng.uniform(0.24, 0.36) * width
    y = rng.uniform(0.06, 0.16) * height
    if rng.random() < 0.5:
        pen.box(x - 5, y - 5, size + 10, size * 1.15 + 10, (246, 244, 240))
        ramp_box = image[max(int(y), 0) : int(y + size * 1.15), max(int(x), 0) : int(x + size)]
        ramp(ramp_box, 0, ramp_box.shape[0], *SKIES[int(rng.integers(len(SKIES)))])
        pen.box(x + size / 2 - 2, y, 4, size * 1.15, (246, 244, 240))
        pen.box(x, y + size * 0.55, size, 4, (246, 244, 240))
        curtain = pick(rng, BRIGHT)
        pen.box(x - 20, y - 12, 22, size * 1.4, curtain)
        pen.box(x + size - 2, y - 12, 22, size * 1.4, curtain)
    else:
        for k in range(int(rng.integers(1, 4))):
            side = rng.uniform(0.10, 0.2) * width
            px, py = (0.06 + 0.31 * k) * width + rng.uniform(0, 18), y + rng.uniform(0, 40)
            pen.box(px - 3, py - 3, side + 6, side * 1.2 + 6, tint(wood, 0.7))
            pen.box(px, py, side, side * 1.2, pick(rng, WALLS, 0.1))
            pen.oval(px + side / 2, py + side * 0.6, side * 0.3, side * 0.4, pick(rng, BRIGHT))
    _furniture(pen, rng, floor)
    if rng.random() < 0.6:
        rug = pick(rng, BRIGHT)
        pen.oval(width / 2, (floor + height) / 2 + 12, width * 0.42, (height - floor) * 0.42, rug)
        pen.oval(
            width / 2,
            (floor + height) / 2 + 12,
            width * 0.36,
            (height - floor) * 0.34,
            tint(rug, 1.14),
        )


def _furniture(pen: Pen, rng: np.random.Generator, floor: float) -> None:
    height, width = pen.image.shape[:2]
    left = rng.random() < 0.5
    kind = int(rng.integers(4))
    color, wood = pick(rng, BRIGHT), pick(rng, WOODS)
    x = -0.06 * width if left else 0.66 * width
    if kind == 0:
        wide, tall = 0.42 * width, 0.20 * height
        pen.box(x, floor - tall, wide, tall, color)
        for k in range(2):
            pen.box(
                x + 5 + k * wide / 2,
                floor - tall * 0.55,
                wide / 2 - 8,
                tall * 0.38,
                tint(color, 1.14),
            )
        pen.box(x - 4, floor - tall * 0.72, 14, tall * 0.82, tint(color, 0.88))
        pen.box(x + wide - 10, floor - tall * 0.72, 14, tall * 0.82, tint(color, 0.88))
    elif kind == 1:
        wide, tall = 0.30 * width, 0.52 * height
        pen.box(x + 6, floor - tall, wide, tall + 8, tint(wood, 0.85))
        for row in range(4):
            y = floor - tall + 6 + row * tall / 4
            pen.box(x + 11, y, wide - 10, tall / 4 - 6, tint(wood, 0.5))
            at = x + 13
            while at < x + wide - 8:
                thick, long = rng.uniform(4, 9), (tall / 4 - 6) * rng.uniform(0.6, 0.95)
                pen.box(at, y + tall / 4 - 6 - long, thick, long, pick(rng, BRIGHT, 0.15))
                at += thick + 0.8
    elif kind == 2:
        at = 0.10 * width if left else 0.90 * width
        pen.box(at - 2, floor - 0.46 * height, 4, 0.47 * height, (70, 66, 64))
        pen.shape(
            [(at - 13, floor - 0.54 * height), (at + 13, floor - 0.54 * height), (at + 24, floor - 0.43 * height),
             (at - 24, floor - 0.43 * height)], (250, 228, 176),
        )  # fmt: skip
        pen.oval(at, floor + 4, 18, 5, (70, 66, 64))
    else:
        plant(pen, rng, 0.12 * width if left else 0.88 * width, floor + 10, 0.55 * height)


def beach(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """Sky, sea, sand, a parasol or sails."""
    height, width = image.shape[:2]
    sky(rng, image, horizon)
    pen, shore = Pen(image), horizon + int((height - horizon) * rng.uniform(0.16, 0.34))
    blue = pick(rng, ((70, 150, 178), (64, 124, 168), (108, 180, 186)))
    ramp(image, horizon, shore, tint(blue, 0.9), tint(blue, 1.18))
    for _ in range(14):
        x, y = rng.uniform(0, width), rng.uniform(horizon + 3, shore)
        pen.box(x, y, rng.uniform(8, 40), 1.4, tint(blue, 1.35))
    sand = pick(rng, ((232, 208, 162), (222, 196, 150), (238, 220, 184)))
    ramp(image, shore, height, tint(sand, 1.04), tint(sand, 0.88))
    pen.box(0, shore - 2, width, 4, (248, 248, 244))
    for _ in range(int(rng.integers(0, 3))):
        x, size = rng.uniform(0, width), rng.uniform(10, 26)
        pen.shape([(x, horizon - size), (x, horizon), (x + size * 0.6, horizon)], (250, 248, 244))
    for _ in range(int(rng.integers(0, 3))):
        x, y, size = (
            rng.uniform(0, width),
            shore + rng.uniform(6, 40),
            rng.uniform(0.10, 0.2) * width,
        )
        color = pick(rng, BRIGHT)
        pen.box(x - 1.5, y - size * 1.5, 3, size * 1.5, (240, 236, 228))
        for k in range(4):
            a, b = -1 + k * 0.5, -0.5 + k * 0.5
            rim = [
                (x + a * size, y - size * 1.2),
                (x + b * size, y - size * 1.2),
                (x, y - size * 1.75),
            ]
            pen.shape(rim, color if k % 2 else (246, 242, 234))
    for _ in range(30):
        x, y = rng.uniform(0, width), rng.uniform(shore + 8, height)
        pen.oval(x, y, rng.uniform(1, 4), rng.uniform(0.6, 1.4), tint(sand, rng.uniform(0.8, 0.95)))


def court(rng: np.random.Generator, image: Array, horizon: int) -> None:
    """A sports hall: paneled wall, painted floor with lines, posters or a studio of soft circles."""
    height, width = image.shape[:2]
    wall, ground, floor = (
        pick(rng, (*WALLS, *BRIGHT)),
        pick(rng, (*WOODS, *BRIGHT)),
        horizon + int(0.06 * height),
    )
    ramp(image, 0, floor, tint(wall, 0.86), tint(wall, 1.05))
    ramp(image, floor, height, tint(ground, 0.88), tint(ground, 1.06))
    pen = Pen(image)
    for _ in range(int(rng.integers(3, 9))):
        x, y, size = rng.uniform(0, width), rng.uniform(0, floor), rng.uniform(0.05, 0.22) * width
        color = pick(rng, (*BRIGHT, tint(wall, 1.1), tint(wall, 0.9)))
        color = tuple(0.55 * a + 0.45 * b for a, b in zip(wall, color, strict=True))
        kind = int(rng.integers(3))
        if kind == 0:
            pen.oval(x, y, size, size, color)
        elif kind == 1:
            pen.box(x - size, y - size * 0.6, size * 2, size * 1.2, color)
        else:
            pen.shape([(x - size, y + size), (x + size, y + size), (x, y - size)], color)
    pen.box(0, floor - 4, width, 5, tint(wall, 0.7))
    line = tint((245, 242, 236), 1.0)
    at = rng.uniform(0.2, 0.8) * width
    pen.line((at, floor + 2), (at + rng.uniform(-0.6, 0.6) * width, height), line, 3.5)
    y = floor + (height - floor) * rng.uniform(0.25, 0.8)
    pen.line((0, y), (width, y + rng.uniform(-14, 14)), line, 3)


PLACES: tuple[Callable[[np.random.Generator, Array, int], None], ...] = (
    park,
    street,
    room,
    beach,
    court,
)


def draw_place(rng: np.random.Generator, height: int, width: int, horizon: int) -> Array:
    """An RGB background (height, width, 3) whose ground begins at about row `horizon`."""
    image = np.zeros((height, width, 3), np.uint8)
    PLACES[int(rng.choice(len(PLACES), p=[0.26, 0.22, 0.24, 0.13, 0.15]))](rng, image, horizon)
    return image
