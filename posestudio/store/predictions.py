"""What models believe about people: predictions of runs and of imported models, and how doubtful they are.

A prediction is never a label. It carries the box it was made with and is stale once the box has moved. Only `accept`,
which a person asks for, makes labels of it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posestudio.errors import InputError, NotFound
from posestudio.store import bulk, fields, journal, labels, people
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now

_EACH = """
SELECT p.*, (made.x, made.y, made.w, made.h) IS DISTINCT FROM (b.x, b.y, b.w, b.h) AS stale
FROM predictions p JOIN boxes_now b USING (instance_id) LEFT JOIN box_journal made ON made.box_revision = p.box_revision
"""
_NEWEST = f"""
{_EACH}
QUALIFY row_number() OVER (PARTITION BY p.instance_id, run_id, model, student ORDER BY prediction_id DESC) = 1
"""


def add_many(
    cursor: Cursor,
    *,
    model: str,
    student: str,
    instance_id: Sequence[int],
    box_revision: Sequence[int],
    xy_image: Any,
    score: Any,
    run_id: str | None = None,
) -> list[int]:
    """In a job: keep the predictions of N people; older ones of the same model and student stay below them.

    Who was erased while the model was at work is left out.

    Args:
        cursor: of the running job.
        model: name of the model, such as the run's id.
        student: "a", "b" or "ensemble"; "external" for an imported model.
        instance_id: N people.
        box_revision: N, the boxes they were made with.
        xy_image: (N, K, 2) in image pixels, finite.
        score: (N, K), finite.
        run_id: the run, or None for an imported model.

    Returns:
        The prediction ids of those who are there, in their order.

    Raises:
        InputError: a shape does not fit, or a number is not finite.
    """
    xy, scores = np.asarray(xy_image, np.float64), np.asarray(score, np.float64)
    count = len(instance_id)
    if xy.shape != (*scores.shape, 2) or scores.ndim != 2 or scores.shape[0] != count:
        raise InputError(
            f"Predictions of {count} people need xy (N, K, 2) and scores (N, K); got {xy.shape}, {scores.shape}."
        )
    if len(box_revision) != count or not (np.isfinite(xy).all() and np.isfinite(scores).all()):
        raise InputError("Predictions need a box revision each and finite numbers only.")
    persons = [int(value) for value in instance_id]
    there = people.existing(cursor, persons)
    kept = [place for place, person in enumerate(persons) if person in there]
    ids = next_ids(cursor, "prediction_ids", len(kept))
    bulk.insert(
        cursor,
        "predictions",
        {
            "prediction_id": ("BIGINT", ids),
            "run_id": ("VARCHAR", run_id),
            "model": ("VARCHAR", model),
            "instance_id": ("BIGINT", [persons[place] for place in kept]),
            "box_revision": ("BIGINT", [int(box_revision[place]) for place in kept]),
            "student": ("VARCHAR", student),
            "x": ("DOUBLE[]", xy[kept, :, 0].tolist()),
            "y": ("DOUBLE[]", xy[kept, :, 1].tolist()),
            "score": ("DOUBLE[]", scores[kept].tolist()),
            "at": ("TIMESTAMP", now()),
        },
    )
    return ids


def save(store: Store, **rows: Any) -> list[int]:
    """`add_many` in a transaction of its own.

    Raises:
        InputError: a shape does not fit, or a number is not finite.
    """
    return store.write(lambda cursor: add_many(cursor, **rows))


def of_person(store: Store, instance_id: int) -> list[Row]:
    """The newest prediction of every model and student for one person, the newest first, with `stale`.

    Raises:
        NotFound: no such person.
    """
    with store.database.reading() as cursor:
        journal.image_size(cursor, instance_id)
        return fetch(
            cursor,
            f"SELECT * FROM ({_NEWEST}) WHERE instance_id = ? ORDER BY prediction_id DESC",
            [instance_id],
        )


def model_of(store: Store, prediction_id: int) -> str | None:
    """Whose prediction this is, or None when there is none such."""
    rows = store.read("SELECT model FROM predictions WHERE prediction_id = ?", [prediction_id])
    return rows[0]["model"] if rows else None


def of_model(store: Store, model: str, student: str | None = None) -> list[Row]:
    """The newest prediction of each person by a model, ordered by person and student, with `stale`."""
    where, params = (" AND student = ?", [student]) if student is not None else ("", [])
    return store.read(
        f"SELECT * FROM ({_NEWEST}) WHERE model = ?{where} ORDER BY instance_id, student",
        [model, *params],
    )


def newest_id(store: Store) -> int | None:
    """The id of the prediction that was made last, or None before the first."""
    return store.read("SELECT max(prediction_id) AS newest FROM predictions")[0]["newest"]


def unpredicted(store: Store, model: str) -> int:
    """How many people a model has not predicted with the box that they have now; crowds and hidden ones aside."""
    rows = store.read(
        f"""SELECT count(*) AS people FROM people_now WHERE NOT hidden AND NOT iscrowd
        AND instance_id NOT IN (SELECT instance_id FROM ({_EACH}) WHERE model = ? AND NOT stale)""",
        [model],
    )
    return rows[0]["people"]


def who_predicted(store: Store) -> list[str]:
    """Runs and imported models with predictions, the newest first; quicker than `list_models`."""
    rows = store.read(
        "SELECT model FROM predictions GROUP BY model ORDER BY max(prediction_id) DESC"
    )
    return [row["model"] for row in rows]


def list_models(store: Store) -> list[Row]:
    """Models with predictions: model, run_id, students, people, stale, newest (when)."""
    return store.read(f"""
        SELECT model, run_id, list(DISTINCT student ORDER BY student) AS students,
            count(DISTINCT instance_id) AS people, count(DISTINCT instance_id) FILTER (stale) AS stale,
            max("at") AS newest
        FROM ({_NEWEST}) GROUP BY model, run_id ORDER BY newest DESC, model""")


def accept(
    store: Store,
    instance_id: int,
    prediction_id: int,
    *,
    who: str,
    edit_id: str,
    base_revision: fields.Base,
    keypoints: Sequence[int] | None = None,
    leave: Sequence[int] = (),
    queued_for: str | None = None,
    seconds: float | None = None,
    after: Sequence[str] | None = None,
) -> Row:
    """Make labels of a prediction because a person says that it is right. Placed as visible (v 2).

    Args:
        store: the open store.
        instance_id: the person.
        prediction_id: which prediction.
        who: name of the person who accepts.
        edit_id: as in `labels.save_edits`.
        base_revision: as in `labels.save_edits`.
        keypoints: indices to accept; all open, taught ones when None.
        leave: indices to leave open when `keypoints` is None.
        queued_for: as in `labels.save_edits`.
        seconds: as in `labels.save_edits`.
        after: as in `labels.save_edits`.

    Returns:
        As `labels.save_edits`, and the indices: accepted, left (open because of `leave`) and skipped because they lie
        outside the image.

    Raises:
        NotFound: no such person, or the prediction is not of this person.
        Conflict: a keypoint changed after base_revision.
        InputError: there is nothing to accept, the person is of val (whose labels must not come from a model), or all
            was asked for and the box has moved since.
    """
    context = labels.deed(
        instance_id, who, "accept", edit_id, queued_for=queued_for, seconds=seconds, after=after
    )
    names, base = store.require_skeleton().keypoints, fields.require_revision(base_revision)

    def job(cursor: Cursor) -> Row:
        done = journal.earlier(cursor, context)
        if done is not None:
            taken = _of_edit(cursor, instance_id, edit_id)
            return {**done, "others": [], "accepted": taken, "left": [], "skipped": []}
        row = _acceptable(cursor, instance_id, prediction_id, everything=keypoints is None)
        wanted, left = _wanted(cursor, instance_id, keypoints, leave)
        edits, skipped = _edits(row, wanted)
        if not edits:
            raise InputError(_nothing(row, len(left)))
        run_id = row["run_id"] or row["model"]
        saved = labels.append_edits(cursor, context, edits, names, base, run_id)
        taken = [edit["keypoint"] for edit in edits]
        return {**saved, "accepted": taken, "left": left, "skipped": skipped}

    return store.write(job)


def save_uncertainties(store: Store, run_id: str, rows: Sequence[Mapping[str, Any]]) -> int:
    """Replace what a run's pool says: instance_id, keypoint, uncertainty, error_probability, distance_px, reason.

    A number that is missing or not finite is kept as unknown; who was erased while the pool was made is left out.
    Returns how many rows there are now.
    """

    def job(cursor: Cursor) -> int:
        there = people.existing(cursor, [int(row["instance_id"]) for row in rows])
        kept = [row for row in rows if row["instance_id"] in there]
        columns: dict[str, tuple[str, Any]] = {
            "run_id": ("VARCHAR", run_id),
            "instance_id": ("BIGINT", [int(row["instance_id"]) for row in kept]),
            "keypoint": ("SMALLINT", [int(row["keypoint"]) for row in kept]),
            "reason": ("VARCHAR", [row.get("reason") for row in kept]),
        }
        for name in ("uncertainty", "error_probability", "distance_px"):
            columns[name] = ("DOUBLE", [_known(row.get(name)) for row in kept])
        cursor.execute("DELETE FROM uncertainties WHERE run_id = ?", [run_id])
        return bulk.insert(cursor, "uncertainties", columns)

    return store.write(job)


def uncertainties(store: Store, run_id: str, instance_id: int | None = None) -> list[Row]:
    """What a run's pool said, of everybody or of one person, ordered by person and keypoint."""
    where, params = ("", []) if instance_id is None else (" AND instance_id = ?", [instance_id])
    return store.read(
        f"SELECT * EXCLUDE (run_id) FROM uncertainties WHERE run_id = ?{where} ORDER BY instance_id, keypoint",
        [run_id, *params],
    )


def _edits(row: Row, wanted: Sequence[int]) -> tuple[list[Row], list[int]]:
    """Edits that place the wanted keypoints of a prediction, and the indices that lie outside the image."""
    edits, skipped = [], []
    for keypoint in wanted:
        if type(keypoint) is not int or not 0 <= keypoint < len(row["x"]):
            raise InputError(f"Prediction {row['prediction_id']} has no keypoint {keypoint!r}.")
        x, y = row["x"][keypoint], row["y"][keypoint]
        if journal.is_inside(x, y, (row["width"], row["height"])):
            edits.append({"keypoint": keypoint, "state": "placed", "x": x, "y": y, "v": 2})
        else:
            skipped.append(keypoint)
    return edits, skipped


def _acceptable(cursor: Cursor, instance_id: int, prediction_id: int, *, everything: bool) -> Row:
    """A prediction that may become labels, with the image's width and height."""
    found = fetch(
        cursor,
        f"""SELECT p.*, width, height, split FROM ({_EACH}) p JOIN instances USING (instance_id)
        JOIN images USING (image_id) JOIN groups USING (group_id) WHERE prediction_id = ? AND instance_id = ?""",
        [prediction_id, instance_id],
    )
    if not found:
        raise NotFound(f"There is no prediction {prediction_id} of person {instance_id}.")
    if found[0]["split"] == "val":
        raise InputError(
            f"Person {instance_id} is of val: its labels judge the models, so none may come from a model."
        )
    if everything and found[0]["stale"]:
        raise InputError(
            f"The box of person {instance_id} moved after prediction {prediction_id}.\n"
            "Predict the person again, or name the keypoints to accept."
        )
    return found[0]


def _wanted(
    cursor: Cursor, instance_id: int, keypoints: Sequence[int] | None, leave: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Keypoints to accept, and those of the open ones to leave open."""
    if keypoints is not None:
        return list(keypoints), []
    open_ = _open_keypoints(cursor, instance_id)
    return [k for k in open_ if k not in leave], [k for k in open_ if k in leave]


def _nothing(row: Row, left: int) -> str:
    why = f": {left} are too doubtful. Accept those by name" if left else ""
    return f"Prediction {row['prediction_id']} has no keypoint to accept for person {row['instance_id']}{why}."


def _open_keypoints(cursor: Cursor, instance_id: int) -> list[int]:
    """Open, taught keypoints of a person; all open ones while nothing is taught."""
    rows = cursor.execute(
        """SELECT keypoint FROM needed_keypoints WHERE keypoint NOT IN (
            SELECT keypoint FROM labels WHERE instance_id = ? AND state <> 'open')
        AND (keypoint IN (FROM taught_keypoints) OR NOT EXISTS (FROM taught_keypoints)) ORDER BY keypoint""",
        [instance_id],
    ).fetchall()
    return [row[0] for row in rows]


def _of_edit(cursor: Cursor, instance_id: int, edit_id: str) -> list[int]:
    rows = cursor.execute(
        "SELECT keypoint FROM label_journal WHERE instance_id = ? AND edit_id = ? ORDER BY keypoint",
        [instance_id, edit_id],
    ).fetchall()
    return [row[0] for row in rows]


def _known(value: Any) -> float | None:
    return float(value) if value is not None and np.isfinite(value) else None
