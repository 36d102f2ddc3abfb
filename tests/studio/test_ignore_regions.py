"""Regions to ignore: drawn by hand, never asked about, trained on or counted, and ignored by COCO's own evaluation."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from posestudio.store.database import Store
from posestudio.studio import sheet, standing, verbs_data, verbs_labels, verbs_queue
from tests import edited
from tests.edited import K, Made

REGION = [200.0, 20.0, 100.0, 180.0]


@pytest.fixture
def made(tmp_path) -> Made:
    return edited.make(tmp_path)


@pytest.fixture
def store(made: Made):
    with Store(made.folder) as opened:
        yield opened


def ap(file, results) -> float:
    """COCO's AP of keypoints."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(file))
        judge = COCOeval(truth, truth.loadRes(copy.deepcopy(results)), "keypoints")
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return float(judge.stats[0])


def test_a_region_excuses_what_is_found_in_it(store, made, tmp_path):
    image = standing.snapshot(store).people.image_id[0]
    file = tmp_path / "out.json"
    verbs_data.export_coco(store, str(file), split="train")
    fields = ("image_id", "category_id", "keypoints")
    entries = json.loads(file.read_text())["annotations"]
    results = [{**{name: one[name] for name in fields}, "score": 0.5} for one in entries]
    inside = np.tile([250.0, 100.0, 2.0], K).tolist()
    stray = {"image_id": int(image), "category_id": 1, "keypoints": inside, "score": 0.9}
    assert ap(file, results) == pytest.approx(1.0) and ap(file, [*results, stray]) < 0.99
    verbs_labels.add_person(store, int(image), REGION, "ann", iscrowd=True)
    verbs_data.export_coco(store, str(file), split="train")
    assert ap(file, [*results, stray]) == pytest.approx(1.0)
    content = json.loads(file.read_text())
    (region,) = [one for one in content["annotations"] if one["iscrowd"]]
    assert (
        region["bbox"] == REGION
        and region["num_keypoints"] == 0
        and len(region["keypoints"]) == 3 * K
    )


def test_nobody_asks_about_a_region_or_learns_from_it(store, made):
    image = int(standing.snapshot(store).people.image_id[len(made.labeled)])
    region = verbs_labels.add_person(store, image, REGION, "ann", iscrowd=True)["instance_id"]
    people = standing.snapshot(store).people
    assert people.iscrowd[list(people.instance_id).index(region)]
    for order in ("doubt", "variety", "random"):
        assert region not in [
            i["instance_id"] for i in verbs_queue.queue_(store, order=order)["items"]
        ]
    assert region not in [i["instance_id"] for i in sheet.sheet(store, "nose")["items"]]
    again = verbs_labels.add_person(store, image, REGION, "ann", iscrowd=True, edit_id="e")
    assert verbs_labels.add_person(store, image, REGION, "ann", iscrowd=True, edit_id="e") == {
        **again, "repeated": True,
    }  # fmt: skip
