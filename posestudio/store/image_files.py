"""The files of the project's images folder: written before the transaction that names them, removed if it fails.

One import at a time writes here, so that a failing import never takes away a file that another one counts on.
"""

import dataclasses
import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import duckdb

from posestudio.errors import PoseStudioError, StoreError
from posestudio.store import images
from posestudio.store.database import Store
from posestudio.store.media import Picture

WORKERS = 2
WINDOW = 16
"""Most pictures that are decoded ahead of the one that is waited for; it bounds memory."""

Progress = Callable[[int, int | None], None]
"""Told how many items are done, and of how many (None when unknown)."""
Given = TypeVar("Given")
Made = TypeVar("Made")

one_at_a_time = threading.Lock()
"""Held by an import, and by who takes files away: what is here when an import looks is here when it ends."""


class ImageFiles:
    """The images folder for the time of one import.

    As a context: leaving it with an error removes every file that was written in it and that no image has.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._folder = store.project / "images"
        self._linked: set[str] = set()
        self._written: set[str] = set()
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        """Wait for other imports and deletions of this process to end."""
        one_at_a_time.acquire()
        try:
            rows = self._store.read("SELECT sha256 FROM images WHERE link_path IS NOT NULL")
        except BaseException:
            one_at_a_time.release()
            raise
        self._linked = {row["sha256"] for row in rows}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the written files away again after an error."""
        try:
            if kind is not None:
                self.drop(self._written - self._used())
        finally:
            one_at_a_time.release()

    def put(self, picture: Picture) -> Picture:
        """Write a picture under its hash, unless it is there or linked; returns the picture without its bytes.

        Raises:
            StoreError: the disk is full or the folder cannot be written.
        """
        path = self._folder / picture.sha256
        with self._lock:
            present = picture.sha256 in self._written or picture.sha256 in self._linked
            fresh = not present and not path.exists()
            if fresh:
                self._written.add(picture.sha256)
        if fresh:
            self._write(path, picture.data)
        return dataclasses.replace(picture, data=b"")

    def drop(self, hashes: Iterable[str]) -> None:
        """Remove files that this import wrote; others are left alone."""
        for sha256 in self._written & set(hashes):
            (self._folder / sha256).unlink(missing_ok=True)
            self._written.discard(sha256)

    def _used(self) -> set[str]:
        """The written files that images have: an interrupted transaction may be saved all the same.

        The store is asked after whatever it is doing. One that cannot answer may have used them all.
        """
        written = set(self._written)
        try:
            return set(self._store.write(lambda cursor: images.known(cursor, written)))
        except (PoseStudioError, duckdb.Error):
            return written

    def settle(self) -> None:
        """Make the names of the written files durable; call it before the transaction."""
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _write(self, path: Path, data: bytes) -> None:
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise StoreError(
                    f"The disk that holds {self._folder} is full; nothing was imported.\n"
                    "Free some space and try again."
                ) from error
            raise StoreError(f"{self._folder} cannot be written: {error}.") from error


def in_threads(
    work: Callable[[Given], Made], given: Iterable[Given]
) -> Generator[Made, None, None]:
    """Map in two threads, in order, with a bounded number of results waiting.

    Decoding and hashing leave Python's lock, so two threads keep two cores busy.
    """
    waiting: deque[Future[Made]] = deque()
    pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="decode")
    try:
        for item in given:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= WINDOW:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
