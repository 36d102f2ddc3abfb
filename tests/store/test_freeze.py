"""A snapshot is whole, the same for the same content, and readable without the store."""

import dataclasses
import json
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound, StoreError
from posestudio.store import freeze, images, labels, people, snapshots, splits
from posestudio.store.database import Store


def label(store, person, edits, edit_id=None):
    labels.save_edits(
        store, person, edits, who="a", edit_id=edit_id or f"e{person}", base_revision=None
    )


def placed(keypoint, x=20.0, y=30.0, v=2):
    return {"keypoint": keypoint, "state": "placed", "x": x, "y": y, "v": v}


ABSENT = {"keypoint": 2, "state": "absent", "reason": "outside"}


@pytest.fixture
def frozen(store, add_people) -> snapshots.Snapshot:
    train, val, unlabeled = add_people(3, "train"), add_people(1, "val"), add_people(2)
    label(store, train[0], [placed(0), placed(1, 40.25, 50.5, 1), ABSENT])
    label(store, train[1], [placed(0)])
    label(store, val[0], [placed(0), placed(5)])
    people.set_hidden(store, unlabeled[1], True, who="a")
    people.set_box(store, train[0], [1, 2, 30, 40], who="a")
    return snapshots.read(Path(freeze.freeze(store)["path"]))


def test_the_rows_say_what_the_store_says(frozen):
    rows = frozen.people
    assert len(rows) == 5 and frozen.skeleton == COCO17
    assert list(rows.split) == ["train", "train", "unlabeled", "val", "unlabeled"]
    assert rows.state[0, :4].tolist() == [1, 1, 2, 0]
    assert rows.visibility[0, :4].tolist() == [2, 1, 0, 0]
    assert rows.xy_image[0, 1].tolist() == [40.25, 50.5]
    assert np.isnan(rows.xy_image[rows.state != snapshots.PLACED]).all()
    assert rows.box_xywh[0].tolist() == [1, 2, 30, 40] and not rows.area_given.any()
    assert rows.area[0] == pytest.approx(0.53 * 30 * 40)
    assert (rows.width[0], rows.height[0]) == (100, 80)
    assert rows.image_path[0] == f"images/{0:064x}"
    assert rows.source_id.tolist() == [-1] * 5 and rows.coco_id.tolist() == [-1] * 5
    assert not rows.fold[np.array([2, 4])].any()


def test_taught_and_reviewed(frozen):
    assert np.flatnonzero(frozen.taught).tolist() == [0, 1], "val teaches nothing"
    assert not frozen.people.reviewed.any(), "the first five people are asked for everything"


def test_the_same_content_is_one_folder(store, frozen, monkeypatch):
    again = freeze.freeze(store)
    assert again["snapshot_id"] == frozen.id and again["reused"]
    assert len(freeze.list_snapshots(store)) == 1
    label(store, 2, [placed(3)], "more")
    other = freeze.freeze(store)
    assert other["snapshot_id"] != frozen.id and not other["reused"]
    labels.undo(store, 2, who="a", edit_id="u")
    assert freeze.freeze(store)["snapshot_id"] == frozen.id, "the id is a matter of content only"


def test_the_id_depends_on_every_field(frozen):
    seen = {frozen.id}
    for field in dataclasses.fields(frozen.people):
        values = getattr(frozen.people, field.name)
        if isinstance(values, list):
            other = ["changed", *values[1:]]
        elif values.dtype.kind == "U":
            other = np.array(["val", *values[1:]])
        else:
            other = values.copy()
            other.flat[0] = not other.flat[0] if values.dtype.kind == "b" else other.flat[0] + 1
        changed = dataclasses.replace(frozen.people, **{field.name: other})
        seen.add(snapshots.content_id(changed, frozen.skeleton))
    assert len(seen) == 1 + len(dataclasses.fields(frozen.people))
    renamed = dataclasses.replace(frozen.skeleton, name="other")
    assert snapshots.content_id(frozen.people, renamed) not in seen


def test_a_look_at_the_present_leaves_no_snapshot(store, frozen):
    label(store, 3, [placed(4)], "more")
    look = freeze.look(store)
    assert look.id != frozen.id and look.people.state[2, 4] == snapshots.PLACED
    assert [path.name for path in (store.project / "snapshots").iterdir()] == [frozen.id]
    assert freeze.freeze(store)["snapshot_id"] == look.id


def test_a_box_that_did_not_move_keeps_its_revision(store, add_people):
    one, other = add_people(2)
    first = freeze.look(store).people.box_revision.tolist()
    people.set_hidden(store, one, True, who="a")
    people.set_hidden(store, one, False, who="a")
    assert freeze.look(store).people.box_revision.tolist() == first
    moved = people.set_box(store, other, [1, 2, 30, 40], who="a")["box_revision"]
    people.set_hidden(store, other, True, who="a")
    people.set_hidden(store, other, False, who="a")
    assert freeze.look(store).people.box_revision.tolist() == [first[0], moved]
    back = people.set_box(store, other, [10, 10, 50, 60], who="a")["box_revision"]
    assert freeze.look(store).people.box_revision.tolist() == [first[0], back], "it moved between"


def test_take(frozen):
    rows = frozen.people
    some = rows.take(rows.split == "train")
    assert len(some) == 2 and some.image_path == rows.image_path[:2]
    assert rows.take([3, 0]).instance_id.tolist() == rows.instance_id[[3, 0]].tolist()
    assert len(rows.take(slice(1, 3))) == 2
    assert len(rows.take(np.zeros(5, bool))) == 0
    assert rows.take(np.zeros(0, int)).xy_image.shape == (0, 17, 2)


def test_damage_is_noticed_and_repaired_by_the_next_freeze(store, frozen):
    folder = store.project / "snapshots" / frozen.id
    file = folder / "people.parquet"
    table = pq.read_table(file)
    changed = table.set_column(0, "instance_id", [np.arange(50, 55)])
    pq.write_table(changed, file)
    with pytest.raises(StoreError, match="was changed"):
        snapshots.read(folder)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StoreError, match="damaged"):
        snapshots.read(folder)
    assert not freeze.freeze(store)["reused"]
    assert snapshots.read(folder).id == frozen.id
    file.unlink()
    with pytest.raises(NotFound, match="people.parquet"):
        snapshots.read(folder)


def test_nothing_half_written_stays(store, add_people, monkeypatch):
    add_people(2)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(freeze, "_write_durably", full)
    with pytest.raises(StoreError, match="could not be written"):
        freeze.freeze(store)
    assert list((store.project / "snapshots").iterdir()) == []
    assert freeze.list_snapshots(store) == []


def test_threads_that_freeze_at_once_share_the_folder(store, add_people):
    add_people(3)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(freeze.freeze(store))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len({row["snapshot_id"] for row in found}) == 1
    assert [path.name for path in (store.project / "snapshots").iterdir()] == [
        found[0]["snapshot_id"]
    ]


def test_names_and_ids_of_the_source_come_along(store):
    def job(cursor):
        (image,) = images.add_many(cursor, [images.NewImage("a", 9, 9, link_path="/data/a.jpg")])
        first, second = (images.add_source(cursor, "coco", name) for name in ("one", "two"))
        sources = [
            images.ImageSource(image, first, "one.jpg", 0, coco_id=11),
            images.ImageSource(image, second, "two.jpg", 0, coco_id=22),
        ]
        images.add_image_sources(cursor, sources)
        box = (0, 0, 9, 9)
        rows = [
            people.NewPerson(image, box, "file", second, coco_id=7, area=5.0, iscrowd=True),
            people.NewPerson(image, box, "drawn"),
        ]
        return people.add_many(cursor, rows)

    store.write(job)
    rows = freeze.look(store).people
    assert rows.file_name == ["two.jpg", "one.jpg"] and rows.image_path == ["/data/a.jpg"] * 2
    assert rows.coco_image_id.tolist() == [22, 11] and rows.coco_id.tolist() == [7, -1]
    assert rows.area[0] == 5.0 and rows.area_given.tolist() == [True, False]
    assert rows.iscrowd.tolist() == [True, False]


def test_an_empty_project_and_one_without_skeleton(store, tmp_path):
    empty = freeze.look(store)
    assert len(empty.people) == 0 and not empty.taught.any()
    assert empty.people.xy_image.shape == (0, 17, 2)
    with Store(tmp_path / "bare", create=True) as bare, pytest.raises(InputError, match="skeleton"):
        freeze.freeze(bare)


def test_a_snapshot_is_read_while_another_process_holds_the_store(store, frozen):
    code = (
        "import sys; from pathlib import Path; from posestudio.store import snapshots;"
        "s = snapshots.read(Path(sys.argv[1])); print(s.id, len(s.people), 'duckdb' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[2]
    folder = store.project / "snapshots" / frozen.id
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=root
    )
    assert done.stdout.split() == [frozen.id, "5", "False"], done.stderr


def test_the_header_is_readable_by_people(store, frozen):
    header = json.loads((store.project / "snapshots" / frozen.id / "snapshot.json").read_text())
    assert header["splits"] == {"train": 2, "val": 1, "unlabeled": 2}
    assert header["untaught"] == list(COCO17.keypoints[2:]) and header["labeled"] == 3


def test_group_and_split_move_is_in_the_next_snapshot(store, frozen):
    splits.set_split(store, "val", instance_ids=[int(frozen.people.instance_id[0])])
    assert freeze.look(store).people.split[0] == "val"
