"""A drop of anything: what can be taken comes in, labels find their photos, and the rest is listed with its reason."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.studio import incoming
from posestudio.studio.incoming import Dropped
from posestudio.studio.studio import Studio, create

K = len(COCO17.keypoints)


def photo(path: Path, number: int, size: tuple[int, int] = (64, 48)) -> Path:
    """A PNG that resembles no other."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(noise).resize(size, Image.Resampling.NEAREST).save(path)
    return path


def coco(path: Path, names: list[str], **changes: object) -> Path:
    """COCO labels: one person with two placed keypoints on each of these photos of 64 x 48."""
    keypoints = [20.0, 20.0, 2, 30.0, 30.0, 1] + [0, 0, 0] * (K - 2)
    content = {
        "images": [
            {"id": i, "file_name": name, "width": 64, "height": 48} for i, name in enumerate(names, 1)
        ],
        "annotations": [
            {
                "id": i, "image_id": i, "category_id": 1, "bbox": [5, 5, 40, 40], "area": 800, "iscrowd": 0,
                "keypoints": keypoints, "num_keypoints": 2,
            }
            for i in range(1, len(names) + 1)
        ],
        "categories": [{"id": 1, **COCO17.to_dict(), "name": "person"}],
        **changes,
    }  # fmt: skip
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def studio(tmp_path: Path):
    create(tmp_path / "project")
    with Studio(tmp_path / "project", hold=True) as opened:
        yield opened


def drop(folder: Path, *names: str) -> list[Dropped]:
    return [Dropped(folder / name, name) for name in names]


def test_photos_of_folders_keep_their_names_and_get_no_boxes(studio, tmp_path):
    for number, name in enumerate(("a/1.png", "b/1.png")):
        photo(tmp_path / name, number)
    told = []
    taken = incoming.take(
        studio, drop(tmp_path, "a/1.png", "b/1.png"), progress=lambda *at: told.append(at)
    )
    assert (taken.images, taken.people, taken.duplicates) == (2, 0, 0)
    rows = studio.call("images")
    assert [row["file_name"] for row in rows] == ["a/1.png", "b/1.png"]
    assert taken.image_ids == [row["image_id"] for row in rows]
    assert told == [("Reading photos", 0, 2)]
    again = incoming.take(studio, drop(tmp_path, "a/1.png"))
    assert (again.images, again.duplicates) == (0, 1)


def test_a_project_without_a_skeleton_is_taken_for_cocos(studio, tmp_path):
    photo(tmp_path / "1.png", 1)
    taken = incoming.take(studio, drop(tmp_path, "1.png"))
    assert studio.skeleton().keypoints == COCO17.keypoints
    assert any("COCO's 17 keypoints" in note for note in taken.notes)


def test_what_cannot_be_read_is_listed_and_the_rest_comes_in(studio, tmp_path):
    for n in range(3):
        photo(tmp_path / f"{n}.png", n)
    (tmp_path / "bad.png").write_text("not an image")
    (tmp_path / "also bad.jpg").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    names = ["0.png", "bad.png", "1.png", "also bad.jpg", "2.png"]
    taken = incoming.take(studio, drop(tmp_path, *names))
    assert taken.images == 3
    assert [name for name, _ in taken.refused] == ["bad.png", "also bad.jpg"]
    alone = incoming.take(studio, drop(tmp_path, "bad.png"))
    ((name, why),) = alone.refused
    assert name == "bad.png" and why and "imported" not in why and "bad.png" not in why


def test_labels_find_their_photos_in_the_same_drop_by_the_end_of_the_path(studio, tmp_path):
    photo(tmp_path / "set/images/x/1.png", 1)
    photo(tmp_path / "set/images/y/1.png", 2)
    photo(tmp_path / "set/images/2.png", 3)
    photo(tmp_path / "set/other.png", 4)
    coco(tmp_path / "labels.json", ["x/1.png", "y/1.png", "2.png"])
    names = [
        "set/images/x/1.png",
        "set/other.png",
        "labels.json",
        "set/images/y/1.png",
        "set/images/2.png",
    ]
    taken = incoming.take(studio, drop(tmp_path, *names))
    assert (taken.images, taken.people, taken.labeled, taken.refused) == (4, 3, 3, [])
    assert len(taken.image_ids) == 1  # other.png alone still needs a box
    rows = {row["file_name"]: row for row in studio.call("images")}
    assert [rows[name]["split"] for name in ("x/1.png", "y/1.png", "2.png")] == ["train"] * 3
    assert rows["set/other.png"]["people"] == 0
    (person,) = studio.call("people", image_id=rows["y/1.png"]["image_id"])
    assert person["placed"] == 2


def boxed(studio: Studio) -> dict[str, int]:
    """How many people each photo shows, by its name."""
    return {row["file_name"]: row["people"] for row in studio.call("images")}


@pytest.mark.parametrize("dropped", ["seqA/000001.png", "000001.png", "frames/seqA/000001.png"])
def test_labels_of_photos_that_were_not_dropped_go_to_no_other_photo(studio, tmp_path, dropped):
    photo(tmp_path / dropped, 1)
    coco(tmp_path / "labels.json", ["seqA/000001.png", "seqB/000001.png"])
    taken = incoming.take(studio, drop(tmp_path, dropped, "labels.json"))
    alone = int("/" in dropped)
    assert (taken.images, taken.people, taken.labeled) == (1, alone, alone)
    missing = ["seqB", "seqA"][: 2 - alone]
    said = [why for name, why in taken.refused if "no such file" in why]
    assert all(any(f"{name}/000001.png" in why for why in said) for name in missing)
    assert list(boxed(studio).values()) == [alone]


@pytest.mark.parametrize(
    ("named", "dropped", "fits"),
    [
        ("train/a/1.png", "1.png", True), ("train/a/1.png", "a/1.png", True), ("1.png", "beach/1.png", True),
        ("./1.png", "1.png", True), ("a/1.png", "b/1.png", False), ("a/1.png", "train/b/1.png", False),
    ],
)  # fmt: skip
def test_folders_may_be_missing_on_one_side_but_not_differ(studio, tmp_path, named, dropped, fits):
    photo(tmp_path / dropped, 1)
    coco(tmp_path / "labels.json", [named])
    taken = incoming.take(studio, drop(tmp_path, dropped, "labels.json"))
    assert (taken.images, taken.people) == (1, int(fits))
    assert any(f"({named})" in why for _, why in taken.refused) is not fits


def test_two_names_of_a_file_never_mean_one_photo(studio, tmp_path):
    photo(tmp_path / "x/1.png", 1)
    coco(tmp_path / "labels.json", ["1.png", "x/1.png"])
    taken = incoming.take(studio, drop(tmp_path, "x/1.png", "labels.json"))
    assert taken.people == 1 and any("(1.png)" in why for _, why in taken.refused)
    photo(tmp_path / "y/2.png", 2)
    incoming.take(studio, drop(tmp_path, "y/2.png"))
    coco(tmp_path / "later.json", ["2.png", "y/2.png"])
    taken = incoming.take(studio, drop(tmp_path, "later.json"))
    assert taken.people == 1 and any("(2.png)" in why for _, why in taken.refused)
    assert boxed(studio) == {"x/1.png": 1, "y/2.png": 1}


def test_labels_find_photos_that_came_in_before(studio, tmp_path):
    photo(tmp_path / "holiday/1.png", 1)
    incoming.take(studio, drop(tmp_path, "holiday/1.png"))
    coco(tmp_path / "labels.json", ["1.png", "missing.png"])
    taken = incoming.take(studio, drop(tmp_path, "labels.json"), split="val")
    assert (taken.images, taken.people, taken.labeled) == (0, 1, 1)
    assert any("missing.png" in why for _, why in taken.refused)
    (row,) = studio.call("images")
    assert row["split"] == "val" and row["people"] == 1


def test_a_corrected_file_dropped_again_changes_its_people_and_says_so(studio, tmp_path):
    photo(tmp_path / "1.png", 1)
    file = coco(tmp_path / "labels.json", ["1.png"])
    incoming.take(studio, drop(tmp_path, "1.png", "labels.json"))
    file.write_text(file.read_text().replace("[5, 5, 40, 40]", "[6, 5, 40, 40]"))
    taken = incoming.take(studio, drop(tmp_path, "labels.json"), who="ann")
    assert (taken.images, taken.people, taken.labeled, taken.refused) == (0, 0, 0, [])
    assert taken.notes == [
        "1 people changed in the file and follow it: nobody had edited them here"
    ]
    (row,) = studio.call("images")
    (person,) = studio.call("people", image_id=row["image_id"])
    assert person["box_xywh"] == [6, 5, 40, 40]


def test_a_zip_may_hold_photos_and_their_labels(studio, tmp_path):
    photo(tmp_path / "1.png", 1)
    coco(tmp_path / "labels.json", ["1.png"])
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(tmp_path / "1.png", "set/images/1.png")
        archive.write(tmp_path / "labels.json", "set/annotations/labels.json")
        archive.writestr("set/readme.txt", "hello")
    taken = incoming.take(studio, drop(tmp_path, "set.zip"))
    assert (taken.images, taken.people, taken.labeled) == (1, 1, 1)
    assert not any(name.endswith(".json") for name, _ in taken.refused)


def make_zip(path: Path, *entries: Path | tuple[str, bytes]) -> Path:
    """A zip of files by their names, and of entries by name and content."""
    with zipfile.ZipFile(path, "w") as archive:
        for entry in entries:
            name, data = (entry.name, entry.read_bytes()) if isinstance(entry, Path) else entry
            archive.writestr(name, data)
    return path


def test_nothing_of_a_zip_that_is_refused_whole_comes_in(studio, tmp_path):
    incoming.take(studio, drop(photo(tmp_path / "1.png", 1).parent, "1.png"))
    labels = coco(tmp_path / "labels.json", ["1.png"])
    make_zip(tmp_path / "set.zip", labels, ("../evil.png", (tmp_path / "1.png").read_bytes()))
    taken = incoming.take(studio, drop(tmp_path, "set.zip"))
    assert (taken.people, taken.labeled) == (0, 0)
    ((name, why),) = taken.refused
    assert name == "set.zip" and "refused whole" in why


def test_a_zip_of_labels_alone_is_not_refused(studio, tmp_path):
    incoming.take(studio, drop(photo(tmp_path / "1.png", 1).parent, "1.png"))
    labels = coco(tmp_path / "labels.json", ["1.png"])
    make_zip(tmp_path / "labels.zip", labels)
    taken = incoming.take(studio, drop(tmp_path, "labels.zip"))
    assert (taken.labeled, taken.refused) == (1, [])


def test_a_zip_of_labels_and_what_is_no_photo_says_so_of_that_alone(studio, tmp_path):
    incoming.take(studio, drop(photo(tmp_path / "1.png", 1).parent, "1.png"))
    labels = coco(tmp_path / "labels.json", ["1.png"])
    make_zip(tmp_path / "set.zip", labels, ("1.heic", b"no photo"))
    taken = incoming.take(studio, drop(tmp_path, "set.zip"))
    assert taken.labeled == 1
    ((name, why),) = taken.refused
    assert name == "set.zip" and "1.heic" in why and "labels.json" not in why
    make_zip(tmp_path / "empty.zip")
    assert [name for name, _ in incoming.take(studio, drop(tmp_path, "empty.zip")).refused]


def test_a_locked_or_damaged_json_of_a_zip_is_one_refusal(studio, tmp_path):
    path = make_zip(
        tmp_path / "set.zip", photo(tmp_path / "1.png", 1), ("locked.json", b"{}"), ("bad.json", b"[7]")
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    data[data.rfind(b"PK\x01\x02", 0, data.rfind(b"PK\x01\x02")) + 8] |= 1
    data[data.find(b"[7]")] = ord("{")
    path.write_bytes(data)
    taken = incoming.take(studio, drop(tmp_path, "set.zip"))
    assert taken.images == 1
    assert dict(taken.refused).keys() == {"set.zip/locked.json", "set.zip/bad.json"}
    assert dict(taken.refused)["set.zip/locked.json"] == "encrypted"


def test_json_in_zips_is_limited_each_and_together(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(incoming.containers, "MAX_JSON", 30)
    monkeypatch.setattr(incoming.containers, "MAX_JSONS", 50)
    sizes = {"a.json": 28, "large.json": 31, "b.json": 28, "c.json": 22}
    make_zip(tmp_path / "set.zip", *((name, b"7" * size) for name, size in sizes.items()))
    refused = dict(incoming.take(studio, drop(tmp_path, "set.zip")).refused)
    large = [name for name, why in refused.items() if "posestudio import coco" in why]
    assert large == ["set.zip/large.json", "set.zip/b.json"] and len(refused) == 4


def test_results_of_another_model_become_predictions_after_the_people_are_there(studio, tmp_path):
    photo(tmp_path / "1.png", 1)
    coco(tmp_path / "labels.json", ["1.png"])
    result = {"image_id": 1, "category_id": 1, "keypoints": [20.0, 20.0, 0.9] * K, "score": 0.8}
    (tmp_path / "yolo.json").write_text(json.dumps([result]))
    taken = incoming.take(studio, drop(tmp_path, "yolo.json", "labels.json", "1.png"))
    assert (taken.labeled, taken.predicted, taken.refused) == (1, 1, [])
    assert [row["model"] for row in studio.call("models")] == ["yolo"]
    early = incoming.take(studio, [Dropped(tmp_path / "yolo.json", "../x/again.json")])
    assert early.predicted == 1 and studio.call("models")[0]["model"] == "again"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "no readable JSON"), ('{"a": 1}', "neither COCO keypoint labels"), ("7", "neither COCO"),
        ("[" * 100_000, "no readable JSON"), ("[]", "not COCO results"),
        ('{"images": 3, "annotations": []}', ""),
    ],
)  # fmt: skip
def test_json_of_no_use_is_refused_in_words(studio, tmp_path, content, words):
    (tmp_path / "x.json").write_text(content)
    photo(tmp_path / "1.png", 1)
    taken = incoming.take(studio, drop(tmp_path, "x.json", "1.png"))
    assert taken.images == 1
    ((name, why),) = taken.refused
    assert name == "x.json" and words in why


def test_names_that_lead_elsewhere_bring_nothing_from_there(studio, tmp_path):
    secret = photo(tmp_path / "secret.png", 9)
    photo(tmp_path / "drop/1.png", 1)
    names = ["1.png", "../secret.png", str(secret), "a/../../secret.png", ""]
    coco(tmp_path / "labels.json", names)
    files = [
        Dropped(tmp_path / "drop/1.png", "1.png"),
        Dropped(tmp_path / "labels.json", "labels.json"),
    ]
    taken = incoming.take(studio, files)
    assert taken.images == 1 and taken.labeled == 1
    assert len(studio.call("images")) == 1
    assert (
        secret.exists() and [p.name for p in tmp_path.iterdir() if p.name.startswith("coco-")] == []
    )


def test_other_keypoints_replace_assumed_ones_and_are_refused_later(studio, tmp_path):
    photo(tmp_path / "1.png", 1)
    photo(tmp_path / "2.png", 2)
    incoming.take(studio, drop(tmp_path, "1.png"))
    keypoints = [20.0, 20.0, 2, 30.0, 30.0, 1]
    other = {"id": 1, "name": "cat", "keypoints": ["head", "tail"], "skeleton": [[1, 2]]}
    one = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "bbox": [5, 5, 40, 40],
        "area": 800,
        "iscrowd": 0,
    }
    coco(
        tmp_path / "cat.json", ["1.png"], categories=[other],
        annotations=[{**one, "keypoints": keypoints, "num_keypoints": 2}],
    )  # fmt: skip
    taken = incoming.take(studio, drop(tmp_path, "cat.json"))
    assert taken.refused == [] and studio.skeleton().keypoints == ("head", "tail")
    coco(tmp_path / "human.json", ["2.png"])
    taken = incoming.take(studio, drop(tmp_path, "human.json", "2.png"))
    assert [name for name, _ in taken.refused] == ["human.json"] and taken.images == 1
