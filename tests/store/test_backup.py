"""A backup brings everything back, and a bad file touches nothing."""

import hashlib
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.store import backup, deletion, freeze, labels, people, runs, verify
from posestudio.store.database import Store


@pytest.fixture
def saved(store, add_people, tmp_path: Path) -> Path:
    """A backup of a project with one image, one label, a snapshot and a run."""
    (person,) = add_people(1, "train")
    (store.project / "images" / f"{0:064x}").write_bytes(b"pixels")
    (store.project / "runs" / "run-1").mkdir()
    (store.project / "runs" / "run-1" / "metrics.json").write_text("{}")
    label(store, person, "e1", 20.0)
    freeze.freeze(store)
    backup.backup(store, tmp_path / "out" / "a.zip")
    return tmp_path / "out" / "a.zip"


def label(store, person, edit_id, x):
    edits = [{"keypoint": 0, "state": "placed", "x": x, "y": 5, "v": 2}]
    labels.save_edits(store, person, edits, who="a", edit_id=edit_id, base_revision=None)


def test_it_comes_back_in_an_empty_folder(store, saved, tmp_path):
    done = backup.restore(tmp_path / "fresh", saved)
    assert done["replaced"] is None and done["files"] == 4
    with Store(tmp_path / "fresh") as fresh:
        assert labels.history(fresh, 1) == labels.history(store, 1)
        assert fresh.skeleton() == store.skeleton()
        assert freeze.freeze(fresh)["reused"]
        person = people.add(fresh, 1, (1, 1, 9, 9), who="a")["instance_id"]
        assert person == 2, "ids go on where they were"
        assert (fresh.project / "runs" / "run-1" / "metrics.json").read_text() == "{}"
    assert list((store.project / "backups").iterdir()) == []


def test_it_replaces_a_damaged_store_and_keeps_it(store, saved):
    label(store, 1, "e2", 60.0)
    project = store.project
    store.close()
    damaged = b"x" * 5000
    (project / "store.duckdb").write_bytes(damaged)
    (project / "images" / f"{0:064x}").write_bytes(b"bad")
    done = backup.restore(project, saved)
    assert Path(done["replaced"]).read_bytes() == damaged
    assert (project / "images" / f"{0:064x}").read_bytes() == b"pixels"
    with Store(project) as again:
        assert [row["x"] for row in labels.current(again, 1)] == [20.0]
        assert verify.verify(again, files=False)["ok"]


def test_an_open_project_is_not_replaced(store, saved):
    with pytest.raises(StoreBusy):
        backup.restore(store.project, saved, patience=0)
    label(store, 1, "e2", 60.0)
    assert labels.current(store, 1)[0]["x"] == 60


def test_what_is_no_backup_touches_nothing(store, saved, tmp_path):
    project = store.project
    store.close()
    before = (project / "store.duckdb").read_bytes()
    (tmp_path / "text").write_text("hello")
    (tmp_path / "half").write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    damaged = bytearray(saved.read_bytes())
    damaged[len(damaged) // 2] ^= 0xFF
    (tmp_path / "flipped").write_bytes(damaged)
    for name in ("text", "half", "flipped"):
        with pytest.raises((InputError, StoreError)):
            backup.restore(project, tmp_path / name)
        assert (project / "store.duckdb").read_bytes() == before
    with pytest.raises(NotFound):
        backup.restore(project, tmp_path / "nothing")
    assert list((project / "backups").iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../evil", "images/../../evil", "/etc/evil", "owner.json", "images"]
)
def test_names_that_lead_elsewhere_are_refused(saved, tmp_path, name):
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(saved) as good, zipfile.ZipFile(bad, "w") as archive:
        for info in good.infolist():
            archive.writestr(info, good.read(info))
        archive.writestr(name, "evil")
    with pytest.raises(InputError, match="not a backup"):
        backup.restore(tmp_path / "target", bad)
    assert not (tmp_path / "evil").exists() and not (tmp_path / "target" / "store.duckdb").exists()


def test_a_failing_backup_leaves_the_old_one(store, saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(zipfile.ZipFile, "write", full)
    with pytest.raises(StoreError, match="could not be written"):
        backup.backup(store, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == ["a.zip"]


@pytest.fixture
def begins(monkeypatch) -> Callable[[Callable[[], None]], None]:
    """begins(deed): do that once, when files are listed and the first of them is about to be copied."""

    def at_first(deed: Callable[[], None]) -> None:
        write, left = zipfile.ZipFile.write, [deed]

        def first(*words, **named):
            while left:
                left.pop()()
            write(*words, **named)

        monkeypatch.setattr(zipfile.ZipFile, "write", first)

    return at_first


def training(store) -> Path:
    """A registered run whose worker is alive."""
    snapshot = freeze.freeze(store)["snapshot_id"]
    runs.register(store, "run-2", preset="supervised", size="tiny", snapshot_id=snapshot)
    folder = store.project / "runs" / "run-2"
    (folder / "ledger").mkdir(parents=True)
    for name in ("config.json", "state.safetensors", "events.jsonl", "ledger/5.parquet"):
        (folder / name).write_text(name)
    for name in ("lock", "stop", "events.jsonl.part", "state.part"):
        (folder / name).write_text("passing")
    return folder


def test_a_run_that_ends_meanwhile_leaves_a_backup_that_holds(store, tmp_path, begins):
    folder = training(store)

    def end():
        for name in ("state.safetensors", "lock", "stop", "events.jsonl.part"):
            (folder / name).unlink()
        (folder / "events.jsonl").write_text("done")

    begins(end)
    done = backup.backup(store, tmp_path / "b.zip")
    assert done["missing"] == []
    with zipfile.ZipFile(tmp_path / "b.zip") as archive:
        names = set(archive.namelist()) - {backup.MANIFEST, "store.duckdb"}
        assert json.loads(archive.read(backup.MANIFEST))["files"] == len(names) == done["files"]
    of_run = {name.removeprefix("runs/run-2/") for name in names if name.startswith("runs/run-2/")}
    assert of_run == {"config.json", "events.jsonl", "ledger/5.parquet"}
    backup.restore(tmp_path / "fresh", tmp_path / "b.zip")
    assert (tmp_path / "fresh/runs/run-2/events.jsonl").read_text() == "done"
    with Store(tmp_path / "fresh") as fresh:
        assert verify.verify(fresh)["problems"] == []


def test_an_image_that_is_deleted_meanwhile_is_deleted_in_the_backup(
    store, add_people, tmp_path, begins
):
    add_people(2)
    pixels = [b"one", b"two"]
    for image, data in enumerate(pixels, 1):
        sha256 = hashlib.sha256(data).hexdigest()
        store.write(
            lambda cursor, of=(sha256, image): cursor.execute(
                "UPDATE images SET sha256 = ? WHERE image_id = ?", of
            )
        )
        (store.project / "images" / sha256).write_bytes(data)
    begins(lambda: deletion.delete_image(store, 1, who="a"))
    assert backup.backup(store, tmp_path / "b.zip")["missing"] == []
    backup.restore(tmp_path / "fresh", tmp_path / "b.zip")
    with Store(tmp_path / "fresh") as fresh:
        assert verify.verify(fresh)["problems"] == []
        assert [row["image_id"] for row in fresh.read("FROM images")] == [2]
        graves = [(row["kind"], row["id"], row["who"]) for row in deletion.list_tombstones(fresh)]
        assert graves == [("person", 1, "a"), ("image", 1, "a")]


def test_what_the_store_names_and_is_not_there_is_said(store, saved, tmp_path, begins):
    folder = training(store)
    snapshot = freeze.freeze(store)["snapshot_id"]
    image = store.project / "images" / f"{0:064x}"

    def lose():
        image.unlink()
        (store.project / "snapshots" / snapshot / "people.parquet").unlink()
        shutil.rmtree(folder)

    begins(lose)
    missing = backup.backup(store, tmp_path / "b.zip")["missing"]
    assert missing == sorted(map(str, [image, folder, store.project / "snapshots" / snapshot]))
