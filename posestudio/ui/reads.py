"""What the pages ask the studio for, in the form that they show. One place, so that callbacks stay short."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from posestudio.errors import InputError, PoseStudioError
from posestudio.studio.studio import Studio
from posestudio.ui import texts
from posestudio.ui.media import Photo

SEED = 0
"""Seed of the views that Inspect draws."""

AT_ONCE = 32
"""Photos that are handed to one import; zips and videos go alone."""

ALONE = (".zip", ".mp4", ".mov", ".avi", ".mkv", ".webm")

BOX_SOURCES = {
    "file": "from the file", "detector": "found by the detector", "drawn": "drawn by hand",
    "keypoints": "around the keypoints", "full": "the whole photo",
}  # fmt: skip


def counts(studio: Studio) -> dict[str, Any]:
    """Totals of the project; see the verb `project`."""
    return studio.call("project")


def keypoints(totals: dict[str, Any]) -> int:
    """How many keypoints the project's skeleton has, 0 before there is one."""
    return len((totals.get("skeleton") or {}).get("keypoints") or [])


def images(studio: Studio, split: str | None, offset: int, limit: int) -> list[dict[str, Any]]:
    """Images of one page of the grid, each with its `people`."""
    rows = studio.call("images", split=split, limit=limit, offset=offset)
    inside: dict[int, list[dict[str, Any]]] = {row["image_id"]: [] for row in rows}
    if any(row["people"] for row in rows):
        for person in studio.call("people"):  # one question for all is quicker than one an image
            if person["image_id"] in inside:
                inside[person["image_id"]].append(person)
    return [{**row, "people": inside[row["image_id"]]} for row in rows]


def photo(studio: Studio, image_id: int) -> Photo:
    """Where an image's file lies.

    Raises:
        NotFound: no such image.
    """
    row = studio.call("image", image_id=image_id)
    return Photo(studio.project / row["path"], row["sha256"])


def add_photos(
    studio: Studio, files: Sequence[Path], whole: bool, progress: Callable[[int, int], None]
) -> dict[str, Any]:
    """Import uploaded files and remove them from the upload folder.

    Args:
        studio: the project.
        files: photos, zips and videos that Gradio received.
        whole: give every photo a person box over all of it.
        progress: told (done, all) before each part.

    Returns:
        images, people, duplicates (counts), refused (pairs of name and reason), notes.

    Raises:
        InputError: no file was given.
    """
    if not files:
        raise InputError("Choose photos or a zip first.")
    taken: dict[str, Any] = {"images": 0, "people": 0, "duplicates": 0, "refused": [], "notes": []}
    done = 0
    for part in _parts(files):
        progress(done, len(files))
        _import(studio, part, whole, taken)
        done += len(part)
    for file in files:
        with contextlib.suppress(OSError):
            file.unlink()
    return taken


def _parts(files: Sequence[Path]) -> Iterator[list[Path]]:
    plain = [file for file in files if file.suffix.lower() not in ALONE]
    for start in range(0, len(plain), AT_ONCE):
        yield plain[start : start + AT_ONCE]
    yield from ([file] for file in files if file.suffix.lower() in ALONE)


def _import(studio: Studio, files: list[Path], whole: bool, taken: dict[str, Any]) -> None:
    try:
        report = studio.call(
            "import_images",
            paths=[str(file) for file in files],
            boxes="full" if whole else None,
            names=[file.name for file in files],
        )
    except InputError as error:  # nothing in this part could be taken
        if len(files) > 1:
            for file in files:
                _import(studio, [file], whole, taken)
        else:
            taken["refused"].append((files[0].name, _reason(str(error), files[0].name)))
        return
    taken["images"] += report["added"]
    taken["people"] += report["people"]
    taken["duplicates"] += report["duplicates"]
    taken["notes"] += report["warnings"]
    taken["refused"] += [(one["name"], one["reason"]) for one in report["refused"]]


def _reason(message: str, name: str) -> str:
    """The reason alone of a message that says "Nothing was imported: ...", a line later "First: NAME: REASON"."""
    last = message.splitlines()[-1].removeprefix("First: ")
    return last.removeprefix(f"{name}: ")


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
