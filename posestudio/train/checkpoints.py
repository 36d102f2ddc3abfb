"""The whole state of a run at a step, in one file: students, averages and optimizer.

Nothing else is needed to go on, for every draw depends on the seed and the step alone.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from posestudio.errors import WeightsError
from posestudio.models.pose_net import PoseNet
from posestudio.train.loop import Learner

FORMAT = "posestudio state 1"


def save(path: Path, learner: Learner, step: int) -> None:
    """Write the state so that a crash leaves either the old file or the new one.

    Raises:
        OSError: the disk does not take it.
    """
    tensors = {}
    for name, nets in (("student", learner.students), ("average", learner.averages)):
        for index, net in enumerate(nets):
            for key, value in net.state_dict().items():
                tensors[f"{name}.{index}.{key}"] = value.detach().cpu().clone().contiguous()
    for index, (_, held) in enumerate(_moments(learner)):
        for key, value in held.items():
            tensors[f"adam.{index}.{key}"] = value.detach().cpu().clone().contiguous()
    part = path.with_suffix(".part")
    metadata = {"format": FORMAT, "step": json.dumps(step)}
    try:
        safetensors.torch.save_file(tensors, part, metadata)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, learner: Learner) -> int:
    """Put the learner where `save` left it.

    Returns:
        The step after which it was saved.

    Raises:
        WeightsError: the file is damaged or of another model.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = safetensors.torch.load_file(path)
        if metadata.get("format") != FORMAT:
            raise WeightsError(f"{path} is not a training state of PoseStudio.")
        for name, nets in (("student", learner.students), ("average", learner.averages)):
            for index, net in enumerate(nets):
                _fill(net, tensors, f"{name}.{index}.")
        for index, (weights, held) in enumerate(_moments(learner, fresh=True)):
            for key in held:
                held[key].copy_(tensors[f"adam.{index}.{key}"])
            learner.optimizer.state[weights] = held
        return int(json.loads(metadata["step"]))
    except (safetensors.SafetensorError, KeyError, RuntimeError, ValueError) as error:
        raise WeightsError(
            f"Cannot resume from {path}: {str(error).splitlines()[0]}. Train again from the students with --from."
        ) from error


def _fill(net: PoseNet, tensors: Mapping[str, Tensor], prefix: str) -> None:
    own = {key[len(prefix) :]: value for key, value in tensors.items() if key.startswith(prefix)}
    net.load_state_dict(own)


def _moments(learner: Learner, fresh: bool = False) -> list[tuple[Tensor, dict[str, Tensor]]]:
    """Each trained tensor with its AdamW moments, in a fixed order; zeros with `fresh`, nothing before a step."""
    found = []
    for group in learner.optimizer.param_groups:
        for weights in group["params"]:
            held = learner.optimizer.state.get(weights, {})
            if fresh:
                held = {
                    "step": torch.zeros((), dtype=torch.float32, device=weights.device),
                    "exp_avg": torch.zeros_like(weights),
                    "exp_avg_sq": torch.zeros_like(weights),
                }
            found.append((weights, held))
    return found
