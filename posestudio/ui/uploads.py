"""Files over HTTP: each is sent as it is, kept in the project's cache, and taken in when the page says so.

POST /api/uploads                     -> {"drop"}: a place for the files of one drop
POST /api/uploads/DROP?name=a/b.jpg   the file's bytes -> {"number"}
POST /api/uploads/DROP/take           {"numbers", "split", "group", "who"} -> lines of JSON: {"doing", "done", "whole"}
                                      while it works, then {"taken"} or {"error"}
POST /api/uploads/DROP/end            the files are forgotten

A name is never a path here: files lie under numbers of our own.
"""

import json
import logging
import queue
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from posestudio.errors import PoseStudioError
from posestudio.studio import incoming
from posestudio.studio.incoming import Dropped
from posestudio.studio.studio import Studio
from posestudio.ui.answers import Plain, body_of, failure, kind_of, stranger

MOST_BYTES = 4 << 30
MOST_FILES = 50_000
SPLITS = ("train", "val", "unlabeled")
FOLDER = "uploads"

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Drop:
    """The files of one drop by number, in a folder of their own; folders: of those taken in, see `incoming.take`."""

    folder: Path
    files: dict[int, Dropped] = field(default_factory=dict)
    folders: dict[str, int] = field(default_factory=dict)
    count: int = 0


class Drops:
    """All drops that are under way. Those of an earlier start are swept away."""

    def __init__(self, cache: Path) -> None:
        self.folder = cache / FOLDER
        self.known: dict[str, Drop] = {}
        shutil.rmtree(self.folder, ignore_errors=True)

    def open(self) -> str:
        """A new drop's name."""
        name = secrets.token_hex(8)
        folder = self.folder / name
        folder.mkdir(parents=True)
        self.known[name] = Drop(folder)
        return name

    def close(self, name: str) -> None:
        """Forget a drop's files."""
        drop = self.known.pop(name, None)
        if drop is not None:
            shutil.rmtree(drop.folder, ignore_errors=True)


def routes(studio: Studio, token: str) -> APIRouter:
    """The routes over one studio; `token` as in `edits.routes`."""
    router, drops = (
        APIRouter(prefix="/api/uploads", route_class=Plain),
        Drops(studio.project / "cache"),
    )

    @router.post("")
    async def begin(request: Request) -> JSONResponse:
        refused = stranger(request, token)
        return refused or JSONResponse({"drop": drops.open()})

    @router.post("/{name}")
    async def send(name: str, request: Request) -> JSONResponse:
        refused = stranger(request, token)
        drop = drops.known.get(name)
        if refused is not None or drop is None:
            return refused or _gone()
        return await _receive(drop, request)

    @router.post("/{name}/take", response_model=None)
    async def take(name: str, request: Request) -> JSONResponse | StreamingResponse:
        body, drop = await body_of(request, token), drops.known.get(name)
        if isinstance(body, JSONResponse) or drop is None:
            return body if isinstance(body, JSONResponse) else _gone()
        files = [drop.files[one] for one in body.get("numbers") or () if one in drop.files]
        if not files or body.get("split", "train") not in SPLITS:
            return failure("invalid", "Nothing that was sent is named, or there is no such split.")
        lines = _taking(studio, files, drop.folders, body)
        return StreamingResponse(lines, media_type="application/x-ndjson")

    @router.post("/{name}/end")
    async def end(name: str, request: Request) -> JSONResponse:
        refused = stranger(request, token)
        if refused is None:
            await run_in_threadpool(lambda: drops.close(name))
        return refused or JSONResponse({"ended": True})

    return router


def _gone() -> JSONResponse:
    return failure("not_found", "The studio was started again meanwhile. Drop the files once more.")


async def _receive(drop: Drop, request: Request) -> JSONResponse:
    """Write a file as it comes; one that is too large or broken off leaves nothing."""
    name = _clean(request.query_params.get("name") or "")
    if not name or drop.count >= MOST_FILES:
        return failure("invalid", f"A drop holds up to {MOST_FILES:,} files, each with a name.")
    number = drop.count
    drop.count += 1
    path = drop.folder / f"{number}{_ending(name)}"
    size = 0
    try:
        with path.open("wb") as file:
            async for part in request.stream():
                size += len(part)
                if size > MOST_BYTES:
                    path.unlink(missing_ok=True)
                    return failure("invalid", f"{name} is larger than {MOST_BYTES >> 30} GiB.")
                file.write(part)
    except ClientDisconnect:
        path.unlink(missing_ok=True)
        return failure("invalid", f"{name} was broken off.")
    except OSError as error:
        path.unlink(missing_ok=True)
        return failure("busy", f"{name} cannot be kept: {error.strerror}.")
    drop.files[number] = Dropped(path, name)
    return JSONResponse({"number": number})


def _clean(name: str) -> str:
    """A relative path as plain text, without steps upwards and drives; at most 500 characters."""
    parts = [part for part in re.split(r"[\\/]+", name) if part not in ("", ".", "..")]
    plain = "/".join("".join(c for c in part if c.isprintable()) for part in parts)
    return plain[-500:]


def _ending(name: str) -> str:
    ending = PurePosixPath(name).suffix.lower()
    return ending if re.fullmatch(r"\.[a-z0-9]{1,5}", ending) else ""


def _taking(
    studio: Studio, files: list[Dropped], folders: dict[str, int], body: dict[str, Any]
) -> Iterator[str]:
    """Take files in on another thread, and tell how far it is; it goes on when nobody listens any more."""
    told: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()

    def progress(doing: str, done: int, whole: int | None) -> None:
        told.put({"doing": doing, "done": done, "whole": whole})

    def work() -> None:
        try:
            found = incoming.take(
                studio, files, split=body.get("split", "train"), who=str(body.get("who") or "import"),
                folders=folders if body.get("group") is True else None, progress=progress,
            )  # fmt: skip
            told.put({"taken": asdict(found)})
        except PoseStudioError as error:
            told.put({"error": {"kind": kind_of(error), "message": str(error)}})
        except Exception as error:
            log.exception("taking files in failed")
            message = f"The studio failed: {error!r}. See its output."
            told.put({"error": {"kind": "busy", "message": message}})
        for file in files:
            file.path.unlink(missing_ok=True)

    threading.Thread(target=work, name="taking-in", daemon=True).start()
    last = {}
    while "taken" not in last and "error" not in last:
        last = told.get()
        while "doing" in last and not told.empty():
            last = told.get()
        yield json.dumps(last) + "\n"
