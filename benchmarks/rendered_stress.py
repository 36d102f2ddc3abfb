"""Stresses of the rendered benchmark: pure functions of (generator, scene, level), none of which changes the truth.

A level lies in 0..1 and is a share or a strength; 0 changes nothing. Each stress draws the same numbers at every level,
so what a low level spoils stays spoiled at a higher one. All laws and numbers are ours.
"""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from posestudio.core.skeleton import COCO17
from posestudio.studio.drawing.place import draw_place
from posestudio.studio.drawing.things import THINGS, Pen

FLIP = np.array(COCO17.flip_index)
NEAR, FAR = 0.2, 0.5
"""A displaced label lies this far from the truth at least and at most, in heights of the person's box."""
TRIES = 24
"""Directions in which a displaced label looks for a place inside the image."""


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A picture, the truth about its P people, and what a file would say of them.

    image: (H, W, 3) RGB uint8. xy_image: (P, 17, 2) exact keypoints, also of those outside the image; NaN for a box
    that holds nobody. visibility: (P, 17) COCO's 0 outside, 1 hidden, 2 seen. labels: (P, 17, 3) x, y and v as a file
    gives them, 0 where v is 0. box_xywh: (P, 4). area: (P,). figures: (H, W) bool, the pixels of people.
    """

    image: np.ndarray
    xy_image: np.ndarray
    visibility: np.ndarray
    labels: np.ndarray
    box_xywh: np.ndarray
    area: np.ndarray
    figures: np.ndarray


Stress = Callable[[np.random.Generator, Scene, float], Scene]


def label_noise(rng: np.random.Generator, scene: Scene, level: float) -> Scene:
    """Displace this share of the labeled keypoints by 0.2 to 0.5 heights of the box, to a place inside the image."""
    people, count = scene.labels.shape[:2]
    chance = rng.random((people, count))
    angle = rng.uniform(0, 2 * np.pi, (people, count, TRIES))
    reach = rng.uniform(NEAR, FAR, (people, count, TRIES)) * scene.box_xywh[:, 3, None, None]
    way = np.stack([np.cos(angle), np.sin(angle)], -1) * reach[..., None]
    spots = scene.labels[:, :, None, :2] + way
    high = np.array(scene.image.shape[1::-1]) - 1
    fits = ((spots >= 0) & (spots <= high)).all(-1)
    spot = np.take_along_axis(spots, fits.argmax(-1)[..., None, None], 2)[:, :, 0]
    moved = (chance < level) & (scene.labels[..., 2] > 0) & fits.any(-1)
    labels = scene.labels.copy()
    labels[..., :2] = np.where(moved[..., None], spot, labels[..., :2])
    return dataclasses.replace(scene, labels=labels)


def swap_noise(rng: np.random.Generator, scene: Scene, level: float) -> Scene:
    """Swap left and right in all labels of this share of the people."""
    swapped = rng.random(len(scene.labels)) < level
    labels = np.where(swapped[:, None, None], scene.labels[:, FLIP], scene.labels)
    return dataclasses.replace(scene, labels=labels)


def domain_shift(rng: np.random.Generator, scene: Scene, level: float) -> Scene:
    """Other pictures of the same people.

    An abstract background in this share of the scenes; colors, blur and grain of this strength in all.
    """
    chance, hue, rich, gamma, blur, grain = rng.random(6)
    height, width = scene.image.shape[:2]
    backdrop = _blotches(rng, height, width)
    speckle = rng.normal(0, 1, (height, width, 1))
    if level <= 0:
        return scene
    image = scene.image
    if chance < level:
        near = cv2.GaussianBlur(scene.figures.astype(np.float32), (0, 0), 0.7)[..., None]
        image = (image * near + backdrop * (1 - near)).astype(np.uint8)
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV).astype(np.float64)
    hsv[..., 0] = (hsv[..., 0] + level * (hue - 0.5) * 120) % 180
    hsv[..., 1] = np.clip(hsv[..., 1] * (1 + level * (1.5 * rich - 0.8)), 0, 255)
    hsv[..., 2] = 255 * (hsv[..., 2] / 255) ** np.exp(level * 1.2 * (gamma - 0.5))
    image = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2RGB)
    if level * blur > 0.1:
        image = cv2.GaussianBlur(image, (0, 0), 2.0 * level * blur)
    image = np.clip(image + speckle * (22 * level * grain), 0, 255).astype(np.uint8)
    return dataclasses.replace(scene, image=image)


def out_of_domain(rng: np.random.Generator, scene: Scene, level: float) -> Scene:
    """Nobody: in this share of the scenes the boxes hold scenery and things in place of people."""
    chance, horizon = rng.random(), rng.uniform(0.42, 0.60)
    height, width = scene.image.shape[:2]
    image = draw_place(rng, height, width, int(height * horizon))
    pen = Pen(image)
    for x, y, w, h in scene.box_xywh:
        for thing in rng.permutation(len(THINGS))[:3]:
            THINGS[int(thing)](pen, rng, x + w * rng.uniform(0.2, 0.8), y + h, h)
    if chance >= level:
        return scene
    return dataclasses.replace(
        scene,
        image=image,
        xy_image=np.full_like(scene.xy_image, np.nan),
        visibility=np.zeros_like(scene.visibility),
        labels=np.zeros_like(scene.labels),
        figures=np.zeros_like(scene.figures),
    )


def _blotches(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Soft patches of color at three sizes, (height, width, 3) in 0..255."""
    found = np.zeros((height, width, 3))
    for cells, weight in ((3, 0.5), (9, 0.3), (30, 0.2)):
        patch = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
        found += weight * cv2.resize(patch, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(1.5 * (found - 127.5) + 127.5, 0, 255)


PICTURES: dict[str, tuple[Stress, str]] = {
    "label_noise": (label_noise, "train"),
    "swap_noise": (swap_noise, "train"),
    "domain_shift": (domain_shift, "unlabeled"),
    "out_of_domain": (out_of_domain, "unlabeled"),
}
"""Stresses of finished scenes, in the order in which they apply, and the split that they spoil."""

KNOBS: dict[str, tuple[str, tuple[str, ...]]] = {
    "distractors": ("second_rate", ("train", "unlabeled", "dev", "test")),
    "occluders": ("occluder_rate", ("train", "unlabeled", "dev", "test")),
    "hoods": ("ambiguity", ("train", "unlabeled", "dev", "test")),
    "rare_train": ("rare_rate", ("train", "unlabeled")),
    "rare_test": ("rare_rate", ("dev", "test")),
}
"""Stresses of the renderer: the rate of `render_scene` that the level replaces, and the splits that it is for."""

STRESSES = (*PICTURES, *KNOBS)
