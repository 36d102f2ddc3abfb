"""What Inspect's page is told: numbers that it can trust, sentences that say why, and refusals in words."""

import io
import json
import struct
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.store import people, predictions
from posestudio.store.database import Store
from posestudio.studio.json_form import plain
from posestudio.studio.studio import Studio, create
from posestudio.ui import answers, app, looks, reads, sides, texts
from tests import edited
from tests.ui.looks import EVIL, make_look
from tests.ui.test_pages import photo

SIDES = sides.of(COCO17)


def read(packet: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray], bytes]:
    """Header, maps and picture of a packet, as the page's script reads them."""
    (length,) = struct.unpack_from("<I", packet)
    head, start = json.loads(packet[4 : 4 + length]), 4 + length
    maps = {}
    for name, part in head["parts"].items():
        count = int(np.prod(part["shape"]))
        stored = np.frombuffer(packet, "<u2", count, start + part["at"]).reshape(part["shape"])
        maps[name] = np.where(stored == looks.NOTHING, np.nan, stored / head["scale"])
    at = start + head["photo"]["at"]
    return head, maps, packet[at : at + head["photo"]["bytes"]]


def head_of(look: dict[str, Any]) -> dict[str, Any]:
    return plain(looks.header(look, SIDES, COCO17.limbs))


def why(look: dict[str, Any], k: int) -> str:
    return " ".join(texts.why(look, k))


def test_maps_come_back_as_they_were_and_unseen_cells_as_nothing():
    look = make_look()
    look["maps"][0, 0, 0, :2] = -0.2, 1.3
    packet = looks.packet({"x": EVIL}, looks.maps(look), b"picture")
    head, maps, picture = read(packet)
    assert head["x"] == EVIL and picture == b"picture"
    assert np.abs(maps["after"] - look["offers"]).max() <= 0.501 / looks.SCALE
    assert maps["beliefs"][0, 0, 0, 0] == 0 and maps["beliefs"][0, 0, 0, 1] == pytest.approx(1.3)
    assert np.isnan(maps["votes"][:, 2, :, :3]).all() and np.isfinite(maps["votes"][:, :2]).all()
    assert all(part["at"] % 2 == 0 for part in head["parts"].values())
    assert struct.unpack_from("<I", packet)[0] % 4 == 0


def test_the_photo_is_a_jpeg_of_the_finer_cut():
    look = make_look()
    shown = Image.open(io.BytesIO(looks.photo(look["picture"])))
    assert shown.format == "JPEG" and shown.size == (192, 256)


def test_points_stay_in_crop_pixels_and_the_way_back_to_the_photo_is_exact():
    look = make_look()
    look["matrix"] = np.array([[0.5, 0.0, 7.0], [0.0, 0.5, -3.0]])
    head = head_of(look)
    xy = np.array(head["points"][1][4])
    assert np.allclose(xy, look["points"][1, 4], atol=0.006)
    back = np.array(head["to_image"]) @ [*xy, 1]
    assert np.allclose(look["matrix"] @ [*back, 1], xy)


def test_the_distance_of_the_students_is_in_pixels_of_the_photo_and_of_the_box():
    look = make_look()
    look["matrix"] = np.array([[0.5, 0.0, 7.0], [0.0, 0.5, -3.0]])
    look["points"][0, 0], look["points"][1, 0] = (10, 10), (13, 14)
    assert looks.apart(look, 0) == {"px": 10.0, "share": 0.1}
    look["students"] = ["a"]
    assert looks.apart(look, 0) is None


def test_every_keypoint_has_side_label_and_reasons():
    head = head_of(make_look())
    assert [point["side"] for point in head["keypoints"]] == SIDES
    assert head["keypoints"][2]["label"] == {"xy": [20.0, 30.0], "v": 1}
    assert head["keypoints"][0]["label"] is None
    assert [point["taught"] for point in head["keypoints"]].count(False) == 1
    assert head["keypoints"][1]["reasons"] == [f"rejected: {EVIL}"] * 2


def test_a_student_learns_the_less_uncertain_offer():
    words = why(make_look(), 0)
    assert "No person has placed this keypoint: it is open to a pseudo-target." in words
    assert (
        "Student b learns from a's offer: the less uncertain one (u 0.100 against 0.200)." in words
    )
    assert "The offer of a was accepted: its peak passes." in words


def test_a_rejected_offer_says_why_and_teaches_nobody():
    words = why(make_look(), 1)
    assert words.count("no offer was accepted, so the weight is 0") == 2
    assert f"The offer of b was rejected: {EVIL}." in words


def test_a_label_comes_before_the_pool_and_untaught_is_said():
    labeled, untaught = why(make_look(), 2), why(make_look(), 3)
    assert "A person placed this keypoint (occluded, v 1)" in labeled
    assert "By the pool alone, student a would learn" in labeled
    assert "left ear is untaught" in untaught and "Student a learns" not in untaught


def test_val_fold_and_absent_keypoints_are_not_said_to_teach():
    look = make_look()
    for given, words in (
        ({"split": "val"}, "it teaches none"),
        ({"split": "train", "fold": True}, "teaches nobody"),
    ):
        look["instance"] |= given
        assert words in why(look, 2) and "both students learn from the label" not in why(look, 2)
    look["instance"]["labels"] = [{"keypoint": 0, "state": "absent", "reason": "outside"}]
    assert "declared this keypoint absent (outside)" in why(look, 0)
    assert "Student a learns" not in why(look, 0)
    assert head_of(look)["keypoints"][0]["absent"] == "outside"


def test_a_shared_offer_is_said_once():
    look = make_look(preset="best")
    words = why(look, 0)
    assert "Student a learns from the shared offer (u 0.100)." in words
    assert words.count("The shared offer was accepted") == 1 and "a's offer" not in words
    assert head_of(look)["shared"] is True
    assert any("make one offer" in line for line in texts.method_words(look))


def test_a_run_that_learned_from_labels_alone_is_said_to():
    look = make_look(preset="supervised")
    assert any("labels alone" in line for line in texts.method_words(look))
    assert "By the pool alone, student a would learn" in why(look, 0)


def test_the_seeded_views_are_said_to_be_no_training_step():
    assert any("eval mode" in line and "seed 0" in line for line in texts.method_words(make_look()))


def test_a_logged_row_is_said_in_words():
    row = {
        "voter": "a", "reason": "accepted", "score": 0.714, "uncertainty": 0.0312, "teaches": "ab",
        "view_agrees": [True, True, False, True],
    }  # fmt: skip
    assert texts.logged_words(row) == (
        "Offer of a: accepted, peak 0.71, u 0.031; 3 of 4 views agree; taught a and b."
    )
    assert "rejected (two peaks)" in texts.logged_words({**row, "reason": "two peaks"})
    assert "taught nobody" in texts.logged_words({**row, "teaches": ""})


def test_what_the_store_knows_stands_beside(tmp_path):
    made = edited.make(tmp_path)
    with Store(made.folder) as store:
        row = people.get(store, made.open[1])
        predictions.save(
            store, model="other", student="external", instance_id=[row["instance_id"]],
            box_revision=[row["box_revision"]], xy_image=[[[12.0, 34.0]] * 17], score=[[0.5] * 17],
        )  # fmt: skip
    with Studio(made.folder, hold=True) as studio:
        look = make_look() | {"run_id": edited.RUN}
        look["matrix"] = np.array([[0.5, 0.0, 7.0], [0.0, 0.5, -3.0]])
        look["instance"] = studio.call("person", instance_id=made.open[1])
        found = plain(looks.beside(studio, look))
        assert found["place"] == {
            "instance": made.open[1], "before": made.open[0], "after": made.open[2],
        }  # fmt: skip
        assert ("Label", "not labeled") in [tuple(fact) for fact in found["facts"]]
        assert found["calibrated"] and min(found["errors"][k] for k in edited.BAD) > 0.5
        assert found["others"][0]["name"] == "other" and not found["others"][0]["stale"]
        assert found["others"][0]["points"][3] == [13.0, 14.0]
        look["instance"] = studio.call("person", instance_id=made.val[0])
        blind = looks.beside(studio, look)
        assert blind["blind"] and set(blind["errors"]) == {None}


def asked(studio: Studio, path: str, project: str | None = None) -> Any:
    headers = {answers.PROJECT: project} if project else {}
    with TestClient(app.application(studio), base_url="http://127.0.0.1:7860") as client:
        return client.get(path, headers=headers)


@pytest.mark.parametrize(
    "path", ["inspect", "inspect/logged?instance=1&run=r", "gallery", "session"]
)
def test_an_old_page_of_another_project_reads_nothing(tmp_path, path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        named = studio.call("project_session")["project_id"]
        assert named in asked(studio, "/inspect").text  # the page knows which project it is of
        refused = asked(studio, f"/api/{path}", "another")
        assert (refused.status_code, refused.json()["error"]["message"]) == (503, answers.ELSEWHERE)
        assert asked(studio, f"/api/{path}", named).status_code in (200, 400, 404)


def test_the_route_says_what_is_missing_then_shows_it(tmp_path, monkeypatch):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        assert asked(studio, "/api/inspect").json()["empty"][0] == texts.NO_PEOPLE[0]
        studio.call("import_images", paths=[str(photo(tmp_path, 1)), str(photo(tmp_path, 2))])
        assert asked(studio, "/api/inspect").json()["empty"][0] == texts.NO_RUN[0]
        (tmp_path / "results.json").write_text("[]")
        person = studio.call("person", instance_id=2)
        found = make_look()
        monkeypatch.setattr(reads, "runs", lambda studio: [("0001-calm-owl", "calm owl")])
        monkeypatch.setattr(reads, "look", lambda studio, i, run: {**found, "instance": person})
        monkeypatch.setattr(looks, "beside", lambda studio, look: {"errors": [None] * 17})
        head, maps, _ = read(asked(studio, "/api/inspect?instance=2&run=0099-none").content)
        assert head["run"] == "0001-calm-owl" and head["asked_run"] == "0099-none"
        assert maps["beliefs"].shape == (2, 17, 32, 24)


def test_a_person_or_run_that_is_not_there_is_refused_in_words(tmp_path, monkeypatch):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        monkeypatch.setattr(reads, "runs", lambda studio: [("0001-calm-owl", "calm owl")])
        answer = asked(studio, "/api/inspect?instance=999")
        assert answer.status_code == 404 and "999" in answer.json()["error"]["message"]
        answer = asked(studio, "/api/inspect/logged?instance=1&run=0001-calm-owl")
        assert answer.status_code == 404 and answer.json()["error"]["kind"] == "not_found"


def test_a_val_person_without_labels_stays_blind(tmp_path, monkeypatch):
    made = edited.make(tmp_path)
    monkeypatch.setattr(reads, "runs", lambda _: [(edited.RUN, "a run")])
    monkeypatch.setattr(reads, "look", lambda *_: pytest.fail("the students were asked"))
    with Studio(made.folder, hold=True) as studio:
        blind = next(
            one for one in made.val if not studio.call("person", instance_id=one)["reviewed"]
        )
        found = asked(studio, f"/api/inspect?instance={blind}").json()
        assert found["empty"][0] == texts.BLIND_PERSON[0]
        assert found["place"]["instance"] == blind and {"before", "after"} <= set(found["place"])
