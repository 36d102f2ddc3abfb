"""From a snapshot to batches.

Crops are cut once into a memory-mapped cache. Every step's draw depends only on the seed and the step, so a run
resumes exactly with nothing to restore.
"""

import contextlib
import hashlib
import math
import os
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from posestudio.config import Config
from posestudio.core import augment, color, geometry
from posestudio.core.skeleton import Skeleton
from posestudio.errors import TrainingError
from posestudio.predict import cut_crop, load_image
from posestudio.store.snapshots import People, Snapshot
from posestudio.train import seen
from posestudio.train.objective import OPEN, PLACED, Batch

CONTEXT = 1.4
"""The cached crop shows this much more than the network's crop on each axis, so that turned and shrunk crops find
pixels instead of black."""
DENSITY = 1.15
"""Cached pixels for each pixel of the network's crop, so that enlarged crops stay sharp."""
CACHES_KEPT = 3


@dataclass(frozen=True, slots=True)
class Split:
    """Who trains how.

    labeled, unlabeled, fold: indices into the snapshot's people. left_out: those of the labeled whose labels each
    student must not see, one array a student.
    """

    labeled: np.ndarray
    unlabeled: np.ndarray
    fold: np.ndarray
    left_out: tuple[np.ndarray, ...] = ()


def split_people(snapshot: Snapshot, config: Config) -> Split:
    """Divide a snapshot for training.

    labeled: train people with a placed keypoint. unlabeled: everyone in train or unlabeled with an open, taught
    keypoint (see `known_state`) or a placed one. Crowds and val take no part. With data.hold_fold, labeled people of
    the stored fold are kept out of both (see `seen.held`); with data.cross_fit, each student leaves out a share of the
    labeled people of its own.

    Raises:
        TrainingError: there is nobody with a label.
    """
    people = snapshot.people
    single = ~people.iscrowd
    state = known_state(people)
    placed = (state == PLACED).any(axis=1)
    open_ = ((state == OPEN) & snapshot.taught).any(axis=1)
    fold = single & placed & (people.split == "train") & people.fold
    held = seen.held(people, config.data.hold_fold)
    labeled = single & placed & (people.split == "train") & ~held
    unlabeled = single & (open_ | placed) & np.isin(people.split, ["train", "unlabeled"]) & ~held
    if not labeled.any():
        raise TrainingError(
            "There is nobody to learn from: no train person has a labeled keypoint. "
            "Label some people or import a COCO file with --split train."
        )
    known = np.flatnonzero(labeled)
    return Split(
        known, np.flatnonzero(unlabeled), np.flatnonzero(fold), leave_out(people, known, config)
    )


def known_state(people: People) -> np.ndarray:
    """(N, K) state of each keypoint as training may know it: labels of people who are not of train are open.

    They came with a file that was imported as unlabeled, to be held against what the students say.
    """
    hidden = (people.split != "train")[:, None] & (people.state == PLACED)
    return np.where(hidden, OPEN, people.state).astype(people.state.dtype)


def leave_out(people: People, labeled: np.ndarray, config: Config) -> tuple[np.ndarray, ...]:
    """For each student the people of `labeled` (indices) that it leaves out: whole groups, no group for two students.

    Which ones depends on train.seed and on the groups alone.
    """
    if config.data.cross_fit == 0:
        return ()
    groups = np.unique(people.group_id[labeled])
    order = np.random.default_rng([config.train.seed, 11]).permutation(groups)
    count = min(math.ceil(config.data.cross_fit * len(groups)), len(groups) // 2)
    return tuple(
        labeled[np.isin(people.group_id[labeled], order[k * count : (k + 1) * count])]
        for k in range(config.views.students)
    )


def cached_size(size_hw: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a cached crop, of exactly the aspect of the network's crop."""
    unit = math.gcd(*size_hw)
    larger = round(unit * CONTEXT * DENSITY)
    return size_hw[0] // unit * larger, size_hw[1] // unit * larger


def crop_cache(
    people: People,
    project: Path,
    size_hw: tuple[int, int],
    padding: float,
    progress: Callable[[int, int], None] | None = None,
) -> np.ndarray:
    """Crops of all people, uint8 (N, 3, Hc, Wc), memory-mapped from the project's cache.

    The file is named by what it holds (images, boxes, sizes), so any run on the same people uses it again; it is
    written under another name and renamed, so a torn one is never read.

    Args:
        people: whose crops.
        project: the project's folder, for images and cache.
        size_hw: the network's crop in pixels.
        padding: how much larger than the box the network's crop is.
        progress: called with people done and people in all.
    """
    height, width = cached_size(size_hw)
    key = hashlib.sha256(f"{size_hw} {padding} {CONTEXT} {DENSITY} v1".encode())
    key.update("\n".join(str(path) for path in people.image_path).encode())
    key.update(np.ascontiguousarray(people.box_xywh).tobytes())
    folder = project / "cache" / "crops"
    path = folder / f"{key.hexdigest()[:24]}.npy"
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _drop_old(folder)
        part = folder / f"{uuid.uuid4().hex}.part"
        try:
            shape = (len(people), 3, height, width)
            crops = np.lib.format.open_memmap(part, mode="w+", dtype=np.uint8, shape=shape)
            _fill(crops, people, project, padding * CONTEXT, progress)
            crops.flush()
            del crops
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)
    os.utime(path)
    return np.load(path, mmap_mode="r")


def _fill(
    crops: np.ndarray,
    people: People,
    project: Path,
    padding: float,
    progress: Callable[[int, int], None] | None,
) -> None:
    by_image: dict[str, list[int]] = {}
    for index, path in enumerate(people.image_path):
        by_image.setdefault(str(path), []).append(index)
    size_hw = crops.shape[-2:]

    def cut(item: tuple[str, list[int]]) -> int:
        path, indices = item
        image = load_image(project / path)
        for index in indices:
            crop, _ = cut_crop(image, people.box_xywh[index], size_hw, padding)
            crops[index] = crop.transpose(2, 0, 1)
        return len(indices)

    done = 0
    with ThreadPoolExecutor(2) as pool:
        for count in pool.map(cut, by_image.items()):
            done += count
            if progress is not None:
                progress(done, len(people))


def _drop_old(folder: Path) -> None:
    old = sorted(folder.glob("*.npy"), key=lambda path: path.stat().st_mtime)
    for path in old[: -(CACHES_KEPT - 1)]:
        with contextlib.suppress(OSError):
            path.unlink()


def drawn(seed: int, stream: int, size: int, batch: int, step: int) -> np.ndarray:
    """Which of `size` people make up the batch of a step: successive draws from one endless chain of permutations.

    Args:
        seed: of the run.
        stream: tells independent chains apart.
        size: people to draw from, 1 or more.
        batch: how many a step.
        step: from 1.

    Returns:
        (batch,) indices in 0..size - 1; each person comes once an epoch.
    """
    places = (step - 1) * batch + np.arange(batch)
    order = np.empty(batch, dtype=np.int64)
    for epoch in np.unique(places // size):
        permutation = np.random.default_rng([seed, stream, int(epoch)]).permutation(size)
        here = places // size == epoch
        order[here] = permutation[places[here] % size]
    return order


@dataclass(frozen=True, slots=True)
class Source:
    """Everything that a batch is drawn from.

    crops: (N, 3, Hc, Wc) uint8. xy_crop: (N, K, 2) keypoints in network-crop pixels, 0 where unknown. state: (N, K).
    height: (N,) of the boxes in network-crop pixels.
    to_crop: (2, 3), cached pixels to network-crop pixels.
    """

    crops: np.ndarray
    xy_crop: Tensor
    state: Tensor
    height: Tensor
    taught: Tensor
    to_crop: Tensor
    split: Split
    skeleton: Skeleton

    @property
    def asks(self) -> bool:
        """Whether a keypoint of the unlabeled people is open and taught: what pseudo-targets are for."""
        return bool(((self.state[self.split.unlabeled] == OPEN) & self.taught).any())


def open_source(
    snapshot: Snapshot,
    project: Path,
    config: Config,
    progress: Callable[[int, int], None] | None = None,
) -> Source:
    """Cut or find the crops of a snapshot and move its labels into them."""
    people, size_hw = snapshot.people, (config.data.height, config.data.width)
    crops = crop_cache(people, project, size_hw, config.data.padding, progress)
    matrix = geometry.box_to_crop(torch.from_numpy(people.box_xywh), size_hw, config.data.padding)
    xy_crop = geometry.apply(matrix, torch.from_numpy(np.nan_to_num(people.xy_image)))
    return Source(
        crops=crops,
        xy_crop=xy_crop.float(),
        state=torch.from_numpy(known_state(people).astype(np.int64)),
        height=(torch.from_numpy(people.box_xywh[:, 3]) * matrix[:, 1, 1]).float(),
        taught=torch.from_numpy(np.asarray(snapshot.taught)),
        to_crop=cached_to_crop(size_hw),
        split=split_people(snapshot, config),
        skeleton=snapshot.skeleton,
    )


def cached_to_crop(size_hw: tuple[int, int]) -> Tensor:
    """The matrix (2, 3) from cached pixels to network-crop pixels; both crops have the same centre."""
    height, width = size_hw
    cached_height, cached_width = cached_size(size_hw)
    zoom = height * CONTEXT / cached_height
    shift_x = (width - 1) / 2 - zoom * (cached_width - 1) / 2
    shift_y = (height - 1) / 2 - zoom * (cached_height - 1) / 2
    return torch.tensor([[zoom, 0.0, shift_x], [0.0, zoom, shift_y]], dtype=torch.float64)


def batches(
    source: Source,
    config: Config,
    *,
    first: int,
    last: int,
    device: torch.device,
    share: tuple[int, int] = (0, 1),
) -> Iterator[tuple[int, Batch]]:
    """(step, batch) for steps first to last, the next step's pixels being read while this one trains.

    share: (rank, processes) of a distributed run; each process takes its slice of every batch.
    """
    unlabeled = config.loss.unlabeled > 0 and len(source.split.unlabeled) > 0

    def read(step: int) -> tuple[np.ndarray, np.ndarray]:
        rank, processes = share
        picked = [
            source.split.labeled[_draw(source.split.labeled, config, 0, step)][rank::processes]
        ]
        if unlabeled:
            picked.append(
                source.split.unlabeled[_draw(source.split.unlabeled, config, 1, step)][
                    rank::processes
                ]
            )
        indices = np.concatenate(picked)
        return indices, source.crops[indices]

    def counted(step: int) -> int:
        return len(range(share[0], config.data.batch_labeled, share[1]))

    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(read, first) if first <= last else None
        for step in range(first, last + 1):
            indices, pixels = coming.result() if coming is not None else read(step)
            coming = pool.submit(read, step + 1) if step < last else None
            yield step, assemble(source, config, indices, pixels, step, counted(step), device)


def _draw(people: np.ndarray, config: Config, stream: int, step: int) -> np.ndarray:
    batch = config.data.batch_labeled if stream == 0 else config.data.batch_unlabeled
    return drawn(config.train.seed, stream, len(people), batch, step)


def step_generator(seed: int, step: int, stream: int) -> torch.Generator:
    """The source of every draw of one step; different for each stream."""
    mixed = int(np.random.SeedSequence([seed, step, stream]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed & 0x7FFF_FFFF_FFFF_FFFF)


def assemble(
    source: Source,
    config: Config,
    indices: np.ndarray,
    pixels: np.ndarray,
    step: int,
    labeled: int,
    device: torch.device,
) -> Batch:
    """Cut the easy crops of one batch: one warp from the cached pixels, labels moved along.

    Args:
        source: where people come from.
        config: settings.
        indices: (B,) people, the labeled ones first.
        pixels: (B, 3, Hc, Wc) uint8, their cached crops.
        step: seeds the draws.
        labeled: how many of them are the labeled batch.
        device: where the batch lives.
    """
    data, size_hw = config.data, (config.data.height, config.data.width)
    generator = step_generator(config.train.seed, step, 2)
    easy = augment.draw_affine(
        generator, len(indices), size_hw=size_hw, rotation=data.rotation, scale=data.scale,
        probability=0.6, geometry="rigid", flip=0.5 if source.skeleton.mirrors else 0.0,
    )  # fmt: skip
    matrix = geometry.compose(easy.matrix.double(), source.to_crop.expand(len(indices), 2, 3))
    images = torch.from_numpy(pixels).to(device).float().div_(255)
    crops = geometry.warp(color.normalize(images), matrix.float().to(device), size_hw)
    index = torch.from_numpy(indices)
    xy_crop = easy.points(source.xy_crop[index], source.skeleton.flip_index)
    swapped = source.state[index][:, list(source.skeleton.flip_index)]
    state = torch.where(easy.flipped[:, None], swapped, source.state[index])
    inside = geometry.inside(xy_crop, size_hw)
    weight = ((state == PLACED) & inside)[:labeled].float()
    first = crops[:labeled]
    if data.color > 0:
        first = color.jitter_color(first, data.color, generator)
    more = len(indices) > labeled
    hidden = source.split.left_out
    shown = (
        torch.from_numpy(np.stack([~np.isin(indices, mine) for mine in hidden])) if hidden else None
    )
    return Batch(
        labeled=first,
        labeled_xy=xy_crop[:labeled].to(device),
        labeled_weight=weight.to(device),
        unlabeled=crops[labeled:] if more else None,
        state=state[labeled:].to(device) if more else None,
        placed_xy=xy_crop[labeled:].to(device) if more else None,
        taught=source.taught.to(device),
        shown=None if shown is None else shown.to(device),
        index=index[labeled:] if more else None,
        easy=easy.part(slice(labeled, None)) if more else None,
        pixels=color.normalize(images[labeled:]) if more and config.views.compose else None,
        to_easy=matrix[labeled:] if more and config.views.compose else None,
    )
