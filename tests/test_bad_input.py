"""What a user can do wrong, each through the command line: exit 1, one or two clear lines, an unchanged store."""

import io
import json
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from posestudio.cli.main import main
from posestudio.studio.studio import Studio, create

KEYPOINTS = ["head", "left_hand", "right_hand"]
UNSPOILED = {}
"""Content of the template project, that every test's project starts with."""


def jpeg(size=(64, 48), color=(90, 120, 60)):
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "JPEG")
    return out.getvalue()


def coco(folder: Path, count=3, **changes):
    """A COCO file with `count` images of one person each; `changes` replace fields of the first annotation."""
    folder.mkdir(parents=True, exist_ok=True)
    images, people = [], []
    for number in range(1, count + 1):
        name = f"{number}.jpg"
        (folder / name).write_bytes(jpeg(color=(20 * number, 100, 50)))
        images.append({"id": number, "file_name": name, "width": 64, "height": 48})
        people.append({
            "id": number, "image_id": number, "category_id": 1, "bbox": [10, 5, 30, 40], "area": 900, "iscrowd": 0,
            "keypoints": [20, 10, 2, 15, 30, 2, 30, 30, 1], "num_keypoints": 3,
        })  # fmt: skip
    people[0].update(changes)
    category = {"id": 1, "name": "person", "keypoints": KEYPOINTS, "skeleton": [[1, 2], [1, 3]]}
    return {"images": images, "annotations": people, "categories": [category]}


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A project of three labeled people, beside the file and the images that it came from."""
    folder = tmp_path_factory.mktemp("template")
    create(folder / "p")
    (folder / "good.json").write_text(json.dumps(coco(folder / "good")))
    Studio(folder / "p").call(
        "import_coco", file=str(folder / "good.json"), images=str(folder / "good")
    )
    UNSPOILED.update(content(folder / "p"))
    return folder


@pytest.fixture
def project(template, tmp_path):
    """A copy of the template's project, to be spoiled."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    return tmp_path / "p"


def content(project: Path):
    """Everything that a refused request must leave alone."""
    with Studio(project, hold=True) as studio:
        people = studio.call("people")
        rows = {
            "counts": studio.call("splits"),
            "images": studio.call("images"),
            "people": [studio.call("person", instance_id=row["instance_id"]) for row in people],
            "sources": studio.call("sources"),
            "runs": studio.call("runs"),
        }
    return {
        **rows,
        "files": sorted(path.name for path in (project / "images").iterdir()),
        "run_folders": sorted(path.name for path in (project / "runs").iterdir()),
    }


def refuse(project, capsys, *line, says="", before=UNSPOILED):
    """Run a command line that must be refused; returns what was said."""
    capsys.readouterr()
    code = main([*map(str, line), "--project", str(project)])
    said = capsys.readouterr()
    assert code == 1, said.out
    assert said.out == ""
    lines = said.err.strip().splitlines()
    assert 1 <= len(lines) <= 2, said.err
    assert "Traceback" not in said.err
    assert says.lower() in said.err.lower(), said.err
    assert content(project) == before
    return said.err


# images


def test_a_missing_image(project, tmp_path, capsys):
    refuse(project, capsys, "import", "images", tmp_path / "none.jpg", says="none.jpg")


def test_a_truncated_jpeg_alone(project, tmp_path, capsys):
    big = io.BytesIO()
    Image.effect_noise((200, 200), 60).convert("RGB").save(big, "JPEG")
    (tmp_path / "torn.jpg").write_bytes(big.getvalue()[: len(big.getvalue()) // 2])
    refuse(project, capsys, "import", "images", tmp_path / "torn.jpg", says="torn.jpg")


def test_text_named_jpg(project, tmp_path, capsys):
    (tmp_path / "text.jpg").write_text("hello, I am not an image")
    refuse(project, capsys, "import", "images", tmp_path / "text.jpg", says="text.jpg")


def png_of(width, height):
    """A PNG whose header claims a size; its pixels compress to almost nothing."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    packer = zlib.compressobj(9)
    row = b"\0" * (1 + (width + 7) // 8)
    rows = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_a_png_of_40000_by_40000(project, tmp_path, capsys):
    (tmp_path / "bomb.png").write_bytes(png_of(40_000, 40_000))
    started = time.monotonic()
    refuse(project, capsys, "import", "images", tmp_path / "bomb.png", says="pixels")
    assert time.monotonic() - started < 10


# annotation files


def import_line(tmp_path, record):
    (tmp_path / "bad.json").write_text(record if isinstance(record, str) else json.dumps(record))
    return "import", "coco", tmp_path / "bad.json", "--images", tmp_path / "bad"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"keypoints": [float("nan"), 10, 2, 15, 30, 2, 30, 30, 1]}, "nan"),
        ({"keypoints": [1e308, 10, 2, 15, 30, 2, 30, 30, 1]}, "annotation"),
        ({"keypoints": [20, 10, 2]}, "keypoints"),
        ({"keypoints": [20, 10, 2, 15, 30, 2, 200, 30, 1]}, "annotation"),
        ({"keypoints": "20 10 2"}, "keypoints"),
        ({"id": 2}, "2"),
        ({"image_id": 99}, "99"),
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, float("inf"), 3]}, "bbox"),
    ],
)
def test_annotations_with_faults(project, tmp_path, capsys, changes, says):
    record = coco(tmp_path / "bad", 4, **changes)
    refuse(project, capsys, *import_line(tmp_path, record), says=says)


def test_files_that_are_no_coco_keypoints(project, tmp_path, capsys):
    record = coco(tmp_path / "bad")
    del record["categories"][0]["keypoints"]
    refuse(project, capsys, *import_line(tmp_path, record), says="keypoints")
    record = coco(tmp_path / "bad")
    record["images"][1]["id"] = 1
    refuse(project, capsys, *import_line(tmp_path, record), says="1")
    refuse(project, capsys, *import_line(tmp_path, '{"images": [1, 2'), says="json")
    refuse(project, capsys, *import_line(tmp_path, "[]"), says="bad.json")
    refuse(
        project,
        capsys,
        "import",
        "coco",
        tmp_path / "none.json",
        "--images",
        tmp_path,
        says="none.json",
    )
    refuse(
        project,
        capsys,
        "import",
        "coco",
        tmp_path / "good.json",
        "--images",
        tmp_path / "none",
        says="none",
    )


def test_file_names_that_climb(project, tmp_path, capsys):
    record = coco(tmp_path / "bad")
    (tmp_path / "outside.jpg").write_bytes(jpeg(color=(1, 2, 3)))
    for name in ("../outside.jpg", str(tmp_path / "outside.jpg"), "a/../../outside.jpg"):
        record["images"][0]["file_name"] = name
        refuse(project, capsys, *import_line(tmp_path, record), says="leads out")


def test_an_image_that_the_file_names_but_that_is_not_there(project, tmp_path, capsys):
    record = coco(tmp_path / "bad")
    (tmp_path / "bad" / "2.jpg").unlink()
    refuse(project, capsys, *import_line(tmp_path, record), says="2.jpg")


def test_another_skeleton(project, tmp_path, capsys):
    record = coco(tmp_path / "bad")
    record["categories"][0]["keypoints"] = ["nose", "tail", "paw"]
    refuse(project, capsys, *import_line(tmp_path, record), says="tail")


# zips


def test_zip_entries_that_climb(project, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "climb.zip", "w") as out:
        out.writestr("../climbed.jpg", jpeg(color=(9, 9, 9)))
    refuse(project, capsys, "import", "images", tmp_path / "climb.zip", says="climb")
    assert not (tmp_path / "climbed.jpg").exists()


def test_a_zip_of_100000_entries(project, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as out:
        for number in range(100_000):
            out.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")
    started = time.monotonic()
    refuse(project, capsys, "import", "images", tmp_path / "many.zip", says="entries")
    assert time.monotonic() - started < 15


# runs, people, settings


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (["train", "--preset", "papr"], "'paper'"),
        (["train", "--size", "smal"], "'small'"),
        (["train", "--set", "pool.treshold=0.2"], "'pool.threshold'"),
        (["train", "--set", "pool.threshold=high"], "pool.threshold"),
        (["train", "--set", "pool.threshold"], "KEY=VALUE"),
        (["train", "--steps", "0"], "train.steps"),
        (["train", "--size", "tiny", "--weights", "none.pth"], "none.pth"),
        (["train", "--from", "0001-nobody"], "0001-nobody"),
        (["train", "--resume", "0001-nobody"], "0001-nobody"),
        (["stop", "0001-nobody"], "0001-nobody"),
        (["runs", "show", "0001-nobody"], "0001-nobody"),
        (["runs", "diff", "x", "y"], "x"),
        (["predict", "--run", "0001-nobody", "--out", "x.json"], "0001-nobody"),
        (["evaluate", "--run", "0001-nobody"], "val"),
        (["evaluate"], "val"),
        (["pool"], "run"),
        (["queue", "--run", "0001-nobody"], "0001-nobody"),
        (["label", "999", "--set", "head=1,2,2"], "999"),
        (["label", "1", "--set", "haed=1,2,2"], "head"),
        (["label", "1", "--set", "head=500,2,2"], "head"),
        (["label", "1", "--set", "head=nan,2,2"], "head"),
        (["label", "1", "--set", "head=1,2"], "NAME=X,Y,V"),
        (["label", "1", "--set", "head=1,2,7"], "visibility"),
        (["accept", "999"], "999"),
        (["accept", "1"], "prediction"),
        (["box", "999", "--set", "1,2,30,40"], "999"),
        (["box", "1", "--set", "1,2,-3,4"], "box"),
        (["box", "1"], "box"),
        (["history", "999"], "999"),
        (["people", "999"], "999"),
        (["split", "val", "--person", "999"], "999"),
        *[
            ([*words, str(10**20)], f"{10**20} is out of range")
            for words in (
                ["split", "val", "--person", "1"], ["split", "val", "--image"], ["delete", "--yes"],
                ["delete", "--yes", "--image"], ["people"], ["history"], ["images", "--limit"],
                ["queue", "--limit"],
            )
        ],
        (["delete", "--yes", str(-(2**63))], "out of range"),
        (["images", "--limit", "-1"], "limit must be 0 or more, got -1"),
        (["queue", "--limit", "-1"], "limit must be 0 or more, got -1"),
        (["split", "train", "--share", "0.5"], "--share"),
        (["export", "coco", "/proc/nowhere/x.json"], "/proc/nowhere"),
        (["import", "predictions", "none.json", "--name", "other"], "none.json"),
        (["serve", "--port", "7860"], "serve"),
    ],
)  # fmt: skip
def test_names_and_numbers_that_are_not(project, capsys, monkeypatch, tmp_path, line, says):
    monkeypatch.chdir(tmp_path)
    refuse(project, capsys, *line, says=says)


def test_results_that_do_not_fit(project, tmp_path, capsys):
    for number, text in enumerate(['[{"image_id": 99, "category_id": 1, "keypoints": [1,2,1,1,2,1,1,2,1], "score": 1}]',
                                   '[{"image_id": 1, "keypoints": [1, 2], "score": 1}]', "{"]):  # fmt: skip
        (tmp_path / f"r{number}.json").write_text(text)
        refuse(
            project,
            capsys,
            "import",
            "predictions",
            tmp_path / f"r{number}.json",
            "--name",
            "other",
        )


# the store


def test_a_store_that_is_no_store(tmp_path, capsys):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "store.duckdb").write_bytes(b"not a database" * 1000)
    assert main(["runs", "--project", str(tmp_path / "p")]) == 1
    said = capsys.readouterr().err
    assert len(said.strip().splitlines()) <= 2 and "store.duckdb" in said


HOLDER = """
import json, os, socket, sys, time
from pathlib import Path
from posestudio.store.database import Store
store = Store(Path(sys.argv[1]))
listener = socket.socket()
listener.bind(("127.0.0.1", 0))
listener.listen()
address = f"http://127.0.0.1:{listener.getsockname()[1]}"
owner = {"pid": os.getpid(), "address": address, "token": "t"}
if sys.argv[2] == "owner":
    Path(sys.argv[1], "owner.json").write_text(json.dumps(owner))
print("ready", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ["owner", "stranger"])
def test_a_store_held_by_a_process_that_does_not_answer(project, capsys, kind):
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(project), kind], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None and child.stdout.readline().strip() == "ready"
        started = time.monotonic()
        assert main(["runs", "--project", str(project)]) == 1
        assert time.monotonic() - started < 7
        said = capsys.readouterr()
        assert said.out == "" and len(said.err.strip().splitlines()) <= 2
        assert str(child.pid) in said.err
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert main(["runs", "--project", str(project)]) == 0


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of 12 MB, where the system lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place)], capture_output=True
    )
    if made.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=False)


def test_a_full_disk(small_disk, tmp_path, capsys):
    project = small_disk / "p"
    assert main(["init", "--project", str(project)]) == 0
    folder = tmp_path / "noise"
    folder.mkdir()
    for number in range(30):
        Image.effect_noise((900, 900), 90).save(folder / f"{number}.png")
    before = content(project)
    refuse(project, capsys, "import", "images", folder, says="disk", before=before)
    room = shutil.disk_usage(small_disk).free
    (small_disk / "rest").write_bytes(os.urandom(max(0, room - 4096)))
    (tmp_path / "one.jpg").write_bytes(jpeg((400, 400)))
    refuse(project, capsys, "import", "images", tmp_path / "one.jpg", before=before)
    (small_disk / "rest").unlink()
    assert main(["import", "images", str(tmp_path / "one.jpg"), "--project", str(project)]) == 0


def test_a_program_that_listens_in_the_owners_place(project, capsys):
    """An owner.json whose process lives but whose port belongs to no studio is nobody's."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        record = {"pid": 1, "address": f"http://127.0.0.1:{other.getsockname()[1]}", "token": "t"}
        (project / "owner.json").write_text(json.dumps(record))
        assert main(["runs", "--project", str(project)]) == 0
