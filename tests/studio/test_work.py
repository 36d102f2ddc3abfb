"""The main job on rendered people, end to end: import, train, predict, evaluate, pool, queue, label, export."""

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posestudio.cli.main import main
from posestudio.core.coco import NUMBERS
from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, TrainingError
from posestudio.events import Stepped
from posestudio.studio import beliefs, jobs, queue, scores, training, work
from posestudio.studio import owner as owners
from posestudio.studio.demo import write_demo_files
from posestudio.studio.studio import Studio, create

QUICK = {
    "data.batch_labeled": "4",
    "data.batch_unlabeled": "4",
    "train.threads": "1",
    "train.save_every": "4",
    "train.steps": "8",
}
SETTINGS = [f"{key}={value}" for key, value in QUICK.items()]


def cli(project, *line):
    """One command line with --json: exit code and what it printed."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        code = main(["--project", str(project), "--json", *map(str, line)])
    return code, json.loads(out.getvalue() or "null")


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rendered")
    return folder, write_demo_files(folder, 3, {"train": 44, "val": 10})


@pytest.fixture(scope="module")
def trained(files, tmp_path_factory):
    """A project with val and one finished run, made by the command line."""
    folder, parts = files
    project = tmp_path_factory.mktemp("project") / "p"
    assert cli(project, "init")[0] == 0
    line = ["import", "coco", parts["train"], "--images", folder / "images", "--labeled", "36"]
    assert cli(project, *line)[0] == 0
    line = ["import", "coco", parts["val"], "--images", folder / "images", "--split", "val"]
    assert cli(project, *line)[0] == 0
    code, shown = cli(project, "train", "--preset", "paper", "--size", "tiny", "--set", *SETTINGS)
    assert code == 0
    return project, shown


def test_train_answers_with_id_metrics_and_scores(trained):
    project, shown = trained
    assert shown["status"] == "done" and shown["metrics"]["steps"] == 8
    assert shown["run_id"].startswith("0001-") and shown["scores"]["split"] == "val"
    assert shown["preset"] == "paper" and shown["settings"]["train.steps"] == 8
    code, listed = cli(project, "runs")
    assert code == 0 and [row["run_id"] for row in listed] == [shown["run_id"]]
    assert listed[0]["metrics"]["AP"] == shown["scores"]["AP"]
    assert cli(project, "runs", "show", "1")[1]["run_id"] == shown["run_id"]


def nearly_right(predictor, people, project, *, students, **_):
    """Stands in for the networks: labels with an error that depends on the person, at times the whole person off."""
    xy_image, score = np.zeros(people.xy_image.shape), np.zeros(people.state.shape)
    for index, instance_id in enumerate(people.instance_id):
        draw = np.random.default_rng([int(instance_id), len(students[0])])
        size = 0.01 * draw.choice([1, 3, 8, 30]) * people.box_xywh[index, 3]
        xy_image[index] = np.nan_to_num(people.xy_image[index]) + size * draw.normal(
            size=score[index].shape + (2,)
        )
        score[index] = draw.uniform(0, 1, score[index].shape)
    return dict.fromkeys(students, (xy_image, score))


@pytest.mark.parametrize("networks", [True, False])
@pytest.mark.parametrize("extra", [[], ["--flip"], ["--student", "a"]])
def test_evaluate_equals_pycocotools_by_hand_on_predict(
    trained, files, tmp_path, monkeypatch, extra, networks
):
    if not networks:
        monkeypatch.setattr("posestudio.predict.predict_people", nearly_right)
    project, _ = trained
    out = tmp_path / "predicted.json"
    assert cli(project, "predict", "--split", "val", "--out", out, *extra)[0] == 0
    code, ours = cli(project, "evaluate", *extra)
    assert code == 0 and (networks or 0.2 < ours["AP"] < 0.95)
    assert 0.3 < ours["mean_pose_pck@0.2"] < 1
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(files[1]["val"]))
        by_hand = COCOeval(truth, truth.loadRes(str(out)), "keypoints")
        by_hand.params.kpt_oks_sigmas = np.array(COCO17.oks_sigmas)
        by_hand.evaluate()
        by_hand.accumulate()
        by_hand.summarize()
    for name, value in zip(NUMBERS, by_hand.stats, strict=True):
        assert (ours[name] if ours[name] is not None else -1) == pytest.approx(value, abs=1e-9), (
            name
        )


def test_perfect_predictions_score_one_and_imported_ones_are_comparable(trained, files, tmp_path):
    project, _ = trained
    truth = json.loads(files[1]["val"].read_text())
    perfect = []
    for row in truth["annotations"]:
        triples = np.array(row["keypoints"], float).reshape(-1, 3)
        triples[:, 2] = 1.0
        perfect.append({
            "image_id": row["image_id"], "category_id": 1, "keypoints": triples.ravel().tolist(),
            "score": 1.0, "bbox": row["bbox"],
        })  # fmt: skip
    (tmp_path / "perfect.json").write_text(json.dumps(perfect))
    code, done = cli(
        project, "import", "predictions", tmp_path / "perfect.json", "--name", "oracle"
    )
    assert code == 0 and done["people"] == len(perfect)
    scores = cli(project, "evaluate", "--run", "oracle")[1]
    assert scores["AP"] == pytest.approx(1.0) and scores["student"] == "model"


def test_predictions_are_kept_and_exported_as_they_are(trained, tmp_path):
    project, shown = trained
    out, again = tmp_path / "a.json", tmp_path / "b.json"
    assert cli(project, "predict", "--out", out)[0] == 0
    assert cli(project, "export", "predictions", again)[0] == 0
    first, second = json.loads(out.read_text()), json.loads(again.read_text())
    assert first == second and len(first) > 40
    kept = Studio(project).call("predictions", run=shown["run_id"])
    assert {row["student"] for row in kept} == {"a", "b", "ensemble"}


def test_predict_given_images(trained, files, tmp_path):
    project, _ = trained
    paths = sorted((files[0] / "images").iterdir())[:2]
    code, done = cli(project, "predict", *paths, "--out", tmp_path / "x.json")
    rows = json.loads((tmp_path / "x.json").read_text())
    assert code == 0 and done["people"] == 2 and [row["image_id"] for row in rows] == [1, 2]
    assert rows[0]["file_name"] == str(paths[0]) and len(rows[0]["keypoints"]) == 51


def test_pool_and_queue_agree(trained):
    project, shown = trained
    code, done = cli(project, "pool")
    assert code == 0 and done["open_keypoints"] > 0 and 0 <= done["kept"] <= 1
    code, found = cli(project, "queue", "--limit", "5")
    assert code == 0 and found["order"] == "doubt" and found["run_id"] == shown["run_id"]
    assert len(found["items"]) == 5
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    rows = Studio(project).call("uncertainties", run=shown["run_id"])
    first = found["items"][0]
    for point in first["keypoints"]:
        assert point["name"] in first["open"] and point["name"].split("_")[-1] in point["reason"]
        row = next(
            r for r in rows
            if r["instance_id"] == first["instance_id"] and r["keypoint"] == point["keypoint"]
        )  # fmt: skip
        assert row["uncertainty"] == pytest.approx(point["uncertainty"])
        if found["calibrated"]:
            assert 0 <= point["error_probability"] <= 1
    assert all(
        item["split"] != "val" for item in cli(project, "queue", "--limit", "500")[1]["items"]
    )


def test_suspect_labels_have_a_queue_of_their_own(trained):
    project, shown = trained
    assert cli(project, "pool")[0] == 0
    code, found = cli(project, "queue", "--suspects", "--limit", "40")
    assert code == 0 and found["order"] == "suspects" and found["run_id"] == shown["run_id"]
    assert "data.cross_fit" in found["note"]
    for item in found["items"]:
        assert item["split"] == "train" and item["reason"] and item["keypoints"]
        rows = Studio(project).call("person", instance_id=item["instance_id"])["labels"]
        placed = {row["keypoint"] for row in rows if row["state"] == "placed"}
        assert {point["keypoint"] for point in item["keypoints"]} <= placed
        assert all(point["distance_px"] > 0 for point in item["keypoints"])
    assert cli(project, "queue", "--suspects", "--split", "val")[0] == 1
    (project / "runs" / shown["run_id"] / "evidence.parquet").unlink()
    waiting = Studio(project).call("queue", suspects=True)
    assert waiting["items"] == [] and "posestudio pool" in waiting["note"]


def test_label_accept_history_and_the_queue_forgets_the_complete(trained):
    project, _ = trained
    person = cli(project, "queue", "--limit", "1")[1]["items"][0]
    number = person["instance_id"]
    code, saved = cli(
        project,
        "label",
        number,
        "--set",
        "nose=12.25,20.5,2",
        "left_wrist=0,0,0",
        "--absent",
        "outside",
    )
    assert code == 0 and saved["revision"] > 0
    placed = {
        row["keypoint"]: row for row in Studio(project).call("person", instance_id=number)["labels"]
    }
    assert (placed[0]["x"], placed[0]["y"], placed[0]["v"]) == (12.25, 20.5, 2)
    assert (placed[9]["state"], placed[9]["reason"]) == ("absent", "outside")
    code, accepted = cli(project, "accept", number)
    assert code == 0 and 0 not in accepted["accepted"] and 9 not in accepted["accepted"]
    history = cli(project, "history", number)[1]
    assert {row["origin"] for row in history} == {"edit", "accept"}
    assert all(row["who"] for row in history)
    if not accepted["skipped"]:
        left = [item["instance_id"] for item in cli(project, "queue", "--limit", "500")[1]["items"]]
        assert number not in left


def test_runs_diff_names_settings_and_labels(trained):
    project, shown = trained
    code, second = cli(
        project, "train", "--size", "tiny", "--preset", "supervised", "--from", shown["run_id"],
        "--set", *SETTINGS, "train.steps=4",
    )  # fmt: skip
    assert code == 0 and second["from_run"] == shown["run_id"]
    code, found = cli(project, "runs", "diff", "1", "2")
    assert code == 0 and found["settings"]["train.steps"] == [8, 4]
    assert found["settings"]["loss.unlabeled"][1] == 0
    assert found["labels"]["keypoints_labeled"] >= 1
    assert "AP" in found["scores"] and found["same_val"] is True


def test_a_run_from_another_keeps_its_crops_and_networks_unless_told_otherwise(trained):
    project, shown = trained
    studio = Studio(project)
    before = studio.call("run", run=shown["run_id"])["settings"]
    run = training.start(
        studio, from_run=shown["run_id"], changes={"data.color": "0.7", "train.steps": "1"}
    )
    after = studio.call("run", run=run["run_id"])["settings"]
    assert after["data.batch_labeled"] == before["data.batch_labeled"] == 4
    assert after["model.backbone"] == before["model.backbone"]
    assert after["data.color"] == 0.7 != before["data.color"]
    assert after["train.save_every"] != before["train.save_every"]


def test_a_run_from_another_takes_no_weights_file(trained, tmp_path, capsys):
    project, shown = trained
    (tmp_path / "own.pth").write_bytes(b"weights")
    runs = len(Studio(project).call("runs"))
    words = ["--from", shown["run_id"], "--weights", str(tmp_path / "own.pth")]
    assert main(["--project", str(project), "train", "--steps", "1", *words]) == 1
    said = capsys.readouterr().err
    assert "own.pth would not be read" in said and "Leave out" in said
    assert len(Studio(project).call("runs")) == runs


def test_a_stop_keeps_and_resume_goes_on(trained):
    project, _ = trained
    studio = Studio(project)
    run_id = training.start(
        studio, preset="paper", size="tiny", changes={**QUICK, "train.steps": "400"}
    )["run_id"]
    asked = threading.Event()

    def hear(event):
        if isinstance(event, Stepped):
            asked.set()

    shown = training.carry_out(studio, run_id, stop=asked.is_set, on_event=hear)
    assert shown["status"] == "stopped" and 0 < shown["metrics"]["steps"] < 400
    assert studio.call("newest_run")["run_id"] == run_id
    with pytest.raises(InputError, match="not running"):
        studio.call("stop_run", run=run_id)
    assert training.resumable(studio, run_id) == run_id
    done = studio.call("newest_run")["run_id"]
    assert done == run_id


def test_a_killed_run_shows_as_interrupted(trained):
    project, _ = trained
    line = [sys.executable, "-m", "posestudio", "--project", str(project), "train", "--size", "tiny",
            "--set", *SETTINGS, "train.steps=4000"]  # fmt: skip
    child = subprocess.Popen(line, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    studio = Studio(project)
    try:
        until = time.monotonic() + 300
        while time.monotonic() < until:
            newest = studio.call("runs")[0]
            if newest["status"] == "running" and newest["usable"]:
                break
            time.sleep(0.2)
        assert newest["status"] == "running"
        with pytest.raises(TrainingError, match="training already"):
            training.resumable(studio, newest["run_id"])
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert studio.call("runs")[0]["status"] == "interrupted"
    assert training.resumable(studio, newest["run_id"]) == newest["run_id"]


def test_background_jobs_one_at_a_time(trained):
    project, _ = trained
    studio = Studio(project)
    work_here = jobs.Jobs(studio)
    first = training.start(studio, size="tiny", changes={**QUICK, "train.steps": "300"})["run_id"]
    job = work_here.train(first)
    with pytest.raises(TrainingError, match="training here"):
        work_here.train("other")
    work_here.stop(wait=600)
    assert not job.alive and job.problem is None
    assert studio.call("run", run=first)["status"] in ("stopped", "done")


def test_a_child_process_trains_too(trained, monkeypatch):
    project, _ = trained
    heard = []
    studio = Studio(project)
    run_id = training.start(studio, size="tiny", changes=QUICK)["run_id"]
    shown = training.carry_out(studio, run_id, train=jobs.in_process, on_event=heard.append)
    assert shown["status"] == "done"
    assert [type(event).__name__ for event in heard][0] == "Started"
    assert type(heard[-1]).__name__ == "Stopped"
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(TrainingError, match="ended with code 1"):
        jobs.in_process(studio.run_folder(run_id))


def test_without_val_and_without_labels(files, tmp_path):
    folder, parts = files
    create(tmp_path / "q")
    studio = Studio(tmp_path / "q")
    studio.call("import_coco", file=str(parts["train"]), images=str(folder / "images"), labeled=2)
    with pytest.raises(InputError, match="split val --share"):
        scores.evaluate(studio)
    started = training.start(studio, size="tiny", changes=QUICK)
    assert any("no val set" in note and "split val" in note for note in started["notes"])
    found = studio.call("queue", limit=4)
    assert found["order"] == "variety" and len(found["items"]) == 4
    create(tmp_path / "r")
    other = Studio(tmp_path / "r")
    other.call("import_coco", file=str(parts["train"]), images=str(folder / "images"), labeled=0)
    with pytest.raises(TrainingError, match="nobody to learn from"):
        training.start(other, size="tiny", changes=QUICK)
    assert other.call("queue", limit=2)["order"] == "variety"
    assert other.call("runs") == []


def test_val_queue_shows_no_prediction(files, tmp_path):
    folder, _ = files
    create(tmp_path / "q", COCO17.to_dict())
    studio = Studio(tmp_path / "q")
    images = [str(path) for path in sorted((folder / "images").iterdir())[:6]]
    done = studio.call("import_images", paths=images)
    studio.call("set_split", split="val", images=done["image_ids"][:4])
    found = studio.call("queue", split="val", limit=10)
    assert found["order"] == "random" and len(found["items"]) == 4
    assert all(item["score"] is None and item["keypoints"] == [] for item in found["items"])
    assert found == studio.call("queue", split="val", limit=10)
    assert len(studio.call("queue", limit=10)["items"]) == 2


def test_beliefs_of_the_store_equal_those_just_made(trained):
    project, shown = trained
    studio = Studio(project)
    snapshot = work.now(studio)
    people, found = work.predict_all(studio, shown["run_id"], snapshot)
    rows = studio.call("predictions", run=shown["run_id"])
    stored = beliefs.gather(rows, [], people)
    made = beliefs.from_students(found, np.full(people.state.shape, np.nan))
    np.testing.assert_allclose(stored.xy_image, made.xy_image)
    np.testing.assert_allclose(stored.distance, made.distance)
    assert isinstance(made, queue.Beliefs) and not stored.stale.any()
    moved = int(people.instance_id[0])
    studio.call("set_box", instance_id=moved, box_xywh=[5, 5, 200, 300], who="tester")
    rows = studio.call("predictions", run=shown["run_id"])
    assert beliefs.gather(rows, [], people).stale.tolist().count(True) == 1


SERVER = """
import sys, uvicorn
from fastapi import FastAPI
from posestudio.studio import owner
from posestudio.studio.studio import Studio
with Studio(sys.argv[1], hold=True) as studio:
    app = FastAPI()
    app.include_router(owner.routes(studio))
    studio.announce("http://127.0.0.1:" + sys.argv[2])
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


def test_every_verb_works_while_the_app_is_open(trained, tmp_path):

    project, shown = trained
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = cli(project, "queue", "--limit", "3")[1]
    child = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(project), str(port)], env={**os.environ}
    )
    try:
        until = time.monotonic() + 180
        while owners.find(project) is None:
            assert child.poll() is None and time.monotonic() < until, "the server did not open"
            time.sleep(0.1)
        assert cli(project, "queue", "--limit", "3")[1] == before
        number = before["items"][0]["instance_id"]
        assert cli(project, "label", number, "--set", "nose=10,10,1")[0] == 0
        code, trained_again = cli(
            project,
            "train",
            "--size",
            "tiny",
            "--from",
            shown["run_id"],
            "--set",
            *SETTINGS,
            "train.steps=2",
        )
        assert code == 0 and trained_again["status"] == "done"
        assert cli(project, "runs")[1][0]["run_id"] == trained_again["run_id"]
        assert cli(project, "evaluate")[0] == 0
        assert cli(project, "predict", "--split", "val", "--out", tmp_path / "x.json")[0] == 0
        assert cli(project, "export", "coco", tmp_path / "out.json")[0] == 0
        assert cli(project, "export", "yolo", tmp_path / "yolo")[0] == 0
        assert cli(project, "snapshot")[0] == 0
    finally:
        child.terminate()
        child.wait()
    found = cli(project, "verify")[1]
    assert found["ok"], found["problems"]
