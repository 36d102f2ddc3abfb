"""Strided depthwise convolutions stay in float32 under bf16 on a CPU, and are torchvision's in all else."""

import pytest
import torch
import torchvision

from posestudio.models.backbones import StridedDepthwise, build_backbone


@pytest.mark.parametrize(
    ("name", "count"), [("mobilenet_v2", 4), ("shufflenet_v2_x0_5", 6), ("resnet18", 0)]
)
def test_only_strided_depthwise_convolutions_are_changed(name: str, count: int):
    changed = [m for m in build_backbone(name).modules() if isinstance(m, StridedDepthwise)]
    assert len(changed) == count
    assert all(m.groups == m.in_channels > 1 and m.stride == (2, 2) for m in changed)


def test_under_bf16_they_compute_in_float32():
    layer = StridedDepthwise(4, 4, 3, stride=2, groups=4)
    images = torch.randn(1, 4, 8, 8)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert layer(images.bfloat16()).dtype == torch.float32
        under = layer(images)
    assert torch.equal(under, torch.nn.Conv2d.forward(layer, images))


def test_the_backbone_computes_what_torchvision_computes():
    ours = build_backbone("mobilenet_v2").eval()
    theirs = torchvision.models.mobilenet_v2(weights=None).eval()
    theirs.features.load_state_dict(ours.body.get_submodule("features").state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(ours(images), theirs.features(images))
