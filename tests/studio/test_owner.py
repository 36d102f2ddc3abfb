"""owner.json and the way of a verb to the process that holds the store."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import pytest
import uvicorn
from fastapi import FastAPI
from fastapi.testclient import TestClient

from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.studio import owner as owners
from posestudio.studio.studio import Studio, create


@pytest.fixture
def project(tmp_path):
    create(tmp_path / "p")
    return tmp_path / "p"


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_file_is_private_and_goes_away(project):
    with Studio(project, hold=True) as studio:
        studio.announce("http://127.0.0.1:1")
        path = project / owners.FILE
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert not path.exists()


def test_a_dead_owners_file_is_nobody_and_is_replaced(project):
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = {"pid": child.pid, "address": "http://127.0.0.1:9", "token": "x"}
    (project / owners.FILE).write_text(json.dumps(dead))
    assert owners.find(project) is None
    assert Studio(project).call("project")["splits"] is not None
    with Studio(project, hold=True) as studio:
        studio.announce("http://127.0.0.1:1")
        assert json.loads((project / owners.FILE).read_text())["pid"] == os.getpid()


FOREIGN = '{"pid": 1, "address": "http://evil.example", "token": "t"}'


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', FOREIGN])
def test_a_strange_file_is_nobody(project, text):
    (project / owners.FILE).write_text(text)
    assert owners.find(project) is None


def test_remove_leaves_anothers_file_alone(project):
    mine = owners.write(project, "http://127.0.0.1:1")
    other = owners.write(project, "http://127.0.0.1:2")
    owners.remove(project, mine)
    assert owners.read(project) == other


@pytest.fixture
def client(project):
    with Studio(project, hold=True) as studio:
        studio.announce("http://127.0.0.1:1")
        app = FastAPI()
        app.include_router(owners.routes(studio))
        with TestClient(app, base_url="http://127.0.0.1") as found:
            yield found, studio


def test_routes_want_token_and_loopback(client):
    http, studio = client
    token = {owners.HEADER: studio.owner.token}
    assert http.get("/api/alive").json() == {"pid": os.getpid()}
    assert http.post("/api/verbs/project").status_code == 401
    assert http.post("/api/verbs/project", headers={owners.HEADER: "wrong"}).status_code == 401
    assert http.post("/api/verbs/project", headers={owners.HEADER: "é".encode()}).status_code == 401
    foreign = {**token, "Host": "evil.example"}
    assert http.post("/api/verbs/project", headers=foreign).status_code == 403
    answer = http.post("/api/verbs/project", headers=token, json={})
    assert answer.status_code == 200 and answer.json()["result"] == studio.call("project")


def test_routes_name_the_errors(client):
    http, studio = client
    token = {owners.HEADER: studio.owner.token}
    said = http.post("/api/verbs/projet", headers=token, json={})
    assert said.status_code == 400 and said.json()["error"] == "NotFound"
    assert "'project'" in said.json()["message"]
    assert (
        http.post("/api/verbs/project", headers=token, json={"x": 1}).json()["error"]
        == "InputError"
    )
    assert (
        http.post("/api/verbs/project", headers=token, content=b"[1]").json()["error"]
        == "InputError"
    )
    assert (
        http.post("/api/verbs/project", headers=token, content=b"{").json()["error"] == "InputError"
    )


def test_a_request_that_is_too_large(client, monkeypatch):
    monkeypatch.setattr(owners, "MAX_BODY", 100)
    http, studio = client
    answer = http.post(
        "/api/verbs/project", headers={owners.HEADER: studio.owner.token}, content=b" " * 200
    )
    assert answer.status_code == 413


def test_errors_come_back_by_class():
    body = json.dumps({"error": "InputError", "message": "no"}).encode()
    assert type(owners._returned(body, "x")) is InputError
    strange = json.dumps({"error": "SystemExit", "message": "no"}).encode()
    assert type(owners._returned(strange, "x")) is StoreError
    assert type(owners._returned(b"<html>", "x")) is StoreError


SERVER = """
import sys
import uvicorn
from fastapi import FastAPI
from posestudio.studio import owner
from posestudio.studio.studio import Studio
with Studio(sys.argv[1], hold=True) as studio:
    app = FastAPI()
    app.include_router(owner.routes(studio))
    studio.announce(f"http://127.0.0.1:{sys.argv[2]}")
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
"""


@pytest.fixture
def server(project):
    port = free_port()
    child = subprocess.Popen([sys.executable, "-c", SERVER, str(project), str(port)])
    until = time.monotonic() + 180
    while owners.find(project) is None:
        assert child.poll() is None and time.monotonic() < until, "the server did not open"
        time.sleep(0.1)
    yield child
    child.send_signal(signal.SIGCONT)
    child.kill()
    child.wait()


def test_a_verb_goes_to_the_owner_and_an_owner_that_hangs_is_said(project, server, monkeypatch):
    studio = Studio(project)
    assert studio.call("project")["images"] == 0
    with pytest.raises(NotFound, match="no person 7"):
        studio.call("person", instance_id=7)
    with pytest.raises(StoreBusy, match="already open"):
        Studio(project, hold=True)
    server.send_signal(signal.SIGSTOP)
    waited, answers = [], owners._answers

    def listened(owner, seconds):
        waited.append(seconds)
        return answers(owner, seconds)

    monkeypatch.setattr(owners, "_answers", listened)
    with pytest.raises(StoreBusy) as caught:
        studio.call("project")
    assert waited == [owners.ALIVE_SECONDS]  # it is listened for once, and no longer
    assert str(server.pid) in str(caught.value) and "does not answer" in str(caught.value)
    assert str(caught.value).count("\n") == 1
    server.send_signal(signal.SIGCONT)
    assert studio.call("project")["images"] == 0
    server.kill()
    server.wait()
    assert studio.call("project")["images"] == 0  # the dead owner's file is in nobody's way


@pytest.fixture
def open_here(project):
    """A studio that holds the project and answers on a port of this process."""
    with Studio(project, hold=True) as studio:
        port = free_port()
        app = FastAPI()
        app.include_router(owners.routes(studio))
        runner = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", port, log_level="error"))
        thread = threading.Thread(target=runner.run, daemon=True)
        thread.start()
        while not runner.started:
            time.sleep(0.02)
        studio.announce(f"http://127.0.0.1:{port}")
        yield studio
        runner.should_exit = True
        thread.join(5)


def test_both_ways_give_the_same(open_here):
    assert owners.send(open_here.owner, "project", {}) == open_here.call("project")


def test_a_verb_may_take_as_long_as_its_owner_lives(open_here, monkeypatch):
    monkeypatch.setattr(owners, "SILENT_SECONDS", 0.1)
    asked, answers = threading.Event(), owners._answers

    def lives(owner, seconds):
        asked.set()
        return answers(owner, 60)

    def slow(name, **args):
        assert asked.wait(60)  # it was silent, was asked whether it lives, and is still waited for
        return "done"

    monkeypatch.setattr(open_here, "call", slow)
    monkeypatch.setattr(owners, "_answers", lives)
    assert owners.send(open_here.owner, "project", {}) == "done"
    asked.clear()
    monkeypatch.setattr(owners, "_answers", lambda owner, seconds: False)
    with pytest.raises(StoreBusy, match="is gone"):
        owners.send(open_here.owner, "project", {})
    asked.set()
