"""The loop: take a batch, step, say what happened. It knows nothing of files, threads, stopping or screens."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from posestudio.models.pose_net import PoseNet
from posestudio.train.objective import Batch

Objective = Callable[[Sequence[PoseNet], Batch, int], dict[str, Tensor]]
"""(students, batch, step) -> named scalars; "loss" is minimized."""


@dataclass(frozen=True, slots=True)
class Step:
    """One optimizer step is done. losses: detached scalars by name, still on the device."""

    step: int
    losses: dict[str, Tensor]


def fit(
    learner: "Learner", batches: Iterable[tuple[int, Batch]], objective: Objective
) -> Iterator[Step]:
    """Train on each batch in turn and yield what happened.

    Args:
        learner: students with their optimizer.
        batches: (step, batch), steps from 1.
        objective: what is minimized.
    """
    for step, batch in batches:
        losses = objective(learner.students, batch, step)
        losses["loss"].backward()
        learner.update(step)
        yield Step(step, {name: value.detach() for name, value in losses.items()})


def learning_rate(step: int, steps: int, *, peak: float, schedule: str, warmup: int) -> float:
    """Learning rate at a step (1 to steps): linear warm-up, then cosine to 0, tenths at 2/3 and 5/6, or constant.

    Source: the tenths are PoseDual's 1K recipe (epochs 20 and 25 of 30).
    """
    if step <= warmup:
        return peak * step / max(1, warmup)
    share = (step - warmup) / max(1, steps - warmup)
    if schedule == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))
    if schedule == "step":
        return peak * 0.1 ** ((step > steps * 2 / 3) + (step > steps * 5 / 6))
    return peak


class Learner:
    """Students, their weight averages and their optimizer.

    students: networks in training mode, "a" first. averages: their exponential moving averages, what is evaluated and
    saved; the students themselves when `decay` is 0. They follow the students quickly in the first steps, unless they
    are `grown`, averages of an earlier run.
    """

    def __init__(
        self,
        students: Sequence[PoseNet],
        averages: Sequence[PoseNet],
        *,
        rate: Callable[[int], float],
        weight_decay: float,
        clip: float,
        decay: float,
        grown: bool = False,
    ):
        self.students, self.averages = list(students), list(averages)
        self.rate, self.clip, self.decay, self.grown = rate, clip, decay, grown
        decayed, plain = [], []
        for student in self.students:
            student.train()
            for weights in student.parameters():
                if weights.requires_grad:
                    (decayed if weights.ndim > 1 else plain).append(weights)
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": plain, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate(1), fused=True)

    @torch.no_grad()
    def update(self, step: int) -> None:
        """One optimizer step with the gradients at hand, then the averages; gradients are cleared."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            self._share_gradients()
        if self.clip > 0:
            for student in self.students:
                torch.nn.utils.clip_grad_norm_(student.parameters(), self.clip)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.decay > 0:
            keep = self.decay if self.grown else min(self.decay, (1 + step) / (10 + step))
            for average, student in zip(self.averages, self.students, strict=True):
                _move_average(average, student, keep)

    def _share_gradients(self) -> None:
        """Average gradients over the processes of a distributed run."""
        shares = torch.distributed.get_world_size()
        for group in self.optimizer.param_groups:
            given = [weights.grad for weights in group["params"] if weights.grad is not None]
            flat = torch.cat([gradient.flatten() for gradient in given])
            torch.distributed.all_reduce(flat)
            parts = flat.div_(shares).split([gradient.numel() for gradient in given])
            for gradient, part in zip(given, parts, strict=True):
                gradient.copy_(part.view_as(gradient))


def _move_average(average: PoseNet, student: PoseNet, keep: float) -> None:
    mine: list[Tensor] = list(average.parameters())
    theirs: list[Tensor] = list(student.parameters())
    torch._foreach_lerp_(mine, theirs, 1 - keep)  # pyright: ignore[reportPrivateImportUsage]
    for held, new in zip(average.buffers(), student.buffers(), strict=True):
        if held.is_floating_point():
            held.lerp_(new, 1 - keep)
        else:
            held.copy_(new)
