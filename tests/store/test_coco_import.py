"""COCO files into the store: all or nothing, label budgets, several sources, and no trace of what was refused."""

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import images, labels, people, photos
from posestudio.store.coco_import import import_coco
from posestudio.store.database import Store
from posestudio.store.media_import import import_images
from posestudio.store.verify import verify

pytestmark = pytest.mark.empty

NAMES = ["head", "left_hand", "right_hand"]


def png(seed: int, orientation: int | None = None) -> bytes:
    """A 100 x 80 image, unlike those of other seeds."""
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    exif = Image.Exif()
    if orientation:
        exif[0x0112] = orientation
    image = Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8))
    image.resize((100, 80), Image.Resampling.NEAREST).save(out, "PNG", exif=exif)
    return out.getvalue()


class Data:
    """A COCO data set in a folder: n images of one person each, the second image with a second person."""

    def __init__(self, folder: Path, count: int = 6, first: int = 1) -> None:
        self.file = folder / "people.json"
        self.images = folder / "images"
        self.images.mkdir(parents=True)
        numbers = range(first, first + count)
        self.content: dict[str, Any] = {
            "info": {"year": 2026},
            "categories": [{"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2]]}],
            "images": [
                {"id": n, "file_name": f"{n}.png", "width": 100, "height": 80} for n in numbers
            ],
            "annotations": [self.person(n, n) for n in numbers],
        }
        if count > 1:
            self.content["annotations"].append(self.person(first + 1000, first + 1))
        for n in numbers:
            (self.images / f"{n}.png").write_bytes(png(n))
        self.save()

    @staticmethod
    def person(number: int, image: int) -> dict[str, Any]:
        return {
            "id": number,
            "image_id": image,
            "category_id": 1,
            "bbox": [10, 10.5, 30, 40],
            "area": 600.25,
            "iscrowd": 0,
            "num_keypoints": 2,
            "keypoints": [20, 20.5, 2, 15.25, 30, 1, 0, 0, 0],
        }

    def save(self) -> None:
        self.file.write_text(json.dumps(self.content))

    def into(self, store: Store, **options: Any) -> dict[str, Any]:
        return import_coco(store, self.file, self.images, **options)


@pytest.fixture
def data(tmp_path: Path) -> Data:
    return Data(tmp_path / "data")


def dump(store: Store) -> tuple[dict[str, Any], set[str]]:
    """Every row of every table, and the names of all files in the images folder."""
    tables = store.read(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' ORDER BY 1"
    )
    rows = {
        t["table_name"]: store.read(f"SELECT * FROM {t['table_name']} ORDER BY ALL") for t in tables
    }
    return rows, set(os.listdir(store.project / "images"))


def labeled_images(store: Store) -> set[str]:
    rows = store.read("""
        SELECT DISTINCT file_name FROM labels JOIN instances USING (instance_id)
        JOIN image_sources USING (image_id)""")
    return {row["file_name"] for row in rows}


def test_people_labels_and_boxes_come_in(store: Store, data: Data):
    report = data.into(store, split="val")
    assert report["images"] == report["added"] == 6
    assert (report["people"], report["labeled_people"], report["keypoints"]) == (7, 7, 14)
    assert report["splits"] == {"val": 6} and report["faults"] == report["warnings"] == []
    person = people.list_people(store)[0]
    assert person["box_xywh"] == [10, 10.5, 30, 40]
    rows = labels.current(store, person["instance_id"])
    placed = [(r["keypoint"], r["x"], r["y"], r["v"]) for r in rows if r["state"] == "placed"]
    assert placed == [(0, 20, 20.5, 2), (1, 15.25, 30, 1)]
    skeleton = store.require_skeleton()
    assert skeleton.keypoints == tuple(NAMES) and skeleton.pairs == ((1, 2),)
    assert verify(store)["problems"] == []


def test_keypoints_without_partners_are_noted_and_suffixes_are_understood(
    store: Store, data: Data, tmp_path: Path
):
    assert not any("partner" in line for line in data.into(store)["warnings"])
    for folder, names, said in (
        ("a", ["nose", "ear", "tail"], 1),
        ("b", ["nose", "earL", "earR"], 0),
    ):
        other = Data(tmp_path / folder)
        other.content["categories"][0]["keypoints"] = names
        other.save()
        with Store(tmp_path / f"project-{folder}", create=True) as fresh:
            lines = other.into(fresh)["warnings"]
            assert sum("no photo" in line for line in lines) == said
            assert fresh.require_skeleton().pairs == (((1, 2),) if not said else ())


def test_imported_images_are_the_files_byte_for_byte(store: Store, data: Data):
    data.into(store)
    for row in images.list_images(store):
        stored = (store.project / row["path"]).read_bytes()
        assert stored == (data.images / row["file_name"]).read_bytes()


def test_budgets_nest_and_depend_on_the_seed(tmp_path: Path):
    data = Data(tmp_path / "data", count=30)
    chosen = {}
    for key, options in {
        5: {"labeled": 5},
        10: {"labeled": "10"},
        "again": {"labeled": 10},
        "other": {"labeled": 10, "seed": 1},
        0: {"labeled": 0},
    }.items():
        with Store(tmp_path / f"project-{key}", create=True) as store:
            report = data.into(store, **options)
            chosen[key] = labeled_images(store)
            count = int(options["labeled"])
            assert report["labeled_images"] == len(chosen[key]) == count
            assert report["people"] == 31
            splits = {"unlabeled": 30 - count, "train": count}
            assert report["splits"] == {name: n for name, n in splits.items() if n}
    assert chosen[5] < chosen[10] == chosen["again"] != chosen["other"]


def test_a_list_of_names_chooses_the_labeled(store: Store, data: Data, tmp_path: Path):
    (tmp_path / "names.txt").write_text("2.png\n\n4.png\n")
    report = data.into(store, labeled=tmp_path / "names.txt")
    assert labeled_images(store) == {"2.png", "4.png"}
    assert (report["labeled_images"], report["labeled_people"]) == (2, 3)
    bare = store.read("SELECT extra, reviewed_on_import FROM instances WHERE coco_id = 1")[0]
    assert "keypoints" not in bare["extra"] and not bare["reviewed_on_import"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labeled": ["2.png", "x.png", "y.png"]}, "2 of the 3 names .* such as x.png, y.png"),
        ({"labeled": "none.txt"}, "number or a text file"),
        ({"labeled": -1}, "0 or more"),
        ({"split": "test"}, "train, val, unlabeled"),
        ({"boxes": "half"}, "'full' or left out"),
    ],
)
def test_wrong_options_leave_no_trace(
    store: Store, data: Data, options: dict[str, Any], message: str
):
    before = dump(store)
    with pytest.raises(InputError, match=message):
        data.into(store, **options)
    assert dump(store) == before


def test_a_larger_budget_than_the_file_has_is_noted(store: Store, data: Data):
    report = data.into(store, labeled=100)
    assert report["labeled_images"] == 6
    assert report["warnings"] == ["100 labeled images were asked for; the file has 6"]


def break_image(data: Data) -> None:
    file = data.images / "3.png"
    file.write_bytes(file.read_bytes()[:100])


def outside(data: Data) -> None:
    data.content["images"][2]["file_name"] = "link.png"
    (data.images.parent / "secret.png").write_bytes(png(3))
    (data.images / "link.png").symlink_to(data.images.parent / "secret.png")


BAD: dict[str, tuple[Callable[[Data], Any], str]] = {
    "missing image": (
        lambda d: (d.images / "3.png").unlink(),
        r"image 3 \(3.png\): there is no such",
    ),
    "truncated image": (break_image, "image 3 .*broken or truncated"),
    "text as image": (lambda d: (d.images / "3.png").write_text("x" * 99), "by its content"),
    "other size": (
        lambda d: d.content["images"][2].update(width=90),
        "100 x 80, the file says 90 x 80",
    ),
    "link outside": (outside, r"image 3 \(link.png\): leads out of the image folder"),
    "climbing name": (lambda d: d.content["images"][2].update(file_name="../x.png"), "leads out"),
    "folder as image": (
        lambda d: d.content["images"][2].update(file_name="."),
        "not a regular file",
    ),
    "long name": (lambda d: d.content["images"][2].update(file_name="x" * 5000), "cannot be re"),
    "nan": (
        lambda d: d.content["annotations"][2]["keypoints"].__setitem__(0, float("nan")),
        "is nan",
    ),
    "1e308": (lambda d: d.content["annotations"][2]["keypoints"].__setitem__(0, 1e308), "1e[+]308"),
    "far away": (lambda d: d.content["annotations"][2]["keypoints"].__setitem__(0, 150), "outside"),
    "wrong length": (lambda d: d.content["annotations"][2].update(keypoints=[1]), "not 9"),
    "twice": (lambda d: d.content["annotations"].append(d.content["annotations"][2]), "twice"),
    "unknown image": (lambda d: d.content["annotations"][2].update(image_id=99), "99 is unknown"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("full", [False, True])
def test_bad_files_are_refused_whole_and_leave_no_trace(
    store: Store, data: Data, tmp_path: Path, kind: str, full: bool
):
    if full:
        Data(tmp_path / "first", count=2, first=50).into(store)
    change, message = BAD[kind]
    change(data)
    data.save()
    before = dump(store)
    with pytest.raises(InputError, match=message) as caught:
        data.into(store)
    assert len(str(caught.value).splitlines()) == 2 and "1 fault" in str(caught.value)
    assert dump(store) == before
    report = data.into(store, skip_bad=True)
    assert report["faults"] and report["people"] >= 6
    assert verify(store)["problems"] == []


def test_a_category_without_keypoints_and_broken_json_leave_no_trace(store: Store, data: Data):
    del data.content["categories"][0]["keypoints"]
    data.save()
    before = dump(store)
    with pytest.raises(InputError, match="no category has keypoints"):
        data.into(store)
    data.file.write_text(data.file.read_text()[:-20])
    with pytest.raises(InputError, match="broken JSON"):
        data.into(store)
    with pytest.raises(InputError, match="no image folder"):
        import_coco(store, data.file, data.images / "none")
    assert dump(store) == before


def test_a_failing_transaction_leaves_no_trace(
    store: Store, data: Data, monkeypatch: pytest.MonkeyPatch
):
    before = dump(store)

    def fail(*_: object) -> None:
        raise RuntimeError("the machine failed here")

    monkeypatch.setattr(labels, "import_many", fail)
    with pytest.raises(RuntimeError, match="failed here"):
        data.into(store)
    assert dump(store) == before


def test_another_skeleton_is_refused(store: Store, data: Data, tmp_path: Path):
    data.into(store)
    other = Data(tmp_path / "other", first=20)
    other.content["categories"][0]["keypoints"] = ["head", "left_hand", "tail"]
    other.save()
    before = dump(store)
    with pytest.raises(InputError, match="missing here: right_hand; only here: tail"):
        other.into(store)
    assert dump(store) == before


def test_the_same_file_again_changes_nothing(store: Store, data: Data):
    data.into(store)
    before = dump(store)
    report = data.into(store)
    assert dump(store) == before
    assert (report["unchanged"], report["added"], report["source_id"]) == (6, 0, None)
    assert "already there" in report["warnings"][0]


def test_labels_left_out_before_stay_out_and_that_is_said(store: Store, data: Data):
    data.into(store, labeled=2, seed=3)
    before = dump(store)
    report = data.into(store)
    assert dump(store) == before and report["unchanged"] == 6
    assert any("came in without labels before" in note for note in report["warnings"])


def test_an_image_of_two_files_is_stored_once_and_linked_to_both(
    store: Store, data: Data, tmp_path: Path
):
    data.into(store)
    other = Data(tmp_path / "other", count=2, first=5)
    other.content["annotations"] = [{**Data.person(900, 5), "bbox": [60, 40, 20, 20]}]
    (other.images / "6.png").write_bytes(png(77))
    other.save()
    report = other.into(store, split="val")
    assert (report["images"], report["added"], report["already"]) == (2, 1, 1)
    assert len(os.listdir(store.project / "images")) == 7
    rows = store.read("SELECT count(*) AS n FROM image_sources WHERE coco_id = 5")
    assert rows[0]["n"] == 2
    assert report["splits"] == {"train": 1, "val": 1}
    assert any("1 images are in split train" in note for note in report["warnings"])


def test_train_then_val_are_two_sources_with_their_splits(store: Store, data: Data, tmp_path: Path):
    data.into(store)
    Data(tmp_path / "val", count=3, first=100).into(store, split="val")
    assert len(images.list_images(store, "train")) == 6
    assert len(images.list_images(store, "val")) == 3
    assert [row["people"] for row in images.list_sources(store)] == [7, 4]


def test_photos_that_get_labels_later_move_to_their_split(store: Store, data: Data):
    import_images(store, [data.images])
    report = data.into(store)
    assert (report["added"], report["already"]) == (0, 6)
    assert len(images.list_images(store, "train")) == 6


@pytest.mark.parametrize("boxes", [None, "full"])
def test_a_file_without_people(store: Store, data: Data, boxes: str | None):
    data.content["annotations"] = []
    data.save()
    report = data.into(store, split="unlabeled", boxes=boxes)
    assert report["images"] == 6 and report["people"] == (6 if boxes else 0)
    if boxes:
        assert people.list_people(store)[0]["box_xywh"] == [0, 0, 100, 80]


def test_full_boxes_only_where_nobody_is(store: Store, data: Data):
    data.content["annotations"] = data.content["annotations"][:2]
    data.save()
    assert data.into(store, boxes="full")["people"] == 2 + 4


def test_full_boxes_come_also_where_the_file_came_in_before(store: Store, data: Data):
    data.content["annotations"] = data.content["annotations"][:2]
    data.save()
    data.into(store)
    away = next(row["image_id"] for row in images.list_images(store) if row["file_name"] == "6.png")
    photos.hide(store, [away], True, who="ann", edit_id="away")
    report = data.into(store, boxes="full")
    assert (report["people"], report["unchanged"], report["source_id"]) == (3, 3, None)
    assert report["warnings"] == [
        "3 images were already there with the same people; nothing changed for them"
    ]
    assert [row["people"] for row in images.list_images(store)] == [1, 1, 1, 1, 1, 0]
    whole = people.list_people(store)[2:]
    assert [row["box_xywh"] for row in whole] == [[0, 0, 100, 80]] * 3
    assert {row["source_id"] for row in whole} == {1}
    before = dump(store)
    assert data.into(store, boxes="full")["people"] == 0
    assert dump(store) == before


def test_no_full_box_where_a_later_state_of_the_file_brings_somebody(store: Store, data: Data):
    somebody = data.content["annotations"].pop()
    data.content["annotations"] = data.content["annotations"][:1]
    data.save()
    data.into(store)
    data.content["annotations"].append(somebody)
    data.save()
    assert data.into(store, boxes="full")["people"] == 1 + 4
    assert [row["people"] for row in images.list_images(store)] == [1] * 6


@pytest.mark.parametrize("said", [(100, 80), (80, 100)])
def test_exif_turns_a_coco_image_only_if_the_file_says_so(
    store: Store, data: Data, said: tuple[int, int]
):
    (data.images / "1.png").write_bytes(png(1, orientation=6))
    data.content["images"][0].update(width=said[0], height=said[1])
    data.save()
    data.into(store)
    row = images.list_images(store)[0]
    assert (row["width"], row["height"]) == said
    with Image.open(store.project / row["path"]) as stored:
        assert stored.size == said and 0x0112 not in stored.getexif()


def test_keypoints_a_little_outside_come_in_with_a_warning(store: Store, data: Data):
    data.content["annotations"][0]["keypoints"][:2] = [101.5, -1.25]
    data.save()
    report = data.into(store)
    assert report["warnings"] == [
        "1 keypoints lie up to 2 px outside their image; they are kept exactly"
    ]
    row = labels.current(store, people.list_people(store)[0]["instance_id"])[0]
    assert (row["x"], row["y"]) == (101.5, -1.25)


def test_progress_is_told_after_every_image(store: Store, data: Data):
    told: list[tuple[int, int | None]] = []
    data.into(store, progress=lambda done, total: told.append((done, total)))
    assert told == [(n, 6) for n in range(1, 7)]
