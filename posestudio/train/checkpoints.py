"""The whole state of a run at a step, in one file: students, averages, optimizer, and what its watcher keeps.

Nothing else is needed to go on, for every draw depends on the seed and the step alone.
"""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from posestudio.errors import WeightsError
from posestudio.models.pose_net import PoseNet
from posestudio.train.loop import Learner

FORMAT = "posestudio state 1"


def save(
    path: Path,
    learner: Learner,
    step: int,
    *,
    best: Sequence[PoseNet] = (),
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Write the state so that a crash leaves either the old file or the new one.

    Args:
        path: the file.
        learner: students, averages and optimizer.
        step: after which it is.
        best: the best students so far, where the run keeps some.
        notes: anything else to remember, as JSON.

    Raises:
        OSError: the disk does not take it.
    """
    tensors = {}
    nets_by_name = {"student": learner.students, "average": learner.averages, "best": best}
    for name, nets in nets_by_name.items():
        for index, net in enumerate(nets):
            for key, value in net.state_dict().items():
                tensors[f"{name}.{index}.{key}"] = value.detach().cpu().clone().contiguous()
    for index, (_, held) in enumerate(_moments(learner)):
        for key, value in held.items():
            tensors[f"adam.{index}.{key}"] = value.detach().cpu().clone().contiguous()
    part = path.with_suffix(".part")
    metadata = {"format": FORMAT, "step": json.dumps(step), "notes": json.dumps(notes or {})}
    try:
        safetensors.torch.save_file(tensors, part, metadata)
        with open(part, "rb") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def load(path: Path, learner: Learner, best: Sequence[PoseNet] = ()) -> tuple[int, dict[str, Any]]:
    """Put the learner where `save` left it.

    Args:
        path: the file.
        learner: of the same form.
        best: networks to take the best students, where the file holds some.

    Returns:
        The step after which it was saved, and its notes.

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
        for index, net in enumerate(best):
            if any(key.startswith("best.") for key in tensors):
                _fill(net, tensors, f"best.{index}.")
        for index, (weights, held) in enumerate(_moments(learner, fresh=True)):
            for key in held:
                held[key].copy_(tensors[f"adam.{index}.{key}"])
            learner.optimizer.state[weights] = held
        return int(json.loads(metadata["step"])), json.loads(metadata.get("notes", "{}"))
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
