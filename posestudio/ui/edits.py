"""The keypoint editor's routes under /api: sessions, documents, the queue, and edits that are saved when answered.

Thin: a route checks the shape of what comes, calls a verb of the studio, and says in JSON what came of it. Every
failure has the form of ui/answers.py.
"""

import getpass
import logging
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from posestudio.errors import PoseStudioError, StoreError
from posestudio.store.fields import is_whole
from posestudio.store.journal import Conflict
from posestudio.studio import maps
from posestudio.studio.studio import Studio
from posestudio.ui import deeds, reads, sides
from posestudio.ui.answers import (
    STATUS,
    Id,
    Unanswerable,
    answered,
    body_of,
    failure,
    kind_of,
    own,
)

log = logging.getLogger(__name__)

MAX_EDITS = 500
THUMB, CROP, SHEET = 160, 96, 320
"""Widths in pixels of the queue's pictures and of the sheet's."""


def routes(studio: Studio, token: str) -> APIRouter:
    """The routes over one studio; `token` is what a page must know to change something, new at each start."""
    router = APIRouter(prefix="/api", route_class=own(studio))
    _offer_reading(router, studio, token)
    _offer_writing(router, studio, token)
    return router


def _offer_reading(router: APIRouter, studio: Studio, token: str) -> None:
    @router.get("/session")
    def session() -> JSONResponse:
        return answered(lambda: _session(studio, token))

    @router.get("/people/{instance_id}")
    def person(instance_id: Id, run: str | None = None) -> JSONResponse:
        return answered(lambda: studio.call("document", instance_id=instance_id, run=run or None))

    @router.get("/people/{instance_id}/history")
    def history(instance_id: Id) -> JSONResponse:
        return answered(lambda: {"rows": studio.call("history", instance_id=instance_id)})

    @router.get("/people/{instance_id}/heat")
    def heat(instance_id: Id, run: str | None = None) -> JSONResponse:
        answer = answered(lambda: maps.heat(studio, instance_id, run or None))
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
        return answered(
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
        return answered(
            lambda: _sheet(
                studio, keypoint=keypoint, order=order, offset=offset, limit=min(limit, 200),
                split=split or None, run=run or None,
            )
        )  # fmt: skip


def _offer_writing(router: APIRouter, studio: Studio, token: str) -> None:
    @router.post("/edits")
    async def edits(request: Request) -> JSONResponse:
        body = await body_of(request, token)
        if isinstance(body, JSONResponse):
            return body
        listed = body.get("edits")
        if not isinstance(listed, list) or not 0 < len(listed) <= MAX_EDITS:
            return failure("invalid", f"edits must be a list of 1 to {MAX_EDITS} edits.")
        return await run_in_threadpool(lambda: answered(lambda: {"results": _save(studio, listed)}))

    @router.post("/settings")
    async def settings(request: Request) -> JSONResponse:
        body = await body_of(request, token)
        if isinstance(body, JSONResponse):
            return body
        limit = body.get("error_limit")
        return await run_in_threadpool(
            lambda: answered(lambda: studio.call("set_error_limit", limit=limit))
        )

    @router.post("/people/{instance_id}/predict")
    async def predict(instance_id: Id, request: Request) -> JSONResponse:
        body = await body_of(request, token)
        if isinstance(body, JSONResponse):
            return body
        run = body.get("run")
        if run is not None and not isinstance(run, str):
            return failure("invalid", "run must be a text.")
        return await run_in_threadpool(
            lambda: answered(
                lambda: {"document": maps.predict_person(studio, instance_id, run or None)}
            )
        )


def _session(studio: Studio, token: str) -> dict[str, Any]:
    found = studio.call("project_session")
    counts = {key: value for key, value in studio.call("project").items() if key != "skeleton"}
    if found["skeleton"]:
        found["skeleton"] |= {
            "sides": sides.of(studio.skeleton()),
            "colors": sides.ON_PHOTO,
            "shapes": sides.SHAPES,
        }
    return {
        "token": token,
        "started": token[:8],
        "who": login(),
        **found,
        "counts": counts,
        "runs": [{"run_id": run_id, "words": words} for run_id, words in reads.runs(studio)],
        "imported": [{"run_id": name, "words": words} for name, words in reads.imported(studio)],
    }


def login() -> str:
    """Who is at this machine, as a first guess at who edits."""
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
    """Carry one edit out. What goes wrong with it alone is its own answer, so that it holds up no other.

    Raises:
        Unanswerable: the store or the machine can do nothing now.
    """
    edit_id = edit.get("edit_id") if isinstance(edit, dict) else None
    if not isinstance(edit_id, str) or not is_whole(edit_id):
        edit_id = None
    try:
        return {"edit_id": edit_id, **_tried(studio, edit, before)}
    except (StoreError, OSError, MemoryError) as error:
        raise Unanswerable(str(error) or repr(error)) from error
    except Exception as error:
        log.exception("an edit failed")
        message = f"The studio failed at this edit: {error!r:.200}. See its output."
        return {"edit_id": edit_id, "ok": False, "error": {"kind": "failed", "message": message}}


def _tried(studio: Studio, edit: Any, before: list[str]) -> dict[str, Any]:
    try:
        return {"ok": True, **deeds.carry_out(studio, edit, before)}
    except StoreError:
        raise
    except PoseStudioError as error:
        result = {"ok": False, "error": {"kind": kind_of(error), "message": str(error)}}
        if isinstance(error, Conflict):
            result["document"] = studio.call("document", instance_id=edit["instance_id"])
        return result
