"""Splits move whole groups, and setting people aside is random but the same every time."""

import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import documents, gallery, images, labels, people, splits


def review(store, persons):
    for person in persons:
        edits = [{"keypoint": "nose", "state": "placed", "x": 20, "y": 20, "v": 2}]
        labels.save_edits(
            store, person, edits, who="a", edit_id=f"review {person}", base_revision=None
        )


def test_a_group_moves_as_a_whole(store):
    rows = [images.NewImage(name, 9, 9, group_key="film") for name in "abc"]
    ids = store.write(lambda cursor: images.add_many(cursor, rows))
    other = store.write(lambda cursor: images.add_many(cursor, [images.NewImage("d", 9, 9)]))
    moved = splits.set_split(store, "val", image_ids=[ids[1]])
    assert moved == {"split": "val", "groups": 1, "images": 3}
    assert {images.get(store, i)["split"] for i in ids} == {"val"}
    assert images.get(store, other[0])["split"] == "unlabeled"


def test_people_can_be_named(store, add_people):
    one, other = add_people(2)
    splits.set_split(store, "train", instance_ids=[other])
    assert [row["split"] for row in images.list_images(store)] == ["unlabeled", "train"]
    with pytest.raises(NotFound, match="77"):
        splits.set_split(store, "val", instance_ids=[one, 77])
    with pytest.raises(NotFound, match="88"):
        splits.set_split(store, "val", image_ids=[1, 88])
    assert len(images.list_images(store, "val")) == 0, "nothing moved"
    with pytest.raises(InputError, match="split"):
        splits.set_split(store, "test", image_ids=[1])
    with pytest.raises(InputError, match="at least one"):
        splits.set_split(store, "val")


def test_the_fold_does_not_move(store, add_people):
    persons = add_people(60, "train")
    review(store, persons)
    before = {row["image_id"]: row["fold"] for row in images.list_images(store)}
    splits.make_val(store)
    add_people(5, "train")
    after = {row["image_id"]: row["fold"] for row in images.list_images(store)}
    assert any(before.values()) and before.items() <= after.items()


def test_people_are_set_aside_at_random_and_reproducibly(store, add_people):
    persons = add_people(60, "train")
    review(store, persons)
    add_people(10)
    assert splits.make_val(store, share=0.2, at_least=20, seed=3)["people"] == 20
    first = {row["instance_id"] for row in people.list_people(store, split="val")}
    assert len(first) == 20 and first <= set(persons) and first != set(persons[:20])
    assert splits.make_val(store, share=0.2, at_least=20, seed=4)["groups"] == 0, "there are enough"
    splits.set_split(store, "train", instance_ids=sorted(first))
    splits.make_val(store, share=0.2, at_least=20, seed=3)
    assert {row["instance_id"] for row in people.list_people(store, split="val")} == first


def test_some_are_set_aside_only_when_the_others_are_not_enough(store, add_people):
    persons = add_people(12, "train")
    review(store, persons)
    splits.make_val(store, at_least=4, last=persons[:8])
    val = {row["instance_id"] for row in people.list_people(store, split="val")}
    assert val == set(persons[8:])
    splits.make_val(store, share=0.5, at_least=1, last=persons[:8])
    val = {row["instance_id"] for row in people.list_people(store, split="val")}
    assert len(val) == 6 and set(persons[8:]) < val


def test_something_is_left_to_teach(store, add_people):
    review(store, add_people(6, "train"))
    assert splits.make_val(store) == {"people": 2, "groups": 2, "wanted": 2}
    sizes = {reviewed: splits.val_size(reviewed) for reviewed in (0, 1, 3, 24, 60, 100, 1000)}
    assert sizes == {0: 0, 1: 0, 3: 1, 24: 8, 60: 20, 100: 20, 1000: 200}
    assert splits.val_size(10, share=0.9) == 5


def test_too_few_to_set_aside(store, add_people):
    review(store, add_people(1, "train"))
    assert splits.make_val(store)["groups"] == 0
    with pytest.raises(InputError, match="share"):
        splits.make_val(store, share=1.5)


def test_the_first_people_are_asked_for_every_keypoint(store, add_people):
    """Somebody cropped at the hips must not settle that nobody is ever asked for knees."""
    persons = add_people(6, "train")
    review(store, persons[:4])
    assert gallery.needed_keypoints(store) == list(range(17))
    assert splits.counts(store)["splits"]["train"]["reviewed"] == 0
    review(store, persons[4:5])
    assert gallery.needed_keypoints(store) == [0] and documents.taught(store) == {0}
    assert splits.counts(store)["splits"]["train"]["reviewed"] == 5


def test_counts_and_what_is_taught(store, add_people):
    add_people(2)
    (one, other) = add_people(2, "train")
    assert len(splits.untaught(store)) == 17
    review(store, [one])
    edits = [{"keypoint": k, "state": "placed", "x": 1, "y": 1, "v": 2} for k in (0, 1)]
    labels.save_edits(store, other, edits, who="a", edit_id="e", base_revision=0)
    found = splits.counts(store)
    assert (found["images"], found["people"], found["labeled"]) == (4, 4, 3)
    train = found["splits"]["train"]
    assert (train["people"], train["reviewed"], train["partly"]) == (2, 0, 2)
    assert found["splits"]["unlabeled"]["open"] == 2
    assert len(splits.untaught(store)) == 15
    people.set_hidden(store, other, True, who="a")
    assert splits.counts(store)["hidden"] == 1 and len(splits.untaught(store)) == 16
