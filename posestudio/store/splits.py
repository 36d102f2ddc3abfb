"""Splits: which images teach, which are set aside to judge, which are unlabeled. Always by whole groups."""

import random
from collections.abc import Collection, Sequence

from posestudio.errors import InputError, NotFound
from posestudio.store import groups
from posestudio.store.database import Cursor, Row, Store, fetch
from posestudio.store.people import require_people

VAL_SHARE, VAL_LEAST = 0.2, 20
"""How much of the reviewed people is set aside unless somebody says otherwise. Ours."""


def set_split(
    store: Store,
    split: str,
    *,
    image_ids: Sequence[int] = (),
    instance_ids: Sequence[int] = (),
) -> Row:
    """Move images, or the images of people, to a split; everything in their groups moves with them.

    Returns:
        split, groups and images: how many of them are in that split now because of this call or were already.

    Raises:
        NotFound: an image or person does not exist; then nothing moves.
        InputError: no such split, or nothing is named.
    """
    wanted = _split(split)
    if not image_ids and not instance_ids:
        raise InputError("Name at least one image or person to move.")

    def job(cursor: Cursor) -> Row:
        if instance_ids:
            require_people(cursor, instance_ids)
        found = fetch(
            cursor,
            """SELECT image_id, group_id FROM images
            WHERE image_id IN (SELECT unnest(?::BIGINT[])) OR image_id IN (
                SELECT image_id FROM instances WHERE instance_id IN (SELECT unnest(?::BIGINT[])))""",
            [list(image_ids), list(instance_ids)],
        )
        missing = sorted(set(image_ids) - {row["image_id"] for row in found})
        if missing:
            raise NotFound(f"There is no image {', '.join(map(str, missing[:5]))}.")
        return _move(cursor, {row["group_id"] for row in found}, wanted)

    return store.write(job)


def val_size(reviewed: int, share: float = VAL_SHARE, at_least: int = VAL_LEAST) -> int:
    """How many of so many reviewed people to set aside: a share, and `at_least` of them where that leaves two thirds.

    Never more than half, whatever the share: something has to teach.
    """
    return min(max(round(share * reviewed), min(at_least, reviewed // 3)), reviewed // 2)


def make_val(
    store: Store,
    share: float = VAL_SHARE,
    at_least: int = VAL_LEAST,
    seed: int = 0,
    last: Collection[int] = (),
) -> Row:
    """Set people aside for evaluation: groups of train drawn at random until they hold enough reviewed people.

    Enough is `val_size` of the reviewed, visible, non-crowd people. People that are in val already count. The same
    store and seed give the same choice.
    Groups with one of the people `last` are taken only when the others are not enough.

    Returns:
        people (reviewed, in val now), groups (moved), wanted.

    Raises:
        InputError: share does not lie in 0..1, or train has fewer than two groups with reviewed people.
    """
    if not 0 < share < 1 or at_least < 0:
        raise InputError(
            f"share must lie between 0 and 1, and at_least from 0; got {share}, {at_least}."
        )

    def job(cursor: Cursor) -> Row:
        rows = fetch(
            cursor,
            """SELECT group_id, split, count(*) AS people FROM people_now
            WHERE reviewed AND placed > 0 AND NOT hidden AND NOT iscrowd AND split IN ('train', 'val')
            GROUP BY group_id, split ORDER BY group_id""",
        )
        have = sum(row["people"] for row in rows if row["split"] == "val")
        train = [row for row in rows if row["split"] == "train"]
        total = have + sum(row["people"] for row in train)
        wanted = val_size(total, share, at_least)
        if have < wanted and len(train) < 2:
            raise InputError(
                "There are too few labeled images to set some aside for evaluation.\n"
                "Label people in at least two different images first."
            )
        random.Random(f"val {seed}").shuffle(train)
        rows = fetch(
            cursor,
            """SELECT DISTINCT group_id FROM instances JOIN images USING (image_id)
            WHERE instance_id IN (SELECT unnest(?::BIGINT[]))""",
            [list(last)],
        )
        late = {row["group_id"] for row in rows}
        train.sort(key=lambda row: row["group_id"] in late)
        chosen: set[int] = set()
        for row in train:
            if have >= wanted or len(chosen) == len(train) - 1:
                break
            chosen.add(row["group_id"])
            have += row["people"]
        _move(cursor, chosen, "val")
        return {"people": have, "groups": len(chosen), "wanted": wanted}

    return store.write(job)


def counts(store: Store) -> Row:
    """How many images and people there are.

    Returns:
        images (but hidden ones), people, groups, hidden (people), labeled (keypoints placed), and `splits`: for each
        split images, people, open
        (no keypoint decided), partly, reviewed (every taught keypoint decided) and fold (people of the stored fold).
    """
    with store.database.reading() as cursor:
        people = fetch(
            cursor,
            """SELECT split, count(*) AS people, count(*) FILTER (reviewed) AS reviewed,
                count(*) FILTER (NOT reviewed AND placed + absent > 0) AS partly,
                count(*) FILTER (NOT reviewed AND placed + absent = 0) AS open, count(*) FILTER (fold) AS fold,
                coalesce(sum(placed), 0)::BIGINT AS placed
            FROM people_now WHERE NOT hidden GROUP BY split""",
        )
        images = fetch(
            cursor,
            """SELECT split, count(*) AS images FROM images JOIN groups USING (group_id)
            WHERE image_id NOT IN (FROM hidden_images) GROUP BY split""",
        )
        sizes = fetch(
            cursor,
            """SELECT (SELECT count(*) FROM groups) AS groups,
                (SELECT count(*) FROM boxes_now WHERE hidden) AS hidden""",
        )[0]
    fields = ("people", "open", "partly", "reviewed", "fold")
    by_split = {row["split"]: row for row in people}
    images_of = {row["split"]: row["images"] for row in images}
    found = {
        split: {
            "images": images_of.get(split, 0),
            **{field: by_split.get(split, {}).get(field, 0) for field in fields},
        }
        for split in groups.SPLITS
    }
    return {
        "images": sum(images_of.values()),
        "people": sum(row["people"] for row in people),
        **sizes,
        "labeled": sum(row["placed"] for row in people),
        "splits": found,
    }


def untaught(store: Store) -> list[str]:
    """Names of the keypoints that no label of the train split shows: left out of queue, training and scores."""
    names = store.require_skeleton().keypoints
    taught = {row["keypoint"] for row in store.read("SELECT keypoint FROM taught_keypoints")}
    return [name for index, name in enumerate(names) if index not in taught]


def _split(split: str) -> str:
    if split not in groups.SPLITS:
        raise InputError(f"split must be one of {', '.join(groups.SPLITS)}, got {split!r}.")
    return split


def _move(cursor: Cursor, group_ids: set[int], split: str) -> Row:
    chosen = sorted(group_ids)
    cursor.execute(
        "UPDATE groups SET split = ? WHERE group_id IN (SELECT unnest(?::BIGINT[]))",
        [split, chosen],
    )
    count = cursor.execute(
        "SELECT count(*) FROM images WHERE group_id IN (SELECT unnest(?::BIGINT[]))", [chosen]
    ).fetchone()
    return {"split": split, "groups": len(chosen), "images": count[0] if count else 0}
