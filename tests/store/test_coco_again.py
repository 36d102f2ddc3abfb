"""A COCO file that comes in again: nobody is there twice, and what people did here is never overwritten."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from posestudio.store import freeze, labels, marks, people, predictions
from posestudio.store.coco_import import import_coco
from posestudio.store.coco_write import export_coco
from posestudio.store.database import Store
from posestudio.store.media_import import import_images
from posestudio.store.verify import verify
from tests.store.test_coco_import import Data, dump, png

pytestmark = pytest.mark.empty


@pytest.fixture
def data(tmp_path: Path) -> Data:
    """Seven people in six images; no two people look the same."""
    made = Data(tmp_path / "data")
    for place, one in enumerate(made.content["annotations"]):
        one["bbox"] = [10 + place, 10.5, 30, 40]
    made.save()
    return made


def again(store: Store, data: Data, **options: Any) -> dict[str, Any]:
    data.save()
    return data.into(store, **options)


def state(store: Store) -> dict[int, Any]:
    """Everybody with a coco_id: box, and keypoint -> x, y, v of what is placed; nobody is there twice."""
    rows = [row for row in people.list_people(store, hidden=True) if row["coco_id"] is not None]
    assert len({(row["source_id"], row["coco_id"]) for row in rows}) == len(rows)
    return {
        row["coco_id"]: (
            row["box_xywh"],
            {
                label["keypoint"]: (label["x"], label["y"], label["v"])
                for label in labels.current(store, row["instance_id"])
                if label["state"] == "placed"
            },
        )
        for row in rows
    }


def said(one: dict[str, Any]) -> tuple[list[float], dict[int, tuple[float, float, int]]]:
    """An annotation in the form of `state`."""
    triples = [tuple(one["keypoints"][i : i + 3]) for i in range(0, 9, 3)]
    return one["bbox"], {k: triple for k, triple in enumerate(triples) if triple[2] > 0}


def ids(store: Store) -> dict[int, int]:
    return {row["coco_id"]: row["instance_id"] for row in people.list_people(store)}


def exported(store: Store, folder: Path) -> dict[str, Any]:
    """What `export coco` writes, in one file."""
    assert len(export_coco(store, folder / "out.json")["files"]) == 1
    return json.loads((folder / "out.json").read_text())


def edit(store: Store, person: int, edit_id: str, **point: Any) -> None:
    spot = {"keypoint": 0, "state": "placed", "x": 33.0, "y": 44.0, "v": 2, **point}
    labels.save_edits(store, person, [spot], who="ann", edit_id=edit_id, base_revision=None)


def test_a_corrected_file_changes_its_people_and_adds_none(
    store: Store, data: Data, tmp_path: Path
):
    data.into(store)
    first, second = data.content["annotations"][:2]
    first.update(keypoints=[21, 20.5, 2, 0, 0, 0, 40, 41, 1], area=601, note="corrected")
    second["bbox"] = [12, 10.5, 30, 40]
    data.content["images"][2]["license"] = 3
    snapshot = freeze.freeze(store)["snapshot_id"]
    report = again(store, data)
    assert (report["people"], report["updated"], report["edited"]) == (0, 2, 0)
    assert (report["unchanged"], report["keypoints"], report["source_id"]) == (3, 3, None)
    assert any("2 people changed in the file and follow it" in w for w in report["warnings"])
    found = state(store)
    assert len(found) == 7 and [found[1], found[2]] == [said(first), said(second)]
    one = people.list_people(store)[0]
    rows = labels.history(store, one["instance_id"])
    assert [row["origin"] for row in rows] == ["import"] * 5
    assert [row["follows"] is None for row in rows] == [True, True, False, True, False]
    assert verify(store)["problems"] == [] and one["area"] == 601
    assert freeze.freeze(store)["snapshot_id"] != snapshot
    assert exported(store, tmp_path) == data.content
    before = dump(store)
    assert again(store, data)["unchanged"] == 6 and dump(store) == before


def test_who_was_edited_or_checked_here_stays_and_that_is_said(store: Store, data: Data):
    data.into(store)
    person = ids(store)
    edit(store, person[1], "e")
    people.set_box(store, person[2], [1, 2, 30, 40], who="ann")
    people.set_hidden(store, person[3], True, who="ann")
    marks.add(store, person[4], "seen", who="ann", edit_id="s")
    marks.add(store, person[5], "flag", who="ann", edit_id="f", text="is that right?")
    before = state(store)
    for place, one in enumerate(data.content["annotations"]):
        one.update(bbox=[8, 8 + place, 36, 46], keypoints=[9, 9, 1] * 3, num_keypoints=3)
    report = again(store, data)
    assert (report["updated"], report["edited"], report["unchanged"]) == (3, 4, 0)
    assert any("4 people changed in the file but were edited" in w for w in report["warnings"])
    new = {one["id"]: said(one) for one in data.content["annotations"]}
    assert state(store) == {**new, **{number: before[number] for number in (1, 2, 3, 4)}}
    assert again(store, data)["edited"] == 4, "it is said each time"


@pytest.mark.parametrize("lacks", [[], ["area", "iscrowd", "num_keypoints"]], ids=["full", "lean"])
def test_an_export_that_comes_in_again_changes_nothing(
    store: Store, data: Data, tmp_path: Path, lacks: list[str]
):
    """People edited here, drawn here, on photos that no file brought, and with labels left out."""
    for one in data.content["annotations"]:
        for key in lacks:
            del one[key]
    again(store, data, labeled=["1.png", "2.png"])
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "x.png").write_bytes(png(500))
    import_images(store, [tmp_path / "more"])
    edit(store, ids(store)[1], "e1")
    photo = store.read("SELECT max(image_id) AS one FROM images")[0]["one"]
    for place, image in enumerate((1, photo)):
        drawn = people.add(store, image, [3, 4, 20, 30], who="ann")["instance_id"]
        edit(store, drawn, f"d{place}", x=7.5)
    people.set_box(store, ids(store)[3], [8, 8, 33, 44], who="ann")
    before = people.list_people(store, hidden=True), store.read("FROM label_journal")
    files = [Path(one["path"]) for one in export_coco(store, tmp_path / "out.json")["files"]]
    assert len(files) == 2
    (data.images / "more").mkdir()
    (data.images / "more" / "x.png").write_bytes(png(500))
    for file in files * 2:
        report = import_coco(store, file, data.images)
        assert (report["people"], report["updated"], report["edited"]) == (0, 0, 0)
    now = people.list_people(store, hidden=True), store.read("FROM label_journal")
    assert now == before and verify(store)["problems"] == []


def test_an_edit_after_an_update_can_be_taken_back_to_it(store: Store, data: Data):
    data.into(store)
    data.content["annotations"][0]["keypoints"][0] = 25
    again(store, data)
    person = ids(store)[1]
    edit(store, person, "e")
    labels.undo(store, person, who="ann", edit_id="u")
    assert state(store)[1] == said(data.content["annotations"][0])
    assert verify(store)["problems"] == []


def test_what_was_predicted_of_a_moved_box_is_stale(store: Store, data: Data):
    data.into(store)
    person = ids(store)
    both = [person[1], person[3]]
    predictions.save(
        store, model="m", run_id=None, student="a", instance_id=both,
        box_revision=[people.get(store, one)["box_revision"] for one in both],
        xy_image=np.full((2, 3, 2), 20.0), score=np.full((2, 3), 0.5),
    )  # fmt: skip
    data.content["annotations"][0]["bbox"] = [5, 6, 50, 60]
    data.content["annotations"][2]["keypoints"][0] = 25
    again(store, data)
    found = predictions.of_model(store, "m", "a")
    assert [(row["instance_id"], row["stale"]) for row in found] == [(both[0], True), (both[1], False)]  # fmt: skip
    assert people.boxes(store, both[0])[-1]["source"] == "file"


def test_who_is_new_joins_the_file_and_who_is_gone_stays(store: Store, data: Data, tmp_path: Path):
    data.into(store)
    gone = data.content["annotations"].pop(0)
    data.content["annotations"].append({**Data.person(70, 2), "bbox": [50, 30, 20, 20]})
    report = again(store, data)
    assert (report["people"], report["labeled_people"], report["updated"]) == (1, 1, 0)
    assert any("1 people of before are not in the file" in note for note in report["warnings"])
    assert state(store).keys() == {1, 2, 3, 4, 5, 6, 70, 1001}
    assert exported(store, tmp_path)["annotations"] == [gone, *data.content["annotations"]]


def renumber(content: dict[str, Any]) -> None:
    """Other ids for everything."""
    content["categories"][0]["id"] = 7
    for image in content["images"]:
        image["id"] += 40
    for place, one in enumerate(content["annotations"]):
        one.update(id=place, image_id=one["image_id"] + 40, category_id=7)


def test_other_numbers_alone_change_nothing(store: Store, data: Data):
    del data.content["annotations"][3]  # nobody in image 4
    again(store, data)
    edit(store, ids(store)[1], "e")
    before = dump(store)
    renumber(data.content)
    report = again(store, data)
    assert dump(store) == before
    assert (report["unchanged"], report["people"], report["source_id"]) == (6, 0, None)
    assert any("6 people have another id in the file" in note for note in report["warnings"])


def test_a_file_with_other_numbers_and_corrections_changes_its_people(
    store: Store, data: Data, tmp_path: Path
):
    data.into(store)
    new = copy.deepcopy(data.content)
    renumber(data.content)
    for content in (new, data.content):
        first, second, third = content["annotations"][:3]
        first["keypoints"][:2] = [22, 23]
        second["bbox"] = [13, 12, 33, 41]
        third.update(bbox=[14, 10.5, 30, 40], keypoints=[3, 4, 2] * 3, num_keypoints=3)
    report = again(store, data)
    assert (report["updated"], report["people"]) == (3, 0)
    assert exported(store, tmp_path) == new


def test_numbers_that_moved_up_mix_nobody_up(store: Store, data: Data, tmp_path: Path):
    """The first person of an image is gone, a new one is there, and all are counted anew."""
    data.content["annotations"] = [
        {**Data.person(n, 1), "bbox": [n, 5 * n, 30, 30]} for n in (1, 2, 3)
    ]
    again(store, data)
    before = state(store)
    data.content["annotations"] = [
        {**one, "id": one["id"] - 1} for one in data.content["annotations"][1:]
    ]
    data.content["annotations"].append({**Data.person(3, 1), "bbox": [60, 40, 20, 20]})
    report = again(store, data)
    assert (report["updated"], report["people"]) == (0, 1)
    found = state(store)
    assert found == {**before, 4: said(data.content["annotations"][-1])}
    assert [one["id"] for one in exported(store, tmp_path)["annotations"]] == [1, 2, 3, 4]
    all_rows = dump(store)
    again(store, data)
    assert dump(store) == all_rows


def test_another_file_with_the_same_numbers_overwrites_nobody(
    store: Store, data: Data, tmp_path: Path
):
    data.into(store)
    before = state(store)
    other = copy.deepcopy(data.content)
    other["annotations"] = [{**Data.person(1, 1), "bbox": [60, 60, 20, 15]}]
    (tmp_path / "other.json").write_text(json.dumps(other))
    report = import_coco(store, tmp_path / "other.json", data.images)
    assert (report["updated"], report["people"]) == (0, 1)
    assert len(people.list_people(store)) == 8
    rows = store.read("SELECT source_id FROM instances WHERE coco_id = 1 ORDER BY ALL")
    assert len({row["source_id"] for row in rows}) == 2
    kept = people.get(store, ids(store)[2])
    assert kept["box_xywh"] == before[2][0]


def test_boxes_follow_a_file_whose_labels_were_left_out(store: Store, data: Data):
    data.into(store, labeled=0)
    data.content["annotations"][0]["bbox"] = [5, 6, 50, 60]
    report = again(store, data)
    assert (report["updated"], report["people"], report["keypoints"]) == (1, 0, 0)
    assert state(store)[1] == ([5, 6, 50, 60], {})
    data.content["annotations"][0]["keypoints"][0] = 7
    assert again(store, data)["updated"] == 0, "labels that were left out stay out"


def test_labels_that_are_left_out_now_stay_as_they_were(store: Store, data: Data):
    data.into(store)
    before = state(store)
    data.content["annotations"][0].update(keypoints=[1, 1, 2] * 3, bbox=[12, 10.5, 30, 40])
    report = again(store, data, labeled=["3.png"])
    assert (report["updated"], report["keypoints"]) == (1, 0)
    assert state(store)[1] == ([12, 10.5, 30, 40], before[1][1])


@pytest.mark.parametrize("seed", range(4))
def test_any_later_state_of_a_file_leaves_each_person_once(store: Store, data: Data, seed: int):
    """Whoever was edited is as before, everybody else in the file as the file says, the rest as they were."""
    data.into(store)
    rng = np.random.default_rng(seed)
    for round_ in range(4):
        for person in ids(store).values():
            if rng.random() < 0.2:
                edit(store, person, f"{round_} {person}", y=50.0 + round_)
        theirs = {
            row["coco_id"]
            for row in store.read(
                "SELECT DISTINCT coco_id FROM label_journal JOIN instances USING (instance_id) WHERE origin = 'edit'"
            )
        }
        rows = data.content["annotations"] = [
            one for one in data.content["annotations"] if rng.random() < 0.9
        ]
        rows.append(Data.person(2000 + round_, 1 + round_))
        for one in rows:
            if rng.random() < 0.4 or one is rows[-1]:
                left = 50 if one["id"] >= 2000 else 0  # beside who was there
                one["bbox"] = [left + rng.uniform(0, 20), 3, 40, 50]
            if rng.random() < 0.4:
                one["keypoints"] = [*one["keypoints"][3:], 30, rng.uniform(0, 60), 2]
        before = state(store)
        again(store, data)
        told = {one["id"]: said(one) for one in rows if one["id"] not in theirs}
        assert state(store) == {**before, **told}
        assert verify(store, files=False)["problems"] == []
