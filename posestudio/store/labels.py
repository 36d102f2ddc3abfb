"""Labels of people by people: an append-only journal, and what it says now."""

from collections.abc import Sequence
from dataclasses import dataclass

from posestudio.store import bulk
from posestudio.store.database import Cursor, next_ids, now

DERIVED = 'instance_id, keypoint, revision, state, x, y, v, reason, who, "at", origin'
"""Columns of the table `labels`, which follows the journal in the same transaction."""


@dataclass(frozen=True, slots=True)
class NewLabel:
    """A keypoint of a person as a file has it.

    state: "placed" (x, y in image pixels; v 1 hidden or 2 visible), "absent" (v 0, no x and y, with a reason, "outside"
    or "cannot tell") or "open" (v 0). A keypoint without any row is open: write none for those.
    """

    instance_id: int
    keypoint: int
    state: str
    x: float | None = None
    y: float | None = None
    v: int = 0
    reason: str | None = None


def import_many(cursor: Cursor, rows: Sequence[NewLabel], who: str = "import") -> int:
    """In a job: the first labels of people who have none yet; returns how many."""
    revisions = next_ids(cursor, "label_revisions", len(rows))
    count = bulk.insert(
        cursor,
        "label_journal",
        {
            "revision": ("BIGINT", revisions),
            "instance_id": ("BIGINT", [row.instance_id for row in rows]),
            "keypoint": ("SMALLINT", [row.keypoint for row in rows]),
            "state": ("VARCHAR", [row.state for row in rows]),
            "x": ("DOUBLE", [row.x for row in rows]),
            "y": ("DOUBLE", [row.y for row in rows]),
            "v": ("TINYINT", [row.v for row in rows]),
            "reason": ("VARCHAR", [row.reason for row in rows]),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", now()),
            "origin": ("VARCHAR", "import"),
        },
    )
    if revisions:
        cursor.execute(
            f"INSERT INTO labels SELECT {DERIVED} FROM label_journal WHERE revision BETWEEN ? AND ?",
            [revisions[0], revisions[-1]],
        )
    return count
