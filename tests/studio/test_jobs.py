"""Work in the background: one of a kind at a time, problems in words, and an end when the app closes."""

import threading
import time

import pytest

from posestudio.errors import InputError, TrainingError
from posestudio.events import Stepped
from posestudio.studio import demo, jobs, ledger, plan, training, work
from posestudio.studio.studio import Studio
from posestudio.train.run_folder import RunFolder

QUICK = {"data.batch_labeled": "4", "train.threads": "1", "train.save_every": "50"}


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "project"
    demo.make_demo(folder, seed=5, counts={"train": 6, "val": 3}, labeled=4)
    with Studio(folder, hold=True) as opened:
        yield opened


def until(done, seconds=120):
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def test_one_of_a_kind_at_a_time_and_others_beside_it(studio):
    here, go = jobs.Jobs(studio), threading.Event()
    first = here.start("export", "one", lambda job: go.wait(60))
    with pytest.raises(TrainingError, match="one is being worked on"):
        here.start("export", "two", lambda job: None)
    other = here.start("evaluate", "three", lambda job: 3)
    other.thread.join(60)
    assert other.result == 3 and here.going() == [first]
    go.set()
    first.thread.join(60)
    assert here.start("export", "four", lambda job: None) is here.last("export")


def test_problems_are_words_and_progress_is_kept(studio, caplog):
    here = jobs.Jobs(studio)

    def clumsy(job):
        job.tell("looking", 1, 2)
        raise InputError("There is nothing to look at.")

    job = here.start("evaluate", "x", clumsy)
    job.thread.join(60)
    assert job.problem == "There is nothing to look at." and job.at == ("looking", 1, 2)
    job = here.start("evaluate", "x", lambda job: 1 // 0)
    job.thread.join(60)
    assert "ZeroDivisionError" in (job.problem or "") and "x failed" in caplog.text


def test_closing_breaks_off_what_can_be_done_again(studio):
    here = jobs.Jobs(studio)

    def endless(job):
        while True:
            job.tell("counting", 1, 2)
            time.sleep(0.01)

    job = here.start("evaluate", "x", endless)
    until(lambda: job.at is not None)
    here.close(60)
    assert not job.alive and job.problem == "The app was closed meanwhile."


def test_the_making_of_results_ends_on_demand_and_says_so(studio):
    here, going = jobs.Jobs(studio), threading.Event()

    def endless(job):
        while True:
            job.tell("predicting", 1, 2)
            going.set()
            time.sleep(0.01)

    job = here.start("train", "x", endless)
    assert going.wait(60)
    here.break_off()
    job.thread.join(60)
    assert not job.alive and job.problem == "Its results were stopped on the way."


def test_a_run_goes_on_where_it_was_trained(studio, monkeypatch):
    children, here = [], jobs.Jobs(studio)
    child = jobs.in_process

    def noted(folder, **rest):
        job = here.current
        children.append((folder.name, job is not None and job.trained))
        child(folder, **rest)

    monkeypatch.setattr(jobs, "in_process", noted)
    changes = {**QUICK, "train.steps": "2"}
    runs = [
        training.start(studio, preset="supervised", size="tiny", changes=changes)["run_id"]
        for _ in range(2)
    ]
    (studio.run_folder(runs[0]) / jobs.WORKER_LOG).touch()  # as a child leaves it that was killed
    for run in runs:
        job = here.train(run)
        job.thread.join(120)
        assert job.problem is None and RunFolder(studio.run_folder(run)).status() == "done"
        assert job.trains and job.trained
    assert children == [(runs[0], False)]  # until then no results are being made


def test_people_who_came_since_are_counted_as_not_predicted(studio):
    run = studio.call("newest_run")["run_id"]
    jobs.Jobs(studio).follow_up(run).thread.join(120)
    assert studio.call("unpredicted", run=run) == {"run_id": run, "people": 0}
    image = studio.call("images")[0]["image_id"]
    box, who = [4.0, 5.0, 30.0, 40.0], "me"
    new = studio.call("add_person", image_id=image, box_xywh=box, who=who, edit_id="new")
    new = new["instance_id"]
    studio.call("set_box", instance_id=new, box_xywh=[4.0, 5.0, 31.0, 40.0], who=who, edit_id="box")
    assert studio.call("unpredicted", run=run)["people"] == 1
    follow_up = jobs.Jobs(studio).follow_up(run)
    follow_up.thread.join(120)
    assert follow_up.trained and not follow_up.trains
    assert studio.call("unpredicted", run=run)["people"] == 0
    assert ledger.whole(studio.run_folder(run))
    work.predict(studio, run=run)  # predictions alone: doubts are those of before
    assert not ledger.whole(studio.run_folder(run))
    studio.call("set_box", instance_id=new, box_xywh=box, who=who, edit_id="box again")
    assert studio.call("unpredicted", run=run)["people"] == 1
    studio.call("hide_person", instance_id=new, hidden=True, who=who, edit_id="gone")
    assert studio.call("unpredicted", run=run)["people"] == 0


def test_closing_stops_a_training_at_its_step_and_it_resumes(studio):
    here = jobs.Jobs(studio)
    changes = {**QUICK, "train.steps": "5000"}
    run = training.start(studio, preset="supervised", size="tiny", changes=changes)["run_id"]
    folder = RunFolder(studio.run_folder(run))
    here.train(run)
    until(lambda: any(isinstance(event, Stepped) for event in folder.events()))
    here.close(120)
    assert not here.going() and folder.status() == "stopped"
    assert folder.students() and 0 < folder.metrics()["steps"] < 5000
    assert training.resumable(studio, run) == run
    again = jobs.Jobs(studio).follow_up(run)  # predictions and score, which closing had left out
    again.thread.join(120)
    assert again.problem is None and studio.call("run", run=run)["metrics"]["AP"] is not None
    assert studio.call("uncertainties", run=run)
    assert (
        next(row for row in studio.call("standings")["runs"] if row["run_id"] == run)["AP"]
        is not None
    )


def test_a_run_that_is_done_keeps_no_state_and_tells_how_long_the_next_will_take(studio):
    changes = {**QUICK, "train.steps": "3", "data.height": "64", "data.width": "64"}
    run = training.start(studio, preset="supervised", size="tiny", changes=changes)["run_id"]
    folder = RunFolder(studio.run_folder(run))
    assert plan.seconds_a_step(studio.project, folder.config()) is None
    job = jobs.Jobs(studio).train(run)
    job.thread.join(120)
    assert job.problem is None and folder.status() == "done" and folder.students()
    assert not folder.state_path.exists(), "nothing can go on from it"
    seconds, name = plan.seconds_a_step(studio.project, folder.config()) or (0, "")
    assert seconds > 0 and name == run


def test_who_looks_at_a_run_does_not_keep_its_worker_out(studio):
    run = training.start(studio, preset="supervised", size="tiny", changes=QUICK)["run_id"]
    folder, seen = RunFolder(studio.run_folder(run)), []
    (folder.path / "lock").touch()
    stop, held = threading.Event(), threading.Event()

    def look():
        while not stop.is_set():
            since = held.is_set()  # before the look begins
            seen.append((since, folder.alive()))

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        until(lambda: len(seen) > 50)
        # three who look do not take one another for a worker
        assert not any(alive for _, alive in seen.copy())
        with folder.hold(patience=60):
            held.set()
            until(lambda: sum(since for since, _ in seen.copy()) > 50)
            assert all(alive for since, alive in seen.copy() if since)
    finally:
        stop.set()
        for looker in lookers:
            looker.join()


@pytest.mark.parametrize("runner", ["thread", "process"])
def test_a_stop_while_a_run_waits_is_honored_and_an_old_one_is_not(studio, runner):
    changes = {**QUICK, "train.steps": "3", "data.height": "64", "data.width": "64"}
    run = training.start(studio, preset="supervised", size="tiny", changes=changes)["run_id"]
    folder = RunFolder(studio.run_folder(run))
    assert studio.call("stop_run", run=run)["status"] == "stopping"
    job = jobs.Jobs(studio).train(run, runner=runner)
    job.thread.join(300)
    assert job.problem is None and folder.status() == "stopped"
    assert folder.metrics()["steps"] == 1
    folder.ask_stop()  # as one who saw it run a moment ago
    job = jobs.Jobs(studio).train(training.resumable(studio, run))
    job.thread.join(300)
    assert job.problem is None and folder.status() == "done"
    assert folder.metrics()["steps"] == 3
