"""The document of one person that the keypoint editor edits: labels, predictions, doubts, neighbors. Store verbs.

People of val are blind: nothing that a model says is in their document.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from posestudio.errors import InputError, NotFound
from posestudio.store import documents, predictions, runs
from posestudio.store.database import Store
from posestudio.studio import queue, standing, verbs_queue, verbs_runs
from posestudio.studio import suspects as suspicion
from posestudio.studio.standing import Standing
from posestudio.train.run_folder import RunFolder

Record = dict[str, Any]

ERROR_LIMIT = 0.2
"""Probability of an error above which "accept all" leaves a keypoint open, until the project says another. Ours."""


def document(store: Store, instance_id: int, run: str | None = None, fresh: bool = False) -> Record:
    """Everything that the editor shows of a person.

    Args:
        store: the open store.
        instance_id: whom; hidden people too.
        run: a run or an imported model whose predictions to show; the newest with predictions when absent.
        fresh: judge the newest predictions too, which reads everybody.

    Returns:
        As docs/editor-http.md says: instance_id, image_id, file_name, split, iscrowd, image, revision, blind, box,
        hidden, run_id, stale, calibrated, reason, prediction_id, keypoints, suspects, others, marks, standing,
        previous, neighbors. Points are in image pixels, the center of the first pixel at 0.

    Raises:
        NotFound: no such person or run.
    """
    model = verbs_runs.model_name(store, run) if run else verbs_runs.newest_predicting(store)
    rows = documents.gather(store, instance_id, model)
    person = rows["person"]
    blind = person["split"] == "val"
    judged = standing.now if fresh else standing.latest
    known = None if blind or model is None else judged(store, model)
    names = store.require_skeleton().keypoints
    boxes = {row["instance_id"]: row for row in rows["boxes"]}
    said = {} if blind else _by_student(rows["predictions"])
    mine = said.get(instance_id, {})
    best, box = _ensemble(mine), boxes[instance_id]
    labels = _by_person(rows["labels"])
    own = labels.get(instance_id, {})
    doubts = _doubts(known, instance_id, best, rows["uncertainties"], len(names))
    imported = [] if blind else _imported(store, instance_id, model)
    return {
        **_about(person, own),
        "blind": blind,
        "box": {"xywh": _xywh(box), "source": box["source"], "revision": box["box_revision"]},
        "hidden": box["hidden"],
        "run_id": None if blind else model,
        "stale": best is not None and _stale(best, box),
        "calibrated": known is not None and known.doubts.probability is not None,
        "reason": _reason(known, instance_id),
        "prediction_id": None if best is None else best["prediction_id"],
        "keypoints": [
            _keypoint(
                k, name, own.get(k), mine, best, doubts[k], imported,
                taught=k in rows["taught"], asked=k in rows["needed"], source=model,
            )
            for k, name in enumerate(names)
        ],
        "suspects": _suspects(known, instance_id, own, names, rows["standing"]),
        "others": [
            _other(row, labels.get(row["instance_id"], {}), said.get(row["instance_id"], {}), names)
            for row in rows["boxes"]
            if row["instance_id"] != instance_id and not row["hidden"]
        ],
        "marks": [{key: row[key] for key in row if key != "instance_id"} for row in rows["standing"]],
        "standing": sorted({row["kind"] for row in rows["standing"]}),
        "previous": _previous(rows["before"], labels, box, names),
        "neighbors": rows["neighbors"],
    }  # fmt: skip


def _about(person: Record, labels: Mapping[int, Record]) -> Record:
    """Who this is; a person of train in whom nobody decided anything counts as unlabeled, as everywhere."""
    open_ = person["split"] == "train" and all(row["state"] == "open" for row in labels.values())
    return {
        "instance_id": person["instance_id"],
        "image_id": person["image_id"],
        "file_name": person["file_name"],
        "split": "unlabeled" if open_ else person["split"],
        "iscrowd": person["iscrowd"],
        "image": {
            "url": f"/media/{person['image_id']}", "width": person["width"], "height": person["height"],
        },
        "revision": max((row["revision"] for row in labels.values()), default=0),
    }  # fmt: skip


def project_session(store: Store) -> Record:
    """What a page needs to know of the project before it edits; its skeleton is None before the first photos."""
    skeleton = store.skeleton()
    taught = documents.taught(store) if skeleton else set()
    return {
        "project": str(store.project),
        "project_id": documents.project_id(store),
        "skeleton": skeleton
        and {
            "keypoints": list(skeleton.keypoints),
            "limbs": [list(limb) for limb in skeleton.limbs],
            "flip": list(skeleton.flip_index),
            "sigmas": list(skeleton.oks_sigmas),
        },
        "taught": [k in taught for k in range(len(skeleton.keypoints))] if skeleton else [],
        "error_limit": error_limit(store),
    }


def error_limit(store: Store) -> float:
    """The project's probability of an error above which "accept all" leaves a keypoint open."""
    rows = store.read("SELECT value FROM meta WHERE key = 'error_limit'")
    return float(rows[0]["value"]) if rows else ERROR_LIMIT


def set_error_limit(store: Store, limit: float) -> Record:
    """Keep another error limit for the project.

    Raises:
        InputError: it is no number from 0 to 1.
    """
    row = ["error_limit", str(standing.require_chance(limit, "error_limit"))]
    store.write(
        lambda cursor: cursor.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", row) and None
    )
    return {"error_limit": float(limit)}


def box(store: Store, instance_id: int) -> Record:
    """The present box of a person: x, y, w, h, box_revision, hidden, image_id, image_path, split of its group."""
    return documents.box(store, instance_id)


def to_predict(store: Store, instance_id: int, run: str | None = None) -> Record:
    """What it takes to predict one person: as `box`, and run_id, the newest run with students when none is named.

    Raises:
        NotFound: no such person, no such run, or no run has students. InputError: the person is of val.
    """
    found = documents.box(store, instance_id)
    if found["split"] == "val":
        raise InputError(f"Person {instance_id} is of val: no prediction of it is shown.")
    known = [row["run_id"] for row in runs.list_runs(store)]
    if run is not None:
        run_id = run if run in known else verbs_runs.get_run(store, run)["run_id"]
        return {**found, "run_id": run_id}
    for run_id in known:
        if RunFolder(store.project / "runs" / run_id).students():
            return {**found, "run_id": run_id}
    raise NotFound("No run has left students yet. Start one on Train, or: posestudio train")


def _by_student(rows: Sequence[Record]) -> dict[int, dict[str, Record]]:
    found: dict[int, dict[str, Record]] = {}
    for row in rows:
        found.setdefault(row["instance_id"], {})[row["student"]] = row
    return found


def _by_person(rows: Sequence[Record]) -> dict[int, dict[int, Record]]:
    found: dict[int, dict[int, Record]] = {}
    for row in rows:
        found.setdefault(row["instance_id"], {})[row["keypoint"]] = row
    return found


def _ensemble(students: Mapping[str, Record]) -> Record | None:
    """The prediction that is shown: the ensemble's, or an imported model's."""
    return next((row for name, row in students.items() if name not in ("a", "b")), None)


def _xywh(row: Record) -> list[float]:
    return [row[name] for name in "xywh"]


def _stale(prediction: Record, box: Record) -> bool:
    return [prediction[f"box_{name}"] for name in "xywh"] != _xywh(box)


def _doubts(
    known: Standing | None,
    instance_id: int,
    best: Record | None,
    uncertainties: Sequence[Record],
    count: int,
) -> list[tuple[float | None, float | None]]:
    """(probability of an error, uncertainty) of each keypoint, where they are known of this very prediction."""
    found: list[tuple[float | None, float | None]] = [(None, None)] * count
    if known is None or best is None or instance_id not in known.place:
        return found
    index = known.place[instance_id]
    if known.prediction_id[index] != best["prediction_id"]:
        return found
    uncertainty = {row["keypoint"]: row["uncertainty"] for row in uncertainties}
    chance = known.doubts.probability
    for k in range(count):
        error = (
            None if chance is None or not np.isfinite(chance[index, k]) else float(chance[index, k])
        )
        found[k] = (error, uncertainty.get(k))
    return found


def _keypoint(
    index: int,
    name: str,
    label: Record | None,
    students: Mapping[str, Record],
    best: Record | None,
    doubt: tuple[float | None, float | None],
    imported: Sequence[Record],
    *,
    taught: bool,
    asked: bool,
    source: str | None,
) -> Record:
    label = label or {"state": "open", "x": None, "y": None, "v": 0}
    alone = {
        one: {"x": row["x"][index], "y": row["y"][index], "score": row["score"][index]}
        for one, row in students.items()
        if one in ("a", "b")
    }
    return {
        "name": name,
        "state": label["state"],
        "x": label["x"],
        "y": label["y"],
        "v": label["v"],
        "absent_reason": label.get("reason"),
        "revision": label.get("revision"),
        "who": label.get("who"),
        "at": label.get("at"),
        "origin": label.get("origin"),
        "taught": taught,
        "asked": asked,
        "prediction": None if best is None else {
            "x": best["x"][index], "y": best["y"][index], "score": best["score"][index],
            "error": doubt[0], "uncertainty": doubt[1], "source": source,
        },
        "students": alone or None,
        "candidates": [
            {"x": row["x"][index], "y": row["y"][index], "student": row["model"]} for row in imported
        ],
    }  # fmt: skip


def _imported(store: Store, instance_id: int, shown: str | None) -> list[Record]:
    """What imported models say of a person's present box, but for the one that is shown anyway."""
    rows = predictions.of_person(store, instance_id)
    return [
        row for row in rows if row["run_id"] is None and row["model"] != shown and not row["stale"]
    ]


def _reason(known: Standing | None, instance_id: int) -> str | None:
    """Why this person would be in the queue."""
    if known is None or instance_id not in known.place:
        return None
    index = known.place[instance_id]
    points = [] if known.known.stale[index] else verbs_queue.doubtful(known, index)
    if points:
        return ", ".join(point["reason"] for point in points[: queue.TOP])
    if known.suspects is not None:
        found = suspicion.keypoints(index, known.snapshot.skeleton.keypoints, known.suspects)
        return suspicion.reason(index, found, known.suspects) if found else None
    return None


def _suspects(
    known: Standing | None,
    instance_id: int,
    labels: Mapping[int, Record],
    names: tuple[str, ...],
    marks: Sequence[Record],
) -> list[Record]:
    """Labels that the students contradict, without those that changed since or that somebody kept."""
    if known is None or known.suspects is None or instance_id not in known.place:
        return []
    index, found = known.place[instance_id], known.suspects
    kept = {row["keypoint"] for row in marks if row["kind"] == "seen"}  # None: all
    swap = bool(found.swap[index] >= suspicion.SUSPECT)
    flip, seen = known.snapshot.skeleton.flip_index, known.snapshot.people.xy_image[index]
    rows = []
    for point in suspicion.keypoints(index, names, found):
        k = point["keypoint"]
        label = labels.get(k)
        if (
            label is None
            or kept & {None, k}
            or label["state"] != "placed"
            or [label["x"], label["y"]] != seen[k].tolist()
        ):
            continue
        x, y = found.opinion.xy_image[index, k].tolist()
        rows.append({
            "keypoint": k, "kind": "swap" if swap else "away", "partner": flip[k] if swap else None,
            "x": x, "y": y, "reason": point["reason"],
        })  # fmt: skip
    return rows


def _other(
    box: Record,
    labels: Mapping[int, Record],
    students: Mapping[str, Record],
    names: tuple[str, ...],
) -> Record:
    """Somebody else in the image: labels where there are some, else the prediction."""
    best = _ensemble(students)
    points, source = _points(labels, len(names)), "label"
    if not any(v for _, _, v in points):
        points, source = [], "none"
        if best is not None and not box["iscrowd"]:
            points = [[x, y, 2] for x, y in zip(best["x"], best["y"], strict=True)]
            source = "prediction"
    return {
        "instance_id": box["instance_id"], "box": _xywh(box), "iscrowd": box["iscrowd"], "points": points,
        "source": source,
    }  # fmt: skip


def _points(labels: Mapping[int, Record], count: int) -> list[list[Any]]:
    """K x [x, y, v]; 0, 0, 0 where nothing is placed."""
    placed = {k: row for k, row in labels.items() if row["state"] == "placed"}
    return [
        [placed[k]["x"], placed[k]["y"], placed[k]["v"]] if k in placed else [0, 0, 0]
        for k in range(count)
    ]


def _previous(
    before: Sequence[Record],
    labels: Mapping[int, Mapping[int, Record]],
    box: Record,
    names: tuple[str, ...],
) -> Record | None:
    """The labeled person of the image before whose box overlaps this one's most."""
    placed = [
        row
        for row in before
        if any(one["state"] == "placed" for one in labels.get(row["instance_id"], {}).values())
    ]
    if not placed:
        return None
    best = max(placed, key=lambda row: _overlap(_xywh(row), _xywh(box)))
    return {
        "instance_id": best["instance_id"],
        "points": _points(labels[best["instance_id"]], len(names)),
    }


def _overlap(first: Sequence[float], second: Sequence[float]) -> float:
    """Intersection over union of two boxes x, y, w, h."""
    wide = min(first[0] + first[2], second[0] + second[2]) - max(first[0], second[0])
    high = min(first[1] + first[3], second[1] + second[3]) - max(first[1], second[1])
    inside = max(wide, 0.0) * max(high, 0.0)
    return inside / (first[2] * first[3] + second[2] * second[3] - inside)


OFFERED = {
    "document": document, "project_session": project_session, "person_box": box, "to_predict": to_predict,
    "error_limit": error_limit, "set_error_limit": set_error_limit,
}  # fmt: skip
