"""The app's own loop, with a dataset's answers as the person: ask the queue, correct people, train again, predict.

Everything goes through `Studio.call` and the background jobs that the pages start, so what is measured is the app. A
project of its own for each arm and seed, copied from the seed's start: a first run from few labels.
"""

import dataclasses
import json
import os
import shlex
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.budget import cell as cells
from benchmarks.budget import scores
from benchmarks.budget.cell import Place
from benchmarks.budget.study import START
from posestudio.core.skeleton import Skeleton
from posestudio.errors import TrainingError
from posestudio.store.snapshots import OPEN, PLACED, People, Snapshot
from posestudio.studio import beliefs, ranking, studio, training, work
from posestudio.studio.jobs import Jobs
from posestudio.studio.studio import Studio

WHO = "answers"
ARMS = ("queue", "random", "none")
"""Who is corrected: whom the queue names, anybody, or nobody."""
ORDERS = {"queue": "doubt", "random": "random"}
"""Order of the verb `queue` that an arm asks for."""
STUDENTS = ("a", "b")


@dataclass(frozen=True, slots=True)
class Plan:
    """How long a loop is.

    budget: labeled people of the start. people: corrected in a round. candidates: people without labels in the
    project. preset, steps: of the training of a round. start: steps of the first run, from labels alone. split: of the
    dataset, whose people are the project's val. tolerance: over the box's height, within which a proposal is accepted
    as it stands. changes: settings of every run.
    """

    budget: int = 100
    people: int = 50
    rounds: int = 3
    candidates: int = 600
    preset: str = "best"
    steps: int = 200
    start: int = 1500
    split: str = "test2"
    tolerance: float = 0.05
    changes: Mapping[str, str] = field(default_factory=dict)


SETTINGS = {
    "model.freeze": "2", "data.rotation": "45", "data.padding": "1.1", "data.spread": "1.5", "train.precision": "bf16",
    "train.threads": "1",
}  # fmt: skip
"""Of every run, as in setting quick of the label budget study; the others are the app's own."""
SHORT = {"loss.ramp": "100", "train.save_every": "100"}
"""Of the runs of a round. Without a ramp, and with a weight average as short as they are, heatmaps fade from run to run
(docs/results.md)."""


@dataclass(frozen=True, slots=True)
class Loop:
    """One arm and seed of a plan on a dataset."""

    dataset: str
    arm: str
    seed: int
    plan: Plan

    @property
    def name(self) -> str:
        """The folder of its projects and the beginning of its rows' names."""
        return f"loop-{self.dataset}-{self.plan.budget}-s{self.seed}"

    def project(self, place: Place) -> Path:
        """The arm's own project."""
        return place.dataset.project / "loops" / self.name / self.arm


def results_file(results: Path) -> Path:
    """Where finished rounds are written, one line each."""
    return results / "correction_loop.jsonl"


def rows_file(results: Path, line: Mapping[str, Any]) -> Path:
    """Where the rows of a round are kept."""
    return results / "correction_loop" / f"{line['loop']}-{line['arm']}-r{line['round']}.parquet"


def finished(results: Path) -> dict[tuple[str, str, int], dict[str, Any]]:
    """The lines of results by loop, arm and round."""
    lines = cells.lines_of(results_file(results))
    return {(line["loop"], line["arm"], line["round"]): line for line in lines if "loop" in line}


def run(loop: Loop, place: Place) -> bool:
    """Compute the rounds that results lack; False if asked to stop before the end."""
    first = dataclasses.replace(loop, arm=START)
    with place.alone(loop.name) as mine:
        if not mine or not _rounds(first, place, 0):
            return False
    with place.alone(f"{loop.name}-{loop.arm}") as mine:
        if not mine:
            return False
        copied(first.project(place), loop.project(place))
        return _rounds(loop, place, loop.plan.rounds)


def copied(source: Path, target: Path) -> None:
    """A project folder as it stands, whole or not at all; nothing if there is one already."""
    if not target.exists():
        part = target.with_name(f".{target.name}-{os.getpid()}")
        shutil.copytree(source, part)
        part.rename(target)


def _rounds(loop: Loop, place: Place, last: int) -> bool:
    """The start (round 0), or rounds 1 to the last, as far as they are not done."""
    numbers = range(1, last + 1) if last else range(1)
    if all((loop.name, loop.arm, number) in finished(place.results) for number in numbers):
        return True
    folder = loop.project(place)
    if not folder.exists():
        begin(loop, place, folder)
    with Studio(folder, hold=True) as opened:
        return all(_round(loop, number, place, opened) for number in numbers)


def begin(loop: Loop, place: Place, folder: Path) -> None:
    """A project as a user would have it: few labels, candidates without any, and a val set."""
    plan, dataset = loop.plan, place.dataset
    people, labeled = dataset.learnable, dataset.labeled(plan.budget, loop.seed)
    draw = np.random.default_rng([loop.seed, 31]).permutation(np.flatnonzero(~labeled))
    there = labeled.copy()
    there[draw[: plan.candidates]] = True
    part = folder.with_name(f".{folder.name}-{os.getpid()}")
    studio.create(part)
    opened = Studio(part)
    for split, mine, shown in (
        ("val", dataset.people(plan.split), None),
        ("train", people.take(there), [people.file_name[i] for i in np.flatnonzero(labeled)]),
    ):
        root = Path(dataset.project, mine.image_path[0]).parent
        file = part / f"{split}.json"
        file.write_text(json.dumps(coco(mine, dataset.skeleton)), "utf-8")
        opened.call("import_coco", file=str(file), images=str(root), split=split, labeled=shown)
    part.rename(folder)


def coco(people: People, skeleton: Skeleton) -> dict[str, Any]:
    """People with their labels as a COCO keypoint file; file names are those of their images."""
    images = [
        {"id": int(i), "file_name": Path(path).name, "width": int(w), "height": int(h)}
        for i, path, w, h in zip(
            people.image_id, people.image_path, people.width, people.height, strict=True
        )
    ]
    annotations = [
        {
            "id": place + 1, "image_id": int(people.image_id[place]), "category_id": 1, "iscrowd": 0,
            "bbox": people.box_xywh[place].tolist(), "area": float(people.area[place]),
            "keypoints": _triples(people, place), "num_keypoints": int((people.state[place] == PLACED).sum()),
        }
        for place in range(len(people))
    ]  # fmt: skip
    category = {"id": 1, "name": "person", "supercategory": "person", **skeleton.to_dict()}
    return {"images": images, "annotations": annotations, "categories": [category]}


def _triples(people: People, place: int) -> list[float]:
    known = people.state[place] == PLACED
    xy = np.where(known[:, None], people.xy_image[place], 0.0)
    v = np.where(known, people.visibility[place], 0)
    return np.concatenate([xy, v[:, None]], axis=1).ravel().tolist()


def _round(loop: Loop, number: int, place: Place, opened: Studio) -> bool:
    """Correct, train and judge, as far as that is not done; whether the round is finished."""
    if (loop.name, loop.arm, number) in finished(place.results):
        return True
    started, note = time.process_time(), opened.project / f"round{number}.json"
    story: dict[str, Any] = json.loads(note.read_text("utf-8")) if note.exists() else {}

    def keep(**more: Any) -> None:
        story.update(more)
        note.write_text(json.dumps(story), "utf-8")

    if "people" not in story:
        keep(people=asked_for(loop, opened) if number else [])
    if "moved" not in story:
        keep(**correct(loop, number, place, opened, story["people"]))
    if "run_id" not in story:
        keep(run_id=_start(loop, number, place, opened))
    if not trained(opened, story["run_id"], place.stop):
        return False
    line, rows = judge(loop, number, place, opened, story)
    line["core_minutes"] = round((time.process_time() - started) / 60, 2)
    path = rows_file(place.results, line)
    path.parent.mkdir(parents=True, exist_ok=True)
    scores.write(path, rows)
    cells.append(line, place, results_file(place.results))
    place.tell(f"{loop.name} {loop.arm} round {number}: AP {100 * line['ap']:.2f}")
    return True


def asked_for(loop: Loop, opened: Studio) -> list[int]:
    """Whom the arm corrects next; nobody in arm none."""
    if loop.arm not in ORDERS:
        return []
    order = ORDERS[loop.arm]
    answer = opened.call("queue", limit=loop.plan.people, order=order, split="unlabeled")
    return [item["instance_id"] for item in answer["items"]]


def correct(
    loop: Loop, number: int, place: Place, opened: Studio, people: list[int]
) -> dict[str, Any]:
    """See people through as a careful person would: accept what is right, move what is not, say what has no answer.

    Returns:
        accepted, moved: how many keypoints in this round, before it was broken off too.
    """
    if not people:
        return {"accepted": 0, "moved": 0}
    snapshot, deeds = work.now(opened), f"{loop.arm}-{number}-"
    run_id = opened.call("newest_run")["run_id"]
    told = opened.call("predictions", run=run_id)
    mine = snapshot.people.take(np.isin(snapshot.people.instance_id, people))
    xy, _ = beliefs.points([row for row in told if row["student"] == "ensemble"], mine)
    truth = {name: at for at, name in enumerate(place.dataset.learnable.file_name)}
    for at in range(len(mine)):
        answer = truth[Path(str(mine.file_name[at])).name]
        said = opinion(
            snapshot, mine.state[at], xy[at], place.dataset.learnable, answer, loop.plan.tolerance
        )
        person, deed = int(mine.instance_id[at]), f"{deeds}{mine.instance_id[at]}"
        if said[0]:
            opened.call(
                "accept", instance_id=person, who=WHO, edit_id=f"{deed}-accept", run=run_id, keypoints=said[0]
            )  # fmt: skip
        if said[1]:
            opened.call(
                "label", instance_id=person, edits=said[1], who=WHO, edit_id=f"{deed}-label"
            )
    return counted(opened, deeds, people)


def counted(opened: Studio, deeds: str, people: list[int]) -> dict[str, int]:
    """How many keypoints of people were accepted and moved, by the journal's rows whose edit_id begins with `deeds`."""
    rows = [
        row
        for person in people
        for row in opened.call("history", instance_id=person)
        if (row["edit_id"] or "").startswith(deeds) and row["state"] == "placed"
    ]
    accepted = sum(row["origin"] == "accept" for row in rows)
    return {"accepted": accepted, "moved": len(rows) - accepted}


def opinion(
    snapshot: Snapshot,
    state: np.ndarray,
    xy: np.ndarray,
    truth: People,
    answer: int,
    tolerance: float,
) -> tuple[list[str], list[dict[str, Any]]]:
    """What the answers say of a person's open, taught keypoints: names to accept as they are, and edits of the rest."""
    near = tolerance * truth.box_xywh[answer, 3]
    accepted: list[str] = []
    edits: list[dict[str, Any]] = []
    for k in np.flatnonzero((state == OPEN) & snapshot.taught):
        name = snapshot.skeleton.keypoints[k]
        if truth.state[answer, k] != PLACED:
            edits.append({"keypoint": name, "state": "absent", "reason": "cannot tell"})
        elif np.linalg.norm(xy[k] - truth.xy_image[answer, k]) <= near:
            accepted.append(name)
        else:
            x, y = truth.xy_image[answer, k].tolist()
            v = int(truth.visibility[answer, k])
            edits.append({"keypoint": name, "state": "placed", "x": x, "y": y, "v": v})
    return accepted, edits


def _start(loop: Loop, number: int, place: Place, opened: Studio) -> str:
    """A run for the labels as they are now; in a round it goes on from the one before."""
    plan, seed = loop.plan, {"train.seed": str(loop.seed)}
    if not number:
        made = training.start(
            opened, preset="supervised", size="small", weights=place.weights,
            changes={**SETTINGS, "train.steps": str(plan.start), **seed, **plan.changes},
        )  # fmt: skip
    else:
        made = training.start(
            opened, preset=plan.preset, from_run=opened.call("newest_run")["run_id"],
            changes={**SETTINGS, **SHORT, "train.steps": str(plan.steps), **seed, **plan.changes},
        )  # fmt: skip
    return str(made["run_id"])


def trained(opened: Studio, run_id: str, stop: Callable[[], bool]) -> bool:
    """Carry a run out as the page's button does; False if asked to stop before it was done.

    Raises:
        TrainingError: it failed.
    """
    if opened.call("run", run=run_id)["status"] == "done" and _predicted(opened, run_id):
        return True
    jobs = Jobs(opened)
    done = opened.call("run", run=run_id)["status"] == "done"
    job = jobs.follow_up(run_id) if done else jobs.train(run_id)
    while job.alive:
        job.thread.join(0.5)
        if stop():
            jobs.close()
            return False
    if job.problem:
        raise TrainingError(f"Run {run_id} of {opened.project} came to nothing: {job.problem}")
    return opened.call("run", run=run_id)["status"] == "done"


def _predicted(opened: Studio, run_id: str) -> bool:
    return (opened.run_folder(run_id) / ranking.FILE).exists()


def judge(
    loop: Loop, number: int, place: Place, opened: Studio, story: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[tuple[str, str], scores.Rows]]:
    """What the run's students, one by one, said of val: the round's line of results, and its rows."""
    plan, run_id = loop.plan, story["run_id"]
    people = work.now(opened).people
    labeled = int(((people.state == PLACED).any(axis=1) & (people.split == "train")).sum())
    val = people.take((people.split == "val") & people.reviewed)
    val = val.take(np.argsort(np.array(val.file_name), kind="stable"))
    folder = opened.run_folder(run_id)
    rows = {
        (plan.split, name): scores.rows_of(
            val, ranking.stored(folder, val, name), place.dataset.skeleton
        )
        for name in STUDENTS
    }
    each = [scores.numbers(one) for one in rows.values()]
    means = {
        key: round(sum(n[key] for n in each) / len(each), 5)
        for key in ("ap", "ap50", "pck", "pck10")
    }
    line = {
        "loop": loop.name, "dataset": loop.dataset, "arm": loop.arm, "seed": loop.seed, "round": number,
        "split": plan.split, "labeled": labeled, "corrected": len(story["people"]), "accepted": story["accepted"],
        "moved": story["moved"], **means, "plan": dataclasses.asdict(plan), "commit": cells.commit(),
        "torch": torch.__version__, "command": command(loop, place),
    }  # fmt: skip
    return line, rows


def command(loop: Loop, place: Place) -> str:
    """The line that computes this loop again from nothing."""
    words = ["python", "benchmarks/correction_loop.py", "run", "--data", place.data]
    words += ["--weights", place.weights] if place.weights else []
    words += ["--dataset", loop.dataset, "--arms", loop.arm, "--seeds", str(loop.seed)]
    return shlex.join(words)
