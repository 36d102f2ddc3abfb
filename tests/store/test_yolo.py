"""YOLO-pose export: what Ultralytics reads, by split, normalized and inside 0 to 1."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import people, photos
from posestudio.store.coco_import import import_coco
from posestudio.store.database import Store
from posestudio.store.yolo import export_yolo

pytestmark = pytest.mark.empty

NAMES = ["head", "left_hand", "right_hand"]


def picture(seed: int, kind: str) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8)).resize((100, 80)).save(out, kind)
    return out.getvalue()


def fill(store: Store, folder: Path, first: int, split: str, kind: str = "PNG") -> None:
    """Two images: one with a labeled person, an unlabeled one and a crowd; one with nobody labeled."""
    folder.mkdir()
    blank = {"category_id": 1, "iscrowd": 0, "area": 9, "keypoints": [0] * 9, "num_keypoints": 0}
    labeled = {"keypoints": [101, 40, 2, 25, -1.5, 1, 0, 0, 0], "num_keypoints": 2}
    annotations: list[dict[str, Any]] = [
        {**blank, **labeled, "id": first, "image_id": first, "bbox": [20, 20, 100, 40]},
        {**blank, "id": first + 1, "image_id": first, "bbox": [0, 0, 50, 80]},
        {**blank, "id": first + 2, "image_id": first, "bbox": [0, 0, 50, 80], "iscrowd": 1},
        {**blank, "id": first + 3, "image_id": first + 1, "bbox": [0, 0, 50, 80]},
    ]
    content = {
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
        "images": [
            {"id": n, "file_name": f"a {n % 2}.x.jpg", "width": 100, "height": 80}
            for n in (first, first + 1)
        ],
        "annotations": annotations,
    }
    for image in content["images"]:
        (folder / image["file_name"]).write_bytes(picture(image["id"], kind))
    (folder / "people.json").write_text(json.dumps(content))
    import_coco(store, folder / "people.json", folder, split=split)


def test_images_labels_and_yaml(store: Store, tmp_path: Path):
    fill(store, tmp_path / "train", 1, "train")
    fill(store, tmp_path / "val", 101, "val", "JPEG")
    out = tmp_path / "out"
    report = export_yolo(store, out)
    assert report["images"] == {"train": 1, "val": 1} and report["left_out"] == 2
    assert report["people"] == {"train": 2, "val": 2} and report["warnings"] == []
    files = sorted(p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file())
    image, other = files[1:3]
    assert image == "images/train/a_1_x.png", "suffix by content, name of plain characters"
    assert other.startswith("images/val/a_1_x-") and other.endswith(".jpg")
    stems = [Path(name).stem for name in (image, other)]
    assert files[3:] == [f"labels/train/{stems[0]}.txt", f"labels/val/{stems[1]}.txt"]
    assert (out / image).read_bytes() == (tmp_path / "train" / "a 1.x.jpg").read_bytes()
    lines = (out / files[3]).read_text().splitlines()
    assert lines == [
        "0 0.600000 0.500000 0.800000 0.500000 1.000000 0.500000 2 0.250000 0.000000 1 0 0 0",
        "0 0.250000 0.500000 0.500000 1.000000 0 0 0 0 0 0 0 0 0",
    ]
    text = (out / "data.yaml").read_text()
    assert "kpt_shape: [3, 3]\n" in text and "flip_idx: [0, 2, 1]\n" in text
    assert "train: images/train\nval: images/val\n" in text and '  0: "person"\n' in text


def test_no_two_images_share_a_name(store: Store, tmp_path: Path):
    """The third image's name is taken, and so is that name with its number: the first image's own, in capitals."""
    names = ["A-3.png", "d1/a.png", "d2/a.png"]
    for place, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(picture(place, "PNG"))
    labeled = {"category_id": 1, "bbox": [5, 5, 50, 50], "keypoints": [20, 20, 2] * 3}
    content = {
        "categories": [{"id": 1, "name": "person", "keypoints": NAMES}],
        "images": [
            {"id": place + 1, "file_name": name, "width": 100, "height": 80}
            for place, name in enumerate(names)
        ],
        "annotations": [{**labeled, "id": n, "image_id": n, "iscrowd": 0} for n in (1, 2, 3)],
    }
    (tmp_path / "people.json").write_text(json.dumps(content))
    import_coco(store, tmp_path / "people.json", tmp_path)
    out = tmp_path / "out"
    assert export_yolo(store, out)["images"] == {"train": 3}
    for folder in ("images", "labels"):
        stems = [path.stem for path in (out / folder / "train").iterdir()]
        assert len({stem.lower() for stem in stems}) == 3, folder
    found = {path.read_bytes() for path in (out / "images" / "train").iterdir()}
    assert found == {(tmp_path / name).read_bytes() for name in names}


def test_without_val_the_yaml_names_train_and_says_so(store: Store, tmp_path: Path):
    fill(store, tmp_path / "train", 1, "train")
    report = export_yolo(store, tmp_path / "out")
    assert "names train as val" in report["warnings"][0]
    assert "val: images/train\n" in (tmp_path / "out" / "data.yaml").read_text()


def test_hidden_photos_are_left_out(store: Store, tmp_path: Path):
    """Also with somebody in them who was brought back alone."""
    fill(store, tmp_path / "train", 1, "train")
    fill(store, tmp_path / "val", 101, "val")
    hidden = store.read("SELECT image_id FROM image_sources WHERE coco_id > 100")
    photos.hide(store, [row["image_id"] for row in hidden], True, who="ann", edit_id="e1")
    (back,) = store.read("SELECT instance_id FROM instances WHERE coco_id = 101")
    people.set_hidden(store, back["instance_id"], False, who="ann")
    report = export_yolo(store, tmp_path / "out")
    assert report["images"] == {"train": 1} and report["left_out"] == 1


def test_refusals(store: Store, tmp_path: Path):
    fill(store, tmp_path / "in", 1, "unlabeled")
    with pytest.raises(InputError, match="no labeled person in split train or val"):
        export_yolo(store, tmp_path / "out")
    with pytest.raises(InputError, match="not an empty folder"):
        export_yolo(store, tmp_path / "in")
    assert not (tmp_path / "out").exists()
