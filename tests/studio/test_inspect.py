"""What Inspect shows adds up: the pictures are those of the pool, the pool follows its own rules."""

import json
import shutil

import numpy as np
import pytest

from posestudio import config
from posestudio.errors import NotFound
from posestudio.studio import inspect, training
from posestudio.studio.demo import write_demo_files
from posestudio.studio.studio import Studio, create


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    """A project of rendered people with one short run."""
    folder = tmp_path_factory.mktemp("rendered")
    files = write_demo_files(folder, 5, {"train": 12})
    made = Studio(tmp_path_factory.mktemp("project") / "p")
    create(made.project)
    made.call("import_coco", file=str(files["train"]), images=str(folder / "images"), labeled=8)
    changes = {
        "data.batch_labeled": "4", "data.batch_unlabeled": "4", "train.steps": "6",
        "train.threads": "1", "data.hold_fold": "false", "pool.threshold": "0.01", "train.ledger_every": "2",
    }  # fmt: skip
    run = training.start(made, preset="paper", size="tiny", changes=changes)
    training.train_here(made.run_folder(run["run_id"]))
    return made


@pytest.fixture(scope="module")
def person(studio: Studio) -> int:
    return next(p["instance_id"] for p in studio.call("people") if p["placed"] > 8)


@pytest.fixture(scope="module")
def seen(studio: Studio, person: int) -> dict:
    run = studio.call("runs")[0]["run_id"]
    return inspect.look(studio, person, run)


def test_shapes(seen: dict):
    height, width = seen["crop"].shape[:2]
    h, w, views, keypoints = height // 4, width // 4, 4, 17
    assert seen["students"] == ["a", "b"] and len(seen["views"]) == views
    assert seen["maps"].shape == (2, keypoints, h, w)
    assert seen["votes"].shape == (2, views, keypoints, h, w)
    assert seen["valid"].shape == (2, views, 1, h, w)
    assert seen["vote_peaks"].shape == (2, views, keypoints, 2)
    for name in ("vote_scores", "agrees"):
        assert seen[name].shape == (2, views, keypoints)
    for name in ("aggregated", "offers", "targets", "uncertainty_maps"):
        assert seen[name].shape == (2, keypoints, h, w)
    for name in ("accepted", "uncertainty", "chosen", "scores"):
        assert seen[name].shape == (2, keypoints)


def test_the_highest_candidate_is_the_surer_students_peak(seen: dict):
    assert len(seen["candidates"]) == 17
    for k, found in enumerate(seen["candidates"]):
        scores = [one["score"] for one in found]
        assert scores == sorted(scores, reverse=True) and 1 <= len(found) <= inspect.CANDIDATES
        surer = int(seen["scores"][:, k].argmax())
        assert scores[0] == pytest.approx(seen["scores"][surer, k], abs=1e-6)
        if (seen["scores"][:, k] < seen["scores"][surer, k]).sum() == 1:
            assert found[0]["student"] == "ab"[surer]
            assert np.allclose(found[0]["xy"], seen["points"][surer, k], atol=0.01)


def test_the_first_vote_is_the_plain_heatmap(seen: dict):
    assert np.array_equal(seen["votes"][:, 0], seen["maps"])
    assert not np.array_equal(seen["votes"][:, 2], seen["maps"])


def test_the_combined_map_is_the_highest_vote_that_saw_the_cell(seen: dict):
    hidden = np.where(seen["valid"], seen["votes"], -np.inf)
    assert np.allclose(seen["aggregated"], hidden.max(axis=1), atol=1e-6)


def test_offers_targets_and_reasons_agree(seen: dict):
    peaks = seen["aggregated"].max(axis=(-2, -1))
    assert np.array_equal(seen["accepted"], peaks >= seen["threshold"])
    for student in range(2):
        for k in range(17):
            word = "accepted" if seen["accepted"][student, k] else "rejected"
            assert seen["reasons"][student][k].startswith(word)
            chosen = seen["chosen"][student, k]
            if chosen < 0:
                assert not seen["accepted"][:, k].any() and not seen["targets"][student, k].any()
            else:
                assert np.array_equal(seen["targets"][student, k], seen["offers"][chosen, k])
                least = seen["uncertainty"][seen["accepted"][:, k], k].min()
                assert seen["uncertainty"][chosen, k] == least


def test_uncertainty_is_the_largest_cell_of_its_map(seen: dict):
    assert np.allclose(seen["uncertainty"], seen["uncertainty_maps"].max(axis=(-2, -1)), atol=1e-6)


def test_the_label_lies_where_the_matrix_puts_it(studio: Studio, seen: dict, person: int):
    row = studio.call("person", instance_id=person)
    placed = [label for label in row["labels"] if label["state"] == "placed"]
    assert len(placed) > 8
    for label in placed:
        expected = seen["matrix"][:, :2] @ [label["x"], label["y"]] + seen["matrix"][:, 2]
        assert np.allclose(seen["label_points"][label["keypoint"]], expected)
        assert seen["label_v"][label["keypoint"]] == label["v"]


def test_the_same_seed_shows_the_same_and_another_seed_other_views(
    studio: Studio, seen: dict, person: int
):
    again = inspect.look(studio, person, seen["run_id"])
    assert np.array_equal(again["votes"], seen["votes"])
    other = inspect.look(studio, person, seen["run_id"], seed=1)
    assert np.array_equal(other["maps"], seen["maps"])
    assert not np.array_equal(other["votes"][:, 2], seen["votes"][:, 2])


@pytest.fixture
def as_preset(studio: Studio, seen: dict):
    """Pretend that the run was trained by another preset: its folder copied, with that preset's settings."""
    made = []

    def copy(preset: str, **changes: str) -> str:
        source, folder = studio.run_folder(seen["run_id"]), studio.run_folder(f"0002-{preset}")
        shutil.copytree(source, folder)
        made.append(folder)
        settings = config.make(preset, "tiny", {"data.hold_fold": "false", **changes})
        (folder / "config.json").write_text(json.dumps(config.to_dict(settings)))
        if settings.views.students == 1:
            (folder / "student_b.safetensors").unlink()
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, "from": seen["run_id"]}))
        return folder.name

    yield copy
    for folder in made:
        shutil.rmtree(folder)


@pytest.mark.parametrize("preset", list(config.PRESETS))
def test_every_preset_can_be_looked_at(studio: Studio, person: int, as_preset, preset: str):
    found = inspect.look(studio, person, as_preset(preset))
    students, voters = len(found["students"]), len(found["voters"])
    assert found["maps"].shape[0] == found["targets"].shape[0] == len(found["chosen"]) == students
    assert found["votes"].shape[0] == found["offers"].shape[0] == len(found["reasons"]) == voters
    assert found["uncertainty_maps"].shape == found["offers"].shape
    shares = found["config"].pool.share
    assert shares == (voters == 2 and np.array_equal(found["offers"][0], found["offers"][1]))
    if found["config"].select.uncertainty == "view_std":
        highest = found["uncertainty_maps"].max(axis=(-2, -1))
        assert np.allclose(found["uncertainty"], highest, atol=1e-6)


def test_a_distilled_student_sees_the_votes_of_the_run_it_learned_from(
    studio: Studio, seen: dict, person: int, as_preset
):
    found = inspect.look(studio, person, as_preset("distill"))
    assert found["students"] == ["a"] and found["voters"] == ["a", "b"]
    assert np.allclose(found["votes"][:, 0], seen["maps"], atol=1e-6)


def test_the_picture_is_the_same_cut_finer(seen: dict):
    height, width = seen["crop"].shape[:2]
    finer = seen["picture"].shape[0] // height
    assert finer > 1 and seen["picture"].shape == (finer * height, finer * width, 3)
    mean = seen["picture"].reshape(height, finer, width, finer, 3).mean(axis=(1, 3))
    assert np.abs(mean - seen["crop"]).mean() < 4


def test_logged_steps_come_newest_first(studio: Studio, seen: dict):
    events = [
        steps
        for row in studio.call("people", split="unlabeled")
        if (steps := inspect.logged(studio, row["instance_id"], seen["run_id"]))
    ]
    assert events
    for steps in events:
        numbers = [step["step"] for step in steps]
        assert numbers == sorted(set(numbers), reverse=True)
        assert all(row["step"] == step["step"] for step in steps for row in step["rows"])


def test_an_unknown_person_or_run_is_said(studio: Studio, seen: dict, person: int):
    with pytest.raises(NotFound, match="999999"):
        inspect.look(studio, 999999, seen["run_id"])
    with pytest.raises(NotFound, match="no students"):
        inspect.look(studio, person, "0099-no-run")


def test_a_calibrated_run_is_shown_with_the_thresholds_it_trained_with(studio: Studio, person: int):
    first = studio.call("runs")[0]
    made = training.start(
        studio, preset="paper", changes={"pool.gate": "calibrated"}, from_run=first["run_id"]
    )
    folder, before = (studio.run_folder(run["run_id"]) for run in (made, first))
    for file in before.glob("student_*.safetensors"):
        shutil.copyfile(file, folder / file.name)
    with pytest.raises(NotFound, match="thresholds of run"):
        inspect.look(studio, person, made["run_id"])
    least = [2.0 if k % 2 else -1.0 for k in range(17)]  # nothing passes, or everything
    (folder / "thresholds.json").write_text(json.dumps({"threshold": least}))
    seen = inspect.look(studio, person, made["run_id"])
    assert seen["accepted"].all(axis=0).tolist() == [value < 0 for value in least]
    assert "below the threshold 2" in seen["reasons"][0][1]
