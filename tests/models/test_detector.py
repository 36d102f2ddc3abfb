"""The person detector without its weights: plain errors, and the whole path with random ones."""

import urllib.error

import numpy as np
import pytest
import torch
from torchvision.models import detection

from posestudio.errors import InputError, WeightsError
from posestudio.models import detector


def offline():
    raise urllib.error.URLError("Name or service not known")


def test_offline_is_said_plainly():
    with pytest.raises(InputError) as caught:
        detector.load(fetch=offline)
    message = str(caught.value)
    assert "Name or service not known" in message and "--boxes full" in message
    assert message.count("\n") <= 1


def test_local_weights_run_end_to_end(tmp_path):
    torch.set_num_threads(1)
    torch.manual_seed(0)
    net = detection.fasterrcnn_mobilenet_v3_large_320_fpn(weights=None, weights_backbone=None)
    with torch.no_grad():  # a network that calls everything a person
        net.get_parameter("roi_heads.box_predictor.cls_score.bias")[detector.PERSON] = 5.0
    torch.save(net.state_dict(), tmp_path / "d.pth")
    found = detector.load(tmp_path / "d.pth")
    image = np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    box_xywh, score = found.people(image, min_score=0.0)
    assert len(box_xywh) == len(score) > 0 and box_xywh.shape[1] == 4
    assert (box_xywh[:, 2:] > 0).all() and (box_xywh[:, :2] >= 0).all()
    assert (box_xywh[:, 0] + box_xywh[:, 2] <= 90.001).all()
    assert len(found.people(image, min_score=1.1)[0]) == 0


def test_a_file_that_is_no_detector(tmp_path):
    torch.save({"x": torch.zeros(2)}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="does not fit"):
        detector.load(tmp_path / "x.pth")
    (tmp_path / "t.pth").write_text("hello")
    with pytest.raises(WeightsError, match="Cannot read weights"):
        detector.load(tmp_path / "t.pth")
    with pytest.raises(WeightsError, match="does not exist"):
        detector.load(tmp_path / "none.pth")
