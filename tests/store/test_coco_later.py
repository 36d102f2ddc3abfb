"""Whether a COCO file is a later state of one that came in before: only such a file changes who is there."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from posestudio.store import images, labels, people
from posestudio.store.coco_import import import_coco
from posestudio.store.coco_write import export_coco
from posestudio.store.database import Store
from posestudio.store.verify import verify
from tests.store.test_coco_again import again, edit, ids, renumber, said, state
from tests.store.test_coco_import import Data, dump

pytestmark = pytest.mark.empty


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Nine people in nine images, all with other boxes and labels."""
    made = Data(tmp_path / "data", count=9)
    del made.content["annotations"][-1]
    for place, one in enumerate(made.content["annotations"]):
        one.update(
            bbox=[10 + place, 10.5, 30, 40], keypoints=[20 + place, 20, 2, 15, 30, 1, 0, 0, 0]
        )
    made.save()
    return made


def other_file(
    store: Store, data: Data, folder: Path, content: dict[str, Any], **options: Any
) -> dict[str, Any]:
    """Bring in a file of other people's work on the same photos."""
    (folder / "other.json").write_text(json.dumps(content))
    return import_coco(store, folder / "other.json", data.images, **options)


def by_person(store: Store) -> dict[int, Any]:
    """Box and labels of everybody, by instance_id."""
    return {
        row["instance_id"]: (row["box_xywh"], labels.current(store, row["instance_id"]))
        for row in people.list_people(store)
    }


@pytest.mark.parametrize(
    "box",
    [[60, 60, 20, 15], [39, 10.5, 30, 40], [26, 10.5, 30, 40]],
    ids=["apart", "touch", "part"],
)
def test_a_file_of_others_with_the_same_numbers_overwrites_nobody(
    store: Store, data: Data, tmp_path: Path, box: list[float]
):
    data.into(store)
    before, entries = by_person(store), store.read("FROM image_sources ORDER BY ALL")
    other = copy.deepcopy(data.content)
    for place, one in enumerate(other["annotations"]):
        one.update(bbox=[box[0] + place / 2, *box[1:]], keypoints=[9 + place, 9, 1] * 3)
    for image in other["images"]:
        image["license"] = 7
    report = other_file(store, data, tmp_path, other)
    assert (report["updated"], report["edited"], report["people"]) == (0, 0, 9)
    assert any("9 images came in before with a file of which" in w for w in report["warnings"])
    now = by_person(store)
    assert {one: now[one] for one in before} == before and len(now) == 18
    left = store.read("FROM image_sources ORDER BY ALL")
    assert [row for row in left if row in entries] == entries and len(left) == 18
    before = dump(store)
    assert other_file(store, data, tmp_path, other)["unchanged"] == 9 and dump(store) == before
    assert again(store, data)["unchanged"] == 9 and dump(store) == before


def test_new_labels_for_everybody_on_the_same_boxes_follow_the_file(store: Store, data: Data):
    """Labeled anew elsewhere: the same people by number and box."""
    data.into(store)
    edit(store, ids(store)[1], "e")
    edited = state(store)[1]
    for place, one in enumerate(data.content["annotations"]):
        one.update(bbox=[9 + place, 11, 32, 41], keypoints=[9 + place, 9, 1] * 3, num_keypoints=3)
    report = again(store, data)
    assert (report["updated"], report["edited"], report["people"]) == (8, 1, 0)
    told = {one["id"]: said(one) for one in data.content["annotations"]}
    assert state(store) == {**told, 1: edited}


def test_other_boxes_with_the_same_labels_follow_the_file(store: Store, data: Data):
    data.into(store)
    for one in data.content["annotations"]:
        one["bbox"] = [*one["bbox"][:2], 60, 60]
    report = again(store, data)
    assert (report["updated"], report["people"], report["keypoints"]) == (9, 0, 0)


def test_one_person_in_common_makes_no_later_state(store: Store, data: Data, tmp_path: Path):
    data.into(store)
    before = by_person(store)
    other = copy.deepcopy(data.content)
    for place, one in enumerate(other["annotations"][1:]):
        one.update(id=500 + place, bbox=[60, 30, 20, 20], keypoints=[61, 40 + place, 2] * 3)
    other["annotations"][1]["bbox"] = [12, 11, 30, 40]
    other["annotations"].append(
        {
            **other["annotations"][0],
            "id": 600,
            "bbox": [11, 10.5, 30, 40],
            "keypoints": [1, 2, 2] * 3,
        }
    )
    report = other_file(store, data, tmp_path, other)
    assert (report["updated"], report["people"]) == (0, 9), "the one in common is there once"
    now = by_person(store)
    assert {one: now[one] for one in before} == before


def test_boxes_alone_make_no_later_state_where_there_are_labels(
    store: Store, data: Data, tmp_path: Path
):
    """Most came in without labels; a file of others over the same boxes, such as a detector's."""
    data.into(store, labeled=["1.png", "2.png"])
    before = by_person(store)
    other = copy.deepcopy(data.content)
    renumber(other)
    for place, one in enumerate(other["annotations"]):
        one.update(keypoints=[9 + place, 9, 1] * 3, num_keypoints=3)
    report = other_file(store, data, tmp_path, other, split="val")
    assert (report["updated"], report["people"]) == (0, 2), "who is bare is there by the box"
    assert any("7 of these people came in without labels" in w for w in report["warnings"])
    now = by_person(store)
    assert {one: now[one] for one in before} == before
    assert len(images.list_images(store, "unlabeled")) == 7


def test_an_id_that_somebody_else_has_now_hides_nobody(store: Store, data: Data):
    data.into(store)
    edit(store, ids(store)[1], "e")
    before = state(store)
    for one in data.content["annotations"][:2]:
        one.update(bbox=[60, 30, 20, 20], keypoints=[61, 40, 2] * 3, num_keypoints=3)
    report = again(store, data)
    assert (report["people"], report["updated"], report["edited"]) == (2, 0, 0)
    assert any("2 people of before are not in the file" in note for note in report["warnings"])
    now = state(store)
    assert {number: now[number] for number in before} == before
    assert sorted(now) == list(range(1, 12))
    assert [now[10], now[11]] == [said(one) for one in data.content["annotations"][:2]]
    everything = dump(store)
    again(store, data)
    assert dump(store) == everything


def test_who_was_moved_here_is_known_by_the_box_here(store: Store, data: Data, tmp_path: Path):
    data.into(store)
    people.set_box(store, ids(store)[1], [60, 30, 30, 40], who="ann")
    export_coco(store, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    content["annotations"][0]["keypoints"][0] += 1
    report = other_file(store, data, tmp_path, content)
    assert (report["people"], report["edited"], report["updated"]) == (0, 1, 0)


def test_images_that_are_there_keep_their_split(store: Store, data: Data):
    data.into(store, labeled=["1.png", "2.png"])
    data.content["annotations"][4]["bbox"] = [9, 9, 33, 44]
    report = again(store, data, split="val")
    assert report["updated"] == 1
    assert images.list_images(store, "val") == []
    assert len(images.list_images(store, "train")) == 2


def test_first_labels_bring_an_image_into_the_split_that_is_asked(store: Store, data: Data):
    given = [one["keypoints"] for one in data.content["annotations"]]
    for one in data.content["annotations"]:
        one.update(keypoints=[0] * 9, num_keypoints=0)
    again(store, data, split="unlabeled")
    for one, keypoints in zip(data.content["annotations"][:3], given, strict=False):
        one.update(keypoints=keypoints, num_keypoints=2)
    assert again(store, data, split="val")["updated"] == 3
    assert len(images.list_images(store, "val")) == 3


def test_an_image_whose_name_changed_is_counted(store: Store, data: Data):
    data.into(store)
    (data.images / "1.png").rename(data.images / "one.png")
    data.content["images"][0]["file_name"] = "one.png"
    report = again(store, data)
    assert (report["unchanged"], report["updated"]) == (8, 0)
    assert any("1 images have another name or other fields" in w for w in report["warnings"])
    assert again(store, data)["unchanged"] == 9


def test_other_fields_of_who_was_edited_follow_the_file(store: Store, data: Data, tmp_path: Path):
    """By the first file, by an export, and not where box or labels contradict."""
    data.into(store)
    person = ids(store)
    for number in (1, 2, 3):
        edit(store, person[number], f"e{number}")
    people.set_box(store, person[2], [12, 11, 30, 41], who="ann")
    before = state(store)
    export_coco(store, tmp_path / "out.json")
    exported = json.loads((tmp_path / "out.json").read_text())["annotations"]
    first, second, third = data.content["annotations"][:3]
    second.update(bbox=exported[1]["bbox"], keypoints=exported[1]["keypoints"])
    third["keypoints"][0] += 1
    for one in (first, second, third):
        one.update(area=77.5, iscrowd=1, note="new")
    report = again(store, data)
    assert (report["updated"], report["edited"], report["keypoints"]) == (2, 1, 0)
    assert any("2 people who were edited or checked here follow" in w for w in report["warnings"])
    assert state(store) == before and verify(store)["problems"] == []
    rows = [people.get(store, person[number]) for number in (1, 2, 3)]
    assert [row["area"] for row in rows] == [77.5, 77.5, 600.25]
    assert [row["iscrowd"] for row in rows] == [True, True, False]
    assert again(store, data)["updated"] == 0


def test_who_was_removed_here_does_not_make_it_another_file(
    store: Store, data: Data, tmp_path: Path
):
    data.into(store)
    for number, person in ids(store).items():
        if number > 3:
            people.set_hidden(store, person, True, who="ann")
    export_coco(store, tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text())
    for one in content["annotations"]:
        one["keypoints"][0] += 1
    report = other_file(store, data, tmp_path, content)
    assert (report["people"], report["updated"], report["edited"]) == (0, 3, 0)


def test_people_who_overlap_are_told_apart_by_their_numbers(store: Store, data: Data):
    """One of two in an image is gone, and the other one's new box is nearer to the one who is gone."""
    data.content["annotations"].append({**Data.person(50, 1), "bbox": [25, 10.5, 30, 40]})
    again(store, data)
    before = state(store)
    del data.content["annotations"][-1]
    first = data.content["annotations"][0]
    first.update(bbox=[21, 10.5, 30, 40], keypoints=[30, 31, 2] * 3, num_keypoints=3)
    report = again(store, data)
    assert (report["updated"], report["people"]) == (1, 0)
    assert state(store) == {**before, 1: said(first)}
