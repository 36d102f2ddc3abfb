"""Who is erased while a model predicts stays erased, and what came back before can be erased again."""

import json

import numpy as np
import pytest

from posestudio.errors import NotFound
from posestudio.store import deletion, people, predictions, verify
from posestudio.store.coco_predictions import import_predictions
from posestudio.store.database import Store
from posestudio.studio import ledger, verbs_labels, work
from posestudio.studio.studio import Studio
from tests import edited

TABLES = ("predictions", "uncertainties")


def left(store: Store, person: int) -> list[int]:
    """How many rows are of a person, by table."""
    return [
        len(store.read(f"SELECT 1 FROM {table} WHERE instance_id = ?", [person]))
        for table in TABLES
    ]


@pytest.fixture
def made(tmp_path) -> edited.Made:
    return edited.make(tmp_path)


@pytest.fixture
def at_the_last_moment(monkeypatch):
    """Erase somebody after a verb has read its people and before it writes."""

    def erase(store: Store, person: int) -> None:
        write = store.write

        def erase_first(job):
            monkeypatch.undo()
            deletion.delete_people(store, [person], who="ann")
            return write(job)

        monkeypatch.setattr(store, "write", erase_first)

    return erase


def test_who_is_erased_while_a_run_predicts_stays_erased(made):
    """The run predicts, and doubts, everybody of its snapshot; one person is deleted meanwhile."""
    studio, (one, other) = Studio(made.folder), made.pair
    seen = work.now(studio).people
    count = len(seen)
    found = {"ensemble": (np.full((count, edited.K, 2), 70.0), np.full((count, edited.K), 0.5))}
    doubts = {
        "instance_id": seen.instance_id.tolist(), "keypoint": [3] * count, "uncertainty": [0.5] * count,
        "error_probability": [0.5] * count, "distance_px": [4.0] * count, "reason": [""] * count,
    }  # fmt: skip
    folder = studio.run_folder(edited.RUN)
    said = str(ledger.write_predictions(folder, edited.RUN, seen, found))
    pool = str(ledger.write_uncertainties(folder, doubts))
    studio.call("delete", people=[one], who="ann")
    done = studio.call("register_predictions", run_id=edited.RUN, path=said)
    assert done["predictions"] == count - 1
    assert studio.call("register_uncertainties", run_id=edited.RUN, path=pool)["rows"] == count - 1
    assert studio.call("verify")["problems"] == []
    with Store(made.folder) as store:
        assert left(store, one) == [0, 0] and min(left(store, other)) > 0


def test_results_of_who_is_erased_at_the_last_moment_are_left_out(
    made, tmp_path, at_the_last_moment
):
    one = made.open[1]
    with Store(made.folder) as store:
        rows = [
            {
                "image_id": people.get(store, person)["image_id"], "category_id": 1, "score": 0.5,
                "keypoints": [70.0, 70.0, 0.5] * edited.K,
            }
            for person in made.open[1:3]
        ]  # fmt: skip
        (tmp_path / "found.json").write_text(json.dumps(rows))
        at_the_last_moment(store, one)
        assert import_predictions(store, tmp_path / "found.json", "other")["people"] == 1
        assert left(store, one) == [0, 0]
        assert verify.verify(store)["ok"]


def test_a_fresh_look_at_who_is_erased_meanwhile_is_refused(made, at_the_last_moment):
    one = made.open[1]
    points, scores = [[70.0, 70.0]] * edited.K, [0.5] * edited.K
    with Store(made.folder) as store:
        box = people.get(store, one)["box_revision"]
        at_the_last_moment(store, one)
        with pytest.raises(NotFound, match=f"no person {one}"):
            verbs_labels.save_prediction(
                store, edited.RUN, one, box, points={"a": points}, scores={"a": scores}
            )
        assert left(store, one) == [0, 0]


def test_leftovers_of_who_was_erased_are_named_and_can_be_erased(made):
    """As a program wrote them that did not ask whether the person is still there."""
    studio, one = Studio(made.folder), made.open[1]
    studio.call("delete", people=[one], who="ann")
    with Store(made.folder) as store:
        doubt = {"instance_id": made.open[0], "keypoint": 3, "uncertainty": 0.5}
        predictions.save_uncertainties(store, edited.RUN, [doubt])
        for table in TABLES:
            back = f"UPDATE {table} SET instance_id = {one} WHERE instance_id = {made.open[0]}"
            store.write(lambda cursor, back=back: cursor.execute(back) and None)
        problems = verify.verify(store)["problems"]
    assert len(problems) == 4, "a prediction of each student, and doubts"
    assert all(f"posestudio delete {one}" in problem for problem in problems)
    assert studio.call("delete", people=[one], who="ann")["deleted"] == [one]
    assert studio.call("verify")["problems"] == []
    assert len(studio.call("tombstones")) == 1
    with pytest.raises(NotFound, match=f"no person {one}"):
        studio.call("delete", people=[one], who="ann")
