"""The step benchmark compares like with like: both sides of a ratio pass the same crops through the students."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

PROJECT = Path(__file__).resolve().parents[1]
TINY = {
    "data.height": 64,
    "data.width": 32,
    "data.batch_labeled": 3,
    "data.batch_unlabeled": 2,
    "model.head_channels": 8,
}


@pytest.fixture(scope="module")
def step() -> ModuleType:
    """benchmarks/step.py as a module."""
    spec = importlib.util.spec_from_file_location("step", PROJECT / "benchmarks" / "step.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["step"] = module
    spec.loader.exec_module(module)
    return module


def crops_seen(nets: list[nn.Module], run: Any) -> list[Counter[bool]]:
    """For each network: crops passed without and with a gradient to come."""
    seen: list[list[bool]] = [[] for _ in nets]

    def watch(net: nn.Module, passes: list[bool]) -> Any:
        return net.register_forward_pre_hook(
            lambda _, args: passes.extend([torch.is_grad_enabled()] * len(args[0]))
        )

    handles = [watch(net, passes) for net, passes in zip(nets, seen, strict=True)]
    run()
    for handle in handles:
        handle.remove()
    return [Counter(passes) for passes in seen]


def test_the_bare_passes_are_those_of_a_paper_step(step: ModuleType):
    bench = step.make_bench("paper", "tiny", TINY, 2)
    nets = bench.learner.students
    full = crops_seen(nets, lambda: next(bench.steps))
    bare = crops_seen(nets, step.bare_passes(bench))
    assert full == bare == [Counter({False: 4 * 2, True: 3 + 2})] * 2


def test_the_plain_step_passes_the_crops_of_a_posedual_step(
    step: ModuleType, monkeypatch: pytest.MonkeyPatch
):
    bench = step.make_bench("posedual", "tiny", TINY, 2)
    full = crops_seen(bench.learner.students, lambda: next(bench.steps))
    nets = step.students_of(bench.config)
    monkeypatch.setattr(step, "students_of", lambda config: nets)
    plain = step.plain_step(bench.config, bench.source)
    assert crops_seen(nets, plain) == full == [Counter({False: 2, True: 3 + 2})] * 2
    before = [weight.clone() for weight in nets[0].parameters()]
    plain()
    assert any((a != b).any() for a, b in zip(before, nets[0].parameters(), strict=True))


def test_the_plain_loader_cuts_what_the_trainer_cuts(step: ModuleType):
    """With nothing drawn, the crop's middle and its keypoints are where the trainer has them."""
    bench = step.make_bench("posedual", "tiny", TINY, 2)
    source, plain = bench.source, step.plain_posedual

    class Nothing:
        def normal(self, mean: float, *_: float) -> float:
            return mean

        def random(self) -> float:
            return 0.99

    zoom = 1 / float(source.to_crop[0, 0])
    frame = plain.Frame(64, 32, zoom, tuple(range(17)))
    lit = np.zeros((*source.crops.shape[:1:-1][::-1], 3), dtype=np.uint8)
    lit[20:24, 10:14] = 255  # centred at (11.5, 21.5)
    xy = np.array([[11.5, 21.5]])
    crop, moved, _ = plain.easy_crop(plain.Person(lit, xy, np.array([True])), frame, Nothing())
    expected = source.to_crop.numpy() @ np.array([11.5, 21.5, 1.0])
    assert moved[0] == pytest.approx(expected, abs=1e-6)
    bright = crop[0] - crop[0].min()
    ys, xs = torch.meshgrid(torch.arange(64.0), torch.arange(32.0), indexing="ij")
    centre = [float((bright * axis).sum() / bright.sum()) for axis in (xs, ys)]
    assert centre == pytest.approx(list(expected), abs=0.1)


def test_faults_name_what_is_too_slow(step: ModuleType):
    case = {"case": "x", "overhead": 1.26, "against_plain": 0.5}
    report = {"cases": [case], "memory": {"growth": 1.5}}
    assert [fault.split()[0] for fault in step.faults(report)] == ["x:", "memory"]
    assert step.faults({"cases": [{**case, "overhead": 1.25}], "memory": {"growth": 1.0}}) == []
