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
from pathlib import Path, PurePosixPath

from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.store.database import FILE, PATIENCE, Database, Row, Store, now

MANIFEST = "backup.json"
FORMAT = 1
CONTENT = ("images", "snapshots", "runs")


def backup(store: Store, file: Path) -> Row:
    """Write the project to `file`, whole or not at all; the store stays in use meanwhile.

    Linked photos go into it too, and are the project's own after a restore.

    Returns:
        path, bytes, files, missing (paths of linked photos that are gone or changed, so that they are not in it).

    Raises:
        StoreError: the disk is full or the file cannot be written.
    """
    target = Path(file).absolute()
    copy = store.project / "backups" / f".new-{uuid.uuid4().hex}.duckdb"
    fresh = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        store.database.copy_to(copy)
        linked, missing = _take_links(copy)
        names = {**linked, **{name: store.project / name for name in _files(store.project)}}
        with zipfile.ZipFile(fresh, "w", zipfile.ZIP_STORED, strict_timestamps=False) as archive:
            header = {"format": FORMAT, "created_at": now().isoformat() + "Z", "files": len(names)}
            archive.writestr(MANIFEST, json.dumps(header))
            archive.write(copy, FILE)
            for name, path in sorted(names.items()):
                archive.write(path, name)
        with open(fresh, "rb") as stream:
            os.fsync(stream.fileno())
        os.replace(fresh, target)
    except OSError as error:
        raise StoreError(f"The backup {target} could not be written: {error}.") from error
    finally:
        for path in (fresh, copy, copy.with_name(copy.name + ".wal")):
            path.unlink(missing_ok=True)
    size = target.stat().st_size
    return {"path": str(target), "bytes": size, "files": len(names), "missing": missing}


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


def _files(project: Path) -> list[str]:
    """What belongs into a backup beside the store, as paths relative to the project; hidden files do not."""
    found = []
    for folder in CONTENT:
        for path in (project / folder).rglob("*"):
            relative = path.relative_to(project)
            hidden = any(part.startswith(".") for part in relative.parts)
            if path.is_file() and not path.is_symlink() and not hidden:
                found.append(relative.as_posix())
    return found


def _take_links(copy: Path) -> tuple[dict[str, Path], list[str]]:
    """Make linked photos a copied store's own; returns their files by name in the project, and those that cannot be."""
    database = Database(copy)
    try:
        rows = database.read("SELECT sha256, link_path FROM images WHERE link_path IS NOT NULL")
        found = {
            row["sha256"]: Path(row["link_path"])
            for row in rows
            if _holds(row["link_path"], row["sha256"])
        }
        database.write(
            lambda cursor: cursor.execute(
                "UPDATE images SET link_path = NULL WHERE sha256 IN (SELECT unnest(?::VARCHAR[]))",
                [list(found)],
            )
        )
        database.checkpoint()
    finally:
        database.close()
    missing = sorted(row["link_path"] for row in rows if row["sha256"] not in found)
    return {f"images/{sha256}": path for sha256, path in found.items()}, missing


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
    for name in sorted(_files(fresh)):
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
