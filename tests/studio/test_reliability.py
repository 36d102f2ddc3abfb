"""Whether error probabilities mean what they say, told from labels that nobody who said them had seen."""

import numpy as np
import pytest

from posestudio.studio import demo, reliability, work
from posestudio.studio.studio import Studio


@pytest.fixture(scope="module")
def studio(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "project"
    demo.make_demo(folder, seed=5, counts={"train": 44}, labeled=36)
    with Studio(folder, hold=True) as opened:
        work.pool(opened)
        yield opened


def test_held_out_labels_are_judged_by_fits_that_left_them_out(studio):
    run = studio.call("runs")[0]["run_id"]
    found = reliability.reliability(studio, run, work.now(studio))
    assert found is not None and found["source"] == reliability.HELD
    held = [row for row in studio.call("people") if row.get("fold") and row["placed"]]
    assert found["keypoints"] <= sum(row["placed"] for row in held)
    assert sum(row["n"] for row in found["bins"]) == found["keypoints"] >= reliability.LEAST
    share = np.average(
        [row["found"] for row in found["bins"]], weights=[row["n"] for row in found["bins"]]
    )
    assert share == pytest.approx(found["wrong"])


def test_labels_placed_later_decide_once_there_are_enough(studio):
    run = studio.call("runs")[0]["run_id"]
    said = [
        row for row in studio.call("uncertainties", run=run) if row["error_probability"] is not None
    ]
    points = {
        row["instance_id"]: row for row in studio.call("predictions", run=run, student="ensemble")
    }
    number = 0
    for row in said:  # every fourth was wrong
        if number == reliability.LEAST_LATER:
            break
        person = studio.call("person", instance_id=row["instance_id"])
        image = studio.call("image", image_id=person["image_id"])
        spot = points[row["instance_id"]]
        x, y = spot["x"][row["keypoint"]], spot["y"][row["keypoint"]]
        if number % 4 == 0:
            y += (0.5 if y < image["height"] / 2 else -0.5) * person["box_xywh"][3]
        if not (0 <= x < image["width"] and 0 <= y < image["height"]):
            continue
        edit = {"keypoint": row["keypoint"], "state": "placed", "x": x, "y": y, "v": 2}
        studio.call("label", instance_id=row["instance_id"], edits=[edit], who="tester")
        number += 1
    found = reliability.reliability(studio, run, work.now(studio))
    assert found is not None and found["source"] == reliability.LATER
    assert found["keypoints"] == number == reliability.LEAST_LATER and found[
        "wrong"
    ] == pytest.approx(0.26)


def test_wilson_holds_the_share_and_narrows():
    for share, n in ((0.0, 5), (0.5, 10), (1.0, 40)):
        low, high = reliability.wilson(share, n)
        assert 0 <= low <= share <= high <= 1
    assert np.ptp(reliability.wilson(0.3, 1000)) < np.ptp(reliability.wilson(0.3, 10))
