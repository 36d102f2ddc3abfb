"""A run folder is trained, stopped, killed and resumed; what comes out is the same to the bit."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.torch import load_file

from posestudio.core import skeleton
from posestudio.errors import TrainingError
from posestudio.events import Evaluated, Failed, Saved, Started, Stepped, Stopped, Warned
from posestudio.models.weights import load_student
from posestudio.train import objective, worker
from posestudio.train.run_folder import RunFolder
from tests.train import people

STEPS = 12


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    points = people.draw(folder / "images", 24)
    split = np.array(["train"] * 10 + ["unlabeled"] * 10 + ["val"] * 4)
    fold = np.zeros(24, bool)
    fold[:2] = True
    people.write_snapshot(folder, people.people(points, split, fold=fold))
    return folder


@pytest.fixture(scope="module")
def snapshot(project: Path) -> str:
    return next((project / "snapshots").iterdir()).name


@pytest.fixture(scope="module")
def whole(project: Path, snapshot: str) -> Path:
    """A run that nobody disturbed."""
    run = people.write_run(project, "whole", snapshot, {"train.steps": STEPS})
    worker.run(run)
    return run


def start_process(run: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "posestudio.train.worker", str(run)]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"})


def test_a_run_tells_its_story_in_order(whole: Path):
    folder = RunFolder(whole)
    story = [type(event) for event in folder.events()]
    assert story[0] is Started and story[-1] is Stopped
    assert folder.status() == "done"
    assert [e.step for e in folder.events() if isinstance(e, Saved)] == [4, 8, 12]
    last = [e for e in folder.events() if isinstance(e, Stepped)][-1]
    assert last.step == STEPS and 0 < (last.kept or 0) <= 1 and last.loss_unlabeled > 0
    scores = [e for e in folder.events() if isinstance(e, Evaluated)][-1].metrics
    assert scores["people"] == 2 and 0 <= scores["pck_a"] <= 1 and 0 <= scores["pck_b"] <= 1
    assert 0 <= scores["ap_a"] <= 1 and 0 <= scores["ap_b"] <= 1
    assert sorted(folder.students()) == ["a", "b"]
    assert folder.metrics()["steps"] == STEPS


def test_a_run_killed_at_a_random_step_resumes_to_the_same_students(
    project: Path, snapshot: str, whole: Path
):
    run = people.write_run(project, "killed", snapshot, {"train.steps": STEPS})
    child = start_process(run)
    at = random.randint(4, STEPS - 1)
    deadline = time.time() + 120
    while time.time() < deadline and child.poll() is None:
        saved = [e.step for e in RunFolder(run).events() if isinstance(e, Saved)]
        if saved:
            time.sleep(random.random() * 0.3)
            break
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert RunFolder(run).status() in ("interrupted", "done"), at
    worker.run(run)
    assert RunFolder(run).status() == "done"
    for file in ("student_a.safetensors", "student_b.safetensors", "state.safetensors"):
        assert people.tensors_equal(run / file, whole / file), file
    steps = [e.step for e in RunFolder(run).events() if isinstance(e, Saved)]
    assert steps == sorted(set(steps))


@pytest.mark.parametrize("died_after", ["student_a", "student_b", "state"])
def test_a_run_that_died_within_its_last_checkpoint_still_leaves_what_it_learned(
    project: Path, snapshot: str, whole: Path, monkeypatch: pytest.MonkeyPatch, died_after: str
):
    run = people.write_run(project, f"torn-{died_after}", snapshot, {"train.steps": STEPS})
    folder, students, state = RunFolder(run), worker.save_student, worker.checkpoints.save

    def fall(written: str) -> None:
        if written == died_after and Saved(8) in folder.events():
            raise KeyboardInterrupt

    def save_student(path: Path, *given):
        students(path, *given)
        fall(path.stem)

    def save_state(path: Path, *given, **named):
        state(path, *given, **named)
        fall(path.stem)

    with monkeypatch.context() as patch:
        patch.setattr(worker, "save_student", save_student)
        patch.setattr(worker.checkpoints, "save", save_state)
        with pytest.raises(KeyboardInterrupt):
            worker.run(run)
    assert folder.status() == "interrupted"
    worker.run(run)
    assert folder.status() == "done"
    assert [e.step for e in folder.events() if isinstance(e, Saved)] == [4, 8, 12]
    for file in ("student_a.safetensors", "student_b.safetensors", "state.safetensors"):
        assert people.tensors_equal(run / file, whole / file), file


def test_a_last_state_beside_older_students_makes_them_anew(
    project: Path, snapshot: str, whole: Path
):
    """A folder whose state was written before its students, by a version that did so."""
    run = people.write_run(project, "older", snapshot, {"train.steps": STEPS})
    folder, asked = RunFolder(run), iter(range(STEPS))
    worker.run(run, stop=lambda: next(asked) == 3)
    shutil.copy(whole / "state.safetensors", folder.state_path)
    assert not people.tensors_equal(run / "student_a.safetensors", whole / "student_a.safetensors")
    worker.run(run)
    assert folder.status() == "done" and folder.metrics()["steps"] == STEPS
    for file in ("student_a.safetensors", "student_b.safetensors", "state.safetensors"):
        assert people.tensors_equal(run / file, whole / file), file


def test_a_run_that_died_before_it_saved_anything_begins_anew(project: Path, snapshot: str):
    run = people.write_run(project, "early", snapshot, {"train.steps": 2})
    folder = RunFolder(run)
    folder.append(Started(0, 2, 8, 10, 1.0))
    folder.append(Evaluated(0, "fold", {"people": 2}))
    folder.append(Failed(1, "the machine went down"))
    worker.run(run)
    story = [type(event) for event in folder.events()]
    assert story.count(Started) == 1 and Failed not in story
    assert folder.events()[0].step == 0 and folder.events()[0] != Started(0, 2, 8, 10, 1.0)


@pytest.mark.parametrize("alone", [{"loss.unlabeled": 0.0}, {}])
def test_the_pace_counts_the_photos_that_were_trained_on(
    project: Path, snapshot: str, alone: dict[str, float]
):
    settings = {"train.steps": 8, "data.hold_fold": False, **alone}
    run = people.write_run(project, f"pace-{len(alone)}", snapshot, settings)
    found, data = worker.run(run), RunFolder(run).config().data
    images = data.batch_labeled + (0 if alone else data.batch_unlabeled)
    seconds = found["steps"] * images / found["images_per_second"]
    assert seconds == pytest.approx(found["seconds"], rel=0.1, abs=0.05)


def test_a_stop_keeps_a_usable_checkpoint_and_resume_goes_on_exactly(
    project: Path, snapshot: str, whole: Path
):
    run = people.write_run(project, "stopped", snapshot, {"train.steps": STEPS})
    worker.run(run, stop=lambda: True)
    folder = RunFolder(run)
    assert folder.status() == "stopped"
    assert folder.metrics()["steps"] == 1
    assert sorted(folder.students()) == ["a", "b"]
    seconds = folder.metrics()["seconds"]
    (run / "metrics.json").unlink()  # as after a crash: what was saved knows how long it took
    asked = 0

    def second() -> bool:
        nonlocal asked
        asked += 1
        return asked == 6

    worker.run(run, stop=second)
    assert folder.metrics()["steps"] == 7 and folder.metrics()["seconds"] > seconds
    worker.run(run)
    assert people.tensors_equal(run / "state.safetensors", whole / "state.safetensors")


def test_a_stop_file_stops_the_run(project: Path, snapshot: str):
    run = people.write_run(
        project, "asked", snapshot, {"train.steps": 10_000, "data.hold_fold": False}
    )
    folder = RunFolder(run)
    worker.run(run, on_event=lambda event: folder.ask_stop() if event.step else None)
    assert folder.status() == "stopped" and folder.metrics()["steps"] <= 11
    assert folder.metrics()["fold"] == {}, "its labels taught, so they judge nobody"


def test_a_stop_that_is_asked_before_the_worker_begins_holds_once(project: Path, snapshot: str):
    run = people.write_run(project, "asked-early", snapshot, {"train.steps": 3})
    folder = RunFolder(run)
    folder.ask_stop()
    worker.run(run)
    assert folder.status() == "stopped" and folder.metrics()["steps"] == 1
    worker.run(run)
    assert folder.status() == "done" and folder.metrics()["steps"] == 3


def test_two_workers_on_one_run_are_refused(whole: Path):
    folder = RunFolder(whole)
    with folder.hold():
        assert folder.alive() and folder.status() == "running"
        with pytest.raises(TrainingError, match="training already"):
            worker.run(whole)
    assert not folder.alive()


def test_a_loss_that_is_not_finite_ends_the_run_with_words_and_keeps_the_checkpoint_before(
    project: Path, snapshot: str, monkeypatch: pytest.MonkeyPatch
):
    run = people.write_run(project, "burst", snapshot, {"train.steps": 40})
    folder, plain = RunFolder(run), objective.losses.heatmap_mse

    def poisoned(*maps):
        saved = any(isinstance(event, Saved) for event in folder.events())
        return plain(*maps) * (float("nan") if saved else 1.0)

    with monkeypatch.context() as patch:
        patch.setattr(objective.losses, "heatmap_mse", poisoned)
        with pytest.raises(TrainingError, match="near step 8"):
            worker.run(run)
    assert folder.status() == "failed"
    warned, failed = folder.events()[-2:]
    assert isinstance(warned, Warned) and warned.code == "not_finite"
    assert isinstance(failed, Failed) and "train.lr" in failed.message
    assert [e.step for e in folder.events() if isinstance(e, Saved)] == [4]
    assert all(tensor.isfinite().all() for tensor in load_file(folder.state_path).values())
    worker.run(run, stop=lambda: True)
    assert folder.metrics()["steps"] == 5


def test_minutes_become_steps_once(project: Path, snapshot: str):
    run = people.write_run(
        project, "minutes", snapshot, {"train.minutes": 0.03, "train.steps": 9999}
    )
    worker.run(run)
    folder = RunFolder(run)
    steps = folder.record()["steps"]
    assert folder.metrics()["steps"] == steps and 1 <= steps < 9999
    assert worker.length(folder, (0, 1), None) == steps


@pytest.mark.parametrize(
    ("delay", "unlabeled", "steps"),
    [(0, 1.0, 20), (5, 1.0, 20), (24, 1.0, 24 + 12), (100, 1.0, 60), (24, 0.0, 60)],
)
def test_minutes_count_the_cheap_steps_before_pseudo_targets_as_cheap(
    project: Path,
    snapshot: str,
    monkeypatch: pytest.MonkeyPatch,
    delay: int,
    unlabeled: float,
    steps: int,
):
    """On a clock by which a step on labels takes a second and another one three, a minute is so many steps."""
    settings = {"train.minutes": 1.0, "loss.delay": delay, "loss.unlabeled": unlabeled}
    run = people.write_run(project, f"delay-{delay}-{unlabeled}", snapshot, settings)
    labels, both, passed = objective.supervised, objective.semi_supervised, 0

    def on_labels(*given):
        nonlocal passed
        passed += 1
        return labels(*given)

    def on_both(*given, **named):
        nonlocal passed
        passed += 2
        return both(*given, **named)

    monkeypatch.setattr(objective, "supervised", on_labels)
    monkeypatch.setattr(objective, "semi_supervised", on_both)
    monkeypatch.setattr(worker, "time", SimpleNamespace(perf_counter=lambda: float(passed)))
    assert worker.length(RunFolder(run), (0, 1), None) == steps


def test_a_run_on_a_skeleton_without_partners_says_that_it_mirrors_nothing(tmp_path: Path):
    points = people.draw(tmp_path / "images", 6)
    rows = people.people(points, np.array(["train"] * 6))
    told = skeleton.from_dict({"keypoints": ["nose", "eye", "paw", "tail"]})
    name = people.write_snapshot(tmp_path, rows, told)
    run = people.write_run(tmp_path, "lone", name, {"train.steps": 1}, preset="supervised")
    worker.run(run)
    said = [e.message for e in RunFolder(run).events() if isinstance(e, Warned)]
    assert told.notices[0] in said


def test_few_open_people_are_no_collapse_and_leave_no_zeros(tmp_path: Path):
    """One open person among 20: most batches ask nothing, two whole reports too, and the peaks stay what they are."""
    points = people.draw(tmp_path / "images", 21)
    rows = people.people(points, np.array(["train"] * 20 + ["unlabeled"]))
    name = people.write_snapshot(tmp_path, rows)
    settings = {
        "train.steps": 120,
        "data.batch_unlabeled": 1,
        "data.hold_fold": False,
        "views.count": 1,
    }
    run = people.write_run(tmp_path, "rare", name, settings)
    worker.run(run)
    events = RunFolder(run).events()
    steps = [event for event in events if isinstance(event, Stepped)]
    asked = [event.peak for event in steps if event.peak is not None]
    assert 0 < len(asked) < len(steps)
    assert all(peak > 0 for peak in asked)
    assert not [event for event in events if isinstance(event, Warned) and event.code == "collapse"]


def test_from_starts_at_the_other_runs_students(project: Path, snapshot: str, whole: Path):
    run = people.write_run(project, "child", snapshot, {
        "train.steps": 1, "train.lr": 1e-12, "train.ema": 0, "train.weight_decay": 0,
    })  # fmt: skip
    (run / "run.json").write_text(f'{{"snapshot": "{snapshot}", "from": "whole", "weights": null}}')
    worker.run(run)
    mine, _, _ = load_student(run / "student_b.safetensors")
    theirs, _, _ = load_student(whole / "student_b.safetensors")
    for after, before in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert after.sub(before).abs().max() < 1e-9


def test_torchrun_trains_the_same_folder_with_two_processes(project: Path, snapshot: str):
    run = people.write_run(
        project, "many", snapshot, {"train.steps": 6, "views.batch_norm": "eval"}
    )
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "0",
        "--rdzv-backend", "c10d", "--rdzv-endpoint", "127.0.0.1:0",
        "-m", "posestudio.train.worker", str(run),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = RunFolder(run)
    assert folder.status() == "done" and folder.metrics()["steps"] == 6
    assert len([e for e in folder.events() if isinstance(e, Started)]) == 1
