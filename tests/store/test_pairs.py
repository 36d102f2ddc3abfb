"""Deeds on two people: both halves or none, the same twice, and taken back whole."""

import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import images, labels, pairs, people, verify
from posestudio.store.labels import Conflict


@pytest.fixture
def pair(store):
    """Two people of one image, and somebody of another image."""

    def job(cursor):
        new = [images.NewImage(f"{i:064x}", 100, 80) for i in (1, 2)]
        first, second = images.add_many(cursor, new)
        return people.add_many(
            cursor, [people.NewPerson(i, (10, 10, 50, 60), "full") for i in (first, first, second)]
        )

    return store.write(job)


def place(store, person, *keypoints, edit_id, x=20.0, v=2):
    edits = [{"keypoint": k, "state": "placed", "x": x, "y": 30.0, "v": v} for k in keypoints]
    return labels.save_edits(store, person, edits, who="ann", edit_id=edit_id, base_revision=None)


def states(store, person):
    return {row["keypoint"]: (row["state"], row["x"]) for row in labels.current(store, person)}


def count(store, table="label_journal"):
    return store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"]


def sound(store):
    assert verify.verify(store, files=False)["problems"] == []


def test_merge_fills_what_is_open_and_hides_the_duplicate(store, pair):
    keeper, duplicate, _ = pair
    place(store, keeper, 0, edit_id="a")
    absent = [{"keypoint": 2, "state": "absent", "reason": "outside"}]
    labels.save_edits(store, keeper, absent, who="ann", edit_id="b", base_revision=None)
    place(store, duplicate, 0, 1, 2, edit_id="c", x=40.0, v=1)
    merged = pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")
    assert merged["moved"] == [1] and not merged["repeated"]
    assert states(store, keeper) == {0: ("placed", 20.0), 1: ("placed", 40.0), 2: ("absent", None)}
    assert states(store, duplicate)[0] == ("placed", 40.0)  # the hidden one keeps what it had
    assert people.get(store, duplicate)["hidden"] and not people.get(store, keeper)["hidden"]
    last = labels.history(store, keeper)[-1]
    assert (last["v"], last["who"], last["edit_id"]) == (1, "bob", "m")
    before = count(store), count(store, "box_journal")
    again = pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")
    assert again == {**merged, "repeated": True}
    assert (count(store), count(store, "box_journal")) == before
    sound(store)


def test_undo_of_a_merge_shows_the_duplicate_again(store, pair):
    keeper, duplicate, _ = pair
    place(store, duplicate, 1, edit_id="a")
    pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")
    undone = labels.undo(store, keeper, who="bob", edit_id="u")
    assert undone["undone"] == "m" and states(store, keeper)[1] == ("open", None)
    assert not people.get(store, duplicate)["hidden"]
    boxes = count(store, "box_journal")
    assert labels.undo(store, keeper, who="bob", edit_id="u")["repeated"]
    assert count(store, "box_journal") == boxes
    sound(store)


def test_undo_of_a_merge_leaves_a_duplicate_alone_that_was_hidden_again(store, pair):
    keeper, duplicate, _ = pair
    place(store, duplicate, 1, edit_id="a")
    pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")
    people.set_hidden(store, duplicate, False, who="bob")
    people.set_hidden(store, duplicate, True, who="cem")
    labels.undo(store, keeper, who="bob", edit_id="u")
    assert people.get(store, duplicate)["hidden"]


def test_a_merge_without_keypoints_only_hides(store, pair):
    keeper, duplicate, _ = pair
    assert pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")["moved"] == []
    assert count(store) == 0 and people.get(store, duplicate)["hidden"]
    assert pairs.merge(store, duplicate, keeper, who="bob", edit_id="m")["repeated"]


def test_hand_moves_keypoints_and_undo_of_either_brings_them_back(store, pair):
    giver, taker, _ = pair
    place(store, giver, 5, 6, 7, edit_id="a", v=1)
    place(store, taker, 5, edit_id="b", x=70.0)
    given = pairs.hand(store, giver, taker, [5, 6], who="bob", edit_id="h")
    assert states(store, giver) == {5: ("open", None), 6: ("open", None), 7: ("placed", 20.0)}
    assert states(store, taker) == {5: ("placed", 20.0), 6: ("placed", 20.0)}
    assert pairs.hand(store, giver, taker, [5, 6], who="bob", edit_id="h") == {
        **given,
        "repeated": True,
    }
    for number, whom in enumerate((taker, giver)):
        labels.undo(store, whom, who="bob", edit_id=f"u{number}")
        assert states(store, giver)[5] == ("placed", 20.0)
        assert states(store, taker)[5] == ("placed", 70.0)
        assert states(store, taker)[6] == ("open", None)
        pairs.hand(store, giver, taker, [5, 6], who="bob", edit_id=f"h{number}")
    sound(store)


def test_undo_of_a_hand_is_refused_when_the_other_person_moved_on(store, pair):
    giver, taker, _ = pair
    place(store, giver, 5, edit_id="a")
    given = pairs.hand(store, giver, taker, [5], who="bob", edit_id="h")
    place(store, taker, 5, edit_id="c", x=55.0)
    rows = count(store)
    with pytest.raises(Conflict, match=f"person {taker} was changed by ann"):
        labels.undo(store, giver, who="bob", edit_id="u", base_revision=given["revision"])
    assert count(store) == rows and states(store, giver)[5] == ("open", None)


def test_labels_that_the_author_has_not_seen_are_a_conflict(store, pair):
    keeper, duplicate, _ = pair
    base = place(store, duplicate, 0, edit_id="a")["revision"]
    place(store, duplicate, 1, edit_id="b")
    rows = count(store), count(store, "box_journal")
    with pytest.raises(Conflict):
        pairs.merge(store, duplicate, keeper, who="x", edit_id="m", base_revision=base)
    with pytest.raises(Conflict):
        pairs.hand(store, duplicate, keeper, [1], who="x", edit_id="h", base_revision=base)
    assert (count(store), count(store, "box_journal")) == rows
    assert pairs.hand(store, duplicate, keeper, [0], who="x", edit_id="h", base_revision=base)
    assert pairs.merge(
        store, duplicate, keeper, who="x", edit_id="m", base_revision=base, after=["b", "h"]
    )


def test_what_was_seen_counts_for_each_keypoint(store, pair):
    """The newest revision that somebody has seen says nothing of the other keypoints."""
    keeper, duplicate, _ = pair
    first = place(store, duplicate, 0, 1, edit_id="a")["revision"]
    place(store, duplicate, 0, edit_id="b", x=60.0)
    seen = {0: first, 1: place(store, duplicate, 1, edit_id="c", x=50.0)["revision"]}
    with pytest.raises(Conflict, match="nose"):
        pairs.hand(store, duplicate, keeper, [0, 1], who="x", edit_id="h", base_revision=seen)
    with pytest.raises(Conflict, match="nose"):
        pairs.merge(store, duplicate, keeper, who="x", edit_id="m", base_revision=seen)
    assert pairs.hand(store, duplicate, keeper, [1], who="x", edit_id="h", base_revision=seen)
    assert states(store, keeper) == {1: ("placed", 50.0)}


def test_pairs_that_are_none_are_refused_and_change_nothing(store, pair):
    first, second, elsewhere = pair
    place(store, first, 0, edit_id="a")
    deeds = [
        (InputError, lambda: pairs.merge(store, first, elsewhere, who="x", edit_id="1")),
        (InputError, lambda: pairs.merge(store, first, first, who="x", edit_id="2")),
        (NotFound, lambda: pairs.merge(store, first, 99, who="x", edit_id="3")),
        (InputError, lambda: pairs.hand(store, first, elsewhere, [0], who="x", edit_id="4")),
        (InputError, lambda: pairs.hand(store, first, second, [0, 1], who="x", edit_id="5")),
        (InputError, lambda: pairs.hand(store, first, second, [], who="x", edit_id="6")),
        (InputError, lambda: pairs.hand(store, first, second, [0, 0], who="x", edit_id="7")),
        (InputError, lambda: pairs.hand(store, first, second, [True], who="x", edit_id="8")),
        (InputError, lambda: pairs.hand(store, first, second, [0], who=" ", edit_id="9")),
        (InputError, lambda: pairs.hand(store, first, second, [0], who="x", edit_id="a")),
    ]
    rows = count(store), count(store, "box_journal")
    for error, deed in deeds:
        with pytest.raises(error):
            deed()
    people.set_hidden(store, second, True, who="x", edit_id="gone")
    for edit_id in ("10", "gone"):
        with pytest.raises(InputError):
            pairs.merge(store, first, second, who="x", edit_id=edit_id)
    assert (count(store), count(store, "box_journal")) == (rows[0], rows[1] + 1)
