"""verify finds what was planted, and nothing in a sound project."""

import hashlib

import pytest

from posestudio.store import freeze, images, labels, marks, people, predictions, runs, verify


@pytest.fixture
def sound(store):
    """A project with one real image file, a label, a run, a prediction and a snapshot."""
    data = b"pixels"
    sha256 = hashlib.sha256(data).hexdigest()
    (store.project / "images" / sha256).write_bytes(data)

    def job(cursor):
        (image,) = images.add_many(cursor, [images.NewImage(sha256, 100, 80, split="train")])
        return people.add_many(cursor, [people.NewPerson(image, (1, 1, 50, 50), "full")])

    (person,) = store.write(job)
    edits = [{"keypoint": 0, "state": "placed", "x": 20, "y": 20, "v": 2}]
    for i in range(2):
        labels.save_edits(store, person, edits, who="a", edit_id=f"e{i}", base_revision=None)
    predictions.save(
        store, model="m", student="-", instance_id=[person], box_revision=[1], xy_image=[[[1, 2]]], score=[[0.5]]
    )  # fmt: skip
    marks.add(store, person, "flag", who="a", edit_id="m", keypoint=0)
    runs.register(store, "run-1")
    (store.project / "runs" / "run-1").mkdir()
    freeze.freeze(store)
    return store


def test_a_sound_project(sound):
    found = verify.verify(sound)
    assert found["ok"] and found["problems"] == [] and found["notes"] == []
    assert found["checked"] == {"journal": 2, "people": 1, "images": 1, "runs": 1, "snapshots": 1}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        ("UPDATE labels SET x = 21", "derived label of person 1, keypoint 0 differs"),
        ("DELETE FROM labels", "derived label of person 1, keypoint 0 differs"),
        ("UPDATE label_journal SET follows = NULL WHERE follows IS NOT NULL", "fork or a gap"),
        ("DELETE FROM label_journal WHERE follows IS NULL", "fork or a gap"),
        ("DELETE FROM box_journal", "person 1 has no box"),
        ("DELETE FROM instances", "journal row 1 belongs to person 1, who does not exist"),
        ("DELETE FROM images", "person 1 is in image 1, which does not exist"),
        ("DELETE FROM groups", "image 1 is in group 1, which does not exist"),
        (
            "UPDATE predictions SET instance_id = 9",
            "prediction 1 is of person 9, who does not exist",
        ),
        (
            "INSERT INTO uncertainties (run_id, instance_id, keypoint) VALUES ('run-1', 9, 0)",
            "doubts of run run-1 are of person 9, who does not exist",
        ),
        ("UPDATE labels SET keypoint = 99", "keypoint 99 of person 1 is not in the skeleton"),
        ("UPDATE marks SET instance_id = 9", "mark 1 belongs to person 9, who does not exist"),
        ("UPDATE marks SET keypoint = 99", "keypoint 99 of mark 1 is not in the skeleton"),
    ],
)
def test_damaged_rows_are_named(sound, damage, said):
    sound.write(lambda cursor: cursor.execute(damage) and None)
    found = verify.verify(sound)
    assert not found["ok"] and any(said in line for line in found["problems"]), found["problems"]


def test_changed_and_missing_files_are_named(sound):
    (image,) = (sound.project / "images").iterdir()
    image.write_bytes(b"other")
    assert "has changed" in verify.verify(sound)["problems"][0]
    assert verify.verify(sound, files=False)["ok"]
    image.unlink()
    assert "cannot be read" in verify.verify(sound)["problems"][0]


def test_runs_and_snapshots_are_checked(sound):
    (sound.project / "runs" / "run-1").rmdir()
    (folder,) = (sound.project / "snapshots").iterdir()
    (folder / "people.parquet").write_bytes(b"")
    problems = verify.verify(sound)["problems"]
    assert any("run run-1" in line for line in problems)
    assert any(f"snapshot {folder.name}" in line for line in problems)


def test_stray_files_are_only_noted(sound):
    (sound.project / "images" / "abc").write_bytes(b"")
    found = verify.verify(sound)
    assert found["ok"] and "abc is named by no row" in found["notes"][0]
