"""Exported predictions fit exported labels: pycocotools scores the one on the other, and they come in again."""

import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError
from posestudio.store import freeze, labels, people, predictions
from posestudio.store.coco_import import import_coco
from posestudio.store.coco_write import category
from posestudio.store.database import Store, set_skeleton
from posestudio.store.media_import import import_images
from posestudio.studio import exports, take_away
from posestudio.studio.studio import Studio

K = len(COCO17.keypoints)
MODEL = "model"


def photo(path: Path, seed: int) -> Path:
    noise = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    Image.fromarray(noise).resize((160, 120), Image.Resampling.NEAREST).save(path)
    return path


def points(seed: int) -> np.ndarray:
    """(K, 2) inside 10..110; no two people alike."""
    return np.random.default_rng(seed).uniform(10, 110, (K, 2)).round(1)


def coco(folder: Path, ids: list[int], *, seed: int = 0, person: int = 1) -> Path:
    """A COCO file with one labeled person in each image; folder/people.json."""
    folder.mkdir()
    content: dict[str, Any] = {"images": [], "annotations": []}
    content["categories"] = [{**category(COCO17), "id": person}]
    for place, image in enumerate(ids):
        photo(folder / f"{image}.png", seed + place)
        triples = np.column_stack([points(seed + place), np.full(K, 2.0)])
        content["images"].append(
            {"id": image, "file_name": f"{image}.png", "width": 160, "height": 120}
        )
        content["annotations"].append(
            {
                "id": seed + place + 1, "image_id": image, "category_id": person, "iscrowd": 0, "area": 5000.0,
                "bbox": [5, 5, 110, 110], "keypoints": triples.ravel().tolist(), "num_keypoints": K,
            }
        )  # fmt: skip
    file = folder / "people.json"
    file.write_text(json.dumps(content))
    return file


def photos(store: Store, folder: Path, count: int, marked: list[int], *, seed: int = 500) -> None:
    """Photos without a COCO file, with a labeled person in those of these numbers, from 1."""
    folder.mkdir()
    paths = [photo(folder / f"{one}.png", seed + one) for one in range(count)]
    import_images(store, paths, boxes=None)
    names = {
        row["file_name"]: row["image_id"]
        for row in store.read("SELECT file_name, image_id FROM image_sources WHERE coco_id IS NULL")
    }
    for number in marked:
        image = names[f"{number - 1}.png"]
        person = people.add(store, image, (5, 5, 110, 110), who="me")["instance_id"]
        edits = [
            {"keypoint": k, "state": "placed", "x": float(x), "y": float(y), "v": 2}
            for k, (x, y) in enumerate(points(seed + number))
        ]
        labels.save_edits(
            store, person, edits, who="me", edit_id=f"label {person}", base_revision=0
        )


def predict(store: Store) -> None:
    """A model that predicts everybody as labeled."""
    seen = freeze.look(store).people
    predictions.save(
        store, model=MODEL, student="external", instance_id=seen.instance_id.tolist(),
        box_revision=seen.box_revision.tolist(), xy_image=seen.xy_image,
        score=np.full((len(seen), K), 0.9),
    )  # fmt: skip


def only_photos(store: Store, folder: Path) -> None:
    store.write(lambda cursor: set_skeleton(cursor, COCO17))
    photos(store, folder / "photos", 5, [2, 4])


def from_zero(store: Store, folder: Path) -> None:
    import_coco(store, coco(folder / "a", [0, 1, 2]), folder / "a")


def two_sources(store: Store, folder: Path) -> None:
    """Both numbered alike; B shows who is in no image of A."""
    for place, name in enumerate("ab"):
        file = coco(folder / name, [1, 2, 3], seed=100 * place)
        import_coco(store, file, folder / name)


def category_seven(store: Store, folder: Path) -> None:
    import_coco(store, coco(folder / "a", [4, 5], person=7), folder / "a")


def photos_beside_coco(store: Store, folder: Path) -> None:
    """The photos come first, so that the store numbers them as the file numbers its images."""
    store.write(lambda cursor: set_skeleton(cursor, COCO17))
    photos(store, folder / "photos", 2, [1, 2])
    import_coco(store, coco(folder / "a", [1, 2, 3]), folder / "a")


CASES = {
    only_photos: {"": [2, 4]},
    from_zero: {"": [0, 1, 2]},
    two_sources: {"-people": [1, 2, 3], "-people-2": [1, 2, 3]},
    category_seven: {"": [4, 5]},
    photos_beside_coco: {"-people": [1, 2, 3], "-photos": [1, 2]},
}
"""How a project is made, and the image ids of each file of results, by what its name ends with."""


@pytest.fixture(params=CASES, ids=lambda make: make.__name__)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Studio, dict[str, list[int]]]:
    """A project of each kind, and what its results must hold."""
    with Store(tmp_path / "project", create=True) as store:
        request.param(store, tmp_path)
        predict(store)
    return Studio(tmp_path / "project"), CASES[request.param]


def average_precision(truth: Path, results: Path) -> float:
    """AP by pycocotools alone."""
    with contextlib.redirect_stdout(io.StringIO()):
        known = COCO(str(truth))
        run = COCOeval(known, known.loadRes(str(results)), "keypoints")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return float(run.stats[0])


def test_pycocotools_scores_exported_predictions_on_exported_labels(made, tmp_path):
    studio, wanted = made
    studio.call("export_coco", out=str(tmp_path / "labels.json"))
    done = take_away.export_predictions(studio, tmp_path / "found.json", run=MODEL)
    files = {end: tmp_path / f"found{end}.json" for end in wanted}
    assert done["files"] == [str(path) for path in files.values()]
    assert done["out"] == (done["files"][0] if len(files) == 1 else None)
    assert done["people"] == sum(map(len, wanted.values()))
    for end, path in files.items():
        truth = tmp_path / f"labels{end}.json"
        rows = json.loads(path.read_text())
        assert [row["image_id"] for row in rows] == wanted[end]
        persons = {row["category_id"] for row in json.loads(truth.read_text())["annotations"]}
        assert {row["category_id"] for row in rows} == persons
        assert average_precision(truth, path) == pytest.approx(1.0)


def test_exported_predictions_come_in_again(made, tmp_path):
    studio, wanted = made
    take_away.export_predictions(studio, tmp_path / "found.json", run=MODEL)
    for end in wanted:
        file, source = str(tmp_path / f"found{end}.json"), end.removeprefix("-") or None
        if source:
            with pytest.raises(InputError, match="image 1 is the id of two images; .*--source"):
                studio.call("import_predictions", file=file, name="again")
        studio.call("import_predictions", file=file, name="again", source=source)
    before, after = (
        {row["instance_id"]: (row["x"], row["y"]) for row in studio.call("predictions", run=run)}
        for run in (MODEL, "again")
    )
    assert before == after and len(after) == sum(map(len, wanted.values()))


def test_a_file_to_download_holds_all_files(made):
    studio, wanted = made
    file = exports.prepare(studio, "predictions", {"run": MODEL})
    assert file.suffix == (".json" if len(wanted) == 1 else ".zip")


def test_a_split_of_one_source_is_one_file(tmp_path):
    with Store(tmp_path / "project", create=True) as store:
        for place, split in enumerate(("train", "val")):
            file = coco(tmp_path / split, [1, 2], seed=100 * place)
            import_coco(store, file, tmp_path / split, split=split)
        predict(store)
    studio = Studio(tmp_path / "project")
    studio.call("export_coco", out=str(tmp_path / "labels.json"), split="val")
    done = take_away.export_predictions(studio, tmp_path / "found.json", run=MODEL, split="val")
    assert done["out"] == str(tmp_path / "found.json") and done["people"] == 2
    assert average_precision(tmp_path / "labels.json", tmp_path / "found.json") == pytest.approx(1)


def test_an_unknown_source_is_named(tmp_path):
    with Store(tmp_path / "project", create=True) as store:
        from_zero(store, tmp_path)
    (tmp_path / "found.json").write_text(json.dumps([{"image_id": 0}]))
    with pytest.raises(InputError, match="no source 'peple'. There are people, photos"):
        Studio(tmp_path / "project").call(
            "import_predictions", file=str(tmp_path / "found.json"), name="m", source="peple"
        )
