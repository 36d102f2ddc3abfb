"""Where runs stand: stored predictions scored again on the newest labels, pairs of runs, and AP over labels."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from posestudio.errors import InputError, NotFound
from posestudio.studio import demo, ledger, ranking, scores, training, work
from posestudio.studio.ledger import PREDICTIONS_FILE
from posestudio.studio.studio import Studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    """The demo with three runs: the shipped students, the same again, and the same with noise on what they said."""
    folder = tmp_path_factory.mktemp("demo") / "project"
    demo.make_demo(folder, seed=5, counts={"train": 16, "val": 12}, labeled=10)
    with Studio(folder, hold=True) as opened:
        for noise in (0.0, 60.0):
            run = training.start(opened, preset="supervised", size="tiny", changes={})["run_id"]
            training.carry_out(opened, run, train=demo._put_students)
            blur(opened.run_folder(run) / PREDICTIONS_FILE, noise)
        yield opened


def blur(path, pixels):
    """Move every stored prediction by so much."""
    table, draw = pq.read_table(path), np.random.default_rng(0)
    for name in ("x", "y"):
        rows = [
            (np.array(row) + draw.normal(0, pixels, len(row))).tolist()
            for row in table[name].to_pylist()
        ]
        table = table.set_column(table.schema.get_field_index(name), name, pa.array(rows))
    pq.write_table(table, path)


def names(studio):
    return [row["run_id"] for row in reversed(studio.call("runs"))]


def test_two_runs_that_say_the_same_do_not_differ(studio):
    first, same, _ = names(studio)
    told = studio.call("compare_runs", run=same, other=first)
    assert told["runs"] == [first, same] and told["difference"] == 0
    assert told["interval"] == [0, 0] and told["clear"] is False
    assert told["people"] >= 12 and told["rough"] is True and told["left_out"] == 0


def test_a_run_with_noise_is_clearly_worse_and_equals_two_evaluations(studio):
    first, _, worse = names(studio)
    told = studio.call("compare_runs", run=worse, other=first)
    assert told["difference"] < -0.05 and told["clear"] is True and told["interval"][1] < 0
    again = scores.evaluate(studio, run=first)
    assert told["first"] == pytest.approx(again["AP"], abs=1e-9)
    assert told["revision"] == again["revision"]
    with pytest.raises(NotFound, match="has not predicted"):
        lonely = training.start(studio, preset="supervised", size="tiny", changes={})["run_id"]
        studio.call("compare_runs", run=lonely, other=first)


def test_standings_wait_for_new_labels_and_rank_brings_them_up(studio):
    first, same, worse = names(studio)[:3]
    before = ranking.refresh(studio)
    found = {row["run_id"]: row["AP"] for row in before["runs"]}
    assert set(found) == {first, same, worse} and found[first] == found[same] > found[worse]
    person = next(row for row in studio.call("people", split="val") if row["placed"])["instance_id"]
    label = next(
        row
        for row in studio.call("person", instance_id=person)["labels"]
        if row["state"] == "placed"
    )
    spot = {
        "keypoint": label["keypoint"],
        "state": "placed",
        "x": label["x"] + 9,
        "y": label["y"],
        "v": label["v"],
    }
    studio.call("label", instance_id=person, edits=[spot], who="tester")
    after = studio.call("standings")
    assert after["revision"] != before["revision"]
    assert [row["AP"] for row in after["runs"]] == [None, None, None]
    told = []
    again = ranking.refresh(studio, progress=lambda *at: told.append(at))
    assert all(row["AP"] is not None for row in again["runs"])
    assert [at[1:] for at in told] == [(0, 3), (1, 3), (2, 3)]
    assert ranking.refresh(studio, progress=lambda *at: told.append(at)) == again and len(told) == 3


def test_all_runs_learned_from_the_same_people_so_there_is_no_curve(studio):
    curve = ranking.refresh(studio)["curve"]
    assert curve["counts"] == 1 and curve["needed"] == 3 and curve["line"] is None is curve["next"]
    (best,) = curve["best"]
    assert best["AP"] == max(row["AP"] for row in curve["points"]) and best["people"] >= 10


def test_a_curve_from_three_counts_on_tells_the_gain_of_the_next_people():
    rows = [
        {"run_id": str(n), "people": people, "AP": ap, "interval": None}
        for n, (people, ap) in enumerate([(400, 0.42), (100, 0.3), (200, 0.37), (200, 0.1), (None, 0.9), (50, None)])
    ]  # fmt: skip
    assert ranking.curve(rows[:2])["next"] is None
    found = ranking.curve(rows)
    assert [row["people"] for row in found["best"]] == [100, 200, 400] and found["best"][1][
        "AP"
    ] == 0.37
    gain = found["next"]
    expected = (0.42 - 0.3) / np.log(4) * np.log(450 / 400)  # the middle point is in the middle
    assert gain["gain"] == pytest.approx(expected)
    assert gain["low"] < expected < gain["high"] and gain["people"] == ranking.MORE
    assert found["line"]["people"][0] == 100 and found["line"]["people"][-1] == 400 + ranking.MORE


def test_the_run_to_hold_a_run_against():
    rows = [
        {"run_id": "0004", "usable": True, "from_run": "0001"}, {"run_id": "0003", "usable": False, "from_run": None},
        {"run_id": "0002", "usable": True, "from_run": None}, {"run_id": "0001", "usable": True, "from_run": None},
    ]  # fmt: skip
    assert ranking.before(rows, "0004") == "0001"
    assert ranking.before(rows, "0002") == "0001"
    assert ranking.before(rows, "0001") is None is ranking.before(rows, "0009")


def test_the_worst_people_and_what_went_wrong_with_them(studio):
    first = names(studio)[0]
    found = scores.evaluate(studio, run=first)
    worst = found["worst"]
    assert [row["oks"] for row in worst] == sorted(found["oks"])[: len(worst)]
    kinds = {wrong["kind"] for row in worst for wrong in row["wrong"]}
    assert kinds <= {"jitter", "inversion", "swap", "miss"} and kinds
    assert all(len(row["wrong"]) <= row["labeled"] for row in worst)
    stored = studio.call("scores", run=first)["val-ensemble"]
    assert stored["worst"] == worst and stored["intervals"]["AR"] is not None


def test_what_a_training_would_learn_from(studio):
    found = studio.call("learning")
    counts = studio.call("splits")["splits"]
    assert found["unlabeled"] == counts["unlabeled"]["people"] > 0
    assert found["people"] + found["fold"] >= 10 and found["val"] >= 12
    assert found["since"]["run_id"] == names(studio)[-1] and found["since"]["people_added"] == 0
    assert found["since"]["keypoints_changed"] <= 1  # the one that a test above moved
    nose = next(row for row in found["names"] if row["name"] == "nose")
    assert (
        nose["taught"] and nose["visible"] + nose["occluded"] + nose["absent"] + nose["open"] >= 10
    )


def test_a_project_without_val_people_says_so(tmp_path):
    demo.make_demo(tmp_path / "p", seed=6, counts={"train": 4}, labeled=3)
    studio = Studio(tmp_path / "p")
    run = studio.call("runs")[0]["run_id"]
    assert ranking.refresh(studio)["people"] == 0
    with pytest.raises(InputError, match="no reviewed val person"):
        studio.call("rank", run=run)


def test_a_run_is_not_judged_by_people_that_it_learned_from(tmp_path):
    demo.make_demo(tmp_path / "p", seed=5, counts={"train": 14, "val": 3}, labeled=10)
    with Studio(tmp_path / "p", hold=True) as studio:
        run = training.start(studio, preset="supervised", size="tiny", changes={})["run_id"]
        training.carry_out(studio, run, train=demo._put_students)
        next_ = training.start(studio, preset="supervised", from_run=run, changes={})["run_id"]
        training.carry_out(studio, next_, train=demo._put_students)
        fold = {i for i, held in folded(studio) if held}
        before = scores.evaluate(studio, run=run)["people"]
        done = studio.call("set_val_aside", share=0.4, at_least=1)
        moved = done["people"] - before
        val = {row["instance_id"] for row in studio.call("people", split="val")}
        learned = moved - len(val & fold)
        assert learned > 0 and done["learned"] == learned
        for name in (run, next_):  # the second learned them through the first
            found = scores.evaluate(studio, run=name)
            assert found["learned"] == learned and found["people"] == before + moved - learned
        told = studio.call("compare_runs", run=next_, other=run)
        assert told["left_out"] == learned
        for row in ranking.refresh(studio)["runs"][:2]:
            assert row["AP"] is None and row["current"] and f"labels of {learned} of" in row["why"]


def folded(studio):
    people = work.now(studio).people
    return list(zip(people.instance_id.tolist(), people.fold.tolist(), strict=True))


def test_a_run_that_has_not_predicted_a_moved_box_has_no_place(studio):
    run = names(studio)[1]
    assert ranking.refresh(studio)["runs"][-2]["AP"] is not None
    person = next(row for row in studio.call("people", split="val") if row["placed"])
    x, y, w, h = person["box_xywh"]
    studio.call(
        "set_box", instance_id=person["instance_id"], box_xywh=[x, y, w, h - 1], who="tester"
    )
    row = next(row for row in ranking.refresh(studio)["runs"] if row["run_id"] == run)
    assert row["AP"] is None and "has not predicted 1 of" in row["why"]
    work.pool(studio, run=run)
    row = next(row for row in ranking.refresh(studio)["runs"] if row["run_id"] == run)
    assert row["AP"] is not None and row["why"] is None


def test_a_newly_taught_keypoint_makes_another_revision(studio):
    snapshot = work.now(studio)
    people = ranking.judged(snapshot)
    other = dataclasses.replace(snapshot, taught=~snapshot.taught)
    assert ledger.revision(people, snapshot) == ledger.revision(people, work.now(studio))
    assert ledger.revision(people, other) != ledger.revision(people, snapshot)
