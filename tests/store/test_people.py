"""People and the journal of their boxes."""

import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import deletion, images, labels, people, predictions

PLACED = [{"keypoint": "nose", "state": "placed", "x": 20, "y": 20, "v": 2}]


def test_a_box_moves_and_keeps_its_past(store, add_people):
    (person,) = add_people(1)
    saved = people.set_box(store, person, [1, 2, 30, 40], who="ann", edit_id="e1")
    again = people.set_box(store, person, [9, 9, 9, 9], who="ann", edit_id="e1")
    assert again == {**saved, "repeated": True}
    assert people.get(store, person)["box_xywh"] == [1, 2, 30, 40]
    past = people.boxes(store, person)
    assert [row["box_xywh"] for row in past] == [[10, 10, 50, 60], [1, 2, 30, 40]]
    assert [row["who"] for row in past] == ["import", "ann"]
    assert past[1]["at"].endswith("Z")


@pytest.mark.parametrize(
    "box",
    [
        [1, 2, 3],
        [0, 0, 0, 5],
        [0, 0, -5, 5],
        [float("nan"), 0, 5, 5],
        [0, 0, float("inf"), 5],
        ["0", 0, 5, 5],
        [True, 0, 5, 5],
        [200, 0, 50, 50],
        None,
    ],
)
def test_a_bad_box_is_refused(store, add_people, box):
    (person,) = add_people(1)
    with pytest.raises(InputError, match="box"):
        people.set_box(store, person, box, who="ann")
    assert len(people.boxes(store, person)) == 1


def test_a_removed_person_comes_back_with_labels(store, add_people):
    one, other = add_people(2)
    labels.save_edits(store, one, PLACED, who="ann", edit_id="e", base_revision=0)
    people.set_hidden(store, one, True, who="ann")
    assert [row["instance_id"] for row in people.list_people(store)] == [other]
    assert len(people.list_people(store, hidden=True)) == 2
    people.set_hidden(store, one, False, who="ann")
    back = people.get(store, one)
    assert not back["hidden"] and back["labels"][0]["x"] == 20
    assert [row["hidden"] for row in people.boxes(store, one)] == [False, True, False]


def test_a_person_is_added_by_hand(store, add_people):
    image = people.get(store, add_people(1)[0])["image_id"]
    person = people.add(store, image, (1, 1, 20, 20), who="ann")["instance_id"]
    assert [p["instance_id"] for p in people.list_people(store, image)][-1] == person
    with pytest.raises(NotFound):
        people.add(store, 999, (1, 1, 20, 20), who="ann")


@pytest.mark.parametrize("who", ["", "  ", "x" * 101, "a\nb", None])
def test_who_is_a_name(store, add_people, who):
    (person,) = add_people(1)
    with pytest.raises(InputError, match="who"):
        people.set_hidden(store, person, True, who=who)


def test_lists_by_split_and_page(store, add_people):
    train, _ = add_people(3, "train"), add_people(2, "val")
    assert len(people.list_people(store, split="val")) == 2
    assert people.list_people(store, split="train") == [], "nobody has labels yet"
    labels.save_edits(store, train[1], PLACED, who="a", edit_id="e", base_revision=0)
    assert [row["instance_id"] for row in people.list_people(store, split="train")] == [train[1]]
    assert len(people.list_people(store, limit=2, offset=4)) == 1


@pytest.mark.parametrize("call", [people.get, people.boxes, labels.current, labels.history])
def test_nobody_there(store, call):
    with pytest.raises(NotFound, match="55"):
        call(store, 55)


def test_deletion_leaves_a_tombstone_without_content(store, add_people):
    one, other = add_people(2, "train")
    for person in (one, other):
        labels.save_edits(store, person, PLACED, who="a", edit_id=f"e{person}", base_revision=0)
    predictions.save(
        store, model="m", student="-", instance_id=[one], box_revision=[1], xy_image=[[[1, 2]]], score=[[0.5]]
    )  # fmt: skip
    with pytest.raises(NotFound, match="99"):
        deletion.delete_people(store, [one, 99], who="ann")
    assert people.get(store, one)["labels"]
    deletion.delete_people(store, [one], who="ann")
    with pytest.raises(NotFound):
        people.get(store, one)
    for table in ("label_journal", "labels", "box_journal", "predictions", "instances"):
        assert store.read(f"SELECT * FROM {table} WHERE instance_id = {one}") == []
    (grave,) = deletion.list_tombstones(store)
    assert (grave["kind"], grave["id"], grave["who"]) == ("person", one, "ann")
    assert people.get(store, other)["labels"]


def test_deleting_an_image_takes_its_file_and_its_people(store, add_people):
    one, other = add_people(2)
    image = people.get(store, one)["image_id"]
    file = store.project / images.get(store, image)["path"]
    file.write_bytes(b"pixels")
    assert deletion.delete_image(store, image, who="ann")["deleted"] == [one]
    assert not file.exists()
    with pytest.raises(NotFound):
        images.get(store, image)
    assert people.get(store, other)
    assert len(store.read("SELECT * FROM groups")) == 1


@pytest.mark.parametrize(
    "name",
    ["Ann", " Bo ", "\u0646\u0631\u06af\u0633\u200c\u062e\u0627\u0646", "Ann\u00a0Lee",
     "\U0001f468\u200d\U0001f4bb", "x" * 100],
)  # fmt: skip
def test_a_name_may_hold_joiners_and_blanks_of_any_kind(name):
    """As Persian names, pasted ones and joined emoji do."""
    assert people.require_who(name) == name.strip()


@pytest.mark.parametrize(
    "name", ["", "  ", "a\nb", "a\tb", "a\u2028b", "a\u2029b", "a\x7f", "a\ud83d", "x" * 101, 7]
)
def test_what_is_no_name_is_refused(name):
    with pytest.raises(InputError, match="who must be a name"):
        people.require_who(name)
