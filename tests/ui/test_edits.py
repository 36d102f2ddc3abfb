"""The editor's routes over a real studio: every deed, twice, out of date, out of place and out of form."""

import json
import math
import secrets
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from posestudio.core.skeleton import COCO17
from posestudio.studio.studio import STORE_FILE, Studio
from posestudio.ui import answers, edits
from posestudio.ui.guard import Guard
from tests import edited
from tests.edited import BAD, K, Made

ADDRESS = "http://127.0.0.1:7860"


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return edited.make(tmp_path)


@pytest.fixture
def studio(made: Made):
    with Studio(made.folder, hold=True) as opened:
        yield opened


def server(studio: Studio) -> TestClient:
    app = FastAPI()
    app.add_middleware(Guard)
    app.include_router(edits.routes(studio, secrets.token_urlsafe(32)))
    return TestClient(app, base_url=ADDRESS)


class Page:
    """A page of the editor: a client with its token, and edits with fresh ids."""

    def __init__(self, client: TestClient, who: str = "ann") -> None:
        self.client = client
        self.who = who
        self.token = client.get("/api/session").json()["token"]
        self.made = 0

    def edit(self, instance: int | None, deed: str, **fields):
        self.made += 1
        start = {"edit_id": f"{self.who}-{self.made}", "instance_id": instance, "who": self.who}
        return {**start, "base_revision": None, "deed": deed, **fields}

    def send(self, *edits):
        answer = self.post({"edits": list(edits)})
        assert answer.status_code == 200, answer.text
        return answer.json()["results"]

    def do(self, instance: int | None, deed: str, **fields):
        return self.send(self.edit(instance, deed, **fields))[0]

    def post(self, body, token: str | None = None):
        headers = {answers.TOKEN: self.token if token is None else token}
        return self.client.post("/api/edits", json=body, headers=headers)

    def document(self, instance: int):
        answer = self.client.get(f"/api/people/{instance}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def queue(self, **asked):
        answer = self.client.get("/api/queue", params=asked)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest.fixture
def page(studio: Studio):
    with server(studio) as client:
        yield Page(client)


def placed(keypoint: int, x: float = 100.0, y: float = 60.0, v: int = 2, **more):
    return {"keypoint": keypoint, "state": "placed", "x": x, "y": y, "v": v, **more}


def test_a_session_says_what_the_project_is(page, studio):
    found = page.client.get("/api/session").json()
    skeleton = found["skeleton"]
    assert skeleton["keypoints"] == list(COCO17.keypoints) and len(skeleton["limbs"]) == 19
    assert all(0 <= end < K for limb in skeleton["limbs"] for end in limb)
    assert [skeleton["flip"][k] for k in skeleton["flip"]] == list(range(K))
    assert skeleton["sides"][5] == "left" and skeleton["sides"][6] == "right"
    assert set(skeleton["colors"]) == {"left", "right", "center"}
    assert found["taught"] == [True] * K and found["error_limit"] == 0.2
    assert found["counts"]["people"] == 51 and "skeleton" not in found["counts"]
    assert found["who"] and found["project"] == str(studio.project)
    with server(studio) as second:
        other = second.get("/api/session").json()
    assert other["token"] != found["token"] and other["project_id"] == found["project_id"]


def test_a_page_of_another_project_is_turned_away(page, made):
    """It was open at this address before; what it asks and sends is of the other project."""
    project = page.client.get("/api/session").json()["project_id"]
    edit = page.edit(made.open[1], "label", labels=[placed(0)])
    for named, status in (("another", 503), (project, 200)):
        headers = {answers.TOKEN: page.token, answers.PROJECT: named}
        read = page.client.get(f"/api/people/{made.open[1]}", headers=headers)
        sent = page.client.post("/api/edits", json={"edits": [edit]}, headers=headers)
        assert [read.status_code, sent.status_code] == [status, status]
        if status == 503:
            assert sent.json()["error"]["kind"] == "busy"
            assert page.document(made.open[1])["revision"] == 0
    assert sent.json()["results"][0]["ok"]


def test_a_document_holds_everything_of_a_person(page, made):
    found = page.document(made.open[1])
    assert found["image"]["url"] == f"/media/{found['image_id']}" and not found["blind"]
    assert found["box"]["xywh"] == list(edited.BOX) and found["revision"] == 0
    assert [point["state"] for point in found["keypoints"]] == ["open"] * K
    wrist, nose = found["keypoints"][BAD[0]], found["keypoints"][0]
    assert wrist["prediction"]["error"] > 0.9 > 0.1 > nose["prediction"]["error"]
    assert wrist["prediction"]["source"] == edited.RUN and set(wrist["students"]) == {"a", "b"}
    assert "left wrist" in found["reason"] and found["calibrated"] and not found["stale"]
    assert found["neighbors"] == {"before": made.open[0], "after": made.open[2]}
    labeled = page.document(made.labeled[3])
    assert labeled["keypoints"][0]["state"] == "placed" and labeled["revision"] > 0
    assert labeled["keypoints"][0]["origin"] == "import" and labeled["reason"] is None
    assert labeled["previous"]["instance_id"] == made.labeled[2]
    assert len(labeled["previous"]["points"]) == K
    first, second = made.pair
    (other,) = page.document(first)["others"]
    assert other["instance_id"] == second and other["source"] == "prediction"
    assert len(other["points"]) == K


def test_what_is_saved_is_in_the_journal_when_it_is_answered(page, made):
    person = made.open[0]
    edit = page.edit(
        person, "label", labels=[placed(0), {"keypoint": 1, "state": "absent", "reason": "outside"}],
        queued_for="left wrist", seconds=4.5, base_revision=0,
    )  # fmt: skip
    saved = page.send(edit)[0]
    assert saved["ok"] and not saved["repeated"] and saved["others"] == []
    rows = page.client.get(f"/api/people/{person}/history").json()["rows"]
    assert [row["name"] for row in rows] == ["nose", "left_eye"]
    assert {row["at"] for row in rows} == {saved["saved_at"]}
    assert rows[0]["seconds"] == 4.5 and rows[0]["queued_for"] == "left wrist"
    again = page.send(edit)[0]
    assert again["repeated"] and again["revision"] == saved["revision"]
    assert page.client.get(f"/api/people/{person}/history").json()["rows"] == rows
    found = page.document(person)
    assert found["revision"] == saved["revision"] and found["split"] == "train"
    assert found["keypoints"][1]["absent_reason"] == "outside"


def test_the_history_says_where_the_prediction_was(page, made, studio):
    person = made.open[0]
    point = page.document(person)["keypoints"][3]["prediction"]
    page.do(person, "label", labels=[placed(3, run_id=edited.RUN), placed(4, run_id=None)])
    newer(studio, person, 30.0)
    page.do(person, "accept", keypoints=[5])
    refused = page.do(person, "label", labels=[placed(4, run_id=7)])
    assert refused["error"]["kind"] == "invalid"
    rows = page.client.get(f"/api/people/{person}/history").json()["rows"]
    assert [row["run_id"] for row in rows] == [edited.RUN, None, edited.RUN]
    assert rows[0]["predicted"] == [point["x"], point["y"]], "as it was then"
    assert rows[1]["predicted"] is None and rows[2]["predicted"] == [rows[2]["x"], rows[2]["y"]]


def test_a_page_does_not_stand_in_its_own_way(page, made):
    person = made.open[0]
    first, second, third = (
        page.edit(person, "label", labels=[placed(0, x=100.0 + i)], base_revision=0)
        for i in range(3)
    )
    results = page.send(first, second)
    assert [one["ok"] for one in results] == [True, True]
    late = page.send({**third, "after": [first["edit_id"], second["edit_id"]]})[0]
    assert late["ok"] and page.document(person)["keypoints"][0]["x"] == 102.0
    alone = page.do(person, "label", labels=[placed(0)], base_revision=0)
    assert alone["error"]["kind"] == "conflict"


def test_somebody_elses_edit_is_a_conflict_with_the_newest_document(page, made, studio):
    person = made.open[0]
    with server(studio) as client:
        other = Page(client, "bob").do(person, "label", labels=[placed(0, x=90.0), placed(1)])
    mine = page.edit(person, "label", labels=[placed(5), placed(0)], base_revision=0)
    refused = page.send(mine)[0]
    assert not refused["ok"] and refused["error"]["kind"] == "conflict"
    assert "bob" in refused["error"]["message"]
    assert refused["document"]["keypoints"][0]["x"] == 90.0
    assert page.document(person)["keypoints"][5]["state"] == "open"  # nothing of it was saved
    beside = page.do(person, "label", labels=[placed(5)], base_revision=0)
    assert beside["ok"] and {row["keypoint"] for row in beside["others"]} == {0, 1}
    batch = page.send(
        page.edit(person, "label", labels=[placed(6)], base_revision=0),
        page.edit(person, "label", labels=[placed(1)], base_revision=0),
    )
    assert [one["ok"] for one in batch] == [True, False]  # own edits do not cover up a stranger's
    assert batch[1]["document"]["revision"] == batch[0]["revision"] > other["revision"]


def test_a_keypoint_that_somebody_else_moved_is_not_undone_with_those_beside_it(page, made):
    person, bob = made.open[0], Page(page.client, "bob")
    first = page.do(person, "accept", keypoints=[0, 1, 2], base_revision={"0": 0, "1": 0, "2": 0})
    accepted, seen = f"ann-{page.made}", dict.fromkeys(map(str, range(3)), first["revision"])
    bob.do(person, "label", labels=[placed(0, x=90.0)], base_revision=first["revision"])
    mine = page.edit(person, "label", labels=[placed(1)], base_revision={"1": seen["1"]})
    seen["1"] = page.send(mine)[0]["revision"]
    back = page.do(person, "undo", undoes=mine["edit_id"], base_revision={"1": seen["1"]})
    seen["1"] = back["revision"]
    refused = page.do(person, "undo", undoes=accepted, base_revision=seen)
    assert refused["error"]["kind"] == "conflict" and "bob" in refused["error"]["message"]
    assert (
        refused["document"]["keypoints"][0]["x"]
        == 90.0
        == page.document(person)["keypoints"][0]["x"]
    )


def test_accept_all_leaves_what_is_likely_wrong(page, made):
    person = made.open[0]
    edit = page.edit(person, "accept", base_revision=0, seconds=2)
    saved = page.send(edit)[0]
    assert saved["left"] == list(BAD) and len(saved["accepted"]) == K - len(BAD)
    found = page.document(person)
    point = found["keypoints"][0]
    assert (point["x"], point["y"]) == (point["prediction"]["x"], point["prediction"]["y"])
    assert point["origin"] == "accept" and found["keypoints"][BAD[0]]["state"] == "open"
    again = page.send(edit)[0]
    assert again["repeated"] and again["accepted"] == saved["accepted"]
    empty = page.do(person, "accept", base_revision=saved["revision"])
    assert empty["error"]["kind"] == "invalid" and "too doubtful" in empty["error"]["message"]
    rest = page.do(person, "accept", base_revision=saved["revision"], over_limit=True)
    assert rest["accepted"] == list(BAD) and rest["left"] == []
    undone = page.do(person, "undo", base_revision=rest["revision"])
    assert undone["ok"] and page.document(person)["keypoints"][BAD[0]]["state"] == "open"
    named = page.do(made.open[1], "accept", keypoints=[BAD[0]], student="a")
    assert named["accepted"] == [BAD[0]]
    point = page.document(made.open[1])["keypoints"][BAD[0]]
    assert point["y"] == point["students"]["a"]["y"]


def test_the_error_limit_is_the_projects(page, made):
    def keep(limit, token=None):
        headers = {answers.TOKEN: token or page.token}
        return page.client.post("/api/settings", json={"error_limit": limit}, headers=headers)

    for wrong in (None, "0.3", -0.1, 1.5, True):
        assert keep(wrong).status_code == 400
    assert keep(0.3, "wrong").status_code == 403
    assert page.client.get("/api/session").json()["error_limit"] == 0.2
    assert keep(1).json() == {"error_limit": 1.0}
    assert page.client.get("/api/session").json()["error_limit"] == 1.0
    assert page.do(made.open[0], "accept")["left"] == [], "nothing is above it"


def test_the_prediction_that_was_seen_is_the_one_that_is_accepted(page, made, studio):
    person = made.open[0]
    seen = page.document(person)
    newer(studio, person, shift=7.0)
    page.do(person, "accept", prediction_id=seen["prediction_id"], keypoints=[0])
    found = page.document(person)
    assert found["prediction_id"] != seen["prediction_id"]
    assert found["keypoints"][0]["x"] == seen["keypoints"][0]["prediction"]["x"]
    assert found["keypoints"][0]["prediction"]["x"] == found["keypoints"][0]["x"] + 7.0
    assert found["keypoints"][0]["prediction"]["error"] is None  # nobody has judged the new one yet
    other = page.do(made.open[1], "accept", prediction_id=seen["prediction_id"], keypoints=[0])
    assert other["error"]["kind"] == "not_found"


def newer(studio: Studio, person: int, shift: float) -> None:
    """Predict a person again, so much to the right, through the door that runs use."""
    from posestudio.store import predictions

    rows = [
        r
        for r in studio.call("person_predictions", instance_id=person)
        if r["student"] == "ensemble"
    ]
    store = studio._store
    assert store is not None
    predictions.save(
        store, model=edited.RUN, run_id=edited.RUN, student="ensemble", instance_id=[person],
        box_revision=[rows[0]["box_revision"]],
        xy_image=[[[x + shift, y] for x, y in zip(rows[0]["x"], rows[0]["y"], strict=True)]],
        score=[rows[0]["score"]],
    )  # fmt: skip


def test_an_imported_model_can_be_chosen_and_gives_candidates(page, made, studio):
    from posestudio.store import predictions

    person, val = made.open[0], made.val[0]
    assert page.client.get("/api/session").json()["imported"] == []
    for number in (person, val):
        predictions.save(
            studio._store, model="rtmpose", student="external", instance_id=[number],
            box_revision=[page.document(number)["box"]["revision"]], xy_image=[[[70.0 + k, 80.0] for k in range(K)]],
            score=[[0.9] * K],
        )  # fmt: skip
    session = page.client.get("/api/session").json()
    assert session["imported"] == [{"run_id": "rtmpose", "words": "rtmpose · imported"}]
    assert "rtmpose" not in {run["run_id"] for run in session["runs"]}
    point = page.document(person)["keypoints"][3]
    assert point["candidates"] == [{"x": 73.0, "y": 80.0, "student": "rtmpose"}]
    assert point["prediction"]["source"] == edited.RUN
    chosen = page.client.get(f"/api/people/{person}", params={"run": "rtmpose"}).json()
    assert chosen["keypoints"][3]["prediction"]["source"] == "rtmpose"
    assert chosen["keypoints"][3]["candidates"] == []
    assert page.document(val)["keypoints"][3]["candidates"] == []
    page.do(person, "box", box=[10, 10, 90, 90])
    assert page.document(person)["keypoints"][3]["candidates"] == []


def test_a_moved_box_makes_the_prediction_stale(page, made):
    person = made.open[0]
    edit = page.edit(person, "box", box=[50, 20, 110, 200], base_revision=0)
    saved = page.send(edit)[0]
    assert saved["ok"] and saved["revision"] == 0 and saved["box_revision"] > 0
    assert page.send(edit)[0]["repeated"]
    found = page.document(person)
    assert found["stale"] and found["box"]["xywh"] == [50, 20, 110, 200]
    assert found["box"]["revision"] == saved["box_revision"]
    refused = page.do(person, "accept")
    assert refused["error"]["kind"] == "invalid" and "box" in refused["error"]["message"]
    assert page.do(person, "accept", keypoints=[0])["ok"]
    page.do(made.open[1], "hide")
    assert page.document(made.open[1])["hidden"]
    page.do(made.open[1], "restore")
    found = page.document(made.open[1])
    assert not found["hidden"] and not found["stale"]  # the box is where it was


def test_people_and_regions_to_ignore_are_drawn_once(page, made, studio, tmp_path):
    image = page.document(made.open[2])["image_id"]
    edit = page.edit(None, "add", image_id=image, box=[200, 40, 80, 150])
    first = page.send(edit)[0]
    assert first["ok"] and first["revision"] == 0
    again = page.send(edit)[0]
    assert again["instance_id"] == first["instance_id"] and again["repeated"]
    crowd = page.do(None, "add", image_id=image, box=[0, 0, 50, 50], iscrowd=True)["instance_id"]
    others = {one["instance_id"]: one for one in page.document(made.open[2])["others"]}
    assert set(others) == {first["instance_id"], crowd} and others[crowd]["iscrowd"]
    assert crowd not in {item["instance_id"] for item in page.queue()["items"]}
    studio.call("export_coco", out=str(tmp_path / "out.json"))
    entries = json.loads((tmp_path / "out.json").read_text())["annotations"]
    (ignored,) = [one for one in entries if one["iscrowd"]]
    assert ignored["bbox"] == [0, 0, 50, 50] and ignored["num_keypoints"] == 0
    used = page.do(made.open[3], "box", box=[1, 1, 50, 50], edit_id=edit["edit_id"])
    assert used["error"]["kind"] == "invalid"


def test_a_duplicate_merges_and_can_be_taken_back(page, made):
    keeper, duplicate = made.pair
    page.do(keeper, "label", labels=[placed(0, x=80.0)])
    page.do(duplicate, "label", labels=[placed(0, x=200.0), placed(1, x=201.0, v=1)])
    edit = page.edit(duplicate, "merge", into=keeper)
    merged = page.send(edit)[0]
    assert merged["ok"] and merged["moved"] == [1] and page.send(edit)[0]["repeated"]
    found = page.document(keeper)
    assert [point["x"] for point in found["keypoints"][:2]] == [80.0, 201.0]
    assert found["keypoints"][1]["v"] == 1 and found["others"] == []
    assert page.do(duplicate, "merge", into=keeper)["error"]["kind"] == "invalid"
    assert page.do(keeper, "undo")["ok"]
    found = page.document(keeper)
    assert (
        found["keypoints"][1]["state"] == "open" and found["others"][0]["instance_id"] == duplicate
    )


def test_keypoints_go_from_one_person_to_another_and_back(page, made):
    giver, taker = made.pair
    base = page.do(giver, "label", labels=[placed(9), placed(10)])["revision"]
    edit = page.edit(giver, "hand", to=taker, keypoints=[9, 10], base_revision=base)
    given = page.send(edit)[0]
    assert given["ok"] and given["to_revision"] > given["revision"] > base
    assert page.send(edit)[0] == {**given, "repeated": True}
    assert page.document(giver)["keypoints"][9]["state"] == "open"
    assert page.document(taker)["keypoints"][9]["state"] == "placed"
    page.do(taker, "undo")
    assert page.document(giver)["keypoints"][9]["state"] == "placed"
    assert page.document(taker)["keypoints"][9]["state"] == "open"
    stale = page.do(giver, "hand", to=taker, keypoints=[9], base_revision=base)
    assert stale["error"]["kind"] == "conflict" and stale["document"]["instance_id"] == giver
    elsewhere = page.do(giver, "hand", to=made.open[1], keypoints=[9])
    assert elsewhere["error"]["kind"] == "invalid"


def test_marks_stand_until_they_are_taken_back(page, made):
    person = page.queue()["items"][0]["instance_id"]
    edit = page.edit(person, "mark", kind="flag", text="<b>odd</b>", keypoint=9)
    saved = page.send(edit)[0]
    assert saved["ok"] and page.send(edit)[0]["repeated"]
    (mark,) = page.document(person)["marks"]
    assert (
        mark["text"] == "<b>odd</b>" and mark["keypoint"] == 9 and mark["at"] == saved["saved_at"]
    )
    (item,) = page.queue(order="marked")["items"]
    assert item["instance_id"] == person and item["reason"] == "flag by ann: <b>odd</b>"
    page.do(person, "mark", kind="skip")
    assert person not in {item["instance_id"] for item in page.queue()["items"]}
    assert page.document(person)["standing"] == ["flag", "skip"]
    page.do(person, "mark", kind="unflag")
    assert page.document(person)["standing"] == [] and page.queue(order="marked")["items"] == []
    assert person in {item["instance_id"] for item in page.queue()["items"]}
    assert page.do(person, "mark", kind="comment", text="  ")["error"]["kind"] == "invalid"
    assert page.do(person, "mark", kind="praise")["error"]["kind"] == "invalid"


def test_undo_takes_back_marks_and_of_labels_only_ones_own(page, made, studio):
    person = made.open[0]
    page.do(person, "mark", kind="skip")
    skipped = f"ann-{page.made}"
    assert person not in {item["instance_id"] for item in page.queue()["items"]}
    assert page.do(person, "undo", undoes=skipped)["undone"] == skipped
    assert person in {item["instance_id"] for item in page.queue()["items"]}
    bob = Page(page.client, "bob")
    page.do(person, "label", labels=[placed(1), placed(2)])
    mine = f"ann-{page.made}"
    bob.do(person, "label", labels=[placed(4)])
    assert page.do(person, "undo")["undone"] == mine, "bob's newer edit stays"
    undo = f"ann-{page.made}"
    assert page.do(person, "undo", undoes=undo)["ok"], "and it can be done again"
    states = [point["state"] for point in page.document(person)["keypoints"]]
    assert [k for k, state in enumerate(states) if state == "placed"] == [1, 2, 4]
    bob.do(person, "label", labels=[placed(2, 50.0)])
    refused = page.do(person, "undo")
    assert refused["error"]["message"] == f"There is nothing of ann's to undo for person {person}."


def test_val_people_are_blind(page, made, studio):
    person = made.val[0]
    found = page.document(person)
    assert found["blind"] and found["run_id"] is None and not found["calibrated"]
    assert found["suspects"] == [] and found["prediction_id"] is None and found["reason"] is None
    for point in found["keypoints"]:
        assert (
            point["prediction"] is None and point["students"] is None and point["candidates"] == []
        )
    refused = page.do(person, "accept", over_limit=True)
    assert refused["error"]["kind"] == "invalid" and "val" in refused["error"]["message"]
    queue = page.queue(split="val", order="doubt")
    assert queue["order"] == "random" and queue["run_id"] is None
    assert {item["instance_id"] for item in queue["items"]} == set(made.val)
    assert all(item["keypoints"] == [] and item["score"] is None for item in queue["items"])
    for order in ("doubt", "variety", "random"):
        shown = {item["instance_id"] for item in page.queue(order=order)["items"]}
        assert shown and not shown & set(made.val)
    assert page.do(person, "label", labels=[placed(0)])["ok"]
    assert page.document(person)["split"] == "val"


def test_the_queue_tells_reasons_pictures_and_time(page, made):
    queue = page.queue(minutes=10)
    assert queue["order"] == "doubt" and queue["calibrated"] and queue["total"] == 7
    assert queue["seconds_per_person"] is None and queue["fits"] == 7 and queue["done"] == 0
    item = queue["items"][0]
    assert item["crop"] == f"/media/{item['image_id']}/box/{item['instance_id']}?w=96"
    assert item["keypoints"][0]["name"] in ("left_wrist", "right_wrist")
    for number, person in enumerate(made.open[:5]):
        page.do(person, "accept", over_limit=True, seconds=10.0 + number)
    queue = page.queue(minutes=0.5)
    assert queue["done"] == 5 and queue["seconds_per_person"] == 12.0
    assert queue["total"] == 2 and queue["fits"] == 2 and len(queue["items"]) == 2
    assert page.queue(minutes=0.2)["fits"] == 1
    page.do(made.open[5], "mark", kind="seen")
    assert page.queue()["total"] == 1 and page.queue(limit=0)["items"] == []


def test_orders_of_the_queue(page, made):
    random = [item["instance_id"] for item in page.queue(order="random")["items"]]
    assert sorted(random) == sorted([*made.open, made.pair[1]])
    assert random == [item["instance_id"] for item in page.queue(order="random")["items"]]
    assert page.queue(order="variety")["order"] == "variety"
    suspects = page.queue(order="suspects")
    assert suspects["items"] == [] and "posestudio pool" in suspects["note"]
    for asked in (
        {"order": "best"},
        {"split": "test"},
        {"limit": -1},
        {"minutes": -1},
        {"minutes": "nan"},
    ):
        answer = page.client.get("/api/queue", params=asked)
        assert answer.status_code == 400 and answer.json()["error"]["kind"] == "invalid"
    assert page.client.get("/api/queue", params={"run": "nobody"}).status_code == 404


@pytest.mark.parametrize("token", ["", "wrong", "ä"])
def test_only_the_page_of_this_start_may_change_anything(page, made, token):
    body = {"edits": [page.edit(made.open[0], "hide")]}
    answer = page.client.post(
        "/api/edits", json=body, headers={answers.TOKEN: token.encode()} if token else {}
    )
    assert answer.status_code == 403 and answer.json()["error"]["kind"] == "token"
    assert not page.document(made.open[0])["hidden"]


def test_another_site_may_not_change_anything(page, made):
    body = {"edits": [page.edit(made.open[0], "hide")]}
    for origin in ("http://evil.example", "null"):
        headers = {answers.TOKEN: page.token, "Origin": origin}
        assert page.client.post("/api/edits", json=body, headers=headers).status_code == 403
    assert not page.document(made.open[0])["hidden"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{", b'{"edits": {}}', b'{"edits": []}', b'{"edits": [' + b"1," * 500 + b"1]}", b"\xff",
        b'{"edits": [{"x": NaN}]}', b"[" * 100_000, b'{"edits": "' + b"a" * (2 << 20) + b'"}',
    ],
    ids=lambda body: body[:14].decode("latin-1"),
)  # fmt: skip
def test_a_body_that_is_no_list_of_edits_is_refused(page, body):
    answer = page.client.post("/api/edits", content=body, headers={answers.TOKEN: page.token})
    assert answer.status_code == 400 and answer.json()["error"]["kind"] == "invalid"


WRONG = [
    {"deed": "erase"},
    {"deed": ["label"]},
    {"deed": None},
    {"deed": "hide", "colour": 1},
    {"deed": "hide", "edit_id": None},
    {"deed": "hide", "edit_id": "x" * 300},
    {"deed": "hide", "instance_id": "1"},
    {"deed": "hide", "instance_id": True},
    {"deed": "hide", "instance_id": 2**80},
    {"deed": "hide", "who": ""},
    {"deed": "hide", "who": 7},
    {"deed": "hide", "who": "a\nb"},
    {"deed": "label", "labels": []},
    {"deed": "label", "labels": [1]},
    {"deed": "label", "labels": [{"keypoint": 99, "state": "open"}]},
    {"deed": "label", "labels": [{"keypoint": True, "state": "open"}]},
    {"deed": "label", "labels": [placed(0, x=1e9)]},
    {"deed": "label", "labels": [placed(0, x=math.nan)]},
    {"deed": "label", "labels": [placed(0, v=0)]},
    {"deed": "label", "labels": [placed(0), placed(0)]},
    {"deed": "label", "labels": [placed(0, colour=1)]},
    {"deed": "label", "labels": [placed(0)], "base_revision": -1},
    {"deed": "label", "labels": [placed(0)], "base_revision": {"nose": 1}},
    {"deed": "undo", "base_revision": [1]},
    {"deed": "label", "labels": [placed(0)], "seconds": -1},
    {"deed": "label", "labels": [placed(0)], "after": "abc"},
    {"deed": "label", "labels": [placed(0)], "after": [1]},
    {"deed": "accept", "keypoints": []},
    {"deed": "accept", "keypoints": [99]},
    {"deed": "accept", "keypoints": "all"},
    {"deed": "accept", "over_limit": 1},
    {"deed": "accept", "prediction_id": "1"},
    {"deed": "undo"},
    {"deed": "box", "box": [1, 2, 3]},
    {"deed": "box", "box": [0, 0, "a", 5]},
    {"deed": "box", "box": [9999, 0, 50, 50]},
    {"deed": "box", "box": [0, 0, 10**400, 50]},
    {"deed": "add", "image_id": None, "box": [0, 0, 9, 9]},
    {"deed": "add", "image_id": 9999, "box": [0, 0, 9, 9]},
    {"deed": "merge"},
    {"deed": "hand", "to": 2, "keypoints": []},
    {"deed": "mark", "kind": "flag", "text": 5},
    {"deed": "mark", "kind": "flag", "text": "x" * 3000},
]


@pytest.mark.parametrize("fields", WRONG, ids=lambda fields: json.dumps(fields)[:60])
def test_an_edit_that_is_wrong_is_refused_alone(page, made, studio, fields):
    def rows():
        store = studio._store
        assert store is not None
        tables = ("label_journal", "box_journal", "marks", "instances")
        return [store.read(f"SELECT count(*) AS n FROM {table}")[0]["n"] for table in tables]

    before, good = rows(), page.edit(made.open[1], "label", labels=[placed(0)])
    bad = {**page.edit(made.open[0], "hide"), **fields}
    text = json.dumps({"edits": [bad, "no edit", good]})
    if "NaN" in text:
        answer = page.client.post("/api/edits", content=text, headers={answers.TOKEN: page.token})
        assert answer.status_code == 400 and rows() == before
        return
    first, second, third = page.send(bad, "no edit", good)
    assert not first["ok"] and first["error"]["kind"] in ("invalid", "not_found")
    assert 0 < len(first["error"]["message"]) < 700
    assert second == {"edit_id": None, "ok": False, "error": second["error"]} and third["ok"]
    assert rows() == [before[0] + 1, *before[1:]]


def test_half_a_character_is_refused_alone(page, made):
    """As of an emoji that was cut: it cannot be written anywhere, not even into the answer."""
    good, half = page.edit(made.open[1], "label", labels=[placed(0)]), "too sm\ud83d"
    bad = [
        page.edit(made.open[0], "mark", kind="comment", text=half),
        page.edit(made.open[0], "label", labels=[placed(0)], queued_for=half),
        page.edit(made.open[0], "hide", edit_id=half),
        page.edit(made.open[0], "hide", **{half: 1}),
    ]
    text = json.dumps({"edits": [*bad, good]})
    answer = page.client.post("/api/edits", content=text, headers={answers.TOKEN: page.token})
    *refused, last = answer.json()["results"]
    assert answer.status_code == 200 and last["ok"]
    assert {one["error"]["kind"] for one in refused} == {"invalid"}
    assert [one["edit_id"] for one in refused] == ["ann-2", "ann-3", None, "ann-5"]


def test_an_edit_that_the_studio_fails_at_holds_up_no_other(page, made, studio):
    store = studio._store
    assert store is not None
    store.write(lambda cursor: cursor.execute("DROP TABLE marks"))
    lost = page.edit(made.open[0], "mark", kind="skip")
    first, second = page.send(lost, page.edit(made.open[1], "label", labels=[placed(0)]))
    assert second["ok"] and not first["ok"] and first["edit_id"] == lost["edit_id"]
    assert first["error"]["kind"] == "failed" and "marks" in first["error"]["message"]


def test_a_store_that_takes_nothing_keeps_every_edit_waiting(page, made, studio):
    store, body = studio._store, {"edits": [page.edit(made.open[0], "hide")]}
    store.database._root.close()  # as after a file that could not be opened again
    for says in ("could not be used", "is closed"):
        answer = page.post(body)
        assert answer.status_code == 503 and answer.json()["error"]["kind"] == "busy"
        assert says in answer.json()["error"]["message"]
        store.close()


def test_addresses_that_name_nobody(page):
    assert page.client.get("/api/people/9999").json()["error"]["kind"] == "not_found"
    assert page.client.get("/api/people/9999/history").status_code == 404
    assert page.client.get("/api/people/nobody").json()["error"]["kind"] == "invalid"
    assert page.do(9999, "hide")["error"]["kind"] == "not_found"


def test_maps_are_of_runs_with_students_and_never_of_val(page, made):
    heat = f"/api/people/{made.open[0]}/heat"
    for address in (heat, heat + "?run=nothing", "/api/people/9999/heat"):
        answer = page.client.get(address)
        assert answer.status_code == 404 and answer.json()["error"]["kind"] == "not_found"
    answer = page.client.get(f"/api/people/{made.val[0]}/heat")
    assert answer.status_code == 404 and answer.json()["error"]["kind"] == "invalid"
    predict = f"/api/people/{made.open[0]}/predict"
    assert page.client.post(predict, json={}).json()["error"]["kind"] == "token"
    headers = {answers.TOKEN: page.token}
    assert page.client.post(predict, json={}, headers=headers).status_code == 404
    assert page.client.post(predict, json={"run": 5}, headers=headers).status_code == 400
    assert page.client.get(f"/api/people/{2**80}").json()["error"]["kind"] == "invalid"


def test_a_sheet_is_accepted_flagged_and_taken_back(page, made):
    asked = {"keypoint": "left_wrist", "order": "doubt"}
    sheet = page.client.get("/api/sheet", params=asked).json()
    assert sheet["total"] == 7 and sheet["items"][0]["crop"].startswith("/media/")
    good, bad = sheet["items"][:2]
    results = page.send(
        page.edit(
            good["instance_id"], "accept", keypoints=[sheet["index"]],
            prediction_id=good["prediction_id"], base_revision=good["revision"],
        ),
        page.edit(
            bad["instance_id"], "mark", kind="flag", keypoint=sheet["index"], text="left wrist"
        ),
    )  # fmt: skip
    assert [one["ok"] for one in results] == [True, True]
    point = page.document(good["instance_id"])["keypoints"][sheet["index"]]
    assert (point["x"], point["y"]) == (good["x"], good["y"])
    assert page.client.get("/api/sheet", params=asked).json()["total"] == 5
    page.send(
        page.edit(good["instance_id"], "undo", base_revision=results[0]["revision"]),
        page.edit(bad["instance_id"], "mark", kind="unflag"),
    )
    again = page.client.get("/api/sheet", params=asked).json()
    order = [[item["instance_id"] for item in one["items"]] for one in (sheet, again)]
    assert order[0] == order[1] and again["items"][0]["revision"] > good["revision"]
    wrong = page.client.get("/api/sheet", params={"keypoint": "nose", "split": "val"})
    assert wrong.status_code == 400
    assert page.client.get("/api/sheet").json()["error"]["kind"] == "invalid"
    assert page.client.get("/api/sheet", params={"keypoint": "tail"}).status_code == 404


def test_a_busy_store_keeps_the_page_waiting_with_its_edits(made):
    """The store is in other hands: nothing is answered for any edit, so that the outbox keeps them all."""
    from posestudio.store.database import Store

    (made.folder / "owner.json").write_text(
        json.dumps({"pid": 1, "address": "http://127.0.0.1:9", "token": "x"})
    )
    studio = Studio(made.folder)
    with server(studio) as client:
        page = Page(client)
        body = {"edits": [page.edit(made.open[0], "hide"), page.edit(made.open[1], "hide")]}
        with Store(made.folder):
            answer = page.post(body)
            assert answer.status_code == 503 and answer.json()["error"]["kind"] == "busy"
        assert all(one["ok"] for one in page.post(body).json()["results"])
    assert (made.folder / STORE_FILE).exists()
