"""Tables come in named steps; a newer or foreign file is refused."""

from pathlib import Path

import duckdb
import pytest

from posestudio.errors import StoreError
from posestudio.store import migrations
from posestudio.store.database import Database, Store


def test_steps_run_once(store: Store):
    assert migrations.migrate(store.database) == []
    project = store.project
    names = [row["name"] for row in store.read("SELECT name FROM migrations ORDER BY name")]
    store.close()
    with Store(project) as again:
        found = [row["name"] for row in again.read("SELECT name FROM migrations ORDER BY name")]
        assert found == names == [name for name, _ in migrations.STEPS]


def test_a_newer_store_is_refused_and_left_alone(store: Store):
    project = store.project
    store.write(
        lambda cursor: (
            cursor.execute("INSERT INTO migrations VALUES ('9999_future', now()::TIMESTAMP)")
            and None
        )
    )
    store.close()
    with pytest.raises(StoreError, match="newer PoseStudio.*9999_future"):
        Store(project)
    connection = duckdb.connect(str(project / "store.duckdb"))
    assert connection.execute("SELECT count(*) FROM migrations").fetchone() == (
        len(migrations.STEPS) + 1,
    )
    connection.close()


def test_the_file_of_another_program_is_refused(tmp_path: Path):
    connection = duckdb.connect(str(tmp_path / "store.duckdb"))
    connection.execute("CREATE TABLE accounts (id INTEGER)")
    connection.close()
    with pytest.raises(StoreError, match="another program"):
        Store(tmp_path)


def test_a_failing_step_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    broken = ("0002_broken", "CREATE TABLE half (id INTEGER); INSERT INTO nowhere VALUES (1);")
    monkeypatch.setattr(migrations, "STEPS", (*migrations.STEPS, broken))
    database = Database(tmp_path / "x.duckdb")
    with pytest.raises(duckdb.Error):
        migrations.migrate(database)
    tables = {
        row["name"] for row in database.read("SELECT table_name AS name FROM duckdb_tables()")
    }
    assert "half" not in tables and "labels" in tables
    database.close()


@pytest.mark.parametrize(
    "row",
    [
        "'placed', NULL, NULL, 2, NULL",
        "'placed', 'nan', 1, 2, NULL",
        "'placed', 1, 1, 0, NULL",
        "'absent', NULL, NULL, 0, NULL",
        "'open', 1, 1, 0, NULL",
        "'guessed', 1, 1, 2, NULL",
    ],
)
def test_the_journal_takes_no_nonsense(store: Store, row: str):
    sql = f"""INSERT INTO label_journal (revision, instance_id, keypoint, state, x, y, v, reason, who, "at", origin)
        VALUES (1, 1, 0, {row}, 'me', now()::TIMESTAMP, 'edit')"""
    with pytest.raises(duckdb.ConstraintException):
        store.write(lambda cursor: cursor.execute(sql) and None)
