"""Rounds of correcting and training again: whom a strategy opens, what the annotator moves, and what comes of it.

A round goes on from the students of the one before: they predict the candidates, a strategy puts these in order, the
annotator opens them one by one until the actions of the round are spent, and both students train on, with all labels
so far. Opening a person is an action; so is moving a keypoint, which the annotator does where the students' proposal
is farther from the answer than a tolerance. A keypoint that is not moved keeps the proposal, error and all.
"""

import dataclasses
import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import datasets, hearing
from benchmarks.budget import cell as cells
from benchmarks.budget import scores, study
from benchmarks.budget.cell import Place
from benchmarks.budget.study import START, Cell
from posestudio import config as settings
from posestudio.predict import Predictor
from posestudio.store import snapshots
from posestudio.store.snapshots import OPEN, PLACED, People, Snapshot
from posestudio.studio import queue
from posestudio.studio.queue import Beliefs, Doubt
from posestudio.train import data, worker
from posestudio.train.run_folder import RunFolder

SPLITS = ("dev", "test2")
STUDENTS = ("a", "b")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a curve is and what its steps are.

    setting: of the label budget study, for networks and crops. budget: labels of the start. rounds: of correcting.
    actions: of a round. candidates: people that a strategy chooses among. steps: of training in a round. tolerance:
    over the box's height. changes: settings of every run, the start's too.
    """

    setting: str = "quick"
    budget: int = 100
    rounds: int = 4
    actions: int = 1000
    candidates: int = 1500
    steps: int = 500
    tolerance: float = 0.05
    changes: Mapping[str, str] = field(default_factory=dict)


PLANS = {"quick": Plan(), "brief": Plan("brief", actions=500, candidates=600, steps=300)}
"""By the name of --setting. Of quick a strategy and seed takes about half a core-hour."""


@dataclass(frozen=True, slots=True)
class Curve:
    """One strategy and seed of a plan, on a dataset."""

    dataset: str
    setting: str
    strategy: str
    seed: int
    plan: Plan

    @property
    def start(self) -> Cell:
        """The cell of the label budget study whose students the first round asks."""
        plan = self.plan
        return Cell(
            self.dataset, plan.setting, START, plan.budget, self.seed, 1, dict(plan.changes)
        )

    def name(self, number: int) -> str:
        """The run of a round; that of the start for round 0."""
        if number == 0:
            return self.start.name
        own = dataclasses.replace(self.start, arm=self.strategy).name
        return f"curve-{self.setting}-{own}-r{number}"

    def config(self) -> settings.Config:
        """Settings of a round's training: labels alone, each student leaving out a fifth of the people."""
        setting = study.SETTINGS[self.plan.setting]
        steps = self.plan.steps
        changes = {
            **setting.changes, "data.cross_fit": 0.2, "train.steps": steps, "train.save_every": steps,
            "train.seed": self.seed, **self.plan.changes,
        }  # fmt: skip
        return settings.make("supervised", setting.size, changes)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a strategy may look at: N people, of whom it orders the candidates.

    doubts: of the queue verb. peak: (N, K) of the ensemble. features: (N, D) of `queue.describe`. labeled, candidate:
    (N,) bool. draw: the seed's own order of everybody, the same in every round.
    """

    doubts: Doubt
    peak: np.ndarray
    features: np.ndarray
    labeled: np.ndarray
    candidate: np.ndarray
    draw: np.ndarray


def by_random(asked: Asked) -> list[int]:
    """In an order drawn once."""
    return [int(i) for i in asked.draw if asked.candidate[i]]


def by_confidence(asked: Asked) -> list[int]:
    """The least confident first: the mean of a person's lowest peaks."""
    return _ranked(Doubt(1 - asked.peak, None), asked)


def by_doubt(asked: Asked) -> list[int]:
    """The most doubtful first: the mean of a person's highest error probabilities."""
    return _ranked(asked.doubts, asked)


def by_variety(asked: Asked) -> list[int]:
    """Doubtful and unlike the labeled people and those already chosen."""
    worth = np.zeros(len(asked.labeled))
    ranked = queue.by_doubt(asked.doubts, _open(asked.doubts, asked), limit=len(worth))
    worth[[i for i, _ in ranked]] = [score for _, score in ranked]
    chosen = queue.by_variety(
        asked.features, asked.labeled, asked.candidate, limit=len(worth), worth=worth
    )
    return [i for i, _ in chosen]


def by_typical(asked: Asked) -> list[int]:
    """Who brings the other candidates nearest to somebody labeled or chosen: typical people, never the same twice.

    Source: greedy k-medians over the features, as facility location in Wei et al., ICML 2015.
    """
    left = np.flatnonzero(asked.candidate)
    features = asked.features[left]
    squares = (features**2).sum(axis=1)
    apart = np.sqrt(np.maximum(squares[:, None] + squares - 2 * features @ features.T, 0))
    labeled = asked.features[asked.labeled]
    near = np.full(len(left), apart.max(initial=0))
    for one in labeled:
        near = np.minimum(near, np.linalg.norm(features - one, axis=1))
    open_ = np.ones(len(left), bool)
    chosen = []
    while open_.any():
        gain = np.maximum(near - apart, 0).sum(axis=1)
        next_ = int(np.where(open_, gain, -1.0).argmax())
        chosen.append(int(left[next_]))
        open_[next_] = False
        near = np.minimum(near, apart[next_])
    return chosen


def _ranked(doubts: Doubt, asked: Asked) -> list[int]:
    return [i for i, _ in queue.by_doubt(doubts, _open(doubts, asked), limit=len(asked.candidate))]


def _open(doubts: Doubt, asked: Asked) -> np.ndarray:
    return np.isfinite(doubts.score) & asked.candidate[:, None]


STRATEGIES: dict[str, Callable[[Asked], list[int]]] = {
    "random": by_random,
    "confidence": by_confidence,
    "doubt": by_doubt,
    "doubt_variety": by_variety,
    "typical": by_typical,
}
"""Ways to order the candidates, by name."""


@dataclass(frozen=True, slots=True)
class Opened:
    """What a round's annotator did. who: indices in their order. moved: keypoints."""

    who: np.ndarray
    moved: int

    @property
    def actions(self) -> int:
        """One for each person and each moved keypoint."""
        return len(self.who) + self.moved


def annotate(
    people: People,
    truth: People,
    xy_proposed: np.ndarray,
    order: list[int],
    *,
    actions: int,
    tolerance: float,
) -> tuple[People, Opened]:
    """Open people in order until the actions are spent; the last one is seen through.

    Args:
        people: N people as their labels stand.
        truth: the same people with their answers.
        xy_proposed: (N, K, 2) where the students see the keypoints.
        order: indices.
        actions: to spend.
        tolerance: over the box's height, beyond which a keypoint is moved.

    Returns:
        The people with the labels of those opened, who are train now; and what was done.
    """
    known = truth.state == PLACED
    gap = np.linalg.norm(xy_proposed - truth.xy_image, axis=-1)
    near = gap <= tolerance * truth.box_xywh[:, 3:4]
    cost = 1 + (known & ~near).sum(axis=1)
    spent = np.cumsum(cost[order])
    who = np.array(order[: int((spent - cost[order] < actions).sum())], np.int64)
    label = np.where((known & near)[..., None], xy_proposed, truth.xy_image)
    there = np.zeros(len(people), bool)
    there[who] = True
    mine = there[:, None] & known
    changed = dataclasses.replace(
        people,
        xy_image=np.where(mine[..., None], label, people.xy_image),
        state=np.where(mine, PLACED, people.state).astype(np.int8),
        visibility=np.where(mine, truth.visibility, people.visibility).astype(np.int8),
        split=np.where(there, "train", people.split).astype(people.split.dtype),
        reviewed=people.reviewed | there,
    )
    return changed, Opened(who, int((cost[who] - 1).sum()))


def results_file(results: Path) -> Path:
    """Where finished rounds are written, one line each."""
    return results / "label_curve.jsonl"


def rows_file(results: Path, name: str) -> Path:
    """Where the rows of a round are kept."""
    return results / "label_curve" / f"{name}.parquet"


def finished(results: Path) -> dict[str, dict[str, Any]]:
    """The lines of results by run."""
    return {line["run"]: line for line in cells.lines_of(results_file(results)) if "run" in line}


def run(curve: Curve, place: Place) -> bool:
    """Compute the rounds that results lack, and again what they go on from if that is gone; False if asked to stop."""
    done = finished(place.results)
    missing = [n for n in range(curve.plan.rounds + 1) if curve.name(n) not in done]
    if not missing:
        return True
    if not cells.run_cell(curve.start, place):
        return False
    with place.alone(curve.name(curve.plan.rounds)) as mine:
        if not mine:
            return False
        torch.set_num_threads(curve.config().train.threads)
        return all(_round(curve, number, place) for number in range(missing[-1] + 1))


def _round(curve: Curve, number: int, place: Place) -> bool:
    """One round, as far as it is not done; whether it is finished."""
    name, started = curve.name(number), time.process_time()
    folder = RunFolder(place.dataset.project / "runs" / name)
    if number and not (folder.path / "run.json").exists():
        _prepare(curve, number, place)
    if not cells.trained(folder):
        worker.run(folder.path, stop=place.stop)
    if not cells.trained(folder):
        return False
    if name in finished(place.results):
        return True
    record = _judge(curve, number, place, folder)
    record["core_minutes"] = round((time.process_time() - started) / 60, 2)
    cells.append(record, place, results_file(place.results))
    folder.state_path.unlink(missing_ok=True)
    place.tell(f"{name}: AP {100 * record['ap']:.2f} on dev after {record['actions']} actions")
    return True


def _prepare(curve: Curve, number: int, place: Place) -> None:
    """The run folder of a round: the students of the one before say what they see, and labels are added."""
    before = RunFolder(place.dataset.project / "runs" / curve.name(number - 1))
    snapshot = snapshots.read(before.project / "snapshots" / str(before.record()["snapshot"]))
    people, opened = correct(curve, place, before, snapshot)
    skeleton = place.dataset.skeleton
    fresh = Snapshot(
        snapshots.content_id(people, skeleton), skeleton, people, snapshots.taught(people)
    )
    story = before.record().get("opened", {"people": 0, "moved": 0, "actions": 0})
    folder = RunFolder(place.dataset.project / "runs" / curve.name(number))
    folder.path.mkdir(parents=True, exist_ok=True)
    folder.write_json("config.json", settings.to_dict(curve.config()))
    folder.write_json("run.json", {
        "snapshot": datasets.keep(place.dataset, fresh), "from": before.path.name,
        "weights": before.record()["weights"],
        "opened": {
            "people": story["people"] + len(opened.who), "moved": story["moved"] + opened.moved,
            "actions": story["actions"] + opened.actions,
        },
    })  # fmt: skip


def correct(
    curve: Curve, place: Place, before: RunFolder, snapshot: Snapshot
) -> tuple[People, Opened]:
    """One round of correcting, by the curve's strategy."""
    people, plan, truth = snapshot.people, curve.plan, place.dataset.learnable
    labeled = (people.state == PLACED).any(axis=1)
    draw = np.random.default_rng([curve.seed, 21]).permutation(len(people))
    hidden = ~place.dataset.labeled(plan.budget, curve.seed) & (truth.state == PLACED).any(axis=1)
    candidate = np.zeros(len(people), bool)
    candidate[draw[hidden[draw]][: plan.candidates]] = True
    candidate &= (people.state == OPEN).all(axis=1)
    source = data.open_source(snapshot, place.dataset.project, before.config())
    who = np.flatnonzero(labeled | candidate)
    judges, peak = hearing.hear(before, snapshot, source, who)
    peak = np.where(snapshot.taught, peak, np.nan)
    nothing = np.full(peak.shape, np.nan)
    known = Beliefs(judges[0].xy_image, peak, nothing, nothing, np.zeros(len(people), bool))
    doubts = queue.doubt(
        known, people.box_xywh, people.xy_image, calibrating=judges[0].unseen, judges=judges
    )
    features = queue.describe(known, people.box_xywh)
    order = STRATEGIES[curve.strategy](Asked(doubts, peak, features, labeled, candidate, draw))
    return annotate(
        people, truth, known.xy_image, order, actions=plan.actions, tolerance=plan.tolerance
    )


def _judge(curve: Curve, number: int, place: Place, folder: RunFolder) -> dict[str, Any]:
    """Predict those who judge, keep the rows, and make the round's line of results from them."""
    predictor = Predictor.load(folder.path)
    found: dict[tuple[str, str], scores.Rows] = {}
    for split in SPLITS:
        crops = scores.open_crops(
            place.dataset, split, predictor.spec.size_hw, predictor.spec.padding
        )
        for name, one in scores.predict(predictor, crops, STUDENTS).items():
            found[split, name] = scores.rows_of(crops.people, one, predictor.skeleton)
    path = rows_file(place.results, curve.name(number))
    path.parent.mkdir(parents=True, exist_ok=True)
    scores.write(path, found)
    record = folder.record()
    snapshot = snapshots.read(folder.project / "snapshots" / str(record["snapshot"]))
    opened = record.get("opened", {"people": 0, "moved": 0, "actions": 0})
    numbers = {split: [scores.numbers(found[split, name]) for name in STUDENTS] for split in SPLITS}
    mean = {
        ("" if split == "dev" else f"{split}_") + key: round(sum(n[key] for n in each) / len(each), 5)
        for split, each in numbers.items()
        for key in ("ap", "ap50", "pck", "pck10")
    }  # fmt: skip
    return {
        "run": curve.name(number), "dataset": curve.dataset, "setting": curve.setting,
        "strategy": curve.strategy if number else START, "seed": curve.seed, "round": number,
        "labeled": int((snapshot.people.state == PLACED).any(axis=1).sum()), **opened, **mean,
        "plan": dataclasses.asdict(curve.plan), "device": "cpu" if number == 0 else folder.metrics()["device"],
        "commit": cells.commit(), "torch": torch.__version__, "command": command(curve, place),
    }  # fmt: skip


def command(curve: Curve, place: Place) -> str:
    """The line that computes this curve again from nothing."""
    words = ["python", "benchmarks/label_curve.py", "run", "--data", place.data]
    words += ["--weights", place.weights] if place.weights else []
    words += ["--dataset", curve.dataset, "--setting", curve.setting]
    words += ["--strategies", curve.strategy, "--seeds", str(curve.seed)]
    for key, value in curve.plan.changes.items():
        words += ["--set", f"{key}={value}"]
    return shlex.join(words)
