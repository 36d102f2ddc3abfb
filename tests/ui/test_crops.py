"""Parts of photos: the right pixels in the right place, gray outside, kept by box revision, gone with the person."""

import io
from pathlib import Path

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.store import deletion
from posestudio.studio.studio import Studio, create
from posestudio.ui import crops, media, reads

SIZE = (400, 300)


def dot(path: Path, x: int, y: int, size: tuple[int, int] = SIZE) -> Path:
    """A black photo with one white pixel."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    pixels[y, x] = 255
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def studio(tmp_path: Path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as opened:
        photos = [dot(tmp_path / "first.png", 120, 90), dot(tmp_path / "other.png", 5, 5, (64, 48))]
        opened.call("import_images", paths=[str(photo) for photo in photos])
        yield opened


@pytest.fixture
def client(studio: Studio):
    app = FastAPI()
    app.include_router(media.routes(lambda n: reads.photo(studio, n), studio.project / "cache"))
    app.include_router(crops.routes(studio))
    with TestClient(app) as made:
        yield made


def picture(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "image/jpeg"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("L"), float)


@pytest.mark.parametrize(
    ("x", "y", "size"), [(120, 90, 40), (120, 90, 16), (118, 94, 64), (120, 90, 150)]
)
def test_a_point_lies_in_the_middle_of_its_square(client, x, y, size):
    found = picture(client.get(f"/media/1/around?x={x}&y={y}&size={size}&w=160"))
    assert found.shape == (160, 160)
    bright = found > 0.5 * found.max()
    row, column = (indices.mean() for indices in np.nonzero(bright))
    step = 160 / size
    wanted = 79.5 + step * np.array([120 - x, 90 - y])
    assert np.abs([column, row] - wanted).max() < max(0.3, 0.1 * step)


def test_what_lies_outside_the_photo_is_gray_and_shifts_nothing(client):
    found = picture(client.get("/media/1/around?x=0&y=150&size=100&w=160"))
    assert (np.abs(found[:, :76] - crops.GRAY[0]) < 3).all() and (found[:, 84:] < 12).all()
    assert (np.abs(picture(client.get("/media/1/around?x=900&y=0&size=64&w=96")) - 118) < 3).all()
    region = crops.around(3.0, 10.0, 20.0)
    assert region == (-6.5, 0.5, 20.0, 20.0)


def test_a_large_photo_is_drawn_without_aliasing(tmp_path):
    stripes = np.zeros((2000, 3000, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "wide.jpg", quality=95)
    found = np.asarray(
        crops.cut(tmp_path / "wide.jpg", (100, 100, 1600, 1200), (160, 120)).convert("L")
    )
    assert abs(found.mean() - 127) < 8 and found.std() < 8


def test_a_person_with_margin_is_kept_until_the_box_moves(client, studio):
    person = studio.call("people")[0]["instance_id"]
    studio.call("set_box", instance_id=person, box_xywh=[100, 60, 40, 60], who="ann")
    first = client.get(f"/media/1/box/{person}?w=96")
    found = picture(first)
    assert found.shape == (128, 96)
    left, top, width, height = crops.of_box((100, 60, 40, 60))
    assert (width, height) == (54.0, 72.0)
    row, column = np.unravel_index(found.argmax(), found.shape)
    assert abs(column - ((120.5 - left) / width * 96 - 0.5)) < 2
    assert abs(row - ((90.5 - top) / height * 128 - 0.5)) < 2
    etag = {"If-None-Match": first.headers["etag"]}
    assert client.get(f"/media/1/box/{person}?w=96", headers=etag).status_code == 304
    studio.call("set_box", instance_id=person, box_xywh=[10, 60, 40, 60], who="ann")
    moved = client.get(f"/media/1/box/{person}?w=96", headers=etag)
    assert moved.status_code == 200 and moved.content != first.content
    assert len(list((studio.project / "cache" / "thumbs").iterdir())) == 2


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/media/1/box/1?w=97", 404), ("/media/2/box/1", 404), ("/media/1/box/99", 404), ("/media/1/box/x", 422),
        ("/media/9/around?x=1&y=1&size=32", 404), ("/media/1/around?x=1&y=1&size=1", 404),
        ("/media/1/around?x=nan&y=1&size=32", 404), ("/media/1/around?x=1&y=inf&size=32", 404),
        ("/media/1/around?x=1&y=1&size=1e9", 404), ("/media/1/around?x=1&y=1", 422),
        ("/media/1/around?x=1&y=1&size=nan", 404), ("/media/1/around?x=1&y=1&size=32&w=33", 404),
    ],
)  # fmt: skip
def test_everything_else_is_refused_without_a_trace(client, studio, path, status):
    answer = client.get(path)
    assert answer.status_code == status and "text/html" not in answer.headers["content-type"]
    assert not (studio.project / "cache" / "thumbs").exists()


def test_pictures_of_who_is_erased_are_erased_too(client, studio):
    one, other = (row["instance_id"] for row in studio.call("people"))
    for path in (f"1/box/{one}", "1/around?x=5&y=5&size=32", "1?w=160", f"2/box/{other}"):
        assert client.get(f"/media/{path}").status_code == 200
    folder = studio.project / "cache" / "thumbs"
    assert len(list(folder.iterdir())) == 4
    store = studio._store
    assert store is not None
    deletion.delete_people(store, [one], who="ann")
    assert len(list(folder.iterdir())) == 1
    deletion.delete_image(store, 2, who="ann")
    assert list(folder.iterdir()) == []
