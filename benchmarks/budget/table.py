"""The tables of the label budget study, from its lines of results and the cells' rows alone."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.budget import intervals, scores
from benchmarks.budget.cell import finished, rows_file
from benchmarks.budget.study import CEILING, START, Cell

CORE = ("supervised", "posedual", "paper", "best")
BUDGETS, SEEDS = (100, 500), (0, 1, 2, 3, 4)
PAIRS = (
    ("posedual", "best"),
    ("supervised", "best"),
    ("posedual", "paper"),
    ("supervised", "posedual"),
)
TEST = ("val", "test2")
PER_RUN = ("train.seed", "train.steps")

Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Study:
    """Finished cells of one dataset and setting. lines: by (arm, budget, seed, times)."""

    dataset: str
    setting: str
    changes: Mapping[str, str]
    lines: Mapping[tuple[str, int, int, int], Line]
    results: Path

    def of(self, arm: str, budget: int, times: int = 1) -> list[Line]:
        """The arm's lines at a budget, by seed."""
        keys = sorted(key for key in self.lines if (key[0], key[1], key[3]) == (arm, budget, times))
        return [self.lines[key] for key in keys]

    def arms(self, budget: int) -> list[str]:
        """Arms with a line at a budget: the start, those of the core study, the ceiling, the others."""
        there = {key[0] for key in self.lines if key[1] == budget and key[3] == 1}
        first = [arm for arm in (START, *CORE, CEILING) if arm in there]
        return first + sorted(there - set(first))

    def budgets(self) -> list[int]:
        """Budgets with a line."""
        return sorted({key[1] for key in self.lines})

    def rows(self, line: Line, variant: str) -> scores.Rows:
        """The line's rows of the test people: val and test2 together."""
        found = scores.read(rows_file(self.results, line["cell"]))
        return scores.joined(found[split, variant] for split in TEST)


def load(results: Path, dataset: str, setting: str, changes: Mapping[str, str]) -> Study:
    """The finished cells of one study; cells with other changed settings are another study's."""
    lines = {}
    for line in finished(results).values():
        key = (line["arm"], line["budget"], line["seed"], line["times"])
        name = Cell(dataset, setting, *key, changes).name
        if line["cell"] == name and rows_file(results, name).exists():
            lines[key] = line
    return Study(dataset, setting, changes, lines, results)


def missing(study: Study) -> list[str]:
    """What of the core study was not run, one line for each arm and budget."""
    wanted = [(arm, budget, seed, 1) for budget in BUDGETS for arm in CORE for seed in SEEDS]
    wanted += [(CEILING, budget, 0, 1) for budget in BUDGETS]
    wanted += [(arm, 100, 0, 3) for arm in ("posedual", "best")]
    groups: dict[str, list[int]] = {}
    for arm, budget, seed, times in wanted:
        if (arm, budget, seed, times) not in study.lines:
            longer = f", {times} times as long" if times > 1 else ""
            groups.setdefault(f"{arm} at {budget} labels{longer}", []).append(seed)
    return [f"{name}: seeds {', '.join(map(str, seeds))}" for name, seeds in groups.items()]


def summary(study: Study, lines: Sequence[Line]) -> dict[str, np.ndarray]:
    """Numbers of the lines of one arm, one entry a seed: on test people, on val and test2 alone, and costs."""
    found: dict[str, list[float]] = {}
    for line in lines:
        parts = scores.read(rows_file(study.results, line["cell"]))
        pooled = {
            variant: scores.joined(parts[split, variant] for split in TEST)
            for variant in {variant for _, variant in parts}
        }
        nets = [scores.numbers(pooled[name]) for name in ("a", "b") if name in pooled]
        record = {key: float(np.mean([one[key] for one in nets])) for key in nets[0]}
        record |= {
            "val": line["ap"], "test2": line["test2_ap"],
            "ensemble": scores.ap(pooled["ensemble"]),
            "ensemble_flip": scores.ap(pooled["ensemble_flip"]),
            "jitter": scores.ap(pooled["a_jitter"]),
            "steps": line["steps"], "core_minutes": line["core_minutes"],
            "hours": (line["core_minutes"] + (line["start_core_minutes"] or 0)) / 60,
        }  # fmt: skip
        for key, value in record.items():
            found.setdefault(key, []).append(value)
    return {key: np.array(values) for key, values in found.items()}


def results_table(study: Study, budget: int, found: Mapping[str, Mapping[str, np.ndarray]]) -> str:
    """One row an arm; AP in points, means over seeds with the standard deviation over seeds."""
    head = (
        "arm", "seeds", "AP", "AP val", "AP test2", "AP50", "AP75", "PCK@0.2", "ensemble", "ensemble + flip",
        "swap-tolerant", "jittered boxes", "steps", "core-minutes", "AP per core-hour", "share of gap",
    )  # fmt: skip
    ends = gap_ends(found)
    rows = []
    for arm, one in found.items():
        share = (
            ""
            if ends is None or arm == START
            else f"{(one['ap'].mean() - ends[0]) / (ends[1] - ends[0]):.0%}"
        )
        minutes = one["core_minutes"].mean()
        rows.append(
            [
                arm, str(len(one["ap"])), spread(one["ap"]),
                *(mean(one[key]) for key in ("val", "test2", "ap50", "ap75", "pck", "ensemble", "ensemble_flip")),
                mean(one["swap_ap"]), mean(one["jitter"]), f"{one['steps'].mean():.0f}", f"{minutes:.1f}",
                f"{100 * (one['ap'] / one['hours']).mean():.1f}", share,
            ]
        )  # fmt: skip
    return markdown(head, rows)


def gap_ends(found: Mapping[str, Mapping[str, np.ndarray]]) -> tuple[float, float] | None:
    """AP of `supervised` and of `all`, the ends of the gap; None if one was not run."""
    if "supervised" not in found or CEILING not in found:
        return None
    low, high = float(found["supervised"]["ap"].mean()), float(found[CEILING]["ap"].mean())
    return (low, high) if high > low else None


def gains_table(study: Study, budget: int, draws: int) -> str:
    """Paired differences of AP on test people with their 95 % intervals."""
    weights, known = None, {}
    rows = []
    for pair in PAIRS:
        for arm in pair:
            for line in study.of(arm, budget) if arm not in known else ():
                nets = [study.rows(line, name) for name in ("a", "b")]
                if weights is None:
                    weights = intervals.weights_of(len(nets[0]["oks"]), draws)
                known.setdefault(arm, {})[line["seed"]] = intervals.mean_ap(nets, weights)
        made = intervals.gain(*(known.get(arm, {}) for arm in pair))
        if made is not None:
            low, high = (100 * end for end in made.interval)
            part_low, part_high = (100 * end for end in made.relative_interval)
            rows.append([
                f"{pair[1]} - {pair[0]}", str(made.seeds), f"{100 * made.value:+.1f}",
                f"{low:+.1f} to {high:+.1f}", f"{100 * made.relative:+.0f} %",
                f"{part_low:+.0f} to {part_high:+.0f} %", "yes" if low > 0 or high < 0 else "no",
            ])  # fmt: skip
    head = ("difference", "seeds", "AP", "95 %", "relative", "95 %", "excludes 0")
    return markdown(head, rows) if rows else "No pair of arms was run."


def readings_table(study: Study, budget: int) -> str:
    """AP on dev read from the curves: at the last step that all arms have, at equal core-minutes, and at the end."""
    curves = {
        arm: [line["curve"] for line in study.of(arm, budget)]
        for arm in study.arms(budget)
        if arm != START
    }
    if not curves:
        return "No arm was run."
    every = [curve for mine in curves.values() for curve in mine]
    common = set.intersection(*({point["step"] for point in curve} for curve in every))
    step = max(common, default=0)
    minutes = min(curve[-1]["core_minutes"] for curve in every)
    rows = []
    for arm, mine in curves.items():
        at_step = np.array(
            [dev_ap(point) for curve in mine for point in curve if point["step"] == step]
        )
        at_cost = np.array([
            np.interp(minutes, [p["core_minutes"] for p in curve], [dev_ap(p) for p in curve]) for curve in mine
        ])  # fmt: skip
        last = np.array([dev_ap(curve[-1]) for curve in mine])
        best = np.array([max(map(dev_ap, curve)) for curve in mine])
        equal = mean(at_step) if common else ""
        rows.append([arm, str(len(mine)), equal, mean(at_cost), mean(last), mean(best)])
    head = (
        "arm",
        "seeds",
        f"at step {step}",
        f"at {minutes:.1f} core-minutes",
        "at the end",
        "highest",
    )
    return markdown(head, rows)


def dev_ap(point: Mapping[str, float]) -> float:
    """AP on dev of the mean student at a point of a curve."""
    nets = [point[key] for key in ("ap_a", "ap_b") if key in point]
    return sum(nets) / len(nets)


def mechanism_table(study: Study, budget: int) -> str:
    """What the events of the last quarter of the steps said, means over seeds."""
    found: dict[str, dict[str, float]] = {}
    for arm in study.arms(budget):
        each = [line["mechanism"] for line in study.of(arm, budget)]
        names = dict.fromkeys(name for one in each for name in one)
        found[arm] = {n: float(np.mean([one[n] for one in each if n in one])) for n in names}
    names = list(dict.fromkeys(name for one in found.values() for name in one))
    rows = [
        [arm, *(f"{one[n]:.4g}" if n in one else "" for n in names)] for arm, one in found.items()
    ]
    return markdown(("arm", *names), rows)


def longer_table(study: Study) -> str:
    """Cells that trained several times as long beside the usual ones of the same seed; AP on test people."""
    rows = []
    for arm, budget, seed, times in sorted(key for key in study.lines if key[3] > 1):
        usual = study.lines.get((arm, budget, seed, 1))
        ours = summary(study, [study.lines[arm, budget, seed, times]])
        before = mean(summary(study, [usual])["ap"]) if usual else ""
        minutes = f"{ours['core_minutes'][0]:.1f}"
        rows.append([arm, str(budget), str(seed), str(times), before, mean(ours["ap"]), minutes])
    head = ("arm", "labels", "seed", "times", "AP usual", "AP", "core-minutes")
    return markdown(head, rows) if rows else ""


def mixed(study: Study) -> list[str]:
    """Arms whose cells were not trained with the same settings, one line each."""
    found = []
    for budget in study.budgets():
        for arm in study.arms(budget):
            each = [line["settings"] for line in study.of(arm, budget)]
            keys = {key for one in each for key in one} - set(PER_RUN)
            other = sorted(k for k in keys if len({str(one.get(k)) for one in each}) > 1)
            if other:
                found.append(f"{arm} at {budget} labels: seeds differ in {', '.join(other)}")
    return found


def report(study: Study, draws: int, figures: Mapping[int, str]) -> str:
    """Everything as one page of Markdown. figures: file of the curves by budget."""
    parts = [f"# Label budget: {study.dataset}, setting {study.setting}", NOTE]
    for budget in study.budgets():
        found = {arm: summary(study, study.of(arm, budget)) for arm in study.arms(budget)}
        parts += [f"## {budget} labels", results_table(study, budget, found)]
        parts += ["Paired differences on test people:", gains_table(study, budget, draws)]
        parts += ["AP on dev, read from the curves:", readings_table(study, budget)]
        parts += [f"![AP on dev over core-minutes]({figures[budget]})"] if budget in figures else []
        parts += ["Means of the last quarter of the steps:", mechanism_table(study, budget)]
    longer = longer_table(study)
    parts += ["## Longer", longer] if longer else []
    lines = list(study.lines.values())
    commits = sorted({line["commit"] for line in lines})
    devices = sorted({f"{line['device']}, torch {line['torch']}" for line in lines})
    parts += ["## Of these numbers"]
    parts += [
        bullets([f"Code: {', '.join(commits)}.", f"Ran on: {'; '.join(devices)}.", *mixed(study)])
    ]
    absent = missing(study)
    parts += ["Not run:", bullets(absent)] if absent else []
    return "\n\n".join(parts) + "\n"


NOTE = """\
Written by `python benchmarks/label_budget.py table`. AP in points of the mean single student (weight average, no flip,
last step) on the test people, val and test2 together, unless a column says otherwise; ± is the standard deviation over
seeds. `start` is what every arm goes on from; `all` is supervised with every label outside dev and tests. Core-minutes
are CPU time of training without evaluation and without the start; AP per core-hour counts the start in. Share of gap:
(arm - supervised) / (all - supervised). Intervals draw test people again, alike for both arms, and weigh the seeds
anew, so that few seeds count as few (Student's t)."""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]
    return "\n".join(lines)


def bullets(lines: Iterable[str]) -> str:
    """A Markdown list."""
    return "\n".join(f"- {line}" for line in lines)


def mean(values: np.ndarray) -> str:
    """Mean in points, one decimal."""
    return f"{100 * np.mean(values):.1f}"


def spread(values: np.ndarray) -> str:
    """Mean in points with the standard deviation over seeds, where there are two."""
    return mean(values) + (f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else "")
