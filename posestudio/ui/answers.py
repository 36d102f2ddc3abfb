"""How our own routes answer: JSON that is never cached, failures in one form, and who may change something.

Every failure is {"error": {"kind": "invalid" | "not_found" | "conflict" | "token" | "busy", "message"}}; that of one
edit among others may also be "failed". Whatever changes something needs the session's token in a header, which no other
site can know. A page says in a header which project it is of, once it knows.
"""

import hmac
import json
import logging
from collections.abc import Callable, Coroutine
from typing import Annotated, Any

from fastapi import Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.routing import APIRoute

from posestudio.errors import NotFound, PoseStudioError, StoreError
from posestudio.store.journal import Conflict
from posestudio.studio.studio import Studio

TOKEN = "X-PoseStudio-Token"
PROJECT = "X-PoseStudio-Project"
ELSEWHERE = "Another project is open here: load the page anew."
MAX_BODY = 2 << 20
STATUS = {"invalid": 400, "not_found": 404, "conflict": 409, "token": 403, "busy": 503}

Id = Annotated[int, Path(ge=0, lt=2**62)]
"""A row's number in an address."""

log = logging.getLogger(__name__)


class Unanswerable(Exception):
    """Something cannot be done now; the page keeps it and asks again."""


class Plain(APIRoute):
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


def own(studio: Studio) -> type[Plain]:
    """Routes that turn away pages of another project, which was open at this address before."""
    project = studio.call("project_session")["project_id"]

    class Own(Plain):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handler = super().get_route_handler()

            async def answer(request: Request) -> Response:
                if request.headers.get(PROJECT, project) != project:
                    return failure("busy", ELSEWHERE)
                return await handler(request)

            return answer

    return Own


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


def answered(make: Callable[[], Any]) -> JSONResponse:
    """What `make` gives as JSON, or its error."""
    try:
        return JSONResponse(make(), headers={"Cache-Control": "no-store"})
    except PoseStudioError as error:
        return failure(kind_of(error), str(error))
    except Unanswerable as error:
        return failure("busy", str(error))
    except Exception as error:
        log.exception("a route failed")
        return JSONResponse(
            {
                "error": {
                    "kind": "busy",
                    "message": f"The studio failed: {error!r}. See its output.",
                }
            },
            status_code=500,
        )


def stranger(request: Request, token: str) -> JSONResponse | None:
    """The refusal of a request without the session's token; None for one of ours."""
    if hmac.compare_digest(request.headers.get(TOKEN, "").encode(), token.encode()):
        return None
    return failure(
        "token", "The session is over: the studio was started again. Load the page anew."
    )


async def body_of(request: Request, token: str) -> dict[str, Any] | JSONResponse:
    """The JSON object of a request that carries the session's token, or why it is refused."""
    refused = stranger(request, token)
    if refused is not None:
        return refused
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
