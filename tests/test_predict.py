"""From files to keypoints: the frames agree to a fraction of a pixel, and every door says the same."""

import dataclasses
import threading
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from posestudio import predict as module
from posestudio.core import color, heatmaps, skeleton
from posestudio.errors import InputError, NotFound, WeightsError
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.models.weights import save_student
from posestudio.predict import (
    OUTSIDE,
    Predictor,
    cut_crop,
    load_image,
    predict_people,
    to_tensor,
)
from posestudio.store.snapshots import People

BODY = skeleton.from_dict({"keypoints": ["nose", "left_hand", "right_hand"]})
SPEC = ModelSpec("shufflenet_v2_x0_5", 8, 3, 96, 64, 1.25, 2.0)


class Dots(nn.Module):
    """A stand-in for a trained student: channel k of the picture is the heatmap of keypoint k."""

    def __init__(self, swap: bool = False, gain: float = 1.0) -> None:
        super().__init__()
        self.spec, self.swap, self.gain = SPEC, swap, gain
        self.calls = 0

    def forward(self, crops: Tensor) -> Tensor:
        self.calls += 1
        maps = self.gain * F.avg_pool2d(color.denormalize(crops), 4)
        return maps[:, [0, 2, 1]] if self.swap else maps


def dots(a: Dots | None = None, b: Dots | None = None) -> Predictor:
    students = {"a": a or Dots(), "b": b or Dots()}
    return Predictor(students, BODY, torch.device("cpu"))  # type: ignore[arg-type]


def picture(xy: np.ndarray, size_hw: tuple[int, int], spread: float) -> np.ndarray:
    """An image whose channel k holds a Gaussian at xy[k]."""
    maps = heatmaps.encode(torch.as_tensor(xy)[None], size_hw, spread)[0]
    return (maps.numpy().transpose(1, 2, 0) * 255).round().astype(np.uint8)


def people(boxes: list[list[float]], paths: list[str]) -> People:
    count = len(boxes)
    whole = np.arange(1, count + 1)
    no, yes = np.zeros(count, bool), np.ones(count, bool)
    return People(
        instance_id=whole, image_id=whole, image_path=paths, width=whole, height=whole,
        box_xywh=np.array(boxes, float).reshape(-1, 4), box_revision=whole,
        xy_image=np.full((count, 3, 2), np.nan), visibility=np.zeros((count, 3), np.int8),
        state=np.zeros((count, 3), np.int8), split=np.array(["val"] * count), fold=no,
        area=np.ones(count), area_given=no, iscrowd=no, reviewed=yes, group_id=whole,
        source_id=whole, coco_image_id=whole, coco_id=whole, file_name=paths,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("box", "spread"),
    [
        ([40, 30, 51, 77], 8.0),
        ([100.3, 60.7, 120.0, 50.0], 12.0),
        ([-20, -30, 100, 140], 14.0),
        ([20, 10, 330, 300], 50.0),
        ([200, 150, 16, 24], 3.0),
    ],
)
@pytest.mark.parametrize("flip", [False, True])
def test_a_dot_is_found_where_it_was_painted(box: list[float], spread: float, flip: bool) -> None:
    """Image to crop to heatmap and back, for enlarged and shrunk boxes and those over the border."""
    x, y, w, h = box
    xy = np.array(
        [[x + 0.5 * w, y + 0.4 * h], [x + 0.6 * w, y + 0.5 * h], [x + 0.45 * w, y + 0.6 * h]]
    )
    image = picture(xy, (300, 400), spread)
    found, score = dots().predict(image, [box], flip=flip)
    pixel = 1.25 * max(w / 64, h / 96)
    expected = xy
    if flip:  # Dots is blind to left and right: un-flipping averages the two hands
        both = heatmaps.encode(torch.as_tensor(xy)[None, 1:], (300, 400), spread).mean(
            1, keepdim=True
        )
        expected = np.vstack([xy[:1], np.repeat(heatmaps.decode(both)[0][0].numpy(), 2, 0)])
    assert found.dtype == np.float64 and found.shape == (1, 3, 2) and score.shape == (1, 3)
    assert np.abs(found[0, 0] - expected[0]).max() < 0.25 * pixel
    if not flip:
        assert np.abs(found[0] - expected).max() < 0.25 * pixel
        assert (score > 0.6).all()


def test_flip_swaps_left_and_right_back() -> None:
    """A student that knows left from right in the mirrored crop too gives the same with flip."""

    class Aware(Dots):
        def forward(self, crops: Tensor) -> Tensor:
            maps = super().forward(crops)
            half = len(crops) // 2
            return torch.cat([maps[:half], maps[half:][:, [0, 2, 1]]])

    image = picture(np.array([[50.0, 40], [30, 60], [70, 65]]), (120, 100), 6.0)
    plain, _ = dots().predict(image, [[10, 10, 80, 100]])
    flipped, _ = dots(Aware(), Aware()).predict(image, [[10, 10, 80, 100]], flip=True)
    assert np.abs(plain - flipped).max() < 0.05


def test_the_ensemble_is_the_mean_of_the_maps_and_each_network_runs_once() -> None:
    a, b = Dots(), Dots(swap=True, gain=0.5)
    crops = torch.rand(2, 3, 96, 64)
    found = dots(a, b).all_heatmaps(crops, ("a", "b", "ensemble"))
    assert a.calls == b.calls == 1
    assert torch.allclose(found["ensemble"], (found["a"] + found["b"]) / 2)
    assert not torch.allclose(found["a"], found["b"])
    assert found["a"].shape == (2, 3, 24, 16)
    assert torch.equal(dots(a, b).heatmaps(crops, "b"), found["b"])
    assert a.calls == 1
    with pytest.raises(NotFound, match="no student 'c'"):
        dots().heatmaps(crops, "c")  # type: ignore[arg-type]


def test_a_shrunk_crop_is_averaged_not_sampled() -> None:
    """Fine black and white lines become gray; reading single pixels would leave stripes."""
    image = np.zeros((800, 800, 3), np.uint8)
    image[:, ::2] = 255
    crop, _ = cut_crop(image, [100, 100, 600, 600], (96, 64), 1.0)
    inner = crop[20:-20, 8:-8]
    assert abs(float(inner.mean()) - 127.5) < 3 and inner.std() < 15


def test_what_lies_outside_the_image_is_the_mean_color() -> None:
    image = np.full((50, 60, 3), 255, np.uint8)
    for box in ([-500, -500, 100, 100], [1000, 20, 30, 30], [10, 70, 30, 2000]):
        crop, matrix = cut_crop(image, box, (64, 64), 1.0)
        assert crop.shape == (64, 64, 3) and matrix.shape == (2, 3)
        assert (crop == np.array(OUTSIDE)).all()
    half, _ = cut_crop(image, [-30, 0, 60, 50], (64, 64), 1.0)
    assert (half[32, 2] == np.array(OUTSIDE)).all() and (half[32, 60] == 255).all()
    tensor = to_tensor(np.broadcast_to(np.array(OUTSIDE, np.uint8), (1, 32, 32, 3)))
    assert tensor.abs().max() < 0.01


@pytest.mark.parametrize(
    "box",
    [
        [0, 0, 0, 10],
        [0, 0, 10, -1],
        [float("nan"), 0, 5, 5],
        [0, 0, float("inf"), 5],
        [0, 0, 1e9, 5],
    ],
)
def test_boxes_without_a_size_are_refused(box: list[float]) -> None:
    with pytest.raises(InputError, match="box must be"):
        dots().predict(np.zeros((20, 20, 3), np.uint8), [box])


def test_images_and_boxes_of_another_form_are_refused() -> None:
    for image in (
        np.zeros((20, 20), np.uint8),
        np.zeros((20, 20, 4), np.uint8),
        np.zeros((20, 20, 3)),
    ):
        with pytest.raises(InputError, match="uint8 RGB"):
            dots().predict(image, [[0, 0, 5, 5]])
    with pytest.raises(InputError, match=r"\(N, 4\)"):
        dots().predict(np.zeros((20, 20, 3), np.uint8), [0, 0, 5, 5])  # type: ignore[list-item]
    xy, score = dots().predict(np.zeros((20, 20, 3), np.uint8), [])
    assert xy.shape == (0, 3, 2) and score.shape == (0, 3)


def test_files_are_read_as_rgb_without_turning(tmp_path: Path) -> None:
    image = np.zeros((10, 20, 3), np.uint8)
    image[..., 0] = 200
    cv2.imwrite(str(tmp_path / "red.png"), image[..., ::-1])
    (tmp_path / "red.png").rename(tmp_path / "0f00")
    assert np.array_equal(load_image(tmp_path / "0f00"), image)
    # A JPEG whose EXIF says "turn by 90 degrees": the project's files are upright, so it is not obeyed.
    data = cv2.imencode(".jpg", image)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    (tmp_path / "turn.jpg").write_bytes(
        data[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + data[2:]
    )
    assert load_image(tmp_path / "turn.jpg").shape == (10, 20, 3)


@pytest.mark.parametrize(
    "data", [None, b"", b"not an image", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_unreadable_files_are_one_clear_error(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "image"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError, match="image"):
        load_image(path)


def many(folder: Path, images: int = 5, each: int = 3) -> tuple[People, np.ndarray]:
    """People in files, in an order that jumps between images, and where their dots are."""
    rng = np.random.default_rng(0)
    boxes, paths, truth = [], [], []
    for index in range(images):
        centers = 40 + 80 * np.arange(each)[:, None] + rng.uniform(-4, 4, (each, 2)) * [1, 1]
        centers[:, 1] = 60
        image = np.zeros((120, 80 * each, 3), np.uint8)
        for x, y in centers:
            xy = np.array([[x, y - 20], [x - 8, y], [x + 8, y + 15]]) + rng.uniform(-3, 3, (3, 2))
            image = np.maximum(image, picture(xy, image.shape[:2], 4.0))
            boxes.append([x - 25, y - 45, 50, 90])
            paths.append(f"image{index}")
            truth.append(xy)
        cv2.imwrite(str(folder / "x.png"), image[..., ::-1])
        (folder / "x.png").rename(folder / f"image{index}")
    order = rng.permutation(len(boxes))
    one = people([boxes[i] for i in order], [paths[i] for i in order])
    return one, np.array(truth)[order]


@pytest.mark.parametrize("batch", [1, 4, 64])
def test_people_keep_their_order_and_images_are_decoded_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    group, truth = many(tmp_path)
    read: list[Path] = []
    lock = threading.Lock()

    def counted(path: Path) -> np.ndarray:
        with lock:
            read.append(path)
        return load_image(path)

    monkeypatch.setattr(module, "load_image", counted)
    told: list[tuple[int, int]] = []
    found = predict_people(
        dots(), group, tmp_path, batch=batch, progress=lambda done, of: told.append((done, of))
    )
    assert sorted(read) == sorted(tmp_path / f"image{i}" for i in range(5))
    assert list(found) == ["a", "b", "ensemble"]
    for xy_image, score in found.values():
        assert np.abs(xy_image - truth).max() < 0.5
        assert (score > 0.6).all()
    assert told[-1] == (15, 15) and told == sorted(told)
    single, _ = dots().predict(load_image(tmp_path / group.image_path[0]), group.box_xywh[:1])
    assert np.allclose(single[0], found["ensemble"][0][0])


def test_nobody_gives_empty_arrays_and_a_lost_file_is_named(tmp_path: Path) -> None:
    group, _ = many(tmp_path, images=3)
    found = predict_people(dots(), group.take(np.array([], int)), tmp_path)
    assert found["a"][0].shape == (0, 3, 2)
    (tmp_path / "image1").unlink()
    with pytest.raises(InputError, match="image1"):
        predict_people(dots(), group, tmp_path)
    lone = Predictor({"a": Dots()}, BODY, torch.device("cpu"))  # type: ignore[dict-item]
    kept = predict_people(
        lone, group.take(np.array([], int)), tmp_path, students=("a", "b", "ensemble")
    )
    assert list(kept) == ["a", "ensemble"]


def save(folder: Path, name: str, **changes: object) -> PoseNet:
    net = build(dataclasses.replace(SPEC, **changes), seed=ord(name))  # type: ignore[arg-type]
    save_student(
        folder / f"student_{name}.safetensors", net, {"skeleton": BODY.to_dict(), "step": 3}
    )
    return net.eval()


def test_a_run_folder_is_loaded_whole(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no student yet"):
        Predictor.load(tmp_path)
    a = save(tmp_path, "a")
    alone = Predictor.load(tmp_path, device="cpu")
    assert list(alone.students) == ["a"] and alone.skeleton == BODY and alone.spec == SPEC
    crops = torch.randn(2, 3, 96, 64)
    with torch.inference_mode():
        expected = a(crops)
    assert torch.allclose(alone.heatmaps(crops), expected, atol=1e-5)
    save(tmp_path, "b")
    both = Predictor.load(tmp_path, device="cpu", precision="bf16")
    exact = Predictor.load(tmp_path, device="cpu")
    assert list(both.students) == ["a", "b"]
    near, plain = both.heatmaps(crops, flip=True), exact.heatmaps(crops, flip=True)
    assert near.dtype == torch.float32 and not near.requires_grad
    assert torch.allclose(near, plain, atol=0.05 * float(plain.abs().max()) + 1e-6)


def test_students_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    save(tmp_path, "a")
    save(tmp_path, "b", width=32)
    with pytest.raises(WeightsError, match="different things"):
        Predictor.load(tmp_path, device="cpu")
    net = build(SPEC, 0)
    for extra, words in (
        ({}, "what its keypoints are"),
        ({"skeleton": {"keypoints": ["x"]}}, "names 1"),
    ):
        save_student(tmp_path / "student_b.safetensors", net, extra)
        with pytest.raises(WeightsError, match=words):
            Predictor.load(tmp_path, device="cpu")


def test_flip_equals_the_mean_over_the_crop_and_its_mirror(tmp_path: Path) -> None:
    save(tmp_path, "a")
    predictor = Predictor.load(tmp_path, device="cpu")
    crops = torch.randn(3, 3, 96, 64)
    mirrored = heatmaps.flip_maps(predictor.heatmaps(crops.flip(-1)), BODY.flip_index)
    by_hand = (predictor.heatmaps(crops) + mirrored) / 2
    assert torch.allclose(predictor.heatmaps(crops, flip=True), by_hand, atol=1e-6)


def test_real_photographs_go_through(tmp_path: Path, shared_data: Path) -> None:
    save(tmp_path, "a")
    path = sorted((shared_data / "coco_mini" / "images").glob("*.jpg"))[0]
    image = load_image(path)
    height, width = image.shape[:2]
    xy, score = Predictor.load(tmp_path, device="cpu").predict(image, [[0, 0, width, height]])
    assert np.isfinite(xy).all() and ((score >= 0) & (score <= 1)).all()
