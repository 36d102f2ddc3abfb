"""What the app's correction loop brings: correct whom the queue names, or anybody, or nobody, and train again.

    python benchmarks/correction_loop.py run --data ../shared/data/lspet --weights FILE [--arms A,B] [--seeds 0,1,2]
    python benchmarks/correction_loop.py table [--dataset lspet]

From 100 labels, three rounds of 50 people; the dataset's answers are the person. All goes through the app's own API
(budget/loop.py). `run` computes what results/correction_loop.jsonl lacks and goes on inside a round; two of them,
given other seeds, may run side by side.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks import datasets, label_budget  # noqa: E402
from benchmarks.budget import intervals, loop, scores  # noqa: E402
from benchmarks.budget.cell import Place  # noqa: E402
from benchmarks.budget.loop import ARMS, STUDENTS, Loop, Plan  # noqa: E402
from benchmarks.budget.table import markdown  # noqa: E402
from benchmarks.label_curve import Lines, path_of  # noqa: E402
from posestudio.errors import ConfigError, PoseStudioError  # noqa: E402


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="compute what results lack")
    table = verbs.add_parser("table", help="write the table of what is finished")
    for verb in (run, table):
        verb.add_argument("--dataset", default="lspet")
        verb.add_argument("--results", default=str(PROJECT / "benchmarks" / "results"))
    run.add_argument("--data", required=True, help="the dataset's folder")
    run.add_argument("--weights", required=True, help="ImageNet weights of the backbone")
    run.add_argument("--work", default="data/benchmarks", help="folder for the projects")
    run.add_argument("--arms", default=",".join(ARMS))
    run.add_argument("--seeds", default="0,1,2")
    table.add_argument("--draws", type=int, default=2000, help="of each interval")
    return made


def run(asked: argparse.Namespace) -> int:
    """Compute the loops, one after the other; 3 if stopped before the end."""
    unknown = [name for name in asked.arms.split(",") if name not in ARMS]
    if unknown:
        raise ConfigError(f"Unknown arm {unknown[0]!r}. Known: {', '.join(ARMS)}.")
    dataset = datasets.open_dataset(asked.dataset, Path(asked.data), Path(asked.work).resolve())
    stop = label_budget.stopper()
    place = Place(dataset, asked.data, Path(asked.results), asked.weights, stop, label_budget.say)
    for seed in map(int, asked.seeds.split(",")):
        for arm in asked.arms.split(","):
            if not loop.run(Loop(asked.dataset, arm, seed, Plan()), place):
                return 3
    return 0


def load(results: Path, dataset: str) -> Lines:
    """The lines of one dataset."""
    found = loop.finished(results).values()
    return {
        (line["arm"], line["seed"], line["round"]): line
        for line in found
        if line["dataset"] == dataset
    }


def report(lines: Lines, results: Path, draws: int) -> str:
    """AP after each round, one row an arm, and what the queue brings over the others after the last."""
    seeds = {
        arm: [s for s in sorted({key[1] for key in lines}) if path_of(lines, arm, s)]
        for arm in ARMS
    }
    rows, ends = [], {}
    for arm in [arm for arm in ARMS if seeds[arm]]:
        paths = [path_of(lines, arm, seed) for seed in seeds[arm]]
        ap = 100 * np.array([[line["ap"] for line in path] for path in paths]).mean(axis=0)
        moved = np.mean([sum(line["moved"] for line in path) for path in paths])
        labeled, pck = (np.mean([path[-1][key] for path in paths]) for key in ("labeled", "pck"))
        row = [arm, str(len(paths)), f"{labeled:.0f}", f"{moved:.0f}"]
        rows.append([*row, *(f"{value:.2f}" for value in ap), f"{100 * pck:.1f}"])
        ends[arm] = {path[-1]["seed"]: final(path[-1], results, draws) for path in paths}
    rounds = max(len(row) for row in rows) - 5
    head = ["arm", "seeds", "labeled at the end", "keypoints moved", "AP at the start"]
    head += [f"AP after round {n}" for n in range(1, rounds)] + ["PCK@0.2 at the end"]
    parts = [markdown(head, rows)]
    for other in ("none", "random"):
        found = intervals.gain(ends.get(other, {}), ends.get("queue", {}))
        if found is not None:
            low, high = (100 * end for end in found.interval)
            parts.append(
                f"queue less {other} after the last round: {100 * found.value:+.2f} AP, 95 % {low:+.2f} to {high:+.2f} "
                f"(people drawn again, Student's t over {found.seeds} seeds)."
            )
    return "\n\n".join(parts) + "\n"


def final(line: Mapping[str, Any], results: Path, draws: int) -> np.ndarray:
    """AP (draws + 1,) of a round, on the people as they are and drawn again, alike for all arms."""
    rows = scores.read(loop.rows_file(results, line))
    mine = [rows[line["split"], name] for name in STUDENTS]
    return intervals.mean_ap(mine, intervals.weights_of(len(mine[0]["oks"]), draws))


def table(asked: argparse.Namespace) -> int:
    """Write the table into the results and print it."""
    results = Path(asked.results)
    lines = load(results, asked.dataset)
    if not any(path_of(lines, arm, seed) for arm, seed, _ in lines if arm in ARMS):
        print(f"No loop of {asked.dataset} is finished.", file=sys.stderr)
        return 1
    page = report(lines, results, asked.draws)
    (results / f"correction_loop_{asked.dataset}.md").write_text(page, "utf-8")
    print(page, end="")
    return 0


def main(line: Sequence[str] | None = None) -> int:
    """Do what the command line says; a mistake is one line on stderr."""
    asked = parser().parse_args(line)
    try:
        return run(asked) if asked.verb == "run" else table(asked)
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
