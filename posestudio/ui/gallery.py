"""The Images page over HTTP: pages of photos, one photo, and deeds on many of them. Edits of boxes go to /api/edits."""

from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse

from posestudio.errors import InputError
from posestudio.studio import photos
from posestudio.studio.studio import Studio
from posestudio.ui import edits, reads, texts
from posestudio.ui.answers import Id, answered, body_of, own
from posestudio.ui.media import THUMB_WIDTHS

AT_ONCE = 16
"""Photos of one call of the detector."""
MOST = 5000
"""Photos or people of one call."""


def routes(studio: Studio, token: str) -> APIRouter:
    """The routes over one studio; `token` as in `edits.routes`."""
    router = APIRouter(prefix="/api", route_class=own(studio))
    _offer_reading(router, studio, token)
    _offer_deeds(router, studio, token)
    return router


def _offer_reading(router: APIRouter, studio: Studio, token: str) -> None:
    @router.get("/gallery")
    def gallery(request: Request, limit: int = 48, offset: int = 0) -> JSONResponse:
        return answered(
            lambda: studio.call("gallery", **_filters(request), limit=limit, offset=offset)
        )

    @router.get("/gallery/{image_id}")
    def photo(image_id: Id, request: Request) -> JSONResponse:
        return answered(lambda: studio.call("photo", image_id=image_id, **_filters(request)))

    @router.get("/doubts")
    def doubts(people: str, run: str | None = None) -> JSONResponse:
        return answered(
            lambda: studio.call(
                "doubts", people=[int(one) for one in people.split(",")[:MOST] if one.isdecimal()],
                run=run or None,
            )
        )  # fmt: skip

    @router.get("/overview")
    def overview() -> JSONResponse:
        return answered(lambda: _overview(studio, token))


def _filters(request: Request) -> dict[str, Any]:
    """The filters of an address; what is empty is left out."""
    asked = request.query_params
    words = ("split", "status", "mark", "name", "run", "sort")
    found: dict[str, Any] = {word: asked[word][:300] for word in words if asked.get(word)}
    return {**found, "doubtful": asked.get("doubtful") == "1"}


def _overview(studio: Studio, token: str) -> dict[str, Any]:
    weights = photos.detector_file(studio.project)
    return {
        **studio.call("overview"),
        "token": token,
        "who": edits.login(),
        "project": str(studio.project),
        "models": [
            {"model": row["model"], "run": row["run_id"] is not None}
            for row in studio.call("models")
        ],
        "run_words": dict(reads.runs(studio)),
        "thumb_widths": THUMB_WIDTHS,
        "detector": {
            "ready": weights is not None,
            "words": "" if weights else texts.no_detector(studio.project / "weights"),
        },
    }


def _offer_deeds(router: APIRouter, studio: Studio, token: str) -> None:
    @router.post("/photos/{deed}")
    async def photos_(deed: str, request: Request) -> JSONResponse:
        body = await body_of(request, token)
        if isinstance(body, JSONResponse):
            return body
        return await run_in_threadpool(lambda: answered(lambda: _deed(studio, deed, body)))


def _deed(studio: Studio, deed: str, body: dict[str, Any]) -> Any:
    """Do something to many photos.

    Raises:
        InputError: there is no such deed, or the request does not fit it.
    """
    if deed == "aside":
        return studio.call("set_val_aside")
    images = body.get("images")
    if not isinstance(images, list) or not 0 < len(images) <= MOST:
        raise InputError(f"images must be a list of 1 to {MOST:,} photos.")
    if not all(type(one) is int and 0 <= one < 2**62 for one in images):
        raise InputError("images must be whole numbers.")
    who, edit_id = str(body.get("who") or ""), str(body.get("edit_id") or "")
    if deed == "split":
        return studio.call("set_split", split=str(body.get("split")), images=images)
    if deed == "whole":
        return {"people": studio.call("add_whole", images=images, who=who)}
    if deed in ("hide", "restore"):
        return studio.call(
            "hide_photos", images=images, hidden=deed == "hide", who=who, edit_id=edit_id
        )
    if deed == "detect":
        return _detect(studio, images)
    raise InputError(f"There is no deed {deed!r:.40} on photos.")


def _detect(studio: Studio, images: list[int]) -> dict[str, Any]:
    weights: Path | None = photos.detector_file(studio.project)
    if weights is None:
        raise InputError(texts.no_detector(studio.project / "weights"))
    if len(images) > AT_ONCE:
        raise InputError(f"The detector takes up to {AT_ONCE} photos at once.")
    return photos.detect(studio, images, photos.kept_finder(weights))
