"""Whether the probability of an error can be trusted, and whether swapped labels are found, on people with answers.

    python benchmarks/error_probability.py answers RUN --data ../shared/data/lspet [--people 1000]
    python benchmarks/error_probability.py swapped --data ... --weights FILE [--budget 500] [--kind pair]
    python benchmarks/error_probability.py suspects RUN --data ...

`answers` holds a run's students against the hidden labels of the unlabeled people: the probability of an error beyond
0.15 of the box's height, calibrated on labels that a student left out, beside plain confidence (1 - the peak of the
ensemble). `swapped` trains a run in whose labels 3 % of the people have left and right swapped; `suspects` counts how
many of them lie in the first tenth of the queue of suspect labels. Each measure adds a line to
results/error_probability.jsonl. RUN is a run folder: data.cross_fit above 0, or data.hold_fold.
"""

import argparse
import dataclasses
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from benchmarks import datasets, hearing  # noqa: E402
from benchmarks.budget import study  # noqa: E402
from benchmarks.datasets import Dataset  # noqa: E402
from posestudio import config as settings  # noqa: E402
from posestudio.core import trust  # noqa: E402
from posestudio.errors import InputError, PoseStudioError  # noqa: E402
from posestudio.store import snapshots  # noqa: E402
from posestudio.store.snapshots import OPEN, PLACED, People, Snapshot  # noqa: E402
from posestudio.studio import queue, suspects  # noqa: E402
from posestudio.studio.evidence import Judge  # noqa: E402
from posestudio.train import worker  # noqa: E402
from posestudio.train.run_folder import RunFolder  # noqa: E402

RESULTS = PROJECT / "benchmarks" / "results" / "error_probability.jsonl"
FIRST = 0.1
"""Share of a queue that is read."""
REDRAWN = 200
"""Times that other people are swapped after training, for an interval."""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = made.add_subparsers(dest="verb", required=True)
    answers = verbs.add_parser("answers", help="score the probability of an error")
    swapped = verbs.add_parser("swapped", help="train with swapped labels")
    found = verbs.add_parser("suspects", help="count the swapped labels that are found")
    for verb in (answers, found):
        verb.add_argument("run", help="run folder")
        verb.add_argument("--out", default=str(RESULTS), help="file of JSON lines to add to")
    for verb in (answers, swapped, found):
        verb.add_argument("--data", required=True, help="the dataset's folder")
        verb.add_argument("--work", default="data/benchmarks", help="folder for runs and crops")
        verb.add_argument("--dataset", default="lspet")
        verb.add_argument("--seed", type=int, default=0)
    answers.add_argument("--people", type=int, help="a seeded part of those with answers")
    answers.add_argument("--draws", type=int, default=300, help="of the intervals")
    swapped.add_argument("--weights", required=True, help="ImageNet weights of the backbone")
    swapped.add_argument("--budget", type=int, default=500)
    swapped.add_argument("--share", type=float, default=0.03, help="of the labeled people")
    swapped.add_argument("--kind", choices=["person", "pair"], default="person",
                         help="all pairs of a person, or one pair of it")  # fmt: skip
    swapped.add_argument("--preset", default="supervised")
    swapped.add_argument("--from", dest="start", help="run folder to start from")
    swapped.add_argument("--steps", type=int, default=1500)
    swapped.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    return made


def learned_from(run: RunFolder) -> Snapshot:
    """The people whose labels a run learned from, or left out, and nobody else."""
    snapshot = snapshots.read(run.project / "snapshots" / str(run.record()["snapshot"]))
    people = snapshot.people
    mine = (people.state == PLACED).any(axis=1) & (people.split == "train") & ~people.iscrowd
    return dataclasses.replace(snapshot, people=people.take(mine))


def with_answers(labeled: Snapshot, answers: People) -> Snapshot:
    """The labeled people, then those with answers, whose labels are hidden."""
    hidden = dataclasses.replace(
        answers,
        split=np.full(len(answers), "unlabeled", labeled.people.split.dtype),
        xy_image=np.full(answers.xy_image.shape, np.nan),
        state=np.full(answers.state.shape, OPEN, np.int8),
        visibility=np.zeros_like(answers.visibility),
    )
    both = {}
    for field in dataclasses.fields(People):
        one, other = getattr(labeled.people, field.name), getattr(hidden, field.name)
        both[field.name] = one + other if isinstance(one, list) else np.concatenate([one, other])
    return dataclasses.replace(labeled, people=People(**both))


def score_answers(asked: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    """The record of `answers`."""
    run = RunFolder(Path(asked.run).resolve())
    answers, labeled = dataset.people("unlabeled_answers"), learned_from(run)
    if asked.people is not None:
        drawn = np.random.default_rng(asked.seed).permutation(len(answers))[: asked.people]
        answers = answers.take(np.sort(drawn))
    snapshot = with_answers(labeled, answers)
    people, before = snapshot.people, len(labeled.people)
    judges, peak = hearing.listen(run, snapshot, dataset.project)
    seen, none = judges[0].xy_image, np.full(peak.shape, np.nan)
    known = queue.Beliefs(seen, peak, none, none, np.zeros(len(people), bool))
    doubts = queue.doubt(
        known, people.box_xywh, people.xy_image, calibrating=judges[0].unseen, judges=judges
    )
    if doubts.probability is None:
        raise InputError(
            f"{run.path} has too few labels that a student left out: set data.cross_fit."
        )
    truth = (answers.state == PLACED) & snapshot.taught
    gap = np.linalg.norm(seen[before:] - answers.xy_image, axis=-1) / answers.box_xywh[:, 3:4]
    chance = doubts.probability[before:][truth]
    return {
        "labeled": before,
        "calibrating": {judge.name: int(judge.unseen.sum()) for judge in judges},
        "people": len(answers), "keypoints": int(truth.sum()),
        **compared(chance, 1 - peak[before:][truth], gap[truth], np.nonzero(truth)[0], asked),
    }  # fmt: skip


def compared(
    chance: np.ndarray,
    unsure: np.ndarray,
    error: np.ndarray,
    person: np.ndarray,
    asked: argparse.Namespace,
) -> dict[str, Any]:
    """Both measures of doubt of M keypoints, their difference, and intervals over people, drawn alike for both.

    Args:
        chance: (M,) probability of an error.
        unsure: (M,) 1 - confidence.
        error: (M,) over the box's height.
        person: (M,) whose they are.
        asked: seed and draws.
    """
    wrong = error > queue.TOLERANCE
    draw = np.random.default_rng([asked.seed, 1])
    rows = [np.flatnonzero(person == one) for one in np.unique(person)]
    drawn = [np.arange(len(person))]
    for _ in range(asked.draws):
        drawn.append(np.concatenate([rows[i] for i in draw.integers(0, len(rows), len(rows))]))
    each = [
        {
            name: measured(score[again], error[again], wrong[again])
            for name, score in (("p_error", chance), ("confidence", unsure))
        }
        for again in drawn
    ]
    for one in each:
        one["gain"] = {key: value - one["confidence"][key] for key, value in one["p_error"].items()}
        first = [one[name]["precision_first_tenth"] for name in ("p_error", "confidence")]
        one["ratio"] = {"precision_first_tenth": first[0] / first[1]}
    return {
        "base_rate": round(float(wrong.mean()), 4),
        **{name: {key: round(value, 4) for key, value in one.items()} for name, one in each[0].items()},
        "intervals": {
            name: {key: between([other[name][key] for other in each[1:]]) for key in one}
            for name, one in each[0].items()
        },
    }  # fmt: skip


def between(values: list[float]) -> list[float]:
    """The central 95 %."""
    return [round(float(end), 4) for end in np.quantile(values, [0.025, 0.975])]


def measured(score: np.ndarray, error: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """One measure of doubt of M keypoints."""
    return {
        "auroc": trust.auroc(score, wrong),
        "spearman": trust.spearman(score, error),
        "risk_coverage": trust.risk_coverage(score, wrong),
        "precision_first_tenth": trust.precision_at(score, wrong, FIRST),
        "ece": trust.ece(score, wrong),
    }


def swap(
    people: People, who: np.ndarray, flip_index: tuple[int, ...], *, kind: str, seed: int
) -> People:
    """The people with left and right labels of some exchanged: of all pairs, or of one labeled pair drawn for each.

    Args:
        people: N people.
        who: (N,) bool.
        flip_index: K indices, Skeleton.flip_index.
        kind: "person" or "pair".
        seed: of the drawn pairs.
    """
    mirror, draw = np.asarray(flip_index), np.random.default_rng([seed, 2])
    order = np.tile(np.arange(len(mirror)), (len(people), 1))
    for index in np.flatnonzero(who):
        placed = people.state[index] == PLACED
        paired = np.flatnonzero((mirror > np.arange(len(mirror))) & placed & placed[mirror])
        if kind == "pair" and len(paired):
            paired = draw.choice(paired, 1)
        elif kind == "person":
            paired = np.flatnonzero(mirror > np.arange(len(mirror)))
        order[index, paired], order[index, mirror[paired]] = mirror[paired], paired
    rows = np.arange(len(people))[:, None]
    moved = {
        name: getattr(people, name)[rows, order] for name in ("xy_image", "state", "visibility")
    }
    return dataclasses.replace(people, **moved)


def make_swapped(asked: argparse.Namespace, dataset: Dataset) -> RunFolder:
    """A run folder whose snapshot has swapped labels; what is there already is kept."""
    snapshot = dataset.snapshot(asked.budget, asked.seed)
    labeled = np.flatnonzero(snapshot.people.split == "train")
    who = np.zeros(len(snapshot.people), bool)
    count = round(asked.share * len(labeled))
    who[np.random.default_rng([asked.seed, 3]).choice(labeled, count, replace=False)] = True
    people = swap(
        snapshot.people, who, dataset.skeleton.flip_index, kind=asked.kind, seed=asked.seed
    )
    snapshot = Snapshot(
        snapshots.content_id(people, dataset.skeleton), dataset.skeleton, people, snapshot.taught
    )
    name = f"swapped-{asked.dataset}-{asked.preset}-{asked.budget}-{asked.kind}-s{asked.seed}"
    run = RunFolder(dataset.project / "runs" / name)
    run.path.mkdir(parents=True, exist_ok=True)
    if not (run.path / "run.json").exists():
        quick = study.SETTINGS["quick"]
        changes = {
            **quick.changes, "data.cross_fit": 0.5, "train.schedule": "cosine",
            "train.steps": asked.steps, "train.seed": asked.seed,
            **dict(text.split("=", 1) for text in asked.set),
        }  # fmt: skip
        texts = {key: str(value) for key, value in changes.items()}
        made = settings.make(asked.preset, quick.size, texts)
        run.write_json("config.json", settings.to_dict(made))
        run.write_json("run.json", {
            "snapshot": datasets.keep(dataset, snapshot), "from": asked.start, "weights": asked.weights,
            "swapped": asked.kind,
        })  # fmt: skip
    return run


def train_swapped(asked: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    """Train the run of `swapped` to its end, or go on with it."""
    run = make_swapped(asked, dataset)
    return {"run": str(run.path), **worker.run(run.path)}


def score_suspects(asked: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    """The record of `suspects`: the people whose labels are not the dataset's are the ones to find."""
    run = RunFolder(Path(asked.run).resolve())
    snapshot = learned_from(run)
    people = snapshot.people
    place = np.searchsorted(dataset.learnable.instance_id, people.instance_id)
    clean = dataset.learnable.xy_image[place]
    different = np.nan_to_num(clean, nan=-1) != np.nan_to_num(people.xy_image, nan=-1)
    injected = np.asarray(different.any(axis=(1, 2)))
    if not injected.any():
        raise InputError(
            f"The labels of {run.path} are all the dataset's: make some with `swapped`."
        )
    judges, _ = hearing.listen(run, snapshot, dataset.project)
    flip, kind = snapshot.skeleton.flip_index, run.record().get("swapped", "person")
    share, draw = [], np.random.default_rng([asked.seed, 4])
    for _ in range(REDRAWN):
        who = np.zeros(len(people), bool)
        who[draw.choice(len(people), injected.sum(), replace=False)] = True
        fresh = dataclasses.replace(people, xy_image=clean, state=dataset.learnable.state[place])
        fresh = swap(fresh, who, flip, kind=kind, seed=int(draw.integers(1 << 31)))
        share.append(found_first(judges, fresh, flip, who))
    return {
        "labeled": len(people), "kind": kind, "injected": int(injected.sum()),
        "unseen": int(np.any([judge.unseen.any(axis=1) for judge in judges], axis=0).sum()),
        "found_in_first_tenth": round(found_first(judges, people, flip, injected), 4),
        "found_when_others_are_swapped": round(float(np.mean(share)), 4),
        "interval": between(share),
    }  # fmt: skip


def found_first(
    judges: list[Judge], people: People, flip_index: tuple[int, ...], injected: np.ndarray
) -> float:
    """Share of the injected people among the first tenth of the queue of suspect labels."""
    opinion = suspects.witnesses(judges, people.box_xywh, people.xy_image)
    found = suspects.suspect(opinion, people.box_xywh, people.xy_image, flip_index)
    first = [index for index, _, _ in suspects.ranked(found)][: round(FIRST * len(people))]
    return float(injected[first].sum() / injected.sum())


def main(line: list[str] | None = None) -> int:
    """Measure, print, and add a line to the results."""
    asked = parser().parse_args(line)
    torch.set_num_threads(1)
    start = time.monotonic()
    try:
        dataset = datasets.open_dataset(asked.dataset, Path(asked.data), Path(asked.work).resolve())
        if asked.verb == "swapped":
            print(json.dumps(train_swapped(asked, dataset)))
            return 0
        score = score_answers if asked.verb == "answers" else score_suspects
        found = score(asked, dataset)
    except PoseStudioError as error:
        print(error, file=sys.stderr)
        return 1
    record = {
        "measure": asked.verb, "dataset": asked.dataset, "run": Path(asked.run).name, **found,
        "seconds": round(time.monotonic() - start),
        "command": shlex.join(["python", "benchmarks/error_probability.py", *(line or sys.argv[1:])]),
    }  # fmt: skip
    print(json.dumps(record, indent=1))
    with Path(asked.out).open("a", encoding="utf-8") as file:
        file.write(json.dumps(record) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
