"""What a method makes of few labels: arms x budgets x seeds, resumable, at the same core-minutes for every arm.

    python benchmarks/label_budget.py run --data ../shared/data/lspet --weights FILE [--arms A,B] [--jobs 2]
    python benchmarks/label_budget.py cell --data ... --weights ... --arm posedual --budget 100 --seed 0
    python benchmarks/label_budget.py table [--dataset lspet]
    python benchmarks/label_budget.py cost --data ... --weights ... [--arms A,B]

`run` computes all cells that results do not have yet, each in a child process; ended by Ctrl-C or killed, it goes on
inside the cells when run again. The protocol is in benchmarks/README.md.
"""

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks.budget import study  # noqa: E402
from posestudio.errors import PoseStudioError  # noqa: E402

ARMS = "supervised,posedual,paper,best"


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="compute every cell that results lack")
    cell = verbs.add_parser("cell", help="compute one cell, and its start when that is not there")
    cost = verbs.add_parser("cost", help="measure what a step of each arm costs")
    table = verbs.add_parser("table", help="write tables and curves of what is finished")
    for verb in (run, cell, cost):
        verb.add_argument("--data", required=True, help="the dataset's folder")
        verb.add_argument("--weights", required=True, help="ImageNet weights of the backbone")
        verb.add_argument("--work", default="data/benchmarks", help="folder for runs and crops")
    for verb in (run, cell, cost, table):
        verb.add_argument("--dataset", default="lspet")
        verb.add_argument("--setting", default="quick", choices=list(study.SETTINGS))
        verb.add_argument(
            "--set", action="append", default=[], metavar="KEY=VALUE",
            help="a setting of every run, starts too; settings of one arm stand after a colon in --arms",
        )  # fmt: skip
    for verb in (run, cell, table):
        verb.add_argument("--results", default=str(PROJECT / "benchmarks" / "results"))
    for verb in (run, cell):
        verb.add_argument("--times", type=int, default=1, help="times the usual steps")
    for verb in (run, cost):
        verb.add_argument("--arms", default=ARMS)
    run.add_argument("--budgets", default="100,500")
    run.add_argument("--seeds", default="0,1,2,3,4")
    run.add_argument("--jobs", type=int, default=2, help="cells side by side")
    run.add_argument("--list", action="store_true", help="print the cells that are missing")
    cell.add_argument("--arm", required=True)
    cell.add_argument("--budget", type=int, required=True)
    cell.add_argument("--seed", type=int, required=True)
    cell.add_argument("--parent", type=int, help=argparse.SUPPRESS)
    cost.add_argument("--budget", type=int, default=100)
    cost.add_argument("--repeats", type=int, default=15)
    table.add_argument("--draws", type=int, default=2000, help="of each interval")
    return made


def stopper(parent: int | None = None):
    """A question: was this process asked to end, or has the one that started it ended?"""
    asked = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: asked.set())
    return lambda: asked.is_set() or (parent is not None and os.getppid() != parent)


def make_place(asked: argparse.Namespace, stop):
    """Where the study reads and writes."""
    from benchmarks import datasets
    from benchmarks.budget.cell import Place

    dataset = datasets.open_dataset(asked.dataset, Path(asked.data), Path(asked.work).resolve())
    results = Path(getattr(asked, "results", asked.work))
    return Place(dataset, asked.data, results, asked.weights, stop, say)


def say(line: str) -> None:
    """Print a line at once, so that a log shows it."""
    print(line, flush=True)


def run(asked: argparse.Namespace) -> int:
    """Compute the missing cells, some side by side."""
    from benchmarks.budget import schedule

    cells = [
        study.Cell(
            asked.dataset,
            asked.setting,
            arm,
            int(budget),
            int(seed),
            asked.times,
            study.pairs(asked.set),
        )
        for seed in asked.seeds.split(",")
        for budget in asked.budgets.split(",")
        for arm in study.split_arms(asked.arms)
    ]
    for cell in cells:
        cell.config()  # every mistake is said before anything is trained
    missing = schedule.missing(cells, Path(asked.results))
    if asked.list:
        print("\n".join(cell.name for cell in missing))
        return 0
    say(f"{len(missing)} of {len(cells)} cells are to be computed")
    words = ["--data", asked.data, "--work", asked.work, "--results", asked.results]
    words += ["--weights", asked.weights] if asked.weights else []
    project = Path(asked.work) / asked.dataset
    return schedule.run_all(
        missing, project, words, Path(__file__), jobs=asked.jobs, stop=stopper(), tell=say
    )


def cell(asked: argparse.Namespace) -> int:
    """Compute one cell; 3 if it was stopped before its end."""
    from benchmarks.budget.cell import run_cell

    place = make_place(asked, stopper(asked.parent))
    return 0 if run_cell(cell_of(asked), place) else 3


def cell_of(asked: argparse.Namespace) -> study.Cell:
    """The cell that the arguments of `cell` name."""
    changes = study.pairs(asked.set)
    return study.Cell(
        asked.dataset, asked.setting, asked.arm, asked.budget, asked.seed, asked.times, changes
    )


def cost(asked: argparse.Namespace) -> int:
    """Measure and print the table of costs."""
    from benchmarks.budget import costs

    place = make_place(asked, stopper())
    arms = study.split_arms(asked.arms)
    made = [
        study.Cell(asked.dataset, asked.setting, arm, asked.budget, 0, 1, study.pairs(asked.set))
        for arm in dict.fromkeys(["posedual", *arms])
    ]
    print(costs.table(costs.measure(made, place, asked.repeats)))
    return 0


def table(asked: argparse.Namespace) -> int:
    """Write label_budget.md and the curves into the results, and print the tables."""
    from benchmarks.budget import curves
    from benchmarks.budget import table as tables

    results = Path(asked.results)
    found = tables.load(results, asked.dataset, asked.setting, study.pairs(asked.set))
    if not found.lines:
        print(f"No cell of {asked.dataset}, setting {asked.setting}, is finished.", file=sys.stderr)
        return 1
    page = tables.report(found, asked.draws, curves.write(found, results))
    usual = (asked.dataset, asked.setting, asked.set) == ("lspet", "quick", [])
    name = "" if usual else "_".join(["", asked.dataset, asked.setting, *asked.set])
    (results / f"label_budget{name}.md").write_text(page, "utf-8")
    print(page, end="")
    return 0


def main() -> int:
    """Do what the command line says; a mistake is one line on stderr."""
    asked = parser().parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        return {"run": run, "cell": cell, "cost": cost, "table": table}[asked.verb](asked)
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
