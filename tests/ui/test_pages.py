"""The server: routes of its own, scripts, and what serve refuses."""

import gc
import io
import socket
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from starlette.routing import Mount

from posestudio.core.skeleton import COCO17
from posestudio.errors import InputError
from posestudio.studio.studio import Studio, create
from posestudio.ui import app


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


def test_the_server_answers_its_own_routes_only_to_itself(studio, tmp_path):
    studio.call("import_images", paths=[str(photo(tmp_path, 1))])
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


def test_old_sessions_are_given_back_and_a_page_that_still_asks_keeps_its_own(studio, monkeypatch):
    monkeypatch.setattr(app, "SESSIONS", 20)
    whole = app.application(studio)
    pages: Any = next(one.app for one in whole.routes if isinstance(one, Mount) and not one.path)
    functions = pages.get_blocks().fns.items()
    (poll,) = (i for i, fn in functions if len(fn.inputs) == 1 and "tick" in str(fn.targets))
    with TestClient(whole, base_url="http://127.0.0.1:7860") as client:

        def asks(session: str) -> weakref.ref:
            body = {"fn_index": poll, "data": [""], "session_hash": session}
            assert client.post("/gradio_api/run/predict", json=body).status_code == 200
            return weakref.ref(pages.state_holder.session_data[session])

        left, stays = asks("left"), asks("stays")
        for number in range(2 * app.SESSIONS):
            asks(f"another {number}")
            assert asks("stays") is stays
    gc.collect()
    assert left() is None and stays() is not None
    assert len(pages.state_holder.session_data) == app.SESSIONS


def test_serve_refuses_a_network_and_a_taken_port(studio):
    with pytest.raises(InputError, match="no accounts yet"):
        app.serve(studio.project, "0.0.0.0", 0)
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        with pytest.raises(InputError, match=f"Cannot open port {taken} on 127.0.0.1"):
            app.serve(studio.project, port=taken)
    with pytest.raises(InputError, match="Cannot open port"):
        app.serve(studio.project, port=70000)
