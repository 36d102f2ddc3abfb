"""The queue and the contact sheet over a real store: orders, who drops out and when, what is known and what is kept."""

from typing import Any

import numpy as np
import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import marks
from posestudio.store.database import Store
from posestudio.studio import documents, evidence, sheet, standing, verbs_labels, verbs_queue
from posestudio.train.run_folder import RunFolder
from tests import edited
from tests.edited import BAD, RUN, Made

WRIST, NOSE = BAD[0], 0


@pytest.fixture
def made(tmp_path) -> Made:
    return edited.make(tmp_path)


@pytest.fixture
def store(made: Made):
    with Store(made.folder) as opened:
        yield opened


def ids(found) -> list[int]:
    return [item["instance_id"] for item in found["items"]]


def place(store, person, keypoints, edit_id):
    edits = [{"keypoint": k, "state": "placed", "x": 90.0, "y": 90.0, "v": 2} for k in keypoints]
    return verbs_labels.label(store, person, edits, "ann", edit_id=edit_id)


def test_what_is_kept_is_true_until_something_is_written(store, made):
    first = standing.now(store, RUN)
    assert standing.now(store, RUN) is first and standing.latest(store, RUN) is first
    assert standing.snapshot(store) is first.snapshot
    place(store, made.open[0], [NOSE], "e1")
    assert standing.latest(store, RUN) is first  # still true of the predictions that it names
    second = standing.now(store, RUN)
    assert second is not first
    index = second.place[made.open[0]]
    assert (
        second.snapshot.people.state[index, NOSE] == 1
        and first.snapshot.people.state[index, NOSE] == 0
    )
    standing.forget(store)
    assert standing.latest(store, RUN) is not second


def test_a_store_that_fails_a_write_keeps_what_it_knows(store, made):
    first = standing.now(store, RUN)
    with pytest.raises(InputError):
        verbs_labels.label(store, made.open[0], [{"keypoint": NOSE, "state": "nonsense"}], "ann")
    assert standing.now(store, RUN) is first


def test_skipped_people_come_back_tomorrow_and_finished_ones_only_if_open(store, made):
    first, second, third = made.open[:3]
    assert {first, second, third} <= set(ids(verbs_queue.queue_(store)))
    verbs_labels.mark(store, first, "skip", "ann")
    verbs_labels.mark(store, second, "seen", "ann")
    verbs_labels.mark(store, third, "cannot_tell", "ann")
    queue = verbs_queue.queue_(store)
    assert not {first, second, third} & set(ids(queue)) and queue["done"] == 1
    store.write(
        lambda cursor: cursor.execute('UPDATE marks SET "at" = "at" - INTERVAL 1 DAY') and None
    )
    tomorrow = set(ids(verbs_queue.queue_(store)))
    assert {first, second} <= tomorrow and third not in tomorrow
    place(store, third, [NOSE], "e1")
    assert third in ids(verbs_queue.queue_(store))  # somebody could tell after all


def test_people_without_a_prediction_come_last_and_are_told(store, made):
    before = verbs_queue.queue_(store)
    assert before["order"] == "doubt" and before["note"] is None
    image = before["items"][0]["image_id"]
    new = [verbs_labels.add_person(store, image, [10, 10, 40, 90], "ann") for _ in range(2)]
    numbers = [row["instance_id"] for row in new]
    found = verbs_queue.queue_(store)
    assert ids(found) == [*ids(before), *numbers] and found["total"] == before["total"] + 2
    assert [item["reason"] for item in found["items"][-2:]] == ["not predicted yet"] * 2
    assert found["note"].startswith("2 people have no prediction yet and come last")
    short = verbs_queue.queue_(store, limit=len(before["items"]) + 1)
    assert ids(short) == ids(found)[:-1] and short["total"] == found["total"]
    assert ids(verbs_queue.queue_(store, limit=2)) == ids(before)[:2]
    split = verbs_queue.queue_(store, split="train")
    assert not set(numbers) & set(ids(split))


def test_marked_people_are_found_with_the_last_reason(store, made):
    verbs_labels.mark(store, made.open[1], "flag", "ann", text="odd arm")
    verbs_labels.mark(store, made.val[0], "cannot_tell", "bob")
    verbs_labels.mark(store, made.open[2], "comment", "bob", text="nice")
    found = verbs_queue.queue_(store, order="marked")
    assert {item["instance_id"]: item["reason"] for item in found["items"]} == {
        made.open[1]: "flag by ann: odd arm",
        made.val[0]: "cannot tell by bob",
        made.open[2]: "comment by bob: nice",
    }
    assert all(item["keypoints"] == [] for item in found["items"])
    assert ids(verbs_queue.queue_(store, order="marked", split="val")) == [made.val[0]]
    assert found["items"][0]["marks"][0]["kind"] == "flag"


def test_the_marked_leave_when_their_work_is_done(store, made):
    whole, wrist, skipped, asked = made.open[:4]
    verbs_labels.mark(store, whole, "flag", "ann")
    verbs_labels.mark(store, wrist, "flag", "ann", keypoint=WRIST)
    verbs_labels.mark(store, skipped, "cannot_tell", "ann")
    verbs_labels.mark(store, asked, "comment", "ann", text="which arm?")

    def marked():
        return set(ids(verbs_queue.queue_(store, order="marked")))

    assert marked() == {whole, wrist, skipped, asked}
    place(store, wrist, [WRIST], "e1")
    assert wrist not in marked()
    for person in (whole, skipped, asked):
        verbs_labels.mark(store, person, "seen", "ann")
    assert marked() == {whole, asked}, "a flag of the person and a comment are answered on purpose"
    assert skipped not in ids(verbs_queue.queue_(store)), "it still cannot be told"
    verbs_labels.mark(store, whole, "unflag", "ann")
    verbs_labels.mark(store, asked, "comment", "bob", text="resolved")
    assert marked() == set()


def test_suspects_that_somebody_has_seen_stay_away_until_their_labels_change(store, made):
    person = made.labeled[0]
    evidence_of_a_swap(store, made, person)
    found = verbs_queue.queue_(store, order="suspects")
    assert ids(found)[0] == person and "swapped" in found["items"][0]["reason"]
    document = documents.document(store, person)
    swaps = {
        row["keypoint"]: row["partner"] for row in document["suspects"] if row["kind"] == "swap"
    }
    assert swaps[9] == 10 and swaps[10] == 9
    assert "swapped" in document["reason"]
    verbs_labels.mark(store, person, "seen", "ann", keypoint=9)
    assert person in ids(verbs_queue.queue_(store, order="suspects")), "only one label was kept"
    left = {row["keypoint"] for row in documents.document(store, person)["suspects"]}
    assert 9 not in left and 10 in left
    verbs_labels.mark(store, person, "seen", "ann")
    store.write(
        lambda cursor: cursor.execute('UPDATE marks SET "at" = "at" - INTERVAL 1 DAY') and None
    )
    assert person not in ids(verbs_queue.queue_(store, order="suspects"))
    point = document["keypoints"][9]
    moved = [{"keypoint": 9, "state": "placed", "x": point["x"], "y": point["y"] + 1, "v": 2}]
    verbs_labels.label(store, person, moved, "ann")
    left = {row["keypoint"] for row in documents.document(store, person)["suspects"]}
    assert (
        9 not in left and 10 in left
    )  # what changed since is no suspect until it is looked at again


def evidence_of_a_swap(store, made, person) -> None:
    """Write the votes of a run that is right about everybody, and swap one person's label."""
    snapshot = standing.snapshot(store)
    hearing = evidence.Hearing.of(RunFolder(store.project / "runs" / RUN), snapshot)
    judge = hearing.judges[0]
    judge.xy_image[:] = np.nan_to_num(snapshot.people.xy_image, nan=100.0)
    judge.measures[:] = np.random.default_rng(0).normal(size=judge.measures.shape)
    hearing.write(store.project / "runs" / RUN)
    flip = snapshot.skeleton.flip_index
    place_ = list(snapshot.people.instance_id).index(person)
    points = snapshot.people.xy_image[place_]
    edits = [
        {"keypoint": k, "state": "placed", "x": points[flip[k], 0], "y": points[flip[k], 1], "v": 2}
        for k in range(edited.K)
    ]
    verbs_labels.label(store, person, edits, "ann")
    store.write(
        lambda cursor: (
            cursor.execute("UPDATE label_journal SET origin = 'import' WHERE origin = 'edit'")
            and None
        )
    )
    standing.forget(store)


def test_the_sheet_shows_one_keypoint_of_many_people(store, made):
    found = sheet.sheet(store, "left_wrist", order="doubt")
    assert found["index"] == WRIST and found["calibrated"] and found["run_id"] == RUN
    assert set(ids(found)) == {*made.open, made.pair[1]} and found["total"] == 7
    assert not set(ids(found)) & set(made.val)
    scores = [item["score"] for item in found["items"]]
    assert all(item["error"] > 0.5 for item in found["items"]) and scores
    item = next(one for one in found["items"] if one["instance_id"] == made.open[0])
    point = documents.document(store, made.open[0])["keypoints"][WRIST]["prediction"]
    assert (item["x"], item["y"], item["error"]) == (point["x"], point["y"], point["error"])
    assert item["size"] == 100 and item["revision"] == 0
    sure = sheet.sheet(store, "nose", order="sure", limit=3, offset=2)
    every = sheet.sheet(store, "nose", order="sure", limit=100)
    assert ids(sure) == ids(every)[2:5] and sure["total"] == every["total"] == 7
    errors = [item["error"] for item in every["items"]]
    assert errors == sorted(errors)


def test_what_is_decided_flagged_skipped_or_moved_leaves_the_sheet(store, made):
    one, two, three, four, five, six = made.open
    base = sheet.sheet(store, "nose")["items"][0]["prediction_id"]
    assert base > 0
    verbs_labels.accept(store, one, "ann", keypoints=["nose"])
    verbs_labels.mark(store, two, "flag", "ann", keypoint="nose", text="nose")
    verbs_labels.mark(store, three, "flag", "ann", keypoint="left_wrist")
    verbs_labels.mark(store, four, "skip", "ann")
    verbs_labels.set_box(store, five, [50, 20, 110, 200], "ann")
    left = set(ids(sheet.sheet(store, "nose")))
    assert left == {three, six, made.pair[1]}
    assert three not in ids(sheet.sheet(store, "left_wrist"))
    row = next(i for i in sheet.sheet(store, "left_wrist")["items"] if i["instance_id"] == one)
    assert row["revision"] == documents.document(store, one)["revision"] > 0
    verbs_labels.undo(store, one, "ann")
    verbs_labels.mark(store, two, "unflag", "ann")
    assert {one, two} <= set(ids(sheet.sheet(store, "nose")))


def test_sheets_that_there_are_not(store, made):
    with pytest.raises(InputError, match="val"):
        sheet.sheet(store, "nose", split="val")
    with pytest.raises(NotFound, match="nose"):
        sheet.sheet(store, "noze")
    with pytest.raises(NotFound):
        sheet.sheet(store, "nose", run="nothing")
    wrongs: list[dict[str, Any]] = [{"order": "best"}, {"limit": -1}, {"offset": "1"}]
    for wrong in wrongs:
        with pytest.raises(InputError):
            sheet.sheet(store, "nose", **wrong)
    assert sheet.sheet(store, "nose", split="train")["items"] == []


def test_time_is_told_from_five_people_on(store, made):
    for number, person in enumerate(made.labeled[:4]):
        verbs_labels.label(
            store, person, [{"keypoint": 0, "state": "placed", "x": 80, "y": 80, "v": 2}], "ann",
            edit_id=f"e{number}", seconds=10,
        )  # fmt: skip
    found = verbs_queue.queue_(store, minutes=3)
    assert found["seconds_per_person"] is None and found["assumed_seconds"] == 40
    assert found["fits"] == 4, "180 s at 40 s a person"
    assert marks.seconds_each(store) == [10.0] * 4
    place_ = [{"keypoint": 0, "state": "placed", "x": 80, "y": 80, "v": 2}]
    verbs_labels.label(store, made.labeled[4], place_, "ann", edit_id="last", seconds=40)
    found = verbs_queue.queue_(store, minutes=1)
    assert found["assumed_seconds"] is None
    assert found["seconds_per_person"] == 10.0 and found["fits"] == 6
