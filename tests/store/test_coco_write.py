"""COCO files out of the store: equal to what came in, except where a person changed something."""

import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import labels, media, people, photos
from posestudio.store.coco_import import import_coco
from posestudio.store.coco_write import coco_files, export_coco
from posestudio.store.database import Store
from posestudio.store.image_files import ImageFiles
from posestudio.store.media_import import import_images

pytestmark = pytest.mark.empty

NAMES = ["head", "left_hand", "right_hand"]


def png(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    image = Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8))
    image.resize((100, 80), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def person(number: int, image: int, **extra: Any) -> dict[str, Any]:
    return {
        "segmentation": [[1, 2.5, 3, 4]],
        "num_keypoints": 2,
        "area": 600,
        "iscrowd": 0,
        "keypoints": [20, 20.5, 2, 15.25, 30, 1, 7, 8.5, 0],
        "image_id": image,
        "bbox": [10, 10.5, 30, 40.0],
        "category_id": 4,
        "id": number,
        **extra,
    }


def write(folder: Path, first: int = 1, **extra: Any) -> Path:
    """Two images with two people and one, in folder/people.json and folder/<n>.png."""
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "info": {"year": 2026, "note": "ä"},
        "licenses": [{"id": 1, "name": "free"}],
        "images": [
            {"license": 1, "file_name": f"{n}.png", "id": n, "height": 80, "width": 100, "x": [n]}
            for n in (first, first + 1)
        ],
        "categories": [
            {"id": 1, "name": "car"},
            {"id": 4, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2]], "mine": True},
        ],
        "annotations": [
            person(first + 30, first),
            person(
                first + 20, first + 1, iscrowd=1, segmentation={"counts": "aB1", "size": [80, 100]}
            ),
            person(first + 10, first, keypoints=[0] * 9, num_keypoints=0, score=0.5),
        ],
        **extra,
    }
    for image in content["images"]:
        (folder / image["file_name"]).write_bytes(png(image["id"]))
    (folder / "people.json").write_text(json.dumps(content))
    return folder / "people.json"


def take(store: Store, file: Path, **options: Any) -> None:
    import_coco(store, file, file.parent, **options)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def typed(value: Any) -> Any:
    """The value with the type of every number, so that 1 and 1.0 differ."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, value)


def test_the_round_trip_is_exact(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    report = export_coco(store, tmp_path / "out" / "all.json")
    assert typed(read(tmp_path / "out" / "all.json")) == typed(read(file))
    assert (report["images"], report["annotations"], report["labeled"]) == (2, 3, 2)
    assert [Path(one["path"]).name for one in report["files"]] == ["all.json"]
    assert len(list((tmp_path / "out").iterdir())) == 1, "no temporary file stays"


def test_a_count_of_null_is_counted(store: Store, tmp_path: Path):
    take(store, write(tmp_path / "in", annotations=[person(7, 1, num_keypoints=None)]))
    report = export_coco(store, tmp_path / "all.json")
    assert report["labeled"] == 1
    assert read(tmp_path / "all.json")["annotations"] == [person(7, 1)]


@pytest.mark.parametrize(
    "name",
    [
        "coco_mini/annotations/person_keypoints_train.json",
        "coco_mini/annotations/person_keypoints_val.json",
        "lspet/annotations/lspet_coco17_val.json",
        "lspet/annotations/lspet14_val.json",
    ],
)
def test_the_round_trip_of_real_files_is_exact(
    store: Store, shared_data: Path, tmp_path: Path, name: str
):
    file = shared_data / name
    import_coco(store, file, file.parents[1] / "images", split="val")
    export_coco(store, tmp_path / "out.json")
    assert typed(read(tmp_path / "out.json")) == typed(read(file))


@pytest.mark.parametrize("name", ["lspet_coco17_train", "lspet14_train", "unlabeled_images_only"])
def test_the_round_trip_of_large_files_is_exact(
    store: Store,
    shared_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
):
    """Thousands of people; the pictures are neither decoded nor copied, which other tests do."""

    def trust(data: bytes, *, said_wh: tuple[int, int]) -> media.Picture:
        return media.Picture(b"", hashlib.sha256(data).hexdigest(), *said_wh, len(data))

    monkeypatch.setattr(media, "read_picture", trust)
    monkeypatch.setattr(ImageFiles, "put", lambda self, picture: picture)
    file = shared_data / "lspet" / "annotations" / f"{name}.json"
    import_coco(store, file, file.parents[1] / "images")
    export_coco(store, tmp_path / "out.json")
    assert typed(read(tmp_path / "out.json")) == typed(read(file))


def test_an_edited_keypoint_changes_and_nothing_else(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    first = people.list_people(store)[0]["instance_id"]
    edits = [
        {"keypoint": 1, "state": "absent", "reason": "outside"},
        {"keypoint": 2, "state": "placed", "x": 33.125, "y": 44, "v": 2},
    ]
    revision = people.get(store, first)["revision"]
    labels.save_edits(store, first, edits, who="ann", edit_id="e1", base_revision=revision)
    export_coco(store, tmp_path / "out.json")
    expected = read(file)
    expected["annotations"][0]["keypoints"] = [20, 20.5, 2, 0, 0, 0, 33.125, 44.0, 2]
    assert read(tmp_path / "out.json") == expected
    labels.save_edits(
        store,
        first,
        [{"keypoint": 0, "state": "open"}],
        who="ann",
        edit_id="e2",
        base_revision=people.get(store, first)["revision"],
    )
    export_coco(store, tmp_path / "out.json")
    expected["annotations"][0]["keypoints"][:3] = [0, 0, 0]
    expected["annotations"][0]["num_keypoints"] = 1
    assert read(tmp_path / "out.json") == expected


def test_boxes_hidden_and_new_people(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    one, two, three = (row["instance_id"] for row in people.list_people(store))
    people.set_box(store, one, [1, 2, 3.5, 4], who="ann")
    people.set_hidden(store, two, True, who="ann")
    image = people.get(store, three)["image_id"]
    people.add(store, image, [50, 40, 20, 30], who="ann")
    export_coco(store, tmp_path / "out.json")
    expected = read(file)["annotations"]
    expected[0]["bbox"] = [1, 2, 3.5, 4]
    new = {
        "keypoints": [0] * 9,
        "num_keypoints": 0,
        "bbox": [50, 40, 20, 30],
        "area": pytest.approx(0.53 * 600),
        "iscrowd": 0,
        "image_id": 1,
        "category_id": 4,
        "id": 32,
    }
    assert read(tmp_path / "out.json")["annotations"] == [expected[0], expected[2], new]


def test_hidden_photos_stay_here_whatever_comes_in_again(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    (tmp_path / "new.png").write_bytes(png(999))
    import_images(store, [tmp_path / "new.png"], boxes="full")
    (other,) = (row["image_id"] for row in store.read("FROM image_sources WHERE coco_id = 2"))
    (new,) = (row["image_id"] for row in store.read("FROM image_sources WHERE coco_id IS NULL"))
    photos.hide(store, [other, new], True, who="ann", edit_id="e1")
    back = people.list_people(store, image_id=other, hidden=True)[0]["instance_id"]
    people.set_hidden(store, back, False, who="ann")
    before = people.list_people(store, hidden=True)
    assert export_coco(store, tmp_path / "out.json")["images"] == 1
    expected = read(file)
    del expected["images"][1], expected["annotations"][1]
    assert read(tmp_path / "out.json") == expected
    assert [file["image_id"] for file in coco_files(store)] == [[1, 1]]
    report = import_coco(store, tmp_path / "out.json", tmp_path / "in")
    assert (report["unchanged"], report["people"], report["updated"]) == (1, 0, 0)
    assert people.list_people(store, hidden=True) == before
    hidden = store.read("FROM hidden_images ORDER BY image_id")
    assert [row["image_id"] for row in hidden] == sorted([other, new])
    photos.hide(store, [other, new], False, who="ann", edit_id="e2")
    export_coco(store, tmp_path / "all")
    assert read(tmp_path / "all" / "people.json") == read(file)
    assert len(read(tmp_path / "all" / "photos.json")["annotations"]) == 1


def test_labels_that_were_left_out_are_not_in_the_export(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file, labeled=["2.png"])
    export_coco(store, tmp_path / "out.json")
    expected = read(file)
    expected["annotations"][0].update(keypoints=[0] * 9, num_keypoints=0)
    assert read(tmp_path / "out.json") == expected


def test_sources_with_distinct_ids_share_a_file(store: Store, tmp_path: Path):
    one, two = write(tmp_path / "a"), write(tmp_path / "b", first=101)
    take(store, one)
    take(store, two, split="val")
    report = export_coco(store, tmp_path / "out.json")
    assert len(report["files"]) == 1
    found = read(tmp_path / "out.json")
    for key in ("images", "annotations"):
        assert found[key] == read(one)[key] + read(two)[key]
    export_coco(store, tmp_path / "val.json", split="val")
    assert read(tmp_path / "val.json") == read(two)


@pytest.mark.parametrize("clash", ["ids", "header"])
def test_clashing_sources_get_a_file_each(store: Store, tmp_path: Path, clash: str):
    one = write(tmp_path / "a")
    if clash == "ids":
        two = write(tmp_path / "b", first=1)
        for n in (1, 2):
            (tmp_path / "b" / f"{n}.png").write_bytes(png(n + 50))
    else:
        two = write(tmp_path / "b", first=101, licenses=[])
    take(store, one)
    take(store, two)
    export_coco(store, tmp_path / "out.json")
    assert not (tmp_path / "out.json").exists()
    assert read(tmp_path / "out-people.json") == read(one)
    assert read(tmp_path / "out-people-2.json") == read(two)


def test_a_folder_gets_a_file_for_each_source_and_one_for_photos(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    (tmp_path / "new.png").write_bytes(png(999))
    import_images(store, [tmp_path / "new.png"], boxes="full")
    export_coco(store, tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["people.json", "photos.json"]
    assert read(tmp_path / "out" / "people.json") == read(file)
    photos = read(tmp_path / "out" / "photos.json")
    assert photos["images"][0]["file_name"] == "new.png"
    assert photos["annotations"][0]["bbox"] == [0, 0, 100, 80]
    assert photos["annotations"][0]["image_id"] == photos["images"][0]["id"]
    assert photos["categories"][0]["keypoints"] == NAMES


def test_an_export_can_be_imported_again(store: Store, tmp_path: Path):
    take(store, write(tmp_path / "in"))
    export_coco(store, tmp_path / "out.json")
    with Store(tmp_path / "second", create=True) as second:
        import_coco(second, tmp_path / "out.json", tmp_path / "in")
        export_coco(second, tmp_path / "again.json")
    assert read(tmp_path / "again.json") == read(tmp_path / "out.json")


def test_the_imported_file_is_not_overwritten(store: Store, tmp_path: Path):
    file = write(tmp_path / "in")
    take(store, file)
    before = file.read_bytes()
    with pytest.raises(InputError, match="not overwritten"):
        export_coco(store, file)
    with pytest.raises(InputError, match="not overwritten"):
        export_coco(store, file.parent)
    assert file.read_bytes() == before


def test_nothing_to_export_and_nowhere_to_write(store: Store, tmp_path: Path):
    take(store, write(tmp_path / "in"))
    with pytest.raises(InputError, match="nothing to export in split val"):
        export_coco(store, tmp_path / "out.json", split="val")
    with pytest.raises(InputError, match="must be one of"):
        export_coco(store, tmp_path / "out.json", split="test")
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="cannot be written"):
        export_coco(store, tmp_path / "file" / "out.json")
