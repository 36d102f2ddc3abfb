"""Everything one worker needs, built from a run folder: data, students, optimizer and objective."""

import contextlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from posestudio.config import Config
from posestudio.errors import NotFound, TrainingError
from posestudio.models.pose_net import ModelSpec, PoseNet, build
from posestudio.models.weights import load_imagenet, load_student
from posestudio.store.snapshots import Snapshot
from posestudio.store.snapshots import read as read_snapshot
from posestudio.train import data, loop, objective, seen, thresholds
from posestudio.train.run_folder import RunFolder

BF16_PAYS = ("resnet", "mobilenet_v2", "mobilenet_v3_large")
"""Backbones that train faster in bf16 on a CPU with AVX-512 BF16: 8.1 to 3.9 s, 1.3 to 0.9 s, 1.2 to 1.0 s a PoseDual
step. Ours, one thread, channels last."""

ALL_HELD = (
    "All labeled people are in the held-out fold, as a photo or a video is as a whole, so nobody is held out and all "
    "of them teach. Labels on other photos or videos bring the held-out curve and the alarm for harm."
)

Progress = Callable[[str, int, int], None]
"""(what, done, in all): told while something takes long before the first step."""


@dataclass(frozen=True, slots=True)
class Session:
    """A run about to start or go on.

    voters: the networks whose votes make the pool. learned: (2, N, K) bool, labels of the snapshot's people that each
    student learned in the runs before this one. share: (rank, processes). notices: lines that say what the students
    start from.
    """

    config: Config
    snapshot: Snapshot
    source: data.Source
    learner: loop.Learner
    voters: Sequence[PoseNet]
    learned: np.ndarray
    method: objective.Method
    device: torch.device
    share: tuple[int, int]
    notices: list[str]


def default_device() -> torch.device:
    """The graphics card of this process if there is one, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    return torch.device("cpu")


def open_session(
    run: RunFolder, *, steps: int, share: tuple[int, int] = (0, 1), progress: Progress | None = None
) -> Session:
    """Read the run's snapshot, cut its crops and build its students.

    Args:
        run: with config.json and run.json.
        steps: length of the schedule.
        share: (rank, processes) of a distributed run.
        progress: told about the cutting of crops.

    Raises:
        TrainingError, NotFound, WeightsError: what the run needs is missing or does not fit.
    """
    config, record, device = run.config(), run.record(), default_device()
    snapshot = read_snapshot(run.project / "snapshots" / str(record["snapshot"]))

    def cutting(done: int, total: int) -> None:
        if progress is not None:
            progress("cutting crops", done, total)

    source = data.open_source(snapshot, run.project, config, cutting)
    fold = source.split.fold
    all_held = config.data.hold_fold and np.isin(fold, source.split.labeled).any()
    if all_held:  # and so none is, and these labels judge nothing
        config = replace(config, data=replace(config.data, hold_fold=False))
    if config.loss.unlabeled > 0 and not source.asks:
        raise TrainingError(
            f"Preset {config.preset} learns from unlabeled people and there are none: no keypoint is open. "
            "Import images, or use --preset supervised."
        )
    students, notices = start_students(run, config, snapshot, record)
    averages = [twin(student) for student in students] if config.train.ema > 0 else []
    for net in (*students, *averages):
        net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = loop.Learner(
        students,
        averages or students,
        rate=lambda step: loop.learning_rate(
            step, steps, peak=config.train.lr, schedule=config.train.schedule,
            warmup=min(config.train.warmup, steps // 2),
        ),
        weight_decay=config.train.weight_decay,
        clip=config.train.clip,
        decay=config.train.ema,
        grown=bool(record.get("from")),
    )  # fmt: skip
    method = objective.Method(config, snapshot.skeleton.flip_index, passes(config, device))
    learned = learned_before(run, record, snapshot)
    if config.pool.gate == "calibrated" and config.loss.unlabeled > 0:
        unseen = thresholds.unseen(snapshot.people, learned, config, begun=bool(record.get("from")))
        least = thresholds.calibrated(run, learner.averages, source, unseen, method)
        method = replace(method, threshold=least.to(device))
    notices += snapshot.skeleton.notices + ([ALL_HELD] if all_held else [])
    if learned[:, fold].any() and config.data.hold_fold:
        notices.append("Held-out labels that a run before this one learned judge nothing.")
    return Session(
        config, snapshot, source, learner, voters(run, config, record, learner), learned, method, device, share,
        notices,
    )  # fmt: skip


def voters(
    run: RunFolder, config: Config, record: dict, learner: loop.Learner
) -> Sequence[PoseNet]:
    """The networks whose votes make the pool, one for each student or more; one earlier student votes for two.

    Raises:
        TrainingError, NotFound: see `earlier_students`.
    """
    if config.views.voters == "start":
        device = next(learner.students[0].parameters()).device
        nets = [net.to(device) for net in earlier_students(run, record)]
        return nets + nets[-1:] * (config.views.students - len(nets))
    return learner.averages if config.views.voters == "averages" else learner.students


def learned_before(run: RunFolder, record: dict, snapshot: Snapshot) -> np.ndarray:
    """(2, N, K) bool: labels of a snapshot that each student learned before this run; none where that is not known."""
    before = record.get("from")
    found = seen.labels(run.project, str(before), snapshot.people) if before else None
    return np.zeros((2, *snapshot.people.state.shape), bool) if found is None else found


def earlier_students(run: RunFolder, record: dict) -> list[PoseNet]:
    """The students of the run that this one starts from, in evaluation mode.

    Raises:
        TrainingError: it starts from none. NotFound: that run has no students.
    """
    if not record.get("from"):
        raise TrainingError("views.voters=start needs a run to learn from: train --from RUN.")
    before = RunFolder(run.path.parent / str(record["from"]))
    files = list(before.students().values())
    if not files:
        raise NotFound(f"Run {before.path.name} has no students to start from.")
    nets = [load_student(file)[0].eval().requires_grad_(False) for file in files]
    return [net.to(memory_format=torch.channels_last) for net in nets]  # type: ignore[call-overload]


def start_students(
    run: RunFolder, config: Config, snapshot: Snapshot, record: dict
) -> tuple[list[PoseNet], list[str]]:
    """One or two students: those of another run, or new ones on ImageNet weights where there are any.

    Raises:
        NotFound: the other run has no students. TrainingError: they have other keypoints or another form.
    """
    spec = ModelSpec(
        backbone=config.model.backbone,
        head_channels=config.model.head_channels,
        num_keypoints=len(snapshot.skeleton.keypoints),
        height=config.data.height,
        width=config.data.width,
        padding=config.data.padding,
        spread=config.data.spread,
        freeze=config.model.freeze,
        feature_stride=config.model.feature_stride,
    )
    count = config.views.students
    if record.get("from"):
        before = RunFolder(run.path.parent / str(record["from"]))
        files = list(before.students().values())
        if not files:
            raise NotFound(f"Run {before.path.name} has no students to start from.")
        students = []
        for index in range(count):
            net, theirs, _ = load_student(files[min(index, len(files) - 1)])
            if theirs.num_keypoints != spec.num_keypoints or theirs.backbone != spec.backbone:
                raise TrainingError(
                    f"Run {before.path.name} has {theirs.num_keypoints} keypoints on {theirs.backbone}; this run "
                    f"has {spec.num_keypoints} on {spec.backbone}. Choose the same --size or train without --from."
                )
            students.append(_as_spec(net, spec))
        return students, [f"Both students start from run {before.path.name}."]
    weights = Path(record["weights"]) if record.get("weights") else None
    notices, students = [], []
    for index in range(count):
        net = build(spec, seed=2 * config.train.seed + index)
        notices.append(load_imagenet(net, weights, download=weights is None))
        students.append(net)
    return students, notices[:1]


def _as_spec(net: PoseNet, spec: ModelSpec) -> PoseNet:
    """The same weights in a network of this run's crop size and frozen stages."""
    fresh = build(spec, seed=0)
    try:
        fresh.load_state_dict(net.state_dict())
    except RuntimeError as error:
        raise TrainingError(
            f"The students to start from have another head than model.head_channels={spec.head_channels} asks for."
        ) from error
    return fresh


def twin(net: PoseNet) -> PoseNet:
    """A copy in evaluation mode that does not learn."""
    copy = build(net.spec, seed=0)
    copy.load_state_dict(net.state_dict())
    return copy.eval().requires_grad_(False)


def passes(config: Config, device: torch.device) -> Callable[[], contextlib.AbstractContextManager]:
    """The context of network passes: bf16 where it is asked for or known to pay, else nothing."""
    wanted = config.train.precision
    if wanted == "auto":
        native = torch.cpu.get_capabilities().get("avx512_bf16", False)
        pays = device.type == "cuda" or (native and config.model.backbone.startswith(BF16_PAYS))
        wanted = "bf16" if pays else "fp32"
    if wanted == "fp32":
        return contextlib.nullcontext
    return lambda: torch.autocast(device.type, dtype=torch.bfloat16)
