"""Finding people on photos: boxes are added where nobody is marked; weights are looked for, never fetched."""

from pathlib import Path

import numpy as np
import pytest
from torchvision.models import detection

from posestudio.core.skeleton import COCO17
from posestudio.studio import photos
from posestudio.studio.studio import Studio, create
from tests.studio.test_incoming import photo

FOUND = np.array([[2.0, 3.0, 20.0, 30.0], [30.0, 5.0, 25.0, 40.0]])


def finder(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two people on every photo that is not black."""
    boxes = FOUND if image.any() else np.zeros((0, 4))
    return boxes, np.ones(len(boxes))


@pytest.fixture
def studio(tmp_path: Path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as opened:
        files = [str(photo(tmp_path / f"{n}.png", n)) for n in range(3)]
        opened.call("import_images", paths=files, boxes=None)
        yield opened


def test_people_are_found_once(studio):
    assert len(photos.detect(studio, [1, 2], finder)["people"]) == 4
    rows = studio.call("people", image_id=2)
    assert [row["box_xywh"] for row in rows] == FOUND.tolist()
    assert {row["box_source"] for row in rows} == {"detector"}
    assert photos.detect(studio, [1, 2], finder)["people"] == []


def test_a_drawn_box_stays_the_only_one_of_its_person(studio):
    studio.call("add_person", image_id=1, box_xywh=[4.0, 5.0, 20.0, 28.0], who="me", edit_id="e1")
    (added,) = photos.detect(studio, [1], finder)["people"]
    assert studio.call("person", instance_id=added)["box_xywh"] == FOUND[1].tolist()


def test_a_photo_whose_file_is_gone_is_told(studio):
    path = studio.project / studio.call("image", image_id=2)["path"]
    path.unlink()
    found = photos.detect(studio, [1, 2, 3], finder)
    assert found["unread"] == [2] and len(found["people"]) == 4


def test_overlap_is_intersection_over_union():
    assert photos.overlap((0, 0, 10, 10), (0, 0, 10, 10)) == 1
    assert photos.overlap((0, 0, 10, 10), (5, 0, 10, 10)) == pytest.approx(1 / 3)
    assert photos.overlap((0, 0, 10, 10), (10, 0, 10, 10)) == 0


def test_weights_are_looked_for_in_the_project_and_where_torchvision_keeps_them(
    tmp_path, monkeypatch
):
    url = detection.FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1.url
    assert url.endswith("/" + photos.DETECTOR_FILE)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert photos.detector_file(tmp_path) is None
    for folder in (tmp_path / "torch/hub/checkpoints", tmp_path / "weights"):
        folder.mkdir(parents=True)
        (folder / photos.DETECTOR_FILE).write_bytes(b"x")
        assert photos.detector_file(tmp_path) == folder / photos.DETECTOR_FILE
