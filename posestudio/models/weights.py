"""Weights in and out: ImageNet ones for a backbone, whole students as safetensors.

A foreign .pth is read with torch's `weights_only=True` and nothing else: a file that needs more is refused.
"""

import json
import os
import pickle
import struct
import urllib.error
import urllib.request
import uuid
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
import torchvision
from torch import Tensor

from posestudio.errors import ConfigError, WeightsError
from posestudio.models.pose_net import ModelSpec, PoseNet

FORMAT = "posestudio student 1"
CONNECT_SECONDS = 10.0
"""How long to wait for the weights server before going on without."""

_HEADS = (
    "classifier.", "fc.", "head.", "heads.", "deconv.", "deconv_layers.", "final.", "final_layer.",
)  # fmt: skip
"""Parameters of other networks' ends, which a backbone has no use for."""
_WRAPPERS = ("module.", "model.", "backbone.", "body.")
_UNREADABLE = (
    OSError, RuntimeError, EOFError, LookupError, AttributeError, TypeError, ValueError, ImportError,
    pickle.UnpicklingError, struct.error, zipfile.BadZipFile, safetensors.SafetensorError,
)  # fmt: skip
"""What torch and safetensors raise on bytes that are not a weights file."""


def load_imagenet(net: PoseNet, weights: Path | None, *, download: bool = False) -> str:
    """Give the backbone its starting weights: from a file, else torchvision's, else none.

    Args:
        net: the student to fill; its head is left alone.
        weights: a .pth of torchvision's parameter names (with or without the classifier, with or without the
            leading "features."), or a .safetensors, or None.
        download: whether torchvision may be asked when there is no file; a copy that it fetched before needs no
            network.

    Returns:
        One line for the user that says what the backbone starts from.

    Raises:
        WeightsError: the file cannot be read or does not fit this backbone. A failed download is not an error.
    """
    name = net.spec.backbone
    if weights is not None:
        fill_backbone(net, read_tensors(weights), str(weights))
        return f"Backbone {name} starts from the weights in {weights}."
    reason = "no weights file was given"
    if download:
        found, reason = _torchvision_weights(name)
        if found is not None:
            fill_backbone(net, found, reason)
            return f"Backbone {name} starts from ImageNet weights ({reason})."
    return (
        f"Backbone {name} starts from random numbers ({reason}): expect to need many more labels. "
        "Give ImageNet weights with --weights FILE."
    )


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a flat table of named tensors from a .safetensors or a .pth file, on the CPU.

    Raises:
        WeightsError: the file is absent, damaged, needs code to be run, or holds something else.
    """
    if not path.is_file():
        raise WeightsError(f"Weights file {path} does not exist.")
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise WeightsError(
            f"Cannot read weights from {path}: {_first_line(error)}. "
            "Give a .safetensors or a .pth that holds a plain state dict."
        ) from error
    for wrapper in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, Mapping) and isinstance(found.get(wrapper), Mapping):
            found = found[wrapper]
    tensors = {
        key: value for key, value in found.items() if isinstance(key, str) and isinstance(value, Tensor)
    } if isinstance(found, Mapping) else {}  # fmt: skip
    if not tensors:
        raise WeightsError(f"{path} holds no table of named tensors. Give a state dict.")
    return tensors


def fill_backbone(net: PoseNet, tensors: Mapping[str, Tensor], where: str) -> None:
    """Copy a torchvision state dict into the backbone; all of it fits or nothing is changed.

    Raises:
        WeightsError: parameters are missing, left over, of another shape or not finite.
    """
    body = net.backbone.body
    wanted = body.state_dict()
    given = {_plain(key): value for key, value in tensors.items()}
    if not any(key in given for key in wanted):
        given = {f"features.{key}": value for key, value in given.items()}
    needed = {key for key in wanted if not key.endswith("num_batches_tracked")}
    left = [key for key in given if key not in wanted and not _is_head(key)]
    fault = _misfit(wanted, given, needed)
    if fault is None and left:
        fault = f"{len(left)} tensors belong to another network, such as {left[0]}"
    if fault is not None:
        raise WeightsError(
            f"{where} does not fit backbone {net.spec.backbone}: {fault}. "
            "Give this backbone's ImageNet weights or choose another with --set model.backbone=NAME."
        )
    body.load_state_dict({key: given[key] for key in wanted if key in given}, strict=False)


def save_student(path: Path, net: PoseNet, extra: Mapping[str, Any] | None = None) -> None:
    """Write a student so that a crash leaves either the old file or the new one.

    Args:
        path: a .safetensors file; its folder exists.
        net: any device and memory format; batch norm statistics are kept.
        extra: JSON-able facts to keep beside the weights, such as the skeleton and the step.

    Raises:
        WeightsError: the disk does not take it.
    """
    tensors = {key: value.detach().cpu().contiguous() for key, value in net.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "spec": json.dumps(net.spec.to_dict()),
        "extra": json.dumps(dict(extra or {})),
    }
    try:
        _write_whole(path, safetensors.torch.save(tensors, metadata))
    except OSError as error:
        raise WeightsError(
            f"Cannot write the student to {path}: {error.strerror or error}."
        ) from error


def load_student(path: Path) -> tuple[PoseNet, ModelSpec, dict[str, Any]]:
    """Read what `save_student` wrote.

    Returns:
        The student in evaluation mode on the CPU, its spec, and the extra facts.

    Raises:
        WeightsError: the file is absent, damaged, of another program, or its weights do not fit its own spec.
    """
    if not path.is_file():
        raise WeightsError(f"Student file {path} does not exist.")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise WeightsError(
                f"{path} is not a student of PoseStudio. Give a run of this project."
            )
        record, extra = json.loads(metadata["spec"]), json.loads(metadata["extra"])
        if not isinstance(record, dict) or not isinstance(extra, dict):
            raise WeightsError(f"{path} is damaged: its header is not what PoseStudio writes.")
        spec = ModelSpec.from_dict(record)
        tensors = safetensors.torch.load_file(path)
    except ConfigError as error:
        raise WeightsError(f"{path} cannot be built: {error}") from error
    except _UNREADABLE as error:
        raise WeightsError(f"Cannot read the student {path}: {_first_line(error)}.") from error
    return _assemble(spec, tensors, path).eval(), spec, extra


def _assemble(spec: ModelSpec, tensors: Mapping[str, Tensor], path: Path) -> PoseNet:
    """Build a student of this spec around these tensors, without drawing random weights."""
    with torch.device("meta"):
        net = PoseNet(spec)
    wanted = net.state_dict()
    fault = _misfit(wanted, tensors, set(wanted))
    left = [key for key in tensors if key not in wanted]
    if fault is None and left:
        fault = f"{left[0]} belongs to another network"
    if fault is not None:
        raise WeightsError(f"{path} does not fit its own description: {fault}.")
    typed = {key: tensors[key].to(wanted[key].dtype) for key in wanted}
    net.load_state_dict(typed, assign=True)
    return net


def _torchvision_weights(name: str) -> tuple[Mapping[str, Tensor] | None, str]:
    """Find the weights of torchvision and their name, or None and why not."""
    entry = torchvision.models.get_model_weights(name).DEFAULT  # type: ignore[attr-defined]
    cached = Path(torch.hub.get_dir()) / "checkpoints" / Path(entry.url).name
    try:
        if not cached.is_file():
            request = urllib.request.Request(entry.url, method="HEAD")
            urllib.request.urlopen(request, timeout=CONNECT_SECONDS).close()
        return entry.get_state_dict(progress=False, check_hash=True), f"torchvision's {entry}"
    except (OSError, urllib.error.URLError, RuntimeError, pickle.UnpicklingError) as error:
        return None, f"torchvision's could not be fetched: {_first_line(error)}"


def _plain(key: str) -> str:
    """A parameter's name without the wrappers that other programs put before it."""
    stripped = True
    while stripped:
        stripped = False
        for wrapper in _WRAPPERS:
            if key.startswith(wrapper):
                key, stripped = key[len(wrapper) :], True
    return key


def _is_head(key: str) -> bool:
    return key.removeprefix("features.").startswith(_HEADS)


def _misfit(
    wanted: Mapping[str, Tensor], given: Mapping[str, Tensor], needed: set[str]
) -> str | None:
    """The first reason why given tensors cannot be copied over wanted ones, or None."""
    missing = [key for key in wanted if key in needed and key not in given]
    if missing:
        return f"{len(missing)} of {len(needed)} tensors are missing, such as {missing[0]}"
    for key, here in wanted.items():
        value = given.get(key)
        if value is None:
            continue
        if value.shape != here.shape:
            return f"{key} is {tuple(value.shape)} where {tuple(here.shape)} is needed"
        if value.is_complex() or (value.is_floating_point() and not value.isfinite().all()):
            return f"{key} holds numbers that are not finite"
    return None


def _write_whole(path: Path, data: bytes) -> None:
    """Put bytes at path by a temporary neighbor and one rename, synced to disk."""
    part = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__).rstrip(".")
