"""What all computing verbs stand on, and two of them: predict and pool. The others: `training`, `scores`, `take_away`.

None of them holds the store while it computes: each reads a snapshot, works in the run's folder, then registers what
it found. So they run in any process, beside the app too.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from posestudio.errors import NotFound, TrainingError
from posestudio.store.snapshots import OPEN, People, Snapshot
from posestudio.store.snapshots import read as read_snapshot
from posestudio.studio import beliefs, evidence, hindsight, ledger, queue, results
from posestudio.train.ledger import POOL_FILE
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.predict import Predictor
    from posestudio.studio.studio import Studio

Student = Literal["a", "b", "ensemble"]
Progress = Callable[[str, int, int], None]


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
        predictor, people, studio.project, progress=named("predicting", progress)
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
    """Predict the project's people; write COCO results with the ids of the labels that `export_coco` writes.

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
        progress=named("predicting", progress),
    )
    if student not in found:
        raise NotFound(
            f"Run {run_id} has no student {student}. It has {', '.join(predictor.students)}, ensemble."
        )
    if register:
        path = ledger.write_predictions(studio.run_folder(run_id), run_id, people, found)
        studio.call("register_predictions", run_id=run_id, path=str(path))
    written = {"out": None, "files": []}
    if out is not None:
        kept = results.of_people(studio, people, *found[student], snapshot.skeleton, split=split)
        written = results.write(out, kept)
    return {"run_id": run_id, "student": student, "flip": flip, "people": len(people), **written}


def pool(
    studio: "Studio", *, run: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Refresh a run's ledger: every offer of every open keypoint, its uncertainty, and the chance of an error."""
    run_id, predictor = choose(studio, run)
    snapshot, folder = now(studio), RunFolder(studio.run_folder(run_id))
    people, found = predict_all(studio, run_id, snapshot, progress=progress)
    heard, told = evidence.Hearing.of(folder, snapshot), named("pooling", progress)
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


def named(what: str, progress: Progress | None) -> Callable[[int, int], None] | None:
    """Progress of one kind of work, as the rooms below tell it: (done, in all)."""
    if progress is None:
        return None
    return lambda done, total: progress(what, done, total)
