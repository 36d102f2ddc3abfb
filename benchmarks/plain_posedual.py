"""One PoseDual step written plainly, the yardstick of benchmarks/step.py.

A transcription of the published method as its code works: people one by one with OpenCV, keypoints one by one in
loops, fp32, contiguous tensors. Only the networks are shared with PoseStudio.

Source: Xie et al., ICCV 2021, as described in their code: easy view N(0, 30) degrees for 6 of 10 and scale N(1, 0.25),
hard view for 8 of 10 with the matrix in [-1, 1] coordinates, five joints cut from the other student's peaks, targets
truncated at three spreads, Adam at 1e-3 without weight decay.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor, nn

MEAN = np.array([0.485, 0.456, 0.406], dtype=np.float32)
STD = np.array([0.229, 0.224, 0.225], dtype=np.float32)
STRIDE = 4
SPREAD = 2.0


@dataclass(frozen=True)
class Person:
    """One person in the loader. image: HWC uint8, larger than the crop. xy: (K, 2) in it. placed: (K,) bool."""

    image: np.ndarray
    xy: np.ndarray
    placed: np.ndarray


@dataclass(frozen=True)
class Frame:
    """Crop size in pixels, pixels of the person's image for one of the crop, and the mirror's channel order."""

    height: int
    width: int
    zoom: float
    flip_index: Sequence[int]


def easy_crop(
    person: Person, frame: Frame, random: np.random.Generator
) -> tuple[Tensor, np.ndarray, np.ndarray]:
    """One easy view: the crop (3, H, W) normalized, its keypoints (K, 2) and which are placed (K,)."""
    degrees = np.clip(random.normal(0, 30), -60, 60) if random.random() < 0.6 else 0.0
    scale = np.clip(random.normal(1, 0.25), 0.75, 1.25)
    image, xy, placed = person.image, person.xy.copy(), person.placed
    if random.random() < 0.5:
        image = image[:, ::-1].copy()
        xy[:, 0] = image.shape[1] - 1 - xy[:, 0]
        xy, placed = xy[list(frame.flip_index)], placed[list(frame.flip_index)]
    middle = ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2)
    matrix = cv2.getRotationMatrix2D(middle, degrees, 1 / (scale * frame.zoom))
    matrix[:, 2] += (frame.width - 1) / 2 - middle[0], (frame.height - 1) / 2 - middle[1]
    crop = cv2.warpAffine(image, matrix, (frame.width, frame.height), flags=cv2.INTER_LINEAR)
    for joint in range(len(xy)):
        xy[joint] = matrix @ np.array([xy[joint][0], xy[joint][1], 1.0])
    normal = (crop.astype(np.float32) / 255 - MEAN) / STD
    return torch.from_numpy(normal.transpose(2, 0, 1).copy()), xy, placed


def target_maps(xy: np.ndarray, placed: np.ndarray, frame: Frame) -> tuple[Tensor, Tensor]:
    """Gaussian patches at whole cells (K, h, w) and the weight of each keypoint (K,)."""
    height, width = frame.height // STRIDE, frame.width // STRIDE
    maps = np.zeros((len(xy), height, width), dtype=np.float32)
    weight = placed.astype(np.float32)
    reach = int(3 * SPREAD)
    span = np.arange(2 * reach + 1).astype(np.float32)
    patch = np.exp(-((span - reach) ** 2 + (span[:, None] - reach) ** 2) / (2 * SPREAD**2))
    for joint in range(len(xy)):
        x, y = int(xy[joint][0] / STRIDE + 0.5), int(xy[joint][1] / STRIDE + 0.5)
        left, top, right, bottom = x - reach, y - reach, x + reach + 1, y + reach + 1
        if left >= width or top >= height or right < 0 or bottom < 0:
            weight[joint] = 0
            continue
        if weight[joint] > 0.5:
            from_x = max(0, -left), min(right, width) - left
            from_y = max(0, -top), min(bottom, height) - top
            maps[joint][max(0, top) : min(bottom, height), max(0, left) : min(right, width)] = (
                patch[from_y[0] : from_y[1], from_x[0] : from_x[1]]
            )
    return torch.from_numpy(maps), torch.from_numpy(weight)


def peaks(maps: np.ndarray) -> np.ndarray:
    """The highest cell of each map (K, h, w) in crop pixels, (K, 2)."""
    found = np.zeros((len(maps), 2), dtype=np.float32)
    for joint in range(len(maps)):
        y, x = np.unravel_index(int(maps[joint].argmax()), maps[joint].shape)
        found[joint] = x * STRIDE, y * STRIDE
    return found


def cut_joints(crop: np.ndarray, xy: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """The crop (3, H, W) with five boxes of 20 to 38 pixels at width 192 set to 0 at drawn joints."""
    crop = crop.copy()
    height, width = crop.shape[1:]
    unit = width / 192
    for joint in random.integers(0, len(xy), 5):
        x, y = xy[joint] + random.normal(0, 10 * unit, 2)
        half_x, half_y = random.integers(10, 20, 2) * unit
        left, right = int(np.clip(x - half_x, 0, width)), int(np.clip(x + half_x, 0, width))
        top, bottom = int(np.clip(y - half_y, 0, height)), int(np.clip(y + half_y, 0, height))
        crop[:, top:bottom, left:right] = 0
    return crop


def hard_matrix(random: np.random.Generator) -> np.ndarray:
    """Destination to source (2, 3) in [-1, 1] coordinates."""
    degrees = np.clip(random.normal(0, 30), -60, 60) if random.random() < 0.8 else 0.0
    scale = np.clip(random.normal(1, 0.25), 0.75, 1.25)
    return cv2.getRotationMatrix2D((0, 0), degrees, scale)


def move(planes: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Warp planes (C, H, W) one by one, what comes from outside being 0."""
    height, width = planes.shape[1:]
    to_unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    matrix = (np.linalg.inv(to_unit) @ np.vstack([theta, [0, 0, 1]]) @ to_unit)[:2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.stack(
        [cv2.warpAffine(plane, matrix, (width, height), flags=flags) for plane in planes]
    )


def joints_mse(output: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Half the mean squared error of one joint after the other, averaged."""
    people, joints = output.shape[:2]
    loss = output.new_zeros(())
    for joint in range(joints):
        got, wanted = output[:, joint].reshape(people, -1), target[:, joint].reshape(people, -1)
        share = weight[:, joint : joint + 1]
        loss = loss + 0.5 * ((got * share - wanted * share) ** 2).mean()
    return loss / joints


def step(
    nets: Sequence[nn.Module],
    optimizer: torch.optim.Optimizer,
    labeled: Sequence[Person],
    unlabeled: Sequence[Person],
    frame: Frame,
    random: np.random.Generator,
) -> float:
    """Load, augment, predict, compare, learn: one step of both networks; the loss."""
    crops, targets, weights = [], [], []
    for person in labeled:
        crop, xy, placed = easy_crop(person, frame, random)
        target, weight = target_maps(xy, placed, frame)
        crops.append(crop)
        targets.append(target)
        weights.append(weight)
    x_labeled, y, w = torch.stack(crops), torch.stack(targets), torch.stack(weights)
    x_easy = torch.stack([easy_crop(person, frame, random)[0] for person in unlabeled])
    loss = x_labeled.new_zeros(())
    for net in nets:
        loss = loss + 0.5 * joints_mse(net(x_labeled), y, w)
    with torch.no_grad():
        believed = [net(x_easy).numpy() for net in nets]
    thetas = [hard_matrix(random) for _ in unlabeled]
    everything = torch.ones(len(unlabeled), y.shape[1])
    for index, net in enumerate(nets):
        other = believed[1 - index]
        hard, wanted = [], []
        for place, theta in enumerate(thetas):
            cut = cut_joints(x_easy[place].numpy(), peaks(other[place]), random)
            hard.append(torch.from_numpy(move(cut, theta)))
            wanted.append(torch.from_numpy(move(other[place], theta)))
        loss = loss + joints_mse(net(torch.stack(hard)), torch.stack(wanted), everything)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    value = loss.item()
    if not math.isfinite(value):
        raise FloatingPointError(f"the plain step diverged: loss {value}")
    return value
