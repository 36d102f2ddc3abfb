"""Parts of photos over HTTP: a person's box, or a square around a point, as small JPEGs kept in the project's cache.

/media/12/box/34?w=96 is person 34 of image 12 with a margin, three by four; /media/12/around?x=&y=&size=&w=160 is the
square of `size` image pixels whose middle is the point, so that a mark in the middle of the picture lies on it. What
lies outside the photo is gray.
"""

import math
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response
from PIL import Image

from posestudio.errors import NotFound
from posestudio.studio.studio import Studio
from posestudio.ui import media, reads
from posestudio.ui.media import Photo

WIDTHS = (96, 160, 320)
NO_WIDTH = f"w must be one of {', '.join(map(str, WIDTHS))}"
ASPECT = 4 / 3
"""Height over width of a person's picture."""
MARGIN = 1.2
"""How much larger than the box a person's picture is."""
SIZES = (8.0, 8192.0)
"""Least and most side of a square in image pixels."""
FAR = 1e5
GRAY = (118, 118, 118)

Region = tuple[float, float, float, float]
"""Left, top, width and height in image pixels, counted from the corner of the image."""


def of_box(box_xywh: tuple[float, float, float, float]) -> Region:
    """The region of ASPECT around a box, with MARGIN."""
    x, y, w, h = box_xywh
    width = MARGIN * max(w, h / ASPECT)
    height = ASPECT * width
    return x + w / 2 - width / 2, y + h / 2 - height / 2, width, height


def around(x: float, y: float, size: float) -> Region:
    """The square whose middle is a point; points count from the middle of the first pixel, regions from its corner."""
    return x + 0.5 - size / 2, y + 0.5 - size / 2, size, size


def cut(path: Path, region: Region, size: tuple[int, int]) -> Image.Image:
    """A region of a photo at another size, without aliasing; what lies outside is gray.

    Raises:
        OSError: the photo cannot be read or decoded.
    """
    left, top, width, height = region
    with Image.open(path, formats=("JPEG", "PNG", "WEBP")) as picture:
        full = picture.size
        fine = 2 * max(size[0] / width, size[1] / height)
        picture.draft("RGB", (math.ceil(full[0] * fine), math.ceil(full[1] * fine)))
        pixels = picture.convert("RGB")
    across, down = pixels.width / full[0], pixels.height / full[1]
    step_x, step_y = width / size[0], height / size[1]
    x0, x1 = _whole(max(0, -left) / step_x, min(width, full[0] - left) / step_x)
    y0, y1 = _whole(max(0, -top) / step_y, min(height, full[1] - top) / step_y)
    found = Image.new("RGB", size, GRAY)
    if x1 > x0 and y1 > y0:
        box = (
            max(0.0, (left + x0 * step_x) * across),
            max(0.0, (top + y0 * step_y) * down),
            min(float(pixels.width), (left + x1 * step_x) * across),
            min(float(pixels.height), (top + y1 * step_y) * down),
        )
        part = pixels.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box, reducing_gap=2.0)
        found.paste(part, (x0, y0))
    return found


def _whole(low: float, high: float) -> tuple[int, int]:
    """The whole pixels of the result between two places, so that nothing shifts where a region is cut off."""
    return math.ceil(low - 1e-6), math.floor(high + 1e-6)


def routes(studio: Studio) -> APIRouter:
    """The two routes over one studio."""
    router, cache = APIRouter(), studio.project / "cache"

    @router.get("/media/{image_id}/box/{instance_id}")
    def box(image_id: int, instance_id: int, request: Request, w: int = 96) -> Response:
        def find() -> media.Found:
            row = studio.call("person_box", instance_id=instance_id)
            if row["image_id"] != image_id:
                raise NotFound(f"Person {instance_id} is not in image {image_id}.")
            photo = Photo(studio.project / row["image_path"], row["sha256"])
            x, y, wide, high = (row[name] for name in "xywh")
            name = f"box{instance_id}-{row['box_revision']}-{w}"
            return _part(photo, cache, name, of_box((x, y, wide, high)), (w, round(ASPECT * w)))

        return media.answer(request, find) if w in WIDTHS else media.missing(NO_WIDTH)

    @router.get("/media/{image_id}/around")
    def square(
        image_id: int, request: Request, x: float, y: float, size: float, w: int = 160
    ) -> Response:
        if not (abs(x) < FAR and abs(y) < FAR and SIZES[0] <= size <= SIZES[1]):
            return media.missing(f"size must be {SIZES[0]:g} to {SIZES[1]:g}, x and y numbers")
        at = round(x, 1), round(y, 1), round(size)

        def find() -> media.Found:
            photo, name = reads.photo(studio, image_id), "around{:g}_{:g}_{:g}-{}".format(*at, w)
            return _part(photo, cache, name, around(*at), (w, w))

        return media.answer(request, find) if w in WIDTHS else media.missing(NO_WIDTH)

    return router


def _part(
    photo: Photo, cache: Path, name: str, region: Region, size: tuple[int, int]
) -> media.Found:
    return (
        photo,
        name,
        lambda: media.kept(photo, cache, name, lambda: cut(photo.path, region, size)),
    )
