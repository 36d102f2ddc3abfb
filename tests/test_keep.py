"""The verbs backup, restore and delete, through the command line."""

import json
from pathlib import Path

import pytest

from posestudio.cli.main import main
from posestudio.studio.demo import make_demo
from tests import edited


@pytest.fixture
def project(tmp_path: Path) -> Path:
    make_demo(tmp_path / "demo", counts={"train": 6, "val": 2}, labeled=3)
    return tmp_path / "demo"


def said(capsys: pytest.CaptureFixture[str], *words: object) -> dict:
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def people(capsys: pytest.CaptureFixture[str], project: Path, image: int) -> list[int]:
    return [row["instance_id"] for row in said(capsys, "people", image, "--project", project)]


def test_a_backup_brings_everything_back(project: Path, tmp_path: Path, capsys):
    before = said(capsys, "export", "coco", tmp_path / "before.json", "--project", project)
    saved = said(capsys, "backup", tmp_path / "all.zip", "--project", project)
    assert saved["files"] >= 8
    assert Path(saved["path"]).stat().st_size == saved["bytes"]
    other = tmp_path / "other"
    said(capsys, "restore", tmp_path / "all.zip", "--project", other)
    after = said(capsys, "export", "coco", tmp_path / "after.json", "--project", other)
    assert before | {"files": None} == after | {"files": None}
    texts = [(tmp_path / f"{name}.json").read_text() for name in ("before", "after")]
    assert texts[0] == texts[1]
    assert said(capsys, "verify", "--project", other)["problems"] == []


def test_a_backup_holds_linked_photos_and_names_those_that_are_gone(tmp_path: Path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        edited.photo(photos, number)
    project = tmp_path / "project"
    said(capsys, "init", "--project", project)
    said(capsys, "import", "images", photos, "--link", "--project", project)
    (photos / "photo 1.jpg").unlink()
    (photos / "photo 2.jpg").write_bytes(b"changed")
    saved = said(capsys, "backup", tmp_path / "all.zip", "--project", project)
    assert saved["missing"] == [str(photos / f"photo {number}.jpg") for number in (1, 2)]
    assert main(["backup", str(tmp_path / "all.zip"), "--project", str(project)]) == 0
    assert str(photos / "photo 1.jpg") in capsys.readouterr().out
    kept = (photos / "photo 0.jpg").read_bytes()
    (photos / "photo 0.jpg").unlink()
    said(capsys, "restore", tmp_path / "all.zip", "--project", tmp_path / "other")
    own, *rest = said(capsys, "images", "--project", tmp_path / "other")
    assert (tmp_path / "other" / own["path"]).read_bytes() == kept
    assert [row["link_path"] for row in rest] == saved["missing"], "they may come back"


def test_a_restore_keeps_the_store_it_replaces(project: Path, tmp_path: Path, capsys):
    said(capsys, "backup", tmp_path / "all.zip", "--project", project)
    found = said(capsys, "restore", tmp_path / "all.zip", "--project", project)
    assert Path(found["replaced"]).is_file()


def test_delete_asks_first(project: Path, capsys, monkeypatch):
    person = people(capsys, project, 1)[0]
    assert main(["delete", str(person), "--project", str(project)]) == 1
    assert "--yes" in capsys.readouterr().err
    assert person in people(capsys, project, 1)


def test_deleted_people_are_gone_and_the_rest_stays(project: Path, capsys):
    whole = {image: people(capsys, project, image) for image in (1, 2)}
    gone = whole[1][0]
    found = said(capsys, "delete", gone, "--yes", "--project", project)
    assert found["deleted"] == [gone]
    assert people(capsys, project, 1) == whole[1][1:]
    assert people(capsys, project, 2) == whole[2]
    assert main(["history", str(gone), "--project", str(project)]) == 1


def test_delete_leaves_what_others_put_into_the_cache(project: Path, capsys):
    cache = project / "cache"
    mine = [cache / "uploads/drop/0.jpg", cache / "exports/posestudio-coco.json"]
    crops = cache / "crops/all.npy"
    for path in (*mine, crops):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    found = said(capsys, "delete", people(capsys, project, 1)[0], "--yes", "--project", project)
    assert all(path.exists() for path in (*mine, cache / "demo/train.json"))
    assert not crops.exists()
    assert {str(cache / "exports"), str(cache / "demo")} < set(found["kept_in"])


def test_a_deleted_image_takes_its_file_with_it(project: Path, capsys):
    files = set((project / "images").iterdir())
    found = said(capsys, "delete", "--image", 2, "--yes", "--project", project)
    assert found["image"] == 2
    assert len(files - set((project / "images").iterdir())) == 1
    assert said(capsys, "verify", "--project", project)["problems"] == []


@pytest.mark.parametrize("words", [[], [1, "--image", 1]])
def test_delete_wants_people_or_an_image(project: Path, capsys, words):
    assert main(["delete", *map(str, words), "--yes", "--project", str(project)]) == 1
    assert "Name the people" in capsys.readouterr().err


def test_verify_tells_damage_and_ends_with_1(project: Path, capsys):
    assert main(["verify", "--project", str(project)]) == 0
    assert "Everything agrees" in capsys.readouterr().out
    sorted((project / "images").iterdir())[0].write_bytes(b"damaged")
    assert main(["verify", "--project", str(project)]) == 1
    told = capsys.readouterr()
    assert "has changed since it came in" in told.out and "1 problem found" in told.err
    assert main(["verify", "--json", "--project", str(project)]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 1
