"""The journal: nothing is lost, overwritten unseen, or saved twice."""

import threading
from typing import Any

import pytest

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError, NotFound
from posestudio.store import images, labels, people, splits, verify
from posestudio.store.labels import Conflict, NewLabel

BIG = 10_000


def placed(keypoint, x: Any = 20.0, y: Any = 30.0, v: Any = 2, **more) -> dict[str, Any]:
    return {"keypoint": keypoint, "state": "placed", "x": x, "y": y, "v": v, **more}


def save(store, person, *edits, edit_id, base: Any = 0, who="ann", **more):
    return labels.save_edits(
        store, person, list(edits), who=who, edit_id=edit_id, base_revision=base, **more
    )


def now(store, person) -> dict:
    return {row["keypoint"]: row for row in labels.current(store, person)}


def assert_derived_equals_journal(store):
    assert verify.verify(store, files=False)["problems"] == []


def test_an_edit_says_who_when_why_and_what_it_follows(store, add_people):
    (person,) = add_people(1)
    first = save(store, person, placed("nose"), placed(1, v=1), edit_id="e1")
    second = save(
        store, person, placed("nose", x=21), edit_id="e2", base=first["revision"], origin="accept",
        run_id="run", queued_for="a and b differ", seconds=2.5,
    )  # fmt: skip
    rows = labels.history(store, person)
    assert [(row["name"], row["x"], row["v"]) for row in rows] == [
        ("nose", 20, 2), ("left_eye", 20, 1), ("nose", 21, 2),
    ]  # fmt: skip
    last = rows[-1]
    assert last["follows"] == rows[0]["revision"] and rows[0]["follows"] is None
    assert (last["who"], last["origin"], last["run_id"]) == ("ann", "accept", "run")
    assert (last["queued_for"], last["seconds"], last["edit_id"]) == ("a and b differ", 2.5, "e2")
    assert last["at"] == second["saved_at"] and second["revision"] == last["revision"]
    assert now(store, person)[0]["x"] == 21
    assert_derived_equals_journal(store)


def test_a_repeated_edit_changes_nothing(store, add_people):
    (person, other) = add_people(2)
    first = save(store, person, placed("nose"), edit_id="e1")
    save(store, person, placed("nose", x=50), edit_id="e2", base=first["revision"])
    again = save(store, person, placed("nose"), edit_id="e1")
    assert again["repeated"] and again["revision"] == first["revision"]
    assert again["saved_at"] == first["saved_at"]
    assert now(store, person)[0]["x"] == 50 and len(labels.history(store, person)) == 2
    with pytest.raises(InputError, match="already used"):
        save(store, other, placed("nose"), edit_id="e1")


def test_two_tabs_cannot_overwrite_each_other_unseen(store, add_people):
    (person,) = add_people(1)
    base = save(store, person, placed("nose"), placed("left_eye"), edit_id="e1")["revision"]
    save(store, person, placed("nose", x=40), edit_id="e2", base=base, who="bob")
    with pytest.raises(Conflict, match="bob") as caught:
        save(store, person, placed("left_eye", x=1), placed("nose", x=2), edit_id="e3", base=base)
    assert caught.value.labels[0]["x"] == 40
    assert now(store, person)[1]["x"] == 20, "the whole edit is refused"
    other = save(store, person, placed("left_eye", x=1), edit_id="e4", base=base)
    assert [row["keypoint"] for row in other["others"]] == [0]
    save(store, person, placed("nose", x=3), edit_id="e5", base=None)
    assert now(store, person)[0]["x"] == 3
    assert_derived_equals_journal(store)


def test_an_edit_may_carry_a_base_of_its_own(store, add_people):
    (person,) = add_people(1)
    save(store, person, placed("nose"), edit_id="e1")
    with pytest.raises(Conflict):
        save(store, person, placed("nose", base_revision=0), edit_id="e2", base=BIG)


def test_an_undo_knows_of_each_keypoint_what_its_author_has_seen(store, add_people):
    """Ann places three keypoints, Bob moves one of them, and Ann goes on with another: her base is not his."""
    (person,) = add_people(1)
    first = save(store, person, *map(placed, (0, 1, 2)), edit_id="e1")["revision"]
    seen: dict[int, int] = dict.fromkeys((0, 1, 2), first)
    save(store, person, placed(0, x=40), edit_id="e2", base=first, who="bob")
    seen[1] = save(store, person, placed(1, x=50), edit_id="e3", base=first)["revision"]
    one: dict[str, Any] = {"who": "ann", "edit_id": "u1", "undoes": "e3"}
    seen[1] = labels.undo(store, person, base_revision={1: seen[1]}, **one)["revision"]
    whole: dict[str, Any] = {"who": "ann", "edit_id": "u2", "undoes": "e1"}
    for known in (seen, {1: seen[1], 2: first}):
        with pytest.raises(Conflict, match="nose.*bob"):
            labels.undo(store, person, base_revision=known, **whole)
    assert now(store, person)[0]["x"] == 40 and now(store, person)[1]["x"] == 20
    newest = now(store, person)[0]["revision"]
    assert labels.undo(store, person, base_revision={**seen, 0: newest}, **whole)["undone"] == "e1"
    assert_derived_equals_journal(store)


def test_an_undo_knows_the_edit_that_it_names_and_no_other(store, add_people):
    """As of a merge whose keypoints the page has not read again yet."""
    (person,) = add_people(1)
    save(store, person, placed(0), edit_id="e1")
    with pytest.raises(Conflict):
        labels.undo(store, person, who="bob", edit_id="u1", base_revision={0: 0})
    save(store, person, placed(0, x=40), edit_id="e2", base=None, who="bob")
    with pytest.raises(Conflict, match="bob"):
        labels.undo(store, person, who="ann", edit_id="u1", undoes="e1", base_revision={0: 0})
    labels.undo(store, person, who="bob", edit_id="u2", undoes="e2", base_revision={0: 0})
    assert now(store, person)[0]["x"] == 20


def test_an_edit_may_name_the_bases_of_its_keypoints(store, add_people):
    (person,) = add_people(1)
    first = save(store, person, placed(0), placed(1), edit_id="e1")["revision"]
    second = save(store, person, placed(0, x=40), edit_id="e2", base=first, who="bob")["revision"]
    for known in ({"0": first, "1": BIG}, {1: BIG}, {}):
        with pytest.raises(Conflict, match="bob"):
            save(store, person, placed(0), placed(1), edit_id="e3", base=known)
    told = save(store, person, placed(1, x=2), edit_id="e4", base={"1": first})
    assert [row["keypoint"] for row in told["others"]] == [0]
    assert save(store, person, placed(0, x=3), edit_id="e5", base={"0": second})["others"]
    for wrong in (
        {"nose": 1},
        {"-1": 1},
        {"0": -1},
        {0: True},
        {0: None},
        {True: 1},
        {"9" * 5000: 1},
    ):
        with pytest.raises(InputError, match="base_revision"):
            save(store, person, placed(0), edit_id="e6", base=wrong)


def test_undo_goes_back_edit_by_edit(store, add_people):
    (person,) = add_people(1)
    save(store, person, placed("nose"), edit_id="e1")
    absent = {"keypoint": "nose", "state": "absent", "reason": "cannot tell"}
    save(store, person, absent, placed("left_eye"), edit_id="e2", base=BIG)
    first = labels.undo(store, person, who="ann", edit_id="u1")
    assert first["undone"] == "e2"
    assert now(store, person)[0]["x"] == 20 and now(store, person)[1]["state"] == "open"
    assert labels.undo(store, person, who="ann", edit_id="u1")["repeated"]
    assert labels.undo(store, person, who="ann", edit_id="u2")["undone"] == "e1"
    assert {row["state"] for row in labels.current(store, person)} == {"open"}
    with pytest.raises(InputError, match="nothing to undo"):
        labels.undo(store, person, who="ann", edit_id="u3")
    save(store, person, placed("nose", x=9), edit_id="e3", base=BIG)
    assert labels.undo(store, person, who="ann", edit_id="u4")["undone"] == "e3"
    assert [row["origin"] for row in labels.history(store, person)].count("undo") == 4
    assert len(labels.history(store, person)) == 8, "nothing was taken out of the journal"
    assert_derived_equals_journal(store)


def test_undo_of_a_named_edit(store, add_people):
    person, other = add_people(2)
    for number, x in enumerate((10.0, 20.0), 1):
        edits = [{"keypoint": 0, "state": "placed", "x": x, "y": 5.0, "v": 2}]
        labels.save_edits(store, person, edits, who="ann", edit_id=f"e{number}", base_revision=None)
    told = labels.undo(store, person, who="ann", edit_id="u1", undoes="e2")
    assert told["undone"] == "e2" and told["labels"][0]["x"] == 10
    for nothing in (other, person):
        with pytest.raises(InputError, match="no edit"):
            labels.undo(
                store, nothing, who="ann", edit_id="u2", undoes="e2" if nothing == other else "x"
            )
    assert labels.undo(store, person, who="ann", edit_id="u3")["undone"] == "e1"


def test_undo_stops_at_the_import_and_at_a_newer_edit(store, add_people):
    (person,) = add_people(1)
    store.write(lambda c: labels.import_many(c, [NewLabel(person, 0, "placed", 1.0, 2.0, 2)]))
    with pytest.raises(InputError, match="nothing to undo"):
        labels.undo(store, person, who="ann", edit_id="u1")
    base = save(store, person, placed("nose"), edit_id="e1", base=BIG)["revision"]
    save(store, person, placed("nose", x=70), edit_id="e2", base=base, who="bob")
    with pytest.raises(Conflict):
        labels.undo(store, person, who="ann", edit_id="u1", base_revision=base)
    assert labels.undo(store, person, who="bob", edit_id="u2")["labels"][0]["x"] == 20
    labels.undo(store, person, who="ann", edit_id="u3")
    assert now(store, person)[0]["x"] == 1


@pytest.mark.parametrize(
    "edit",
    [
        placed("knee"),
        placed(17),
        placed(-1),
        placed(True),
        placed("nose", x=float("nan")),
        placed("nose", y=float("inf")),
        placed("nose", x="3"),
        placed("nose", x=None),
        placed("nose", x=10**400),
        placed("nose", v=0),
        placed("nose", v=3),
        placed("nose", v=2.0),
        placed("nose", reason="outside"),
        placed("nose", x=102.0),
        placed("nose", y=-3.0),
        placed("nose", color="red"),
        {"keypoint": "nose", "state": "absent"},
        {"keypoint": "nose", "state": "absent", "reason": "tired"},
        {"keypoint": "nose", "state": "absent", "reason": "outside", "v": 1},
        {"keypoint": "nose", "state": "open", "reason": "outside"},
        {"keypoint": "nose", "state": "guessed"},
        {"keypoint": "nose"},
        "nose",
    ],
)
def test_a_bad_edit_saves_nothing_of_its_company(store, add_people, edit):
    (person,) = add_people(1)
    with pytest.raises(InputError):
        save(store, person, placed("left_eye"), edit, edit_id="e1")
    assert labels.current(store, person) == []


@pytest.mark.parametrize(
    "more",
    [
        {"edits": []},
        {"edits": [placed("nose"), placed(0)]},
        {"who": ""},
        {"edit_id": ""},
        {"base_revision": -1},
        {"base_revision": "1"},
        {"origin": "import"},
        {"seconds": float("nan")},
        {"seconds": -1},
        {"queued_for": "x" * 500},
    ],
)
def test_bad_circumstances(store, add_people, more):
    (person,) = add_people(1)
    given = {"edits": [placed("nose")], "who": "a", "edit_id": "e", "base_revision": 0, **more}
    with pytest.raises(InputError):
        labels.save_edits(store, person, given.pop("edits"), **given)
    assert labels.current(store, person) == []


def test_a_little_outside_is_kept(store, add_people):
    (person,) = add_people(1)
    save(store, person, placed("nose", x=101.5, y=-2.5), edit_id="e")
    assert (now(store, person)[0]["x"], now(store, person)[0]["y"]) == (101.5, -2.5)


def test_nobody_there(store):
    with pytest.raises(NotFound):
        save(store, 5, placed("nose"), edit_id="e")
    with pytest.raises(NotFound):
        labels.undo(store, 5, who="a", edit_id="u")


def test_a_label_makes_an_unlabeled_group_train_but_leaves_val(store, add_people):
    (one,), (other,) = add_people(1), add_people(1, "val")
    open_ = {"keypoint": "nose", "state": "open"}
    save(store, one, open_, edit_id="e0")
    assert people.get(store, one)["split"] == "unlabeled"
    save(store, one, placed("nose"), edit_id="e1", base=BIG)
    save(store, other, placed("nose"), edit_id="e2")
    assert people.get(store, one)["split"] == "train"
    assert people.get(store, other)["split"] == "val"


def test_many_editors_lose_nothing(store, add_people):
    persons = add_people(3)
    faults = []

    def work(name):
        try:
            for i in range(6):
                edits = [placed(k, x=float(i), y=float(k)) for k in range(4)]
                save(store, persons[i % 3], *edits, edit_id=f"{name}-{i}", base=None, who=name)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work, args=(f"editor {i}",)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert sum(len(labels.history(store, person)) for person in persons) == 6 * 6 * 4
    assert_derived_equals_journal(store)


def test_ten_thousand_people_come_in_within_seconds(store):
    import time

    def job(cursor):
        rows = [images.NewImage(f"{i:064x}", 100, 100, split="train") for i in range(BIG)]
        ids = images.add_many(cursor, rows)
        persons = people.add_many(
            cursor,
            [people.NewPerson(i, (1, 1, 9, 9), "file", reviewed_on_import=True) for i in ids],
        )
        count = len(COCO17.keypoints)
        points = [NewLabel(p, k, "placed", 1.5, 2.5, 2) for p in persons for k in range(count)]
        return labels.import_many(cursor, points)

    start = time.monotonic()
    assert store.write(job) == BIG * 17
    assert time.monotonic() - start < 30, "a few seconds alone; a busy machine gets more"
    found = splits.counts(store)
    assert found["labeled"] == BIG * 17 and found["splits"]["train"]["reviewed"] == BIG
