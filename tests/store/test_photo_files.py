"""Deeds on whole photos lose nothing: what is put away comes back as it was, with its labels."""

import pytest

from posestudio.core import skeleton as skeletons
from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound
from posestudio.store import deletion, freeze, images, labels, people, photos, splits, verify
from posestudio.store.database import Store, set_skeleton

OTHER = skeletons.from_dict({"keypoints": ["head", "tail"]})


def visible(store: Store) -> list[int]:
    return [row["instance_id"] for row in people.list_people(store)]


def test_a_photo_goes_with_everybody_and_comes_back_with_labels(store, add_people):
    persons = add_people(3, "train")
    second = people.add(store, 1, (0, 0, 30, 30), who="me")["instance_id"]
    store.write(
        lambda c: labels.import_many(c, [labels.NewLabel(persons[0], 3, "placed", 20.0, 30.0, 2)])
    )
    before = people.get(store, persons[0])
    gone = photos.hide(store, [1, 3], True, who="me", edit_id="e1")
    assert gone == {"images": [1, 3], "people": 3, "repeated": False}
    assert visible(store) == [persons[1]]
    assert len(freeze.look(store).people) == 1
    assert splits.counts(store)["images"] == 1
    back = photos.hide(store, [1], False, who="me", edit_id="e2")
    assert back["images"] == [1] and back["people"] == 2
    assert visible(store) == [persons[0], persons[1], second]
    after = people.get(store, persons[0])
    assert (after["labels"], after["box_xywh"]) == (before["labels"], before["box_xywh"])
    problems = verify.verify(store)["problems"]  # these photos have no files; nothing else is wrong
    assert all("file" in problem for problem in problems), problems


def test_who_was_hidden_by_hand_stays_hidden(store, add_people):
    persons = add_people(1, "train")
    second = people.add(store, 1, (0, 0, 30, 30), who="me")["instance_id"]
    people.set_hidden(store, second, True, who="me", edit_id="h")
    photos.hide(store, [1], True, who="me", edit_id="e1")
    photos.hide(store, [1], False, who="me", edit_id="e2")
    assert visible(store) == persons
    photos.hide(store, [1], True, who="me", edit_id="e3")
    assert photos.hide(store, [1], False, who="me", edit_id="e4")["people"] == 1


def test_the_same_edit_twice_and_a_state_that_is_there_change_nothing(store, add_people):
    add_people(2)
    photos.hide(store, [1], True, who="me", edit_id="e1")
    rows = store.read("SELECT count(*) AS n FROM box_journal")
    assert photos.hide(store, [1], True, who="me", edit_id="e1")["repeated"]
    again = photos.hide(store, [1, 2], True, who="me", edit_id="e2")
    assert again["images"] == [2] and again["people"] == 1
    assert store.read("SELECT count(*) AS n FROM box_journal")[0]["n"] == rows[0]["n"] + 1


def test_an_unknown_photo_or_no_photo_changes_nothing(store, add_people):
    persons = add_people(1)
    with pytest.raises(NotFound, match="no image 9"):
        photos.hide(store, [1, 9], True, who="me", edit_id="e1")
    for wrong in ([], [1]):
        with pytest.raises(InputError):
            photos.hide(store, wrong, True, who=" ", edit_id="e2")
    assert visible(store) == persons


def test_deleting_a_photo_leaves_no_word_of_its_hiding(store, add_people):
    add_people(1)
    photos.hide(store, [1], True, who="me", edit_id="e1")
    deletion.delete_image(store, 1, who="me")
    assert store.read("FROM image_journal") == [] and store.read("FROM hidden_images") == []


def test_whole_boxes_only_where_nobody_is(store, add_people):
    persons = add_people(2)
    people.set_hidden(store, persons[1], True, who="me", edit_id="h")

    def job(cursor):
        return images.add_many(cursor, [images.NewImage(f"{99:064x}", 60, 90)])

    (bare,) = store.write(job)
    added = photos.add_whole(store, [1, 2, bare], who="me")
    rows = {row["image_id"]: row for row in map(lambda i: people.get(store, i), added)}
    assert set(rows) == {2, bare}
    assert rows[bare]["box_xywh"] == [0, 0, 60, 90] and rows[bare]["box_source"] == "full"
    assert photos.add_whole(store, [1, 2, bare], who="me") == []
    with pytest.raises(NotFound):
        photos.add_whole(store, [77], who="me")


def test_photos_are_found_by_name_or_by_the_end_of_it(store, add_people):
    add_people(4)

    def job(cursor):
        source = images.add_source(cursor, "images", "x")
        names = ["trip/a/1.jpg", "trip/b/1.jpg", "2.jpg", "trip/2.jpg"]
        images.add_image_sources(
            cursor, [images.ImageSource(i, source, name, i) for i, name in enumerate(names, 1)]
        )

    store.write(job)
    path = {row["image_id"]: row["path"] for row in images.list_images(store)}
    found = photos.by_name(store, ["a/1.jpg", "1.jpg", "2.jpg", "3.jpg", "trip/b/1.jpg", "p/1.jpg"])
    assert found == {"a/1.jpg": path[1], "2.jpg": path[3], "trip/b/1.jpg": path[2]}


def test_an_assumed_skeleton_gives_way_until_somebody_is_labeled(tmp_path, add_people, store):
    with Store(tmp_path / "new", create=True) as fresh:
        fresh.write(photos.assume_skeleton)
        assert fresh.skeleton() == COCO17
        fresh.write(lambda cursor: set_skeleton(cursor, OTHER))
        assert fresh.require_skeleton().keypoints == ("head", "tail")
    (person,) = add_people(1)
    with pytest.raises(InputError, match="use another project"):  # init named this one
        store.write(lambda cursor: set_skeleton(cursor, OTHER))
    store.write(
        lambda cursor: cursor.execute("INSERT INTO meta VALUES ('skeleton_assumed', 'true')")
    )
    store.write(
        lambda c: labels.import_many(c, [labels.NewLabel(person, 3, "placed", 20.0, 30.0, 2)])
    )
    with pytest.raises(InputError, match="use another project"):
        store.write(lambda cursor: set_skeleton(cursor, OTHER))
