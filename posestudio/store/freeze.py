"""Freeze the current people and labels of the store into a snapshot folder."""

import json
import os
import shutil
import time
import uuid
from pathlib import Path

from posestudio.core.skeleton import Skeleton
from posestudio.errors import NotFound, StoreError
from posestudio.store import snapshots
from posestudio.store.database import Row, Store, now
from posestudio.store.people import AREA_SHARE
from posestudio.store.snapshots import People, Snapshot

_LEFTOVER_SECONDS = 3600

_ROWS = f"""
WITH shown AS (FROM people_now WHERE NOT hidden),
boxes AS (
    SELECT instance_id, min(box_revision) AS box_revision FROM (
        SELECT instance_id, j.box_revision, max(CASE WHEN (j.x, j.y, j.w, j.h) <> (shown.x, shown.y, shown.w, shown.h)
            THEN j.box_revision END) OVER (PARTITION BY instance_id) AS other
        FROM box_journal j JOIN shown USING (instance_id))
    WHERE other IS NULL OR box_revision > other GROUP BY instance_id),
points AS (
    SELECT shown.instance_id, list(l.x ORDER BY k) AS x, list(l.y ORDER BY k) AS y,
        list(coalesce(l.v, 0)::TINYINT ORDER BY k) AS v,
        list((CASE l.state WHEN 'placed' THEN 1 WHEN 'absent' THEN 2 ELSE 0 END)::TINYINT ORDER BY k) AS state
    FROM shown CROSS JOIN (SELECT unnest(range(KEYPOINTS)) AS k) keypoints
    LEFT JOIN labels l ON l.instance_id = shown.instance_id AND l.keypoint = k
    GROUP BY shown.instance_id),
names AS (
    SELECT image_id, source_id, first(file_name ORDER BY position) AS file_name,
        first(coco_id ORDER BY position) AS coco_image_id
    FROM image_sources GROUP BY image_id, source_id),
sourced AS (
    SELECT instance_id, coalesce(shown.source_id, first_source) AS source_id FROM shown
    LEFT JOIN (SELECT image_id, min(source_id) AS first_source FROM names GROUP BY image_id) USING (image_id))
SELECT s.instance_id, s.image_id, s.image_path, s.width, s.height, s.x AS box_x, s.y AS box_y, s.w AS box_w,
    s.h AS box_h, boxes.box_revision, p.x, p.y, p.v, p.state, s.split, s.fold,
    coalesce(s.area, {AREA_SHARE} * s.w * s.h) AS area, s.area IS NOT NULL AS area_given, s.iscrowd, s.reviewed,
    s.group_id, coalesce(sourced.source_id, -1) AS source_id, coalesce(names.coco_image_id, -1) AS coco_image_id,
    coalesce(s.coco_id, -1) AS coco_id, coalesce(names.file_name, s.sha256) AS file_name
FROM shown s JOIN points p USING (instance_id) JOIN sourced USING (instance_id) JOIN boxes USING (instance_id)
LEFT JOIN names ON names.image_id = s.image_id AND names.source_id = sourced.source_id
ORDER BY s.instance_id
"""
"""A row a person; KEYPOINTS stands for their number. A person drawn by hand belongs to the image's first source.

The box revision is the one since which the box has been where it is: hiding and restoring a person moves no box, so
what was predicted of that person still holds.
"""


def freeze(store: Store) -> Row:
    """Write the people that are not hidden and their labels to snapshots/<id>/.

    The folder appears whole or not at all. The same content gives the same id and the folder is used again.

    Returns:
        snapshot_id, path (of the folder), people, labeled (people with a placed keypoint), reused.

    Raises:
        InputError: the project has no skeleton yet.
        StoreError: the disk is full or the folder cannot be written.
    """
    skeleton = store.require_skeleton()
    root = store.project / "snapshots"
    fresh = root / f".new-{uuid.uuid4().hex}"
    _remove_leftovers(root)
    try:
        people = _write_people(store, fresh, skeleton)
        snapshot_id = snapshots.content_id(people, skeleton)
        labeled = int((people.state == snapshots.PLACED).any(axis=1).sum())
        header = _header(snapshot_id, skeleton, people, labeled)
        _write_durably(fresh / snapshots.SNAPSHOT_FILE, header)
        reused = not _move(fresh, root / snapshot_id)
    except OSError as error:
        raise StoreError(f"The snapshot could not be written to {root}: {error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    store.write(
        lambda cursor: cursor.execute(
            "INSERT INTO snapshots VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [snapshot_id, now(), len(people), labeled],
        )
    )
    return {
        "snapshot_id": snapshot_id,
        "path": str(root / snapshot_id),
        "people": len(people),
        "labeled": labeled,
        "reused": reused,
    }


def list_snapshots(store: Store) -> list[Row]:
    """Snapshots, the newest first."""
    return store.read("SELECT * FROM snapshots ORDER BY created_at DESC, snapshot_id")


def look(store: Store) -> Snapshot:
    """The project as it is now, in memory only: no folder and no row stay behind, for what asks often.

    Raises:
        InputError: the project has no skeleton yet.
        StoreError: the disk is full or the folder cannot be written.
    """
    skeleton = store.require_skeleton()
    fresh = store.project / "snapshots" / f".new-{uuid.uuid4().hex}"
    try:
        people = _write_people(store, fresh, skeleton)
    except OSError as error:
        raise StoreError(f"The folder {fresh.parent} cannot be written: {error}.") from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    content = snapshots.content_id(people, skeleton)
    return Snapshot(content, skeleton, people, snapshots.taught(people))


def _write_people(store: Store, folder: Path, skeleton: Skeleton) -> People:
    folder.mkdir(parents=True)
    file, keypoints = folder / snapshots.PEOPLE_FILE, len(skeleton.keypoints)
    rows, target = _ROWS.replace("KEYPOINTS", str(keypoints)), str(file).replace("'", "''")
    with store.database.reading() as cursor:
        cursor.execute(f"COPY ({rows}) TO '{target}' (FORMAT parquet)")
    return snapshots.read_people(file, keypoints)


def _header(snapshot_id: str, skeleton: Skeleton, people: People, labeled: int) -> str:
    taught = snapshots.taught(people)
    names = zip(skeleton.keypoints, taught, strict=True)
    splits = [str(split) for split in people.split]
    content = {
        "id": snapshot_id,
        "format": snapshots.FORMAT,
        "created_at": now().isoformat(timespec="seconds") + "Z",
        "people": len(people),
        "labeled": labeled,
        "splits": {split: splits.count(split) for split in ("train", "val", "unlabeled")},
        "untaught": [name for name, known in names if not known],
        "skeleton": skeleton.to_dict(),
    }
    return json.dumps(content, indent=1) + "\n"


def _write_durably(file: Path, text: str) -> None:
    with open(file, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    for path in (file.parent / snapshots.PEOPLE_FILE, file.parent):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _move(fresh: Path, target: Path) -> bool:
    """Put the new folder in its place; False when a good one is already there."""
    if target.exists():
        try:
            snapshots.read(target)
            return False
        except (NotFound, StoreError):
            target.rename(target.with_name(f".damaged-{uuid.uuid4().hex[:8]}-{target.name}"))
    try:
        fresh.rename(target)
    except OSError:
        if target.exists():  # another thread froze the same content at the same moment
            return False
        raise
    return True


def _remove_leftovers(root: Path) -> None:
    for folder in root.glob(".new-*"):
        try:
            if time.time() - folder.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
