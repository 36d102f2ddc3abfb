"""AP on dev over core-minutes as a small SVG: one line an arm, the mean over seeds, with the spread as a band."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

from benchmarks.budget.study import START
from benchmarks.budget.table import Line, Study, dev_ap

WIDTH, HEIGHT, MARGIN = 720, 360, 50
COLORS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3", "#e7298a", "#66a61e", "#a6761d", "#666666")
AXIS = "core-minutes since the start (AP on dev, mean student; band: lowest to highest seed)"

Curve = np.ndarray
"""(4, P): core-minutes, and mean, lowest and highest AP in points over seeds."""


def curve_of(lines: Sequence[Line], starts: Mapping[int, Line]) -> Curve:
    """The curve of one arm over the steps that all its seeds have, from the start's last point on."""
    each = []
    for line in lines:
        first = starts.get(line["seed"])
        head = {0: (0.0, dev_ap(first["curve"][-1]))} if first else {}
        each.append(head | {p["step"]: (p["core_minutes"], dev_ap(p)) for p in line["curve"]})
    steps = sorted(set.intersection(*(set(one) for one in each)))
    found = np.array([[one[step] for step in steps] for one in each])
    minutes, ap = found[..., 0].mean(axis=0), 100 * found[..., 1]
    return np.stack([minutes, ap.mean(axis=0), ap.min(axis=0), ap.max(axis=0)])


def draw(curves: Mapping[str, Curve], title: str, axis: str = AXIS) -> str:
    """The figure; the vertical axis begins a little below the lowest point."""
    right = max(float(curve[0].max()) for curve in curves.values()) or 1.0
    low = min(float(curve[2].min()) for curve in curves.values())
    high = max(float(curve[3].max()) for curve in curves.values())
    low, high = np.floor(low), np.ceil(high + 1e-9)
    high = max(high, low + 1)

    def place(minutes: float, ap: float) -> str:
        x = MARGIN + minutes / right * (WIDTH - 2 * MARGIN)
        return f"{x:.1f},{HEIGHT - MARGIN - (ap - low) / (high - low) * (HEIGHT - 2 * MARGIN):.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="18" text-anchor="middle">{escape(title)}</text>',
    ]
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = place(share * right, low + share * (high - low)).split(",")
        parts.append(
            f'<text x="{x}" y="{HEIGHT - 32}" text-anchor="middle">{share * right:.0f}</text>'
        )
        level = low + share * (high - low)
        parts.append(f'<text x="{MARGIN - 6}" y="{y}" text-anchor="end">{level:.1f}</text>')
        parts.append(f'<path d="M{MARGIN} {y}H{WIDTH - MARGIN}" stroke="#ddd"/>')
    for index, (name, curve) in enumerate(curves.items()):
        color = COLORS[index % len(COLORS)]
        minutes, ap, least, most = curve.tolist()
        up = [place(*point) for point in zip(minutes, most, strict=True)]
        down = [place(*point) for point in zip(minutes, least, strict=True)]
        line = " ".join(place(*point) for point in zip(minutes, ap, strict=True))
        parts.append(
            f'<polygon points="{" ".join(up + down[::-1])}" fill="{color}" opacity="0.15"/>'
        )
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        spot = f'x="{MARGIN + 10}" y="{36 + 16 * index}" fill="{color}"'
        parts.append(f"<text {spot}>{escape(name)}</text>")
    parts.append(
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">{axis}</text></svg>'
    )
    return "\n".join(parts) + "\n"


def write(study: Study, folder: Path) -> dict[int, str]:
    """Draw the curves of every budget into a folder; the file names by budget."""
    names = {}
    for budget in study.budgets():
        starts = {line["seed"]: line for line in study.of(START, budget)}
        arms = [arm for arm in study.arms(budget) if arm != START]
        if arms:
            names[budget] = f"label_budget_{study.dataset}_{study.setting}_{budget}.svg"
            curves = {arm: curve_of(study.of(arm, budget), starts) for arm in arms}
            title = f"{study.dataset}, {budget} labels"
            (folder / names[budget]).write_text(draw(curves, title), "utf-8")
    return names
