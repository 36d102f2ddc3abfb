"""Students as ONNX: the same heatmaps and keypoints as torch, whatever the batch, from plain crops."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from posestudio.errors import InputError, WeightsError
from posestudio.models import portable, pose_net
from posestudio.predict import to_tensor

SPEC = pose_net.ModelSpec(
    backbone="shufflenet_v2_x0_5", head_channels=16, num_keypoints=5, height=64, width=32, padding=1.25, spread=2.0,
    feature_stride=16,
)  # fmt: skip


def student(seed: int) -> pose_net.PoseNet:
    """A student whose maps are no mere zeros."""
    net = pose_net.build(SPEC, seed)
    crops = torch.rand(4, 3, *SPEC.size_hw, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        net.final.weight /= net.eval()(2 * crops - 1).abs().max()
    return net


def nets() -> list[pose_net.PoseNet]:
    return [student(seed) for seed in (0, 1)]


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("onnx") / "model.onnx"
    students = nets()
    return out, students, portable.export_onnx(students, SPEC, out, {"run": "0001-calm-owl"})


def test_the_file_answers_as_torch_does_for_any_number_of_crops(exported):
    onnxruntime = pytest.importorskip("onnxruntime")
    out, students, told = exported
    assert 0 <= told.heatmaps < 1e-4 and told.keypoints < 0.05
    session = onnxruntime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    assert [one.name for one in session.get_inputs()] == ["crops"]
    assert [one.name for one in session.get_outputs()] == ["heatmaps", "keypoints"]
    for count in (1, 2, 7):
        pixels = np.random.default_rng(count).integers(0, 255, (count, 64, 32, 3), np.uint8)
        crops = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
        maps, keypoints = session.run(None, {"crops": crops})
        with torch.no_grad():  # as Predictor does it, with its own normalization
            ours = torch.stack([net(to_tensor(pixels)) for net in students]).mean(0).numpy()
        assert np.abs(ours).max() > 0.01
        assert maps.shape == (count, 5, 16, 8) and keypoints.shape == (count, 5, 3)
        np.testing.assert_allclose(maps, ours, atol=1e-4)
        np.testing.assert_allclose(keypoints[..., 2], ours.max((-1, -2)).clip(0, 1), atol=1e-4)
        row, column = np.unravel_index(ours.reshape(count, 5, -1).argmax(-1), (16, 8))
        assert np.abs(keypoints[..., 0] - (4 * (column + 0.5) - 0.5)).max() <= 4.01
        assert np.abs(keypoints[..., 1] - (4 * (row + 0.5) - 0.5)).max() <= 4.01


def test_it_says_where_it_comes_from(exported):
    onnx = pytest.importorskip("onnx")
    props = {one.key: one.value for one in onnx.load(exported[0]).metadata_props}
    assert json.loads(props["posestudio"]) == {"run": "0001-calm-owl"}
    assert [path.name for path in exported[0].parent.iterdir()] == ["model.onnx"]


def test_a_file_that_answers_otherwise_is_refused(exported):
    other = portable.Portable([student(7)], SPEC.spread).eval()
    with pytest.raises(WeightsError, match="differs from torch"):
        portable.check(other, exported[0], SPEC)


def test_missing_packages_are_one_line_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(portable.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install onnx onnxscript onnxruntime") as caught:
        portable.require_onnx()
    assert len(str(caught.value).splitlines()) == 1


def test_importing_the_command_line_loads_no_onnx():
    code = "import sys, posestudio.cli.main, posestudio.models.portable; sys.exit('onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
