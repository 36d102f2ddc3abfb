"""The Images page's routes over a real studio: filters by address, doubts, deeds on many photos, and refusals."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from posestudio.core.skeleton import COCO17
from posestudio.studio import photos, standing
from posestudio.studio.documents import ERROR_LIMIT
from posestudio.studio.studio import Studio, create
from posestudio.ui import answers, gallery
from tests import edited

TOKEN = "a token that nobody guesses"


class Page:
    """What the page's script does."""

    def __init__(self, studio: Studio) -> None:
        app = FastAPI()
        app.include_router(gallery.routes(studio, TOKEN))
        self.studio, self.client = studio, TestClient(app)

    def get(self, path: str, **asked):
        return self.client.get(f"/api/{path}", params=asked).json()

    def post(self, deed: str, token: str = TOKEN, **body):
        given = {"who": "me", "edit_id": f"e-{deed}-{len(str(body))}", **body}
        return self.client.post(f"/api/photos/{deed}", json=given, headers={answers.TOKEN: token})


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> edited.Made:
    return edited.make(tmp_path_factory.mktemp("edited"))


@pytest.fixture
def page(made):
    with Studio(made.folder, hold=True) as studio:
        yield Page(studio)


@pytest.fixture
def fresh(tmp_path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        yield Page(studio)


def test_a_page_by_its_address(page, made):
    found = page.get("gallery", split="val", sort="newest", limit=2, offset=1, name="", status="")
    assert found["total"] == edited.VAL and len(found["images"]) == 2
    assert all(row["split"] == "val" for row in found["images"])
    one = page.get(f"gallery/{found['images'][0]['image_id']}", split="val", sort="newest")
    assert one["place"] == 1 and one["after"] == found["images"][1]["image_id"]


@pytest.mark.parametrize(
    "path",
    ["gallery?status=x", "gallery?split=x", "gallery?sort=x", "gallery?limit=x", "gallery/x"],
)
def test_an_address_of_no_sense_is_refused_in_words(page, path):
    answer = page.client.get(f"/api/{path}")
    assert answer.status_code == 400 and answer.json()["error"]["kind"] == "invalid"
    assert page.client.get("/api/gallery/99999").status_code == 404


def test_doubts_are_chances_of_open_people_and_val_is_left_out(page, made):
    asked = [*made.open, *made.val, made.labeled[0]]
    found = page.get("doubts", people=",".join(map(str, asked)))
    assert found["run_id"] == edited.RUN and found["calibrated"]
    assert set(found["doubts"]) == {str(one) for one in made.open}
    assert all(value > 0.3 for value in found["doubts"].values())  # two keypoints of each are wrong
    assert page.get("doubts", people="x,,-1,7e3")["doubts"] == {}


def test_the_most_doubtful_photos_come_first_and_alone(page, made):
    by_doubt = page.get("gallery", sort="doubt")["images"]
    values = [row["doubt"] for row in by_doubt if row["doubt"] is not None]
    assert values == sorted(values, reverse=True) and len(values) == edited.OPEN
    found = page.get("gallery", doubtful="1")
    assert 0 < found["total"] <= edited.OPEN and found["calibrated"]


def test_doubtful_goes_by_the_projects_limit_of_errors(page):
    plain = page.get("gallery", doubtful="1")
    assert plain["error_limit"] == ERROR_LIMIT and plain["total"] > 0
    try:
        page.studio.call("set_error_limit", limit=1.0)
        assert page.get("gallery", doubtful="1")["total"] == 0
        assert page.get("overview")["error_limit"] == 1.0
    finally:
        page.studio.call("set_error_limit", limit=ERROR_LIMIT)


def test_nobody_is_doubtful_by_uncalibrated_doubts(page, monkeypatch):
    now = standing.now

    def uncalibrated(store, run_id):
        known = now(store, run_id)
        return replace(known, doubts=replace(known.doubts, probability=None))

    monkeypatch.setattr(standing, "now", uncalibrated)
    found = page.get("gallery", doubtful="1", sort="doubt")
    assert found["total"] == 0 and found["run_id"] == edited.RUN and not found["calibrated"]
    assert page.get("gallery", sort="doubt")["total"] > 0


def test_the_overview_counts_and_offers(page, made):
    found = page.get("overview")
    assert found["token"] == TOKEN and found["keypoints"] == 17 and not found["assumed"]
    assert found["counts"]["images"] == sum(found["statuses"].values())
    assert found["val"] == {"offer": 0, "labeled": edited.LABELED}  # there is a val set
    assert [row["model"] for row in found["models"]] == [edited.RUN]


def test_the_overview_of_an_empty_project_has_a_token(tmp_path):
    create(tmp_path / "project")
    with Studio(tmp_path / "project", hold=True) as studio:
        found = Page(studio).get("overview")
    assert found["token"] == TOKEN and found["keypoints"] == 0 and found["runs"] == 0
    assert found["project_id"] and found["who"]


def photo(page: Page, folder: Path, count: int) -> list[int]:
    files = [str(edited.photo(folder, n)) for n in range(count)]
    return page.studio.call("import_images", paths=files, boxes=None)["image_ids"]


def test_many_photos_get_boxes_a_split_and_are_put_away(fresh, tmp_path):
    ids = photo(fresh, tmp_path, 3)
    assert len(fresh.post("whole", images=ids[:2]).json()["people"]) == 2
    moved = fresh.post("split", images=ids[1:], split="val").json()
    assert moved["images"] >= 2 and moved["split"] == "val"
    assert fresh.post("hide", images=ids).json()["people"] == 2
    assert fresh.get("gallery")["total"] == 0
    assert fresh.post("restore", images=ids).json()["people"] == 2
    assert fresh.get("overview")["statuses"] == {
        "labeled": 0, "partly": 0, "open": 2, "empty": 1, "hidden": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("deed", "body", "words"),
    [
        ("split", {"images": [1], "split": "test"}, "split"), ("hide", {"images": []}, "images must be a list"),
        ("hide", {"images": [1.5]}, "whole numbers"), ("hide", {"images": [True]}, "whole numbers"),
        ("hide", {"images": "1"}, "images must be a list"), ("hide", {"images": [77]}, "no image 77"),
        ("whole", {"images": [1], "who": ""}, "who must be a name"), ("burn", {"images": [1]}, "no deed 'burn'"),
    ],
)  # fmt: skip
def test_deeds_of_no_sense_are_refused_in_words(fresh, tmp_path, deed, body, words):
    photo(fresh, tmp_path, 1)
    answer = fresh.post(deed, **body)
    assert answer.status_code in (400, 404) and words in answer.json()["error"]["message"]
    assert fresh.get("gallery")["total"] == 1


def test_nothing_is_done_without_the_token(fresh, tmp_path):
    ids = photo(fresh, tmp_path, 1)
    for deed in ("hide", "whole", "split", "detect", "aside"):
        assert fresh.post(deed, token="guessed", images=ids, split="val").status_code == 403
    assert fresh.get("gallery")["total"] == 1


def test_the_detector_says_what_it_lacks(fresh, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nowhere"))
    ids = photo(fresh, tmp_path, 1)
    words = fresh.get("overview")["detector"]
    assert not words["ready"] and photos.DETECTOR_FILE in words["words"]
    assert str(fresh.studio.project / "weights") in words["words"]
    answer = fresh.post("detect", images=ids)
    assert answer.status_code == 400 and answer.json()["error"]["message"] == words["words"]


def test_the_detector_adds_people_where_its_weights_are(fresh, tmp_path, monkeypatch):
    ids = photo(fresh, tmp_path, 2)
    weights = fresh.studio.project / "weights" / photos.DETECTOR_FILE
    weights.parent.mkdir()
    weights.write_bytes(b"x")
    asked = []

    def kept(path):  # in place of weights of 74 MB: one person on every photo
        asked.append(path)
        return lambda image: (np.array([[1.0, 2.0, 30.0, 40.0]]), np.ones(1))

    monkeypatch.setattr(photos, "kept_finder", kept)
    assert fresh.get("overview")["detector"]["ready"]
    assert len(fresh.post("detect", images=ids).json()["people"]) == 2 and asked == [weights]
    (person,) = fresh.get(f"gallery/{ids[0]}")["people"]
    assert person["box_xywh"] == [1, 2, 30, 40] and person["box_source"] == "detector"
    assert fresh.post("detect", images=ids * 9).status_code == 400
