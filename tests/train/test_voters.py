"""Who votes: the students, their averages, or the students of the run before, which is distillation."""

from pathlib import Path

import numpy as np
import pytest
import torch

from posestudio.errors import TrainingError
from posestudio.events import Stepped, Warned
from posestudio.models.weights import load_student
from posestudio.train import session, worker
from tests.train import people
from tests.train.people import make_run


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("voters")
    points = people.draw(folder / "images", 12)
    split = np.array(["train"] * 8 + ["unlabeled"] * 4)
    people.write_snapshot(folder, people.people(points, split))
    worker.run(make_run(folder, "start", "supervised").path)
    return folder


def test_distill_makes_one_student_from_two_that_stay_as_they_are(project: Path):
    run = make_run(project, "one", "distill", start="start")
    before = {file: file.read_bytes() for file in (project / "runs" / "start").glob("student*")}
    opened = session.open_session(run, steps=3)
    assert len(opened.learner.students) == 1 and len(opened.voters) == 2
    for net, file in zip(opened.voters, sorted(before), strict=True):
        theirs = load_student(file)[0].state_dict()
        assert all(torch.equal(value, theirs[key]) for key, value in net.state_dict().items())
        assert not net.training and not any(p.requires_grad for p in net.parameters())
    worker.run(run.path)
    assert list(run.students()) == ["a"] and len(before) == 2
    assert all(file.read_bytes() == held for file, held in before.items())


def test_distill_without_a_run_to_learn_from_says_so(project: Path):
    with pytest.raises(TrainingError, match="--from RUN"):
        worker.run(make_run(project, "none", "distill").path)


def test_one_earlier_student_votes_for_two(project: Path):
    """A run from distill has one student; two that learn from it are not coupled by that."""
    worker.run(make_run(project, "lone", "distill", start="start").path)
    changes = {"views.voters": "start", "pool.threshold": 0.0, "train.steps": 20}
    for preset in ("paper", "best"):
        run = make_run(project, f"two-{preset}", preset, start="lone", changes=changes)
        opened = session.open_session(run, steps=20)
        assert len(opened.voters) == 2 and opened.voters[0] is opened.voters[1]
        worker.run(run.path)
        assert run.status() == "done" and list(run.students()) == ["a", "b"]
        codes = {event.code for event in run.events() if isinstance(event, Warned)}
        assert "coupling" not in codes
        steps = [event for event in run.events() if isinstance(event, Stepped)]
        assert all(event.kept is not None and event.distance is None for event in steps)


def test_averages_vote_in_best_and_students_in_paper(project: Path):
    best = session.open_session(make_run(project, "best", "best", start="start"), steps=3)
    assert best.voters is best.learner.averages
    paper = session.open_session(make_run(project, "paper", "paper", start="start"), steps=3)
    assert paper.voters is paper.learner.students


def test_averages_of_an_earlier_run_do_not_leap_after_the_students(project: Path):
    """From scratch the averages follow quickly at first; from another run they keep what they are."""
    moved = {}
    for name, start in (("fresh", None), ("grown", "start")):
        opened = session.open_session(make_run(project, name, "supervised", start=start), steps=3)
        average, student = opened.learner.averages[0], opened.learner.students[0]
        with torch.no_grad():
            for weights in student.parameters():
                weights.add_(1.0)
                weights.grad = torch.zeros_like(weights)
        held = average.final.weight.detach().clone()
        opened.learner.update(1)
        moved[name] = float((average.final.weight - held).abs().mean())
    assert moved["grown"] == pytest.approx(0.002, rel=0.05) and moved["fresh"] > 0.5
