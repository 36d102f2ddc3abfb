"""The correction loop goes through the app: people are asked for, corrected, and both students train again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import correction_loop
from benchmarks.budget import loop
from benchmarks.budget.cell import Place
from benchmarks.budget.loop import Loop, Plan
from posestudio.store.snapshots import PLACED
from posestudio.studio import work
from posestudio.studio.studio import Studio
from tests.benchmarks import crosses

PLAN = Plan(
    budget=3, people=2, rounds=2, candidates=8, steps=4, start=4, changes=dict(crosses.CHANGES)
)  # fmt: skip
PLAN = dataclasses.replace(PLAN, changes={**PLAN.changes, "train.steps": "4"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("loop")
    return crosses.place(crosses.dataset(folder / "crosses"), folder)


def test_arms_share_a_start_and_differ_in_whom_they_correct(place: Place, capsys):
    for arm in loop.ARMS:
        assert loop.run(Loop("crosses", arm, 0, PLAN), place)
    lines = loop.finished(place.results)
    assert len(lines) == 1 + 3 * 2
    labeled = {
        arm: [lines[key]["labeled"] for key in sorted(lines) if key[1] == arm] for arm in loop.ARMS
    }
    assert labeled == {"queue": [5, 7], "random": [5, 7], "none": [3, 3]}
    assert all(line["accepted"] + line["moved"] == 4 * line["corrected"] for line in lines.values())
    words = ["table", "--dataset", "crosses", "--results", str(place.results), "--draws", "20"]
    assert correction_loop.main(words) == 0
    said = capsys.readouterr().out
    assert "| queue | 1 | 7 |" in said and "| none | 1 | 3 | 0 |" in said
    assert "queue less none after the last round" in said and "queue less random" in said
    assert said == (place.results / "correction_loop_crosses.md").read_text("utf-8")


def test_labels_are_the_answers_or_proposals_near_them(place: Place):
    one = Loop("crosses", "random", 0, PLAN)
    assert loop.run(one, place)
    people = work.now(Studio(one.project(place))).people
    mine = people.take((people.split == "train") & (people.state == PLACED).all(axis=1))
    assert len(mine) == 7 and mine.reviewed.all()
    truth = place.dataset.learnable
    at = [truth.file_name.index(Path(str(name)).name) for name in mine.file_name]
    gap = np.linalg.norm(mine.xy_image - truth.xy_image[at], axis=-1)
    assert gap.max() <= 0.05 * 84
    corrected = json.loads((one.project(place) / "round2.json").read_text("utf-8"))["people"]
    journal = Studio(one.project(place)).call("history", instance_id=corrected[0])
    assert {row["who"] for row in journal} == {loop.WHO}
    assert {row["origin"] for row in journal} <= {"edit", "accept"} and len(journal) == 4


def test_a_stopped_round_goes_on_with_the_same_people(place: Place, tmp_path: Path):
    one = Loop("crosses", "queue", 1, PLAN)
    note = one.project(place) / "round2.json"
    stopping = dataclasses.replace(place, stop=note.exists)
    assert not loop.run(one, stopping)
    before = note.read_text("utf-8")
    assert loop.run(one, place)
    assert note.read_text("utf-8").startswith(before.rstrip("}"))


def test_a_round_that_died_between_two_corrections_counts_all_of_them(
    place: Place, monkeypatch: pytest.MonkeyPatch
):
    one, left = Loop("crosses", "queue", 2, PLAN), [1]

    class Dying(Studio):
        def call(self, verb: str, **arguments: Any) -> Any:
            if verb in ("accept", "label"):
                left[0] -= 1
                if left[0] < 0:
                    raise RuntimeError("killed")
            return super().call(verb, **arguments)

    monkeypatch.setattr(loop, "Studio", Dying)
    with pytest.raises(RuntimeError, match="killed"):
        loop.run(one, place)
    monkeypatch.undo()
    assert loop.run(one, place)
    lines = [line for key, line in loop.finished(place.results).items() if key[0] == one.name]
    assert len(lines) == 3
    assert all(line["accepted"] + line["moved"] == 4 * line["corrected"] for line in lines)


def test_an_unknown_arm_is_one_line(tmp_path: Path, capsys):
    words = ["run", "--data", str(tmp_path), "--weights", "w", "--arms", "luck"]
    assert correction_loop.main(words) == 1
    assert capsys.readouterr().err.count("\n") == 1
