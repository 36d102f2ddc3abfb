"""The editor's deeds from a script: mark, merge, hand, regions to ignore, and a queue that fits the time at hand."""

import json

import pytest

from posestudio.cli.main import main
from tests import edited
from tests.edited import BAD, LABELED, K, Made


@pytest.fixture
def made(tmp_path) -> Made:
    return edited.make(tmp_path)


@pytest.fixture
def run(made: Made, capsys):
    """run(words...) runs a verb on the project and returns its JSON, or the error line of exit code 1."""

    def call(*words):
        code = main([*map(str, words), "--project", str(made.folder), "--json"])
        said = capsys.readouterr()
        return json.loads(said.out) if code == 0 else said.err

    return call


def test_marks(run, made):
    run("mark", made.open[0], "flag", "--text", "odd", "--keypoint", "left_wrist")
    run("mark", made.open[1], "cannot-tell")
    found = run("queue", "--order", "marked")
    assert {item["instance_id"]: item["marks"][0]["kind"] for item in found["items"]} == {
        made.open[0]: "flag",
        made.open[1]: "cannot_tell",
    }
    assert made.open[1] not in {item["instance_id"] for item in run("queue")["items"]}
    assert "A comment needs a text" in run("mark", made.open[0], "comment")
    assert "left_wrist" in run("mark", made.open[0], "flag", "--keypoint", "left_wrst")


def test_two_people(run, made):
    keeper, duplicate = made.pair
    run("label", duplicate, "--set", "nose=200,60,2", "left_eye=202,58,1")
    handed = run("hand", duplicate, keeper, "--keypoint", "nose")
    assert handed["to_revision"] > handed["revision"]
    assert run("merge", duplicate, keeper)["moved"] == [1]
    names = {row["name"]: row["state"] for row in run("history", keeper)}
    assert names == {"nose": "placed", "left_eye": "placed"}
    assert "hidden" in run("merge", duplicate, keeper)


def test_accept_leaves_likely_errors_open(run, made):
    for limit in ("nan", "-1", "1.5"):
        assert "a number from 0 to 1" in run("accept", made.open[0], "--error-limit", limit)
    saved = run("accept", made.open[0], "--error-limit", 0.2)
    assert saved["left"] == list(BAD) and len(saved["accepted"]) == K - len(BAD)
    assert "val" in run("accept", made.val[0])


def test_a_region_to_ignore(run, made):
    image = 1
    region = run("box", "--image", image, "--set", "0,0,40,40", "--ignore")["instance_id"]
    (row,) = [one for one in run("people", image) if one["instance_id"] == region]
    assert row["iscrowd"]
    assert "Say which" in run("box", region, "--set", "0,0,9,9", "--ignore")


@pytest.mark.parametrize("left", ["-5", "-0.5", "-.5"])
def test_a_box_begins_outside_the_photo(run, made, left):
    run("box", made.open[0], "--set", f"{left},-3,60,60")
    (row,) = [one for one in run("people", LABELED + 1) if one["instance_id"] == made.open[0]]
    assert row["box_xywh"] == [float(left), -3, 60, 60]


def test_the_queue_says_how_many_fit(made, capsys):
    words = ["queue", "--minutes", "5", "--project", str(made.folder)]
    assert main(words) == 0
    assert "7 of 7 people fit, at an assumed 40 s a person." in capsys.readouterr().out
