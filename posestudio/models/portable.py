"""Students as one network that takes plain crops: what leaves the project as ONNX, and how it is checked.

In: crops (N, 3, H, W), RGB from 0 to 1, float32; the normalization is part of the network, so nobody can get it wrong.
Out: heatmaps (N, K, H / 4, W / 4), and keypoints (N, K, 3): x and y in pixels of the crop, and the height of the peak.
"""

import importlib.util
import json
import logging
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from posestudio.core import color, geometry, heatmaps
from posestudio.errors import InputError, WeightsError
from posestudio.models.pose_net import ModelSpec, PoseNet

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of a heatmap's value between onnxruntime and torch. Ours; float32 gives about 1e-6."""
INPUT, OUTPUTS = "crops", ("heatmaps", "keypoints")


class Portable(nn.Module):
    """One student, or the mean of several students' heatmaps, from plain crops to keypoints."""

    mean: Tensor
    std: Tensor

    def __init__(self, nets: Sequence[PoseNet], spread: float) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)
        self.spread = spread
        for name, values in (("mean", color.IMAGENET_MEAN), ("std", color.IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def forward(self, crops: Tensor) -> tuple[Tensor, Tensor]:
        """Heatmaps (N, K, H / 4, W / 4) and keypoints (N, K, 3) of crops (N, 3, H, W) in [0, 1]."""
        images = (crops - self.mean) / self.std
        maps = torch.stack([net(images) for net in self.nets]).mean(dim=0)
        xy_map, score = heatmaps.decode(maps, "dark", self.spread)
        xy_crop = geometry.points_to_crop(xy_map, PoseNet.stride)
        return maps, torch.cat([xy_crop, score[..., None]], dim=-1)


@dataclass(frozen=True, slots=True)
class Checked:
    """How far onnxruntime's answers are from torch's at most: heatmap values, and pixels of the crop."""

    heatmaps: float
    keypoints: float


def require_onnx() -> None:
    """See that the packages for ONNX are installed.

    Raises:
        InputError: with the line that installs them.
    """
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise InputError(
            f"ONNX export needs {', '.join(missing)}. Install: pip install {' '.join(NEEDED)}"
        )


def export_onnx(
    nets: Sequence[PoseNet], spec: ModelSpec, out: Path, notes: Mapping[str, Any]
) -> Checked:
    """Write students as one ONNX file, and check it against torch with onnxruntime.

    Args:
        nets: one student, or those whose mean is wanted.
        spec: of all of them.
        out: the file; it appears only when the check has passed.
        notes: what a user must know, kept in the file's metadata as JSON under "posestudio".

    Raises:
        InputError: a package is missing. WeightsError: the file's answers differ from torch's.
    """
    require_onnx()
    import onnx  # lazy: only this needs it

    net = Portable([_still(one) for one in nets], spec.spread).eval()
    crops = torch.rand(2, 3, *spec.size_hw, generator=torch.Generator().manual_seed(0))
    part = out.with_name(f".{out.name}.part")
    try:
        with warnings.catch_warnings(), _quiet("torch.onnx", "onnxscript", "onnx_ir"):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                net, (crops,), part, input_names=[INPUT], output_names=list(OUTPUTS), opset_version=OPSET,
                dynamic_shapes=({0: torch.export.Dim("people", min=1)},), external_data=False, verbose=False,
                dynamo=True,
            )  # fmt: skip
        model = onnx.load(part)
        model.metadata_props.add(key="posestudio", value=json.dumps(notes))
        onnx.save(model, part)
        found = check(net, part, spec)
        os.replace(part, out)
    finally:
        part.unlink(missing_ok=True)
    return found


def check(net: Portable, file: Path, spec: ModelSpec) -> Checked:
    """Compare an ONNX file with the network that it was made of, on one and on three crops.

    Raises:
        WeightsError: they differ by more than TOLERANCE.
    """
    import onnxruntime  # lazy: only this needs it

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    worst = [0.0, 0.0]
    for count in (1, 3):
        crops = torch.rand(count, 3, *spec.size_hw, generator=torch.Generator().manual_seed(count))
        with torch.no_grad():
            ours = [value.numpy() for value in net(crops)]
        theirs = session.run(list(OUTPUTS), {INPUT: crops.numpy()})
        for place, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            worst[place] = max(worst[place], float(np.abs(one - np.asarray(other)).max()))
    if not worst[0] <= TOLERANCE:
        raise WeightsError(
            f"The ONNX file differs from torch by {worst[0]:.2g} in a heatmap, more than {TOLERANCE:g}. It was not "
            "kept."
        )
    return Checked(*worst)


def _still(net: PoseNet) -> PoseNet:
    """The same student on the CPU, in evaluation mode, in plain memory order."""
    return net.to(device="cpu", memory_format=torch.contiguous_format).eval().requires_grad_(False)  # type: ignore[call-overload]


class _quiet:
    """Loggers of the exporter at error level: what they say of their own inside helps nobody here."""

    def __init__(self, *names: str) -> None:
        self.loggers = [logging.getLogger(name) for name in names]

    def __enter__(self) -> None:
        self.levels = [logger.level for logger in self.loggers]
        for logger in self.loggers:
            logger.setLevel(logging.ERROR)

    def __exit__(self, *_: object) -> None:
        for logger, level in zip(self.loggers, self.levels, strict=True):
            logger.setLevel(level)
