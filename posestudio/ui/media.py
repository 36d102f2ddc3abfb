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
    if not re.fullmatch(r"[0-9a-f]{8,128}", photo.sha256):
        raise OSError("the photo has no usable content hash")
    place = cache / "thumbs" / f"{photo.sha256}-{width}.jpg"
    if place.exists():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with Image.open(photo.path, formats=("JPEG", "PNG", "WEBP")) as picture:
        picture.draft("RGB", (2 * width, 2 * width))
        small = picture.convert("RGB")
    small.thumbnail((width, 4 * width), Image.Resampling.LANCZOS)
    with io.BytesIO() as file:
        small.save(file, "JPEG", quality=85)
        content = file.getvalue()
    handle, draft = tempfile.mkstemp(dir=place.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    os.replace(draft, place)
    return place


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
            return _missing(f"w must be one of {', '.join(map(str, THUMB_WIDTHS))}")
        try:
            photo = find(image_id)
            tag = f'"{photo.sha256[:32]}-{w or "full"}"'
            headers = {"Cache-Control": "private, max-age=0, must-revalidate", "ETag": tag}
            if request.headers.get("if-none-match") == tag:
                return Response(status_code=304, headers=headers)
            path = photo.path if w is None else thumbnail(photo, cache, w)
            with path.open("rb") as file:
                kind = kind_of(file.read(12))
        except NotFound as error:
            return _missing(str(error))
        except PoseStudioError:
            return _missing("The label store cannot be read now", 503)
        except (OSError, Image.DecompressionBombError, ValueError, SyntaxError):
            return _missing("The photo's file is missing or broken; posestudio verify says more")
        if kind is None:
            return _missing("The photo's file is not JPEG, PNG or WebP")
        return FileResponse(
            path, media_type=kind, headers={**headers, "X-Content-Type-Options": "nosniff"}
        )

    return router


def _missing(why: str, status: int = 404) -> Response:
    return Response(why, status_code=status, media_type="text/plain")
