"""Store verbs about runs, their predictions, pool and scores."""

import json
import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio import config
from posestudio.config import unknown
from posestudio.errors import InputError, NotFound, TrainingError
from posestudio.store import freeze, predictions, runs, splits
from posestudio.store import snapshots as frozen
from posestudio.store.database import Store
from posestudio.studio import plan, standing
from posestudio.train.run_folder import RunFolder

Record = dict[str, Any]

MANNERS = (
    "bold", "brave", "bright", "calm", "clear", "eager", "fair", "gentle", "glad", "kind", "lively", "lucky", "mellow",
    "mild", "neat", "proud", "quick", "quiet", "sharp", "steady", "sunny", "swift", "warm", "wise",
)  # fmt: skip
ANIMALS = (
    "badger", "beaver", "bison", "crane", "deer", "dove", "falcon", "finch", "fox", "gull", "hare", "heron", "ibex",
    "jay", "lark", "lynx", "marten", "otter", "owl", "plover", "raven", "robin", "seal", "wren",
)  # fmt: skip

STORED = {"queued": "waiting", "stopping": "running"}
"""Words of a run's folder that the store has another word for."""


def start_run(
    store: Store, settings: Record, from_run: str | None = None, weights: str | None = None
) -> Record:
    """Make a run: freeze the labels, write its folder, register it.

    Returns:
        run_id, snapshot_id, labeled (people to learn from), val (people to evaluate on), notes (lines for the user).

    Raises:
        ConfigError: a setting is wrong. InputError: weights beside a run to start from. NotFound: no such run to start
            from. TrainingError: there are no labels, or thresholds are to be read off students who know nothing yet.
    """
    chosen = config.from_dict(settings)
    from_run = _beginning(store, chosen, from_run, weights)
    frozen_now = freeze.freeze(store)
    people = frozen.read(Path(frozen_now["path"])).people
    placed = (people.state == frozen.PLACED).any(axis=1) & ~people.iscrowd
    labeled = int((placed & (people.split == "train")).sum())
    if not labeled:
        raise TrainingError(
            "There is nobody to learn from: no train person has a labeled keypoint.\n"
            "Label some people on Correct (posestudio queue), or bring in a COCO file with the split train on Images "
            "(posestudio import coco)."
        )
    val = int((people.reviewed & ~people.iscrowd & (people.split == "val")).sum())
    run_id = _new_folder(store)
    folder = RunFolder(store.project / "runs" / run_id)
    folder.write_json("config.json", config.to_dict(chosen))
    folder.write_json("run.json", {
        "snapshot": frozen_now["snapshot_id"], "project": str(store.project), "from": from_run, "weights": weights,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    })  # fmt: skip
    runs.register(
        store,
        run_id,
        preset=chosen.preset,
        size=chosen.size,
        snapshot_id=frozen_now["snapshot_id"],
        from_run=from_run,
    )
    notes = [] if val else [
        f"There is no val set, so this run gets no score. With {labeled} labeled people, about "
        f"{splits.val_size(labeled)} could be set aside: on Images, or posestudio split val "
        "--share 0.2"
    ]  # fmt: skip
    return {
        "run_id": run_id, "snapshot_id": frozen_now["snapshot_id"], "labeled": labeled, "val": val, "notes": notes,
    }  # fmt: skip


def _beginning(
    store: Store, chosen: config.Config, from_run: str | None, weights: str | None
) -> str | None:
    """The id of the run to start from, None to start from scratch; see `start_run`."""
    if chosen.pool.gate == "calibrated" and chosen.loss.unlabeled > 0 and from_run is None:
        raise TrainingError(
            "pool.gate=calibrated reads its thresholds off trained students, once, and this run starts from scratch.\n"
            "Start from a run (--from RUN), or take pool.gate=fixed."
        )
    if from_run is None:
        return None
    if weights is not None:
        raise InputError(
            f"A run from {from_run} starts with that run's students, so {weights} would not be read.\n"
            "Leave out the weights file (--weights), or the run to start from (--from)."
        )
    before = RunFolder(store.project / "runs" / get_run(store, from_run)["run_id"])
    if not before.students():
        raise NotFound(
            f"Run {from_run} has no students to start from.\n"
            f"Go on with it: Resume on Train, or posestudio train --resume {from_run}"
        )
    return before.path.name


def _new_folder(store: Store) -> str:
    """The next number and two words, with its folder made: 0001-mild-heron."""
    root = store.project / "runs"
    heads = [path.name.partition("-")[0] for path in root.iterdir()]
    number = max((int(head) for head in heads if head.isdecimal()), default=0) + 1
    run_id = f"{number:04d}-{secrets.choice(MANNERS)}-{secrets.choice(ANIMALS)}"
    try:
        (root / run_id).mkdir()
    except FileExistsError:
        return _new_folder(store)
    return run_id


def get_run(store: Store, run: str) -> Record:
    """One run by its id, its number or an unambiguous beginning, with its present status.

    Raises:
        NotFound: no such run, with the nearest match.
    """
    known = {row["run_id"]: row for row in runs.list_runs(store)}
    found = [run] if run in known else [one for one in known if run and one.startswith(run)]
    if not found and run.isdecimal():
        found = [one for one in known if int(one.partition("-")[0]) == int(run)]
    if len(found) == 1:
        return _with_folder(store, known[found[0]])
    if not known:
        raise NotFound(
            f"There is no run {run!r}: nothing was trained yet. Start on Train, or: posestudio train"
        )
    raise NotFound(unknown("run", run, known))


def run_(store: Store, run: str) -> Record:
    """One run in full: row, status, settings, events in brief, scores."""
    row = get_run(store, run)
    folder = RunFolder(Path(row["path"]))
    last = {type(event).__name__.lower(): event for event in folder.events()}
    stepped = last.get("stepped")
    return {
        **row,
        "settings": config.to_dict(folder.config()),
        "snapshot": folder.record().get("snapshot"),
        "weights": folder.record().get("weights"),
        "progress": stepped,
        "failure": getattr(last.get("failed"), "message", None)
        if row["status"] == "failed"
        else None,
    }


def list_runs(store: Store, limit: int | None = None) -> list[Record]:
    """Runs with their present status, the newest first."""
    return [_with_folder(store, row) for row in runs.list_runs(store, limit=limit)]


def newest_run(store: Store) -> Record:
    """The newest run that left students to use.

    Raises:
        NotFound: none did.
    """
    for row in list_runs(store):
        if row["usable"]:
            return row
    raise NotFound("No run has left students yet. Start one on Train, or: posestudio train")


def run_diff(store: Store, run: str, other: str) -> Record:
    """What differs between two runs: settings, labels and scores."""
    first, second = run_(store, run), run_(store, other)
    settings = {
        key: [first["settings"].get(key), second["settings"].get(key)]
        for key in {**first["settings"], **second["settings"]}
        if first["settings"].get(key) != second["settings"].get(key)
    }
    names = sorted({*_numbers(first), *_numbers(second)})
    scores = {name: [_numbers(first).get(name), _numbers(second).get(name)] for name in names}
    labels = _label_difference(store, first["snapshot"], second["snapshot"])
    return {
        "runs": [first["run_id"], second["run_id"]], "settings": settings, "labels": labels, "scores": scores,
        "same_val": (first["metrics"].get("revision") == second["metrics"].get("revision")),
    }  # fmt: skip


def _numbers(run: Record) -> Record:
    return {
        name: value
        for name, value in run["metrics"].items()
        if isinstance(value, (int, float)) and name != "flip"
    }


def _label_difference(store: Store, first: str, second: str) -> Record:
    old, new = (frozen.read(store.project / "snapshots" / one).people for one in (first, second))
    return {"snapshots": [first, second], **plan.label_difference(old, new)}


def stop_run(store: Store, run: str) -> Record:
    """Ask a run to stop after its present step and keep what it has.

    Raises:
        InputError: it is not running.
    """
    row = get_run(store, run)
    if row["status"] not in ("running", "stopping", "waiting"):
        raise InputError(f"Run {row['run_id']} is not running: it is {row['status']}.")
    RunFolder(Path(row["path"])).ask_stop()
    return {"run_id": row["run_id"], "status": "stopping"}


def note_run(store: Store, run_id: str) -> Record:
    """Write down the status that a run's folder shows, with its metrics; returns the run in full."""
    folder = RunFolder(Path(get_run(store, run_id)["path"]))
    metrics = {name: value for name, value in folder.metrics().items() if name != "scores"}
    status = STORED.get(folder.status(), folder.status())
    runs.update(store, run_id, status=status, metrics=metrics)
    return run_(store, run_id)


def record_scores(store: Store, run_id: str, scores: Record) -> Record:
    """Keep the scores of a run: whole in its folder's scores.json, the ensemble's numbers on val also in its row."""
    folder = RunFolder(Path(get_run(store, run_id)["path"]))
    key = "-".join([scores["split"], scores["student"], *(["flip"] if scores["flip"] else [])])
    folder.add_json("scores.json", {key: scores})
    if key == "val-ensemble":
        plain = {
            name: value
            for name, value in scores.items()
            if value is None or isinstance(value, (int, float))
        }
        runs.update(
            store,
            run_id,
            metrics={**plain, "interval": scores["interval"], "revision": scores["revision"]},
        )
    return {"run_id": run_id, "key": key}


def scores(store: Store, run: str) -> Record:
    """All scores of a run by "split-student"."""
    path = Path(get_run(store, run)["path"]) / "scores.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def register_predictions(store: Store, run_id: str, path: str) -> Record:
    """Take a run's predictions.parquet into the store."""
    table = _table(store, path)
    students = np.asarray(table["student"].to_pylist())
    xy = np.stack([_matrix(table, "x"), _matrix(table, "y")], axis=-1)
    score = _matrix(table, "score")
    instance, box = table["instance_id"].to_numpy(), table["box_revision"].to_numpy()

    def job(cursor: Any) -> int:
        count = 0
        for student in sorted(set(students.tolist())):
            mine = students == student
            count += len(predictions.add_many(
                cursor, model=run_id, run_id=run_id, student=student, instance_id=instance[mine].tolist(),
                box_revision=box[mine].tolist(), xy_image=xy[mine], score=score[mine],
            ))  # fmt: skip
        return count

    count = store.write(job) if len(students) else 0
    standing.forget(store)
    return {"run_id": run_id, "predictions": count}


def register_uncertainties(store: Store, run_id: str, path: str) -> Record:
    """Take what a run's pool said of each open keypoint into the store, in place of what it said before."""
    count = predictions.save_uncertainties(store, run_id, _table(store, path).to_pylist())
    standing.forget(store)
    return {"rows": count}


def models(store: Store) -> list[Record]:
    """Runs and imported models that have predictions."""
    return predictions.list_models(store)


def of_model(store: Store, run: str, student: str | None = None) -> list[Record]:
    """The newest predictions of a run or an imported model."""
    return predictions.of_model(store, model_name(store, run), student)


def of_person(store: Store, instance_id: int) -> list[Record]:
    """What every model and student predicts for one person, the newest first."""
    return predictions.of_person(store, instance_id)


def uncertainties(store: Store, run: str, instance_id: int | None = None) -> list[Record]:
    """What a run's pool said, of everybody or of one person."""
    return predictions.uncertainties(store, get_run(store, run)["run_id"], instance_id)


def unpredicted(store: Store, run: str) -> Record:
    """How many people a run has not predicted as they are now, such as those of photos that came in since."""
    run_id = get_run(store, run)["run_id"]
    return {"run_id": run_id, "people": predictions.unpredicted(store, run_id)}


def model_name(store: Store, run: str) -> str:
    """The name under which predictions are kept: an imported model's, or a run's id.

    Raises:
        NotFound: neither.
    """
    imported = {row["model"] for row in predictions.list_models(store) if row["run_id"] is None}
    return run if run in imported else get_run(store, run)["run_id"]


def newest_predicting(store: Store) -> str | None:
    """The newest run, or else the newest imported model, that has predictions."""
    there = predictions.who_predicted(store)
    for row in runs.list_runs(store):
        if row["run_id"] in there:
            return row["run_id"]
    return next(iter(there), None)


def _with_folder(store: Store, row: Record) -> Record:
    folder = RunFolder(store.project / "runs" / row["run_id"])
    status = folder.status() if folder.path.is_dir() else row["status"]
    status = "waiting" if status == "queued" else status
    return {**row, "status": status, "usable": bool(folder.students())}


def _table(store: Store, path: str) -> pa.Table:
    """A Parquet file of this project's runs.

    Raises:
        InputError: it lies elsewhere or cannot be read.
    """
    file = Path(path).resolve()
    if not file.is_relative_to((store.project / "runs").resolve()):
        raise InputError(f"{path} does not lie in the project's runs.")
    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _matrix(table: pa.Table, name: str) -> np.ndarray:
    column = table[name].combine_chunks()
    return np.asarray(column.flatten().to_numpy(zero_copy_only=False), np.float64).reshape(
        len(column), -1
    )


OFFERED = {
    function.__name__: function
    for function in (
        start_run, newest_run, run_diff, stop_run, note_run, record_scores, scores, register_predictions,
        register_uncertainties, models, uncertainties, unpredicted,
    )
} | {"run": run_, "runs": list_runs, "predictions": of_model, "person_predictions": of_person}  # fmt: skip
