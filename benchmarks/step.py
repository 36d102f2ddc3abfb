"""How much a training step costs beside what it must cost, and whether memory stays flat.

    python benchmarks/step.py [--case resnet18] [--repeats 15] [--out FILE.json]

Three questions, each answered as a ratio of medians of interleaved repeats, so that a busy machine slows both sides:

- overhead: a full `paper` step (reading, easy views, no-grad views, pool, hard views, losses, gradients, optimizer,
  weight averages) over the bare forward and backward passes that it contains, at the same batch, dtype and memory
  format. Bound: 1.25.
- against plain: a full `posedual` step over the same step written plainly (benchmarks/plain_posedual.py). Bound: 0.5.
- memory: resident memory over 2,000 `paper` steps of size tiny, in a process of its own. Bound: 2 % growth after
  step 200.

Pixels are noise and students start from random weights; neither changes what a step costs.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

PROJECT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "benchmarks")]

import plain_posedual  # noqa: E402

from posestudio import config as settings  # noqa: E402
from posestudio.core.skeleton import COCO17  # noqa: E402
from posestudio.models.pose_net import ModelSpec, PoseNet, build  # noqa: E402
from posestudio.train import data, loop, objective, session, worker  # noqa: E402

CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "resnet18": ("full", {"data.batch_labeled": 8, "data.batch_unlabeled": 8}),
    "mobilenet_v2": ("small", {"data.batch_labeled": 16, "data.batch_unlabeled": 16}),
}
"""ResNet-18 at 256x192 with 8 + 8 people a step; MobileNetV2 at 128x96 with 16 + 16."""

BOUNDS = {"overhead": 1.25, "against_plain": 0.5, "memory": 1.02}
PEOPLE, WARM_UP = 96, 2
MEMORY_FROM, MEMORY_EVERY = 200, 100


class Bench(NamedTuple):
    """One preset ready to step."""

    config: settings.Config
    source: data.Source
    learner: loop.Learner
    method: objective.Method
    steps: Iterator[Any]


def make_source(config: settings.Config) -> data.Source:
    """People of noise: half labeled, half not, cached crops as the trainer keeps them."""
    random = np.random.default_rng(0)
    size_hw = (config.data.height, config.data.width)
    keypoints = len(COCO17.keypoints)
    crops = random.integers(0, 256, (PEOPLE, 3, *data.cached_size(size_hw)), dtype=np.uint8)
    xy_crop = random.uniform(0.15, 0.85, (PEOPLE, keypoints, 2)) * size_hw[::-1]
    state = torch.full((PEOPLE, keypoints), objective.OPEN)
    state[: PEOPLE // 2] = objective.PLACED
    order = np.arange(PEOPLE)
    return data.Source(
        crops=crops,
        xy_crop=torch.from_numpy(xy_crop).float(),
        state=state,
        height=torch.full((PEOPLE,), size_hw[0] / config.data.padding),
        taught=torch.ones(keypoints, dtype=torch.bool),
        to_crop=data.cached_to_crop(size_hw),
        split=data.Split(order[: PEOPLE // 2], order[PEOPLE // 2 :], order[:0]),
        skeleton=COCO17,
    )


def students_of(config: settings.Config) -> list[PoseNet]:
    """New students with random weights."""
    spec = ModelSpec(
        backbone=config.model.backbone,
        head_channels=config.model.head_channels,
        num_keypoints=len(COCO17.keypoints),
        height=config.data.height,
        width=config.data.width,
        padding=config.data.padding,
        spread=config.data.spread,
    )
    return [build(spec, seed) for seed in range(config.views.students)]


def make_bench(preset: str, size: str, changes: dict[str, Any], steps: int) -> Bench:
    """A preset with the trainer's own data, objective, optimizer, averages, dtype and memory format."""
    config, device = settings.make(preset, size, changes), torch.device("cpu")
    source, students = make_source(config), students_of(config)
    averages = [session.twin(student) for student in students]
    for net in (*students, *averages):
        net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    learner = loop.Learner(
        students,
        averages,
        rate=lambda step: 1e-4,
        weight_decay=config.train.weight_decay,
        clip=config.train.clip,
        decay=config.train.ema,
    )
    method = objective.Method(config, COCO17.flip_index, session.passes(config, device))
    nothing = np.zeros((2, len(source.state), len(source.taught)), bool)
    run = session.Session(
        config, None, source, learner, students, nothing, method, device, (0, 1), []  # type: ignore[arg-type]
    )  # fmt: skip
    batches = data.batches(source, config, first=1, last=steps, device=device)
    return Bench(
        config, source, learner, method, loop.fit(learner, batches, worker.make_objective(run))
    )


def bare_passes(bench: Bench) -> Callable[[], None]:
    """The network passes of one `paper` step and nothing else: no data, views, pool, loss or optimizer."""
    chosen, students = bench.config, bench.learner.students

    def crops(count: int) -> torch.Tensor:
        made = torch.randn(count, 3, chosen.data.height, chosen.data.width)
        return made.contiguous(memory_format=torch.channels_last)

    labeled = crops(chosen.data.batch_labeled)
    views = crops(chosen.data.batch_unlabeled * chosen.views.count)
    hard = crops(chosen.data.batch_unlabeled)

    def run() -> None:
        outputs = []
        for student in students:
            with torch.no_grad(), bench.method.passes():
                student(views)
            for batch in (labeled, *[hard] * chosen.views.hard_paths):
                with bench.method.passes():
                    outputs.append(student(batch))
        torch.autograd.backward(outputs, [torch.ones_like(output) for output in outputs])
        for student in students:
            student.zero_grad(set_to_none=True)

    return run


def plain_step(config: settings.Config, source: data.Source) -> Callable[[], None]:
    """The plain transcription of PoseDual on the same people, in fp32 and contiguous memory."""
    nets = [student.train() for student in students_of(config)]
    weights = [weight for net in nets for weight in net.parameters()]
    optimizer, random = torch.optim.Adam(weights, lr=1e-3), np.random.default_rng(0)
    zoom = 1 / float(source.to_crop[0, 0])
    frame = plain_posedual.Frame(config.data.height, config.data.width, zoom, COCO17.flip_index)
    middle = (np.array(source.crops.shape[:1:-1]) - 1) / 2
    offset = source.xy_crop.numpy() - (np.array([frame.width, frame.height]) - 1) / 2
    people = [
        plain_posedual.Person(
            np.ascontiguousarray(source.crops[index].transpose(1, 2, 0)),
            middle + zoom * offset[index],
            source.state[index].numpy() == objective.PLACED,
        )
        for index in range(PEOPLE)
    ]

    def run() -> None:
        labeled = random.choice(source.split.labeled, config.data.batch_labeled)
        unlabeled = random.choice(source.split.unlabeled, config.data.batch_unlabeled)
        loss = plain_posedual.step(
            nets,
            optimizer,
            [people[i] for i in labeled],
            [people[i] for i in unlabeled],
            frame,
            random,
        )
        assert loss >= 0

    return run


def measure_case(name: str, repeats: int) -> dict[str, Any]:
    """Seconds of the four contestants, repeat by repeat in turn, and their two ratios."""
    size, changes = CASES[name]
    steps = repeats + WARM_UP
    paper = make_bench("paper", size, changes, steps)
    dual = make_bench("posedual", size, changes, steps)
    contestants: dict[str, Callable[[], Any]] = {
        "paper": lambda: next(paper.steps),
        "bare": bare_passes(paper),
        "posedual": lambda: next(dual.steps),
        "plain": plain_step(dual.config, dual.source),
    }
    times: dict[str, list[float]] = {label: [] for label in contestants}
    for repeat in range(steps):
        for label, run in contestants.items():
            started = time.perf_counter()
            run()
            if repeat >= WARM_UP:
                times[label].append(time.perf_counter() - started)
        print(f"{name}: repeat {repeat + 1} of {steps}", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    medians = {label: statistics.median(values) for label, values in times.items()}
    data_ = paper.config.data
    return {
        "case": f"{name} {data_.height}x{data_.width}, {data_.batch_labeled}+{data_.batch_unlabeled}",
        "seconds": {label: round(value, 4) for label, value in medians.items()},
        "overhead": round(medians["paper"] / medians["bare"], 3),
        "against_plain": round(medians["posedual"] / medians["plain"], 3),
        "spread": {
            label: [round(value, 4) for value in statistics.quantiles(values, n=4)[::2]]
            for label, values in times.items()
        },
    }


def resident_mib() -> float:
    """Resident memory of this process in MiB; Linux only."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def measure_memory(steps: int) -> dict[str, Any]:
    """Resident memory every MEMORY_EVERY steps of `paper` at size tiny."""
    bench, curve = make_bench("paper", "tiny", {}, steps), {}
    for step, _ in enumerate(bench.steps, start=1):
        if step % MEMORY_EVERY == 0:
            curve[step] = round(resident_mib(), 1)
            print(f"memory: step {step} of {steps}, {curve[step]} MiB", end="\r", file=sys.stderr)
    print(file=sys.stderr)
    settled = [mib for step, mib in curve.items() if step >= min(MEMORY_FROM, max(curve))]
    return {
        "steps": steps,
        "first_mib": settled[0],
        "last_mib": settled[-1],
        "growth": round(settled[-1] / settled[0], 4),
        "curve_mib": curve,
    }


def memory_apart(steps: int) -> dict[str, Any]:
    """`measure_memory` in a fresh process, where nothing freed earlier can hide growth."""
    command = [sys.executable, __file__, "--memory-only", "--memory-steps", str(steps)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def table(report: dict[str, Any]) -> str:
    """The report as a Markdown table."""
    lines = [
        "| case | paper s | bare s | overhead | posedual s | plain s | posedual / plain |",
        "|---|---|---|---|---|---|---|",
    ]
    for case in report["cases"]:
        s = case["seconds"]
        lines.append(
            f"| {case['case']} | {s['paper']:.3f} | {s['bare']:.3f} | {case['overhead']:.2f} "
            f"| {s['posedual']:.3f} | {s['plain']:.3f} | {case['against_plain']:.2f} |"
        )
    memory = report.get("memory")
    if memory:
        lines += [
            "",
            "Memory over {steps} tiny steps: {first_mib} MiB, then {last_mib} MiB.".format(
                **memory
            ),
        ]
    return "\n".join(lines)


def faults(report: dict[str, Any]) -> list[str]:
    """Every bound that does not hold, one line each."""
    found = [
        f"{case['case']}: {name} {case[name]} is above {BOUNDS[name]}"
        for case in report["cases"]
        for name in ("overhead", "against_plain")
        if case[name] > BOUNDS[name]
    ]
    memory = report.get("memory")
    if memory and memory["growth"] > BOUNDS["memory"]:
        found.append(f"memory grew by a factor of {memory['growth']}")
    return found


def main() -> int:
    """Measure, print the table, and exit 1 when a bound does not hold."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=list(CASES), action="append", help="default: all")
    parser.add_argument("--repeats", type=int, default=15, help="timed steps of each contestant")
    parser.add_argument("--threads", type=int, default=0, help="0: all cores but one, as training")
    parser.add_argument("--memory-steps", type=int, default=2000, help="0: leave memory out")
    parser.add_argument(
        "--memory-only", action="store_true", help="print the memory report as JSON"
    )
    parser.add_argument("--out", type=Path, help="write the report here as JSON")
    asked = parser.parse_args()
    threads = asked.threads or max(1, (os.cpu_count() or 2) - 1)
    torch.set_num_threads(threads)
    if asked.memory_only:
        print(json.dumps(measure_memory(asked.memory_steps)))
        return 0
    report: dict[str, Any] = {
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": threads,
        "cases": [measure_case(name, asked.repeats) for name in asked.case or CASES],
    }
    if asked.memory_steps:
        report["memory"] = memory_apart(asked.memory_steps)
    report["faults"] = faults(report)
    if asked.out:
        asked.out.write_text(json.dumps(report, indent=2) + "\n")
    print("\n".join([table(report), *report["faults"]]))
    return int(bool(report["faults"]))


if __name__ == "__main__":
    sys.exit(main())
