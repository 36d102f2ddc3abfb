"""Pages of photos for people to look through: filtered, sorted and cut in SQL.

Whom a page shows is read for its own photos alone, so a page costs the same among fifty photos and fifty thousand.
"""

import threading
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from posestudio.config import unknown
from posestudio.errors import InputError, NotFound
from posestudio.store import groups, marks
from posestudio.store.database import Database, Row, Store, plain

STATUSES = {
    "labeled": "people > 0 AND done = people",
    "partly": "begun + done > 0 AND done < people",
    "open": "people > 0 AND begun + done = 0",
    "empty": "coalesce(people, 0) = 0",
}
"""Status of a photo -> what holds of its people who are neither hidden nor crowds; every photo has exactly one."""

SORTS = {
    "oldest": "image_id",
    "newest": "image_id DESC",
    "name": "lower(file_name), image_id",
    "doubt": "doubt DESC NULLS LAST, image_id",
}
MOST = 240
"""Photos of a page at most."""

_NAME = """(SELECT arg_min(file_name, position) FROM image_sources s WHERE s.image_id = images.image_id)"""

_STANDING = """
SELECT image_id, count(*) AS people, count(*) FILTER (reviewed) AS done,
    count(*) FILTER (placed + absent > 0) AS begun
FROM people_now WHERE NOT hidden AND NOT iscrowd GROUP BY image_id
"""

_PEOPLE = """
SELECT instance_id, image_id, iscrowd, b.x, b.y, b.w, b.h, b.source AS box_source,
    coalesce(placed, 0) AS placed, coalesce(absent, 0) AS absent,
    reviewed_on_import OR (coalesce(placed + absent, 0) > 0 AND coalesce(needed, 0) = len($needed)) AS reviewed
FROM instances JOIN (
    SELECT * FROM box_journal
    WHERE instance_id IN (SELECT instance_id FROM instances WHERE image_id IN (SELECT unnest($images::BIGINT[])))
    QUALIFY row_number() OVER (PARTITION BY instance_id ORDER BY box_revision DESC) = 1
) b USING (instance_id)
LEFT JOIN (
    SELECT instance_id, count(*) FILTER (state = 'placed') AS placed, count(*) FILTER (state = 'absent') AS absent,
        count(*) FILTER (state <> 'open' AND list_contains($needed, keypoint::BIGINT)) AS needed
    FROM labels
    WHERE instance_id IN (SELECT instance_id FROM instances WHERE image_id IN (SELECT unnest($images::BIGINT[])))
    GROUP BY instance_id
) USING (instance_id)
WHERE b.hidden = $hidden AND image_id IN (SELECT unnest($images::BIGINT[])) ORDER BY instance_id
"""

_needed: WeakKeyDictionary[Database, tuple[int, list[int]]] = WeakKeyDictionary()
_needed_lock = threading.Lock()


def page(
    store: Store,
    *,
    split: str | None = None,
    status: str | None = None,
    mark: str | None = None,
    name: str | None = None,
    doubts: Sequence[tuple[int, float]] | None = None,
    least: float | None = None,
    sort: str = "oldest",
    limit: int = 48,
    offset: int = 0,
) -> Row:
    """One page of photos, each with its people.

    Args:
        store: the open store.
        split: only photos of this split.
        status: a key of STATUSES, or "hidden" for photos that were put away; those are left out otherwise.
        mark: only photos with a person of whom this stands, see `marks.standing`.
        name: only photos whose file name holds this, in small or capital letters.
        doubts: how doubtful people are, as pairs of instance_id and a number; what sort "doubt" and `least` go by.
        least: only photos with a person at least as doubtful.
        sort: a key of SORTS.
        limit: photos of the page, up to MOST.
        offset: photos before it.

    Returns:
        total (photos that fit) and images: image_id, file_name, width, height, split, fold, doubt, people (rows with
        instance_id, box_xywh, box_source, iscrowd, placed, absent, reviewed, marks).

    Raises:
        InputError: an argument is none of those.
    """
    sql, params = _chosen(store, split, status, mark, name, doubts, least)
    order = SORTS.get(sort)
    if order is None:
        raise InputError(unknown("order of photos", sort, SORTS))
    rows = _named(
        store,
        f"{sql} SELECT *, count(*) OVER () AS total FROM chosen ORDER BY {order} LIMIT $limit OFFSET $offset",
        {**params, "limit": min(max(1, limit), MOST), "offset": max(0, offset)},
    )
    total = rows[0]["total"] if rows else _count(store, sql, params) if offset > 0 else 0
    inside = _people(store, [row["image_id"] for row in rows])
    for row in rows:
        del row["total"]
        row["people"] = inside.get(row["image_id"], [])
    return {"total": total, "images": rows}


def photo(store: Store, image_id: int, *, sort: str = "oldest", **asked: Any) -> Row:
    """One photo as in `page`, hidden ones too, with its neighbors among those that fit.

    Args:
        store: the open store.
        image_id: which.
        sort: as in `page`.
        asked: the filters of `page`.

    Returns:
        The fields of `page`'s images, and hidden, place (from 0; None where it does not fit), total, before and after
        (ids or None), group (ids of the other photos of its group, up to 200), away (people who were hidden one by one,
        as people; of a hidden photo nobody: they come back with it).

    Raises:
        NotFound: no such image.
    """
    found = store.read(
        f"""SELECT image_id, {_NAME} AS file_name, width, height, split, fold, group_id,
            image_id IN (FROM hidden_images) AS hidden
        FROM images JOIN groups USING (group_id) WHERE image_id = ?""",
        [image_id],
    )
    if not found:
        raise NotFound(f"There is no image {image_id}.")
    row = found[0]
    order = SORTS.get(sort, SORTS["oldest"])
    sql, params = _chosen(store, **asked)
    places = _named(
        store,
        f"""{sql} SELECT * EXCLUDE (image_id) FROM (
            SELECT image_id, row_number() OVER now - 1 AS place, count(*) OVER () AS total,
                lag(image_id) OVER now AS before, lead(image_id) OVER now AS after
            FROM chosen WINDOW now AS (ORDER BY {order}))
        WHERE image_id = $image""",
        {**params, "image": image_id},
    )
    near = store.read(
        "SELECT image_id FROM images WHERE group_id = ? AND image_id <> ? ORDER BY image_id LIMIT 200",
        [row.pop("group_id"), image_id],
    )
    nowhere = {"place": None, "total": 0, "before": None, "after": None}
    return {
        **row, **(places[0] if places else nowhere), "group": [one["image_id"] for one in near],
        "people": _people(store, [image_id]).get(image_id, []),
        "away": [] if row["hidden"] else _people(store, [image_id], hidden=True).get(image_id, []),
    }  # fmt: skip


def statuses(store: Store) -> dict[str, int]:
    """How many photos have each status, and how many are hidden."""
    cases = ", ".join(f"count(*) FILTER ({rule}) AS {key}" for key, rule in STATUSES.items())
    found = store.read(
        f"""SELECT {cases} FROM images LEFT JOIN ({_STANDING}) USING (image_id)
        WHERE image_id NOT IN (FROM hidden_images)"""
    )[0]
    hidden = store.read("SELECT count(*) AS hidden FROM hidden_images")[0]
    return {**found, **hidden}


def _chosen(
    store: Store,
    split: str | None = None,
    status: str | None = None,
    mark: str | None = None,
    name: str | None = None,
    doubts: Sequence[tuple[int, float]] | None = None,
    least: float | None = None,
) -> tuple[str, dict[str, Any]]:
    """`WITH chosen AS (...)` of the photos that fit, and its parameters."""
    if status is not None and status not in (*STATUSES, "hidden"):
        raise InputError(unknown("status", status, {**STATUSES, "hidden": ""}))
    joins, params = ["images", "JOIN groups USING (group_id)"], {}
    where = [f"image_id {'' if status == 'hidden' else 'NOT '}IN (FROM hidden_images)"]
    if split is not None:
        if split not in groups.SPLITS:
            raise InputError(unknown("split", split, dict.fromkeys(groups.SPLITS)))
        where.append("split = $split")
        params["split"] = split
    if status in STATUSES:
        joins.append(f"LEFT JOIN ({_STANDING}) USING (image_id)")
        where.append(f"({STATUSES[status]})")
    if mark is not None:
        marked = [row["instance_id"] for row in marks.standing(store) if row["kind"] == mark]
        where.append(
            "image_id IN (SELECT image_id FROM instances WHERE instance_id IN (SELECT unnest($marked::BIGINT[])))"
        )
        params["marked"] = marked
    if name:
        where.append(f"contains(lower({_NAME}), lower($name))")
        params["name"] = name
    doubt = "NULL::DOUBLE"
    if doubts is not None:
        doubt = "doubt"
        joins.append("""LEFT JOIN (
            SELECT image_id, max(value) AS doubt FROM instances JOIN (
                SELECT unnest($who::BIGINT[]) AS instance_id, unnest($values::DOUBLE[]) AS value
            ) USING (instance_id) GROUP BY image_id) USING (image_id)""")
        params |= {"who": [one for one, _ in doubts], "values": [value for _, value in doubts]}
        if least is not None:
            where.append("doubt >= $least")
            params["least"] = float(least)
    return (
        f"""WITH chosen AS (
            SELECT image_id, {_NAME} AS file_name, width, height, split, fold, {doubt} AS doubt
            FROM {" ".join(joins)} WHERE {" AND ".join(where)})""",
        params,
    )


def _count(store: Store, sql: str, params: dict[str, Any]) -> int:
    return _named(store, f"{sql} SELECT count(*) AS total FROM chosen", params)[0]["total"]


def _people(store: Store, image_ids: list[int], *, hidden: bool = False) -> dict[int, list[Row]]:
    """People of some photos by photo, with their box, how far they are labeled, and what stands of them."""
    asked = {"images": image_ids, "needed": needed_keypoints(store), "hidden": hidden}
    rows = _named(store, _PEOPLE, asked)
    standing: dict[int, list[str]] = {}
    for row in marks.standing(store) if rows else []:
        standing.setdefault(row["instance_id"], []).append(row["kind"])
    found: dict[int, list[Row]] = {}
    for row in rows:
        row["box_xywh"] = [row.pop(name) for name in "xywh"]
        row["marks"] = sorted(set(standing.get(row["instance_id"], [])))
        found.setdefault(row.pop("image_id"), []).append(row)
    return found


def needed_keypoints(store: Store) -> list[int]:
    """Keypoints that a reviewed person has decided, see migrations.NEEDED; read anew only after a write."""
    with _needed_lock:
        known = _needed.get(store.database)
        if known is None or known[0] != store.database.written:
            written = store.database.written
            rows = store.read("SELECT keypoint FROM needed_keypoints ORDER BY keypoint")
            known = _needed[store.database] = (written, [row["keypoint"] for row in rows])
        return known[1]


def _named(store: Store, sql: str, params: dict[str, Any]) -> list[Row]:
    """Rows of one query with named parameters."""
    with store.database.reading() as cursor:
        cursor.execute(sql, params)
        names = [column[0] for column in cursor.description or []]
        return [dict(zip(names, map(plain, row), strict=True)) for row in cursor.fetchall()]
