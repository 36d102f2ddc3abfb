"""Who holds a project's store, and how others ask that process to run a verb.

DuckDB lets one process open the store. The process that keeps it open (the app) says so in owner.json: its pid, its
loopback address and a random token, readable by its user only. Others send their verbs there.
"""

import contextlib
import hmac
import http.client
import json
import logging
import os
import secrets
import socket
import urllib.parse
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio import errors
from posestudio.errors import PoseStudioError, StoreBusy, StoreError

if TYPE_CHECKING:
    from fastapi import APIRouter

    from posestudio.studio.studio import Studio

FILE = "owner.json"
HEADER = "X-PoseStudio-Token"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
ALIVE_SECONDS = 3.0
SILENT_SECONDS = 30.0
"""How long an owner may be silent before it is asked whether it lives; a verb may take as long as it takes."""
MAX_BODY = 64 * 2**20

log = logging.getLogger(__name__)
_opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({})
)  # loopback never takes a proxy


@dataclass(frozen=True, slots=True)
class Owner:
    """The process that holds a store. address: "http://127.0.0.1:PORT"."""

    pid: int
    address: str
    token: str


def write(project: Path, address: str) -> Owner:
    """Say that this process holds the project's store and answers at `address`."""
    owner = Owner(os.getpid(), address.rstrip("/"), secrets.token_urlsafe(32))
    draft = project / f".{FILE}.{os.getpid()}"
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        json.dump(asdict(owner), out)
    os.replace(draft, project / FILE)
    return owner


def read(project: Path) -> Owner | None:
    """The owner that owner.json names, whether it lives or not; None without a usable file."""
    try:
        record = json.loads((project / FILE).read_text())
        owner = Owner(int(record["pid"]), str(record["address"]), str(record["token"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return owner if urllib.parse.urlsplit(owner.address).hostname in LOOPBACK else None


def remove(project: Path, owner: Owner) -> None:
    """Take owner.json away, if it still names this owner."""
    if read(project) == owner:
        with contextlib.suppress(FileNotFoundError):
            (project / FILE).unlink()


def pid_alive(pid: int) -> bool:
    """Whether a process with this number runs on this machine."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def find(project: Path) -> Owner | None:
    """The owner that is alive and answers, or None when nobody owns the store.

    A file left by a dead process counts as nobody.

    Raises:
        StoreBusy: the owner's process is there and listens, but gives no answer.
    """
    owner = read(project)
    if owner is None or owner.pid == os.getpid() or not pid_alive(owner.pid):
        return None
    try:
        return owner if _answers(owner, ALIVE_SECONDS) else None
    except TimeoutError as error:
        raise StoreBusy(busy_message(project, owner)) from error


def _answers(owner: Owner, seconds: float) -> bool:
    """Whether the owner answers at its address; no where nobody listens, or another program does.

    Raises:
        TimeoutError: who listens there gives no answer within so many seconds.
    """
    try:
        with _opener.open(owner.address + "/api/alive", timeout=seconds) as answer:
            return json.loads(answer.read(4096)).get("pid") == owner.pid
    except TimeoutError:
        raise
    except (OSError, ValueError, AttributeError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", None), TimeoutError):
            raise TimeoutError(f"no answer within {seconds:g} seconds") from error
        return False  # not up yet, or the number was given to another process


def busy_message(project: Path, owner: Owner) -> str:
    """Two lines for a store whose owner is silent."""
    return (
        f"The project {project} is held by process {owner.pid} at {owner.address}, which does not answer.\n"
        "Wait for it or end that process, then try again."
    )


def send(owner: Owner, verb: str, args: dict[str, Any]) -> Any:
    """Let the owner run a verb, and wait for as long as it lives.

    Raises:
        PoseStudioError: what the verb raised there, by the same class; StoreBusy when the answer does not come.
    """
    place = urllib.parse.urlsplit(owner.address)
    way = http.client.HTTPConnection(place.hostname or "", place.port, timeout=SILENT_SECONDS)
    headers = {"Content-Type": "application/json", HEADER: owner.token}
    try:
        with contextlib.closing(way):
            address = f"/api/verbs/{urllib.parse.quote(verb)}"
            way.request("POST", address, json.dumps(args).encode(), headers)
            _await_answer(way.sock, owner)
            answer = way.getresponse()
            body = answer.read()
        if answer.status == 200:
            return json.loads(body)["result"]
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise StoreBusy(
            f"The studio at {owner.address} (process {owner.pid}) broke off during {verb!r}: {error}.\n"
            "Look at its output, then try again."
        ) from error
    raise _returned(body, f"{owner.address} answered {answer.status}")


def _await_answer(line: socket.socket, owner: Owner) -> None:
    """Return when the answer begins, or the line was closed.

    Raises:
        OSError: the owner neither answers nor lives.
    """
    while True:
        try:
            line.recv(1, socket.MSG_PEEK)
            return
        except TimeoutError:
            if not _answers(owner, SILENT_SECONDS):
                raise ConnectionError("it is gone") from None


def _returned(body: bytes, where: str) -> PoseStudioError:
    """The error that a verb raised in the owner, rebuilt by its class name."""
    try:
        record = json.loads(body)
        kind, message = str(record["error"]), str(record["message"])
    except (ValueError, KeyError, TypeError):
        return StoreError(f"{where}, which is no answer of a studio.")
    known = getattr(errors, kind, None)
    if isinstance(known, type) and issubclass(known, PoseStudioError):
        return known(message)
    return StoreError(message)


def _public_kind(error: PoseStudioError) -> str:
    """The nearest class of errors.py: a room's own subclass travels as what it is a case of."""
    return next(
        kind.__name__
        for kind in type(error).__mro__
        if kind is getattr(errors, kind.__name__, None)
    )


def routes(studio: "Studio") -> "APIRouter":
    """The owner's side: GET /api/alive and POST /api/verbs/NAME, for a studio that holds its store.

    Only for loopback: the client's address and the Host header must be, and the token of owner.json must come along.
    """
    from fastapi import APIRouter, Request  # lazy: fastapi
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import JSONResponse

    router = APIRouter()

    def refused(request: Request) -> JSONResponse | None:
        host = request.url.hostname
        client = request.client.host if request.client else None
        if host not in LOOPBACK or client not in (*LOOPBACK, "::ffff:127.0.0.1", "testclient"):
            return _failure(403, "StoreError", "Verbs are answered on this machine only.")
        given = request.headers.get(HEADER, "")
        if studio.owner is None or not hmac.compare_digest(
            given.encode(), studio.owner.token.encode()
        ):
            return _failure(401, "StoreError", "The token of owner.json is missing or wrong.")
        return None

    def _failure(status: int, kind: str, message: str) -> JSONResponse:
        return JSONResponse({"error": kind, "message": message}, status_code=status)

    @router.get("/api/alive")
    async def alive() -> dict[str, int]:
        return {"pid": os.getpid()}

    @router.post("/api/verbs/{name}")
    async def verb(name: str, request: Request) -> JSONResponse:
        no = refused(request)
        if no is not None:
            return no
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY:
                return _failure(413, "InputError", f"A request may hold {MAX_BODY >> 20} MiB.")
        try:
            args = json.loads(bytes(body) or b"{}")
            if not isinstance(args, dict):
                raise ValueError("not an object")
        except ValueError as error:
            return _failure(400, "InputError", f"The request is not a JSON object: {error}.")
        try:
            result = await run_in_threadpool(lambda: studio.call(name, **args))
        except PoseStudioError as error:
            return _failure(400, _public_kind(error), str(error))
        except (
            Exception
        ) as error:  # the asker must hear of it; the trace stays in this process's log
            log.exception("verb %s failed", name)
            return _failure(
                500, "StoreError", f"{name} failed in the studio: {error!r}. See its log."
            )
        return JSONResponse({"result": result})

    return router
