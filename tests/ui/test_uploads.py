"""Uploads: the bytes that were sent come in under their names, and names, tokens and sizes are checked."""

import asyncio
import io
import json
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI, Request
from fastapi.testclient import TestClient
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.studio.studio import Studio, create
from posestudio.ui import answers, uploads

TOKEN = "a token that nobody guesses"


def png(number: int) -> bytes:
    """A PNG that resembles no other."""
    noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    with io.BytesIO() as file:
        Image.fromarray(noise).resize((64, 48), Image.Resampling.NEAREST).save(file, "PNG")
        return file.getvalue()


class Page:
    """What the page's script does."""

    def __init__(self, studio: Studio) -> None:
        app = FastAPI()
        app.include_router(uploads.routes(studio, TOKEN))
        self.studio, self.client = studio, TestClient(app)
        self.headers = {answers.TOKEN: TOKEN}

    def post(self, path: str, **given):
        return self.client.post(f"/api/uploads{path}", headers=self.headers, **given)

    def begin(self) -> str:
        return self.post("").json()["drop"]

    def send(self, drop: str, name: str, content: bytes):
        return self.post(f"/{drop}", params={"name": name}, content=content)

    def take(self, drop: str, numbers: list, **given) -> list[dict]:
        answer = self.post(f"/{drop}/take", json={"numbers": numbers, "who": "me", **given})
        assert answer.status_code == 200, answer.text
        return [json.loads(line) for line in answer.text.splitlines()]


@pytest.fixture
def page(tmp_path: Path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as studio:
        yield Page(studio)


def staged(page: Page) -> list[Path]:
    return [path for path in (page.studio.project / "cache").rglob("*") if path.is_file()]


def test_files_come_in_under_their_names_and_none_stays_behind(page):
    drop = page.begin()
    numbers = [page.send(drop, f"beach/{n} {n}.png", png(n)).json()["number"] for n in range(3)]
    numbers.append(page.send(drop, "bad <b>.png", b"not an image").json()["number"])
    assert len(staged(page)) == 4
    lines = page.take(drop, numbers)
    assert [line for line in lines[:-1] if "doing" not in line] == []
    taken = lines[-1]["taken"]
    assert taken["images"] == 3 and [name for name, _ in taken["refused"]] == ["bad <b>.png"]
    assert [row["file_name"] for row in page.studio.call("images")] == [
        "beach/0 0.png", "beach/1 1.png", "beach/2 2.png",
    ]  # fmt: skip
    page.post(f"/{drop}/end")
    assert staged(page) == [] and page.send(drop, "x.png", b"x").status_code == 404


def test_parts_of_a_drop_may_come_in_one_after_the_other(page):
    drop = page.begin()
    for n in range(2):
        number = page.send(drop, f"{n}.png", png(n)).json()["number"]
        assert page.take(drop, [number, 99])[-1]["taken"]["images"] == 1
    assert page.post(f"/{drop}/take", json={"numbers": [99]}).status_code == 400


def test_photos_of_a_folder_share_a_group_over_all_parts_of_a_drop(page):
    drop = page.begin()
    names = (
        [f"walk/{n}.png" for n in range(3)] + [f"run/{n}.png" for n in range(3)] + ["walk/9.png"]
    )
    numbers = [page.send(drop, name, png(n)).json()["number"] for n, name in enumerate(names)]
    for part in (numbers[:2], numbers[2:4], numbers[4:]):
        page.take(drop, part, group=True)
    found = {}
    for row in page.studio.call("images"):
        found.setdefault(row["group_id"], []).append(row["file_name"].split("/")[0])
    assert sorted(found.values()) == [["run"] * 3, ["walk"] * 4]
    other = page.begin()
    page.take(other, [page.send(other, "walk/1.png", png(99)).json()["number"]], group=True)
    assert len({row["group_id"] for row in page.studio.call("images")}) == 3


def test_a_folder_that_is_dropped_again_after_a_break_stays_one_group(page):
    """The first part came in, then the studio ended; the rest comes with the same folder in another drop."""
    for names in (["a/1.png", "a/2.png"], ["a/1.png", "a/2.png", "a/3.png"]):
        drop = page.begin()
        sent = [page.send(drop, name, png(int(name[2]))).json()["number"] for name in names]
        page.take(drop, sent, group=True)
    rows = page.studio.call("images")
    assert len(rows) == 3 and len({row["group_id"] for row in rows}) == 1


def test_photos_of_a_folder_stay_with_those_that_have_labels(page):
    drop = page.begin()
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 40, 40],
        "keypoints": [20.0, 20.0, 2] * len(COCO17.keypoints),
    }  # fmt: skip
    labels = {
        "images": [{"id": 1, "file_name": "1.png", "width": 64, "height": 48}],
        "annotations": [person],
        "categories": [{"id": 1, **COCO17.to_dict(), "name": "person"}],
    }
    sent = {"a/1.png": png(1), "a/2.png": png(2), "b/3.png": png(3)}
    sent["labels.json"] = json.dumps(labels).encode()
    numbers = [page.send(drop, *one).json()["number"] for one in sent.items()]
    taken = page.take(drop, numbers, group=True, split="val")[-1]["taken"]
    assert (taken["images"], taken["labeled"]) == (3, 1)
    rows = {row["file_name"]: (row["group_id"], row["split"]) for row in page.studio.call("images")}
    assert rows["1.png"] == rows["a/2.png"] != rows["b/3.png"] and rows["1.png"][1] == "val"


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "etc/passwd"), ("C:\\photos\\1.jpg", "C:/photos/1.jpg"), ("/abs/1.jpg", "abs/1.jpg"),
        ("a/./b//c.jpg", "a/b/c.jpg"), ("x\x00y\n.jpg", "xy.jpg"), ("ä ö.jpg", "ä ö.jpg"),
    ],
)  # fmt: skip
def test_a_name_is_text_and_never_a_path(page, name, clean):
    drop = page.begin()
    page.send(drop, name, png(1))
    (path,) = staged(page)
    assert path.name in ("0", "0.jpg") and path.parent.name == drop
    page.take(drop, [0])
    assert page.studio.call("images")[0]["file_name"] == clean


def test_without_the_token_nothing_is_opened_kept_or_taken(page):
    drop = page.begin()
    page.headers = {}
    for path in ("", f"/{drop}?name=1.png", f"/{drop}/take", f"/{drop}/end"):
        answer = page.client.post(f"/api/uploads{path}", content=b"{}")
        assert answer.status_code == 403 and answer.json()["error"]["kind"] == "token"
    assert staged(page) == []


def test_too_much_is_refused_and_leaves_nothing(page, monkeypatch):
    monkeypatch.setattr(uploads, "MOST_BYTES", 1000)
    drop = page.begin()
    answer = page.send(drop, "1.png", b"x" * 1001)
    assert answer.status_code == 400 and "1.png is larger" in answer.json()["error"]["message"]
    monkeypatch.setattr(uploads, "MOST_FILES", 1)
    assert page.send(drop, "2.png", b"x").status_code == 400
    assert page.send(page.begin(), "", b"x").status_code == 400
    assert staged(page) == []


def test_an_unknown_drop_or_split_is_refused(page):
    assert page.send("0" * 16, "1.png", b"x").status_code == 404
    assert page.send("..", "1.png", b"x").status_code in (404, 405)
    drop = page.begin()
    page.send(drop, "1.png", png(1))
    assert page.post(f"/{drop}/take", json={"numbers": [0], "split": "test"}).status_code == 400
    assert page.post(f"/{drop}/take", json={"numbers": "0"}).status_code == 400
    assert page.post(f"/{drop}/take", content=b"[1]").status_code == 400


def test_what_an_earlier_start_left_is_swept_away(page):
    drop = page.begin()
    page.send(drop, "1.png", png(1))
    assert len(staged(page)) == 1
    Page(page.studio)
    assert staged(page) == []


def test_an_upload_that_is_broken_off_leaves_nothing(tmp_path: Path):
    sent = [
        {"type": "http.request", "body": b"half", "more_body": True},
        {"type": "http.disconnect"},
    ]

    async def receive():
        return sent.pop(0)

    scope = {"type": "http", "method": "POST", "headers": [], "query_string": b"name=a.png"}
    drop = uploads.Drop(tmp_path)
    answer = asyncio.run(uploads._receive(drop, Request(scope, receive)))
    assert answer.status_code == 400 and b"broken off" in answer.body
    assert not drop.files and not list(tmp_path.iterdir())
