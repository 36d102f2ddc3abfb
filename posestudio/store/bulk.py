"""Many rows in one statement: a list a column, unnested by DuckDB. A hundred times faster than row by row."""

from collections.abc import Mapping
from typing import Any

from posestudio.store.database import Cursor


def insert(cursor: Cursor, table: str, columns: Mapping[str, tuple[str, Any]]) -> int:
    """In a job: append rows to a table; returns how many.

    Args:
        cursor: of the running job.
        table: its name.
        columns: name -> (DuckDB type, list of values, or one value for all rows); the lists have one length. Names and
            types come from this room's code only.
    """
    lengths = {len(values) for _, values in columns.values() if isinstance(values, list)}
    if len(lengths) != 1:
        raise ValueError(f"columns of {table} differ in length: {sorted(lengths)}")
    count = lengths.pop()
    if count:
        names = ", ".join(f'"{name}"' for name in columns)
        parts = ", ".join(
            f"unnest(?::{kind}[])" if isinstance(values, list) else f"?::{kind}"
            for kind, values in columns.values()
        )
        values = [values for _, values in columns.values()]
        cursor.execute(f"INSERT INTO {table} ({names}) SELECT {parts}", values)
    return count
