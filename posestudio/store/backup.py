"""Save a whole project to one file and bring it back: labels, images, snapshots and runs.

The file is a zip without compression. A restore unpacks and checks everything beside the project before it touches
anything, and keeps the store that it replaces.
"""

import hashlib
import json
import os
import shutil
import uuid
import zipfile
from contextlib import closing, suppress
from pathlib import Path, PurePosixPath

from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.store import deletion
from posestudio.store.database import FILE, PATIENCE, Cursor, Database, Row, Store, now
from posestudio.store.snapshots import PEOPLE_FILE, SNAPSHOT_FILE

MANIFEST = "backup.json"
FORMAT = 1
CONTENT = ("images", "snapshots", "runs")
PASSING = ("stop", "lock")
"""Files of a run that mean something only while a worker is alive."""
STATE = "state.safetensors"
"""File of a run that resume needs."""


def backup(store: Store, file: Path) -> Row:
    """Write the project to `file`, whole or not at all; the store stays in use meanwhile.

    Linked photos go into it too, and are the project's own after a restore. What goes away meanwhile, such as the
    training state of a run that ends, is left out; an image that is deleted meanwhile is deleted in the backup too.

    Returns:
        path, bytes, files, missing (paths of photos, snapshots and runs that the store names and that are gone or
        changed, so that they are not in it).

    Raises:
        StoreError: the disk is full or the file cannot be written.
    """
    target = Path(file).absolute()
    copy = store.project / "backups" / f".new-{uuid.uuid4().hex}.duckdb"
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        store.database.copy_to(copy)
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            with closing(Database(copy)) as frozen:
                saved = _save_files(archive, {**_linked(frozen), **_own(store.project)})
                missing = _settle(frozen, store, saved)
            archive.write(copy, FILE)
            header = {"format": FORMAT, "created_at": now().isoformat() + "Z", "files": len(saved)}
            archive.writestr(MANIFEST, json.dumps(header))
        with open(fresh, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(fresh, target)
    except OSError as error:
        raise StoreError(f"The backup {target} could not be written: {error}.") from error
    finally:
        for path in (fresh, copy, copy.with_name(copy.name + ".wal")):
            path.unlink(missing_ok=True)
    size = target.stat().st_size
    return {"path": str(target), "bytes": size, "files": len(saved), "missing": missing}


def restore(project: Path, file: Path, *, patience: float = PATIENCE) -> Row:
    """Bring a backup back into a project folder, which may be empty, in use before, or damaged.

    The present store is kept as backups/replaced-<time>.duckdb. Images, snapshots and runs of the backup are added;
    those that are there already stay.

    Returns:
        path of the project, files (that were added) and replaced (path of the former store, or None).

    Raises:
        NotFound: no such file.
        InputError: the file is no backup, or is damaged.
        StoreBusy: another process holds the project's store.
        StoreError: the disk is full or the folder cannot be written.
    """
    project, source = Path(project).resolve(), Path(file)
    if not source.is_file():
        raise NotFound(f"There is no file {source}.")
    fresh = project / "backups" / f".restore-{uuid.uuid4().hex}"
    try:
        fresh.mkdir(parents=True)
        _unpack(source, fresh)
        with Store(
            fresh
        ):  # opens, so that a damaged or newer store is refused before anything is replaced
            pass
        _require_free(project / FILE, patience)
        added = _bring(fresh, project)
        replaced = _replace(fresh / FILE, project)
    except OSError as error:
        raise StoreError(f"The backup could not be brought back to {project}: {error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return {"path": str(project), "files": added, "replaced": replaced}


def _own(project: Path) -> dict[str, Path]:
    """The project's files that belong into a backup beside the store, by their names in the project.

    Hidden files do not, and of a run neither what only a worker that is alive reads nor what is half written.
    """
    found = {}
    for folder in CONTENT:
        for place, folders, files in os.walk(project / folder):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in files:
                path = Path(place) / name
                passing = folder == "runs" and (name in PASSING or path.suffix == ".part")
                if not name.startswith(".") and not passing and not path.is_symlink():
                    found[path.relative_to(project).as_posix()] = path
    return found


def _linked(frozen: Database) -> dict[str, Path]:
    """The linked photos of a copied store that are as they were, by the names that they get in the project."""
    rows = frozen.read("SELECT sha256, link_path FROM images WHERE link_path IS NOT NULL")
    return {
        f"images/{row['sha256']}": Path(row["link_path"])
        for row in rows
        if _holds(row["link_path"], row["sha256"])
    }


def _save_files(archive: zipfile.ZipFile, files: dict[str, Path]) -> set[str]:
    """Put files into the archive; returns the names of those that were still there.

    A run's training state comes first: what its events say then is never older than the state.
    """
    saved = set()
    for name in sorted(files, key=lambda name: (not name.endswith("/" + STATE), name)):
        with suppress(FileNotFoundError):
            archive.write(files[name], name)
            saved.add(name)
    return saved


def _settle(frozen: Database, store: Store, saved: set[str]) -> list[str]:
    """Make a copied store fit the files that were saved with it; returns the paths that it names and that were not."""
    graves = {
        row["id"]: row["who"] for row in deletion.list_tombstones(store) if row["kind"] == "image"
    }
    images = frozen.read("SELECT image_id, sha256, link_path FROM images")
    linked = [row["sha256"] for row in images if row["link_path"]]
    held = [sha256 for sha256 in linked if f"images/{sha256}" in saved]
    lost = [row for row in images if f"images/{row['sha256']}" not in saved]

    def job(cursor: Cursor) -> None:
        cursor.execute(
            "UPDATE images SET link_path = NULL WHERE sha256 IN (SELECT unnest(?::VARCHAR[]))",
            [held],
        )
        for row in lost:
            if row["image_id"] in graves:
                deletion.erase_image(cursor, row["image_id"], graves[row["image_id"]])

    frozen.write(job)
    frozen.checkpoint()
    missing = [
        row["link_path"] or str(store.project / "images" / row["sha256"])
        for row in lost
        if row["image_id"] not in graves
    ]
    there = {PurePosixPath(name).parent.as_posix() for name in saved}
    for row in frozen.read("SELECT snapshot_id FROM snapshots"):
        folder = f"snapshots/{row['snapshot_id']}"
        if not {f"{folder}/{name}" for name in (PEOPLE_FILE, SNAPSHOT_FILE)} <= saved:
            missing.append(str(store.project / folder))
    for row in frozen.read("SELECT run_id FROM runs"):
        if f"runs/{row['run_id']}" not in there:
            missing.append(str(store.project / "runs" / row["run_id"]))
    return sorted(missing)


def _holds(path: str, sha256: str) -> bool:
    """Whether a file is there and has this hash."""
    try:
        with open(path, "rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == sha256
    except OSError:
        return False


def _unpack(source: Path, fresh: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            header = json.loads(archive.read(MANIFEST))
            if header.get("format") != FORMAT:
                raise InputError(
                    f"{source} was made by another version (format {header.get('format')!r})."
                )
            names = [name for name in archive.namelist() if name != MANIFEST]
            if FILE not in names or not all(map(_is_ours, names)):
                raise InputError(f"{source} is not a backup of a PoseStudio project.")
            for name in names:
                path = fresh / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(name) as given, open(path, "wb") as taken:
                    shutil.copyfileobj(given, taken, 1 << 20)
                    taken.flush()
                    os.fsync(taken.fileno())
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError) as error:
        raise InputError(f"{source} is not a backup, or is damaged: {error}.") from error


def _is_ours(name: str) -> bool:
    parts = PurePosixPath(name).parts
    plain = all(part not in ("..", ".") and "\\" not in part and "\0" not in part for part in parts)
    return name == FILE or (plain and len(parts) > 1 and parts[0] in CONTENT)


def _require_free(path: Path, patience: float) -> None:
    if not path.exists():
        return
    try:
        Database(path, patience=patience).close()
    except StoreBusy:
        raise
    except StoreError:
        return  # damaged: that is what a restore is for


def _bring(fresh: Path, project: Path) -> int:
    added = 0
    for name in sorted(_own(fresh)):
        target = project / name
        absent = not target.exists()
        if absent or name.startswith("images/"):  # named by their hash: the same, or damaged
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(fresh / name, target)
            added += absent
    return added


def _replace(store: Path, project: Path) -> str | None:
    target, kept = project / FILE, None
    if target.exists():
        moment = now().strftime("%Y%m%d-%H%M%S-%f")
        kept = project / "backups" / f"replaced-{moment}.duckdb"
        log = target.with_name(target.name + ".wal")
        if log.exists():
            os.replace(log, kept.with_name(kept.name + ".wal"))
        os.replace(target, kept)
    os.replace(store, target)
    return None if kept is None else str(kept)
