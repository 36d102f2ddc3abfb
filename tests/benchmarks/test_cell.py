"""A cell is trained once, goes on where it was ended, and leaves one line that its rows bear out."""

import dataclasses
import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.budget import cell as cells
from benchmarks.budget import costs, scores
from benchmarks.budget.cell import CURVE, Place, lines_of, run_cell
from benchmarks.datasets import Dataset
from posestudio.errors import TrainingError
from posestudio.events import Started
from posestudio.predict import Predictor, predict_people
from posestudio.train.run_folder import RunFolder
from tests.benchmarks import crosses
from tests.train.people import tensors_equal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budget")


@pytest.fixture(scope="module")
def dataset(folder: Path) -> Dataset:
    return crosses.dataset(folder / "crosses")


@pytest.fixture(scope="module")
def place(dataset: Dataset, folder: Path) -> Place:
    """Where the cell of the first test lies."""
    made = crosses.place(dataset, folder)
    assert run_cell(crosses.cell("posedual"), made)
    return made


class Dies(BaseException):
    """What a process that is killed in the middle of a step does to it."""


def after(steps: int, act: Callable[[], bool]) -> Callable[[], bool]:
    """A `stop` that acts the n-th time that it is asked while training; waiting asks too, and may not act."""
    asked = 0

    def stop() -> bool:
        nonlocal asked
        asked += 1
        return act() if asked > steps else False

    return stop


def die() -> bool:
    raise Dies


def beside(place: Place, folder: Path, stop: Callable[[], bool] = lambda: False) -> Place:
    """The same dataset with runs and results of its own; the crops are shared."""
    project = folder / "crosses"
    project.mkdir(parents=True, exist_ok=True)
    for name in ("images", "cache"):
        link = project / name
        if not link.exists():
            link.symlink_to(place.dataset.project / name)
    known = dataclasses.replace(place.dataset, project=project)
    return dataclasses.replace(place, dataset=known, results=folder / "results", stop=stop)


def story(folder: RunFolder) -> list[int]:
    """The steps at which a run began or went on."""
    return [event.step for event in folder.events() if isinstance(event, Started)]


def test_a_cell_leaves_a_line_with_everything_asked(place: Place):
    made = cells.finished(place.results)
    assert set(made) == {crosses.cell("posedual").name, crosses.cell("start").name}
    line = made[crosses.cell("posedual").name]
    asked = (
        "setting dataset split arm budget seed steps core_minutes student ap ap50 ap75 pck seconds device pck10 "
        "test2_ap ensemble_ap flip_ap ensemble_flip_ap swap_ap jitter_ap curve mechanism commit torch command"
    )
    assert not set(asked.split()) - set(line)
    assert (line["steps"], line["people_labeled"], line["device"]) == (8, 3, "cpu")
    assert [point["step"] for point in line["curve"]] == [4, 8]
    assert line["core_minutes"] == line["curve"][-1]["core_minutes"]
    assert {"kept", "loss", "uncertainty"} <= set(line["mechanism"])
    assert "step" not in line["mechanism"]


def test_the_line_follows_from_the_rows_and_the_rows_from_the_students(place: Place):
    one = crosses.cell("posedual")
    line = cells.finished(place.results)[one.name]
    found = scores.read(cells.rows_file(place.results, one.name))
    assert {split for split, _ in found} == {"dev", "val", "test2"}
    variants = {"a", "b", "ensemble", "a_flip", "b_flip", "ensemble_flip", "a_jitter"}
    assert {variant for _, variant in found} == variants
    means = np.mean([scores.numbers(found["val", name])["pck"] for name in "ab"])
    assert line["pck"] == pytest.approx(means, abs=1e-5)
    predictor = Predictor.load(place.run(one).path)
    people = place.dataset.people("test2")
    for flip, variant in ((False, "ensemble"), (True, "ensemble_flip")):
        theirs = predict_people(predictor, people, place.dataset.project, flip=flip)["ensemble"]
        rows = scores.rows_of(people, theirs, place.dataset.skeleton)
        assert found["test2", variant]["oks"] == pytest.approx(rows["oks"], abs=1e-5)


def test_a_finished_cell_is_not_done_again(place: Place):
    run = place.run(crosses.cell("posedual"))
    before = cells.results_file(place.results).read_text()
    assert run_cell(crosses.cell("posedual"), place)
    assert cells.results_file(place.results).read_text() == before
    assert story(run) == [0] and story(place.run(crosses.cell("start"))) == [0]


def test_arms_of_one_budget_and_seed_share_their_start(place: Place):
    assert run_cell(crosses.cell("supervised"), place)
    start = crosses.cell("start").name
    records = [place.run(crosses.cell(arm)).record() for arm in ("posedual", "supervised")]
    assert [record["from"] for record in records] == [start, start]
    assert len({record["snapshot"] for record in records}) == 1
    assert place.run(crosses.cell("start")).config().data.cross_fit == 0.2
    assert place.run(crosses.cell("supervised")).config().data.cross_fit == 0


def test_the_ceiling_sees_every_label_that_may_be_shown(place: Place):
    assert run_cell(crosses.cell("all"), place)
    assert cells.finished(place.results)[crosses.cell("all").name]["people_labeled"] == 12


@pytest.mark.parametrize("act", [die, lambda: True])
def test_a_cell_that_was_ended_goes_on_and_becomes_the_same(
    place: Place, tmp_path: Path, act: Callable[[], bool]
):
    """Killed in step 6 it goes on after the checkpoint of step 4; stopped there, after step 6."""
    one = crosses.cell("posedual")
    calm = beside(place, tmp_path)
    assert run_cell(one.start, calm)
    asked_before = 2  # waiting for the cell's and the crops' turn asks too
    ended = beside(place, tmp_path, after(asked_before + 5, act))
    cells_before = len(cells.finished(calm.results))
    try:
        with ended.alone(one.name):
            assert not cells.train(one, ended)
    except Dies:
        pass
    steps = [line["step"] for line in lines_of(ended.run(one).path / CURVE)]
    assert steps[0] == 4 and max(steps) < 8
    assert len(cells.finished(calm.results)) == cells_before
    spent = lines_of(ended.run(one).path / CURVE)[-1]["core_seconds"]
    assert run_cell(one, calm)
    line = cells.finished(calm.results)[one.name]
    assert [point["step"] for point in line["curve"]] == [4, 8]
    assert line["core_minutes"] * 60 >= spent
    assert story(calm.run(one))[0] == 0 and story(calm.run(one))[-1] == max(steps)
    for name in ("student_a", "student_b"):
        file = f"{name}.safetensors"
        assert tensors_equal(calm.run(one).path / file, place.run(one).path / file)
    mine, theirs = (p.results for p in (calm, place))
    read = [scores.read(cells.rows_file(folder, one.name)) for folder in (mine, theirs)]
    assert (read[0]["val", "a"]["oks"] == read[1]["val", "a"]["oks"]).all()


def test_a_look_that_was_lost_is_made_when_the_run_goes_on(place: Place, tmp_path: Path):
    one = crosses.cell("start", seed=5)
    ended = beside(place, tmp_path, after(2 + 6, die))
    with pytest.raises(Dies):
        run_cell(one, ended)
    (ended.run(one).path / CURVE).write_text('{"step": 4, "core_sec')  # killed while writing it
    calm = beside(place, tmp_path)
    assert run_cell(one, calm)
    assert [point["step"] for point in cells.finished(calm.results)[one.name]["curve"]] == [4, 8]


def test_two_cells_that_need_the_same_start_make_it_once(place: Place, tmp_path: Path):
    both = [crosses.cell("supervised", seed=2), crosses.cell("posedual", seed=2)]
    shared, done = beside(place, tmp_path), {}

    def work(one: cells.Cell) -> None:
        done[one.arm] = run_cell(one, shared)

    threads = [threading.Thread(target=work, args=(one,)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=300)
    assert done == {"supervised": True, "posedual": True}
    assert story(shared.run(both[0].start)) == [0]
    assert set(cells.finished(shared.results)) == {one.name for one in (*both, both[0].start)}


def test_other_settings_do_not_go_on_with_an_old_run(place: Place, tmp_path: Path):
    one = crosses.cell("start", seed=3)
    ended = beside(place, tmp_path, after(2 + 5, lambda: True))
    assert not run_cell(one, ended)
    config = ended.run(one).path / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "train.lr": 0.5}))
    with pytest.raises(TrainingError, match=r"train.lr was 0.5, is 0.001"):
        run_cell(one, beside(place, tmp_path))


def test_costs_are_printed_as_they_are_written_down(place: Place, tmp_path: Path):
    arms = ("posedual", "supervised", "paper:views.count=2")
    made = costs.measure([crosses.cell(arm) for arm in arms], beside(place, tmp_path), repeats=2)
    assert set(made) == set(arms) and all(seconds > 0 for seconds in made.values())
    printed: dict[str, dict[str, float]] = {}
    exec(costs.table(made), printed)
    assert printed["COSTS"]["posedual"] == 1
    assert printed["COSTS"]["supervised"] == round(made["supervised"] / made["posedual"], 2)


def test_a_torn_line_of_results_costs_one_cell_only(place: Place, tmp_path: Path):
    here = beside(place, tmp_path)
    cells.append({"cell": "one"}, here)
    with cells.results_file(here.results).open("a") as file:
        file.write('{"cell": "tw')
    cells.append({"cell": "three"}, here)
    assert set(cells.finished(here.results)) == {"one", "three"}
