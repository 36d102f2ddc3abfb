"""How a project stands by one run: its people, what the run believes of each keypoint, how doubtful that is, suspects.

Making it reads everybody; so it is made once and kept until the store has changed. What shows one person may take an
older one: it is true of the predictions that it names.
"""

import threading
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from posestudio.errors import InputError
from posestudio.store import freeze, predictions
from posestudio.store.database import Database, Store
from posestudio.store.snapshots import PLACED, People, Snapshot
from posestudio.studio import beliefs, evidence, queue, suspects
from posestudio.studio.queue import Beliefs, Doubt
from posestudio.studio.suspects import Suspects


@dataclass(frozen=True, slots=True, eq=False)
class Standing:
    """N people with K keypoints, and what a run says of them.

    run_id: a run or an imported model, or None. known: its beliefs. doubts: of them. suspects: labels that it
    contradicts, or None without votes. prediction_id: (N,) of the ensemble's points, -1 for none. place: instance_id
    -> index.
    """

    run_id: str | None
    snapshot: Snapshot
    known: Beliefs
    doubts: Doubt
    suspects: Suspects | None
    prediction_id: np.ndarray
    place: dict[int, int]

    def too_doubtful(self, instance_id: int, limit: float) -> list[int]:
        """Keypoints of a person that are wrong with a probability above `limit`, where that is known."""
        if self.doubts.probability is None or instance_id not in self.place:
            return []
        chance = self.doubts.probability[self.place[instance_id]]
        return np.flatnonzero(np.nan_to_num(chance) > limit).tolist()


def require_chance(value: Any, name: str) -> float:
    """A probability.

    Raises:
        InputError: it is none.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InputError(f"{name} must be a number from 0 to 1, got {value!r:.80}.")
    return float(value)


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """What a run said of the people of a snapshot: it changes with boxes and predictions, not with labels."""

    key: tuple[int, int | None, bytes, bytes]
    known: Beliefs
    prediction_id: np.ndarray
    judges: list[evidence.Judge]


class _Kept:
    """What is kept for one open store: the snapshot, and a standing a run, each with the count of writes it knew."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.snapshot: tuple[int, Snapshot] | None = None
        self.standings: dict[str | None, tuple[int, Standing]] = {}
        self.said: dict[str, _Said] = {}
        self.forgotten = 0


_kept: WeakKeyDictionary[Database, _Kept] = WeakKeyDictionary()
_kept_lock = threading.Lock()


def snapshot(store: Store) -> Snapshot:
    """The project as it is now; read anew only after a write."""
    kept = _of(store)
    with kept.lock:
        return _snapshot(store, kept)


def now(store: Store, run_id: str | None) -> Standing:
    """How the project stands at this moment by a run, or an imported model."""
    kept = _of(store)
    with kept.lock:
        written = store.database.written
        found = kept.standings.get(run_id)
        if found is None or found[0] != written:
            found = kept.standings[run_id] = (written, _make(store, kept, run_id))
        return found[1]


def latest(store: Store, run_id: str | None) -> Standing:
    """The newest standing by a run that is at hand; one is made where there is none."""
    found = _of(store).standings.get(run_id)
    return found[1] if found is not None else now(store, run_id)


def forget(store: Store) -> None:
    """Keep nothing: a run has said something new."""
    kept = _of(store)
    kept.forgotten += 1
    kept.standings.clear()


def _of(store: Store) -> _Kept:
    with _kept_lock:
        return _kept.setdefault(store.database, _Kept())


def _snapshot(store: Store, kept: _Kept) -> Snapshot:
    written = store.database.written
    if kept.snapshot is None or kept.snapshot[0] != written:
        kept.snapshot = (written, freeze.look(store))
    return kept.snapshot[1]


def _make(store: Store, kept: _Kept, run_id: str | None) -> Standing:
    found = _snapshot(store, kept)
    people = found.people
    place = {int(one): index for index, one in enumerate(people.instance_id)}
    if run_id is None:
        nothing = beliefs.empty(people)
        ids = np.full(len(people), -1, np.int64)
        return Standing(None, found, nothing, Doubt(nothing.score, None), None, ids, place)
    said = kept.said[run_id] = _listen(store, kept, people, run_id)
    fresh = evidence.unseen(store.project, run_id, people)
    judges = [
        replace(judge, unseen=fresh[list(evidence.STUDENTS[judge.name])].all(axis=0))
        for judge in said.judges
    ]
    heard = queue.chances(judges, people.box_xywh, people.xy_image) if judges else None
    doubts = queue.doubt(
        said.known, people.box_xywh, people.xy_image, calibrating=np.asarray(fresh.all(axis=0)),
        judges=judges, heard=heard,
    )  # fmt: skip
    suspected = None if heard is None else _suspects(found, judges, heard)
    return Standing(run_id, found, said.known, doubts, suspected, said.prediction_id, place)


def _listen(store: Store, kept: _Kept, people: People, run_id: str) -> _Said:
    """What the run said of these people; read anew only when somebody predicted, or a box moved."""
    key = (
        kept.forgotten, predictions.newest_id(store), people.instance_id.tobytes(), people.box_revision.tobytes(),
    )  # fmt: skip
    before = kept.said.get(run_id)
    if before is not None and before.key == key:
        return before
    rows = predictions.of_model(store, run_id)
    place = {int(one): index for index, one in enumerate(people.instance_id)}
    ids = np.full(len(people), -1, np.int64)
    for row in rows:
        if row["student"] not in ("a", "b") and row["instance_id"] in place:
            ids[place[row["instance_id"]]] = row["prediction_id"]
    known = beliefs.gather(rows, predictions.uncertainties(store, run_id), people)
    nobody = np.zeros((2, *people.state.shape), bool)
    return _Said(key, known, ids, evidence.read(store.project / "runs" / run_id, people, nobody))


def _suspects(found: Snapshot, judges: list[evidence.Judge], heard: dict[str, Doubt]) -> Suspects:
    people = found.people
    label = np.where(judged(people)[..., None], people.xy_image, np.nan)
    opinion = suspects.witnesses(judges, people.box_xywh, people.xy_image, heard)
    return suspects.suspect(opinion, people.box_xywh, label, found.skeleton.flip_index)


def judged(people: People) -> np.ndarray:
    """(N, K) bool: labels that students may be held against: placed ones of train, crowds aside."""
    placed = (people.state == PLACED) & (people.split == "train")[:, None]
    return placed & ~people.iscrowd[:, None]
