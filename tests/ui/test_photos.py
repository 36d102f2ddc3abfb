"""Photos by id: the right bytes, a type by content, small copies in the cache, and nothing else."""

import io
from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from posestudio.errors import NotFound, StoreError
from posestudio.ui import media
from posestudio.ui.media import Photo


def jpeg(size: tuple[int, int] = (900, 600)) -> bytes:
    with io.BytesIO() as file:
        Image.new("RGB", size, (200, 40, 40)).save(file, "JPEG")
        return file.getvalue()


@pytest.fixture
def shop(tmp_path: Path) -> tuple[TestClient, Path]:
    """A client, and the folder whose files 1..4 it serves."""
    folder = tmp_path / "images"
    folder.mkdir()
    (folder / "1").write_bytes(jpeg())
    (folder / "2").write_bytes(b"<html><script>alert(1)</script>")
    (folder / "4").write_bytes(jpeg()[:200])

    def find(number: int) -> Photo:
        if number == 9:
            raise StoreError("held")
        if number > 4:
            raise NotFound(f"There is no image {number}.")
        return Photo(folder / str(number), f"{number:064x}")

    app = FastAPI()
    app.include_router(media.routes(find, tmp_path / "cache"))
    return TestClient(app), folder


def test_the_file_itself_with_a_fixed_type(shop):
    client, folder = shop
    answer = client.get("/media/1")
    assert answer.content == (folder / "1").read_bytes()
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.headers["x-content-type-options"] == "nosniff"
    again = client.get("/media/1", headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304 and not again.content


def test_a_small_copy_is_made_once_and_kept(shop, tmp_path):
    client, folder = shop
    answer = client.get("/media/1?w=320")
    assert Image.open(io.BytesIO(answer.content)).size == (320, 213)
    (folder / "1").unlink()
    assert client.get("/media/1?w=320").content == answer.content
    assert [path.suffix for path in (tmp_path / "cache" / "thumbs").iterdir()] == [".jpg"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/media/2", 404), ("/media/2?w=320", 404), ("/media/3", 404), ("/media/3?w=320", 404), ("/media/4?w=160", 404),
        ("/media/5", 404), ("/media/9", 503), ("/media/1?w=321", 404), ("/media/-1", 404), ("/media/..%2f1", 404),
        ("/media/one", 422), ("/media/1?w=x", 422), ("/media/", 404),
    ],
)  # fmt: skip
def test_everything_else_is_refused_without_a_trace(shop, path, status):
    answer = shop[0].get(path)
    assert answer.status_code == status
    assert "text/html" not in answer.headers["content-type"] and "script" not in answer.text


def test_types_by_content():
    assert media.kind_of(b"RIFF\0\0\0\0WEBP") == "image/webp"
    assert media.kind_of(b"\x89PNG\r\n\x1a\n") == "image/png"
    assert media.kind_of(b"GIF89a") is None
