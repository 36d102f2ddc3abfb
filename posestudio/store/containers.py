"""What a path that was given holds: single images, folders, zips and videos, one picture at a time.

Nothing in here trusts a name: kinds are told by content, links are not followed, a zip entry is read into memory
and never unpacked to disk. What cannot be read is passed on with its reason; a zip that is hostile as a whole is
refused as a whole.
"""

import math
import os
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2

from posestudio.errors import InputError
from posestudio.store import media

MAX_ENTRIES = 20_000
MAX_UNPACKED = 8 * 1024**3
MAX_RATIO = 100
"""Most unpacked bytes per packed byte of a zip over `RATIO_FROM` bytes. Photographs do not reach 2. Ours."""
RATIO_FROM = 100 * 1024**2
MAX_DIRECTORY = 32 * 1024**2
"""Most bytes of a zip's table of contents that are read at all."""
MAX_JSON = 256 * 1024**2
MAX_JSONS = 512 * 1024**2
"""Most bytes of one JSON file in a zip, and of all together: each is read whole, at several times its size in memory.
COCO's own largest file of keypoints has 239 MB. Ours."""
MAX_FRAMES = 300

_ZIP_FAULTS = (
    zipfile.BadZipFile,
    NotImplementedError,
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    IndexError,
    zlib.error,
    struct.error,
)
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_STILL = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
"""Brands of still images in the same wrapping as MP4; they are refused as images."""
_SILENT = {"Thumbs.db", "desktop.ini", "__MACOSX"}


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that was found.

    name: what to call it, such as `holiday.zip/beach/1.jpg`. read: gives the picture or raises InputError with the
    reason; it may run in another thread. path: the file when it is one by itself. group: items of one group, such
    as the frames of a video, belong together.
    """

    name: str
    read: Callable[[], media.Picture]
    path: Path | None = None
    group: str | None = None


def items(path: Path, name: str | None = None) -> Iterator[Item]:
    """Yield everything that a path holds, folders recursively and in order of their names.

    Args:
        path: an image, a folder, a zip or a video (MP4, MOV, MKV, WebM, AVI).
        name: what to call it; the last part of the path by default.

    What is wrong, a zip that is hostile as a whole included, shows when its item is read.
    """
    name = name or path.name
    if os.path.isdir(path):
        try:
            inside = _inside(path)
        except OSError as error:
            yield _refusal(name, f"the folder cannot be read ({error.strerror or error})")
            return
        for found in inside:
            yield from items(found, f"{name}/{found.name}")
        return
    head = _head(path)
    if head[:4] in _ZIP:
        try:
            yield from zip_items(path, name)
        except InputError as error:
            yield _refusal(name, str(error))
    elif _is_video(head):
        yield from video_items(path, name)
    else:
        yield Item(name, lambda: media.read_picture(media.read_file(path)), path=path)


def _inside(folder: Path) -> list[Path]:
    """Regular files, then folders, each in order of their names; links and hidden ones are passed over.

    Kinds come from the folder itself, so that what cannot be reached is among them and is refused when it is read.
    """
    with os.scandir(folder) as entries:
        shown = sorted((one for one in entries if _shown(one.name)), key=lambda one: one.name)
        files = [Path(one.path) for one in shown if one.is_file(follow_symlinks=False)]
        return files + [Path(one.path) for one in shown if one.is_dir(follow_symlinks=False)]


def zip_items(path: Path, name: str) -> Iterator[Item]:
    """Yield the images of a zip.

    Raises:
        InputError: the zip is broken or hostile: too many entries, too large unpacked, names that lead out of it. A
            reason without the name.
    """
    with _opened(path) as (archive, entries):
        for entry in entries:
            yield Item(f"{name}/{entry.filename}", _read_entry(archive, entry))


def zip_names(path: Path) -> list[str]:
    """The names of the files in a zip.

    Raises:
        InputError: as `zip_items`.
    """
    with _opened(path) as (_, entries):
        return [entry.filename for entry in entries]


def is_json(name: str) -> bool:
    """Say whether a file is JSON by its name."""
    return name.lower().endswith(".json")


def zip_json(path: Path) -> Iterator[tuple[str, bytes | str]]:
    """Yield the JSON files of a zip: the name of each with its content, or with the reason why it was refused.

    Raises:
        InputError: as `zip_items`.
    """
    left = MAX_JSONS
    with _opened(path) as (archive, entries):
        for entry in entries:
            if not is_json(entry.filename):
                continue
            if entry.file_size > min(MAX_JSON, left):
                yield (
                    entry.filename,
                    (
                        f"{entry.file_size:,} bytes; at most {MAX_JSON:,} a file and {MAX_JSONS:,} a zip are taken.\n"
                        "Unpack it and use: posestudio import coco FILE --images DIR"
                    ),
                )
                continue
            left -= entry.file_size
            yield entry.filename, _unpacked(archive, entry, MAX_JSON)


def video_items(path: Path, name: str) -> Iterator[Item]:
    """Yield about one frame a second of a video, at most `MAX_FRAMES`, all of one group."""
    video = cv2.VideoCapture(str(path.resolve()), cv2.CAP_FFMPEG)
    try:
        step = _frame_step(video)
        number = taken = 0
        while taken < MAX_FRAMES and video.grab():
            if number % step == 0:
                good, frame = video.retrieve()
                if good and frame is not None:
                    yield _frame_item(
                        f"{name}#{number:06d}", media.picture_of_frame(frame), str(path)
                    )
                    taken += 1
            number += 1
    except InputError as error:
        yield _refusal(name, str(error))
        return
    finally:
        video.release()
    if taken == 0:
        yield _refusal(name, "the video has no frame that can be decoded")


def _frame_item(name: str, picture: media.Picture, group: str) -> Item:
    return Item(name, lambda: picture, group=group)


def _refusal(name: str, reason: str) -> Item:
    def refuse() -> media.Picture:
        raise InputError(reason)

    return Item(name, refuse)


def _frame_step(video: cv2.VideoCapture) -> int:
    """Every how many frames one is taken; a length or rate that the file does not give is guessed as 25 a second."""
    width, height = video.get(cv2.CAP_PROP_FRAME_WIDTH), video.get(cv2.CAP_PROP_FRAME_HEIGHT)
    if max(width, height) > media.MAX_SIDE or width * height > media.MAX_PIXELS:
        raise InputError(f"frames of {width:.0f} x {height:.0f} pixels are too large")
    rate = video.get(cv2.CAP_PROP_FPS)
    count = video.get(cv2.CAP_PROP_FRAME_COUNT)
    a_second = max(1, round(rate)) if math.isfinite(rate) and 0 < rate < 1000 else 25
    fits = math.ceil(count / MAX_FRAMES) if math.isfinite(count) and 0 < count < 1e9 else 1
    return max(a_second, fits)


def _is_video(head: bytes) -> bool:
    """MP4/MOV, MKV/WebM or AVI. Playlists, which could name other files, are not among them."""
    return (
        (head[4:8] == b"ftyp" and head[8:12] not in _STILL)
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
    )


def _head(path: Path) -> bytes:
    try:
        if not path.is_file():
            return b""
        with path.open("rb") as file:
            return file.read(16)
    except (OSError, ValueError):
        return b""


def _shown(name: str) -> bool:
    return not name.startswith(".") and name not in _SILENT


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, list[zipfile.ZipInfo]]]:
    """A zip with its files; those that a system leaves behind are passed over.

    Raises:
        InputError: as `zip_items`.
    """
    if _head(path)[:4] not in _ZIP:
        raise InputError("not a zip by its content")
    try:
        _check_directory(path)
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
            _check_zip(entries, path)
            yield archive, [entry for entry in entries if not entry.is_dir() and _kept(entry)]
    except OSError as error:
        raise InputError(f"the zip cannot be read ({error.strerror or error})") from error
    except _ZIP_FAULTS as error:
        raise InputError(f"the zip is broken ({error})") from error


def _kept(entry: zipfile.ZipInfo) -> bool:
    return all(_shown(part) for part in PurePosixPath(entry.filename).parts)


def _check_directory(path: Path) -> None:
    """Refuse a zip by the size of its table of contents, before anything of it is parsed."""
    with path.open("rb") as file:
        file.seek(0, os.SEEK_END)
        file.seek(max(0, file.tell() - 65_557))
        tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0 or len(tail) < at + 22:
        raise zipfile.BadZipFile("no table of contents")
    count, size = struct.unpack("<H", tail[at + 10 : at + 12])[0], tail[at + 12 : at + 16]
    if count > MAX_ENTRIES or struct.unpack("<I", size)[0] > MAX_DIRECTORY:
        raise InputError(
            f"the zip has more than {MAX_ENTRIES:,} entries and was refused whole; give a folder instead"
        )


def _check_zip(entries: list[zipfile.ZipInfo], path: Path) -> None:
    if len(entries) > MAX_ENTRIES:
        raise InputError(
            f"the zip has {len(entries):,} entries, at most {MAX_ENTRIES:,} are taken; it was refused whole"
        )
    for entry in entries:
        if media.leads_out(entry.filename):
            raise InputError(
                f"the entry {entry.filename[:120]!r} leads out of the zip, which was refused whole"
            )
    total = sum(entry.file_size for entry in entries)
    if total > MAX_UNPACKED:
        raise InputError(
            f"{total:,} bytes unpacked, at most {MAX_UNPACKED:,} are taken; the zip was refused whole"
        )
    if total > RATIO_FROM and total > MAX_RATIO * path.stat().st_size:
        raise InputError(
            f"the zip unpacks to over {MAX_RATIO} times its size, as no photographs do; it was refused whole"
        )


def _read_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[], media.Picture]:
    """Read an entry's bytes now, while the zip is open; decode them when asked."""
    data = _unpacked(archive, entry, media.MAX_FILE_BYTES)
    if isinstance(data, str):
        return _refusal(entry.filename, data).read
    if data[:4] in _ZIP:
        return _refusal(entry.filename, "a zip inside a zip; unpack it first").read
    if _is_video(data[:16]):
        return _refusal(entry.filename, "a video inside a zip; give the video itself").read
    return lambda: media.read_picture(data)


def _unpacked(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes | str:
    """An entry's bytes, or the reason why they are not taken."""
    if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
        return "a link or special file inside a zip"
    if entry.flag_bits & 1:
        return "encrypted"
    if entry.file_size > most:
        return f"{entry.file_size:,} bytes; at most {most:,} are taken"
    try:
        with archive.open(entry) as file:
            return file.read(most + 1)
    except _ZIP_FAULTS as error:
        return f"the entry cannot be unpacked ({error})"
