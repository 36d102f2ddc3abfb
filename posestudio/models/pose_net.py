"""One student: a backbone and the deconvolution head of SimpleBaseline. An image crop in, K heatmaps out."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from posestudio.core.skeleton import MAX_KEYPOINTS
from posestudio.errors import ConfigError
from posestudio.models.backbones import ROWS, STAGES, build_backbone


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to build a student again and to cut its crops.

    height, width: of the crop in pixels, multiples of 32. padding: how much larger than the person's box the crop
    is. spread: Gaussian width of the heatmaps it was taught, in cells. freeze: stages, counted from the image, that
    do not learn.

    Raises:
        ConfigError: a value is out of range or of the wrong type.
    """

    backbone: str
    head_channels: int
    num_keypoints: int
    height: int
    width: int
    padding: float
    spread: float
    freeze: int = 0
    feature_stride: int = 32

    def __post_init__(self) -> None:
        """Refuse what no network can be built from; a checkpoint's spec comes from outside."""
        if self.backbone not in ROWS:
            raise ConfigError(
                f"model.backbone {self.backbone!r} is unknown. Choose one of {', '.join(ROWS)}."
            )
        limits = {
            "head_channels": (1, 1024), "num_keypoints": (1, MAX_KEYPOINTS), "height": (32, 1024),
            "width": (32, 1024), "freeze": (0, STAGES),
        }  # fmt: skip
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if type(value) is not int or not low <= value <= high:
                raise ConfigError(f"{name} must be a whole number in {low}..{high}, got {value!r}")
        if self.height % 32 or self.width % 32:
            raise ConfigError(f"crop {self.height}x{self.width} is not a multiple of 32 each way")
        for name, low, high in (("padding", 1.0, 3.0), ("spread", 0.5, 8.0)):
            value = getattr(self, name)
            if type(value) not in (int, float) or not low <= value <= high:
                raise ConfigError(f"{name} must be a number in {low}..{high}, got {value!r}")

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crop in pixels."""
        return self.height, self.width

    @property
    def map_hw(self) -> tuple[int, int]:
        """Height and width of a heatmap in cells."""
        return self.height // PoseNet.stride, self.width // PoseNet.stride

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready form that `from_dict` reads."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "ModelSpec":
        """Read what `to_dict` wrote.

        Raises:
            ConfigError: a field is missing, unknown or out of range.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        missing, strange = fields - {"freeze", "feature_stride"} - set(record), set(record) - fields
        if missing or strange:
            odd = ", ".join(sorted(missing | strange))
            raise ConfigError(f"a model spec has missing or unknown fields: {odd}")
        return cls(**record)


class PoseNet(nn.Module):
    """Backbone, three deconvolutions (k4 s2, batch norm, ReLU), one 1x1 convolution; the output is linear.

    With features at stride 16 the first of the three is a 3x3 convolution, which keeps the size (ours).

    Source: Xiao et al. 2018, arXiv 1804.06208, as used by PoseDual (weights of the head drawn from N(0, 0.001)).
    """

    stride: ClassVar[int] = 4
    """Crop pixels per heatmap cell."""

    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.spec = spec
        self.backbone = build_backbone(spec.backbone, spec.feature_stride)
        layers: list[nn.Module] = []
        channels = self.backbone.channels
        for index in range(3):
            halved = index == 0 and spec.feature_stride == 16
            layers += [
                nn.Conv2d(channels, spec.head_channels, 3, padding=1, bias=False)
                if halved
                else nn.ConvTranspose2d(channels, spec.head_channels, 4, 2, 1, bias=False),
                nn.BatchNorm2d(spec.head_channels),
                nn.ReLU(inplace=True),
            ]
            channels = spec.head_channels
        self.deconv = nn.Sequential(*layers)
        self.final = nn.Conv2d(channels, spec.num_keypoints, 1)
        for module in (*self.deconv, self.final):
            if isinstance(module, (nn.ConvTranspose2d, nn.Conv2d)):
                nn.init.normal_(module.weight, std=0.001)
        nn.init.zeros_(self.final.bias)  # type: ignore[arg-type]
        for module in self.frozen():
            module.requires_grad_(False)

    def frozen(self) -> list[nn.Module]:
        """The modules of the first `spec.freeze` stages: no gradient, and batch norm as in evaluation."""
        return [
            module for index in range(self.spec.freeze) for module in self.backbone.stage(index)
        ]

    def train(self, mode: bool = True) -> "PoseNet":
        """Set training mode on everything but the frozen stages."""
        super().train(mode)
        for module in self.frozen():
            module.eval()
        return self

    def forward(self, crops: Tensor) -> Tensor:
        """Compute one heatmap for each keypoint.

        Args:
            crops: (B, 3, H, W) normalized images; H and W multiples of 32.

        Returns:
            (B, K, H / 4, W / 4), not clamped.
        """
        return self.final(self.deconv(self.backbone(crops)))


def build(spec: ModelSpec, seed: int) -> PoseNet:
    """Build a student whose random weights depend on the seed alone.

    Two students of one run differ by seed: in their heads, and in their backbones too when no ImageNet weights are
    loaded afterwards. torch's global generators are left as they were.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return PoseNet(spec)
