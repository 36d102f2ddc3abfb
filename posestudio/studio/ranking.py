"""Where runs stand: their stored predictions scored again on the newest val labels, against each other and over labels.

Scores of different val revisions are never compared; predictions are, on whatever the labels are now. What a run scores
is kept in its folder (ranking.json) and is scored again when labels or predictions changed.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio import evaluate as scoring
from posestudio.core import label_curve
from posestudio.errors import InputError, NotFound, StoreError
from posestudio.store import freeze, snapshots
from posestudio.store.database import Store
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.studio import evidence, ledger
from posestudio.studio.json_form import plain
from posestudio.studio.ledger import PREDICTIONS_FILE
from posestudio.studio.verbs_runs import get_run, list_runs
from posestudio.studio.work import Progress
from posestudio.train import seen
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

Record = dict[str, Any]
FILE = "ranking.json"
MORE = 50
"""People more, for whom the curve says what they should bring."""


def judged(snapshot: Snapshot, split: str = "val") -> People:
    """The reviewed people of a split, crowds included: those by whom a score is made."""
    people = snapshot.people
    return people.take((people.split == split) & (people.reviewed | people.iscrowd))


def stored(
    folder: Path, people: People, student: str = "ensemble"
) -> tuple[np.ndarray, np.ndarray]:
    """Predictions that a run left in its folder, for these people: xy_image (N, K, 2), score (N, K).

    NaN for people without one, or whose box has changed since.

    Raises:
        NotFound: it left none.
    """
    path = folder / PREDICTIONS_FILE
    try:
        table = pq.read_table(
            path,
            columns=["instance_id", "box_revision", "x", "y", "score"],
            filters=[("student", "==", student)],
        )
    except (OSError, pa.ArrowException) as error:
        raise NotFound(
            f"Run {folder.name} has not predicted anybody yet.\n"
            f"Make its predictions: on Train, where the run stands, or posestudio pool --run {folder.name}"
        ) from error
    xy_image, score = np.full(people.xy_image.shape, np.nan), np.zeros(people.state.shape)
    place = {int(one): index for index, one in enumerate(people.instance_id)}
    for row in table.to_pylist():
        index = place.get(int(row["instance_id"]))
        if index is None or row["box_revision"] != people.box_revision[index]:
            continue
        if len(row["x"]) == people.state.shape[1]:
            xy_image[index] = np.stack([row["x"], row["y"]], axis=1)
            score[index] = row["score"]
    return xy_image, score


def compare_runs(store: Store, run: str, other: str, student: str = "ensemble") -> Record:
    """AP of two runs on the val people that both have predicted, as the labels are now, and whether they differ.

    Args:
        store: the project's.
        run: the later run.
        other: the earlier one.
        student: of both.

    Returns:
        runs (earlier, later), first, second, difference, interval (95 %, both resampled alike), clear, people,
        left_out (reviewed people whom one of them has learned, or has not predicted as they are), rough, revision.

    Raises:
        InputError: there is nobody to compare on. NotFound: one of them has no predictions.
    """
    run, other = (get_run(store, name)["run_id"] for name in (run, other))
    snapshot = freeze.look(store)
    people = judged(snapshot)
    found = [stored(store.project / "runs" / name, people, student) for name in (other, run)]
    both = np.all([np.isfinite(xy).all(axis=(1, 2)) for xy, _ in found], axis=0)
    both &= ~np.any(
        [evidence.learned(store.project, name, people) for name in (other, run)], axis=0
    )
    kept = both | people.iscrowd
    counted = int((kept & ~people.iscrowd).sum())
    if not counted:
        raise InputError(
            f"No reviewed val person was predicted, and not learned, by both {other} and {run}."
        )
    first, second = ((xy[kept], score[kept]) for xy, score in found)
    told = scoring.compare(people.take(kept), first, second, snapshot.skeleton, snapshot.taught)
    return plain({
        "runs": [other, run], "first": told.first, "second": told.second, "difference": told.difference,
        "interval": told.interval, "clear": told.clear, "people": counted,
        "left_out": int((~people.iscrowd).sum()) - counted, "rough": counted < scoring.ROUGH_BELOW,
        "revision": ledger.revision(people, snapshot),
    })  # fmt: skip


def before(runs: Sequence[Record], run_id: str) -> str | None:
    """The run to hold a run against: the one whose students it started from, else the newest usable one before it.

    Args:
        runs: as the verb `runs` gives them, the newest first.
        run_id: one of them.
    """
    names = [row["run_id"] for row in runs]
    if run_id not in names:
        return None
    place = names.index(run_id)
    usable = [row["run_id"] for row in runs[place + 1 :] if row["usable"]]
    start = runs[place].get("from_run")
    return start if start in usable else usable[0] if usable else None


def standings(store: Store) -> Record:
    """Where runs stand on val as the labels are now, and AP over labels.

    Returns:
        revision, people (reviewed in val), rough; runs, the newest first: run_id, preset, size, from_run, people and
        keypoints (labeled, that it learned from), seconds, current (whether `rank` need not score it again), AP,
        interval, judged (people), why (AP is None although current); curve, see `curve`.

    Raises:
        InputError: the project has no skeleton yet.
    """
    snapshot = freeze.look(store)
    people = judged(snapshot)
    revision, counted = ledger.revision(people, snapshot), int((~people.iscrowd).sum())
    found = []
    for row in list_runs(store):
        folder = RunFolder(store.project / "runs" / row["run_id"])
        if not (folder.path / PREDICTIONS_FILE).exists():
            continue
        kept = _kept(folder)
        fits = kept.get("key") == _key(folder, revision)
        found.append({
            **{name: row.get(name) for name in ("run_id", "preset", "size", "from_run")},
            "people": kept.get("people"), "keypoints": kept.get("keypoints"),
            "seconds": row["metrics"].get("seconds"), "current": fits,
            **{name: kept.get(name) if fits else None for name in ("AP", "interval", "judged", "why")},
        })  # fmt: skip
    return {
        "revision": revision, "people": counted, "rough": counted < scoring.ROUGH_BELOW,
        "runs": found, "curve": curve(found),
    }  # fmt: skip


def rank(store: Store, run: str) -> Record:
    """Score the stored predictions of a run on val as the labels are now; kept in its folder.

    Runs stand beside each other only as judged by the same people, so without a prediction of everybody, or where a
    run has learned somebody's labels, AP is None and `why` says it.

    Raises:
        InputError: there is no reviewed val person. NotFound: the run has no predictions.
    """
    folder = RunFolder(store.project / "runs" / get_run(store, run)["run_id"])
    snapshot = freeze.look(store)
    people = judged(snapshot)
    if not (~people.iscrowd).any():
        raise InputError("There is no reviewed val person to score runs on.")
    xy_image, score = stored(folder.path, people)
    why = _unfair(folder, people, xy_image)
    found: Record = {"AP": None, "interval": None, "judged": 0}
    if why is None:
        scores = scoring.evaluate(people, xy_image, score, snapshot.skeleton, snapshot.taught)
        found = {"AP": scores.coco["AP"], "interval": scores.interval, "judged": scores.people}
    record = plain({
        "key": _key(folder, ledger.revision(people, snapshot)), **found, "why": why,
        **learned_from(folder.project, folder.path.name),
    })  # fmt: skip
    folder.write_json(FILE, record)
    return record


def _unfair(folder: RunFolder, people: People, xy_image: np.ndarray) -> str | None:
    """Why a run cannot stand beside others on these people, or None."""
    real = ~people.iscrowd
    learned = int((evidence.learned(folder.project, folder.path.name, people) & real).sum())
    if learned:
        return f"it, or a run it started from, learned the labels of {learned} of the {real.sum()} val people"
    missing = int((real & ~np.isfinite(xy_image).all(axis=(1, 2))).sum())
    return (
        f"it has not predicted {missing} of the {real.sum()} val people as they are now"
        if missing
        else None
    )


def refresh(studio: "Studio", *, progress: Progress | None = None) -> Record:
    """`rank` every run that must be scored again; returns the `standings`."""
    found = studio.call("standings")
    old = [row["run_id"] for row in found["runs"] if not row["current"]] if found["people"] else []
    for done, run_id in enumerate(old):
        if progress is not None:
            progress("scoring runs", done, len(old))
        studio.call("rank", run=run_id)
    return studio.call("standings") if old else found


def curve(standings: Sequence[Record]) -> Record:
    """AP over labeled people: the best run at each count, and what more labels should bring if there are counts enough.

    Returns:
        points: records of all scored runs, by people; best: of the best at each count; line: {"people", "AP", "low",
        "high"} to draw, or None; next: {"people", "gain", "low", "high", "level"} or None; counts: how many different
        ones; needed: how many a line needs.
    """
    points = [row for row in standings if row["AP"] is not None and row["people"]]
    best: dict[int, Record] = {}
    for row in points:
        if row["people"] not in best or row["AP"] > best[row["people"]]["AP"]:
            best[row["people"]] = row
    kept = [best[count] for count in sorted(best)]
    people = np.array([row["people"] for row in kept], np.float64)
    line = label_curve.fit(people, np.array([row["AP"] for row in kept]))
    told: Record = {"line": None, "next": None}
    if line is not None:
        low, high = line.reach
        where = np.linspace(low, high + MORE, 60)
        middle, half = line.at(where)
        gain = line.gain(high, MORE)
        told = {
            "line": {"people": where, "AP": middle, "low": middle - half, "high": middle + half},
            "next": {"people": MORE, "gain": gain[0], "low": gain[1], "high": gain[2], "level": label_curve.LEVEL},
        }  # fmt: skip
    return plain({
        "points": sorted(points, key=lambda row: row["people"]), "best": kept, "counts": len(kept),
        "needed": label_curve.LEAST, **told,
    })  # fmt: skip


@functools.lru_cache(maxsize=256)
def learned_from(project: Path, run_id: str) -> Record:
    """Count people and keypoints whose labels a run is shown; None where it or its snapshot is gone."""
    folder = RunFolder(project / "runs" / run_id)
    try:
        hold_fold = folder.config().data.hold_fold
        people = snapshots.read(project / "snapshots" / str(folder.record()["snapshot"])).people
    except (NotFound, StoreError, KeyError):
        return {"people": None, "keypoints": None}
    shown = (people.split == "train") & ~people.iscrowd & ~seen.held(people, hold_fold)
    placed = (people.state == PLACED) & shown[:, None]
    return {"people": int(placed.any(axis=1).sum()), "keypoints": int(placed.sum())}


def _kept(folder: RunFolder) -> Record:
    try:
        return json.loads((folder.path / FILE).read_text("utf-8"))
    except (OSError, ValueError):
        return {}


def _key(folder: RunFolder, revision: str) -> str:
    return f"{revision} {(folder.path / PREDICTIONS_FILE).stat().st_mtime_ns}"


OFFERED = {function.__name__: function for function in (compare_runs, standings, rank)}
