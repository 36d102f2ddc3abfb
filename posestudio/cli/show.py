"""Results as text for a terminal. Values in, strings out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any


def cell(value: Any) -> str:
    """One value: "-" for nothing, three decimals for a float."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3f}" if abs(value) < 1000 else f"{value:.0f}"
    if isinstance(value, (list, tuple)):
        return ", ".join(cell(item) for item in value)
    return str(value)


def table(
    rows: Sequence[Mapping[str, Any]], columns: Iterable[str], empty: str = "Nothing."
) -> str:
    """Rows under their column names, aligned; `empty` when there are none."""
    if not rows:
        return empty
    names = list(columns)
    lines = [[name.replace("_", " ") for name in names]]
    lines += [[cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(line[place]) for line in lines) for place in range(len(names))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def pairs(record: Mapping[str, Any], leave_out: Iterable[str] = ()) -> str:
    """A record as "name: value" lines; lists by their length, nested records indented."""
    lines = []
    for name, value in record.items():
        if name in leave_out:
            continue
        said = name.replace("_", " ")
        if isinstance(value, Mapping):
            inner = pairs(value)
            lines.append(
                f"{said}:" + ("".join(f"\n  {line}" for line in inner.splitlines()) or " -")
            )
        elif isinstance(value, (list, tuple)) and any(
            isinstance(item, (Mapping, list)) for item in value
        ):
            lines.append(f"{said}: {len(value)}")
        else:
            lines.append(f"{said}: {cell(value)}")
    return "\n".join(lines)


def listed(lines: Sequence[str], limit: int = 10) -> str:
    """The first lines, and how many more there are."""
    more = len(lines) - limit
    return "\n".join([*lines[:limit], *([f"... and {more} more"] if more > 0 else [])])
