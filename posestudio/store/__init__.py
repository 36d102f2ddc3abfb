"""The label store: one DuckDB file, one writer, an append-only journal, and the files beside it.

`database` opens the file and owns the writer thread; `migrations` holds the tables. `images`, `people`, `labels`,
`predictions`, `runs` and `splits` are what can be read and written, a function each; they take the open `Store` and
return plain dicts. Functions that a larger transaction is made of take a cursor and stand under "in a job".
`freeze` writes the labels to a snapshot folder, `snapshots` reads one without the store, `verify` checks everything
against everything. Only this room imports duckdb.

To add a table: append a migration, never edit one that was released.
"""
