"""Store verbs that keep a project safe and that forget on request: backup, restore, delete, tombstones."""

import shutil
from pathlib import Path
from typing import Any

from posestudio.errors import InputError, StoreBusy
from posestudio.store import backup as backups
from posestudio.store import deletion
from posestudio.store.database import FILE, Store
from posestudio.studio import owner as owners

Record = dict[str, Any]

COPIES = ("snapshots", "runs", "backups", "cache/exports", "cache/demo")
"""Folders of a project that keep copies of people and photos as they once were."""


def backup(store: Store, file: str) -> Record:
    """Save labels, images, snapshots and runs to one file; see `store.backup.backup`."""
    return backups.backup(store, Path(file))


def delete(
    store: Store, who: str, people: list[int] | None = None, image: int | None = None
) -> Record:
    """Erase people, or an image with its file and everybody in it, for good; a tombstone without content stays.

    Crops and thumbnails go with them; they are made again when needed.

    Returns:
        deleted (people), image, and kept_in: folders with copies from before, which only their owner can judge.

    Raises:
        NotFound: no such person or image; then nothing is erased. InputError: both or neither were named.
    """
    if bool(people) == (image is not None):
        raise InputError(
            "Name the people to delete, or one image: delete 12 13, or delete --image 4."
        )
    if image is not None:
        found = deletion.delete_image(store, image, who=who)
    else:
        found = deletion.delete_people(store, people or [], who=who)
    folders = [store.project / name for name in COPIES]
    kept = [str(folder) for folder in folders if folder.is_dir() and any(folder.iterdir())]
    return {"deleted": found["deleted"], "image": image, "kept_in": kept}


def tombstones(store: Store) -> list[Record]:
    """What was deleted: kind, id, who, when."""
    return deletion.list_tombstones(store)


def restore(project: Path, file: Path) -> Record:
    """Bring a backup back into a project folder that nobody has open; see `store.backup.restore`.

    Raises:
        StoreBusy: the project is open. NotFound, InputError, StoreError: as `store.backup.restore`.
    """
    other = owners.find(project)
    if other is not None:
        raise StoreBusy(
            f"The project {project} is open at {other.address} (process {other.pid}).\n"
            "Close it, then restore."
        )
    return backups.restore(project, file)


def clear(project: Path) -> bool:
    """Empty a project folder that was made by a program alone; its backups stay.

    Returns:
        False when somebody has worked in the project; then nothing is removed.

    Raises:
        StoreBusy: the project is open. StoreError: its store cannot be read; nothing is removed.
    """
    if (project / FILE).exists():
        with Store(project) as store:
            if deletion.worked_on(store):
                return False
    for name in (FILE, f"{FILE}.wal", "images", "runs", "snapshots", "cache"):
        path = project / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return True


OFFERED = {function.__name__: function for function in (backup, delete, tombstones)}
