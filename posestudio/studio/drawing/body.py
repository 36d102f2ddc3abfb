"""Bodies of rendered people: a figure is drawn in a look, and its COCO-17 keypoints are told."""

from collections.abc import Callable, Sequence

import numpy as np

from posestudio.studio.drawing.head import draw_head, face_spots, head_radii
from posestudio.studio.drawing.look import Look, scaled
from posestudio.studio.drawing.paint import Array, Cloth, Layer, capsule, hull
from posestudio.studio.drawing.pose import Figure
from posestudio.studio.drawing.space import DOWN, UP, Camera

REACH = {
    "nose": 0.022, "eye": 0.022, "ear": 0.022, "shoulder": 0.088, "elbow": 0.056, "wrist": 0.066, "hip": 0.098,
    "knee": 0.066, "ankle": 0.060,
}  # fmt: skip
"""How much nearer than a keypoint a surface may lie and still be the keypoint's own limb, in body heights."""


def keypoints(figure: Figure, camera: Camera) -> tuple[Array, Array]:
    """(17, 3) COCO-17 keypoints as image x, y and depth, and (17,) reach in pixels."""
    body, head, skull = figure.body, figure.head, figure.points["skull"]
    names = ["nose", "left_eye", "right_eye", "left_ear", "right_ear"]
    spots = face_spots()
    found = [skull + head @ (spots[name] * head_radii(body.head)) for name in names]
    for part in ("shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        for side in ("left", "right"):
            names.append(f"{side}_{part}")
            found.append(figure.points[f"{side}_{part}"])
    reach = np.array([REACH[name.split("_")[-1]] for name in names]) * camera.scale
    return camera.project(np.stack(found)), reach


def draw_person(layer: Layer, figure: Figure, look: Look, camera: Camera) -> None:
    """Draw a figure in a look, all parts depth-tested against each other."""
    at = {name: camera.project(point) for name, point in figure.points.items()}
    middle = float(at["chest"][2])
    parts: list[tuple[float, Callable[[], None]]] = []

    def part(names: Sequence[str], draw: Callable[[], None]) -> None:
        parts.append((float(np.mean([at[name][2] for name in names])), draw))

    for side in ("left", "right"):
        part(
            [f"{side}_hip", f"{side}_knee"],
            lambda s=side: _thigh(layer, at, look, camera, figure, s),
        )
        part([f"{side}_ankle"], lambda s=side: _shin(layer, at, look, camera, figure, s))
        part([f"{side}_elbow"], lambda s=side: _arm(layer, at, look, camera, figure, s))
    part(["pelvis", "chest"], lambda: _torso(layer, figure, look, camera))
    part(["skull"], lambda: draw_head(layer, figure, look, camera))
    if figure.seat:
        _seat(layer, figure, look, camera)
    for depth, draw in sorted(parts, key=lambda item: item[0]):
        layer.tone = 1 - 0.16 * float(np.clip((middle - depth) / (0.16 * camera.scale), 0, 1))
        draw()
    layer.tone = 1.0


Points = dict[str, Array]


def _thigh(layer: Layer, at: Points, look: Look, camera: Camera, figure: Figure, side: str) -> None:
    unit = camera.scale * figure.body.girth**0.7
    skin = Cloth(look.skin)
    cover = look.leg or 0.9 * look.skirt
    capsule(
        layer, at[f"{side}_hip"], at[f"{side}_knee"], (0.060 * unit, 0.041 * unit), look.bottom, rest=skin,
        split=min(cover, 1.0), bulge=0.003 * unit,
    )  # fmt: skip


def _shin(layer: Layer, at: Points, look: Look, camera: Camera, figure: Figure, side: str) -> None:
    unit = camera.scale * figure.body.girth**0.6
    skin, sock = Cloth(look.skin), Cloth(scaled(look.shoe, 0.92))
    knee, ankle = at[f"{side}_knee"], at[f"{side}_ankle"]
    cover = look.leg - 1
    loose = 1.16 if cover >= 1 else 1.0
    capsule(
        layer, knee, ankle, (0.0385 * unit, 0.0245 * loose * unit), look.bottom if cover > 0 else skin,
        rest=skin if 0 < cover < 1 else None, split=min(cover, 1.0) if cover > 0 else 1.0, bulge=0.006 * unit,
    )  # fmt: skip
    if cover < 1:
        capsule(layer, knee * 0.2 + ankle * 0.8, ankle, (0.026 * unit, 0.026 * unit), sock)
    foot, heel, toe = 0.0235 * camera.scale, at[f"{side}_heel"], at[f"{side}_toe"]
    below = np.array([0.0, 0.011 * camera.scale, -0.3])
    capsule(
        layer, heel + below, toe + below, (foot * 0.92, foot * 0.84), Cloth(scaled(look.shoe, 0.55))
    )
    capsule(layer, heel, toe, (foot, foot * 0.86), Cloth(look.shoe), bulge=0.002 * camera.scale)
    capsule(layer, ankle, heel * 0.55 + toe * 0.45, (foot, foot * 0.8), Cloth(look.shoe))


def _arm(layer: Layer, at: Points, look: Look, camera: Camera, figure: Figure, side: str) -> None:
    unit = camera.scale * figure.body.girth**0.6
    skin = Cloth(look.skin)
    shoulder, elbow, wrist = (at[f"{side}_{name}"] for name in ("shoulder", "elbow", "wrist"))
    capsule(
        layer, shoulder, elbow, (0.0370 * unit, 0.0285 * unit), look.top if look.sleeve else skin,
        rest=skin if look.sleeve else None, split=min(look.sleeve, 1.0), bulge=0.002 * unit,
    )  # fmt: skip
    cover = look.sleeve - 1
    loose = 1.18 if cover >= 1 else 1.0
    capsule(
        layer, elbow, wrist, (0.0285 * loose * unit, 0.0190 * loose * unit), look.top if cover > 0 else skin,
        rest=skin if 0 < cover < 1 else None, split=min(cover, 1.0) if cover > 0 else 1.0, bulge=0.004 * unit,
    )  # fmt: skip
    hand, thumb = at[f"{side}_hand"], at[f"{side}_thumb"]
    capsule(
        layer, wrist, hand, (0.0175 * camera.scale, 0.0185 * camera.scale), skin, bulge=0.002 * unit
    )
    capsule(layer, wrist, thumb, (0.012 * camera.scale, 0.009 * camera.scale), skin)


def _discs(
    figure: Figure, camera: Camera, rows: Sequence[tuple[str, float, float, float]]
) -> Array:
    """Pairs of discs: at a joint moved up by a share of the torso, half distance across, radius (body heights)."""
    found = []
    for name, up, across, radius in rows:
        base = figure.points[name] + figure.chest @ UP * up
        for side in (1.0, -1.0):
            point = camera.project(base + figure.chest[:, 0] * side * across)
            found.append([*point, radius * camera.scale])
    return np.array(found, np.float32)


def _torso(layer: Layer, figure: Figure, look: Look, camera: Camera) -> None:
    body, unit = figure.body, camera.scale
    girth, belly = body.girth**0.8, max(body.belly, 0.0)
    hips = np.array(
        [
            [*camera.project(figure.points[f"{s}_hip"]), 0.062 * girth * unit]
            for s in ("left", "right")
        ],
        np.float32,
    )
    waist = _discs(figure, camera, [("waist", -0.02, 0.034 * girth, 0.055 * girth + belly)])
    axis = (camera.project(figure.points["neck"]), camera.project(figure.points["pelvis"]))
    hem = (hips * 0.66 + waist * 0.34).astype(np.float32)
    hem[:, 3] = 0.058 * girth * unit
    hull(
        layer, [np.concatenate([hips, hem])], look.bottom, axis=axis, thickness=0.050 * girth * unit
    )
    hem[:, 3] = 0.067 * girth * unit
    chest = _discs(figure, camera, [("chest", 0.0, 0.052 * girth, 0.058 * girth)])
    shoulders = np.array(
        [
            [*camera.project(figure.points[f"{s}_shoulder"]), 0.034 * girth * unit]
            for s in ("left", "right")
        ],
        np.float32,
    )
    if not look.sleeve:
        inward = shoulders.mean(0)
        shoulders[:, :3] += 0.24 * (inward - shoulders)[:, :3]
    collar = _discs(figure, camera, [("neck", 0.002, 0.018, 0.026)])
    groups = [
        np.concatenate([shoulders, chest, collar]),
        np.concatenate([chest, waist]),
        np.concatenate([waist, hem]),
    ]
    hull(layer, groups, look.top, axis=axis, thickness=0.068 * girth * unit, lift=0.008 * unit)
    if look.skirt:
        _skirt(layer, figure, look, camera, hips, waist)
    neck = camera.project(figure.points["neck"] + figure.chest @ DOWN * 0.012)
    skull = camera.project(figure.points["skull"] + figure.head @ DOWN * 0.03)
    capsule(
        layer,
        neck,
        skull,
        (0.034 * unit * body.girth**0.4, 0.031 * unit),
        Cloth(scaled(look.skin, 0.90)),
    )


def _skirt(
    layer: Layer, figure: Figure, look: Look, camera: Camera, hips: Array, waist: Array
) -> None:
    rim = []
    for side in ("left", "right"):
        hip, knee, ankle = (figure.points[f"{side}_{name}"] for name in ("hip", "knee", "ankle"))
        reach = min(look.skirt, 1.0)
        point = hip + (knee - hip) * reach + (ankle - knee) * max(look.skirt - 1, 0)
        rim.append([*camera.project(point), (0.060 + 0.022 * reach) * camera.scale])
    groups = [np.concatenate([waist, hips]), np.concatenate([hips, np.array(rim, np.float32)])]
    axis = (camera.project(figure.points["waist"]), camera.project(figure.points["pelvis"]))
    hull(
        layer,
        groups,
        look.bottom,
        axis=axis,
        thickness=0.085 * camera.scale,
        lift=0.01 * camera.scale,
    )


def _seat(layer: Layer, figure: Figure, look: Look, camera: Camera) -> None:
    pelvis = figure.points["pelvis"]
    top, radius = float(pelvis[1]) - 0.062 * figure.body.girth**0.8, 0.135
    angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ring = np.stack([np.cos(angles) * radius, np.zeros(16), np.sin(angles) * radius], -1)
    center = np.array([pelvis[0], 0.0, pelvis[2]]) - figure.chest[:, 2] * np.array([1, 0, 1]) * 0.03
    rims = [
        camera.project(center + ring * f + UP * h)
        for f, h in ((0.94, 0.0), (1.0, top * 0.55), (1.0, top))
    ]
    discs = [np.concatenate([rim, np.full((16, 1), 1.5)], 1).astype(np.float32) for rim in rims]
    cloth = Cloth(scaled(look.bottom.color, 0.55) if look.leg < 2 else scaled((196, 170, 132), 0.9))
    axis = (rims[2][0], rims[0][0])
    thick = radius * camera.scale
    hull(layer, [np.concatenate(discs)], cloth, axis=axis, thickness=thick, own=False)
    lid = Cloth(scaled(cloth.color, 1.18))
    hull(layer, [discs[2]], lid, axis=axis, thickness=1.0, lift=0.03 * camera.scale, own=False)
