"""The editor's deeds: the shape of each edit, and the verb that carries it out."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from posestudio.errors import InputError
from posestudio.store.fields import is_whole, require_text
from posestudio.studio.studio import Studio

Edit = Mapping[str, Any]
Saved = dict[str, Any]

ALWAYS = {"edit_id", "instance_id", "base_revision", "who", "deed", "after"}
"""Fields that every edit may have; `after` names earlier edits of the same page that its base does not count."""


def carry_out(studio: Studio, edit: Any, before: list[str]) -> Saved:
    """Check one edit and save it.

    Args:
        studio: the project.
        edit: as it came.
        before: edit ids of the same batch, in whose wake it comes.

    Returns:
        revision (base of the next edit of the person), saved_at, repeated, and what the deed adds.

    Raises:
        InputError: the edit's form is not right. PoseStudioError: what the verb says.
    """
    if not isinstance(edit, dict):
        raise InputError("An edit must be a JSON object.")
    if not is_whole(json.dumps(edit, ensure_ascii=False)):
        raise InputError(
            "A text of this edit holds half a character (a lone surrogate). Write it anew."
        )
    deed = edit.get("deed")
    if not isinstance(deed, str) or deed not in DEEDS:
        raise InputError(f"deed must be one of {', '.join(DEEDS)}, got {deed!r:.80}.")
    fields, run = DEEDS[deed]
    strange = sorted(set(edit) - ALWAYS - fields)
    if strange:
        raise InputError(f"The deed {deed} has no field {', '.join(map(repr, strange))[:200]}.")
    require_text(edit.get("edit_id"), "edit_id")
    if deed != "add":
        _whole(edit.get("instance_id"), "instance_id")
    after = edit.get("after") or []
    if not isinstance(after, list):
        raise InputError(f"after must be a list of edit ids, got {after!r:.80}.")
    saved = run(studio, {**edit, "after": [*after, *before]})
    known = {"revision": edit.get("base_revision"), "saved_at": None, "repeated": False, **saved}
    return {key: value for key, value in known.items() if key != "labels"}


def _label(studio: Studio, edit: Edit) -> Saved:
    labels = edit.get("labels")
    if not isinstance(labels, list) or not all(isinstance(one, dict) for one in labels):
        raise InputError("labels must be a list of objects.")
    for one in labels:
        _whole(one.get("keypoint"), "keypoint")
    return studio.call(
        "label", **_person(edit), **_work(edit), edits=labels, run_id=_text(edit, "run_id")
    )


def _accept(studio: Studio, edit: Edit) -> Saved:
    keypoints = edit.get("keypoints")
    if edit.get("prediction_id") is not None:
        _whole(edit["prediction_id"], "prediction_id")
    return studio.call(
        "accept", **_person(edit), **_work(edit), run=_text(edit, "run"), student=_text(edit, "student"),
        keypoints=None if keypoints is None else _indices(keypoints), prediction_id=edit.get("prediction_id"),
        error_limit=None if _flag(edit, "over_limit") else studio.call("error_limit"),
    )  # fmt: skip


def _undo(studio: Studio, edit: Edit) -> Saved:
    return studio.call("undo", **_person(edit), undoes=_text(edit, "undoes"), own=True)


def _box(studio: Studio, edit: Edit) -> Saved:
    return studio.call("set_box", **_plain(edit), box_xywh=_list(edit, "box"))


def _add(studio: Studio, edit: Edit) -> Saved:
    _whole(edit.get("image_id"), "image_id")
    saved = studio.call(
        "add_person", image_id=edit["image_id"], box_xywh=_list(edit, "box"), iscrowd=_flag(edit, "iscrowd"),
        who=edit.get("who"), edit_id=edit["edit_id"],
    )  # fmt: skip
    return {"revision": 0, **saved}


def _hide(studio: Studio, edit: Edit) -> Saved:
    return studio.call("hide_person", **_plain(edit), hidden=edit["deed"] == "hide")


def _merge(studio: Studio, edit: Edit) -> Saved:
    _whole(edit.get("into"), "into")
    return studio.call("merge", **_person(edit), into=edit["into"])


def _hand(studio: Studio, edit: Edit) -> Saved:
    _whole(edit.get("to"), "to")
    keypoints = _indices(edit.get("keypoints"))
    return studio.call("hand", **_person(edit), to=edit["to"], keypoints=keypoints)


def _mark(studio: Studio, edit: Edit) -> Saved:
    if edit.get("keypoint") is not None:
        _whole(edit["keypoint"], "keypoint")
    return studio.call(
        "mark", **_plain(edit), kind=edit.get("kind"), text=_text(edit, "text"), keypoint=edit.get("keypoint")
    )  # fmt: skip


_WORK = {"queued_for", "seconds"}

DEEDS: dict[str, tuple[set[str], Callable[[Studio, Edit], Saved]]] = {
    "label": ({"labels", "run_id", *_WORK}, _label),
    "accept": ({"keypoints", "run", "student", "prediction_id", "over_limit", *_WORK}, _accept),
    "undo": ({"undoes"}, _undo),
    "box": ({"box"}, _box),
    "add": ({"image_id", "box", "iscrowd"}, _add),
    "hide": (set(), _hide),
    "restore": (set(), _hide),
    "merge": ({"into"}, _merge),
    "hand": ({"to", "keypoints"}, _hand),
    "mark": ({"kind", "text", "keypoint"}, _mark),
}
"""Deed -> its own fields, and what carries it out."""


def _plain(edit: Edit) -> dict[str, Any]:
    return {
        "instance_id": edit["instance_id"],
        "who": edit.get("who"),
        "edit_id": edit["edit_id"],
    }


def _person(edit: Edit) -> dict[str, Any]:
    return {**_plain(edit), "base_revision": edit.get("base_revision"), "after": edit["after"]}


def _work(edit: Edit) -> dict[str, Any]:
    return {"queued_for": _text(edit, "queued_for") or None, "seconds": edit.get("seconds")}


def _whole(value: Any, name: str) -> None:
    if type(value) is not int or not 0 <= value < 2**62:
        raise InputError(f"{name} must be a whole number from 0, got {value!r:.80}.")


def _indices(value: Any) -> list[int]:
    if not isinstance(value, list) or not value:
        raise InputError(f"keypoints must be a list of indices, got {value!r:.80}.")
    for one in value:
        _whole(one, "a keypoint")
    return value


def _list(edit: Edit, name: str) -> list[Any]:
    value = edit.get(name)
    if not isinstance(value, list):
        raise InputError(f"{name} must be a list, got {value!r:.80}.")
    return value


def _text(edit: Edit, name: str) -> str | None:
    value = edit.get(name)
    if value is not None and not isinstance(value, str):
        raise InputError(f"{name} must be a text, got {value!r:.80}.")
    return value


def _flag(edit: Edit, name: str) -> bool:
    value = edit.get(name, False)
    if not isinstance(value, bool):
        raise InputError(f"{name} must be true or false, got {value!r:.80}.")
    return value
