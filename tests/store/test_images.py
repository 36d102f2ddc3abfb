"""Images are kept once by content, and their groups cannot cross splits."""

import hashlib
import random

import pytest

from posestudio.errors import NotFound
from posestudio.store import groups, images
from posestudio.store.images import NewImage

PHASH = 0x0F1E2D3C4B5A6978


def add(store, *rows: NewImage) -> list[dict]:
    ids = store.write(lambda cursor: images.add_many(cursor, rows))
    return [images.get(store, image_id) for image_id in ids]


def test_the_same_content_is_one_image(store):
    first, second, third = add(
        store, NewImage("a", 10, 10), NewImage("b", 10, 10), NewImage("a", 10, 10)
    )
    assert first["image_id"] == third["image_id"] != second["image_id"]
    assert add(store, NewImage("b", 10, 10))[0]["image_id"] == second["image_id"]
    assert len(images.list_images(store)) == 2


def test_an_unlabeled_image_takes_the_split_of_a_later_import_and_a_set_one_keeps_it(store):
    add(store, NewImage("a", 10, 10))
    assert add(store, NewImage("a", 10, 10, split="train"))[0]["split"] == "train"
    assert add(store, NewImage("a", 10, 10, split="val"))[0]["split"] == "train"


def test_near_duplicates_join_the_older_group(store):
    (old,) = add(store, NewImage("a", 640, 480, PHASH, split="val"))
    near, far, other_form, none = add(
        store,
        NewImage("b", 320, 240, PHASH ^ 0b10001000001 ^ (1 << 63), split="train"),
        NewImage("c", 320, 240, PHASH ^ 0b111111, split="train"),
        NewImage("d", 240, 320, PHASH, split="train"),
        NewImage("e", 320, 240, None, split="train"),
    )
    assert (near["group_id"], near["split"], near["fold"]) == (old["group_id"], "val", old["fold"])
    assert {far["split"], other_form["split"], none["split"]} == {"train"}
    assert len({row["group_id"] for row in (old, far, other_form, none)}) == 4


@pytest.mark.parametrize("seed", range(5))
def test_every_pair_within_the_limit_is_found(store, seed):
    rng = random.Random(seed)
    bits = rng.sample(range(64), groups.NEAR_BITS)
    changed = PHASH
    for bit in bits:
        changed ^= 1 << bit
    one, other = add(store, NewImage("a", 10, 10, PHASH), NewImage("b", 10, 10, changed))
    assert one["group_id"] == other["group_id"]


def test_images_without_structure_are_not_near(store):
    one, other = add(store, NewImage("a", 10, 10, 0), NewImage("b", 10, 10, 0))
    assert one["group_id"] != other["group_id"]


def test_frames_share_a_group_and_a_chain_joins_all(store):
    frames = add(
        store,
        NewImage("a", 10, 10, group_key="film"),
        NewImage("b", 10, 10, PHASH, group_key="film"),
        NewImage("c", 10, 10, PHASH ^ 1, group_key="other film", split="train"),
        NewImage("d", 10, 10, group_key="other film"),
    )
    assert len({row["group_id"] for row in frames}) == 1
    assert {row["split"] for row in frames} == {"train"}
    assert store.read("SELECT count(*) AS n FROM groups") == [{"n": 1}]


def test_unlabeled_gives_way_but_train_and_val_keep_the_older(store):
    (old,) = add(store, NewImage("a", 10, 10, PHASH))
    assert old["split"] == "unlabeled"
    assert add(store, NewImage("b", 10, 10, PHASH ^ 1, split="val"))[0]["split"] == "val"
    assert add(store, NewImage("c", 10, 10, PHASH ^ 2, split="train"))[0]["split"] == "val"
    assert images.get(store, old["image_id"])["split"] == "val"


def test_the_fold_is_fixed_by_content_and_near_its_share():
    drawn = [groups.in_fold(hashlib.sha256(str(i).encode()).hexdigest()) for i in range(4000)]
    assert abs(sum(drawn) / len(drawn) - groups.FOLD_SHARE) < 0.02
    assert [i for i in range(60) if groups.in_fold(f"{i:064x}")] == [
        12,
        14,
        15,
        24,
        26,
        30,
        42,
        44,
        45,
        47,
        49,
        50,
    ], "it never moves"


def test_sources_and_pages(store):
    rows = add(store, *[NewImage(str(i), 10, 10, split="train") for i in range(5)])

    def job(cursor):
        source = images.add_source(cursor, "coco", "a.json", {"info": {"year": 2026}})
        found = [
            images.ImageSource(row["image_id"], source, f"{i}.jpg", i, coco_id=100 + i)
            for i, row in enumerate(rows)
        ]
        images.add_image_sources(cursor, found)
        return source

    source = store.write(job)
    page = images.list_images(store, "train", limit=2, offset=1)
    assert [row["file_name"] for row in page] == ["1.jpg", "2.jpg"]
    assert images.get(store, rows[3]["image_id"])["sources"][0]["coco_id"] == 103
    (listed,) = images.list_sources(store)
    assert listed["source_id"] == source and listed["images"] == 5
    assert listed["header"] == {"info": {"year": 2026}}
    assert images.get(store, rows[0]["image_id"])["path"] == "images/0"


def test_an_unknown_image(store):
    with pytest.raises(NotFound, match="77"):
        images.get(store, 77)
    with pytest.raises(ValueError, match="split"):
        store.write(lambda cursor: images.add_many(cursor, [NewImage("a", 1, 1, split="test")]))
