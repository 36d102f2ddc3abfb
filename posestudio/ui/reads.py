"""What the pages ask the studio for, in the form that they show. One place, so that callbacks stay short."""

import contextlib
from typing import Any

from posestudio.errors import PoseStudioError
from posestudio.studio.studio import Studio
from posestudio.ui import texts
from posestudio.ui.media import Photo

SEED = 0
"""Seed of the views that Inspect draws."""

BOX_SOURCES = {
    "file": "from the file", "detector": "found by the detector", "drawn": "drawn by hand",
    "keypoints": "around the keypoints", "full": "the whole photo",
}  # fmt: skip


def photo(studio: Studio, image_id: int) -> Photo:
    """Where an image's file lies.

    Raises:
        NotFound: no such image.
    """
    row = studio.call("image", image_id=image_id)
    return Photo(studio.project / row["path"], row["sha256"])


def facts(
    person: dict[str, Any], document: dict[str, Any], keypoints: int
) -> list[tuple[str, str]]:
    """What is known about a person, as (name, value).

    Args:
        person: as the verb `person` gives it.
        document: as the verb `document` gives it.
        keypoints: how many the skeleton has.
    """
    x, y, w, h = person["box_xywh"]
    source = BOX_SOURCES.get(person["box_source"], str(person["box_source"]))
    found = [
        ("Photo", f"{document['file_name'] or 'no name'} (image {person['image_id']})"),
        ("Split", person["split"] + (", held-out fold" if person.get("fold") else "")),
        ("Box", f"{w:.0f} x {h:.0f} px, {source}"),
        ("Label", texts.status(person, keypoints)[0]),
    ]
    if document["reason"]:
        found.append(("In the queue", document["reason"]))
    return found


def runs(studio: Studio) -> list[tuple[str, str]]:
    """(run_id, words) of the runs that left students, the newest first."""
    found = []
    for run in studio.call("runs"):
        if not run["usable"]:
            continue
        words = [run["run_id"], *(str(run[name]) for name in ("preset", "size") if run.get(name))]
        if isinstance(run["metrics"].get("AP"), float):
            words.append(f"AP {100 * run['metrics']['AP']:.1f}")
        if run["status"] != "done":
            words.append(run["status"])
        found.append((run["run_id"], " · ".join(words)))
    return found


def imported(studio: Studio) -> list[tuple[str, str]]:
    """(name, words) of the models whose predictions were imported, the newest first."""
    rows = [row for row in studio.call("models") if row["run_id"] is None]
    return [(row["model"], f"{row['model']} · imported") for row in rows]


def warm_up(studio: Studio) -> None:
    """Load heavy libraries and judge everybody once, so that the first person opens as fast as the others."""
    import torch  # noqa: F401, lazy: torch
    import torchvision  # noqa: F401, lazy: torch

    with contextlib.suppress(PoseStudioError):
        studio.call("queue", limit=1)


def look(studio: Studio, instance: int, run: str) -> dict[str, Any]:
    """What both students of a run believe about a person; see `studio.inspect.look`."""
    from posestudio.studio import inspect  # lazy: torch

    return inspect.look(studio, instance, run, seed=SEED)
