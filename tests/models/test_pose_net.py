"""The network's shapes, seeds and frozen stages."""

import typing

import pytest
import torch
import torchvision
from torch import nn

from posestudio.config import Backbone
from posestudio.errors import ConfigError
from posestudio.models.backbones import ROWS, STAGES, build_backbone
from posestudio.models.pose_net import ModelSpec, PoseNet, build

torch.set_num_threads(1)
NAMES = typing.get_args(Backbone)


def spec(**changes: object) -> ModelSpec:
    values = {
        "backbone": "shufflenet_v2_x0_5", "head_channels": 8, "num_keypoints": 5, "height": 64,
        "width": 32, "padding": 1.25, "spread": 2.0,
    }  # fmt: skip
    return ModelSpec(**{**values, **changes})  # type: ignore[arg-type]


def test_every_backbone_of_the_settings_can_be_built_and_no_other() -> None:
    assert set(NAMES) == set(ROWS)
    with pytest.raises(ConfigError, match="resnet18"):
        build_backbone("resnet19")


@pytest.mark.parametrize("name", NAMES)
def test_heatmaps_have_a_quarter_of_the_crop(name: str) -> None:
    net = build(spec(backbone=name), 0).eval()
    with torch.inference_mode():
        for height, width in ((128, 96), (256, 192)):
            features = net.backbone(torch.zeros(1, 3, height, width))
            assert features.shape == (1, net.backbone.channels, height // 32, width // 32)
            maps = net(torch.zeros(2, 3, height, width))
            assert maps.shape == (2, 5, height // PoseNet.stride, width // PoseNet.stride)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "convnext_tiny"])
def test_stride_16_doubles_the_features_and_keeps_the_weights_and_the_heatmaps_size(
    name: str,
) -> None:
    fine, coarse = (build(spec(backbone=name, feature_stride=s), 0).eval() for s in (16, 32))
    crops = torch.zeros(1, 3, 128, 96)
    with torch.inference_mode():
        assert fine.backbone(crops).shape == (1, fine.backbone.channels, 8, 6)
        assert fine(crops).shape == coarse(crops).shape == (1, 5, 32, 24)
    shapes = [{k: v.shape for k, v in n.backbone.state_dict().items()} for n in (fine, coarse)]
    assert shapes[0] == shapes[1]


def test_a_stride_that_a_backbone_does_not_have_is_refused() -> None:
    with pytest.raises(ConfigError, match="feature_stride of convnext_tiny must be 32, got 16"):
        build(spec(backbone="convnext_tiny", feature_stride=16), 0)
    with pytest.raises(ConfigError, match="must be 16 or 32, got 8"):
        build(spec(feature_stride=8), 0)


def test_a_spec_without_a_feature_stride_is_of_stride_32() -> None:
    record = spec().to_dict()
    del record["feature_stride"]
    assert ModelSpec.from_dict(record).feature_stride == 32


@pytest.mark.parametrize("name", NAMES)
def test_stages_hold_every_parameter_of_the_backbone_once(name: str) -> None:
    backbone = build_backbone(name)
    held = [p for i in range(STAGES) for module in backbone.stage(i) for p in module.parameters()]
    assert len(held) == len({id(p) for p in held}) == len(list(backbone.parameters()))
    assert backbone.body.state_dict().keys() <= _torchvision_keys(name)


def _torchvision_keys(name: str) -> set[str]:
    with torch.device("meta"):
        return set(torchvision.models.get_model(name, weights=None).state_dict())


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny"])
def test_features_are_torchvisions_own(name: str) -> None:
    whole = torchvision.models.get_model(name, weights=None).eval()
    backbone = build_backbone(name).eval()
    backbone.body.load_state_dict(whole.state_dict(), strict=False)
    images = torch.rand(1, 3, 64, 64)
    seen = []
    whole.get_submodule("avgpool").register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    with torch.inference_mode():
        whole(images)
        assert torch.equal(backbone(images), seen[0])


def test_a_seed_gives_the_same_student_and_leaves_the_global_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, again, other = (build(spec(), seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    for key, value in first.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert not torch.equal(first.final.weight, other.final.weight)
    drawn = [next(net.deconv.parameters()) for net in (first, other)]
    assert not torch.equal(drawn[0], drawn[1])


def test_the_head_is_three_deconvolutions_drawn_from_a_narrow_normal() -> None:
    net = build(spec(head_channels=64), 0)
    kinds = [type(module) for module in net.deconv]
    assert kinds == [nn.ConvTranspose2d, nn.BatchNorm2d, nn.ReLU] * 3
    for module in net.deconv[::3]:
        assert isinstance(module, nn.ConvTranspose2d)
        assert module.bias is None and module.kernel_size == (4, 4) and module.stride == (2, 2)
        assert 0.0009 < float(module.weight.detach().std()) < 0.0011
    assert net.final.bias is not None and not net.final.bias.any()


@pytest.mark.parametrize("name", NAMES)
def test_frozen_stages_do_not_move_in_a_training_step(name: str) -> None:
    net = build(spec(backbone=name, freeze=2), 0).train()
    before = {key: value.clone() for key, value in net.state_dict().items()}
    learns = [p for p in net.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learns, lr=1.0)
    net(torch.randn(2, 3, 64, 64)).square().sum().backward()
    optimizer.step()
    frozen = {id(t) for m in net.frozen() for t in (*m.parameters(), *m.buffers())}
    live = dict(net.named_parameters()) | dict(net.named_buffers())
    moved = {key for key, value in live.items() if not torch.equal(value, before[key])}
    assert frozen and moved
    assert not {key for key in moved if id(live[key]) in frozen}
    assert any(id(value) not in frozen for key, value in live.items() if key.startswith("backbone"))


def test_the_image_is_turned_into_maps_the_right_way_up() -> None:
    """A bright spot moves the maps most near itself: no transposed axis, no mirror."""
    torch.manual_seed(0)
    net = build(spec(backbone="resnet18", height=128, width=64), 0).eval()
    dark, bright = torch.zeros(1, 3, 128, 64), torch.zeros(1, 3, 128, 64)
    bright[..., 96:112, 8:16] = 3.0
    with torch.inference_mode():
        change = (net(bright) - net(dark)).abs().sum(1)[0]
    rows = torch.arange(32.0)
    assert float((change.sum(1) * rows).sum() / change.sum()) > 16
    columns = torch.arange(16.0)
    assert float((change.sum(0) * columns).sum() / change.sum()) < 8


@pytest.mark.parametrize(
    "change",
    [
        {"backbone": "vgg"}, {"head_channels": 0}, {"num_keypoints": 0}, {"num_keypoints": 10**9},
        {"height": 100}, {"width": 0}, {"width": True}, {"padding": float("nan")}, {"spread": "2"},
        {"freeze": 6}, {"freeze": -1},
    ],
)  # fmt: skip
def test_a_spec_refuses_what_cannot_be_built(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        spec(**change)


def test_a_spec_survives_its_dictionary_and_names_strange_fields() -> None:
    one = spec(freeze=1)
    assert ModelSpec.from_dict(one.to_dict()) == one
    assert one.size_hw == (64, 32) and one.map_hw == (16, 8)
    with pytest.raises(ConfigError, match="dropout"):
        ModelSpec.from_dict({**one.to_dict(), "dropout": 0.1})
    with pytest.raises(ConfigError, match="height"):
        ModelSpec.from_dict({k: v for k, v in one.to_dict().items() if k != "height"})
