"""Figures of a real run's events and of real scores: what is drawn, and that it shows in light and dark."""

# pyright: reportAttributeAccessIssue=false, reportOptionalMemberAccess=false, reportIndexIssue=false
# (figures of plotly have no types)

import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from posestudio.core.metrics import ERROR_KINDS
from posestudio.events import Evaluated, Started, Stepped, Warned
from posestudio.studio import ranking
from posestudio.studio.reliability import bins
from posestudio.train import worker
from posestudio.train.run_folder import RunFolder
from posestudio.ui import plots
from tests.train import people


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list:
    """Of a short run with pseudo-targets and looks at held-out labels."""
    project = tmp_path_factory.mktemp("project")
    points = people.draw(project / "images", 20)
    fold = np.zeros(20, bool)
    fold[:3] = True
    split = np.array(["train"] * 10 + ["unlabeled"] * 10)
    people.write_snapshot(project, people.people(points, split, fold=fold))
    snapshot = next((project / "snapshots").iterdir()).name
    run = people.write_run(project, "run", snapshot, {"train.steps": 30, "train.look_every": 10})
    worker.run(run)
    return RunFolder(run).events()


def drawn(figure: go.Figure) -> dict:
    """The figure as the browser gets it: strict JSON."""
    return json.loads(figure.to_json() or "null")


def shows_in_both_themes(figure: go.Figure) -> None:
    layout = drawn(figure)["layout"]
    assert layout["paper_bgcolor"] == layout["plot_bgcolor"] == "rgba(0,0,0,0)"
    assert layout["uirevision"] and layout["font"]["color"].startswith("#")
    level = [int(layout["font"]["color"][at : at + 2], 16) for at in (1, 3, 5)]
    assert 90 < sum(level) / 3 < 160  # gray: neither lost on white nor on slate


def test_curves_draw_what_the_events_say(events):
    figure = plots.curves(events)
    shows_in_both_themes(figure)
    by_name = {trace.name: trace for trace in figure.data}
    steps = [event for event in events if isinstance(event, Stepped)]
    assert list(by_name["labels"].y) == [event.loss_labeled for event in steps]
    assert list(by_name["pseudo-targets"].x) == [event.step for event in steps]
    looks = [e for e in events if isinstance(e, Evaluated) and "ap_b" in e.metrics]
    assert list(by_name["student b"].y) == [100 * event.metrics["ap_b"] for event in looks]
    assert by_name["student a"].line.dash != by_name["student b"].line.dash
    titles = " ".join(note.text for note in figure.layout.annotations)
    assert all(title in titles for title in plots.PANELS)


def test_a_panel_about_which_nothing_is_said_is_left_out(events):
    plain = [e for e in events if isinstance(e, Started)]
    assert not plots.curves(plain).data
    labels_only = [
        Stepped(10, 0.5, 0.5, 0.0, 0.0, 0.0, 9.0, 1.0),
        Stepped(20, 0.4, 0.4, 0.0, 0.0, 0.0, 9.0, 0.0),
    ]
    assert [trace.name for trace in plots.curves(labels_only).data] == ["labels"]
    hidden = plots.curves(events, held_out=False)
    assert "student a" not in {trace.name for trace in hidden.data}
    looks = [event for event in events if isinstance(event, Evaluated)]
    once = [event for event in events if event not in looks[1:]]
    assert "student a" not in {trace.name for trace in plots.curves(once).data}


def test_reports_in_which_nobody_was_open_leave_no_dent():
    steps = [
        Stepped(step, 0.5, 0.5, 0.1, kept, kept, 9.0, 1.0, kept, kept)
        for step, kept in ((10, 0.5), (20, None), (30, 0.7))
    ]
    kept, unsure = (line for line in plots.curves(steps).data if line.name == "")
    assert list(kept.x) == list(unsure.x) == [10, 30] and list(kept.y) == [0.5, 0.7]


def test_another_run_is_drawn_thin_behind_and_alarms_are_marked(events):
    warned = [*events, Warned(20, "harm", "Harm: ...")]
    figure = plots.curves(warned, events)
    mine = [trace for trace in figure.data if trace.name == "labels"]
    assert [trace.line.width for trace in mine] == [1, 2]
    assert any(shape.x0 == 20 for shape in figure.layout.shapes)


def test_a_long_run_is_averaged_not_cut():
    steps = [Stepped(n, n / 1e4, n / 1e4, 0.0, 0.0, 0.0, 1.0, 0.0) for n in range(10, 30_010, 10)]
    (line,) = plots.curves(steps).data
    assert len(line.x) == plots.POINTS and line.x[-1] == 30_000
    assert np.mean(line.y) == pytest.approx(np.mean([step.loss for step in steps]))


def test_error_kinds_add_up_and_leave_untaught_keypoints_out():
    share = dict.fromkeys(ERROR_KINDS, 0.2)
    rows = [
        {"name": "left_wrist", "taught": True, "n": 4, "error_kinds": share},
        {
            "name": "nose",
            "taught": True,
            "n": 4,
            "error_kinds": {**share, "good": 0.4, "miss": 0.0},
        },
        {"name": "left_eye", "taught": False, "n": 0, "error_kinds": dict.fromkeys(ERROR_KINDS)},
    ]
    figure = plots.error_kinds(rows)
    shows_in_both_themes(figure)
    assert [list(bar.y) for bar in figure.data] == [["left wrist", "nose"]] * 5
    assert np.sum([bar.x for bar in figure.data], axis=0) == pytest.approx([1, 1])
    looks = {(bar.marker.color, bar.marker.pattern.shape) for bar in figure.data}
    assert len({color for color, _ in looks}) == len({shape for _, shape in looks}) == 5


def test_oks_histogram_has_the_line_that_people_reach():
    figure = plots.oks_histogram([0.2, 0.8, 0.9])
    assert {shape.x0 for shape in figure.layout.shapes} == {0.8, plots.HUMAN}
    assert drawn(plots.oks_histogram([]))["data"][0]["type"] == "histogram"


def test_reliability_bins_hold_everybody_and_their_bars_hold_the_share():
    draw = np.random.default_rng(0)
    chance = draw.uniform(size=200)
    wrong = draw.uniform(size=200) < chance
    found = bins(chance, wrong)
    assert sum(row["n"] for row in found) == 200
    assert all(row["low"] <= row["found"] <= row["high"] for row in found)
    figure = plots.reliability({"bins": found})
    shows_in_both_themes(figure)
    assert list(figure.data[1].y) == [row["found"] for row in found]


def test_the_label_curve_has_a_line_only_from_three_counts_on():
    rows = [
        {"run_id": f"000{n}", "preset": "best", "size": "tiny", "people": count, "keypoints": 9, "AP": ap,
         "interval": [ap - 0.05, ap + 0.05]}
        for n, (count, ap) in enumerate([(50, 0.2), (50, 0.25), (100, 0.3), (200, 0.36)])
    ]  # fmt: skip
    two = plots.label_curve(ranking.curve(rows[:3]))
    assert {trace.name for trace in two.data} == {"every run", "best at its count"}
    three = plots.label_curve(ranking.curve(rows))
    assert "line over log(people)" in {trace.name for trace in three.data}
    best = next(trace for trace in three.data if trace.name == "best at its count")
    assert list(best.y) == pytest.approx([25, 30, 36])
    shows_in_both_themes(three)


def test_pseudo_labels_over_training():
    steps = [{"step": n, "precision": 0.5, "recall": None, "asked": 4} for n in (50, 100)]
    figure = plots.pseudo_labels({"steps": steps})
    assert [trace.name for trace in figure.data] == ["precision", "recall"]
    assert drawn(figure)["data"][1]["y"] == [None, None]


def test_nothing_in_the_figures_asks_another_host(events, tmp_path: Path):
    for figure in (plots.curves(events), plots.oks_histogram([0.5])):
        assert "http" not in (figure.to_json() or "")
