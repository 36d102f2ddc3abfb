"""Verbs that compute: train, predict, pool, evaluate, import with a detector.

None of them holds the store while it computes: each reads a snapshot, works in the run's folder, then registers what
it found. So they run in any process, beside the app too.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from posestudio import config, events
from posestudio import evaluate as scoring
from posestudio.core import metrics
from posestudio.errors import InputError, NotFound, TrainingError
from posestudio.store.snapshots import OPEN, PLACED, People, Snapshot
from posestudio.store.snapshots import read as read_snapshot
from posestudio.studio import beliefs, evidence, hindsight, ledger, queue, settings
from posestudio.studio.json_form import plain, write_json
from posestudio.train.ledger import POOL_FILE
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.predict import Predictor
    from posestudio.studio.studio import Studio

Student = Literal["a", "b", "ensemble"]
Progress = Callable[[str, int, int], None]
Stop = Callable[[], bool]
Listener = Callable[[events.Event], None]


class Train(Protocol):
    """Whoever trains a run folder to its end: this process, or a child."""

    def __call__(
        self,
        folder: Path,
        *,
        stop: Stop | None,
        on_event: Listener | None,
        progress: Progress | None,
    ) -> None:
        """Train `folder`; the same arguments as `train_here`."""
        ...


def train_here(
    folder: Path,
    *,
    stop: Stop | None = None,
    on_event: Listener | None = None,
    progress: Progress | None = None,
) -> None:
    """Train a run folder in this thread."""
    from posestudio.train import worker  # lazy: torch

    worker.run(folder, stop=stop, on_event=on_event, progress=progress)


def start(
    studio: "Studio",
    *,
    preset: str | None = None,
    size: str | None = None,
    changes: Mapping[str, str] | None = None,
    from_run: str | None = None,
    weights: str | None = None,
) -> dict[str, Any]:
    """Make a run: freeze the labels, write its folder, register it. Nothing is trained yet.

    Args:
        studio: the project.
        preset: a key of config.PRESETS; paper when absent.
        size: a key of config.SIZES; that of the run to start from, or by the device, when absent.
        changes: dotted settings to values.
        from_run: the run whose students are the start; its model.* and data.* settings hold unless changed.
        weights: ImageNet weights on disk.

    Returns:
        {"run_id", "snapshot_id", "labeled", "val", "notes": lines for the user}.

    Raises:
        ConfigError, NotFound, TrainingError: it cannot be made.
    """
    changes = dict(changes or {})
    if from_run is not None:
        before = studio.call("run", run=from_run)
        from_run, size = before["run_id"], size or before["size"]
        if size == before["size"]:
            changes = {**settings.inherited(before["settings"]), **changes}
    if weights is not None and not Path(weights).is_file():
        raise NotFound(f"No weights file at {weights}.")
    chosen = settings.complete(preset, size, changes)
    return studio.call(
        "start_run", settings=config.to_dict(chosen), from_run=from_run, weights=weights
    )


def resumable(studio: "Studio", run: str) -> str:
    """The id of a run that can go on.

    Raises:
        TrainingError: it is done, or is training somewhere.
    """
    found = studio.call("run", run=run)
    if found["status"] in ("running", "stopping"):
        raise TrainingError(
            f"Run {found['run_id']} is training already. Stop it first: posestudio stop {found['run_id']}"
        )
    if found["status"] == "done":
        raise TrainingError(
            f"Run {found['run_id']} is done. Start another from it: posestudio train --from {found['run_id']}"
        )
    return found["run_id"]


def carry_out(
    studio: "Studio",
    run_id: str,
    *,
    train: Train = train_here,
    stop: Stop | None = None,
    on_event: Listener | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a run, then predict everyone, evaluate on val if there is one, and register all that.

    Returns:
        The run as verb `run` shows it, with "scores" on val (None without a val set).

    Raises:
        TrainingError: the run cannot go on; it is registered as failed.
    """
    folder = RunFolder(studio.run_folder(run_id))
    try:
        train(folder.path, stop=stop, on_event=on_event, progress=progress)
    except BaseException:
        if not folder.alive():
            studio.call("note_run", run_id=run_id)
        raise
    if not folder.students():
        return studio.call("note_run", run_id=run_id)
    studio.call("note_run", run_id=run_id)
    snapshot = now(studio)
    predict_all(studio, run_id, snapshot, progress=progress)
    scores = None
    people = snapshot.people
    if (people.reviewed & ~people.iscrowd & (people.split == "val")).any():
        scores = evaluate(studio, run=run_id, snapshot=snapshot, progress=progress)
    return {**studio.call("run", run=run_id), "scores": scores}


def now(studio: "Studio") -> Snapshot:
    """The project's people and labels as they are, frozen."""
    return read_snapshot(Path(studio.call("snapshot")["path"]))


def choose(studio: "Studio", run: str | None) -> tuple[str, "Predictor"]:
    """A run by name, or the newest that left students; with its students loaded.

    Raises:
        NotFound: no such run, or none yet.
    """
    from posestudio.predict import Predictor  # lazy: torch

    run_id = studio.call("run", run=run)["run_id"] if run else studio.call("newest_run")["run_id"]
    return run_id, Predictor.load(studio.run_folder(run_id))


def predict_all(
    studio: "Studio", run_id: str, snapshot: Snapshot, *, progress: Progress | None = None
) -> tuple[People, dict[Any, Any]]:
    """Predict everyone but crowds by all students of a run, and register that as the run's predictions.

    Returns:
        The people, and for each student xy_image (N, K, 2) and score (N, K).
    """
    from posestudio.predict import Predictor, predict_people  # lazy: torch

    predictor = Predictor.load(studio.run_folder(run_id))
    check_skeleton(predictor, snapshot, run_id)
    people = snapshot.people.take(~snapshot.people.iscrowd)
    found = predict_people(
        predictor, people, studio.project, progress=_named("predicting", progress)
    )
    path = ledger.write_predictions(studio.run_folder(run_id), run_id, people, found)
    studio.call("register_predictions", run_id=run_id, path=str(path))
    return people, dict(found)


def predict(
    studio: "Studio",
    *,
    run: str | None = None,
    split: str | None = None,
    student: Student = "ensemble",
    flip: bool = False,
    out: Path | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Predict the project's people; write COCO results with the sources' image ids.

    Without a split and flip, all students' predictions are registered as the run's.
    """
    from posestudio.predict import predict_people  # lazy: torch

    run_id, predictor = choose(studio, run)
    snapshot = now(studio)
    check_skeleton(predictor, snapshot, run_id)
    people = snapshot.people
    wanted = ~people.iscrowd if split is None else ~people.iscrowd & (people.split == split)
    people = people.take(wanted)
    register = split is None and not flip
    students: tuple[Student, ...] = ("a", "b", "ensemble") if register else (student,)
    found = predict_people(
        predictor,
        people,
        studio.project,
        students=students,
        flip=flip,
        progress=_named("predicting", progress),
    )
    if student not in found:
        raise NotFound(
            f"Run {run_id} has no student {student}. It has {', '.join(predictor.students)}, ensemble."
        )
    if register:
        path = ledger.write_predictions(studio.run_folder(run_id), run_id, people, found)
        studio.call("register_predictions", run_id=run_id, path=str(path))
    if out is not None:
        write_json(out, scoring.coco_results(people, *found[student], snapshot.skeleton))
    return {
        "run_id": run_id,
        "student": student,
        "flip": flip,
        "people": len(people),
        "out": str(out) if out else None,
    }


def export_predictions(
    studio: "Studio",
    out: Path,
    *,
    run: str | None = None,
    student: str = "ensemble",
    split: str | None = None,
) -> dict[str, Any]:
    """Write the stored predictions of a run, or of an imported model, as COCO results; nothing is computed anew.

    Raises:
        NotFound: no such run or model, or it has predicted nobody.
    """
    name = run or studio.call("newest_run")["run_id"]
    rows = studio.call("predictions", run=name)
    rows = [row for row in rows if row["student"] in (student, "-")]
    snapshot = now(studio)
    people = (
        snapshot.people if split is None else snapshot.people.take(snapshot.people.split == split)
    )
    results = scoring.coco_results(people, *beliefs.points(rows, people), snapshot.skeleton)
    if not results:
        raise NotFound(
            f"{name} has predicted nobody here. Make predictions: posestudio predict --run {name} --out FILE"
        )
    write_json(out, results)
    return {"run_id": name, "student": student, "people": len(results), "out": str(out)}


def evaluate(
    studio: "Studio",
    *,
    run: str | None = None,
    split: str = "val",
    student: Student = "ensemble",
    flip: bool = False,
    snapshot: Snapshot | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Score a run, or an imported model by its name, on the reviewed people of a split.

    Raises:
        InputError: nobody of the split can be evaluated.
    """
    from posestudio.predict import predict_people  # lazy: torch

    snapshot = snapshot or now(studio)
    people = snapshot.people.take(snapshot.people.split == split)
    judged = people.reviewed & ~people.iscrowd
    if not judged.any():
        raise InputError(nobody(people, split))
    xy_image = np.full(people.xy_image.shape, np.nan)
    score = np.zeros(people.state.shape)
    imported = any(row["model"] == run and row["run_id"] is None for row in studio.call("models"))
    if imported:
        run_id = str(run)
        found = beliefs.points(studio.call("predictions", run=run_id), people.take(judged))
    else:
        run_id, predictor = choose(studio, run)
        check_skeleton(predictor, snapshot, run_id)
        found = predict_people(
            predictor, people.take(judged), studio.project, students=(student,), flip=flip,
            progress=_named("predicting", progress),
        )[student]  # fmt: skip
    xy_image[judged], score[judged] = found
    scores = scoring.evaluate(people, xy_image, score, snapshot.skeleton, snapshot.taught)
    record = plain({
        "run_id": run_id, "split": split, "student": "model" if imported else student, "flip": flip,
        "revision": ledger.revision(people), **scores.to_dict(),
        "mean_pose_pck@0.2": floor(snapshot, people.take(judged)),
    })  # fmt: skip
    if not imported:
        studio.call("record_scores", run_id=run_id, scores=record)
    return record


def floor(snapshot: Snapshot, people: People) -> float | None:
    """PCK@0.2 of the same mean pose in every box, that of the train labels: what any model must beat."""
    train = snapshot.people.take(snapshot.people.split == "train")
    if not (train.state == PLACED).any():
        return None
    guess, _ = scoring.mean_pose_predictions(people, scoring.mean_pose(train))
    labeled = (people.state == PLACED) & snapshot.taught
    longer = people.box_xywh[:, 2:].max(axis=1)
    return metrics.pck(guess, people.xy_image, labeled, longer, 0.2).overall


def pool(
    studio: "Studio", *, run: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Refresh a run's ledger: every offer of every open keypoint, its uncertainty, and the chance of an error."""
    run_id, predictor = choose(studio, run)
    snapshot, folder = now(studio), RunFolder(studio.run_folder(run_id))
    people, found = predict_all(studio, run_id, snapshot, progress=progress)
    heard, told = evidence.Hearing.of(folder, snapshot), _named("pooling", progress)
    offers = ledger.offers(folder, predictor, snapshot, heard=heard, progress=told)
    heard.write(folder.path)
    uncertainty = np.full(people.state.shape, np.nan)
    uncertainty[np.searchsorted(people.instance_id, offers.instance_id)] = (
        ledger.keypoint_uncertainty(offers)
    )
    known = beliefs.from_students(found, uncertainty)
    fresh = evidence.unseen(studio.project, run_id, people)
    doubts = queue.doubt(
        known, people.box_xywh, people.xy_image, calibrating=np.asarray(fresh.all(axis=0)),
        judges=evidence.read(folder.path, people, fresh),
    )  # fmt: skip
    asked = (
        (people.state == OPEN)
        & snapshot.taught
        & np.isin(people.split, ["train", "unlabeled"])[:, None]
    )
    rows = ledger.uncertainty_rows(people, snapshot.skeleton.keypoints, asked, known, doubts)
    studio.call(
        "register_uncertainties",
        run_id=run_id,
        path=str(ledger.write_uncertainties(folder.path, rows)),
    )
    return {
        "run_id": run_id, "ledger": str(folder.path / POOL_FILE), **ledger.summary(offers),
        "calibrated": doubts.probability is not None,
        "pseudo_labels": hindsight.brief(studio.call("ledger_scores", run=run_id)),
    }  # fmt: skip


def nobody(people: People, split: str) -> str:
    """Why these people of a split cannot be evaluated, and what to do."""
    there = int((~people.iscrowd).sum())
    if there:
        return (
            f"None of the {there} people of {split} has every keypoint reviewed.\n"
            f"Label some: posestudio queue --split {split}"
        )
    if split != "val":
        return f"There is nobody in the split {split}. See: posestudio split"
    return (
        "There is no val set yet.\nSet some labeled people aside: posestudio split val --share 0.2, "
        "or import some: posestudio import coco FILE --images DIR --split val"
    )


def check_skeleton(predictor: "Predictor", snapshot: Snapshot, run_id: str) -> None:
    """See that a run's students know the project's keypoints.

    Raises:
        TrainingError: they were trained on others.
    """
    theirs, ours = predictor.skeleton.keypoints, snapshot.skeleton.keypoints
    if theirs != ours:
        raise TrainingError(
            f"Run {run_id} has {len(theirs)} keypoints, the project {len(ours)}. Train a new run."
        )


def _named(what: str, progress: Progress | None) -> Callable[[int, int], None] | None:
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)
