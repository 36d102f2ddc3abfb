"""The demo project: a sound COCO set, a project that verifies, and students that know what they do."""

import json
import shutil

import filelock
import numpy as np
import pytest
from PIL import Image

from posestudio.core import metrics
from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, StoreBusy
from posestudio.events import Stopped
from posestudio.predict import Predictor
from posestudio.store import coco_read
from posestudio.store.database import Store
from posestudio.store.groups import NEAR_BITS
from posestudio.store.media import read_picture
from posestudio.studio import demo
from posestudio.studio.render import OUTSIDE
from posestudio.studio.studio import Studio
from posestudio.train.run_folder import RunFolder
from posestudio.ui import app

COUNTS = {"train": 8, "val": 4}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return folder, demo.write_demo_files(folder, 5, COUNTS)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "project"
    return Studio(folder), demo.make_demo(folder, seed=5, counts=COUNTS, labeled=3)


def everything(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_seed_same_files(files, tmp_path):
    folder, _ = files
    demo.write_demo_files(tmp_path / "again", 5, COUNTS)
    assert everything(folder) == everything(tmp_path / "again")
    demo.write_demo_files(tmp_path / "other", 6, {"val": 2})
    assert not set(everything(tmp_path / "other").values()) & set(everything(folder).values())


def test_files_are_sound_coco(files):
    _, found = files
    ids: list[int] = []
    for split, file in found.items():
        parsed = coco_read.parse(file, COCO17)
        assert not parsed.faults and len(parsed.images) == COUNTS[split]
        record = json.loads(file.read_text())
        ids += [image["id"] for image in record["images"]]
        sizes = {image["id"]: (image["width"], image["height"]) for image in record["images"]}
        for one in record["annotations"]:
            points = np.array(one["keypoints"], float).reshape(17, 3)
            seen = points[:, 2] > 0
            assert one["num_keypoints"] == seen.sum() >= demo.LEAST_INSIDE
            assert (points[~seen] == 0).all()
            x, y, w, h = one["bbox"]
            width, height = sizes[one["image_id"]]
            assert 0 <= x < x + w <= width and 0 <= y < y + h <= height
            assert 0 < one["area"] <= w * h
    assert ids == list(range(1, sum(COUNTS.values()) + 1))


def test_no_two_scenes_are_near_duplicates(files):
    folder, _ = files
    codes = [
        read_picture(path.read_bytes()).phash for path in sorted((folder / "images").iterdir())
    ]
    gaps = [(a ^ b).bit_count() for i, a in enumerate(codes) for b in codes[:i]]
    assert min(gaps) > NEAR_BITS


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write demo files"):
        demo.write_demo_files(tmp_path / "file", 0, {"val": 1})


def test_the_project_is_whole(project):
    studio, made = project
    assert made["images"] == 12 and made["people"] >= 12
    checked = studio.call("verify")
    assert checked["ok"], checked
    splits = studio.call("splits")["splits"]
    assert {name: row["images"] for name, row in splits.items()} == {
        "train": 3,
        "unlabeled": 5,
        "val": 4,
    }
    assert splits["unlabeled"]["open"] == splits["unlabeled"]["people"]
    assert not (studio.project / "cache" / "demo" / "images").exists()


def test_the_shipped_students_are_a_finished_run(project):
    studio, made = project
    (run,) = studio.call("runs")
    assert run["run_id"] == made["run_id"] and run["status"] == "done" and run["usable"]
    folder = RunFolder(studio.run_folder(run["run_id"]))
    assert set(folder.students()) == {"a", "b"}
    assert isinstance(folder.events()[-1], Stopped)
    predictor = Predictor.load(folder.path)
    settings = folder.config()
    assert predictor.spec.size_hw == (settings.data.height, settings.data.width)
    assert predictor.spec.backbone == settings.model.backbone
    assert studio.call("newest_run")["run_id"] == run["run_id"]
    students = {row["student"] for row in studio.call("predictions", run=run["run_id"])}
    assert students == {"a", "b", "ensemble"}
    assert made["scores"]["people"] >= 4


def test_a_project_with_images_is_left_alone(project):
    studio, _ = project
    with pytest.raises(InputError, match="has images already"):
        demo.make_demo(studio.project)


def test_shipped_students_know_people_they_never_saw(tmp_path):
    """PCK@0.2 of the box's longer side, on scenes of a seed that training did not use."""
    found, truth, seen, length = {"a": [], "b": [], "ensemble": []}, [], [], []
    for name in "ab":
        (tmp_path / f"student_{name}.safetensors").symlink_to(
            demo.ASSETS / f"student_{name}.safetensors"
        )
    predictor = Predictor.load(tmp_path, device="cpu")
    for index in range(50):
        image, people = demo.draw_scene(424_242, index)
        boxes = np.array([person.box_xywh for person in people])
        for student, rows in found.items():
            rows.append(predictor.predict(image, boxes, student=student)[0])
        truth += [person.xy_image for person in people]
        seen += [person.visibility != OUTSIDE for person in people]
        length += [max(person.box_xywh[2:]) for person in people]
    known = np.array(truth), np.array(seen), np.array(length)
    guesses = {student: np.concatenate(rows) for student, rows in found.items()}
    for student, guess in guesses.items():
        near = metrics.pck(guess, *known, 0.2).overall
        close = metrics.pck(guess, *known, 0.1).overall
        assert near > 0.75 and close > 0.5, (student, near, close)
    apart = np.linalg.norm(guesses["a"] - guesses["b"], axis=-1) > 0.1 * known[2][:, None]
    assert 0.01 < apart.mean() < 0.5, (
        "two students that always agree have nothing to teach each other"
    )


def test_both_students_fit_their_budget():
    size = sum(file.stat().st_size for file in demo.ASSETS.glob("*.safetensors"))
    assert 0 < size < 5_000_000


@pytest.fixture
def broken_off(project, tmp_path, monkeypatch):
    """A demo project whose making was broken off, with a backup; making it again is noted, not done."""
    folder = tmp_path / "broken"
    shutil.copytree(project[0].project, folder)
    with Store(folder) as store:  # as if it had been made here
        store.write(
            lambda cursor: cursor.execute(
                "UPDATE sources SET path = replace(path, ?, ?)",
                [str(project[0].project), str(folder)],
            )
        )
    for path in (folder / app.MAKING, folder / "backups" / "mine.zip"):
        path.touch()
    made = []
    monkeypatch.setattr(demo, "make_demo", lambda folder, progress: made.append(folder))
    return folder, made


def test_a_demo_that_was_broken_off_is_made_again_and_backups_stay(broken_off):
    folder, made = broken_off
    app._prepare(folder)
    assert made == [folder] and not (folder / app.MAKING).exists()
    assert not (folder / "images").exists() and (folder / "backups" / "mine.zip").exists()


def test_a_project_with_work_in_it_is_never_made_again(broken_off, capsys):
    folder, made = broken_off
    person = Studio(folder).call("people", split="unlabeled")[0]["instance_id"]
    spot = {"keypoint": "nose", "state": "absent", "reason": "outside"}
    Studio(folder).call("label", instance_id=person, edits=[spot], who="ann")
    app._prepare(folder)
    assert made == [] and "somebody has worked in it" in capsys.readouterr().err
    assert Studio(folder).call("verify")["ok"] and not (folder / app.MAKING).exists()
    app._prepare(folder)
    assert made == []


def test_files_that_somebody_brought_in_are_work(broken_off):
    folder, made = broken_off
    Image.new("RGB", (60, 40)).save(folder.parent / "mine.png")
    Studio(folder).call("import_images", paths=[str(folder.parent / "mine.png")])
    app._prepare(folder)
    assert made == [] and len(list((folder / "images").iterdir())) == 13


def test_a_second_serve_beside_the_making_says_so_and_touches_nothing(broken_off):
    folder, made = broken_off
    with filelock.FileLock(folder / f"{app.MAKING}.lock", is_singleton=False):
        with pytest.raises(StoreBusy, match="is making the demo project"):
            app._prepare(folder)
    assert made == [] and (folder / app.MAKING).exists() and (folder / "store.duckdb").exists()
    with Studio(folder, hold=True), pytest.raises(StoreBusy):
        app._prepare(folder)
    assert made == [] and (folder / "store.duckdb").exists()
