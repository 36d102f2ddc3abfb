"""The pool ledger: every vote and offer that was written down, and what became of it, as Parquet in the run's folder.

ledger/00000450.parquet   steps of training up to 450, a part for every checkpoint (train.ledger_every)
pool.parquet              everybody, as the verb `pool` found them last

A row is one voter's offer for one open, taught keypoint of one person at one step. Rows name people by their instance
id and say nothing else of them. Positions are image pixels. Reading needs neither torch nor the store.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from posestudio.train.run_folder import LEDGER, RunFolder

POOL_FILE = "pool.parquet"
ROWS = 1 << 17
"""Rows after which a part is written although no checkpoint is due, and in one row group."""

_WORD = pa.dictionary(pa.int8(), pa.string())
_LIST = pa.list_(pa.float32())
SCHEMA = pa.schema({
    "step": pa.int32(), "instance_id": pa.int64(), "keypoint": pa.int16(), "voter": _WORD, "x": pa.float32(),
    "y": pa.float32(), "score": pa.float32(), "uncertainty": pa.float32(), "reason": _WORD, "teaches": _WORD,
    "view_x": _LIST, "view_y": _LIST, "view_score": _LIST, "view_agrees": pa.list_(pa.bool_()),
})  # fmt: skip
"""voter: "a" or "b". x, y, score, uncertainty: the offer's peak, its height and its uncertainty. reason: one of
pseudo.REASONS, "accepted" or what speaks against it. teaches: the students that learn it, "", "a", "b" or "ab".
view_*: the votes, one entry a view in the order of draw_views: peak, height, and whether it is of the main group."""
FLAT = [name for name in SCHEMA.names if not name.startswith("view_")]


def table(columns: Mapping[str, Any]) -> pa.Table:
    """Columns of SCHEMA as a table: (N,) arrays, words as (indices (N,), the words), view_* (N, V)."""
    found = []
    for name, kind in zip(SCHEMA.names, SCHEMA.types, strict=True):
        values = columns[name]
        if kind == _WORD:
            index, words = values
            found.append(pa.DictionaryArray.from_arrays(pa.array(index, pa.int8()), list(words)))
        elif pa.types.is_list(kind):
            count, views = values.shape
            ends = pa.array(np.arange(0, count * views + 1, max(views, 1), dtype=np.int32))
            found.append(pa.ListArray.from_arrays(ends, pa.array(values.ravel(), kind.value_type)))
        else:
            found.append(pa.array(values, kind))
    return pa.table(found, schema=SCHEMA)


class Ledger:
    """Rows of a training run on their way to disk. A part is whole or not there; `flush` comes before a checkpoint."""

    def __init__(self, run: RunFolder):
        self.folder = run.path / LEDGER
        self.waiting: list[pa.Table] = []
        self.step = 0

    def add(self, step: int, rows: pa.Table) -> None:
        """Take in the rows of a step."""
        self.waiting.append(rows)
        self.step = step
        if sum(len(part) for part in self.waiting) >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what waits as a part that is named by its last step.

        Raises:
            OSError: the disk does not take it.
        """
        if self.waiting:
            self.folder.mkdir(exist_ok=True)
            write(self.folder / f"{self.step:08d}.parquet", self.waiting)
            self.waiting = []


def write(path: Path, parts: Sequence[pa.Table]) -> None:
    """Write tables as one Parquet file, whole or not at all."""
    part = path.with_name(f".{path.name}.part")
    try:
        pq.write_table(
            pa.concat_tables([SCHEMA.empty_table(), *parts]).unify_dictionaries(), part,
            row_group_size=ROWS, compression="zstd",
        )  # fmt: skip
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def parts(run: RunFolder) -> list[Path]:
    """The parts of a run's training, in the order of their steps."""
    return sorted((run.path / LEDGER).glob("[0-9]*.parquet"))


def logged(run: RunFolder, instance_id: int) -> list[dict[str, Any]]:
    """What training wrote down about a person: rows of SCHEMA by step, keypoint and voter."""
    rows = [row for part in _read(parts(run), None, [instance_id]) for row in part.to_pylist()]
    return sorted(rows, key=lambda row: (row["step"], row["keypoint"], row["voter"]))


def offers(paths: Sequence[Path], instance_ids: Sequence[int]) -> dict[str, np.ndarray]:
    """The offers for some people without their votes, as arrays by column; files of another form are left out."""
    found = pa.concat_tables(
        [SCHEMA.empty_table().select(FLAT), *_read(paths, FLAT, instance_ids)]
    ).unify_dictionaries()
    return {name: found[name].to_numpy() for name in FLAT}


def _read(
    paths: Sequence[Path], columns: list[str] | None, instance_ids: Sequence[int]
) -> Iterator[pa.Table]:
    wanted = [("instance_id", "in", list(instance_ids))] if instance_ids else None
    for path in paths if wanted else []:
        with contextlib.suppress(OSError, ValueError, pa.ArrowException):
            found = pq.read_table(path, columns=columns, filters=wanted)
            yield found.cast(pa.schema([SCHEMA.field(name) for name in columns or SCHEMA.names]))
