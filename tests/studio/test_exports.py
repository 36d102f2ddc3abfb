"""Exports as files to download: what they hold reads back, names are safe, few are kept."""

import json
import zipfile

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pycocotools.coco import COCO

from posestudio.errors import InputError, NotFound
from posestudio.models.weights import load_student
from posestudio.studio import demo, exports, take_away
from posestudio.studio.studio import Studio
from posestudio.ui import downloads


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "project"
    demo.make_demo(folder, seed=5, counts={"train": 6, "val": 4}, labeled=4)
    return Studio(folder)


def newest(studio):
    return exports.made_before(studio)[0]


def test_coco_labels_read_back(studio):
    file = exports.prepare(studio, "coco", {"split": "val"})
    assert file.suffix in (".json", ".zip") and newest(studio)["name"] == file.name
    read = COCO(str(file)) if file.suffix == ".json" else None
    people = len(read.anns) if read else sum(
        len(json.loads(zipfile.ZipFile(file).read(name))["annotations"]) for name in zipfile.ZipFile(file).namelist()
    )  # fmt: skip
    assert people == len(studio.call("people", split="val"))
    assert str(people) in newest(studio)["note"]


def test_yolo_is_a_zip_with_photos_and_labels(studio):
    names = zipfile.ZipFile(exports.prepare(studio, "yolo", {})).namelist()
    assert "data.yaml" in names
    photos = [name for name in names if name.startswith("images/") and not name.endswith("/")]
    labels = [name for name in names if name.startswith("labels/") and name.endswith(".txt")]
    assert len(photos) == len(labels) > 0


def test_predictions_are_coco_results(studio):
    file = exports.prepare(studio, "predictions", {"student": "a", "split": "val", "run": ""})
    rows = json.loads(file.read_text())
    assert len(rows) == len(studio.call("people", split="val")) and "-a-val-" in file.name
    assert all(len(row["keypoints"]) == 51 for row in rows)


def test_predictions_of_an_imported_model_come_out_as_they_went_in(studio, tmp_path):
    file = exports.prepare(studio, "predictions", {"split": "val"})
    studio.call("import_predictions", file=str(file), name="other")
    done = take_away.export_predictions(studio, tmp_path / "out.json", run="other")
    assert (done["run_id"], done["student"]) == ("other", "external")
    rows = json.loads(file.read_text())
    assert done["people"] == len(rows) and json.loads((tmp_path / "out.json").read_text()) == rows


def test_students_come_with_all_that_is_needed_to_use_them(studio, tmp_path):
    run = studio.call("runs")[0]["run_id"]
    with zipfile.ZipFile(exports.prepare(studio, "model", {"run": run})) as archive:
        archive.extractall(tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    assert facts["run"] == run and len(facts["skeleton"]["keypoints"]) == 17
    for name, file in facts["students"].items():
        net, spec, _ = load_student(tmp_path / file)
        assert spec.to_dict() == facts["spec"] and name in "ab" and net.spec.num_keypoints == 17


def test_onnx_comes_through_the_command_line_and_is_checked(studio):
    onnxruntime = pytest.importorskip("onnxruntime")
    file = exports.prepare(studio, "onnx", {"student": "b"})
    assert "differs from torch by" in newest(studio)["note"]
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    maps, keypoints = session.run(None, {"crops": np.zeros((2, 3, 128, 96), np.float32)})
    assert maps.shape == (2, 17, 32, 24) and keypoints.shape == (2, 17, 3)


def test_what_cannot_be_made_leaves_nothing_but_a_reason(studio):
    before = exports.made_before(studio)
    with pytest.raises(InputError, match="no export 'exe'"):
        exports.prepare(studio, "exe", {})
    with pytest.raises(NotFound):
        exports.prepare(studio, "predictions", {"run": "0099"})
    with pytest.raises(NotFound):
        exports.prepare(studio, "model", {"run": "../../etc"})
    assert exports.made_before(studio) == before
    assert not [path for path in exports.folder(studio).iterdir() if path.name.startswith(".")]


def test_only_what_is_listed_is_served(studio):
    file = exports.prepare(studio, "predictions", {})
    (exports.folder(studio) / "secret").write_text("no")
    app = FastAPI()
    app.include_router(downloads.routes(studio))
    with TestClient(app) as client:
        got = client.get(f"/download/{file.name}")
        assert got.content == file.read_bytes()
        assert "attachment" in got.headers["content-disposition"]
        for name in (
            "..%2f..%2fstore.duckdb",
            f"{file.name}.txt",
            "store.duckdb",
            ".making-x",
            "%2e%2e",
        ):
            assert client.get(f"/download/{name}").status_code == 404, name


def test_only_the_newest_are_kept(studio, monkeypatch):
    monkeypatch.setattr(exports, "KEPT", 2)
    file = exports.prepare(studio, "coco", {})
    kept = exports.made_before(studio)
    assert len(kept) == 2 and kept[0]["name"] == file.name
    assert len(list(exports.folder(studio).glob("*.txt"))) == 2
