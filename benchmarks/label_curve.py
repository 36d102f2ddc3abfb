"""What N more corrections buy: strategies of the queue x rounds of correcting and training again x seeds.

    python benchmarks/label_curve.py run --data ../shared/data/lspet --weights FILE [--strategies A,B] [--seeds 0,1,2]
    python benchmarks/label_curve.py table [--dataset lspet] [--setting quick]

Every strategy of a seed starts from the same two students, those of the `start` cell of label_budget.py. Four times
the students say what they see of the same candidates, the strategy puts them in order, the dataset's answers play the
annotator until the round's actions are spent (one for each person opened, one for each keypoint moved), and both
students train on. `run` computes what results/label_curve.jsonl lacks and goes on inside a round; two of them, given
other seeds or strategies, may run side by side. Settings are in PLANS of budget/rounds.py.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks import datasets, label_budget  # noqa: E402
from benchmarks.budget import curves, intervals, rounds, scores, study  # noqa: E402
from benchmarks.budget.cell import Place  # noqa: E402
from benchmarks.budget.rounds import PLANS, SPLITS, STRATEGIES, STUDENTS, Curve  # noqa: E402
from benchmarks.budget.study import START  # noqa: E402
from benchmarks.budget.table import markdown  # noqa: E402
from posestudio.core.average_precision import LEVEL  # noqa: E402
from posestudio.errors import ConfigError, PoseStudioError  # noqa: E402

PLAIN = "random"
"""The strategy that others are held against."""
AXIS = "actions since the start (AP on {split}, mean student; band: lowest to highest seed)"

Lines = Mapping[tuple[str, int, int], Mapping[str, Any]]
"""Lines of results by strategy, seed and round."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="compute what results lack")
    table = verbs.add_parser("table", help="write the table and curves of what is finished")
    for verb in (run, table):
        verb.add_argument("--dataset", default="lspet")
        verb.add_argument("--setting", default="quick", choices=list(PLANS))
        verb.add_argument("--results", default=str(PROJECT / "benchmarks" / "results"))
    run.add_argument("--data", required=True, help="the dataset's folder")
    run.add_argument("--weights", required=True, help="ImageNet weights of the backbone")
    run.add_argument("--work", default="data/benchmarks", help="folder for runs and crops")
    run.add_argument("--strategies", default=",".join(STRATEGIES))
    run.add_argument("--seeds", default="0,1,2")
    run.add_argument("--set", action="append", default=[], metavar="KEY=VALUE",
                     help="a setting of every run, starts too")  # fmt: skip
    table.add_argument("--draws", type=int, default=2000, help="of each interval")
    return made


def run(asked: argparse.Namespace) -> int:
    """Compute the curves, one after the other; 3 if stopped before the end."""
    unknown = [name for name in asked.strategies.split(",") if name not in STRATEGIES]
    if unknown:
        raise ConfigError(f"Unknown strategy {unknown[0]!r}. Known: {', '.join(STRATEGIES)}.")
    plan = dataclasses.replace(PLANS[asked.setting], changes=study.pairs(asked.set))
    dataset = datasets.open_dataset(asked.dataset, Path(asked.data), Path(asked.work).resolve())
    stop = label_budget.stopper()
    place = Place(dataset, asked.data, Path(asked.results), asked.weights, stop, label_budget.say)
    for seed in map(int, asked.seeds.split(",")):
        for strategy in asked.strategies.split(","):
            if not rounds.run(Curve(asked.dataset, asked.setting, strategy, seed, plan), place):
                return 3
    return 0


def load(results: Path, dataset: str, setting: str) -> Lines:
    """The lines of one dataset and setting, without those of changed settings."""
    return {
        (line["strategy"], line["seed"], line["round"]): line
        for line in rounds.finished(results).values()
        if (line["dataset"], line["setting"]) == (dataset, setting) and not line["plan"]["changes"]
    }


def whole(lines: Lines) -> dict[str, list[int]]:
    """Strategies with the seeds whose rounds are all there, the start among them."""
    found: dict[str, list[int]] = {}
    for strategy in STRATEGIES:
        seeds = sorted({seed for name, seed, _ in lines if name == strategy})
        done = [seed for seed in seeds if path_of(lines, strategy, seed)]
        if done:
            found[strategy] = done
    return found


def path_of(lines: Lines, strategy: str, seed: int) -> list[Mapping[str, Any]]:
    """The lines of a curve, the start first; none if one is missing."""
    keys = [(START, seed, 0)]
    if keys[0] in lines:
        keys += [(strategy, seed, n) for n in range(1, lines[keys[0]]["plan"]["rounds"] + 1)]
    return [lines[key] for key in keys] if all(key in lines for key in keys) else []


@dataclasses.dataclass(frozen=True, slots=True)
class Measured:
    """One strategy. actions: (S, P) over seeds and rounds. ap: (S, P, R), under R weightings of the people."""

    actions: np.ndarray
    ap: np.ndarray


def measure(
    lines: Lines, strategy: str, seeds: Sequence[int], split: str, results: Path, draws: int
) -> Measured:
    """AP of every seed and round, on the people as they are (R = 0) and drawn again, alike for all strategies."""
    actions, found = [], []
    for seed in seeds:
        path = path_of(lines, strategy, seed)
        actions.append([line["actions"] for line in path])
        each = []
        for line in path:
            rows = scores.read(rounds.rows_file(results, line["run"]))
            mine = [rows[split, name] for name in STUDENTS]
            weights = intervals.weights_of(len(mine[0]["oks"]), draws)
            each.append(intervals.mean_ap(mine, weights))
        found.append(each)
    return Measured(np.array(actions, np.float64), np.array(found))


def reached(actions: np.ndarray, ap: np.ndarray, target: float) -> float:
    """Actions at which a curve (P,) first has an AP, on straight lines between rounds; inf if it never does."""
    for place in range(len(ap)):
        if ap[place] >= target:
            if place == 0:
                return float(actions[0])
            share = (target - ap[place - 1]) / (ap[place] - ap[place - 1])
            return float(actions[place - 1] + share * (actions[place] - actions[place - 1]))
    return float("inf")


def against(plain: Measured, other: Measured, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Share of random's actions that a strategy needs for random's final AP, and its own final AP less random's.

    Args:
        plain: of random.
        other: of the strategy; the same seeds.
        seed: of the seeds' weights.

    Returns:
        Two (R,): first as it is, then with people drawn again and seeds weighed anew (`intervals.seed_weights`). The
        share is inf where random's AP is not reached.
    """
    count, draws = plain.ap.shape[0], plain.ap.shape[2]
    share, gain = np.zeros(draws), np.zeros(draws)
    for number, weights in enumerate(intervals.seed_weights(count, draws - 1, seed)):
        one, two = (weights @ each.ap[:, :, number] for each in (plain, other))
        spent, all_actions = weights @ other.actions, (weights @ plain.actions)[-1]
        share[number] = reached(spent, two, one[-1]) / all_actions
        gain[number] = two[-1] - one[-1]
    return share, gain


def ends(values: np.ndarray) -> tuple[float, float]:
    """The central 95 % of drawn values, some of which may be infinite."""
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], method="nearest")
    return float(low), float(high)


def said(share: float) -> str:
    """A share of actions in words."""
    return f"{share:.0%}" if np.isfinite(share) else "not reached"


def table(lines: Lines, split: str, results: Path, draws: int) -> str:
    """One row a strategy: AP in points after each round, and what it needs beside random."""
    done = whole(lines)
    head, rows = ["strategy", "seeds", "people opened"], []
    for strategy, seeds in done.items():
        found = measure(lines, strategy, seeds, split, results, draws)
        mean = 100 * found.ap[:, :, 0].mean(axis=0)
        opened = np.mean([path_of(lines, strategy, seed)[-1]["people"] for seed in seeds])
        row = [strategy, str(len(seeds)), f"{opened:.0f}", *(f"{value:.2f}" for value in mean)]
        common = [seed for seed in seeds if seed in done.get(PLAIN, [])]
        if strategy == PLAIN or not common:
            row += ["", ""]
        else:
            plain, other = (
                measure(lines, name, common, split, results, draws) for name in (PLAIN, strategy)
            )
            share, gain = against(plain, other)
            low, high = ends(share[1:])
            less, more = (100 * end for end in ends(gain[1:]))
            row.append(f"{said(share[0])} ({said(low)} to {said(high)})")
            row.append(f"{100 * gain[0]:+.2f} ({less:+.2f} to {more:+.2f})")
        rows.append(row)
        if len(head) == 3:
            head += [f"AP after {value:.0f}" for value in found.actions.mean(axis=0)]
    head += ["actions for random's final AP", "final AP less random's"]
    return markdown(head, rows)


def report(asked: argparse.Namespace) -> int:
    """Write label_curve.md and the curves into the results, and print the tables."""
    results = Path(asked.results)
    lines = load(results, asked.dataset, asked.setting)
    done = whole(lines)
    if not done:
        print(
            f"No curve of {asked.dataset}, setting {asked.setting}, is finished.", file=sys.stderr
        )
        return 1
    parts = []
    for split in SPLITS:
        parts.append(f"On {split}:\n\n{table(lines, split, results, asked.draws)}")
        drawn = {}
        for strategy, seeds in done.items():
            found = measure(lines, strategy, seeds, split, results, 0)
            ap = 100 * found.ap[:, :, 0]
            drawn[strategy] = np.stack(
                [found.actions.mean(axis=0), ap.mean(axis=0), ap.min(axis=0), ap.max(axis=0)]
            )
        picture = curves.draw(drawn, f"{asked.dataset}, {asked.setting}", AXIS.format(split=split))
        name = f"label_curve_{asked.dataset}_{asked.setting}_{split}.svg"
        (results / name).write_text(picture, "utf-8")
        parts.append(f"![AP over actions on {split}]({name})")
    page = "\n\n".join(parts) + "\n"
    (results / f"label_curve_{asked.dataset}_{asked.setting}.md").write_text(page, "utf-8")
    print(page, end="")
    return 0


def main(line: Sequence[str] | None = None) -> int:
    """Do what the command line says; a mistake is one line on stderr."""
    asked = parser().parse_args(line)
    try:
        return run(asked) if asked.verb == "run" else report(asked)
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
