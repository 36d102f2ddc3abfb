"""Marks: an append-only journal beside the labels, what of it stands, and what it tells about time."""

from datetime import datetime, timedelta

import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import backup, deletion, labels, marks, migrations, verify
from posestudio.store.database import Database, Store


def standing(store):
    return [(row["instance_id"], row["kind"]) for row in marks.standing(store)]


def say(store, person, kind, edit_id=None, **more):
    return marks.add(store, person, kind, who="ann", edit_id=edit_id or f"{kind}-{person}", **more)


def place(store, person, edit_id, seconds=None, keypoint=0):
    edits = [{"keypoint": keypoint, "state": "placed", "x": 20.0, "y": 30.0, "v": 2}]
    return labels.save_edits(
        store, person, edits, who="ann", edit_id=edit_id, base_revision=None, seconds=seconds
    )


def test_a_mark_is_kept_with_author_and_time_and_said_once(store, add_people):
    (person,) = add_people(1)
    first = say(store, person, "comment", text="  <i>left</i> is right ", keypoint=3)
    again = say(store, person, "comment", text="  <i>left</i> is right ", keypoint=3)
    assert again == {**first, "repeated": True}
    (row,) = marks.of_person(store, person)
    assert row == {
        "kind": "comment", "keypoint": 3, "text": "<i>left</i> is right", "who": "ann", "at": first["saved_at"],
    }  # fmt: skip


def test_what_stands_ends_with_unflag_or_with_a_label(store, add_people):
    one, two, three = add_people(3)
    for kind in ("flag", "skip", "cannot_tell", "seen", "comment"):
        say(store, one, kind, text="why")
    say(store, two, "skip")
    say(store, three, "flag")
    assert standing(store) == [
        (one, "flag"), (one, "skip"), (one, "cannot_tell"), (one, "seen"), (one, "comment"), (two, "skip"),
        (three, "flag"),
    ]  # fmt: skip
    place(store, one, "e1")
    place(store, two, "e2")
    assert standing(store) == [(one, "flag"), (one, "comment"), (three, "flag")]
    say(store, one, "unflag")
    say(store, three, "unflag")
    assert standing(store) == [(one, "comment")]
    say(store, three, "flag", edit_id="anew")
    assert standing(store) == [(one, "comment"), (three, "flag")]


def test_an_unflag_of_a_keypoint_leaves_other_marks_alone(store, add_people):
    (person,) = add_people(1)
    for number, keypoint in enumerate((None, 9, 10)):
        say(store, person, "flag", edit_id=f"f{number}", keypoint=keypoint)
    say(store, person, "unflag", edit_id="u1", keypoint=9)
    assert [row["keypoint"] for row in marks.standing(store)] == [None, 10]
    say(store, person, "unflag", edit_id="u2")
    assert marks.standing(store) == []


def test_a_flag_of_a_keypoint_ends_with_its_label_and_comes_back_with_the_undo(store, add_people):
    (person,) = add_people(1)
    place(store, person, "before", keypoint=9)
    say(store, person, "flag", keypoint=9)
    place(store, person, "other", keypoint=3)
    assert standing(store) == [(person, "flag")]
    place(store, person, "own", keypoint=9)
    assert standing(store) == []
    labels.undo(store, person, who="ann", edit_id="u", undoes="own")
    assert standing(store) == [(person, "flag")]


def test_comments_stand_until_they_are_resolved(store, add_people):
    (person,) = add_people(1)
    say(store, person, "comment", text="why is it dark")
    say(store, person, "unflag")
    assert standing(store) == [(person, "comment")]
    say(store, person, "comment", text=" Resolved ", edit_id="done")
    assert standing(store) == []
    say(store, person, "comment", text="and now?", edit_id="anew")
    assert [row["text"] for row in marks.standing(store)] == ["and now?"]
    assert len(marks.of_person(store, person)) == 4


@pytest.mark.parametrize("kind", ["skip", "cannot_tell", "flag", "comment", "seen"])
def test_one_mark_is_taken_back_alone(store, add_people, kind):
    one, two = add_people(2)
    say(store, one, "flag", edit_id="first")
    say(store, one, kind, edit_id="second", text="why")
    assert marks.undo(store, two, "second", who="ann", edit_id="x") is None
    told = marks.undo(store, one, "second", who="ann", edit_id="u")
    assert told and told["undone"] == "second" and not told["repeated"]
    again = marks.undo(store, one, "second", who="ann", edit_id="u")
    assert again == {**told, "repeated": True}
    assert standing(store) == [(one, "flag")] and marks.worked_today(store) == {}


def test_what_an_unflag_took_away_comes_back(store, add_people):
    (person,) = add_people(1)
    say(store, person, "flag")
    say(store, person, "unflag", edit_id="off")
    marks.undo(store, person, "off", who="ann", edit_id="u")
    assert standing(store) == [(person, "flag")]


def test_a_skip_ends_with_the_day_and_cannot_tell_does_not(store, add_people):
    (person,) = add_people(1)
    say(store, person, "skip")
    say(store, person, "cannot_tell")
    store.write(
        lambda cursor: cursor.execute('UPDATE marks SET "at" = "at" - INTERVAL 1 DAY') and None
    )
    assert standing(store) == [(person, "cannot_tell")]


def test_who_was_worked_on_today_and_how_long_it_took(store, add_people):
    one, two, three = add_people(3)
    place(store, one, "e1", seconds=4.0)
    place(store, one, "e2", seconds=6.0, keypoint=1)
    place(store, two, "e3", seconds=3.0)
    say(store, one, "seen")
    say(store, three, "seen")
    place(store, three, "e4")
    assert marks.worked_today(store) == {one: True, two: False, three: False}
    assert marks.seconds_each(store) == [3.0, 10.0]
    labels.undo(store, two, who="ann", edit_id="u")
    assert marks.seconds_each(store) == [3.0, 10.0] and marks.seconds_each(store, 1) == [3.0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "praise"},
        {"kind": None},
        {"kind": "comment"},
        {"text": "x" * 2001},
        {"text": 5},
        {"text": "half \ud83d"},
        {"edit_id": "half \ud83d"},
        {"keypoint": 17},
        {"keypoint": -1},
        {"keypoint": True},
        {"who": ""},
        {"edit_id": ""},
    ],
)
def test_marks_that_say_nothing_are_refused(store, add_people, wrong):
    (person,) = add_people(1)
    with pytest.raises(InputError):
        marks.add(store, person, **{"kind": "flag", "who": "ann", "edit_id": "e", **wrong})
    assert marks.of_person(store, person) == []


def test_marks_of_nobody_and_ids_of_others(store, add_people):
    one, two = add_people(2)
    with pytest.raises(NotFound):
        say(store, 99, "flag")
    with pytest.raises(NotFound):
        marks.of_person(store, 99)
    say(store, one, "flag", edit_id="e")
    for person, kind in ((two, "flag"), (one, "unflag")):
        with pytest.raises(InputError, match="already used"):
            say(store, person, kind, edit_id="e")


def test_marks_go_with_the_person_and_come_with_a_backup(store, add_people, tmp_path):
    one, two = add_people(2)
    say(store, one, "comment", text="a secret")
    say(store, two, "flag")
    file = tmp_path / "copy.zip"
    backup.backup(store, file)
    deletion.delete_people(store, [one], who="ann")
    assert [row["instance_id"] for row in marks.standing(store)] == [two]
    assert store.read("SELECT count(*) AS n FROM marks")[0]["n"] == 1
    assert verify.verify(store, files=False)["ok"]
    backup.restore(tmp_path / "again", file)
    with Store(tmp_path / "again") as copy:
        assert [row["text"] for row in marks.of_person(copy, one)] == ["a secret"]


def test_a_store_of_the_first_version_takes_marks(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:1])
        old = Database(tmp_path / "store.duckdb")
        migrations.migrate(old)
        old.write(lambda cursor: cursor.execute("INSERT INTO meta VALUES ('kept', 'yes')") and None)
        old.close()
    with Store(tmp_path) as store:
        found = {row["key"]: row["value"] for row in store.read("FROM meta")}
        assert found["kept"] == "yes" and len(found["project_id"]) == 36
        assert store.read("FROM marks") == []


def test_the_day_begins_at_midnight_of_this_machine():
    start = marks._today()
    now = datetime.now().astimezone()
    local = (start + (now.utcoffset() or timedelta())).time()
    assert (local.hour, local.minute, local.second) == (0, 0, 0)
