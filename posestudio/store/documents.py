"""Everything that the keypoint editor shows of one person, in a few short queries of one moment."""

from posestudio.errors import NotFound
from posestudio.store import marks
from posestudio.store.database import Cursor, Row, Store, fetch

_PERSON = """
SELECT instance_id, image_id, iscrowd, width, height, sha256, split,
    coalesce(link_path, 'images/' || sha256) AS image_path,
    (SELECT arg_min(file_name, position) FROM image_sources s WHERE s.image_id = images.image_id) AS file_name
FROM instances JOIN images USING (image_id) JOIN groups USING (group_id) WHERE instance_id = ?
"""
_BOXES = """
SELECT instance_id, image_id, iscrowd, x, y, w, h, box_revision, b.source, hidden
FROM box_journal b JOIN instances USING (instance_id) WHERE image_id IN (?, ?)
QUALIFY row_number() OVER (PARTITION BY instance_id ORDER BY box_revision DESC) = 1 ORDER BY instance_id
"""
_PREDICTIONS = """
SELECT prediction_id, p.instance_id, student, p.x, p.y, score, made.x AS box_x, made.y AS box_y, made.w AS box_w,
    made.h AS box_h
FROM predictions p LEFT JOIN box_journal made USING (box_revision)
WHERE model = ? AND p. instance_id IN (SELECT unnest(?::BIGINT[]))
QUALIFY row_number() OVER (PARTITION BY p.instance_id, student ORDER BY prediction_id DESC) = 1
"""
_BEFORE = """
SELECT earlier.image_id FROM image_sources own
JOIN image_sources earlier ON earlier.source_id = own.source_id AND earlier.position < own.position
WHERE own.image_id = ? AND earlier.image_id <> own.image_id ORDER BY own.source_id, earlier.position DESC LIMIT 1
"""
_NEIGHBORS = """
SELECT max(instance_id) FILTER (instance_id < $me) AS before, min(instance_id) FILTER (instance_id > $me) AS after
FROM boxes_now WHERE NOT hidden
"""


def gather(store: Store, instance_id: int, model: str | None) -> Row:
    """Rows about a person, hidden or not.

    Args:
        store: the open store.
        instance_id: whom.
        model: whose predictions; None for nobody's.

    Returns:
        person (with image, split of its group, file_name), boxes (the newest of everybody in the image), before (of
        those that are shown in the image before in its source's order), labels and predictions (the newest of each
        student) of all these, uncertainties and marks of the person, standing marks, neighbors (before, after: people
        by number), taught (indices).

    Raises:
        NotFound: no such person.
    """
    with store.database.reading() as cursor:
        found = fetch(cursor, _PERSON, [instance_id])
        if not found:
            raise NotFound(f"There is no person {instance_id}.")
        person = found[0]
        image_id = person["image_id"]
        before = (cursor.execute(_BEFORE, [image_id]).fetchone() or (None,))[0]
        boxes = fetch(cursor, _BOXES, [image_id, before])
        here = [row for row in boxes if row["image_id"] == image_id]
        inside = [row["instance_id"] for row in boxes if not row["hidden"]]
        whom = [*inside, instance_id]
        cursor.execute(_NEIGHBORS, {"me": instance_id})
        neighbors = cursor.fetchone() or (None, None)
        said = marks.rows_of(cursor, instance_id)
        return {
            "person": person,
            "boxes": here,
            "before": [row for row in boxes if row["image_id"] == before and not row["hidden"]],
            "labels": _labels(cursor, whom),
            "predictions": [] if model is None else fetch(cursor, _PREDICTIONS, [model, whom]),
            "uncertainties": [] if model is None else _uncertainties(cursor, instance_id, model),
            "marks": said,
            "standing": marks.standing_rows(cursor, instance_id) if said else [],
            "neighbors": {"before": neighbors[0], "after": neighbors[1]},
            "taught": [row["keypoint"] for row in fetch(cursor, "FROM taught_keypoints")],
            "needed": [row["keypoint"] for row in fetch(cursor, "FROM needed_keypoints")],
        }


def box(store: Store, instance_id: int) -> Row:
    """The present box of a person and where it is.

    Returns:
        x, y, w, h, box_revision, hidden, image_id, image_path (from the project folder, or absolute), sha256 of the
        image, split of its group.

    Raises:
        NotFound: no such person.
    """
    rows = store.read(
        """SELECT x, y, w, h, box_revision, hidden, image_id, sha256, split,
            coalesce(link_path, 'images/' || sha256) AS image_path
        FROM box_journal JOIN instances USING (instance_id) JOIN images USING (image_id) JOIN groups USING (group_id)
        WHERE instance_id = ? ORDER BY box_revision DESC LIMIT 1""",
        [instance_id],
    )
    if not rows:
        raise NotFound(f"There is no person {instance_id}.")
    return rows[0]


def revisions(store: Store, instance_ids: list[int]) -> dict[int, int]:
    """The newest label revision of each of these people who has one."""
    rows = store.read(
        "SELECT instance_id, max(revision) AS newest FROM labels"
        " WHERE instance_id IN (SELECT unnest(?::BIGINT[])) GROUP BY instance_id",
        [instance_ids],
    )
    return {row["instance_id"]: row["newest"] for row in rows}


def taught(store: Store) -> set[int]:
    """Indices of the keypoints that some label of train shows."""
    return {row["keypoint"] for row in store.read("FROM taught_keypoints")}


def project_id(store: Store) -> str:
    """A name of the project that no other one has, wherever its folder lies."""
    return store.read("SELECT value FROM meta WHERE key = 'project_id'")[0]["value"]


def _labels(cursor: Cursor, whom: list[int]) -> list[Row]:
    return fetch(
        cursor, "SELECT * FROM labels WHERE instance_id IN (SELECT unnest(?::BIGINT[])) ORDER BY ALL", [whom]
    )  # fmt: skip


def _uncertainties(cursor: Cursor, instance_id: int, model: str) -> list[Row]:
    return fetch(
        cursor,
        "SELECT keypoint, uncertainty, error_probability FROM uncertainties WHERE run_id = ? AND instance_id = ?",
        [model, instance_id],
    )
