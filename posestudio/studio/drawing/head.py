"""Heads of rendered people: face, ears, hair and caps, painted on ellipsoids that turn in space."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from posestudio.studio.drawing.look import Look, scaled
from posestudio.studio.drawing.paint import HAIR, SKIN, Array, Cloth, Color, Layer, ball, capsule
from posestudio.studio.drawing.pose import Figure
from posestudio.studio.drawing.space import Camera, turn


def head_radii(size: float) -> Array:
    """Half width, height and depth of a head of this half height."""
    return np.array([0.79, 1.0, 0.90]) * size


def face_spots() -> dict[str, Array]:
    """Where the face keypoints lie on a unit head: x left, y up, z forward."""
    spots = {"nose": np.array([0.0, -0.17, 1.10])}
    for name, side in (("left", 1.0), ("right", -1.0)):
        spots[f"{name}_eye"] = np.array([side * 0.37, 0.04, 0.93])
        spots[f"{name}_ear"] = np.array([side * 1.02, -0.05, -0.06])
    return spots


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a head is: the figure and look, and its center, half sizes, axes and half height in pixels."""

    figure: Figure
    look: Look
    camera: Camera
    center: Array
    radii: Array
    frame: Array
    pixels: float

    def spot(self, x: float, y: float, z: float) -> Array:
        """Image x, y and depth of a point of the unit head."""
        local = np.array([x, y, z]) * head_radii(self.figure.body.head)
        return self.camera.project(self.figure.points["skull"] + self.figure.head @ local)


def draw_head(layer: Layer, figure: Figure, look: Look, camera: Camera) -> None:
    """Draw the head of a figure: ears, face, nose, hair, cap."""
    size = figure.body.head
    at = _Place(
        figure, look, camera, camera.project(figure.points["skull"]), head_radii(size) * camera.scale,
        turn(0, camera.pitch) @ figure.head, size * camera.scale,
    )  # fmt: skip
    if look.style == "hood":
        hood = look.hair
        ball(
            layer,
            at.center,
            at.radii * 1.12,
            at.frame,
            lambda x, y, z: _whole(x, hood),
            material=HAIR,
        )
        return
    _draw_face(layer, at)
    _draw_hair(layer, at)
    if look.hat is not None:
        cap, wide = look.hat, 0.22 * at.pixels
        painted = partial(_cap, cap=cap, pixels=at.pixels)
        ball(layer, at.center, at.radii * 1.14, at.frame, painted, material=HAIR)
        brim = Cloth(scaled(cap, 0.82))
        capsule(
            layer,
            at.spot(-0.42, 0.52, 1.18),
            at.spot(0.42, 0.52, 1.18),
            (wide, wide),
            brim,
            material=HAIR,
        )


def _draw_face(layer: Layer, at: _Place) -> None:
    look, pixels = at.look, at.pixels
    ear, nose = Cloth(scaled(look.skin, 0.94)), Cloth(scaled(look.skin, 0.95))
    for side in (1.0, -1.0):
        capsule(
            layer, at.spot(side * 0.93, 0.12, -0.06), at.spot(side * 0.97, -0.14, -0.02),
            (0.125 * pixels, 0.085 * pixels), ear, material=SKIN,
        )  # fmt: skip
    ball(
        layer,
        at.center,
        at.radii,
        at.frame,
        lambda x, y, z: _face(x, y, z, look, pixels),
        material=SKIN,
    )
    capsule(
        layer, at.spot(0, 0.04, 0.95), at.spot(0, -0.17, 1.04), (0.05 * pixels, 0.085 * pixels), nose, material=SKIN
    )  # fmt: skip


LOCKS: dict[str, tuple[tuple[float, ...], ...]] = {
    "long": tuple((x, 0.2, -0.55, x * 1.5, -1.75, -0.72, 0.50, 0.34) for x in (0.45, 0.0, -0.45)),
    "bun": ((0, 0.85, -0.75, 0, 0.95, -0.85, 0.40, 0.40),),
    "tail": ((0, 0.42, -1.05, 0, -1.15, -1.45, 0.30, 0.15),),
}
"""Hair that leaves the head: start, end and radii at both, in units of the head."""


def _draw_hair(layer: Layer, at: _Place) -> None:
    look, pixels = at.look, at.pixels
    if look.style != "bald":
        grown = 1.30 if look.style == "afro" else 1.07
        lift = np.array([0, 0.10 * pixels if look.style == "afro" else 0, 0])
        painted = partial(_hair, look=look, pixels=pixels)
        ball(layer, at.center - lift, at.radii * grown, at.frame, painted, material=HAIR)
    for ax, ay, az, bx, by, bz, thick, thin in LOCKS.get(look.style, ()):
        radii = (thick * pixels, thin * pixels)
        capsule(
            layer, at.spot(ax, ay, az), at.spot(bx, by, bz), radii, Cloth(look.hair), material=HAIR
        )


def _whole(x: Array, color: Color) -> tuple[Array, Array]:
    return np.broadcast_to(np.asarray(color, np.float32), (*x.shape, 3)), np.ones_like(x)


def _mark(color: Array, ink: Sequence[float], inside: Array, strength: float = 1.0) -> Array:
    """Color with ink where `inside` (in pixels from the edge, positive inside) says so."""
    mix = (np.clip(inside + 0.5, 0, 1) * np.float32(strength))[..., None]
    return color * (1 - mix) + np.asarray(ink, np.float32) * mix


def _face(x: Array, y: Array, z: Array, look: Look, pixels: float) -> tuple[Array, Array]:
    color, cover = _whole(x, look.skin)
    front = np.where(z > 0.12, np.float32(1), np.float32(-9))
    wide = np.abs(x)
    cheek = 1 - np.hypot((wide - 0.46) / 0.26, (y + 0.28) / 0.20)
    color = _mark(color, scaled((232, 110, 96), 0.9), np.clip(cheek, 0, 1) - 0.5, 0.30)
    if look.beard:
        jaw = np.where(z > -0.1, -0.36 - y + 0.25 * np.maximum(wide - 0.35, 0), -1)
        color = _mark(color, look.hair, jaw * pixels, 0.85)
    white = (1 - np.hypot((wide - 0.37) / 0.165, (y - 0.04) / 0.105)) * 0.11 * pixels
    color = _mark(color, (250, 248, 244), np.minimum(white, front))
    pupil = (1 - np.hypot((wide - 0.36) / 0.088, (y - 0.04) / 0.098)) * 0.09 * pixels
    color = _mark(color, (46, 34, 32), np.minimum(pupil, front))
    brow = (
        (1 - np.hypot((wide - 0.38) / 0.20, (y - 0.27 + 0.16 * (wide - 0.34)) / 0.042))
        * 0.05
        * pixels
    )
    color = _mark(color, scaled(look.hair, 0.85), np.minimum(brow, front), 0.9)
    smile = (1 - np.hypot(x / 0.28, (y + 0.50 - 0.8 * x * x) / 0.055)) * 0.06 * pixels
    color = _mark(color, scaled((158, 66, 62), 0.95), np.minimum(smile, front))
    return color, cover


def _hair(x: Array, y: Array, z: Array, look: Look, pixels: float) -> tuple[Array, Array]:
    slope = np.where(z > 0, 0.62 * z, 1.05 * z)
    line = 0.16 + slope + 0.10 * x
    if look.style in ("long", "bob"):
        side = np.where(z < 0.30, -0.95 + 1.6 * np.maximum(z, 0), np.float32(9))
        line = np.minimum(line, side)
    cover = np.clip((y - line) * pixels + 0.5, 0, 1)
    strands = 1 + 0.10 * np.sin(17 * x + 5 * z) * np.sin(9 * z + 3 * y)
    color, _ = _whole(x, look.hair)
    return color * strands[..., None].astype(np.float32), cover.astype(np.float32)


def _cap(x: Array, y: Array, z: Array, cap: Color, pixels: float) -> tuple[Array, Array]:
    color, _ = _whole(x, cap)
    band = np.where(np.abs(x) < 0.03, np.float32(0.8), np.float32(1.0))
    return color * band[..., None], np.clip((y - 0.36) * pixels + 0.5, 0, 1)
