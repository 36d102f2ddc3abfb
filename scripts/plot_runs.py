"""Draw the loss curves of runs as one SVG.

python scripts/plot_runs.py PROJECT/runs/0001-name PROJECT/runs/0002-name --out curves.svg
"""

import argparse
from pathlib import Path

from posestudio.events import Stepped
from posestudio.train.run_folder import RunFolder

WIDTH, HEIGHT, MARGIN = 720, 260, 46
COLORS = ("#1f77b4", "#d95f02", "#1b9e77", "#7570b3")
SMOOTH = 10
"""Reports averaged into one point."""


def points(run: RunFolder) -> list[tuple[int, float]]:
    """(step, mean labeled loss) every SMOOTH reports."""
    steps = [event for event in run.events() if isinstance(event, Stepped)]
    groups = [steps[at : at + SMOOTH] for at in range(0, len(steps), SMOOTH)]
    return [(g[-1].step, sum(e.loss_labeled for e in g) / len(g)) for g in groups]


def draw(curves: dict[str, list[tuple[int, float]]]) -> str:
    """One line a run, on common axes that start at 0."""
    right = max(step for curve in curves.values() for step, _ in curve)
    top = max(loss for curve in curves.values() for _, loss in curve)

    def place(step: float, loss: float) -> tuple[float, float]:
        x = MARGIN + step / right * (WIDTH - 2 * MARGIN)
        return round(x, 1), round(HEIGHT - MARGIN - loss / top * (HEIGHT - 2 * MARGIN), 1)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for share in (0, 0.5, 1):
        x, y = place(share * right, share * top)
        parts.append(
            f'<text x="{x}" y="{HEIGHT - 24}" text-anchor="middle">{share * right:.0f}</text>'
        )
        parts.append(
            f'<text x="{MARGIN - 6}" y="{y + 4}" text-anchor="end">{share * top:.4f}</text>'
        )
        parts.append(f'<path d="M{MARGIN} {y}H{WIDTH - MARGIN}" stroke="#ddd"/>')
    for index, (name, curve) in enumerate(curves.items()):
        color = COLORS[index % len(COLORS)]
        line = " ".join(f"{x},{y}" for x, y in (place(*point) for point in curve))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        parts.append(
            f'<text x="{WIDTH - MARGIN}" y="{20 + 16 * index}" text-anchor="end" fill="{color}">{name}</text>'
        )
    parts.append(f'<text x="{WIDTH / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text></svg>')
    return "\n".join(parts) + "\n"


def main() -> None:
    """Read the runs' events and write the picture."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    asked = parser.parse_args()
    curves = {}
    for path in asked.runs:
        run = RunFolder(path)
        curves[f"{run.config().preset}: loss on labels"] = points(run)
    asked.out.write_text(draw(curves), "utf-8")


if __name__ == "__main__":
    main()
