"""What the store says of runs."""

import math

import pytest

from posestudio.errors import InputError, NotFound
from posestudio.store import runs


def test_a_run_from_start_to_end(store):
    run = runs.register(store, "run-1", preset="best", size="tiny", snapshot_id="s", from_run=None)
    assert (run["status"], run["ended_at"], run["metrics"]) == ("waiting", None, {})
    runs.update(store, "run-1", status="running", metrics={"loss": [1.0, math.nan]})
    run = runs.update(store, "run-1", status="done", metrics={"AP": 0.5})
    assert run["metrics"] == {"loss": [1.0, None], "AP": 0.5} and run["ended_at"]
    assert runs.update(store, "run-1", status="running")["ended_at"] is None
    assert run["path"] == str(store.project / "runs" / "run-1")


def test_lists_are_newest_first(store):
    for name, status in (("a", "done"), ("b", "failed"), ("c", "running"), ("d", "waiting")):
        runs.register(store, name, status=status)
    assert [run["run_id"] for run in runs.list_runs(store)] == ["d", "c", "b", "a"]
    assert [run["run_id"] for run in runs.list_runs(store, status="failed")] == ["b"]
    latest = runs.latest(store)
    assert latest and latest["run_id"] == "a"


def test_no_usable_run(store):
    assert runs.latest(store) is None


def test_bad_names_and_statuses(store):
    runs.register(store, "a")
    with pytest.raises(InputError, match="already"):
        runs.register(store, "a")
    for name in ("", "../a", "a/b", ".hidden", "a b"):
        with pytest.raises(InputError, match="run id"):
            runs.register(store, name)
    with pytest.raises(InputError, match="status"):
        runs.update(store, "a", status="sleeping")
    with pytest.raises(InputError, match="JSON"):
        runs.update(store, "a", metrics={"x": object()})
    with pytest.raises(NotFound, match="posestudio runs"):
        runs.get(store, "zz")
    with pytest.raises(NotFound, match="zz"):
        runs.update(store, "zz", status="done")
