"""What the pages ask the studio for, in the form that they show. One place, so that callbacks stay short."""

import contextlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from posestudio.errors import InputError, NotFound
from posestudio.studio.studio import Studio
from posestudio.ui import texts
from posestudio.ui.media import Photo
from posestudio.ui.tiles import Look

SEED = 0
"""Seed of the views that Inspect draws."""

AT_ONCE = 32
"""Photos that are handed to one import; zips and videos go alone."""

ALONE = (".zip", ".mp4", ".mov", ".avi", ".mkv", ".webm")

BOX_SOURCES = {
    "file": "from the file", "detector": "found by the detector", "drawn": "drawn by hand",
    "keypoints": "around the keypoints", "full": "the whole photo",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A person among all: its number, its neighbors' numbers (None at the ends) and (name, value) facts."""

    instance: int
    before: int | None
    after: int | None
    words: list[tuple[str, str]]


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


class Order:
    """People by number, so that each one's neighbors are known; read again when the project's counts change."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._known: tuple[tuple[int, ...], list[int]] = ((), [])

    def numbers(self) -> list[int]:
        """Numbers of all people that are not hidden, rising."""
        totals = counts(self._studio)
        key = (totals["images"], totals["people"], totals["hidden"])
        if self._known[0] != key:
            self._known = (key, [row["instance_id"] for row in self._studio.call("people")])
        return self._known[1]

    def place(self, instance: int | None, by: int = 0) -> Place | None:
        """A person with its surroundings, or the one `by` places on; None when the project has no people.

        Args:
            instance: a number; the first person when None.
            by: 0, or -1 or 1 for the person before or after (the same one at the ends).

        Raises:
            NotFound: no such person.
        """
        numbers = self.numbers()
        if not numbers:
            return None
        number = numbers[0] if instance is None else instance
        if by and instance is not None:
            at = bisect_right(numbers, number) if by > 0 else bisect_left(numbers, number) - 1
            number = numbers[min(max(at, 0), len(numbers) - 1)]
        at = bisect_left(numbers, number)
        if at == len(numbers) or numbers[at] != number:
            raise NotFound(
                f"There is no person {number}. Numbers go from {numbers[0]} to {numbers[-1]}."
            )
        before = numbers[at - 1] if at else None
        after = numbers[at + 1] if at + 1 < len(numbers) else None
        return Place(number, before, after, facts(self._studio, number))


def facts(studio: Studio, instance: int) -> list[tuple[str, str]]:
    """What is known about a person, as (name, value)."""
    totals = counts(studio)
    person = studio.call("person", instance_id=instance)
    image = studio.call("image", image_id=person["image_id"])
    x, y, w, h = person["box_xywh"]
    source = BOX_SOURCES.get(person["box_source"], str(person["box_source"]))
    return [
        ("Photo", f"{image['file_name'] or 'no name'} (image {image['image_id']})"),
        ("Split", person["split"] + (", held-out fold" if person.get("fold") else "")),
        ("Box", f"{w:.0f} x {h:.0f} px, {source}"),
        ("Label", texts.status(person, keypoints(totals))[0]),
    ]


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


def warm_up() -> None:
    """Load the heavy libraries of `look`, so that the first person opens as fast as the others."""
    import torch  # noqa: F401, lazy: torch
    import torchvision  # noqa: F401, lazy: torch


def look(studio: Studio, instance: int, run: str) -> Look:
    """What both students of a run believe about a person; see `studio.inspect.look`."""
    from posestudio.studio import inspect  # lazy: torch

    return inspect.look(studio, instance, run, seed=SEED)
