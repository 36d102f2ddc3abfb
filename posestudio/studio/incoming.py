"""Files that somebody dropped into the studio: photos, zips, videos, COCO labels and COCO results, told by content.

Zips and videos come first, for labels may name photos inside; then labels, with their photos from the same drop or
from the project; then the other photos; then results of models, which need people. What cannot be taken is listed
with its reason, and the rest comes in all the same.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from posestudio.errors import InputError
from posestudio.store import containers, photos

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

AT_ONCE = 32
"""Photos of one transaction, and between two reports of progress."""

ALONE = (".zip", ".mp4", ".mov", ".avi", ".mkv", ".webm")
"""Endings of files that hold many photos."""

MOST_JSON = 1 << 30
"""Bytes of a JSON file at most; those in zips have less, see `containers.MAX_JSON`."""
MOST_FAULTS = 100
"""Faults of one file that are listed."""

Progress = Callable[[str, int, int | None], None]
"""(what, done, in all or None): told while files are taken in."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """A file on disk, and the name or relative path under which it was dropped."""

    path: Path
    name: str


@dataclass(slots=True)
class Taken:
    """What came in.

    images, people, labeled (people with labels), predicted (people), duplicates: counts. image_ids: new photos.
    refused: pairs of name and reason. notes: sentences.
    """

    images: int = 0
    people: int = 0
    labeled: int = 0
    predicted: int = 0
    duplicates: int = 0
    image_ids: list[int] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def take(
    studio: "Studio",
    files: Sequence[Dropped],
    *,
    split: str = "train",
    folders: dict[str, int] | None = None,
    who: str = "import",
    progress: Progress | None = None,
) -> Taken:
    """Take in files of one drop, without boxes for photos that no file describes.

    Args:
        studio: the project.
        files: what was dropped.
        split: of the labels of COCO files.
        folders: photos of one folder belong together and stay in one split. Folder -> a photo of it that is there;
            filled in here, to be given again with the next part of the same drop. None: they need not.
        who: recorded with boxes and labels.
        progress: told before each part.
    """
    taken, tell = Taken(), progress or (lambda what, done, whole: None)
    many = [file for file in files if file.path.suffix.lower() in ALONE]
    texts = [file for file in files if file.path.suffix.lower() == ".json"]
    loose = [file for file in files if file not in many and file not in texts]
    for file in many:
        texts += _many(studio, file, taken, folders, _named(tell, f"Reading {file.name}"))
    results: list[Dropped] = []
    for file in texts:
        content = _content(file, taken)
        if isinstance(content, list):
            results.append(file)
        elif content is not None:
            used = _labels(studio, file, content, loose, split, folders, who, taken, tell)
            loose = [one for one in loose if one.path not in used]
    for start in range(0, len(loose), AT_ONCE):
        tell("Reading photos", start, len(loose))
        _photos(studio, loose[start : start + AT_ONCE], taken, folders, None)
    for file in results:
        tell(f"Matching {file.name} to people", 0, None)
        _predictions(studio, file, taken)
    return taken


def _named(tell: Progress, what: str) -> Callable[[int, int | None], None]:
    return lambda done, whole: tell(what, done, whole)


def _photos(
    studio: "Studio",
    files: list[Dropped],
    taken: Taken,
    folders: dict[str, int] | None,
    progress: Callable[[int, int | None], None] | None,
) -> None:
    try:
        report = studio.call(
            "import_images", paths=[str(file.path) for file in files], boxes=None,
            group=folders is not None, folders=folders, names=[file.name for file in files], progress=progress,
        )  # fmt: skip
    except InputError as error:  # nothing of this part could be taken
        if len(files) > 1:
            for file in files:
                _photos(studio, [file], taken, folders, progress)
        else:
            taken.refused.append((files[0].name, _reason(str(error), files[0].name)))
        return
    taken.images += report["added"]
    taken.duplicates += report["duplicates"]
    taken.image_ids += report["image_ids"]
    taken.notes += [one for one in report["warnings"] if one not in taken.notes]
    taken.refused += [(one["name"], one["reason"]) for one in report["refused"]]
    if folders is not None:
        folders.update(report["folders"])


def _reason(message: str, name: str) -> str:
    """The reason alone of a message that says "Nothing was imported: ...", a line later "First: NAME: REASON"."""
    return message.splitlines()[-1].removeprefix("First: ").removeprefix(f"{name}: ")


def _many(
    studio: "Studio",
    file: Dropped,
    taken: Taken,
    folders: dict[str, int] | None,
    progress: Callable[[int, int | None], None],
) -> list[Dropped]:
    """Take in the photos of a zip or a video; returns the JSON files of a zip."""
    try:
        names = containers.zip_names(file.path)
        texts = _inside(file, taken)
    except InputError:  # a video, or refused whole, which is said of its photos
        names, texts = [], []
    labels = {f"{file.name}/{name}" for name in names if containers.is_json(name)}
    if len(labels) < len(names) or not names:
        start = len(taken.refused)
        _photos(studio, [file], taken, folders, progress)
        taken.refused[start:] = _as_photos(taken.refused[start:], file.name, labels)
    return texts


def _inside(file: Dropped, taken: Taken) -> list[Dropped]:
    """JSON files of a zip, written beside it under names of our own."""
    found = []
    for name, content in containers.zip_json(file.path):
        if isinstance(content, str):
            taken.refused.append((f"{file.name}/{name}", content))
            continue
        path = file.path.with_name(f"{file.path.name}-{len(found)}.json")
        path.write_bytes(content)
        found.append(Dropped(path, f"{file.name}/{name}"))
    return found


def _as_photos(
    refused: Sequence[tuple[str, str]], whole: str, labels: Collection[str]
) -> list[tuple[str, str]]:
    """What was refused as a photo, without a word of labels; a zip without any photo names its first files in one."""
    found = []
    for name, reason in refused:
        if name == whole:
            mine = tuple(f"{label}: " for label in labels)
            parts = [part for part in reason.split("; ") if not part.startswith(mine)]
            found.append((name, "; ".join(parts) or "none of its photos can be read"))
        elif name not in labels:
            found.append((name, reason))
    return found


def _content(file: Dropped, taken: Taken) -> Any:
    """A JSON file's content: an object or a list; None when it was refused."""
    try:
        if file.path.stat().st_size > MOST_JSON:
            raise ValueError("the file is too large")
        content = json.loads(file.path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        taken.refused.append((file.name, f"it is no readable JSON ({error})"))
        return None
    if isinstance(content, list) or (isinstance(content, dict) and "annotations" in content):
        return content
    taken.refused.append(
        (file.name, "it is neither COCO keypoint labels (images and annotations) nor COCO results")
    )
    return None


def _labels(
    studio: "Studio",
    file: Dropped,
    content: dict[str, Any],
    loose: Sequence[Dropped],
    split: str,
    folders: dict[str, int] | None,
    who: str,
    taken: Taken,
    tell: Progress,
) -> set[Path]:
    """Take in a COCO file; returns the loose photos that it described."""
    listed = content.get("images")
    rows = listed if isinstance(listed, list) else []
    names = [str(row["file_name"]) for row in rows if isinstance(row, dict) and "file_name" in row]
    dropped = photos.fitting(names, [(one.name, one) for one in loose], shortened=True)
    stored = studio.call("photos_named", names=names) if dropped.keys() < set(names) else {}
    together = {name: str(PurePosixPath(one.name).parent) for name, one in dropped.items()}
    folder = Path(tempfile.mkdtemp(prefix="coco-", dir=file.path.parent))
    try:
        for name in names:
            if name in dropped:
                _place(dropped[name].path, folder, name)
            elif name in stored:
                _place(studio.project / stored[name], folder, name)
        report = studio.call(
            "import_coco", file=str(file.path), images=str(folder), split=split, skip_bad=True, who=who,
            folder_of=None if folders is None else together, folders=folders,
            progress=_named(tell, f"Reading {file.name}"),
        )  # fmt: skip
    except InputError as error:
        taken.refused.append((file.name, str(error)))
        return set()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    taken.images += report["added"]
    taken.people += report["people"]
    taken.labeled += report["labeled_people"]
    taken.notes += report["warnings"]
    taken.refused += [(file.name, fault) for fault in report["faults"][:MOST_FAULTS]]
    if len(report["faults"]) > MOST_FAULTS:
        taken.notes.append(f"{len(report['faults']) - MOST_FAULTS:,} more faults in {file.name}")
    if folders is not None:
        folders.update(report["folders"])
    return {one.path for one in dropped.values()}


def _place(source: Path, folder: Path, name: str) -> None:
    """Let a photo lie in a folder under a COCO file's name for it; a name that leads out of the folder is left out."""
    parts = PurePosixPath(name).parts
    if not parts or PurePosixPath(name).is_absolute() or ".." in parts:
        return
    target = folder.joinpath(*parts)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target)
        except OSError:  # another file system
            shutil.copyfile(source, target)
    except (OSError, ValueError):
        return  # the import says that the photo is missing


def _predictions(studio: "Studio", file: Dropped, taken: Taken) -> None:
    model = PurePosixPath(file.name).stem[:100] or "model"
    try:
        report = studio.call("import_predictions", file=str(file.path), name=model)
    except InputError as error:
        taken.refused.append((file.name, str(error)))
        return
    taken.predicted += report["people"]
    if report["unmatched"]:
        taken.notes.append(
            f"{report['unmatched']:,} results of {model} fit no person of the project"
        )
