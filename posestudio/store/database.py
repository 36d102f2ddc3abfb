"""One DuckDB file, one writer thread, one cursor a read; and the project folder around it.

A write is a job: a function of a cursor that runs in one transaction on the writer thread, so that writers never meet
and a failing job leaves nothing behind. A second process cannot open the file at all, not even to read.
"""

import atexit
import json
import os
import queue
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TypeVar

import duckdb

from posestudio.core import skeleton as skeletons
from posestudio.core.skeleton import Skeleton
from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.store import migrations
from posestudio.store.faults import explain, holder_of

Cursor = duckdb.DuckDBPyConnection
Row = dict[str, Any]
Result = TypeVar("Result")

FILE = "store.duckdb"
FOLDERS = ("images", "runs", "snapshots", "backups", "cache")
FENCED_FOLDERS = ("snapshots", "runs", "backups")
PATIENCE = 5.0
CONFIG = {
    "memory_limit": "2GB",
    "threads": "2",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "allow_community_extensions": "false",
}

_open_databases: "weakref.WeakSet[Database]" = weakref.WeakSet()
_open_here: set[Path] = set()
_open_here_lock = threading.Lock()


def now() -> datetime:
    """The moment in UTC, without a time zone: the form in which the store keeps time."""
    return datetime.now(UTC).replace(tzinfo=None)


def fetch(cursor: Cursor, sql: str, params: Sequence[Any] = ()) -> list[Row]:
    """Run one statement and return its rows as JSON-able dicts, times as "2026-01-31T12:00:00.000000Z"."""
    cursor.execute(sql, list(params))
    names = [column[0] for column in cursor.description or []]
    return [
        {name: plain(value) for name, value in zip(names, row, strict=True)}
        for row in cursor.fetchall()
    ]


def next_ids(cursor: Cursor, sequence: str, count: int) -> list[int]:
    """`count` fresh ids, increasing. An id is never given twice, not even after a deletion."""
    found = cursor.execute(f"SELECT nextval('{sequence}') FROM range(?)", [count]).fetchall()
    return [row[0] for row in found]


def plain(value: Any) -> Any:
    """A value as JSON can hold it: a time becomes text, the rest stays."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds") + "Z"
    return value


class Database:
    """One open DuckDB file.

    Args:
        path: the file; made when absent.
        directories: the only folders besides the file that SQL may touch.
        patience: seconds to wait while another process holds the file.

    Raises:
        StoreBusy: another process still holds the file.
        StoreError: the file is damaged, not a DuckDB file, or cannot be opened.
    """

    def __init__(
        self, path: Path, *, directories: Iterable[Path] = (), patience: float = PATIENCE
    ) -> None:
        """Open the file and start the writer thread."""
        self.path = Path(path).resolve()
        self._directories = [str(Path(folder).resolve()) + os.sep for folder in directories]
        self._pid = os.getpid()
        self._state = threading.Condition()
        self.written = 0
        """Jobs that were committed since the file was opened; what is kept of the store is true while it stands."""
        self._closed = False
        self._reading = 0
        self._jobs: queue.SimpleQueue[tuple[Callable[[Cursor], Any], Future[Any]] | None] = (
            queue.SimpleQueue()
        )
        self._root = self._open(patience)
        self._writer = threading.Thread(target=self._write_all, name="store-writer", daemon=True)
        self._writer.start()
        _open_databases.add(self)

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Rows of one query as JSON-able dicts; sees every committed write."""
        with self._translated(), self._cursor() as cursor:
            return fetch(cursor, sql, params)

    @contextmanager
    def reading(self) -> Iterator[Cursor]:
        """A cursor whose queries all see the store at one moment, whatever is written meanwhile."""
        with self._translated(), self._cursor() as cursor:
            cursor.execute("BEGIN")
            try:
                yield cursor
            finally:
                with suppress(duckdb.Error):
                    cursor.execute("ROLLBACK")

    def write(self, job: Callable[[Cursor], Result]) -> Result:
        """Run `job` in one transaction on the writer thread and return its result after the commit.

        Raises:
            StoreError: the disk is full or the file failed; nothing of the job was saved.
            Exception: whatever the job raised; nothing of it was saved either.
        """
        self._check_process()
        if threading.current_thread() is self._writer:
            raise RuntimeError("a job must not call write: it would wait for its own thread")
        done: Future[Result] = Future()
        with self._state:
            if self._closed:
                raise StoreError(f"The label store {self.path} is closed.")
            self._jobs.put((job, done))
        return done.result()

    def checkpoint(self) -> None:
        """Fold the write-ahead log into the file; a reader in between puts it off, which is fine."""
        with self._cursor() as cursor, suppress(duckdb.Error):
            cursor.execute("CHECKPOINT")

    def copy_to(self, file: Path) -> None:
        """Write a copy of the store, as it is at this moment, to a new file in one of the allowed folders."""
        name, target = f"copy_{uuid.uuid4().hex}", str(file).replace("'", "''")
        with self._translated(), self._cursor() as cursor:
            own = cursor.execute("SELECT current_database()").fetchone()
            cursor.execute(f"ATTACH '{target}' AS {name}")
            try:
                cursor.execute(f'COPY FROM DATABASE "{own[0] if own else "store"}" TO {name}')
            finally:
                cursor.execute(f"DETACH {name}")

    def close(self) -> None:
        """Finish the queued writes and running reads, then let go of the file. Twice is fine."""
        if os.getpid() != self._pid:
            return
        with self._state:
            if self._closed:
                return
            self._closed = True
            self._jobs.put(None)
        self._writer.join()
        with self._state:
            self._state.wait_for(lambda: self._reading == 0, timeout=30)
        with suppress(duckdb.Error):
            self._root.close()
        with _open_here_lock:
            _open_here.discard(self.path)

    def _write_all(self) -> None:
        while (entry := self._jobs.get()) is not None:
            job, done = entry
            try:
                result = self._run(job)
            except BaseException as error:
                done.set_exception(error)
            else:
                done.set_result(result)
            del entry, job, done

    def _run(self, job: Callable[[Cursor], Result]) -> Result:
        with self._translated():
            cursor = self._root.cursor()
            try:
                cursor.execute("BEGIN")
                try:
                    result = job(cursor)
                    # COMMIT of a transaction in which a statement failed saves nothing and says nothing.
                    cursor.execute("SELECT 1").fetchone()
                    cursor.execute("COMMIT")
                    self.written += 1
                    return result
                except BaseException as error:
                    with suppress(duckdb.Error):
                        cursor.execute("ROLLBACK")
                    if isinstance(error, duckdb.FatalException) or "invalidated" in str(error):
                        self._reopen()
                    raise
            finally:
                with suppress(duckdb.Error):
                    cursor.close()

    @contextmanager
    def _cursor(self) -> Iterator[Cursor]:
        self._check_process()
        with self._state:
            if self._closed:
                raise StoreError(f"The label store {self.path} is closed.")
            cursor = self._root.cursor()
            self._reading += 1
        try:
            yield cursor
        finally:
            with suppress(duckdb.Error):
                cursor.close()
            with self._state:
                self._reading -= 1
                self._state.notify_all()

    def _check_process(self) -> None:
        if os.getpid() != self._pid:
            raise StoreError(
                "The label store cannot be used in a forked process.\n"
                "Start the process with spawn, or let it read a snapshot."
            )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except duckdb.Error as error:
            raise explain(error, self.path) from error

    def _open(self, patience: float) -> Cursor:
        deadline = time.monotonic() + patience
        while True:
            with _open_here_lock:
                free = self.path not in _open_here
                if free:
                    _open_here.add(self.path)
            if free:
                try:
                    return self._connect()
                except duckdb.Error as error:
                    self._unclaim()
                    if "Could not set lock" not in str(error):
                        raise explain(error, self.path) from error
                    holder = holder_of(str(error))
                except BaseException:
                    self._unclaim()
                    raise
            else:
                holder = os.getpid()
            if time.monotonic() >= deadline:
                raise StoreBusy(
                    f"The label store {self.path} is open in another place (process {holder}).\n"
                    "Close that program, or wait until it is done."
                )
            time.sleep(0.05)

    def _unclaim(self) -> None:
        with _open_here_lock:
            _open_here.discard(self.path)

    def _connect(self) -> Cursor:
        root = duckdb.connect(str(self.path), config=dict(CONFIG))
        try:
            quoted = ", ".join(
                "'" + folder.replace("'", "''") + "'" for folder in self._directories
            )
            root.execute(f"SET allowed_directories=[{quoted}]")
            root.execute("SET enable_external_access=false")
            root.execute("SET lock_configuration=true")
        except BaseException:
            root.close()
            raise
        return root

    def _reopen(self) -> None:
        with self._state:
            self._state.wait_for(lambda: self._reading == 0, timeout=30)
            with suppress(duckdb.Error):
                self._root.close()
            self._root = self._connect()


@atexit.register
def _close_all() -> None:
    for database in list(_open_databases):
        database.close()


class Store:
    """A project folder with its open label store.

    Args:
        project: the folder.
        create: make the folder and the store when there is none.
        patience: seconds to wait while another process holds the store.

    Raises:
        NotFound: there is no project in the folder and `create` is False.
        StoreBusy: another process holds the store.
        StoreError: the store is damaged or was written by a newer version.
    """

    def __init__(self, project: Path, *, create: bool = False, patience: float = PATIENCE) -> None:
        """Open the store, bringing its tables up to date."""
        self.project = Path(project).resolve()
        path = self.project / FILE
        if not path.exists() and not create:
            raise NotFound(
                f"There is no PoseStudio project in {self.project}.\n"
                "Make one with: posestudio init --project FOLDER"
            )
        try:
            for name in FOLDERS:
                (self.project / name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"The folder {self.project} cannot be written: {error}.") from error
        fenced = [self.project / name for name in FENCED_FOLDERS]
        self.database = Database(path, directories=fenced, patience=patience)
        try:
            migrations.migrate(self.database)
        except BaseException:
            self.database.close()
            raise

    def __enter__(self) -> Self:
        """The store itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self.close()

    def read(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Rows of one query. For this room only; other rooms call the named functions."""
        return self.database.read(sql, params)

    def write(self, job: Callable[[Cursor], Result]) -> Result:
        """Run a job in one transaction; see `Database.write`."""
        return self.database.write(job)

    def close(self) -> None:
        """Let go of the file."""
        self.database.close()

    def skeleton(self) -> Skeleton | None:
        """The project's skeleton, or None before `init --skeleton` or the first import."""
        rows = self.read("SELECT value FROM meta WHERE key = 'skeleton'")
        return skeletons.from_dict(json.loads(rows[0]["value"])) if rows else None

    def require_skeleton(self) -> Skeleton:
        """The project's skeleton.

        Raises:
            InputError: the project has none yet.
        """
        found = self.skeleton()
        if found is None:
            raise InputError(
                "This project has no skeleton yet.\n"
                "It comes with the first photos (COCO's 17 keypoints) or COCO keypoint file: posestudio import --help"
            )
        return found


def set_skeleton(cursor: Cursor, skeleton: Skeleton) -> None:
    """In a job: give the project its skeleton; the same again is fine, and one in place of an assumed one.

    Raises:
        InputError: the project already has another one.
    """
    rows = fetch(cursor, "SELECT value FROM meta WHERE key = 'skeleton'")
    if not rows:
        text = json.dumps(skeleton.to_dict())
        cursor.execute("INSERT INTO meta VALUES ('skeleton', ?)", [text])
        return
    present = skeletons.from_dict(json.loads(rows[0]["value"]))
    if present.keypoints != skeleton.keypoints:
        found = cursor.execute(
            """UPDATE meta SET value = ? WHERE key = 'skeleton' AND NOT EXISTS (FROM labels)
            AND EXISTS (FROM meta WHERE key = 'skeleton_assumed')""",
            [json.dumps(skeleton.to_dict())],
        )
        if (found.fetchone() or (0,))[0]:
            return
        raise InputError(
            f"This project's skeleton has the keypoints {', '.join(present.keypoints)};\n"
            f"got {', '.join(skeleton.keypoints)}. A project has one skeleton: use another project."
        )
