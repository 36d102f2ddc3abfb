"""The benchmark of the pages: what it says of numbers. Its measuring is the browser's."""

import pytest

ui = pytest.importorskip("benchmarks.ui", reason="no playwright is installed")


def half(**slow: float) -> dict[str, dict[str, float]]:
    """A summary in which all takes 10 ms, and 20 ms twice in 40, but for what is named."""
    values = [10.0] * 38 + [20.0] * 2
    return ui.summary({name: [slow.get(name, v) for v in values] for name in ui.BOUNDS})


def test_summary_has_median_95th_percentile_and_slowest():
    assert half()["saved"] == {"n": 40, "p50": 10.0, "p95": 10.5, "most": 20.0}


def test_a_bound_that_does_not_hold_is_named_with_its_half():
    report = {"quiet": half(), "training": half(saved=151.0, tiles=1400.0)}
    assert ui.faults(report) == ["training: saved takes 151.0 ms, bound 150 ms"]
