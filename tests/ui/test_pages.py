"""The pages over a real project: uploads, paging, order of people, routes and what serve refuses."""

import io
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError
from posestudio.studio.studio import Studio, create
from posestudio.ui import app, reads
from posestudio.ui.tabs import images as images_page


def photo(folder: Path, number: int) -> Path:
    """A PNG that resembles no other."""
    path = folder / f"photo {number}.png"
    noise = np.random.default_rng(number).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(noise).resize((64, 48), Image.Resampling.NEAREST).save(path)
    return path


@pytest.fixture
def studio(tmp_path: Path):
    create(tmp_path / "project", COCO17.to_dict())
    with Studio(tmp_path / "project", hold=True) as opened:
        yield opened


def quiet(done: int, whole: int) -> None:
    """No progress."""


def test_uploads_come_in_and_what_cannot_is_listed(studio, tmp_path):
    files = [photo(tmp_path, n) for n in range(3)]
    (tmp_path / "note.jpg").write_text("not an image")
    with zipfile.ZipFile(tmp_path / "more.zip", "w") as archive:
        archive.write(photo(tmp_path, 7), "../../seven.png")
        archive.writestr("readme.txt", "hello")
    told = []
    taken = reads.add_photos(
        studio,
        [*files, tmp_path / "note.jpg", tmp_path / "more.zip"],
        True,
        lambda *at: told.append(at),
    )
    assert taken["images"] >= 3 and taken["people"] == taken["images"]
    assert "note.jpg" in [name for name, _ in taken["refused"]]
    assert told == [(0, 5), (4, 5)]
    assert not any(file.exists() for file in files)  # uploads do not stay behind
    assert len(studio.call("sources")) <= 2


def test_a_lone_bad_file_is_refused_not_an_error(studio, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    taken = reads.add_photos(studio, [tmp_path / "bad.png"], False, quiet)
    ((name, why),) = taken["refused"]
    assert name == "bad.png" and why and "imported" not in why and "bad.png" not in why
    with pytest.raises(InputError, match="Choose photos"):
        reads.add_photos(studio, [], True, quiet)


def test_paging_and_splits_of_the_grid(studio, tmp_path, monkeypatch):
    monkeypatch.setattr(images_page, "PAGE", 2)
    reads.add_photos(studio, [photo(tmp_path, n) for n in range(5)], True, quiet)
    studio.call("set_split", split="val", images=[1])
    app.build(studio)
    with app.gr.Blocks() as demo:
        tab = images_page.images_tab(studio, demo)
    gallery = images_page.Gallery(studio, tab)
    first, last = gallery.page("all", -3), gallery.page("all", 99)
    total = studio.call("project")["images"]
    assert first[tab.number] == 0 and last[tab.number] == (total - 1) // 2
    assert f"1 to 2 of {total} photos" in first[tab.pager]
    assert gallery.page("nonsense", 0)[tab.split] == "all"
    assert "media/1?" in gallery.page("val", 0)[tab.grid]
    assert "Choose another split" in gallery.page("train", 0)[tab.grid]


def test_the_server_answers_its_own_routes_only_to_itself(studio, tmp_path):
    reads.add_photos(studio, [photo(tmp_path, 1)], True, quiet)
    studio.announce("http://127.0.0.1:7860")
    with TestClient(app.application(studio), base_url="http://127.0.0.1:7860") as client:
        assert client.get("/healthz").json() == {"status": "ok"}
        shown = client.get("/media/1?w=160")
        assert Image.open(io.BytesIO(shown.content)).width <= 160
        assert client.get("/media/2").status_code == 404
        assert client.get("/inspect").status_code == 200
        assert client.get("/docs").status_code == 404
        assert (
            client.get("/gradio_api/file=" + str(studio.project / "store.duckdb")).status_code
            == 403
        )
        evil = {"Origin": "http://evil.example"}
        assert (
            client.post("/gradio_api/upload", headers=evil, files={"files": b"x"}).status_code
            == 403
        )
        preflight = {**evil, "Access-Control-Request-Method": "POST"}
        answer = client.options("/gradio_api/queue/join", headers=preflight)
        assert answer.status_code >= 400 and "access-control-allow-origin" not in answer.headers
        assert client.get("/", headers={"Host": "evil.example"}).status_code == 403
        assert client.post("/api/verbs/project", json={}).status_code in (401, 403)


def test_scripts_are_files_of_the_static_folder_and_asked_for_anew(studio):
    with TestClient(app.application(studio), base_url="http://127.0.0.1:7860") as client:
        logo = client.get("/own/logo.svg")
        assert logo.headers["content-type"] == "image/svg+xml"
        assert logo.headers["cache-control"] == "no-cache"
        again = client.get("/own/logo.svg", headers={"If-None-Match": logo.headers["etag"]})
        assert again.status_code == 304
        assert client.get("/own/%2e%2e/app.py").status_code == 404
        assert client.get("/own/").status_code == 404


def test_serve_refuses_a_network_and_a_taken_port(studio):
    with pytest.raises(InputError, match="no accounts yet"):
        app.serve(studio.project, "0.0.0.0", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(InputError, match=f"Cannot open port {taken} on 127.0.0.1"):
            app.serve(studio.project, port=taken)
    with pytest.raises(InputError, match="Cannot open port"):
        app.serve(studio.project, port=70000)
