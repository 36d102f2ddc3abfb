"""Train the two students that the demo project ships with, from rendered people only, and write them to assets/demo.

python scripts/make_demo_students.py [--scenes 3000] [--steps 2400] [--out assets/demo]

Both start from random numbers (no photograph, no ImageNet weights); each sees two thirds of the same people, one third
of them common, in its own order. On one quiet CPU core this takes about half an hour. The same arguments give the same
students on the same machine and versions.
"""

import argparse
import json
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from posestudio.core import augment, geometry, heatmaps, losses, metrics  # noqa: E402
from posestudio.core.skeleton import COCO17  # noqa: E402
from posestudio.models.pose_net import ModelSpec, PoseNet, build  # noqa: E402
from posestudio.models.weights import save_student  # noqa: E402
from posestudio.predict import cut_crop, to_tensor  # noqa: E402
from posestudio.studio.render import render_scene  # noqa: E402

SPEC = ModelSpec(
    backbone="shufflenet_v2_x0_5", head_channels=32, num_keypoints=17, height=128, width=96, padding=1.25, spread=2.0,
    feature_stride=16,
)  # fmt: skip
BATCH, LR, EMA, WARMUP, REPORT = 32, 2e-3, 0.995, 60, 25
TRAIN_SEED, TEST_SEED = 2_310_00099, 77_000
LIMIT = 5_000_000
"""Most bytes of both students together."""


@dataclass(frozen=True, slots=True)
class Crops:
    """People cut out of rendered scenes: crops (N, H, W, 3) uint8, keypoints and sizes of their boxes in the crop."""

    images: np.ndarray
    xy_crop: np.ndarray
    visibility: np.ndarray
    length: np.ndarray


def render_crops(seed: int, scenes: int) -> Crops:
    """Render scenes and cut everyone out who shows at least eight keypoints."""
    rng = np.random.default_rng(seed)
    images, points, visibility, length = [], [], [], []
    for _ in range(scenes):
        image, people = render_scene(rng)
        for person in people:
            if (person.visibility > 0).sum() < 8:
                continue
            crop, matrix = cut_crop(image, person.box_xywh, SPEC.size_hw, SPEC.padding)
            images.append(crop)
            points.append(person.xy_image @ matrix[:, :2].T + matrix[:, 2])
            visibility.append(person.visibility)
            length.append(max(person.box_xywh[2:]) * matrix[0, 0])
    return Crops(np.stack(images), np.stack(points), np.stack(visibility), np.array(length))


def train(crops: Crops, seed: int, steps: int) -> tuple[PoseNet, list[tuple[int, float]]]:
    """Train one student on labels; return the average of its weights and its mean losses by step."""
    generator = torch.Generator().manual_seed(seed)
    net = build(SPEC, seed).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = build(SPEC, seed).train()
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.01)
    points, seen = torch.from_numpy(crops.xy_crop), torch.from_numpy(crops.visibility > 0)
    order: list[int] = []
    curve: list[tuple[int, float]] = []
    total = 0.0
    for step in range(1, steps + 1):
        if len(order) < BATCH:
            order += torch.randperm(len(crops.images), generator=generator).tolist()
        index, order = order[:BATCH], order[BATCH:]
        for group in optimizer.param_groups:
            group["lr"] = (
                LR * min(1.0, step / WARMUP) * 0.5 * (1 + math.cos(math.pi * step / steps))
            )
        loss = _loss(net, to_tensor(crops.images[index]), points[index], seen[index], generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        _follow(average, net, min(EMA, step / (step + 10)))
        total += float(loss.detach())
        if step % REPORT == 0:
            curve.append((step, round(total / REPORT, 6)))
            total = 0.0
            print(f"  step {step} of {steps}  loss {curve[-1][1]:.5f}", flush=True)
    return average.eval(), curve


def _loss(
    net: PoseNet, images: Tensor, xy_crop: Tensor, seen: Tensor, generator: torch.Generator
) -> Tensor:
    view = augment.draw_affine(
        generator,
        len(images),
        size_hw=SPEC.size_hw,
        rotation=30,
        scale=0.25,
        probability=0.6,
        flip=0.5,
    )
    images = augment.jitter_color(view.images(images), 0.25, generator)
    moved = view.points(xy_crop, COCO17.flip_index)
    weight = view.swap(seen, COCO17.flip_index) & geometry.inside(moved, SPEC.size_hw)
    images = augment.joint_cutout(images, moved, generator, count=1)
    target = heatmaps.encode(
        geometry.points_to_map(moved, PoseNet.stride), SPEC.map_hw, SPEC.spread
    )
    found = net(images.contiguous(memory_format=torch.channels_last))
    return losses.heatmap_mse(found, target.float(), weight.float())


@torch.no_grad()
def _follow(average: PoseNet, net: PoseNet, decay: float) -> None:
    for mean, value in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if mean.is_floating_point():
            mean.lerp_(value, 1 - decay)
        else:
            mean.copy_(value)


@torch.no_grad()
def find(net: PoseNet, crops: Crops) -> np.ndarray:
    """(N, 17, 2) keypoints in crop pixels."""
    maps = torch.cat(
        [net(to_tensor(part)) for part in np.array_split(crops.images, len(crops.images) // 32 + 1)]
    )
    xy_map, _ = heatmaps.decode(maps, "dark", SPEC.spread)
    return geometry.points_to_crop(xy_map.double(), PoseNet.stride).numpy()


def halve(net: PoseNet) -> PoseNet:
    """Store the weights of convolutions in 16 bits; batch norm keeps its 32."""
    for value in net.parameters():
        if value.ndim > 1:
            value.data = value.data.half()
    return net


def settings() -> dict[str, Any]:
    """The settings of a run with students of this form."""
    return {
        "model.backbone": SPEC.backbone, "model.head_channels": SPEC.head_channels,
        "model.feature_stride": SPEC.feature_stride, "data.height": SPEC.height, "data.width": SPEC.width,
        "data.padding": SPEC.padding, "data.spread": SPEC.spread,
        "data.batch_labeled": BATCH, "train.lr": LR, "train.ema": EMA, "train.warmup": WARMUP,
    }  # fmt: skip


def main() -> None:
    """Render, train both, score them on people neither saw, write them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=3000)
    parser.add_argument("--steps", type=int, default=2400, help="optimizer steps of each student")
    parser.add_argument("--out", type=Path, default=PROJECT / "assets" / "demo")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    started = time.monotonic()
    crops, test = render_crops(TRAIN_SEED, asked.scenes), render_crops(TEST_SEED, 250)
    print(
        f"{len(crops.images)} people to learn from, {len(test.images)} to score, {time.monotonic() - started:.0f} s"
    )
    asked.out.mkdir(parents=True, exist_ok=True)
    third, guesses, curves = len(crops.images) // 3, [], []
    facts: dict[str, Any] = {"settings": settings(), "batch": BATCH, "scenes": asked.scenes}
    for name, seed, kept in (("a", 1, slice(0, 2 * third)), ("b", 2, slice(third, 3 * third))):
        mine = Crops(*(getattr(crops, field)[kept] for field in Crops.__slots__))  # type: ignore[attr-defined]
        began = time.monotonic()
        net, curve = train(mine, seed, asked.steps)
        seconds = time.monotonic() - began
        curves.append(dict(curve))
        guesses.append(find(net, test))
        scores = {
            f"pck@{share}": round(
                metrics.pck(guesses[-1], test.xy_crop, test.visibility, test.length, share).overall,
                4,
            )
            for share in (0.1, 0.2)
        }
        save_student(
            asked.out / f"student_{name}.safetensors",
            halve(net),
            {"skeleton": COCO17.to_dict(), "step": asked.steps},
        )
        facts[name] = {
            "people": len(mine.images),
            "steps": asked.steps,
            "seconds": round(seconds, 1),
            **scores,
        }
        print(name, facts[name], flush=True)
    apart = np.linalg.norm(guesses[0] - guesses[1], axis=-1) > 0.1 * test.length[:, None]
    facts["disagree"] = round(float(apart.mean()), 4)
    facts["scored_people"] = len(test.images)
    finish(asked.out, facts, curves)
    print(f"{time.monotonic() - started:.0f} s")


def finish(out: Path, facts: dict[str, Any], curves: list[dict[int, float]]) -> None:
    """Write what is known of both students beside them, and refuse them when they are too large to ship."""
    facts["seconds"] = round(facts["a"]["seconds"] + facts["b"]["seconds"], 1)
    facts["images_per_second"] = round(
        BATCH * (facts["a"]["steps"] + facts["b"]["steps"]) / facts["seconds"], 1
    )
    facts["curve"] = [
        [step, round((loss + curves[1][step]) / 2, 6)]
        for step, loss in curves[0].items()
        if step in curves[1]
    ]
    (out / "students.json").write_text(json.dumps(facts, indent=1) + "\n", "utf-8")
    size = sum(file.stat().st_size for file in out.glob("*.safetensors"))
    print(f"{facts}\n{size / 1e6:.2f} MB in {out}")
    if size > LIMIT:
        raise SystemExit(f"The students take {size} bytes; they may take {LIMIT}.")


if __name__ == "__main__":
    main()
