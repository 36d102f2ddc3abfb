"""Check the store against itself and against the files beside it. Reads only; repairs nothing."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from posestudio.errors import PoseStudioError
from posestudio.store import journal, snapshots
from posestudio.store.database import Row, Store

_FATE = """CASE WHEN instance_id IN (SELECT id FROM tombstones WHERE kind = 'person')
    THEN 'was erased; what is left goes by: posestudio delete ' || instance_id ELSE 'does not exist' END AS fate"""
_CHECKS: tuple[tuple[str, str], ...] = (
    (
        "the derived label of person {instance_id}, keypoint {keypoint} differs from the journal",
        """SELECT DISTINCT instance_id, keypoint FROM (
            (FROM labels EXCEPT SELECT {derived} FROM labels_now)
            UNION ALL (SELECT {derived} FROM labels_now EXCEPT FROM labels)) ORDER BY ALL""",
    ),
    (
        "journal row {revision} follows {follows}, but the row before it is {before}: history has a fork or a gap",
        """SELECT revision, follows, before FROM (
            SELECT revision, follows, lag(revision) OVER (
                PARTITION BY instance_id, keypoint ORDER BY revision) AS before FROM label_journal)
        WHERE follows IS DISTINCT FROM before ORDER BY revision""",
    ),
    (
        "journal row {revision} belongs to person {instance_id}, who does not exist",
        """SELECT revision, instance_id FROM label_journal ANTI JOIN instances USING (instance_id) ORDER BY ALL""",
    ),
    (
        "person {instance_id} has no box",
        "SELECT instance_id FROM instances ANTI JOIN box_journal USING (instance_id) ORDER BY ALL",
    ),
    (
        "box {box_revision} belongs to person {instance_id}, who does not exist",
        "SELECT box_revision, instance_id FROM box_journal ANTI JOIN instances USING (instance_id) ORDER BY ALL",
    ),
    (
        "mark {mark_id} belongs to person {instance_id}, who does not exist",
        "SELECT mark_id, instance_id FROM marks ANTI JOIN instances USING (instance_id) ORDER BY ALL",
    ),
    (
        "keypoint {keypoint} of mark {mark_id} is not in the skeleton",
        """SELECT keypoint, mark_id FROM marks WHERE keypoint >= coalesce((
            SELECT json_array_length(value::JSON, 'keypoints') FROM meta WHERE key = 'skeleton'), 0) ORDER BY ALL""",
    ),
    (
        "person {instance_id} is in image {image_id}, which does not exist",
        "SELECT instance_id, image_id FROM instances ANTI JOIN images USING (image_id) ORDER BY ALL",
    ),
    (
        "image {image_id} is in group {group_id}, which does not exist",
        "SELECT image_id, group_id FROM images ANTI JOIN groups USING (group_id) ORDER BY ALL",
    ),
    (
        "prediction {prediction_id} is of person {instance_id}, who {fate}",
        f"""SELECT prediction_id, instance_id, {_FATE} FROM predictions ANTI JOIN instances USING (instance_id)
        ORDER BY ALL""",
    ),
    (
        "doubts of run {run_id} are of person {instance_id}, who {fate}",
        f"""SELECT DISTINCT run_id, instance_id, {_FATE} FROM uncertainties ANTI JOIN instances USING (instance_id)
        ORDER BY ALL""",
    ),
    (
        "keypoint {keypoint} of person {instance_id} is not in the skeleton",
        """SELECT keypoint, instance_id FROM labels WHERE keypoint >= coalesce((
            SELECT json_array_length(value::JSON, 'keypoints') FROM meta WHERE key = 'skeleton'), 0) ORDER BY ALL""",
    ),
)
"""(what is wrong, the query that finds it)."""


def verify(store: Store, *, files: bool = True) -> Row:
    """Compare the derived labels with the journal, rows with the rows they name, and rows with files.

    Args:
        store: the open store.
        files: also read every image and snapshot and compare it with its hash.

    Returns:
        ok, problems (a sentence each), checked (how many journal rows, people, images, runs and snapshots) and notes
        (what is odd but harms nothing, such as files that no row names).
    """
    problems = []
    for sentence, query in _CHECKS:
        for row in store.read(query.replace("{derived}", journal.DERIVED)):
            problems.append(sentence.format(**row))
    problems += _missing_runs(store)
    if files:
        problems += [*_bad_images(store), *_bad_snapshots(store)]
    checked = store.read("""
        SELECT (SELECT count(*) FROM label_journal) AS journal, (SELECT count(*) FROM instances) AS people,
            (SELECT count(*) FROM images) AS images, (SELECT count(*) FROM runs) AS runs,
            (SELECT count(*) FROM snapshots) AS snapshots""")[0]
    return {
        "ok": not problems,
        "problems": problems,
        "checked": checked,
        "notes": [*_strays(store)],
    }


def _bad_images(store: Store) -> Iterator[str]:
    for row in store.read("SELECT image_id, sha256, link_path FROM images ORDER BY image_id"):
        path = store.project / (row["link_path"] or f"images/{row['sha256']}")
        try:
            found = _sha256(path)
        except OSError as error:
            yield f"image {row['image_id']}: {path} cannot be read ({error.strerror})"
            continue
        if found != row["sha256"]:
            yield f"image {row['image_id']}: {path} has changed since it came in"


def _missing_runs(store: Store) -> Iterator[str]:
    for row in store.read("SELECT run_id FROM runs ORDER BY created_at"):
        folder = store.project / "runs" / row["run_id"]
        if not folder.is_dir():
            yield f"run {row['run_id']}: the folder {folder} is missing"


def _bad_snapshots(store: Store) -> Iterator[str]:
    for row in store.read("SELECT snapshot_id FROM snapshots ORDER BY created_at"):
        try:
            snapshots.read(store.project / "snapshots" / row["snapshot_id"])
        except PoseStudioError as error:
            yield f"snapshot {row['snapshot_id']}: {str(error).splitlines()[0]}"


def _strays(store: Store) -> Iterator[str]:
    named = {
        "images": {row["sha256"] for row in store.read("SELECT sha256 FROM images")},
        "runs": {row["run_id"] for row in store.read("SELECT run_id FROM runs")},
        "snapshots": {
            row["snapshot_id"] for row in store.read("SELECT snapshot_id FROM snapshots")
        },
    }
    for folder, known in named.items():
        for path in sorted((store.project / folder).iterdir()):
            if path.name not in known:
                yield f"{path} is named by no row"


def _sha256(path: Path) -> str:
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
