"""One writer, no lost update, clear errors, nothing lost by a kill."""

import os
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import duckdb
import pytest

from posestudio.errors import InputError, NotFound, StoreBusy, StoreError
from posestudio.store.database import Database, Store, next_ids

TABLE = "CREATE TABLE numbers (name VARCHAR PRIMARY KEY, value BIGINT)"


@pytest.fixture
def database(tmp_path: Path):
    opened = Database(tmp_path / "x.duckdb", directories=[tmp_path / "snapshots"])
    opened.write(lambda cursor: cursor.execute(TABLE) and None)
    yield opened
    opened.close()


def insert(database: Database, name: str, value: int) -> None:
    database.write(
        lambda cursor: cursor.execute("INSERT INTO numbers VALUES (?, ?)", [name, value]) and None
    )


def values(database: Database) -> dict[str, int]:
    return {
        row["name"]: row["value"] for row in database.read("SELECT * FROM numbers ORDER BY name")
    }


def child(code: str, *args: object) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code), *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )


def test_a_failing_job_leaves_nothing_and_the_writer_goes_on(database: Database):
    def job(cursor):
        cursor.execute("INSERT INTO numbers VALUES ('a', 1)")
        raise InputError("no")

    with pytest.raises(InputError):
        database.write(job)
    insert(database, "b", 2)
    assert values(database) == {"b": 2}


def test_a_job_that_hides_a_failed_statement_is_not_called_saved(database: Database):
    insert(database, "a", 1)

    def job(cursor):
        cursor.execute("INSERT INTO numbers VALUES ('b', 2)")
        try:
            cursor.execute("INSERT INTO numbers VALUES ('a', 1)")
        except duckdb.Error:
            pass

    with pytest.raises(duckdb.Error):
        database.write(job)
    assert values(database) == {"a": 1}


def test_many_threads_lose_no_update(database: Database):
    insert(database, "n", 0)

    def add_one(cursor):
        value = cursor.execute("SELECT value FROM numbers WHERE name = 'n'").fetchone()[0]
        cursor.execute("UPDATE numbers SET value = ? WHERE name = 'n'", [value + 1])

    faults = []

    def work():
        try:
            for _ in range(20):
                database.write(add_one)
                assert database.read("SELECT count(*) AS n FROM numbers") == [{"n": 1}]
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults
    assert values(database) == {"n": 160}


def test_a_reading_sees_one_moment(database: Database):
    insert(database, "a", 1)
    with database.reading() as cursor:
        cursor.execute("SELECT count(*) FROM numbers").fetchone()
        insert(database, "b", 2)
        assert cursor.execute("SELECT count(*) FROM numbers").fetchone() == (1,)
    assert len(values(database)) == 2


def test_a_job_may_not_write_again(database: Database):
    with pytest.raises(RuntimeError, match="own thread"):
        database.write(lambda cursor: database.write(lambda inner: None))
    insert(database, "a", 1)


def test_times_are_read_as_text(database: Database):
    row = database.read("SELECT TIMESTAMP '2026-01-31 12:00:00.5' AS moment")[0]
    assert row["moment"] == "2026-01-31T12:00:00.500000Z"


def test_ids_are_never_given_twice(store: Store):
    def failing(cursor):
        next_ids(cursor, "image_ids", 3)
        raise InputError("no")

    first = store.write(lambda cursor: next_ids(cursor, "image_ids", 3))
    with pytest.raises(InputError):
        store.write(failing)
    second = store.write(lambda cursor: next_ids(cursor, "image_ids", 2))
    assert first == sorted(first) and second == sorted(second) and first[-1] < second[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('/etc/hostname')",
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "ATTACH '{folder}/other.duckdb' AS other",
        "SET enable_external_access=true",
        "INSTALL httpfs",
    ],
)
def test_the_fence_holds(database: Database, tmp_path: Path, sql: str):
    with pytest.raises(Exception, match="(?i)disabled|configuration|could not be used"):
        database.read(sql.format(folder=tmp_path))
    assert not (tmp_path / "out.csv").exists()


def test_the_fence_lets_snapshots_through(database: Database, tmp_path: Path):
    (tmp_path / "snapshots").mkdir()
    database.read(f"COPY (SELECT 1 AS one) TO '{tmp_path}/snapshots/a.parquet' (FORMAT parquet)")
    assert (tmp_path / "snapshots" / "a.parquet").exists()


def test_another_process_is_named_and_waited_for(store: Store):
    code = """
        import sys
        from pathlib import Path
        from posestudio.errors import StoreBusy
        from posestudio.store.database import Store
        try:
            Store(Path(sys.argv[1]), patience=float(sys.argv[2])).close()
            print("opened")
        except StoreBusy as error:
            print(error)
    """
    hasty = child(code, store.project, 0.1)
    said = hasty.communicate(timeout=30)[0]
    assert str(os.getpid()) in said and len(said.strip().splitlines()) == 2
    patient = child(code, store.project, 20)
    time.sleep(1.0)
    store.close()
    assert patient.communicate(timeout=30)[0].strip() == "opened"


def test_the_same_process_cannot_open_twice(store: Store):
    with pytest.raises(StoreBusy, match=str(os.getpid())):
        Store(store.project, patience=0)
    store.close()
    Store(store.project, patience=0).close()


def test_a_closed_store_says_so(store: Store):
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.read("SELECT 1")
    with pytest.raises(StoreError, match="closed"):
        store.write(lambda cursor: None)


def test_no_project_there(tmp_path: Path):
    with pytest.raises(NotFound, match="posestudio init"):
        Store(tmp_path / "nothing")
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("damage", ["all", "middle"])
def test_a_damaged_file_says_what_to_do(store: Store, damage: str):
    path = store.project / "store.duckdb"
    store.close()
    data = bytearray(path.read_bytes())
    start, end = (0, 20000) if damage == "all" else (4096, 12288)
    data[start:end] = bytes(byte ^ 0x55 for byte in data[start:end])
    path.write_bytes(data)
    with pytest.raises(StoreError, match="posestudio restore") as caught:
        Store(store.project)
    assert len(str(caught.value).splitlines()) <= 2


def test_a_full_disk_changes_nothing(tmp_path: Path):
    folder = tmp_path / "small"
    folder.mkdir()
    mount = shutil.which("mount")
    command = [str(mount), "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if (
        mount is None
        or os.geteuid() != 0
        or subprocess.run(command, capture_output=True).returncode
    ):
        pytest.skip("a small tmpfs cannot be mounted here: this needs root")
    try:
        _fill_up(folder)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _fill_up(folder: Path) -> None:
    database = Database(folder / "x.duckdb")
    database.write(lambda cursor: cursor.execute(TABLE) and None)
    insert(database, "a", 1)
    free = shutil.disk_usage(folder).free
    (folder / "ballast").write_bytes(b"x" * (free - 200_000))
    big = "INSERT INTO numbers SELECT repeat(md5(i::VARCHAR), 30), i FROM range(6000) r(i)"
    for _ in range(2):
        with pytest.raises(StoreError, match="full") as caught:
            database.write(lambda cursor: cursor.execute(big) and None)
        assert len(str(caught.value).splitlines()) <= 2
        assert values(database) == {"a": 1}
    (folder / "ballast").unlink()
    insert(database, "b", 2)
    database.close()
    again = Database(folder / "x.duckdb")
    assert values(again) == {"a": 1, "b": 2}
    again.close()


def test_the_writer_survives_a_fatal_error(database: Database):
    insert(database, "a", 1)

    def job(cursor):
        raise duckdb.FatalException("database has been invalidated")

    with pytest.raises(StoreError):
        database.write(job)
    insert(database, "b", 2)
    assert values(database) == {"a": 1, "b": 2}


def test_kill_in_mid_write_loses_nothing_that_was_saved(tmp_path: Path):
    code = """
        import sys
        from pathlib import Path
        from posestudio.store.database import Database
        database = Database(Path(sys.argv[1]))
        database.write(lambda cursor: cursor.execute(sys.argv[2]) and None)
        for i in range(100000):
            database.write(lambda cursor: [cursor.execute(
                "INSERT INTO numbers VALUES (?, ?)", [f"{i}-{part}", i]) for part in "ab"] and None)
            print(i, flush=True)
    """
    path = tmp_path / "x.duckdb"
    process = child(code, path, TABLE)
    said = []
    assert process.stdout is not None
    while len(said) < 40:
        said.append(int(process.stdout.readline()))
    process.send_signal(signal.SIGKILL)
    said += [int(line) for line in process.communicate()[0].split() if line.strip()]
    database = Database(path)
    found = values(database)
    database.close()
    assert all(found.get(f"{i}-{part}") == i for i in said for part in "ab")
    assert len(found) % 2 == 0, "half a transaction was kept"


def test_a_forked_process_is_refused(store: Store):
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.write(lambda cursor: None)
        except StoreError:
            code = 0
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert store.read("SELECT 1 AS one") == [{"one": 1}]
