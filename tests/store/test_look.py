"""A look at the project equals what a freeze would hold, and leaves nothing behind."""

from pathlib import Path

from posestudio.core.skeleton import COCO17
from posestudio.store import database, freeze, images, labels, people, snapshots
from posestudio.store.database import Store


def test_a_look_equals_a_freeze(tmp_path: Path):
    with Store(tmp_path / "p", create=True) as store:
        store.write(lambda cursor: database.set_skeleton(cursor, COCO17))
        row = images.NewImage("a" * 64, 60, 40, split="train")
        [image] = store.write(lambda cursor: images.add_many(cursor, [row]))
        person = people.add(store, image, [1, 2, 30, 30], who="me")["instance_id"]
        edit = {"keypoint": "nose", "state": "placed", "x": 5.5, "y": 6, "v": 2}
        labels.save_edits(store, person, [edit], who="me", edit_id="1", base_revision=None)
        seen = freeze.look(store)
        assert list((tmp_path / "p" / "snapshots").iterdir()) == []
        assert freeze.list_snapshots(store) == []
        kept = snapshots.read(Path(freeze.freeze(store)["path"]))
        assert seen.id == kept.id == snapshots.content_id(seen.people, COCO17)
        assert seen.taught.tolist() == kept.taught.tolist()
        assert seen.people.xy_image[0, 0].tolist() == [5.5, 6.0]
