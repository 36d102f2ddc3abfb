"""COCO results of other models: matched to people, kept as predictions, never labels."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import people, predictions
from posestudio.store.coco_import import import_coco
from posestudio.store.coco_predictions import import_predictions
from posestudio.store.database import Store

BOXES = {1: [[10, 10, 30, 40]], 2: [[0, 0, 40, 60], [50, 10, 40, 60]], 3: []}


def png(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    image = Image.fromarray(rng.integers(0, 255, (8, 10, 3), np.uint8))
    image.resize((100, 80), Image.Resampling.NEAREST).save(out, "PNG")
    return out.getvalue()


def fill(store: Store, folder: Path, shift: int = 0) -> None:
    folder.mkdir()
    content: dict[str, Any] = {
        "categories": [{"id": 1, "name": "person", "keypoints": ["head", "foot"]}],
        "images": [],
        "annotations": [],
    }
    for image, boxes in BOXES.items():
        (folder / f"{image}.png").write_bytes(png(image + shift))
        content["images"].append(
            {"id": image, "file_name": f"{image}.png", "width": 100, "height": 80}
        )
        for place, box in enumerate(boxes):
            content["annotations"].append(
                {
                    "id": 10 * image + place + shift,
                    "image_id": image,
                    "category_id": 1,
                    "bbox": box,
                    "keypoints": [0] * 6,
                    "num_keypoints": 0,
                    "iscrowd": 0,
                    "area": 10,
                }
            )
    (folder / "people.json").write_text(json.dumps(content))
    import_coco(store, folder / "people.json", folder)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "project", create=True) as opened:
        fill(opened, tmp_path / "in")
        yield opened


def result(image: int, points: list[Any], score: float = 0.9, **extra: Any) -> dict[str, Any]:
    return {"image_id": image, "category_id": 1, "keypoints": points, "score": score, **extra}


def write(folder: Path, content: Any) -> Path:
    file = folder / "results.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def by_box(store: Store) -> dict[tuple[float, ...], dict[str, Any]]:
    rows = {row["instance_id"]: row for row in predictions.of_model(store, "other")}
    return {
        tuple(row["box_xywh"]): rows[row["instance_id"]]
        for row in people.list_people(store)
        if row["instance_id"] in rows
    }


def test_results_find_their_people_by_overlap_whatever_their_order(store: Store, tmp_path: Path):
    file = write(
        tmp_path,
        [
            result(2, [55, 12, 0.9, 85, 68, 0.8], 0.2),
            result(2, [3, 2, 0.7, 38, 58, 1.2], 0.9),
            result(2, [3, 2, 0.1, 30, 50, 0.1], 0.95),
        ],
    )
    report = import_predictions(store, file, "other")
    assert report == {"model": "other", "results": 3, "people": 2, "unmatched": 1, "waiting": 1}
    found = by_box(store)
    assert found[50, 10, 40, 60]["x"] == [55, 85]
    assert found[0, 0, 40, 60]["x"] == [3, 38], "the larger overlap wins over the larger score"
    assert found[0, 0, 40, 60]["score"] == [0.7, 1.0]
    assert all(row["student"] == "external" and not row["stale"] for row in found.values())


def test_a_box_of_the_result_is_used_when_there_is_one(store: Store, tmp_path: Path):
    file = write(
        tmp_path, [result(2, [10, 10, 1, 11, 11, 1], bbox=[50, 10, 40, 60]), result(2, [1] * 6)]
    )
    assert import_predictions(store, file, "other")["people"] == 1
    assert by_box(store)[50, 10, 40, 60]["x"] == [10, 11]


def test_one_person_and_one_result_belong_together(store: Store, tmp_path: Path):
    import_predictions(store, write(tmp_path, [result(1, [70, 70, 1, 90, 75, 1])]), "other")
    assert by_box(store)[10, 10, 30, 40]["x"] == [70, 90]


def test_predictions_are_not_labels_and_the_newest_counts(store: Store, tmp_path: Path):
    before = store.read("SELECT * FROM label_journal")
    import_predictions(store, write(tmp_path, [result(1, [1, 2, 1, 3, 4, 1])]), "other")
    import_predictions(store, write(tmp_path, [result(1, [5, 6, 1, 7, 8, 1])]), " other ")
    assert by_box(store)[10, 10, 30, 40]["x"] == [5, 7]
    assert store.read("SELECT * FROM label_journal") == before


GOOD = [1, 2, 0.5, 3, 4, 0.5]


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (result(99, GOOD), "image 99 is unknown"),
        (result(1, [1, 2, 0.5]), "keypoints has 3 numbers, not 6"),
        (result(1, [float("nan"), *GOOD[1:]]), "x of head is nan"),
        (result(1, [1, 1e308, *GOOD[2:]]), "y of head is 1e[+]308"),
        (result(1, [1, 2, None, 3, 4, 1]), "score of head is None"),
        (result(1, GOOD, float("inf")), "score is inf"),
        (result(1, GOOD, bbox=[1, 2]), "bbox is"),
        ({"image_id": 1}, "has no keypoints, score"),
        ([1], "is not an object"),
    ],
)
def test_one_fault_refuses_all(store: Store, tmp_path: Path, bad: Any, message: str):
    with pytest.raises(InputError, match=f"1 fault, nothing(.|\n)*result number 2: {message}"):
        import_predictions(store, write(tmp_path, [result(1, GOOD), bad]), "other")
    assert predictions.list_models(store) == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "not COCO results"),
        ({"images": []}, "import coco FILE"),
        ("[{", "broken JSON"),
        ([result(3, GOOD)], "none of its 1 results overlaps"),
    ],
)
def test_files_of_no_use_are_refused(store: Store, tmp_path: Path, content: Any, message: str):
    with pytest.raises(InputError, match=message):
        import_predictions(store, write(tmp_path, content), "other")
    with pytest.raises(InputError, match="name of a model"):
        import_predictions(store, write(tmp_path, [result(1, GOOD)]), " ")


def test_an_id_of_two_images_is_not_guessed(store: Store, tmp_path: Path):
    fill(store, tmp_path / "second", shift=500)
    with pytest.raises(InputError, match="id of two images"):
        import_predictions(store, write(tmp_path, [result(1, GOOD)]), "other")
