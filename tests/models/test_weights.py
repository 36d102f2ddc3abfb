"""Weights in and out of files: what fits is loaded whole, what does not changes nothing."""

import json
import os
import urllib.error
from pathlib import Path

import pytest
import safetensors.torch
import torch
import torchvision

from posestudio.errors import WeightsError
from posestudio.models import weights as module
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.models.weights import load_imagenet, load_student, save_student

torch.set_num_threads(1)


def student(backbone: str = "shufflenet_v2_x0_5", seed: int = 0, freeze: int = 0) -> PoseNet:
    return build(ModelSpec(backbone, 8, 5, 64, 64, 1.25, 2.0, freeze), seed)


def same(one: PoseNet, other: PoseNet) -> bool:
    mine, theirs = one.state_dict(), other.state_dict()
    return mine.keys() == theirs.keys() and all(torch.equal(mine[k], theirs[k]) for k in mine)


def test_the_real_mobilenet_file_fits_and_both_students_start_equal(shared_weights: Path) -> None:
    path = shared_weights
    one, other = student("mobilenet_v2", 0), student("mobilenet_v2", 1)
    head = one.final.weight.clone()
    line = load_imagenet(one, path)
    load_imagenet(other, path)
    assert "mobilenet_v2" in line and path.name in line and "\n" not in line
    assert torch.equal(one.final.weight, head)
    given = torch.load(path, weights_only=True)
    mine = one.backbone.body.state_dict()
    assert all(torch.equal(mine[key], given[key]) for key in mine)
    assert all(
        torch.equal(a, b)
        for a, b in zip(one.backbone.parameters(), other.backbone.parameters(), strict=True)
    )
    assert not torch.equal(one.final.weight, other.final.weight)


@pytest.mark.parametrize("form", ["whole", "features", "bare", "wrapped", "safetensors"])
def test_every_common_form_of_a_torchvision_file_fits(tmp_path: Path, form: str) -> None:
    whole = torchvision.models.mobilenet_v3_small(weights=None).state_dict()
    features = {k: v for k, v in whole.items() if k.startswith("features.")}
    table = {
        "whole": whole,
        "features": features,
        "bare": {k.removeprefix("features."): v for k, v in features.items()},
        "wrapped": {
            "state_dict": {f"module.backbone.{k}": v for k, v in whole.items()},
            "epoch": 3,
        },
        "safetensors": whole,
    }[form]
    path = tmp_path / ("w.safetensors" if form == "safetensors" else "w.pth")
    if form == "safetensors":
        safetensors.torch.save_file(table, path)
    else:
        torch.save(table, path)
    net = student("mobilenet_v3_small")
    load_imagenet(net, path)
    assert all(torch.equal(v, whole[k]) for k, v in net.backbone.body.state_dict().items())


def test_weights_of_another_network_are_refused_and_change_nothing(tmp_path: Path) -> None:
    for name, wrong in (
        ("resnet18", "resnet50"),
        ("resnet50", "resnet101"),
        ("resnet18", "mobilenet_v2"),
    ):
        path = tmp_path / f"{wrong}.pth"
        torch.save(torchvision.models.get_model(wrong, weights=None).state_dict(), path)
        net, before = student(name), student(name)
        with pytest.raises(WeightsError, match=f"does not fit backbone {name}"):
            load_imagenet(net, path)
        assert same(net, before)


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    table = torchvision.models.shufflenet_v2_x0_5(weights=None).state_dict()
    table["conv1.0.weight"][0, 0, 0, 0] = float("nan")
    torch.save(table, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match="not finite"):
        load_imagenet(student(), tmp_path / "w.pth")


class Bomb:
    """Would make a folder if its pickle were run."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.path,)


def test_a_pickle_that_runs_code_is_refused_unrun(tmp_path: Path) -> None:
    torch.save({"state_dict": Bomb(str(tmp_path / "owned"))}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match="state dict"):
        load_imagenet(student(), tmp_path / "bomb.pth")
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
@pytest.mark.parametrize(
    "data",
    [b"", b"no", b"\x80\x02}q\x00.", b"PK\x03\x04" + b"\0" * 60, os.urandom(4000), b"\xff" * 64],
)
def test_damaged_files_are_one_clear_error(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(WeightsError):
        load_imagenet(student(), tmp_path / name)
    with pytest.raises(WeightsError):
        load_student(tmp_path / name)


def test_absent_files_are_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="does not exist"):
        load_imagenet(student(), tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="does not exist"):
        load_student(tmp_path)


def test_without_weights_the_notice_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    net, before = student(), student()
    assert "random" in load_imagenet(net, None) and "--weights" in load_imagenet(net, None)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(module.urllib.request, "urlopen", refuse)
    line = load_imagenet(net, None, download=True)
    assert "no route" in line and "random" in line
    assert same(net, before)


def test_a_student_survives_its_file(tmp_path: Path) -> None:
    net = student(seed=5, freeze=2).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    net.train()(torch.randn(2, 3, 64, 64))
    extra = {"step": 7, "skeleton": {"keypoints": ["é", "b"]}}
    before = torch.random.get_rng_state()
    save_student(tmp_path / "student_a.safetensors", net, extra)
    back, spec, read = load_student(tmp_path / "student_a.safetensors")
    assert torch.equal(torch.random.get_rng_state(), before)
    assert same(net, back) and spec == net.spec and read == extra
    assert not back.training
    assert [p.requires_grad for p in back.parameters()] == [
        p.requires_grad for p in net.parameters()
    ]
    crops = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(net.eval()(crops), back(crops), atol=1e-6)
    assert [path.name for path in tmp_path.iterdir()] == ["student_a.safetensors"]


def test_a_failed_save_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "s.safetensors"
    save_student(path, student(seed=1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(module.os, name, full)
            with pytest.raises(WeightsError, match="No space left"):
                save_student(path, student(seed=2))
    assert same(load_student(path)[0], student(seed=1))
    assert len(list(tmp_path.iterdir())) == 1


def test_students_with_a_false_description_are_refused(tmp_path: Path) -> None:
    net = student()
    good = {
        "format": module.FORMAT,
        "spec": json.dumps(net.spec.to_dict()),
        "extra": "{}",
    }
    tensors = {key: value.contiguous() for key, value in net.state_dict().items()}
    wide = json.dumps({**net.spec.to_dict(), "head_channels": 16})
    huge = json.dumps({**net.spec.to_dict(), "num_keypoints": 10**9})
    torn = {key: value for key, value in tensors.items() if key != "final.bias"}
    more = {**tensors, "stranger": torch.zeros(1)}
    sick = {**tensors, "final.bias": torch.full((5,), float("inf"))}
    path = tmp_path / "s.safetensors"
    cases = [
        (tensors, {**good, "format": "other"}, "not a student"),
        (tensors, {**good, "spec": wide}, "does not fit"),
        (tensors, {**good, "spec": huge}, "num_keypoints"),
        (tensors, {**good, "spec": "{"}, "Cannot read"),
        (tensors, {**good, "spec": "[]"}, "damaged"),
        (torn, good, "missing"),
        (more, good, "stranger"),
        (sick, good, "not finite"),
        (tensors, None, "not a student"),
    ]
    for table, metadata, words in cases:
        safetensors.torch.save_file(table, path, metadata)
        with pytest.raises(WeightsError, match=words):
            load_student(path)
    safetensors.torch.save_file(tensors, path, good)
    assert same(load_student(path)[0], net)
