"""People (instances): who is in which image, and the journal of their boxes. A removed person is hidden, not gone."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from posestudio.errors import InputError, NotFound
from posestudio.store import bulk
from posestudio.store.database import Cursor, Row, Store, fetch, next_ids, now

AREA_SHARE = 0.53
"""Area of a person whose file gives none, as a share of the box. Source: xtcocotools and Ultralytics use it too."""

WHO_LENGTH = 100


@dataclass(frozen=True, slots=True)
class NewPerson:
    """A person to add.

    box_xywh: in image pixels. box_source: "file", "detector", "drawn", "keypoints" or "full". area: in square pixels
    as the file gives it, or None. reviewed_on_import: every keypoint counts as looked at (imported COCO labels do).
    extra: fields of the file to give back on export.
    """

    image_id: int
    box_xywh: tuple[float, float, float, float]
    box_source: str
    source_id: int | None = None
    coco_id: int | None = None
    category_id: int = 1
    iscrowd: bool = False
    area: float | None = None
    area_source: str | None = None
    reviewed_on_import: bool = False
    extra: dict[str, Any] | None = None


def add_many(cursor: Cursor, rows: Sequence[NewPerson], who: str = "import") -> list[int]:
    """In a job: add people with their first boxes; returns an instance_id for each row."""
    at = now()
    ids = next_ids(cursor, "instance_ids", len(rows))
    bulk.insert(
        cursor,
        "instances",
        {
            "instance_id": ("BIGINT", ids),
            "image_id": ("BIGINT", [row.image_id for row in rows]),
            "source_id": ("BIGINT", [row.source_id for row in rows]),
            "coco_id": ("BIGINT", [row.coco_id for row in rows]),
            "category_id": ("BIGINT", [row.category_id for row in rows]),
            "iscrowd": ("BOOLEAN", [row.iscrowd for row in rows]),
            "area": ("DOUBLE", [row.area for row in rows]),
            "area_source": ("VARCHAR", [row.area_source for row in rows]),
            "reviewed_on_import": ("BOOLEAN", [row.reviewed_on_import for row in rows]),
            "extra": ("JSON", [None if r.extra is None else json.dumps(r.extra) for r in rows]),
            "created_at": ("TIMESTAMP", at),
        },
    )
    boxes = [tuple(map(float, row.box_xywh)) for row in rows]
    bulk.insert(
        cursor,
        "box_journal",
        {
            "box_revision": ("BIGINT", next_ids(cursor, "box_revisions", len(rows))),
            "instance_id": ("BIGINT", ids),
            **{name: ("DOUBLE", [box[i] for box in boxes]) for i, name in enumerate("xywh")},
            "source": ("VARCHAR", [row.box_source for row in rows]),
            "hidden": ("BOOLEAN", False),
            "who": ("VARCHAR", who),
            "at": ("TIMESTAMP", at),
        },
    )
    return ids
