"""torchvision networks without their classifiers: images in, features at stride 32 or 16 out.

A backbone keeps torchvision's own parameter names under `body`, so a weights file of torchvision fits as it is.
Its layers are grouped in five stages counted from the image, which is the unit that `freeze` counts.
"""

from dataclasses import dataclass

import torch
import torchvision
from torch import Tensor, nn

from posestudio.errors import ConfigError

STAGES = 5


@dataclass(frozen=True, slots=True)
class Row:
    """What to know of one backbone: its stages as dotted torchvision names, its last channels, its classifier."""

    stages: tuple[tuple[str, ...], ...]
    channels: int
    classifier: str
    options: tuple[tuple[str, float], ...] = ()


def _resnet(channels: int) -> Row:
    stages = (
        ("conv1", "bn1", "relu", "maxpool"),
        ("layer1",),
        ("layer2",),
        ("layer3",),
        ("layer4",),
    )
    return Row(stages, channels, "fc")


def _shufflenet(channels: int) -> Row:
    stages = (("conv1", "maxpool"), ("stage2",), ("stage3",), ("stage4",), ("conv5",))
    return Row(stages, channels, "fc")


def _features(ends: tuple[int, ...], channels: int, **options: float) -> Row:
    starts = (0, *ends[:-1])
    stages = tuple(
        tuple(f"features.{index}" for index in range(start, end))
        for start, end in zip(starts, ends, strict=True)
    )
    return Row(stages, channels, "classifier", tuple(options.items()))


ROWS: dict[str, Row] = {
    "resnet18": _resnet(512),
    "resnet50": _resnet(2048),
    "resnet101": _resnet(2048),
    "mobilenet_v2": _features((2, 4, 7, 14, 19), 1280),
    "mobilenet_v3_large": _features((2, 4, 7, 13, 17), 960),
    "mobilenet_v3_small": _features((1, 2, 4, 9, 13), 576),
    "shufflenet_v2_x0_5": _shufflenet(1024),
    "shufflenet_v2_x1_0": _shufflenet(1024),
    "convnext_tiny": _features((1, 2, 4, 6, 8), 768, stochastic_depth_prob=0.0),
}
"""Every backbone by torchvision's name. A student's randomness comes from its views alone, so no stochastic depth."""


class StridedDepthwise(nn.Conv2d):
    """A depthwise convolution with a stride, in the type of its weights on a CPU, whatever the passes around it are in.

    Its bf16 gradient takes seven times as long there, which alone makes bf16 slower than float32 for mobile backbones.
    Ours, measured with torch 2.15 on AVX-512 BF16.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        if input.device.type != "cpu":
            return super().forward(input)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.to(self.weight.dtype))


def _set_strided_depthwise(body: nn.Module) -> None:
    """Give every strided depthwise convolution the forward pass above; weights and names stay."""
    for module in body.modules():
        if type(module) is nn.Conv2d and module.groups == module.in_channels > 1:
            if module.stride != (1, 1):
                module.__class__ = StridedDepthwise


class TorchvisionBackbone(nn.Module):
    """A torchvision network up to its last features; `body` holds it under torchvision's names.

    With stride 16 the last convolutions that halve the map do not, so the features keep twice the detail for the same
    weights.
    """

    def __init__(self, name: str, stride: int = 32) -> None:
        super().__init__()
        row = ROWS[name]
        self.name = name
        self.channels = row.channels
        self.body = torchvision.models.get_model(name, weights=None, **dict(row.options))
        delattr(self.body, row.classifier)
        self._stage_names = row.stages
        if stride == 16:
            self._keep_detail()
        _set_strided_depthwise(self.body)

    def stage(self, index: int) -> list[nn.Module]:
        """The modules of one stage, 0 being the one at the image."""
        return [self.body.get_submodule(name) for name in self._stage_names[index]]

    def _keep_detail(self) -> None:
        """Take the stride from the convolutions of the last stage that has any."""
        for index in reversed(range(STAGES)):
            convolutions = [
                layer
                for module in self.stage(index)
                for layer in module.modules()
                if isinstance(layer, nn.Conv2d) and layer.stride != (1, 1)
            ]
            if convolutions:
                for layer in convolutions:
                    layer.stride = (1, 1)
                return

    def forward(self, images: Tensor) -> Tensor:
        """Compute the features of images.

        Args:
            images: (B, 3, H, W) normalized; H and W multiples of 32.

        Returns:
            (B, channels, H / 32, W / 32), or twice that each way with stride 16.
        """
        features = images
        for index in range(STAGES):
            for module in self.stage(index):
                features = module(features)
        return features


def build_backbone(name: str, stride: int = 32) -> TorchvisionBackbone:
    """Build a backbone with random weights drawn from torch's global generator.

    Raises:
        ConfigError: no backbone has this name, or it cannot give features at this stride.
    """
    if name not in ROWS:
        raise ConfigError(f"model.backbone {name!r} is unknown. Choose one of {', '.join(ROWS)}.")
    if stride not in strides(name):
        known = " or ".join(map(str, strides(name)))
        raise ConfigError(f"model.feature_stride of {name} must be {known}, got {stride}.")
    return TorchvisionBackbone(name, stride)


def strides(name: str) -> tuple[int, ...]:
    """The feature strides a backbone can give; ConvNeXt's halving convolutions have no padding to fall back on."""
    return (32,) if name.startswith("convnext") else (16, 32)
