"""Heads of rendered people: face, ears, hair and caps, painted on ellipsoids that turn in space."""

from collections.abc import Sequence

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


def draw_head(layer: Layer, figure: Figure, look: Look, camera: Camera) -> None:
    """Draw the head of a figure: ears, face, nose, hair, cap."""
    size = figure.body.head
    radii = head_radii(size) * camera.scale
    center = camera.project(figure.points["skull"])
    frame = turn(0, camera.pitch) @ figure.head
    pixels = size * camera.scale

    def spot(x: float, y: float, z: float) -> Array:
        return camera.project(
            figure.points["skull"] + figure.head @ (np.array([x, y, z]) * head_radii(size))
        )

    if look.style == "hood":
        ball(
            layer, center, radii * 1.12, frame, lambda x, y, z: _whole(x, look.hair), material=HAIR
        )
        return
    for side in (1.0, -1.0):
        ear = Cloth(scaled(look.skin, 0.94))
        capsule(
            layer, spot(side * 0.93, 0.12, -0.06), spot(side * 0.97, -0.14, -0.02),
            (0.125 * pixels, 0.085 * pixels), ear, material=SKIN,
        )  # fmt: skip
    ball(layer, center, radii, frame, lambda x, y, z: _face(x, y, z, look, pixels), material=SKIN)
    capsule(
        layer, spot(0, 0.04, 0.95), spot(0, -0.17, 1.04), (0.05 * pixels, 0.085 * pixels),
        Cloth(scaled(look.skin, 0.95)), material=SKIN,
    )  # fmt: skip
    if look.style != "bald":
        grown = 1.30 if look.style == "afro" else 1.07
        lift = np.array([0, 0.10 * pixels if look.style == "afro" else 0, 0])
        ball(
            layer,
            center - lift,
            radii * grown,
            frame,
            lambda x, y, z: _hair(x, y, z, look, pixels),
            material=HAIR,
        )
    hair = Cloth(look.hair)
    if look.style == "long":
        for x in (0.45, 0.0, -0.45):
            capsule(
                layer,
                spot(x, 0.2, -0.55),
                spot(x * 1.5, -1.75, -0.72),
                (0.50 * pixels, 0.34 * pixels),
                hair,
                material=HAIR,
            )
    elif look.style == "bun":
        capsule(
            layer,
            spot(0, 0.85, -0.75),
            spot(0, 0.95, -0.85),
            (0.40 * pixels, 0.40 * pixels),
            hair,
            material=HAIR,
        )
    elif look.style == "tail":
        capsule(
            layer,
            spot(0, 0.42, -1.05),
            spot(0, -1.15, -1.45),
            (0.30 * pixels, 0.15 * pixels),
            hair,
            material=HAIR,
        )
    if look.hat is not None:
        cap = look.hat
        ball(
            layer,
            center,
            radii * 1.14,
            frame,
            lambda x, y, z: _cap(x, y, z, cap, pixels),
            material=HAIR,
        )
        capsule(
            layer, spot(-0.42, 0.52, 1.18), spot(0.42, 0.52, 1.18), (0.22 * pixels, 0.22 * pixels),
            Cloth(scaled(cap, 0.82)), material=HAIR,
        )  # fmt: skip


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
