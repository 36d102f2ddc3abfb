"""Folders, zips and videos: nothing is trusted, what is readable is found."""

import io
import os
import struct
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError
from posestudio.store import containers


def jpeg(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (8, 8, 3), np.uint8)).resize((64, 48)).save(out, "JPEG")
    return out.getvalue()


def look(path: Path) -> dict[str, str]:
    """Name -> "ok" or the reason of refusal."""
    found = {}
    for item in containers.items(path):
        try:
            item.read()
            found[item.name] = "ok"
        except InputError as error:
            found[item.name] = str(error)
    return found


def make_zip(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_a_folder_is_read_to_its_leaves_in_order_of_names(tmp_path: Path):
    (tmp_path / "in" / "b").mkdir(parents=True)
    (tmp_path / "in" / "b" / "2.jpg").write_bytes(jpeg(2))
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(1))
    (tmp_path / "in" / ".hidden.jpg").write_bytes(jpeg(3))
    (tmp_path / "in" / "note.jpg").write_text("not a picture")
    found = look(tmp_path / "in")
    assert list(found) == ["in/a.jpg", "in/note.jpg", "in/b/2.jpg"]
    assert found["in/note.jpg"] == "not a JPEG, PNG or WebP image by its content"
    assert found["in/a.jpg"] == found["in/b/2.jpg"] == "ok"


def test_what_of_a_folder_cannot_be_reached_is_refused_and_the_rest_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("in/closed/1.jpg", "in/listed/2.jpg", "in/open/3.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(jpeg(1))
    modes = {".": 0o755, "in/closed": 0o700, "in/listed": 0o744}
    monkeypatch.chdir(tmp_path)
    if os.geteuid() == 0:
        for name, mode in modes.items():
            os.chmod(name, mode)
        os.seteuid(65534)  # nobody: root may read everything
    else:
        os.chmod("in/closed", 0)
        os.chmod("in/listed", 0o400)
    try:
        found = look(Path("in"))
    finally:
        os.seteuid(os.getuid())
        for name in modes:
            os.chmod(name, 0o755)
    assert found == {
        "in/closed": "the folder cannot be read (Permission denied)",
        "in/listed/2.jpg": "the file cannot be read (Permission denied)",
        "in/open/3.jpg": "ok",
    }


def test_a_file_whose_path_is_too_long_is_refused_and_the_rest_is_found(tmp_path: Path):
    folder, name = os.open(tmp_path, os.O_RDONLY), "d" * 200
    for _ in range((4090 - len(str(tmp_path))) // (len(name) + 1)):
        os.mkdir(name, dir_fd=folder)
        inner = os.open(name, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    for file in ("1.jpg", "2" * 251 + ".jpg"):
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, dir_fd=folder), "wb") as opened:
            opened.write(jpeg(1))
    os.close(folder)
    (good, bad) = look(tmp_path / name).items()
    assert good[0].endswith("/1.jpg") and good[1] == "ok"
    assert bad[0].endswith("2.jpg") and bad[1] == "the file cannot be read (File name too long)"


def test_links_and_special_files_in_a_folder_are_not_followed(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.jpg").write_bytes(jpeg())
    inside = tmp_path / "in"
    inside.mkdir()
    (inside / "file.jpg").symlink_to(outside / "secret.jpg")
    (inside / "folder").symlink_to(outside)
    (inside / "loop").symlink_to(inside)
    (inside / "unreachable").symlink_to("x" * 300)
    os.mkfifo(inside / "pipe.jpg")
    assert look(inside) == {}


def test_a_zip_gives_its_images_and_names_the_rest(tmp_path: Path):
    inner = make_zip(tmp_path / "inner.zip", {"x.jpg": jpeg()}).read_bytes()
    path = make_zip(
        tmp_path / "photos.zip",
        {
            "a/1.jpg": jpeg(1),
            "2.JPG": jpeg(2)[:200],
            "text.jpg": b"hello " * 10,
            "inner.zip": inner,
            "__MACOSX/a/._1.jpg": b"junk",
            "clip.mp4": b"\x00\x00\x00\x18ftypisom" + b"\x00" * 50,
        },
    )
    found = look(path)
    assert found["photos.zip/a/1.jpg"] == "ok"
    assert "truncated" in found["photos.zip/2.JPG"]
    assert "by its content" in found["photos.zip/text.jpg"]
    assert "zip inside a zip" in found["photos.zip/inner.zip"]
    assert "video inside a zip" in found["photos.zip/clip.mp4"]
    assert len(found) == 5


def test_links_and_encrypted_entries_in_a_zip_are_refused_one_by_one(tmp_path: Path):
    path = tmp_path / "z.zip"
    with zipfile.ZipFile(path, "w") as archive:
        link = zipfile.ZipInfo("link.jpg")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("good.jpg", jpeg())
        archive.writestr("locked.jpg", jpeg(1))
    data = bytearray(path.read_bytes())
    at = data.rfind(b"PK\x01\x02")
    data[at + 8] |= 1
    path.write_bytes(bytes(data))
    found = look(path)
    assert "link" in found["z.zip/link.jpg"]
    assert found["z.zip/good.jpg"] == "ok"
    assert found["z.zip/locked.jpg"] == "encrypted"


@pytest.mark.parametrize("name", ["../evil.jpg", "a/../../evil.jpg", "/evil.jpg", "C:\\evil.jpg"])
def test_a_zip_whose_names_lead_out_is_refused_whole(tmp_path: Path, name: str):
    path = make_zip(tmp_path / "z.zip", {"good.jpg": jpeg(), name: jpeg(1)})
    (reason,) = look(path).values()
    assert "leads out of the zip" in reason
    assert not list(tmp_path.parent.glob("evil.jpg"))


def test_a_zip_of_100_000_entries_is_refused_whole(tmp_path: Path):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(100_000):
            archive.writestr(zipfile.ZipInfo(f"{number}.jpg"), b"")
    assert list(look(path)) == ["many.zip"]
    assert "20,000 entries" in look(path)["many.zip"]


def test_a_zip_that_lies_about_its_number_of_entries_is_refused(tmp_path: Path):
    entries = {f"{number}.jpg": b"" for number in range(20_001)}
    path = make_zip(tmp_path / "lie.zip", entries)
    data = bytearray(path.read_bytes())
    data[-14:-10] = struct.pack("<HH", 3, 3)
    path.write_bytes(bytes(data))
    (reason,) = look(path).values()
    assert "refused whole" in reason or "broken" in reason


def test_bombs_are_refused_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros.png", bytes(3_000_000))
    monkeypatch.setattr(containers, "RATIO_FROM", 1_000_000)
    assert "times its size" in look(path)["bomb.zip"]
    monkeypatch.setattr(containers, "MAX_UNPACKED", 2_000_000)
    assert "3,000,000 bytes unpacked" in look(path)["bomb.zip"]


@pytest.mark.parametrize("cut", [30, 200, -30])
def test_a_broken_zip_is_one_refusal(tmp_path: Path, cut: int):
    path = make_zip(tmp_path / "z.zip", {"1.jpg": jpeg(), "2.jpg": jpeg(1)})
    path.write_bytes(path.read_bytes()[:cut])
    (reason,) = look(path).values()
    assert "broken" in reason


def test_a_damaged_entry_does_not_take_the_others_away(tmp_path: Path):
    path = make_zip(tmp_path / "z.zip", {"1.jpg": jpeg(), "2.jpg": jpeg(1)})
    data = bytearray(path.read_bytes())
    data[100] ^= 0xFF
    path.write_bytes(bytes(data))
    found = look(path)
    assert "unpacked" in found["z.zip/1.jpg"] and found["z.zip/2.jpg"] == "ok"


def test_flipped_bytes_of_a_zip_give_images_or_reasons(tmp_path: Path):
    rng = np.random.default_rng(7)
    path = make_zip(tmp_path / "z.zip", {"1.jpg": jpeg(), "d/2.jpg": jpeg(1)})
    data = path.read_bytes()
    for _ in range(300):
        changed = bytearray(data)
        for back in rng.integers(1, 160, rng.integers(1, 4)):
            changed[-back] = rng.integers(256)
        path.write_bytes(changed)
        assert look(path) or not path.read_bytes().count(b"PK\x01\x02")


def write_video(path: Path, frames: int, rate: float) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), rate, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write the test video")
    for number in range(frames):
        image = np.full((48, 64, 3), 30, np.uint8)
        cv2.circle(image, (5 + number % 50, 24), 8, (0, 200, 255), -1)
        writer.write(image)
    writer.release()
    return path


def test_a_video_gives_a_frame_a_second_of_one_group(tmp_path: Path):
    found = list(containers.items(write_video(tmp_path / "run.avi", 50, 10)))
    assert [item.name for item in found] == [f"run.avi#{n:06d}" for n in range(0, 50, 10)]
    assert {item.group for item in found} == {str(tmp_path / "run.avi")}
    picture = found[0].read()
    assert (picture.width, picture.height) == (64, 48)


def test_a_long_video_gives_at_most_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(containers, "MAX_FRAMES", 4)
    found = list(containers.items(write_video(tmp_path / "long.avi", 50, 1)))
    assert [item.name[-6:] for item in found] == ["000000", "000013", "000026", "000039"]


def test_what_only_looks_like_a_video_is_refused(tmp_path: Path):
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\n/etc/passwd\n")
    assert "by its content" in look(tmp_path / "list.mp4")["list.mp4"]
    (tmp_path / "cut.mp4").write_bytes(b"\x00\x00\x00\x18ftypisom" + bytes(300))
    assert "no frame" in look(tmp_path / "cut.mp4")["cut.mp4"]
    (tmp_path / "phone.heic").write_bytes(b"\x00\x00\x00\x18ftypheic" + bytes(300))
    assert "by its content" in look(tmp_path / "phone.heic")["phone.heic"]
