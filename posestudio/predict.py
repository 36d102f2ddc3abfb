"""Images and boxes in, keypoints and scores out: how crops are cut, and what two students say of them.

`Predictor` has two doors: `predict` takes an image and boxes, as a user has them; `heatmaps` takes crops, as code
does. `predict_people` serves a whole set of people and decodes each image once.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from torch import Tensor

from posestudio.core import color, geometry, heatmaps, skeleton
from posestudio.core.skeleton import Skeleton
from posestudio.errors import InputError, NotFound, PoseStudioError, WeightsError
from posestudio.models.pose_net import ModelSpec, PoseNet
from posestudio.models.weights import load_student
from posestudio.store.snapshots import People

STUDENT_FILES = {"a": "student_a.safetensors", "b": "student_b.safetensors"}
ENSEMBLE = "ensemble"
OUTSIDE = tuple(round(255 * mean) for mean in color.IMAGENET_MEAN)
"""What a crop shows beyond the image: the ImageNet mean, which is 0 to a network and to the warps of training."""
LARGEST = 1e6
"""No coordinate of a box in pixels is this large."""

Found = tuple[np.ndarray, np.ndarray]
"""xy_image (N, K, 2) in image pixels and score (N, K) in [0, 1], both float64."""


def load_image(path: Path) -> np.ndarray:
    """Decode an image file to (H, W, 3) uint8 RGB, as its pixels lie: a project's files are upright already.

    Raises:
        InputError: the file is absent or not an image.
    """
    try:
        data = np.frombuffer(path.read_bytes(), np.uint8)
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        image = cv2.imdecode(data, flags) if data.size else None
    except OSError as error:
        raise InputError(f"Cannot read image {path}: {error.strerror or error}.") from error
    except cv2.error as error:
        raise InputError(f"Cannot decode image {path}: {error.err or error}.") from error
    if image is None:
        raise InputError(f"Cannot decode {path}: it is not an image, or it is damaged.")
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def cut_crop(
    image: np.ndarray,
    box_xywh: np.ndarray | Sequence[float],
    size_hw: tuple[int, int],
    padding: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a person out of an image, the aspect kept, without aliasing.

    A box that shrinks to less than half is first averaged over whole blocks of pixels. What lies outside the image
    is filled with the ImageNet mean.

    Args:
        image: (H, W, 3) uint8.
        box_xywh: left, top, width and height in image pixels.
        size_hw: height and width of the crop.
        padding: how much larger than the box the crop is.

    Returns:
        crop: (h, w, 3) uint8.
        matrix: (2, 3) float64, image to crop, as in core/geometry.py.

    Raises:
        InputError: the box is not four finite numbers with a width and height above 0.
    """
    box = _checked_boxes(np.asarray(box_xywh, dtype=np.float64)[None])
    matrix = geometry.box_to_crop(torch.from_numpy(box), size_hw, padding)[0].numpy()
    corner, patch, block = _patch(image, matrix, size_hw)
    if patch.size == 0:
        return np.full((*size_hw, 3), OUTSIDE, np.uint8), matrix
    # A point of the patch, in blocks, is at block * point + corner + (block - 1) / 2 in the image.
    shift = np.array(corner) + (block - 1) / 2
    local = matrix.copy()
    local[:, 2] += matrix[:, :2] @ shift
    local[:, :2] *= block
    crop = cv2.warpAffine(
        patch, local, (size_hw[1], size_hw[0]),
        flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=OUTSIDE,
    )  # fmt: skip
    return crop, matrix


def _patch(
    image: np.ndarray, matrix: np.ndarray, size_hw: tuple[int, int]
) -> tuple[tuple[int, int], np.ndarray, int]:
    """The part of the image that a crop shows: its (x, y) corner, its pixels in blocks, and the block's side."""
    zoom = float(matrix[0, 0])
    block = max(1, int(1 / zoom)) if zoom < 0.5 else 1
    low = (-1.5 - matrix[:, 2]) / zoom - block
    high = (np.array([size_hw[1], size_hw[0]]) + 0.5 - matrix[:, 2]) / zoom + block
    limit = np.array([image.shape[1], image.shape[0]])
    x0, y0 = np.clip(np.floor(low), 0, limit).astype(int)
    x1, y1 = np.clip(np.ceil(high) + 1, 0, limit).astype(int)
    patch = image[y0:y1, x0:x1]
    if block > 1 and patch.size:
        down, right = -patch.shape[0] % block, -patch.shape[1] % block
        patch = cv2.copyMakeBorder(patch, 0, down, 0, right, cv2.BORDER_CONSTANT, value=OUTSIDE)
        size = (patch.shape[1] // block, patch.shape[0] // block)
        patch = cv2.resize(patch, size, interpolation=cv2.INTER_AREA)
    return (int(x0), int(y0)), patch, block


def to_tensor(crops: np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Crops (B, H, W, 3) uint8 as the (B, 3, H, W) normalized floats that a student takes, channels last."""
    images = torch.from_numpy(np.ascontiguousarray(crops)).to(device).permute(0, 3, 1, 2)
    return color.normalize(images.float() / 255)


@dataclass(frozen=True, slots=True)
class Predictor:
    """The students of one run, ready to predict.

    students: by name, "a" and mostly "b"; all of one spec, in evaluation mode on `device`. precision: of the network
    passes; bf16 is faster on a GPU and moves a keypoint by under a tenth of a crop pixel.
    """

    students: Mapping[str, PoseNet]
    skeleton: Skeleton
    device: torch.device
    precision: Literal["fp32", "bf16"] = "fp32"

    @classmethod
    def load(
        cls,
        run_folder: Path,
        *,
        device: torch.device | str | None = None,
        precision: Literal["fp32", "bf16"] = "fp32",
    ) -> "Predictor":
        """Read the students of a run; a run with one student has no b.

        Args:
            run_folder: holds student_a.safetensors and perhaps student_b.safetensors.
            device: where to run; a GPU when there is one and nothing is said.
            precision: of the network passes.

        Raises:
            NotFound: the run has no student yet.
            WeightsError: a student's file is damaged, or the two do not belong together.
        """
        place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        files = {name: run_folder / file for name, file in STUDENT_FILES.items()}
        if not files["a"].is_file():
            raise NotFound(
                f"{run_folder} has no student yet. Train the run to its first checkpoint."
            )
        nets, bodies = {}, []
        for name, file in files.items():
            if not file.is_file():
                continue
            net, _, extra = load_student(file)
            nets[name] = net.to(device=place, memory_format=torch.channels_last)  # type: ignore[call-overload]
            bodies.append(_skeleton(extra, net.spec, file))
        specs = {net.spec for net in nets.values()}
        if len(specs) > 1 or any(body != bodies[0] for body in bodies):
            raise WeightsError(f"The two students of {run_folder} were made for different things.")
        return cls(nets, bodies[0], place, precision)

    @property
    def spec(self) -> ModelSpec:
        """What the students are made of and what crops they take."""
        return next(iter(self.students.values())).spec

    def predict(
        self,
        image: np.ndarray,
        boxes_xywh: np.ndarray | Sequence[Sequence[float]],
        *,
        student: str = "ensemble",
        flip: bool = False,
    ) -> Found:
        """Find the keypoints of the people in an image.

        Args:
            image: (H, W, 3) uint8 RGB.
            boxes_xywh: (N, 4) left, top, width and height of each person in image pixels; N may be 0.
            student: one student, or the mean of their heatmaps.
            flip: also look at the mirrored crops and average; about twice the time.

        Returns:
            xy_image: (N, K, 2) float64 in image pixels.
            score: (N, K) float64, heatmap peaks in [0, 1].

        Raises:
            InputError: image or boxes are not of this form, or a box has no size.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise InputError(
                f"An image must be (H, W, 3) uint8 RGB, got {image.shape} {image.dtype}."
            )
        boxes = np.asarray(boxes_xywh, dtype=np.float64)
        if boxes.size == 0:
            count = len(self.skeleton.keypoints)
            return np.zeros((0, count, 2)), np.zeros((0, count))
        if boxes.ndim != 2 or boxes.shape[1] != 4:
            raise InputError(f"Boxes must be (N, 4) x, y, width, height, got {boxes.shape}.")
        _checked_boxes(boxes)
        cut = [cut_crop(image, box, self.spec.size_hw, self.spec.padding) for box in boxes]
        maps = self.heatmaps(self.tensor([crop for crop, _ in cut]), student, flip=flip)
        return self.read(maps, np.stack([matrix for _, matrix in cut]))

    def heatmaps(self, crops: Tensor, student: str = "ensemble", *, flip: bool = False) -> Tensor:
        """Heatmaps (B, K, H / 4, W / 4), float32, of normalized crops (B, 3, H, W).

        The ensemble is the mean of both students' maps. With `flip`, each student's map is the mean of the crop's
        and the un-flipped mirror's.
        """
        return self.all_heatmaps(crops, (student,), flip=flip)[student]

    @torch.no_grad()
    def all_heatmaps(
        self, crops: Tensor, students: Sequence[str], *, flip: bool = False
    ) -> dict[str, Tensor]:
        """The same for several at once; each network runs once.

        Raises:
            NotFound: the run has no such student.
        """
        strange = [name for name in students if name != ENSEMBLE and name not in self.students]
        if strange:
            there = ", ".join((*self.students, ENSEMBLE))
            raise NotFound(f"This run has no student {strange[0]!r}. It has {there}.")
        wanted = list(self.students) if ENSEMBLE in students else list(students)
        images = crops.to(self.device)
        if flip:
            images = torch.cat([images, geometry.flip_images(images)])
        images = images.contiguous(memory_format=torch.channels_last)
        maps: dict[str, Tensor] = {}
        for name in wanted:
            with torch.autocast(
                self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16"
            ):
                found = self.students[name](images).float()
            if flip:
                plain, mirrored = found.chunk(2)
                found = (plain + heatmaps.flip_maps(mirrored, self.skeleton.flip_index)) / 2
            maps[name] = found
        if ENSEMBLE in students:
            maps[ENSEMBLE] = torch.stack([maps[name] for name in wanted]).mean(0)
        return {name: maps[name] for name in students}

    def tensor(self, crops: Sequence[np.ndarray] | np.ndarray) -> Tensor:
        """Crops of `cut_crop` as one normalized batch on the predictor's device."""
        return to_tensor(np.stack(list(crops)), self.device)

    def read(self, maps: Tensor, matrices: np.ndarray) -> Found:
        """Keypoints in image pixels from heatmaps (B, K, h, w) and the (B, 2, 3) matrices of their crops."""
        xy_map, score = heatmaps.decode(maps, "dark", self.spec.spread)
        xy_crop = geometry.points_to_crop(xy_map.double().cpu(), PoseNet.stride)
        back = geometry.invert(torch.from_numpy(matrices))
        return geometry.apply(back, xy_crop).numpy(), score.double().cpu().numpy()


def predict_people(
    predictor: Predictor,
    people: People,
    project: Path,
    *,
    students: Sequence[str] = ("a", "b", "ensemble"),
    flip: bool = False,
    batch: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, Found]:
    """Predict every person of a set, each image decoded once and each network run once.

    Args:
        predictor: the run's students.
        people: whom to predict, N of them; their boxes are used as they are.
        project: the folder that their image paths start from.
        students: whose predictions to return; a name that the run lacks is left out when others are there.
        flip: also look at mirrored crops.
        batch: crops in one network pass.
        progress: called with people done and people in all.

    Returns:
        For each student asked: xy_image (N, K, 2) and score (N, K), in the order of `people`.

    Raises:
        InputError: an image cannot be read or a box has no size.
        NotFound: the run has none of the students asked.
    """
    there = tuple(name for name in students if name == ENSEMBLE or name in predictor.students)
    count = len(predictor.skeleton.keypoints)
    asked = there or tuple(students)
    found: dict[str, Found] = {
        name: (np.zeros((len(people), count, 2)), np.zeros((len(people), count))) for name in asked
    }
    done = 0
    for index, crops, matrices in _batches(people, project, predictor.spec, batch):
        maps = predictor.all_heatmaps(predictor.tensor(crops), asked, flip=flip)
        for name, (xy_image, score) in found.items():
            xy_image[index], score[index] = predictor.read(maps[name], matrices)
        done += len(index)
        if progress is not None:
            progress(done, len(people))
    return found


def _batches(
    people: People, project: Path, spec: ModelSpec, batch: int
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Indices, crops and matrices, `batch` people at a time; few images are in memory at once."""
    index: list[int] = []
    parts: list[tuple[np.ndarray, np.ndarray]] = []
    for indices, cut in _crops_by_image(people, project, spec):
        index += indices
        parts += cut
        while len(index) >= batch:
            yield _stacked(index[:batch], parts[:batch])
            index, parts = index[batch:], parts[batch:]
    if index:
        yield _stacked(index, parts)


def _stacked(
    index: list[int], parts: list[tuple[np.ndarray, np.ndarray]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.array(index), np.stack([p[0] for p in parts]), np.stack([p[1] for p in parts])


def _crops_by_image(
    people: People, project: Path, spec: ModelSpec, threads: int = 2
) -> Iterator[tuple[list[int], list[tuple[np.ndarray, np.ndarray]]]]:
    """Each image's people and their crops, decoded a few images ahead by a small thread pool."""
    by_image: dict[str, list[int]] = {}
    for index, path in enumerate(people.image_path):
        by_image.setdefault(str(path), []).append(index)

    def cut(path: str, indices: list[int]) -> list[tuple[np.ndarray, np.ndarray]]:
        image = load_image(project / path)
        boxes = people.box_xywh[indices]
        return [cut_crop(image, box, spec.size_hw, spec.padding) for box in boxes]

    ahead: deque[tuple[list[int], Future[list[tuple[np.ndarray, np.ndarray]]]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for path, indices in by_image.items():
            ahead.append((indices, pool.submit(cut, path, indices)))
            if len(ahead) >= 8 * threads:
                first, future = ahead.popleft()
                yield first, future.result()
        while ahead:
            first, future = ahead.popleft()
            yield first, future.result()


def _skeleton(extra: Mapping[str, object], spec: ModelSpec, file: Path) -> Skeleton:
    """The skeleton that a student's file carries."""
    record = extra.get("skeleton")
    try:
        body = skeleton.from_dict(record if isinstance(record, dict) else {}, f"skeleton in {file}")
    except PoseStudioError as error:
        raise WeightsError(f"{file} does not say what its keypoints are: {error}") from error
    if len(body.keypoints) != spec.num_keypoints:
        raise WeightsError(
            f"{file} names {len(body.keypoints)} keypoints but predicts {spec.num_keypoints}."
        )
    return body


def _checked_boxes(boxes: np.ndarray) -> np.ndarray:
    """Boxes (N, 4) of sane numbers and a positive size, or an error that names the first that is not."""
    good = (np.abs(boxes) < LARGEST).all(axis=1) & (boxes[:, 2:] > 0).all(axis=1)
    if not good.all():
        box = boxes[int(np.argmin(good))].tolist()
        raise InputError(
            f"A person's box must be x, y, width, height with a size above 0, got {box}."
        )
    return boxes
