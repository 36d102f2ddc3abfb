"""Predictions are not labels, know the box they were made with, and become labels only by accept."""

import math
from typing import Any

import numpy as np
import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import labels, people, predictions


def predict(store, persons, run="run-1", student="a", x=30.0):
    revision = [people.get(store, person)["box_revision"] for person in persons]
    return predictions.save(
        store,
        model=run,
        run_id=run,
        student=student,
        instance_id=persons,
        box_revision=revision,
        xy_image=np.full((len(persons), 17, 2), x),
        score=np.full((len(persons), 17), 0.5),
    )


def test_the_newest_of_each_student_counts_and_a_move_makes_it_stale(store, add_people):
    one, other = add_people(2)
    predict(store, [one, other])
    predict(store, [one], x=31.0)
    predict(store, [one], student="b")
    assert [(row["student"], row["x"][0]) for row in predictions.of_person(store, one)] == [
        ("b", 30.0),
        ("a", 31.0),
    ]
    people.set_box(store, one, [1, 1, 30, 30], who="ann")
    rows = predictions.of_model(store, "run-1", "a")
    assert [(row["instance_id"], row["stale"]) for row in rows] == [(one, True), (other, False)]
    (listed,) = predictions.list_models(store)
    assert (listed["students"], listed["people"], listed["stale"]) == (["a", "b"], 2, 1)
    assert labels.current(store, one) == []


def test_accept_places_open_keypoints_and_says_where_from(store, add_people):
    (person,) = add_people(1)
    (prediction,) = predict(store, [person])
    nose = {"keypoint": "nose", "state": "placed", "x": 5, "y": 5, "v": 1}
    base = labels.save_edits(store, person, [nose], who="a", edit_id="e0", base_revision=0)[
        "revision"
    ]
    chosen = predictions.accept(
        store, person, prediction, who="ann", edit_id="e1", base_revision=base, keypoints=[1, 2]
    )
    assert chosen["accepted"] == [1, 2]
    rows = labels.current(store, person)
    assert [(row["x"], row["v"], row["origin"]) for row in rows] == [
        (5, 1, "edit"),
        (30, 2, "accept"),
        (30, 2, "accept"),
    ]
    assert labels.history(store, person)[-1]["run_id"] == "run-1"


def test_accept_all_can_be_repeated(store, add_people):
    (person,) = add_people(1)
    (prediction,) = predict(store, [person])
    call = {"who": "ann", "edit_id": "e1", "base_revision": 0}
    assert len(predictions.accept(store, person, prediction, **call)["accepted"]) == 17
    assert predictions.accept(store, person, prediction, **call)["repeated"]
    with pytest.raises(InputError, match="no keypoint to accept"):
        predictions.accept(store, person, prediction, **{**call, "edit_id": "e2"})


def test_accept_knows_of_each_keypoint_what_its_author_has_seen(store, add_people):
    (person,) = add_people(1)
    (prediction,) = predict(store, [person])
    nose = {"keypoint": 0, "state": "placed", "x": 5, "y": 5, "v": 1}
    labels.save_edits(store, person, [nose], who="bob", edit_id="e0", base_revision=0)
    eye = {**nose, "keypoint": 1}
    newest = labels.save_edits(store, person, [eye], who="a", edit_id="e1", base_revision=0)[
        "revision"
    ]
    call: dict[str, Any] = {"who": "a", "edit_id": "e2", "keypoints": [0, 1]}
    with pytest.raises(labels.Conflict, match="nose.*bob"):
        predictions.accept(store, person, prediction, base_revision={0: 0, 1: newest}, **call)
    call["keypoints"] = [1]
    assert predictions.accept(store, person, prediction, base_revision={1: newest}, **call)


def test_points_outside_the_image_are_not_accepted(store, add_people):
    (person,) = add_people(1)
    (prediction,) = predict(store, [person], x=300.0)
    with pytest.raises(InputError, match="no keypoint to accept"):
        predictions.accept(store, person, prediction, who="a", edit_id="e", base_revision=0)


def test_accept_of_another_person(store, add_people):
    one, other = add_people(2)
    (prediction,) = predict(store, [one])
    with pytest.raises(NotFound):
        predictions.accept(store, other, prediction, who="a", edit_id="e", base_revision=0)


@pytest.mark.parametrize(
    ("xy", "score"),
    [
        (np.zeros((1, 17, 2)), np.zeros((1, 16))),
        (np.zeros((2, 17, 2)), np.zeros((2, 17))),
        (np.full((1, 17, 2), math.nan), np.zeros((1, 17))),
        (np.zeros((1, 17, 2)), np.full((1, 17), math.inf)),
    ],
)
def test_misfits_are_refused(store, add_people, xy, score):
    (person,) = add_people(1)
    with pytest.raises(InputError):
        predictions.save(
            store, model="m", student="-", instance_id=[person], box_revision=[1], xy_image=xy, score=score
        )  # fmt: skip


def test_uncertainties_are_replaced_by_run(store, add_people):
    add_people(2)
    row = {"instance_id": 1, "keypoint": 3, "uncertainty": 0.5, "reason": "views differ"}
    predictions.save_uncertainties(store, "one", [row, {**row, "instance_id": 2}])
    predictions.save_uncertainties(store, "two", [row])
    predictions.save_uncertainties(store, "one", [{**row, "uncertainty": math.nan}])
    (found,) = predictions.uncertainties(store, "one")
    assert found["uncertainty"] is None and found["reason"] == "views differ"
    assert len(predictions.uncertainties(store, "two", 1)) == 1
    assert predictions.save_uncertainties(store, "two", []) == 0
