"""Photographs into the store: what is readable goes in once, a refused import leaves no trace."""

import errno
import io
import os
import signal
import threading
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from posestudio.errors import InputError, StoreError
from posestudio.store import deletion, image_files, images, people
from posestudio.store.database import Store
from posestudio.store.image_files import ImageFiles
from posestudio.store.media import read_picture
from posestudio.store.media_import import import_images
from posestudio.store.verify import verify

pytestmark = pytest.mark.empty


def jpeg(seed: int, orientation: int = 1) -> bytes:
    rng = np.random.default_rng(seed)
    out = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(rng.integers(0, 255, (9, 12, 3), np.uint8)).resize((64, 48))
    image.save(out, "JPEG", exif=exif)
    return out.getvalue()


def put(folder: Path, **files: bytes) -> Path:
    folder.mkdir(exist_ok=True)
    for name, data in files.items():
        (folder / f"{name}.jpg").write_bytes(data)
    return folder


def dump(store: Store) -> tuple[dict[str, Any], set[str]]:
    """Every row of every table, and the names of all files in the images folder."""
    tables = store.read(
        "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main' ORDER BY 1"
    )
    rows = {
        t["table_name"]: store.read(f"SELECT * FROM {t['table_name']} ORDER BY ALL") for t in tables
    }
    return rows, set(os.listdir(store.project / "images"))


def test_readable_images_go_in_and_the_rest_is_listed(store: Store, tmp_path: Path):
    folder = put(tmp_path / "in", a=jpeg(1), b=jpeg(2)[:300], c=jpeg(1), d=jpeg(3))
    report = import_images(store, [folder])
    assert (report["added"], report["duplicates"], report["people"]) == (2, 1, 0)
    assert [one["name"] for one in report["refused"]] == ["in/b.jpg"]
    assert "truncated" in report["refused"][0]["reason"]
    rows = images.list_images(store, "unlabeled")
    assert [row["image_id"] for row in rows] == report["image_ids"]
    assert [row["file_name"] for row in rows] == ["in/a.jpg", "in/d.jpg"]
    for row in rows:
        assert (store.project / row["path"]).read_bytes() in (jpeg(1), jpeg(3))
    assert len(os.listdir(store.project / "images")) == 2


def test_the_same_folder_again_changes_nothing(store: Store, tmp_path: Path):
    folder = put(tmp_path / "in", a=jpeg(1), b=jpeg(2))
    import_images(store, [folder])
    before = dump(store)
    report = import_images(store, [folder], boxes="full")
    assert (report["added"], report["duplicates"]) == (0, 2)
    assert dump(store) == before


def test_full_boxes_give_each_new_image_one_person(store: Store, tmp_path: Path):
    report = import_images(store, [put(tmp_path / "in", a=jpeg(1), b=jpeg(2))], boxes="full")
    assert report["people"] == 2
    for instance_id in report["instance_ids"]:
        row = people.get(store, instance_id)
        assert row["box_xywh"] == [0, 0, 64, 48]


@pytest.mark.parametrize("orientation", [3, 6])
def test_linked_images_stay_where_they_are_unless_turned(
    store: Store, tmp_path: Path, orientation: int
):
    folder = put(tmp_path / "in", plain=jpeg(1), turned=jpeg(2, orientation))
    import_images(store, [folder], link=True)
    paths = [store.project / row["path"] for row in images.list_images(store)]
    assert paths[0] == folder / "plain.jpg"
    assert paths[1].parent == store.project / "images"
    size = images.list_images(store)[1]
    assert (size["width"], size["height"]) == ((48, 64) if orientation == 6 else (64, 48))
    import_images(store, [put(tmp_path / "copy", plain=jpeg(1))])
    assert len(os.listdir(store.project / "images")) == 1, "no second copy of a linked image"


def test_uploads_keep_their_own_names(store: Store, tmp_path: Path):
    folder = put(tmp_path / "in", tmp123=jpeg(1))
    report = import_images(store, [folder / "tmp123.jpg"], names=["../holiday.jpg"])
    assert images.get(store, report["image_ids"][0])["file_name"] == "../holiday.jpg"
    assert len(os.listdir(store.project / "images")) == 1
    assert not (store.project / "holiday.jpg").exists()


def test_names_that_are_not_text_come_in_escaped(store: Store, tmp_path: Path):
    folder = put(tmp_path / "in")
    with open(os.fsencode(folder) + b"/\xff\xfe.jpg", "wb") as file:
        file.write(jpeg(1))
    report = import_images(store, [folder], link=True)
    assert images.get(store, report["image_ids"][0])["file_name"] == "in/\\udcff\\udcfe.jpg"
    assert len(os.listdir(store.project / "images")) == 1, "copied: its path cannot be stored"


BAD = {
    "missing": lambda folder: folder / "none.jpg",
    "truncated": lambda folder: put(folder, x=jpeg(1)[:400]) / "x.jpg",
    "text": lambda folder: put(folder, x=b"plain text " * 40) / "x.jpg",
    "empty file": lambda folder: put(folder, x=b"") / "x.jpg",
    "empty folder": lambda folder: put(folder),
}


@pytest.mark.parametrize("kind", BAD)
def test_nothing_readable_is_an_error_and_leaves_no_trace(store: Store, tmp_path: Path, kind: str):
    import_images(store, [put(tmp_path / "good", a=jpeg(9))])
    before = dump(store)
    with pytest.raises(InputError) as caught:
        import_images(store, [BAD[kind](tmp_path / "bad")])
    assert 1 <= len(str(caught.value).splitlines()) <= 2
    assert dump(store) == before


def test_a_hostile_zip_alone_is_an_error(store: Store, tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("good.jpg", jpeg(1))
        archive.writestr("../../evil.jpg", jpeg(2))
    before = dump(store)
    with pytest.raises(InputError, match=r"z\.zip: the entry '../../evil.jpg' leads out"):
        import_images(store, [tmp_path / "z.zip"])
    assert dump(store) == before


def test_a_full_disk_leaves_no_trace(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = put(tmp_path / "in", a=jpeg(1), b=jpeg(2), c=jpeg(3))
    before = dump(store)
    calls = []
    real = os.fsync

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(image_files.os, "fsync", full)
    with pytest.raises(StoreError, match="is full; nothing was imported"):
        import_images(store, [folder])
    monkeypatch.undo()
    assert dump(store) == before
    assert import_images(store, [folder])["added"] == 3, "and works once there is space"


def test_a_failing_transaction_takes_the_files_away(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    import_images(store, [put(tmp_path / "first", a=jpeg(1))])
    before = dump(store)

    def fail(*_: object) -> None:
        raise RuntimeError("the machine failed here")

    monkeypatch.setattr(images, "add_image_sources", fail)
    with pytest.raises(RuntimeError, match="failed here"):
        import_images(store, [put(tmp_path / "in", a=jpeg(1), b=jpeg(2))])
    assert dump(store) == before


def test_a_stop_from_the_progress_callback_takes_the_files_away(store: Store, tmp_path: Path):
    before = dump(store)

    def stop(done: int, _: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_images(
            store, [put(tmp_path / "in", **{f"n{i}": jpeg(i) for i in range(30)})], progress=stop
        )
    assert dump(store) == before


def test_an_interrupted_import_that_is_saved_all_the_same_keeps_its_files(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Ctrl-C while the writer thread is in the transaction: that goes on and commits."""
    real = images.add_image_sources

    def interrupted(*given: Any) -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
        real(*given)

    monkeypatch.setattr(images, "add_image_sources", interrupted)
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    try:
        with pytest.raises(KeyboardInterrupt):
            import_images(store, [put(tmp_path / "in", a=jpeg(1), b=jpeg(2))])
    finally:
        signal.signal(signal.SIGINT, heard)
    assert verify(store)["problems"] == [] and len(images.list_images(store)) == 2


def test_a_store_that_cannot_be_asked_costs_no_file_and_hides_no_error(
    store: Store, tmp_path: Path
):
    with pytest.raises(KeyboardInterrupt), ImageFiles(store) as files:
        sha256 = files.put(read_picture(jpeg(1))).sha256
        store.close()
        raise KeyboardInterrupt
    assert os.listdir(store.project / "images") == [sha256]


def test_near_duplicates_and_frames_share_groups(store: Store, tmp_path: Path):
    cv2 = pytest.importorskip("cv2")
    big = Image.open(io.BytesIO(jpeg(5))).resize((320, 240))
    small = big.resize((240, 180))
    for name, image in (("big", big), ("small", small)):
        (tmp_path / f"{name}.png").parent.mkdir(exist_ok=True)
        image.save(tmp_path / f"{name}.png")
    writer = cv2.VideoWriter(str(tmp_path / "v.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 1, (64, 48))
    for seed in (11, 12, 13):
        writer.write(np.asarray(Image.open(io.BytesIO(jpeg(seed)))))
    writer.release()
    report = import_images(
        store, [tmp_path / "big.png", tmp_path / "small.png", tmp_path / "v.avi"]
    )
    group = {row["image_id"]: row["group_id"] for row in images.list_images(store)}
    one, two, *frames = (group[image_id] for image_id in report["image_ids"])
    assert one == two and report["near"] == 2
    assert len(frames) == 3 and len(set(frames)) == 1 and frames[0] != one


def test_a_folder_stays_together_when_asked(store: Store, tmp_path: Path):
    for folder, seeds in (("one", (1, 2)), ("two", (3, 4))):
        (tmp_path / folder).mkdir()
        for seed in seeds:
            (tmp_path / folder / f"{seed}.jpg").write_bytes(jpeg(seed))
    report = import_images(store, [tmp_path / "one", tmp_path / "two"], group=True)
    group = {row["image_id"]: row["group_id"] for row in images.list_images(store)}
    one, two, three, four = (group[image_id] for image_id in report["image_ids"])
    assert one == two != three == four


def test_a_photo_that_lies_in_two_folders_does_not_join_them(store: Store, tmp_path: Path):
    for folder, seeds in (("one", (1, 2)), ("two", (2, 3)), ("three", (4,))):
        put(tmp_path / folder, **{f"n{seed}": jpeg(seed) for seed in seeds})
    report = import_images(store, [tmp_path / "one", tmp_path / "two"], group=True)
    before = [row["group_id"] for row in images.list_images(store)]
    assert before[0] == before[1] != before[2]
    gone = {**report["folders"], str(tmp_path / "three"): 999}
    import_images(store, [tmp_path / "three"], group=True, folders=gone)
    assert len({row["group_id"] for row in images.list_images(store)}) == 3


def test_a_deletion_waits_for_the_import_that_counts_on_the_file(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = put(tmp_path / "in", a=jpeg(1), b=jpeg(2))
    (image_id, _) = import_images(store, [folder])["image_ids"]
    eraser = threading.Thread(target=lambda: deletion.delete_image(store, image_id, who="ann"))
    settle = ImageFiles.settle

    def erase_meanwhile(files: ImageFiles) -> None:
        """Every file was found to be there; now one of them is erased."""
        eraser.start()
        eraser.join(0.3)
        settle(files)

    monkeypatch.setattr(ImageFiles, "settle", erase_meanwhile)
    import_images(store, [folder])
    eraser.join()
    assert verify(store)["problems"] == [] and len(images.list_images(store)) == 1
