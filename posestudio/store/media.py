"""Pictures as they come in: checked by content, turned upright once, hashed. No store, no folders, no names.

An image is known by its decoded content (JPEG, PNG or WebP), never by its name. The header is checked before a
pixel is decoded, then the whole picture is decoded once, so a truncated file is found here and not in training.
"""

import hashlib
import io
import struct
import warnings
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from posestudio.errors import InputError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 100_000_000
MAX_SIDE = 20_000
MAX_FILE_BYTES = 256 * 1024 * 1024

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> how the pixels get upright. Source: EXIF 2.3, tag Orientation."""
_MAGIC = ((b"\xff\xd8\xff", ".jpg"), (b"\x89PNG\r\n\x1a\n", ".png"))
_UNREADABLE = (
    OSError,
    SyntaxError,  # Pillow raises it for a broken PNG
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    struct.error,
    zlib.error,
)

# `_check_size` refuses what is over the limit, before decoding; a warning on top would only be noise. So would one
# about a broken EXIF block, which is passed over.
Image.MAX_IMAGE_PIXELS = MAX_PIXELS
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.TiffImagePlugin")


@dataclass(frozen=True, slots=True)
class Picture:
    """One checked image, ready to be stored.

    data: the bytes to store; they are the bytes that came unless `rewritten`. sha256: of those bytes, the image's
    identity. width, height: in pixels, upright. phash: 64-bit difference hash. rewritten:
    the EXIF orientation was applied (or, for a COCO image, dropped) and the pixels encoded again.
    """

    data: bytes
    sha256: str
    width: int
    height: int
    phash: int
    rewritten: bool = False


def read_picture(data: bytes, *, said_wh: tuple[int, int] | None = None) -> Picture:
    """Check, decode and hash one image.

    The EXIF orientation is applied once: the pixels are turned and encoded again (JPEG as JPEG of quality 95, else
    PNG), the other metadata stays. With `said_wh` the image is turned only if those numbers say so.

    Args:
        data: the bytes of a file.
        said_wh: width and height that an annotation file gives for this image.

    Raises:
        InputError: not JPEG, PNG or WebP; too large; broken or truncated; another size than `said_wh`. The message
            is a reason without the file's name, which the caller puts in front.
    """
    if len(data) > MAX_FILE_BYTES:
        raise InputError(f"the file has {len(data):,} bytes; at most {MAX_FILE_BYTES:,} are taken")
    image = _open(data)
    orientation = _orientation(image)
    turned = image.transpose(_TURNS[orientation]) if orientation != 1 else image
    upright = turned
    if said_wh is not None:
        if image.size == said_wh:
            upright = image
        elif turned.size != said_wh:
            raise InputError(
                f"the image is {image.width} x {image.height}, the file says {said_wh[0]} x {said_wh[1]}"
            )
    if orientation != 1:
        data = _encode(upright, image.format or "PNG", _other_exif(image))
    gray = _eight_bit(upright).convert("L")
    return Picture(
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        width=upright.width,
        height=upright.height,
        phash=difference_hash(gray),
        rewritten=orientation != 1,
    )


def picture_of_frame(frame_bgr: np.ndarray) -> Picture:
    """Encode one video frame, (H, W, 3) uint8 in OpenCV's channel order, as JPEG of quality 95."""
    _check_size(frame_bgr.shape[1], frame_bgr.shape[0])
    image = Image.fromarray(np.ascontiguousarray(frame_bgr[:, :, ::-1]))
    return read_picture(_encode(image, "JPEG", None))


def read_file(path: Path) -> bytes:
    """Read a regular file of at most `MAX_FILE_BYTES`.

    Raises:
        InputError: missing, not a regular file, too large or unreadable; a reason without the name.
    """
    try:
        if not path.is_file():
            raise InputError("there is no such file" if not path.exists() else "not a regular file")
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise InputError(f"the file has {size:,} bytes; at most {MAX_FILE_BYTES:,} are taken")
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"the file cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise InputError(f"the file name cannot be used ({error})") from error


def image_suffix(head: bytes) -> str | None:
    """`.jpg`, `.png` or `.webp` by the first 12 bytes of a file, None for anything else."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return ".webp"
    return next((suffix for magic, suffix in _MAGIC if head.startswith(magic)), None)


def plain(text: str) -> str:
    """The text with bytes that are not UTF-8 written as escapes; file names may have such bytes."""
    return text.encode("utf-8", "backslashreplace").decode()


def leads_out(file_name: str) -> bool:
    """Say whether a relative file name could leave its folder: absolute, with a drive or `..`, or with a NUL."""
    parts = file_name.replace("\\", "/").split("/")
    drive = len(parts[0]) >= 2 and parts[0][1] == ":" and parts[0][0].isalpha()
    return not parts[0] or drive or ".." in parts or "\x00" in file_name


def difference_hash(gray: Image.Image) -> int:
    """64-bit difference hash, as an unsigned number.

    Each bit says whether a cell of an 8 x 9 thumbnail is brighter than its left neighbor.

    Source: N. Krawetz, "Kind of Like That" (dHash), 2013.
    """
    cells = np.asarray(gray.resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits((cells[:, 1:] > cells[:, :-1]).ravel())
    return int(bits.view(">u8")[0])


def _open(data: bytes) -> Image.Image:
    if image_suffix(data[:12]) is None:
        raise InputError("not a JPEG, PNG or WebP image by its content")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        _check_size(image.width, image.height)
        image.load()
    except Image.DecompressionBombError as error:
        raise InputError(f"more than {MAX_PIXELS:,} pixels; scale the image down first") from error
    except _UNREADABLE as error:
        raise InputError(f"the image is broken or truncated ({_short(error)})") from error
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Bring 16-bit gray down to 8 bits; Pillow's own conversion would clip it to white."""
    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image).clip(0, 65535) >> 8).astype(np.uint8))


def _check_size(width: int, height: int) -> None:
    if width > MAX_SIDE or height > MAX_SIDE or width * height > MAX_PIXELS:
        raise InputError(
            f"{width} x {height} pixels is too large; at most {MAX_SIDE:,} a side and {MAX_PIXELS:,} in all"
        )


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1 to 8; 1 when there is none or the EXIF block is broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except _UNREADABLE:
        return 1
    return value if value in range(1, 9) else 1


def _other_exif(image: Image.Image) -> bytes | None:
    """The EXIF block without its orientation; None when it is too broken to be written again."""
    try:
        exif = image.getexif()
        exif.pop(_ORIENTATION, None)
        return exif.tobytes()
    except _UNREADABLE:
        return None


def _encode(image: Image.Image, kind: str, exif: bytes | None) -> bytes:
    """Encode pixels again: JPEG and MPO as JPEG, everything else without loss as PNG. `exif` has no orientation."""
    keep: dict[str, Any] = {"icc_profile": image.info.get("icc_profile"), "exif": exif or b""}
    out = io.BytesIO()
    if kind in ("JPEG", "MPO"):
        image.save(out, "JPEG", quality=95, subsampling=0, **keep)
    else:
        image.save(out, "PNG", **keep)
    return out.getvalue()


def _short(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:120]
