"""Rendered people with exact ground truth: `render_scene` draws a picture and says where every keypoint is.

Pure: numpy and OpenCV, randomness from the generator that is given, no files. The same generator state and arguments
give the same picture and people; knobs that add things (occluders, a second person, noise) leave the rest in place.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from posestudio.studio.drawing.body import draw_person, keypoints
from posestudio.studio.drawing.look import Look, sample_look
from posestudio.studio.drawing.paint import FAR, SKIN, Layer
from posestudio.studio.drawing.place import draw_place
from posestudio.studio.drawing.pose import Figure, sample_body, sample_pose, stand_up
from posestudio.studio.drawing.space import Camera
from posestudio.studio.drawing.things import THINGS, Pen

Image = np.ndarray

OUTSIDE, OCCLUDED, VISIBLE = 0, 1, 2
FACE = 5
"""The first five of the COCO-17 keypoints lie on the face."""


@dataclass(frozen=True, slots=True)
class RenderedPerson:
    """One person of a scene and the truth about it.

    xy_image: (17, 2) COCO-17 keypoints in image pixels, exact, also of those outside the image. depth: (17,) towards
    the viewer. visibility: (17,) 2 seen, 1 hidden, 0 outside the image. A keypoint is hidden when the surface that
    the viewer sees at its pixel is an occluder, a nearer person, or a part of the same body that is nearer than the
    keypoint's own limb is thick; a face keypoint also when hair or a cap covers it. box_xywh: the smallest box of
    whole pixels around the silhouette. silhouette: (H, W) bool, the person's pixels in the image, whether or not
    something stands before them. area: their number. yaw: where it faces in degrees, 0 to the viewer.
    """

    xy_image: NDArray[np.float64]
    depth: NDArray[np.float64]
    visibility: NDArray[np.int8]
    box_xywh: tuple[float, float, float, float]
    area: float
    silhouette: NDArray[np.bool_]
    yaw: float


@dataclass(frozen=True, slots=True)
class _Actor:
    figure: Figure
    look: Look
    camera: Camera
    yaw: float


def render_scene(
    rng: np.random.Generator, size: tuple[int, int] = (400, 320), *, occluder_rate: float = 0.33,
    second_rate: float = 0.25, rare_rate: float = 0.10, noise: float = 1.0, ambiguity: float = 0.0,
) -> tuple[Image, list[RenderedPerson]]:  # fmt: skip
    """Draw one scene.

    Args:
        rng: source of all randomness; it advances by the same amount whatever the knobs are.
        size: height and width in pixels, at least 64 each.
        occluder_rate: share of scenes in which something stands before a person.
        second_rate: share of scenes with a second person, near or overlapping; it is in the list as well.
        rare_rate: share of poses that few people take (handstands, lying, crawling).
        noise: strength of blur, grain and brightness changes; 0 for a clean picture.
        ambiguity: share of people with a hooded head, whose left and right only the body tells.

    Returns:
        image (H, W, 3) RGB uint8, and the people, nearest last, all with some silhouette in the image.
    """
    height, width = size
    streams = [np.random.default_rng(int(seed)) for seed in rng.integers(2**63, size=6)]
    horizon = int(height * streams[0].uniform(0.42, 0.60))
    image = draw_place(streams[1], height, width, horizon)
    pitch = float(streams[0].uniform(3, 16))
    actors = _cast(streams[0], streams[2], size, horizon, pitch, second_rate, rare_rate, ambiguity)
    side = float(streams[0].choice([-1.0, 1.0])) * float(streams[0].uniform(0.25, 0.55))
    light = (side, -0.55, float(np.sqrt(1 - side**2 - 0.55**2)))
    _shadows(image, actors, light, float(streams[0].uniform(0.24, 0.42)))
    layers = []
    for actor in actors:
        layer = Layer(height, width, light)
        draw_person(layer, actor.figure, actor.look, actor.camera)
        _deepen(layer, actor.camera.scale)
        _paste(image, layer)
        layers.append(layer)
    hiding = np.zeros((height, width), np.uint8)
    if streams[3].random() < occluder_rate:
        _occlude(streams[3], image, hiding, actors)
    people = _truth(actors, layers, hiding > 127)
    return _lens(streams[4], image, noise), people


def _cast(
    rng: np.random.Generator, second: np.random.Generator, size: tuple[int, int], horizon: int, pitch: float,
    second_rate: float, rare_rate: float, ambiguity: float,
) -> list[_Actor]:  # fmt: skip
    """One or two people, the farther first."""
    pair = second.random() < second_rate
    first = _actor(rng, size, horizon, pitch, rare_rate, ambiguity, None)
    if not pair:
        return [first]
    other = _actor(second, size, horizon, pitch, rare_rate, ambiguity, first.camera)
    return sorted((first, other), key=lambda actor: actor.camera.ground)


def _yaw(rng: np.random.Generator) -> float:
    kind, side = rng.random(), float(rng.choice([-1.0, 1.0]))
    if kind < 0.42:
        return float(rng.normal(0, 16))
    if kind < 0.70:
        return side * float(rng.uniform(25, 62))
    if kind < 0.86:
        return side * float(rng.uniform(68, 112))
    return 180 + float(rng.normal(0, 30))


def _actor(
    rng: np.random.Generator, size: tuple[int, int], horizon: int, pitch: float, rare_rate: float,
    ambiguity: float, beside: Camera | None,
) -> _Actor:  # fmt: skip
    """A person placed in the image, alone near the middle or beside another."""
    height, width = size
    yaw = _yaw(rng)
    figure = stand_up(sample_body(rng), sample_pose(rng, rare_rate), yaw)
    flat = Camera(1.0, 0.0, 0.0, pitch)
    spots = flat.project(np.stack(list(figure.points.values())))
    low, high = spots[:, :2].min(0) - 0.05, spots[:, :2].max(0) + 0.05
    high[1] = max(high[1], 0.02)
    span = high - low
    place = rng.uniform(0, 1, 6)
    if beside is None:
        room = 0.62 + 0.30 * place[0]
        scale = min(room * height / span[1], (0.72 + 0.22 * place[1]) * width / span[0])
        scale = min(scale, 0.92 * height)
        if place[2] < 0.12:
            scale *= 1.25 + 0.5 * place[3]
        free = max(width - span[0] * scale, 0)
        x = width / 2 + (place[4] - 0.5) * 0.8 * free - (low[0] + high[0]) / 2 * scale
        ground = height * (0.99 - 0.11 * place[5]) - max(spots[:, 1].max(), 0) * scale * 0.5
        if place[2] < 0.12:
            ground = max(ground, height * 0.06 - low[1] * scale)
        else:
            ground = float(np.clip(ground, -low[1] * scale + 4, None))
        camera = Camera(float(scale), float(x), float(ground), pitch)
    else:
        ratio = 0.70 + 0.40 * place[0]
        ground = horizon + max(beside.ground - horizon, 20) * ratio
        away = (
            (0.20 + 0.52 * place[1])
            * (1 if beside.x < width / 2 else -1)
            * (1 if place[2] < 0.8 else -1)
        )
        x = float(np.clip(beside.x + away * beside.scale, 0.06 * width, 0.94 * width))
        camera = Camera(beside.scale * ratio, x, float(ground), pitch)
    return _Actor(
        figure, sample_look(rng, camera.scale, faceless=rng.random() < ambiguity), camera, yaw
    )


def _shadows(
    image: Image, actors: list[_Actor], light: tuple[float, float, float], depth: float
) -> None:
    """Darken the ground where the people keep the light off, softer the longer the shadow."""
    mask = np.zeros(image.shape[:2], np.uint8)
    bones = (
        ("pelvis", "neck", 0.13), ("neck", "skull", 0.11), ("left_hip", "left_knee", 0.085),
        ("right_hip", "right_knee", 0.085),
        ("left_knee", "left_ankle", 0.06), ("right_knee", "right_ankle", 0.06), ("left_heel", "left_toe", 0.055),
        ("right_heel", "right_toe", 0.055), ("left_shoulder", "left_elbow", 0.06),
        ("right_shoulder", "right_elbow", 0.06),
        ("left_elbow", "left_wrist", 0.05), ("right_elbow", "right_wrist", 0.05),
    )  # fmt: skip
    for actor in actors:
        names, points = list(actor.figure.points), np.stack(list(actor.figure.points.values()))
        tall = points[:, 1]
        fallen = np.stack(
            [points[:, 0] - 0.9 * light[0] * tall, np.zeros_like(tall), points[:, 2] - 0.55 * tall],
            -1,
        )
        spots = actor.camera.project(fallen)[:, :2]
        spots[:, 1] -= 0.09 * actor.camera.scale * tall
        flat = dict(zip(names, np.round(spots * 16).astype(int).tolist(), strict=True))
        for a, b, wide in bones:
            width = max(2, int(wide * actor.camera.scale))
            cv2.line(mask, flat[a], flat[b], 255, width, cv2.LINE_AA, 4)
    where = _extent(mask, 9)
    if where is None:
        return
    soft = cv2.GaussianBlur(mask[where], (0, 0), 2.6).astype(np.float32)[..., None]
    soft *= np.float32(depth / 255)
    dark = np.array([8.4, 9.1, 16.8], np.float32)
    image[where] = (image[where] * (1 - soft) + dark * soft).astype(np.uint8)


def _extent(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice] | None:
    """Rows and columns around everything in a mask that is not 0, or None."""
    x, y, w, h = cv2.boundingRect((mask > 0).astype(np.uint8))
    if not w:
        return None
    return slice(max(y - margin, 0), y + h + margin), slice(max(x - margin, 0), x + w + margin)


def _deepen(layer: Layer, scale: float) -> None:
    """Darken the body just behind a nearer limb, as contact shadows do."""
    where = _extent(layer.cover)
    if where is None:
        return
    solid = (layer.depth[where] > FAR / 2).astype(np.float32)
    depth = layer.depth[where] * solid
    blur = max(1.2, 0.016 * scale)
    mean = cv2.GaussianBlur(depth, (0, 0), blur) / (
        cv2.GaussianBlur(solid, (0, 0), blur) + np.float32(1e-3)
    )
    dark = np.clip((mean - depth) / np.float32(0.06 * scale), 0, 1) * solid
    layer.color[where] *= (1 - np.float32(0.42) * dark)[..., None]


def _paste(image: Image, layer: Layer) -> None:
    where = _extent(layer.cover)
    if where is not None:
        under = image[where] * (1 - layer.cover[where][..., None])
        image[where] = np.clip(layer.color[where] + under, 0, 255).astype(np.uint8)


def _occlude(rng: np.random.Generator, image: Image, hiding: Image, actors: list[_Actor]) -> None:
    """Put one or two things before the people."""
    pen = Pen(image, hiding)
    for _ in range(1 if rng.random() < 0.8 else 2):
        actor = actors[int(rng.integers(len(actors)))]
        scale = min(actor.camera.scale, 0.85 * image.shape[0])
        x = actor.camera.x + float(rng.uniform(-0.26, 0.26)) * scale
        ground = actor.camera.ground + float(rng.uniform(0.03, 0.12)) * scale
        THINGS[int(rng.integers(len(THINGS)))](
            pen, rng, x, ground, scale * float(rng.uniform(0.8, 1.05))
        )


def _truth(
    actors: list[_Actor], layers: list[Layer], hiding: NDArray[np.bool_]
) -> list[RenderedPerson]:
    people = []
    for index, (actor, layer) in enumerate(zip(actors, layers, strict=True)):
        silhouette = layer.silhouette > 0.5
        rows, columns = np.nonzero(silhouette.any(1))[0], np.nonzero(silhouette.any(0))[0]
        if not len(rows):
            continue
        before = hiding.copy()
        for nearer in layers[index + 1 :]:
            before |= nearer.cover > 0.5
        spots, reach = keypoints(actor.figure, actor.camera)
        people.append(
            RenderedPerson(
                xy_image=spots[:, :2].copy(),
                depth=spots[:, 2].copy(),
                visibility=_visibility(spots, reach, layer, before),
                box_xywh=(
                    float(columns[0]), float(rows[0]), float(columns[-1] - columns[0] + 1),
                    float(rows[-1] - rows[0] + 1),
                ),
                area=float(silhouette.sum()),
                silhouette=silhouette,
                yaw=actor.yaw,
            )
        )  # fmt: skip
    return people


def _visibility(
    spots: NDArray[np.float64], reach: NDArray[np.float64], layer: Layer, before: NDArray[np.bool_]
) -> NDArray[np.int8]:
    height, width = before.shape
    x, y = np.round(spots[:, 0]).astype(int), np.round(spots[:, 1]).astype(int)
    inside = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    row, column = np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)
    hidden = before[row, column] | (layer.depth[row, column] - spots[:, 2] > reach)
    hidden[:FACE] |= layer.material[row, column][:FACE] != SKIN
    return np.where(inside, np.where(hidden, OCCLUDED, VISIBLE), OUTSIDE).astype(np.int8)


def _lens(rng: np.random.Generator, image: Image, noise: float) -> Image:
    """What a camera adds: brightness, tint, blur and grain."""
    gain, warm, blur, grain = rng.normal(0, 1, 4)
    seed = int(rng.integers(2**31))
    if noise <= 0:
        return image
    light = 1 + 0.10 * noise * gain * np.array([1 + 0.3 * warm, 1, 1 - 0.3 * warm])
    table = np.clip(np.arange(256)[:, None] * light[None], 0, 255).astype(np.uint8)
    image = cv2.LUT(image, table[None].astype(np.uint8).transpose(1, 0, 2).reshape(256, 1, 3))
    sigma = noise * max(0.0, 0.22 + 0.36 * blur)
    if sigma > 0.3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    strength = noise * max(0.0, 1.8 + 1.8 * grain)
    if strength > 0.2:
        speckle = np.random.default_rng(seed).integers(
            -128, 128, (*image.shape[:2], 1), dtype=np.int16
        )
        image = np.clip(image + (speckle * (strength / 74)).astype(np.int16), 0, 255).astype(
            np.uint8
        )
    return image
