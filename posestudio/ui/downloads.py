"""Exports over HTTP: /download/NAME, for the names that the Export page lists and nothing else."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, Response

from posestudio.errors import NotFound
from posestudio.studio import exports
from posestudio.studio.studio import Studio


def routes(studio: Studio) -> APIRouter:
    """The /download route."""
    router = APIRouter()

    @router.get("/download/{name}")
    def download(name: str) -> Response:
        try:
            path = exports.find(studio, name)
        except NotFound as error:
            return Response(str(error), status_code=404, media_type="text/plain")
        return FileResponse(
            path, filename=name, media_type="application/octet-stream",
            headers={"Cache-Control": "private, no-store"},
        )  # fmt: skip

    return router
