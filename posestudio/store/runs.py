"""Runs as the store knows them: status, settings in brief, snapshot, metrics. The run itself is a folder in runs/."""

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from posestudio.errors import InputError, NotFound
from posestudio.store.database import Cursor, Row, Store, now

STATUSES = ("waiting", "running", "done", "stopped", "failed", "interrupted")
ENDED = ("done", "stopped", "failed", "interrupted")

_RUN = "SELECT * FROM runs"


def register(
    store: Store,
    run_id: str,
    *,
    preset: str | None = None,
    size: str | None = None,
    snapshot_id: str | None = None,
    from_run: str | None = None,
    status: str = "waiting",
) -> Row:
    """Note a new run; returns it as `get` does.

    Raises:
        InputError: the id is taken or is no plain file name, or no such status.
    """
    if (
        not run_id
        or run_id.startswith(".")
        or not run_id.replace("-", "").replace("_", "").replace(".", "").isalnum()
    ):
        raise InputError(f"A run id is made of letters, digits, '-', '_' and '.'; got {run_id!r}.")
    values = [run_id, _status(status), preset, size, snapshot_id, from_run, now(), None, None]

    def job(cursor: Cursor) -> None:
        if cursor.execute("SELECT 1 FROM runs WHERE run_id = ?", [run_id]).fetchone():
            raise InputError(f"There is already a run {run_id}.")
        cursor.execute("INSERT INTO runs VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", values)

    store.write(job)
    return get(store, run_id)


def update(
    store: Store,
    run_id: str,
    *,
    status: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Row:
    """Change the status of a run, or add metrics to those it has; returns it as `get` does.

    A status that ends a run sets `ended_at`; another one clears it (a resumed run).

    Raises:
        NotFound: no such run.
        InputError: no such status, or metrics that JSON cannot hold.
    """
    wanted = None if status is None else _status(status)

    def job(cursor: Cursor) -> None:
        found = cursor.execute("SELECT metrics FROM runs WHERE run_id = ?", [run_id]).fetchone()
        if found is None:
            raise NotFound(f"There is no run {run_id}.")
        if wanted is not None:
            ended = now() if wanted in ENDED else None
            cursor.execute(
                "UPDATE runs SET status = ?, ended_at = ? WHERE run_id = ?", [wanted, ended, run_id]
            )
        if metrics is not None:
            both = {**json.loads(found[0] or "{}"), **metrics}
            cursor.execute("UPDATE runs SET metrics = ? WHERE run_id = ?", [_json(both), run_id])

    store.write(job)
    return get(store, run_id)


def get(store: Store, run_id: str) -> Row:
    """One run: run_id, status, preset, size, snapshot_id, from_run, created_at, ended_at, metrics (a dict), path.

    Raises:
        NotFound: no such run.
    """
    found = store.read(f"{_RUN} WHERE run_id = ?", [run_id])
    if not found:
        raise NotFound(f"There is no run {run_id}. See: posestudio runs")
    return _run(store, found[0])


def list_runs(store: Store, *, status: str | None = None, limit: int | None = None) -> list[Row]:
    """Runs, the newest first, as `get` gives them."""
    where, params = ("WHERE status = ?", [_status(status)]) if status else ("", [])
    rows = store.read(
        f"{_RUN} {where} ORDER BY created_at DESC, run_id DESC LIMIT ?", [*params, limit]
    )
    return [_run(store, row) for row in rows]


def latest(store: Store, statuses: Iterable[str] = ("done", "stopped")) -> Row | None:
    """The newest run with one of these statuses (by default those that left usable students), or None."""
    wanted = [_status(status) for status in statuses]
    rows = store.read(
        f"{_RUN} WHERE status IN (SELECT unnest(?::VARCHAR[])) ORDER BY created_at DESC, run_id DESC LIMIT 1",
        [wanted],
    )
    return _run(store, rows[0]) if rows else None


def _run(store: Store, row: Row) -> Row:
    metrics = json.loads(row["metrics"]) if row["metrics"] else {}
    return {**row, "metrics": metrics, "path": str(store.project / "runs" / row["run_id"])}


def _status(status: str) -> str:
    if status not in STATUSES:
        raise InputError(f"status must be one of {', '.join(STATUSES)}, got {status!r}.")
    return status


def _json(metrics: Mapping[str, Any]) -> str:
    try:
        return json.dumps(_finite(metrics), allow_nan=False)
    except TypeError as error:
        raise InputError(f"These metrics cannot be kept as JSON: {error}.") from error


def _finite(value: Any) -> Any:
    """The same with None for numbers that are not finite: JSON has no word for those."""
    if isinstance(value, Mapping):
        return {str(key): _finite(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(part) for part in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
