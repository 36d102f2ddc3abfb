"""Photos over HTTP, by id: /media/12 is the stored file, /media/12?w=320 a small copy kept in the project's cache.

The type that is answered comes from the content, never from a name, and only JPEG, PNG and WebP are answered at all.
"""

import io
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import FileResponse, Response
from PIL import Image

from posestudio.errors import NotFound, PoseStudioError

THUMB_WIDTHS = (160, 320, 640)
KINDS = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG\r\n\x1a\n", "image/png"))


@dataclass(frozen=True, slots=True)
class Photo:
    """Where a photo lies and what its content is called (hex digest)."""

    path: Path
    sha256: str


Found = tuple[Photo, str, Callable[[], Path]]


def kind_of(head: bytes) -> str | None:
    """Media type by the first 12 bytes of a file; None for anything but JPEG, PNG and WebP."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in KINDS if head.startswith(magic)), None)


def thumbnail(photo: Photo, cache: Path, width: int) -> Path:
    """The JPEG of at most `width` pixels across for a photo, made at first use.

    Raises:
        OSError: the photo cannot be read or decoded, or the cache cannot be written.
    """

    def make() -> Image.Image:
        with Image.open(photo.path, formats=("JPEG", "PNG", "WEBP")) as picture:
            picture.draft("RGB", (2 * width, 2 * width))
            small = picture.convert("RGB")
        small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
        return small

    return kept(photo, cache, str(width), make)


def kept(photo: Photo, cache: Path, name: str, make: Callable[[], Image.Image]) -> Path:
    """The JPEG in the cache that was made of a photo under a name; `make` draws it at first use.

    Raises:
        OSError: the photo cannot be read or decoded, or the cache cannot be written.
    """
    if not re.fullmatch(r"[0-9a-f]{8,128}", photo.sha256):
        raise OSError("the photo has no usable content hash")
    place = cache / "thumbs" / f"{photo.sha256}-{name}.jpg"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with io.BytesIO() as file:
        make().save(file, "JPEG", quality=85)
        content = file.getvalue()
    handle, draft = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(draft, place)
    return place


def answer(request: Request, find: Callable[[], Found]) -> Response:
    """A picture as it is now, or 304 when the browser has it, or why there is none.

    Args:
        request: it.
        find: the photo, a name that changes with what is made of it, and where that lies; raises NotFound.
    """
    try:
        photo, name, place = find()
        tag = f'"{photo.sha256[:32]}-{name}"'
        headers = {"Cache-Control": "private, max-age=0, must-revalidate", "ETag": tag}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        path = place()
        with path.open("rb") as file:
            kind = kind_of(file.read(12))
    except NotFound as error:
        return missing(str(error))
    except PoseStudioError:
        return missing("The label store cannot be read now", 503)
    except (OSError, Image.DecompressionBombError, ValueError, SyntaxError):
        return missing("The photo's file is missing or broken; posestudio verify says more")
    if kind is None:
        return missing("The photo's file is not JPEG, PNG or WebP")
    return FileResponse(
        path, media_type=kind, headers={**headers, "X-Content-Type-Options": "nosniff"}
    )


def routes(find: Callable[[int], Photo], cache: Path) -> APIRouter:
    """The /media route.

    Args:
        find: image_id -> Photo; raises NotFound.
        cache: the project's cache folder.
    """
    router = APIRouter()

    @router.get("/media/{image_id}")
    def media(image_id: int, request: Request, w: int | None = None) -> Response:
        if w is not None and w not in THUMB_WIDTHS:
            return missing(f"w must be one of {', '.join(map(str, THUMB_WIDTHS))}")

        def found() -> Found:
            photo = find(image_id)
            if w is None:
                return photo, "full", lambda: photo.path
            return photo, str(w), lambda width=w: thumbnail(photo, cache, width)

        return answer(request, found)

    return router


def missing(why: str, status: int = 404) -> Response:
    """An answer without a picture."""
    return Response(why, status_code=status, media_type="text/plain")
