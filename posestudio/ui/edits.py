"""The keypoint editor's routes under /api: sessions, documents, the queue, and edits that are saved when answered.

Thin: a route checks the shape of what comes, calls a verb of the studio, and says in JSON what came of it. Every
failure is {"error": {"kind": "invalid" | "not_found" | "conflict" | "token" | "busy", "message"}}.
"""

import getpass
import hmac
import json
import logging
import secrets
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from posestudio.errors import NotFound, PoseStudioError, StoreError
from posestudio.store.journal import Conflict
from posestudio.studio import maps
from posestudio.studio.studio import Studio
from posestudio.ui import deeds, reads, sides

TOKEN = "X-PoseStudio-Token"
MAX_BODY = 2 << 20
MAX_EDITS = 500
THUMB, CROP, SHEET = 160, 96, 320
"""Widths in pixels of the queue's pictures and of the sheet's."""

Id = Annotated[int, Path(ge=0, lt=2**62)]

STATUS = {"invalid": 400, "not_found": 404, "conflict": 409, "token": 403, "busy": 503}

log = logging.getLogger(__name__)


class _Unanswerable(Exception):
    """The rest of a batch cannot be saved now; the page keeps it and sends it again."""


class _Plain(APIRoute):
    """A route that says in our form what is wrong with its address."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler with its validation errors turned into answers."""
        handler = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                return await handler(request)
            except RequestValidationError as error:
                first = error.errors()[0]
                where = ".".join(str(part) for part in first["loc"][1:])
                return failure("invalid", f"{where}: {first['msg']}.")

        return answer


def routes(studio: Studio) -> APIRouter:
    """The routes over one studio; the token is new at each start."""
    router = APIRouter(prefix="/api", route_class=_Plain)
    token = secrets.token_urlsafe(32)
    _offer_reading(router, studio, token)
    _offer_writing(router, studio, token)
    return router


def _offer_reading(router: APIRouter, studio: Studio, token: str) -> None:
    @router.get("/session")
    def session() -> JSONResponse:
        return _answered(lambda: _session(studio, token))

    @router.get("/people/{instance_id}")
    def person(instance_id: Id, run: str | None = None) -> JSONResponse:
        return _answered(lambda: studio.call("document", instance_id=instance_id, run=run or None))

    @router.get("/people/{instance_id}/history")
    def history(instance_id: Id) -> JSONResponse:
        return _answered(lambda: {"rows": studio.call("history", instance_id=instance_id)})

    @router.get("/people/{instance_id}/heat")
    def heat(instance_id: Id, run: str | None = None) -> JSONResponse:
        answer = _answered(lambda: maps.heat(studio, instance_id, run or None))
        if answer.status_code == STATUS["invalid"]:
            answer.status_code = STATUS["not_found"]  # there is nothing to see of a person of val
        return answer

    @router.get("/queue")
    def queue(
        split: str | None = None,
        order: str | None = None,
        run: str | None = None,
        limit: int = 200,
        minutes: float | None = None,
    ) -> JSONResponse:
        return _answered(
            lambda: _queue(
                studio, split=split or None, order=order or None, run=run or None,
                limit=min(limit, 1000), minutes=minutes,
            )
        )  # fmt: skip

    @router.get("/sheet")
    def sheet(
        keypoint: str,
        order: str = "doubt",
        offset: int = 0,
        limit: int = 24,
        split: str | None = None,
        run: str | None = None,
    ) -> JSONResponse:
        return _answered(
            lambda: _sheet(
                studio, keypoint=keypoint, order=order, offset=offset, limit=min(limit, 200),
                split=split or None, run=run or None,
            )
        )  # fmt: skip


def _offer_writing(router: APIRouter, studio: Studio, token: str) -> None:
    @router.post("/edits")
    async def edits(request: Request) -> JSONResponse:
        body = await _body(request, token)
        if isinstance(body, JSONResponse):
            return body
        listed = body.get("edits")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_EDITS:
            return failure("invalid", f"edits must be a list of 1 to {MAX_EDITS} edits.")
        return await run_in_threadpool(
            lambda: _answered(lambda: {"results": _save(studio, listed)})
        )

    @router.post("/people/{instance_id}/predict")
    async def predict(instance_id: Id, request: Request) -> JSONResponse:
        body = await _body(request, token)
        if isinstance(body, JSONResponse):
            return body
        run = body.get("run")
        if run is not None and not isinstance(run, str):
            return failure("invalid", "run must be a text.")
        return await run_in_threadpool(
            lambda: _answered(
                lambda: {"document": maps.predict_person(studio, instance_id, run or None)}
            )
        )


def failure(kind: str, message: str, **more: Any) -> JSONResponse:
    """An answer that says what went wrong."""
    return JSONResponse(
        {"error": {"kind": kind, "message": message}, **more}, status_code=STATUS[kind]
    )


def kind_of(error: PoseStudioError) -> str:
    """The word for an error."""
    if isinstance(error, Conflict):
        return "conflict"
    if isinstance(error, StoreError):
        return "busy"
    return "not_found" if isinstance(error, NotFound) else "invalid"


def _answered(make: Callable[[], Any]) -> JSONResponse:
    """What `make` gives as JSON, or its error."""
    try:
        return JSONResponse(make(), headers={"Cache-Control": "no-store"})
    except PoseStudioError as error:
        return failure(kind_of(error), str(error))
    except _Unanswerable as error:
        return failure("busy", str(error))
    except Exception as error:
        log.exception("a route of the editor failed")
        return JSONResponse(
            {
                "error": {
                    "kind": "busy",
                    "message": f"The studio failed: {error!r}. See its output.",
                }
            },
            status_code=500,
        )


async def _body(request: Request, token: str) -> dict[str, Any] | JSONResponse:
    """The JSON object of a request that carries the session's token, or why it is refused."""
    if not hmac.compare_digest(request.headers.get(TOKEN, "").encode(), token.encode()):
        return failure(
            "token", "The session is over: the studio was started again. Load the page anew."
        )
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY:
            return failure("invalid", f"A request may hold {MAX_BODY >> 20} MiB.")
    try:
        record = json.loads(bytes(body), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        return failure("invalid", f"The request is not JSON: {error}.")
    if not isinstance(record, dict):
        return failure("invalid", "The request must be a JSON object.")
    return record


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _session(studio: Studio, token: str) -> dict[str, Any]:
    found = studio.call("project_session")
    counts = {key: value for key, value in studio.call("project").items() if key != "skeleton"}
    found["skeleton"] |= {
        "sides": sides.of(studio.skeleton()),
        "colors": sides.ON_PHOTO,
        "shapes": sides.SHAPES,
    }
    return {
        "token": token,
        "started": token[:8],
        "who": _login(),
        **found,
        "counts": counts,
        "runs": [{"run_id": run_id, "words": words} for run_id, words in reads.runs(studio)],
    }


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "annotator"


def _queue(studio: Studio, **asked: Any) -> dict[str, Any]:
    found = studio.call("queue", **asked)
    for item in found["items"]:
        photo = f"/media/{item['image_id']}"
        item["thumb"] = f"{photo}?w={THUMB}"
        item["crop"] = f"{photo}/box/{item['instance_id']}?w={CROP}"
    return found


def _sheet(studio: Studio, **asked: Any) -> dict[str, Any]:
    found = studio.call("sheet", **asked)
    for item in found["items"]:
        at = f"x={item['x']:.1f}&y={item['y']:.1f}&size={item['size']}&w={SHEET}"
        item["crop"] = f"/media/{item['image_id']}/around?{at}"
    return found


def _save(studio: Studio, edits: list[Any]) -> list[dict[str, Any]]:
    """Carry edits out in order; an edit sees those before it in the batch as its own page's."""
    results, saved = [], []
    for edit in edits:
        results.append(_save_one(studio, edit, saved))
        if results[-1]["ok"]:
            saved.append(edit["edit_id"])
    return results


def _save_one(studio: Studio, edit: Any, before: list[str]) -> dict[str, Any]:
    edit_id = edit.get("edit_id") if isinstance(edit, dict) else None
    try:
        return {"edit_id": edit_id, "ok": True, **deeds.carry_out(studio, edit, before)}
    except StoreError as error:
        raise _Unanswerable(str(error)) from error
    except PoseStudioError as error:
        result = {
            "edit_id": edit_id,
            "ok": False,
            "error": {"kind": kind_of(error), "message": str(error)},
        }
        if isinstance(error, Conflict):
            result["document"] = studio.call("document", instance_id=edit["instance_id"])
        return result
