"""What DuckDB's errors mean for a user: a full disk, a damaged file, another version."""

import re
from pathlib import Path

import duckdb

from posestudio.errors import StoreError


def holder_of(message: str) -> str:
    """The process id that DuckDB names as the holder of a locked file."""
    found = re.search(r"PID (\d+)", message)
    return found.group(1) if found else "unknown"


def explain(error: duckdb.Error, path: Path) -> Exception:
    """A StoreError for what a user can cause; programming errors are passed on as they are."""
    text = str(error)
    line = text.splitlines()[0] if text else type(error).__name__
    low = text.lower()
    if "no space left" in low or "disk quota" in low or "max_temp_directory_size" in low:
        return StoreError(
            f"The disk that holds {path} is full; nothing of this change was saved.\n"
            "Free some space and try again."
        )
    if "database file with version" in low or "storage version" in low:
        return StoreError(f"{path} was written by another version of DuckDB.\n{line}")
    damaged = ("corrupt", "checksum", "not a valid duckdb", "serialization error", "wal file")
    if any(word in low for word in damaged):
        return StoreError(
            f"The label store {path} is damaged ({line[:160]}).\n"
            "Bring back the newest backup with: posestudio restore FILE"
        )
    unusable = (
        duckdb.IOException, duckdb.FatalException, duckdb.OutOfMemoryException, duckdb.ConnectionException,
    )  # fmt: skip
    if isinstance(error, unusable):
        return StoreError(f"The label store {path} could not be used: {line[:200]}")
    if "could not write" in low or "could not sync" in low:
        return StoreError(f"The label store {path} could not be written: {line[:200]}")
    return error
