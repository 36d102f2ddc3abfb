"""Groups of images that must stay on one side of a split: an image with its people, its near-duplicates, a video.

The split and the fold live on the group, so a group cannot cross splits. Groups only grow together: when two meet,
the younger joins the older.
"""

import hashlib
from collections.abc import Iterable

from posestudio.store.database import Cursor

SPLITS = ("train", "val", "unlabeled")

FOLD_SHARE = 0.15
"""Share of groups in the stored fold, whose labels do not teach: they calibrate and raise alarms. Ours."""

NEAR_BITS = 5
"""Two images are near-duplicates when at most this many of the 64 bits of their perceptual hashes differ. Ours."""

FLAT_BITS = 8
"""A hash with fewer set (or unset) bits than this belongs to an image without structure and says nothing. Ours."""

_BANDS = ((0, 2047), (11, 2047), (22, 2047), (33, 2047), (44, 1023), (54, 1023))
"""(shift, mask) of NEAR_BITS + 1 pieces of a hash: near-duplicates have at least one piece in common."""

_NEAR = f"""
WITH pieces AS (
    SELECT image_id, group_id, phash, width / height AS aspect, shift, (phash >> shift) & mask AS piece
    FROM images, (VALUES {", ".join(f"({s}::UBIGINT, {m}::UBIGINT)" for s, m in _BANDS)}) bands (shift, mask)
    WHERE phash IS NOT NULL AND bit_count(phash) BETWEEN {FLAT_BITS} AND {64 - FLAT_BITS})
SELECT DISTINCT young.group_id, other.group_id
FROM pieces young JOIN pieces other ON young.shift = other.shift AND young.piece = other.piece
WHERE young.image_id >= ? AND young.group_id <> other.group_id
    AND bit_count(xor(young.phash, other.phash)) <= {NEAR_BITS}
    AND abs(ln(young.aspect / other.aspect)) < 0.05
"""


def in_fold(sha256: str) -> bool:
    """Whether a group whose first image has this hash belongs to the stored fold; the same on every machine."""
    digest = hashlib.sha256(f"fold {sha256}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64 < FOLD_SHARE


def near_groups(cursor: Cursor, first_image_id: int) -> list[tuple[int, int]]:
    """In a job: pairs of groups that share near-duplicates, one of them among images from `first_image_id` on."""
    return cursor.execute(_NEAR, [first_image_id]).fetchall()


def merge(cursor: Cursor, pairs: Iterable[tuple[int, int]]) -> int:
    """In a job: join groups pairwise, the younger into the older; returns how many were joined away.

    The older group's split and fold stand. Only "unlabeled" gives way to the other's train or val: nothing was
    promised about it yet.
    """
    parent: dict[int, int] = {}

    def root(group: int) -> int:
        while parent.setdefault(group, group) != group:
            parent[group] = parent[parent[group]]
            group = parent[group]
        return group

    for one, other in pairs:
        old, young = sorted((root(one), root(other)))
        parent[young] = old
    gone = {group: root(group) for group in parent if root(group) != group}
    if not gone:
        return 0
    moves = [list(gone.keys()), list(gone.values())]
    cursor.execute(
        "CREATE OR REPLACE TEMP TABLE moves AS SELECT unnest(?::BIGINT[]) young, unnest(?::BIGINT[]) old",
        moves,
    )
    cursor.execute("""
        UPDATE groups SET split = taken.split FROM (
            SELECT old, arg_min(split, young) AS split FROM moves JOIN groups ON group_id = young
            WHERE split <> 'unlabeled' GROUP BY old) taken
        WHERE group_id = taken.old AND groups.split = 'unlabeled'""")
    cursor.execute("UPDATE images SET group_id = old FROM moves WHERE group_id = young")
    cursor.execute("DELETE FROM groups WHERE group_id IN (SELECT young FROM moves)")
    cursor.execute("DROP TABLE moves")
    return len(gone)


def require_split(split: str) -> str:
    """The split itself.

    Raises:
        ValueError: it is not one of SPLITS.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    return split
