"""Exports as files to download: made in the project's cache/exports under names of our own, the newest few kept."""

import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio.errors import InputError, NotFound
from posestudio.studio import take_away
from posestudio.studio.work import Progress

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio

KEPT = 12
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,120}")
"""What a file to download is called; nothing else is ever served."""

Made = tuple[Path, str]
"""A file or folder, and one line about it."""


def prepare(
    studio: "Studio", kind: str, options: Mapping[str, str], *, progress: Progress | None = None
) -> Path:
    """Make an export; a folder, and several files, become a zip.

    Args:
        studio: the project.
        kind: a key of KINDS.
        options: run, student and split where the kind has them; "" for none.
        progress: told what is being done, and of a zip how many of its files are in it.

    Returns:
        The file, in `folder`.

    Raises:
        PoseStudioError: it cannot be made.
    """
    if kind not in KINDS:
        raise InputError(f"There is no export {kind!r}. There are {', '.join(KINDS)}.")
    root = folder(studio)
    root.mkdir(parents=True, exist_ok=True)
    chosen = filter(None, (options.get(name) for name in ("run", "student", "split")))
    said = re.sub(r"[^a-z0-9._-]+", "-", "-".join(["posestudio", kind, *chosen]).lower())
    stem = f"{said[:80]}-{datetime.now():%Y%m%d-%H%M%S}"  # imported models may be called anything
    with tempfile.TemporaryDirectory(dir=root, prefix=".making-") as place:
        make, doing = KINDS[kind]
        if progress is not None:
            progress(doing, 0, 0)
        made, note = make(studio, Path(place), options)
        if made.is_dir():
            made = _packed(made, Path(place) / f"{stem}.zip", progress)
        target = root / f"{stem}{made.suffix}"
        if not NAME.fullmatch(target.name):
            raise InputError(f"{target.name} is no name for a file to download.")
        (root / f"{target.name}.txt").write_text(note, "utf-8")
        made.replace(target)
    for old in made_before(studio)[KEPT:]:
        (root / old["name"]).unlink(missing_ok=True)
        (root / f"{old['name']}.txt").unlink(missing_ok=True)
    return target


def _packed(made: Path, target: Path, progress: Progress | None) -> Path:
    """A zip of a folder; photos, which no packing makes smaller, go in as they are."""
    files = sorted(path for path in made.rglob("*") if path.is_file())
    with zipfile.ZipFile(target, "w", strict_timestamps=False) as packed:
        for done, path in enumerate(files):
            if progress is not None:
                progress("packing files", done, len(files))
            text = path.suffix in (".json", ".txt", ".yaml")
            how = zipfile.ZIP_DEFLATED if text else zipfile.ZIP_STORED
            packed.write(path, path.relative_to(made), how)
    return target


def folder(studio: "Studio") -> Path:
    """Where the files lie."""
    return studio.project / "cache" / "exports"


def made_before(studio: "Studio") -> list[dict[str, Any]]:
    """The files that can be downloaded, the newest first: name, bytes, made (seconds since 1970), note."""
    found = []
    for path in folder(studio).glob("posestudio-*"):
        if path.suffix == ".txt" or not path.is_file():
            continue
        about = path.with_name(f"{path.name}.txt")
        facts = path.stat()
        note = about.read_text("utf-8") if about.exists() else ""
        found.append({
            "name": path.name, "bytes": facts.st_size, "made": facts.st_mtime, "note": note,
        })  # fmt: skip
    return sorted(found, key=lambda row: -row["made"])


def find(studio: "Studio", name: str) -> Path:
    """The file of a name that `made_before` gave.

    Raises:
        NotFound: there is no such file.
    """
    path = folder(studio) / name
    if not NAME.fullmatch(name) or name.endswith(".txt") or not path.is_file():
        raise NotFound("There is no such export any more. Prepare it again on the Export page.")
    return path


def _coco(studio: "Studio", place: Path, options: Mapping[str, str]) -> Made:
    done = studio.call(
        "export_coco", out=str(place / "coco" / "labels.json"), split=options.get("split") or None
    )
    files = [Path(row["path"]) for row in done["files"]]
    note = f"{done['annotations']} people in {done['images']} photos, {done['labeled']} labeled"
    return (files[0] if len(files) == 1 else place / "coco"), note


def _yolo(studio: "Studio", place: Path, options: Mapping[str, str]) -> Made:
    done = studio.call("export_yolo", out=str(place / "yolo"))
    counts = ", ".join(f"{split} {count}" for split, count in done["people"].items())
    return place / "yolo", f"labeled people: {counts}; with their photos"


def _predictions(studio: "Studio", place: Path, options: Mapping[str, str]) -> Made:
    (place / "predictions").mkdir()
    done = take_away.export_predictions(
        studio, place / "predictions" / "predictions.json", run=options.get("run") or None,
        student=options.get("student") or "ensemble", split=options.get("split") or None,
    )  # fmt: skip
    made = Path(done["out"]) if done["out"] else place / "predictions"
    return made, f"{done['people']} people by {done['run_id']}, {done['student']}"


def _model(studio: "Studio", place: Path, options: Mapping[str, str]) -> Made:
    done = take_away.export_model(studio, place / "model", run=options.get("run") or None)
    return (
        place / "model",
        f"students {', '.join(done['students'])} of {done['run_id']} with model.json",
    )


def _onnx(studio: "Studio", place: Path, options: Mapping[str, str]) -> Made:
    """In a child process: the exporter keeps Python busy for many seconds, and pages would wait for it."""
    from posestudio.models import portable  # lazy: torch

    portable.require_onnx()
    out = place / "model.onnx"
    line = [
        sys.executable,
        "-m",
        "posestudio",
        "export",
        "onnx",
        str(out),
        "--project",
        str(studio.project),
        "--json",
    ]
    for option in ("run", "student"):
        if options.get(option):
            line += [f"--{option}", options[option]]
    child = subprocess.run(
        line, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    if child.returncode != 0:
        said = child.stderr.strip().splitlines()
        raise InputError(
            said[-1].removeprefix("posestudio: ")
            if said
            else "The ONNX export ended without a word."
        )
    done = json.loads(child.stdout)
    apart = done["largest difference from torch"]
    return out, f"{done['student']} of {done['run_id']}; differs from torch by {apart:.1g} at most"


KINDS: dict[str, tuple[Callable[["Studio", Path, Mapping[str, str]], Made], str]] = {
    "coco": (_coco, "writing labels"),
    "yolo": (_yolo, "writing labels and copying photos"),
    "predictions": (_predictions, "reading predictions and writing them"),
    "model": (_model, "copying students"),
    "onnx": (_onnx, "writing and checking against torch, about half a minute"),
}
"""What makes each kind of export, and what that is doing, in words for the user."""
