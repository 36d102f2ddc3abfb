"""The door to a project: `Studio(project).call(verb, ...)` runs a store verb here or in the process that owns it."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from posestudio.core.skeleton import Skeleton, from_dict
from posestudio.errors import InputError, NotFound, StoreBusy
from posestudio.studio import owner as owners
from posestudio.studio import verbs
from posestudio.studio.json_form import plain

if TYPE_CHECKING:
    from posestudio.store.database import Store

STORE_FILE = "store.duckdb"


class Studio:
    """One project folder.

    hold: keep the store open until `close`, as the app does; `announce` then tells other processes where to ask.
    Without it every call opens the store, runs, and closes it, or asks the live owner. Safe to call from threads.
    """

    def __init__(self, project: Path | str, hold: bool = False) -> None:
        self.project = Path(project).expanduser().absolute()
        self.owner: owners.Owner | None = None
        self._lock = threading.RLock()
        self._store: Store | None = None
        if hold:
            self._require()
            other = owners.find(self.project)
            if other is not None:
                raise StoreBusy(
                    f"The project {self.project} is already open at {other.address} (process {other.pid}).\n"
                    "Use that one, or stop it first."
                )
            self._store = self._open()

    def __enter__(self) -> "Studio":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def announce(self, address: str) -> None:
        """Write owner.json: verbs of other processes are answered at `address` from now on."""
        self.owner = owners.write(self.project, address)

    def close(self) -> None:
        """Let go of the store and take owner.json away. Closing twice is fine."""
        if self.owner is not None:
            owners.remove(self.project, self.owner)
            self.owner = None
        if self._store is not None:
            self._store.close()
            self._store = None

    def call(self, verb: str, **args: Any) -> Any:
        """Run a store verb; arguments and result are JSON-able.

        Raises:
            NotFound: no such verb or project, or what the verb does not find.
            StoreBusy: another process holds the store and does not answer.
        """
        verbs.check(verb, args)
        if self._store is not None:
            return plain(verbs.run(self._store, verb, args))
        self._require()
        owner = owners.find(self.project)
        if owner is not None:
            return owners.send(owner, verb, plain(args))
        with self._opened() as store:
            return plain(verbs.run(store, verb, args))

    def run_folder(self, run_id: str) -> Path:
        """runs/<run_id> of this project."""
        return self.project / "runs" / run_id

    def skeleton(self) -> Skeleton:
        """The project's skeleton.

        Raises:
            InputError: nothing has been imported yet and `init` named none.
        """
        record = self.call("project")["skeleton"]
        if record is None:
            raise InputError(
                "The project has no skeleton yet. Import a COCO file, or init --skeleton FILE."
            )
        return from_dict(record, "the project's skeleton")

    def _require(self) -> None:
        if not (self.project / STORE_FILE).exists():
            raise NotFound(
                f"No project at {self.project}. Make one: posestudio init --project {self.project}"
            )

    def _open(self) -> "Store":
        from posestudio.store.database import Store  # lazy: duckdb

        known = owners.read(self.project)
        held = known is not None and known.pid != os.getpid() and owners.pid_alive(known.pid)
        try:
            return Store(self.project, patience=0.5) if held else Store(self.project)
        except StoreBusy as error:
            if known is None or not held:
                raise
            raise StoreBusy(owners.busy_message(self.project, known)) from error

    @contextmanager
    def _opened(self) -> Iterator["Store"]:
        with self._lock:
            store = self._open()
            try:
                yield store
            finally:
                store.close()


def create(project: Path | str, skeleton: dict[str, Any] | None = None) -> dict[str, Any]:
    """Make an empty project folder, with a skeleton (COCO category form) or open to that of the first import.

    Raises:
        InputError: there is a project already, or the place is a file.
    """
    folder = Path(project).expanduser().absolute()
    if (folder / STORE_FILE).exists():
        raise InputError(
            f"There is a project at {folder} already. Use it, or choose another --project."
        )
    if skeleton is not None:
        skeleton = from_dict(skeleton, "the skeleton file").to_dict()
    from posestudio.store.database import Store  # lazy: duckdb

    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder} is a file. Choose a folder for the project.")
    store = Store(folder, create=True)
    try:
        if skeleton is not None:
            verbs.run(store, "set_skeleton", {"skeleton": skeleton})
        return plain(verbs.run(store, "project", {}))
    finally:
        store.close()
