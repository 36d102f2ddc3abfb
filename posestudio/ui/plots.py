"""Curves and charts as plotly figures: readable in light and dark, told apart without color, saved by the modebar.

Pure functions: numbers in, a figure out; no gradio. Text is gray here and takes the theme's color from the style sheet;
lines differ in color and dash. `uirevision` keeps a zoom while new points come in.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from posestudio.core.metrics import ERROR_KINDS
from posestudio.events import Evaluated, Event, Started, Stepped, Warned

BLUE, ORANGE, GREEN, PURPLE, GRAY = "#3d86c6", "#d9730d", "#1f9e77", "#a667b8", "#84909c"
"""After Okabe and Ito's colors, at one lightness that shows on white and on dark slate."""
KIND_COLORS = {
    "good": GREEN, "jitter": BLUE, "inversion": ORANGE, "swap": PURPLE, "miss": GRAY,
}  # fmt: skip
KIND_PATTERNS = {"good": "", "jitter": ".", "inversion": "/", "swap": "x", "miss": "-"}
GRID = "rgba(128,140,152,.22)"
POINTS = 300
"""Points of a curve; a longer one is averaged in that many parts."""
HUMAN = 0.91
"""Median OKS of one person against another on COCO. Source: the COCO keypoint challenge's own study of annotators."""

Curve = tuple[np.ndarray, np.ndarray]


def curves(
    events: Sequence[Event], other: Sequence[Event] = (), *, held_out: bool = True
) -> go.Figure:
    """What a run says of itself while it trains, a panel each: losses, kept share, uncertainty, held-out AP.

    Panels about which nothing is said are left out.

    Args:
        events: of the run.
        other: of a run to draw thin behind it.
        held_out: whether the labels that "fold" events judge by were kept out of training.
    """
    lines = {title: _lines(title, events, held_out) for title in PANELS}
    shown = [title for title, found in lines.items() if found]
    if not shown:
        return go.Figure()
    columns, rows = min(2, len(shown)), (len(shown) + 1) // 2
    figure = make_subplots(rows, columns, horizontal_spacing=0.1, vertical_spacing=0.24)
    both = (*events, *other)
    length = max((event.steps for event in both if isinstance(event, Started)), default=None)
    for place, title in enumerate(shown):
        row, column = place // columns + 1, place % columns + 1
        for thin, found in ((True, _lines(title, other, held_out)), (False, lines[title])):
            for name, curve, color, dash in found:
                figure.add_trace(_line(name, curve, color, dash, thin), row=row, col=column)
        span, percent = None if length is None else [0, length], ".0%" if title == KEPT else None
        figure.update_xaxes(range=span, row=row, col=column)
        figure.update_yaxes(rangemode="tozero", tickformat=percent, row=row, col=column)
        axis = "" if place == 0 else str(place + 1)
        figure.add_annotation(
            x=0, y=1, xref=f"x{axis} domain", yref=f"y{axis} domain", xanchor="left", yanchor="bottom", yshift=4,
            text=f"<b>{title}</b>  {_key(lines[title])}", showarrow=False, font={"size": 12},
        )  # fmt: skip
    for warned in (event for event in events if isinstance(event, Warned) and event.code in ALARMS):
        figure.add_vline(warned.step, line={"color": ORANGE, "width": 1, "dash": "dot"})
    return _dressed(figure, 195 * rows + 20, keep="curves")


KEPT, HELD = "Kept share of pseudo-targets", "AP on held-out labels"
PANELS = ("Loss", KEPT, "Uncertainty", HELD)
ALARMS = ("collapse", "harm", "coupling", "empty_pool", "not_finite")
DASHES = {"solid": "\u2501", "dash": "\u2505"}
_FIELDS = {
    "Loss": (("labels", "loss_labeled", BLUE, "solid"), ("pseudo-targets", "loss_unlabeled", ORANGE, "dash")),
    KEPT: (("", "kept", GREEN, "solid"),),
    "Uncertainty": (("", "uncertainty", PURPLE, "solid"),),
    HELD: (("student a", "ap_a", BLUE, "solid"), ("student b", "ap_b", ORANGE, "dash")),
}  # fmt: skip


def _lines(
    title: str, events: Sequence[Event], held_out: bool
) -> list[tuple[str, Curve, str, str]]:
    """The curves of a panel about which something is said: (name, curve, color, dash)."""
    steps = [event for event in events if isinstance(event, Stepped)]
    found = []
    for name, source, color, dash in _FIELDS[title]:
        if title == HELD:
            curve = _looks(events, source) if held_out else _column([], source)
            said = len(curve[0]) > 1  # one look is no curve
        else:
            curve = _column(steps, source)
            said = len(curve[0]) > 0 and (source == "loss_labeled" or bool(curve[1].any()))
        if said:
            found.append((name, curve, color, dash))
    return found


def _key(lines: Sequence[tuple[str, Curve, str, str]]) -> str:
    """A panel's legend in its title."""
    return "  ".join(
        f'<span style="color:{color}">{DASHES[dash]}</span> {name}' for name, _, color, dash in lines if name
    )  # fmt: skip


def error_kinds(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Each keypoint's kinds of error as one stacked bar, the best keypoint on top.

    Args:
        rows: of `Scores.keypoints`; untaught and unlabeled ones are left out.
    """
    known = [row for row in rows if row["taught"] and row["n"]]
    known.sort(key=lambda row: row["error_kinds"]["good"] or 0.0)
    names = [str(row["name"]).replace("_", " ") for row in known]
    figure = go.Figure()
    for kind in ERROR_KINDS:
        figure.add_bar(
            y=names, x=[row["error_kinds"][kind] for row in known], name=kind, orientation="h",
            marker={"color": KIND_COLORS[kind], "line": {"width": 0},
                    "pattern": {"shape": KIND_PATTERNS[kind], "size": 5, "solidity": 0.3, "fillmode": "overlay"}},
            hovertemplate="%{y}: %{x:.1%} " + kind + "<extra></extra>",
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.28)
    figure.update_xaxes(tickformat=".0%", range=[0, 1])
    figure.update_yaxes(showgrid=False)
    return _dressed(
        figure, max(220, 21 * len(names) + 90), keep="kinds", legend={"traceorder": "normal"}
    )


def oks_histogram(oks: Sequence[float]) -> go.Figure:
    """How many people reach which OKS, with the line that people reach among themselves."""
    figure = go.Figure(
        go.Histogram(
            x=list(oks), xbins={"start": 0, "end": 1.0001, "size": 0.05}, marker={"color": BLUE},
            hovertemplate="OKS %{x}: %{y} people<extra></extra>",
        )
    )  # fmt: skip
    median = float(np.median(oks)) if len(oks) else None
    if median is not None:
        _mark(figure, median, f"median {median:.2f}", BLUE, "dash", low=True)
    _mark(figure, HUMAN, f"people {HUMAN:.2f}", ORANGE, "dot")
    figure.update_xaxes(range=[0, 1], title_text="OKS of a person")
    figure.update_yaxes(title_text="people")
    return _dressed(figure, 270, keep="oks")


def reliability(record: Mapping[str, Any]) -> go.Figure:
    """Said error probability against the share that was found wrong, with 95 % bars; on the diagonal, it means it.

    Args:
        record: of `studio.reliability`.
    """
    bins = record["bins"]
    said, found = [row["said"] for row in bins], [row["found"] for row in bins]
    figure = go.Figure()
    figure.add_scatter(
        x=[0, 1], y=[0, 1], mode="lines", line={"color": GRAY, "dash": "dot", "width": 1},
        hoverinfo="skip", showlegend=False,
    )  # fmt: skip
    figure.add_scatter(
        x=said, y=found, mode="lines+markers", line={"color": BLUE, "width": 2}, marker={"size": 8},
        error_y={
            "type": "data", "symmetric": False, "color": BLUE, "thickness": 1, "width": 3,
            "array": [row["high"] - row["found"] for row in bins],
            "arrayminus": [row["found"] - row["low"] for row in bins],
        },
        customdata=[row["n"] for row in bins], showlegend=False,
        hovertemplate="said %{x:.0%}, found %{y:.0%} of %{customdata} keypoints<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(range=[0, 1], tickformat=".0%", title_text="error probability said")
    figure.update_yaxes(range=[0, 1], tickformat=".0%", title_text="share found wrong")
    return _dressed(figure, 270, keep="reliability")


def label_curve(record: Mapping[str, Any]) -> go.Figure:
    """AP of the project's runs over labeled people; a line and its band where there are counts enough for one.

    Args:
        record: of `studio.ranking.curve`.
    """
    figure = go.Figure()
    line, points, best = record["line"], record["points"], record["best"]
    if line is not None:
        people = line["people"]
        figure.add_scatter(
            x=[*people, *people[::-1]], y=_percent([*line["high"], *line["low"][::-1]]), fill="toself", mode="lines",
            fillcolor="rgba(61,134,198,.16)", line={"width": 0}, hoverinfo="skip", name="80 % interval",
        )  # fmt: skip
        figure.add_scatter(
            x=people, y=_percent(line["AP"]), mode="lines", line={"color": BLUE, "dash": "dash", "width": 1.5},
            name="line over log(people)", hoverinfo="skip",
        )  # fmt: skip
    for rows, name, symbol, color, size in (
        (points, "every run", "circle-open", GRAY, 8), (best, "best at its count", "diamond", BLUE, 9),
    ):  # fmt: skip
        figure.add_scatter(
            x=[row["people"] for row in rows], y=_percent(row["AP"] for row in rows), mode="markers",
            name=name, marker={"symbol": symbol, "size": size, "color": color},
            error_y=_spans(rows, color), text=[_run_words(row) for row in rows],
            hovertemplate="%{text}<br>%{x} people, AP %{y:.1f}<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="labeled people that a run learned from", rangemode="tozero")
    figure.update_yaxes(title_text="AP on val", rangemode="tozero")
    return _dressed(figure, 330, keep="labels", legend={"y": 1.16})


def pseudo_labels(scores: Mapping[str, Any]) -> go.Figure:
    """Precision and recall of a run's pseudo-labels over its training, where people labeled those keypoints later.

    Args:
        scores: of the verb `ledger_scores`.
    """
    steps, figure = scores["steps"], go.Figure()
    for name, color, dash, symbol in (
        ("precision", BLUE, "solid", "circle"), ("recall", ORANGE, "dash", "square"),
    ):  # fmt: skip
        figure.add_scatter(
            x=[row["step"] for row in steps], y=[row[name] for row in steps], name=name, mode="lines+markers",
            line={"color": color, "dash": dash}, marker={"symbol": symbol, "size": 7},
            customdata=[row["asked"] for row in steps],
            hovertemplate="up to step %{x}: " + name + " %{y:.0%} of %{customdata} chances<extra></extra>",
        )  # fmt: skip
    figure.update_xaxes(title_text="step", rangemode="tozero")
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    return _dressed(figure, 270, keep="pseudo")


def _column(steps: Sequence[Stepped], field: str) -> Curve:
    """(step, value) of a field where it has one, averaged to at most POINTS."""
    known = [event for event in steps if getattr(event, field) is not None]
    x = np.array([event.step for event in known], np.float64)
    y = np.array([getattr(event, field) for event in known], np.float64)
    if len(x) <= POINTS:
        return x, y
    parts = np.array_split(np.arange(len(x)), POINTS)
    return np.array([x[part[-1]] for part in parts]), np.array([y[part].mean() for part in parts])


def _looks(events: Sequence[Event], name: str) -> Curve:
    looks = [
        event
        for event in events
        if isinstance(event, Evaluated) and event.split == "fold" and name in event.metrics
    ]
    # a run ends with a look at everybody held out; looks at fewer people are no line with it
    found = [
        (event.step, 100 * event.metrics[name])
        for event in looks
        if event.metrics.get("people") == looks[0].metrics.get("people")
    ]
    return np.array([step for step, _ in found]), np.array([value for _, value in found])


def _line(name: str, values: Curve, color: str, dash: str, thin: bool) -> go.Scatter:
    looks = "lines+markers" if len(values[0]) < 12 else "lines"
    return go.Scatter(
        x=values[0].tolist(), y=values[1].tolist(), name=name, mode=looks, opacity=0.5 if thin else 1,
        line={"color": color, "dash": dash, "width": 1 if thin else 2}, marker={"size": 5},
        hovertemplate=f"step %{{x}}: %{{y:.4g}} {name}<extra></extra>",
    )  # fmt: skip


def _mark(
    figure: go.Figure, x: float, words: str, color: str, dash: str, *, low: bool = False
) -> None:
    figure.add_vline(x, line={"color": color, "width": 1.5, "dash": dash})
    figure.add_annotation(
        x=x, y=0.88 if low else 1, yref="paper", text=words, showarrow=False, xanchor="right", xshift=-4,
        font={"size": 11},
    )  # fmt: skip


def _spans(rows: Sequence[Mapping[str, Any]], color: str) -> dict[str, Any]:
    spans = [row["interval"] or (row["AP"], row["AP"]) for row in rows]
    return {
        "type": "data", "symmetric": False, "color": color, "thickness": 1, "width": 3,
        "array": _percent(high - row["AP"] for row, (_, high) in zip(rows, spans, strict=True)),
        "arrayminus": _percent(row["AP"] - low for row, (low, _) in zip(rows, spans, strict=True)),
    }  # fmt: skip


def _percent(values: Iterable[float]) -> list[float]:
    """AP as COCO papers print it."""
    return [100 * value for value in values]


def _run_words(row: Mapping[str, Any]) -> str:
    return " · ".join(str(row[name]) for name in ("run_id", "preset", "size") if row.get(name))


def _dressed(
    figure: go.Figure, height: int, *, keep: str, legend: Mapping[str, Any] | None = None
) -> go.Figure:
    """The looks that all figures share."""
    figure.update_layout(
        height=height, margin={"l": 48, "r": 14, "t": 46 if legend else 22, "b": 40}, template="none",
        paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)", uirevision=keep,
        font={"color": "#76828e", "size": 12, "family": "IBM Plex Sans, system-ui, sans-serif"},
        legend={"orientation": "h", "x": 0, "y": 1.12, **(legend or {})}, showlegend=legend is not None,
        modebar={"remove": ["lasso2d", "select2d", "autoScale2d"], "bgcolor": "rgba(0,0,0,0)", "color": "#84909c"},
        hoverlabel={"font": {"size": 12}},
    )  # fmt: skip
    figure.update_xaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    figure.update_yaxes(gridcolor=GRID, zeroline=False, linecolor=GRID, automargin=True)
    return figure
