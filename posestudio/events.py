"""The events of a run: typed, append-only, one JSON object a line.

The trainer only writes them; whoever shows a run only reads them. Stdlib only.
"""

import dataclasses
import json
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Started:
    """A run began or resumed. `step` is the step it continues after (0 for a fresh run)."""

    step: int
    steps: int
    labeled: int
    unlabeled: int
    time: float


@dataclass(frozen=True, slots=True)
class Stepped:
    """Steps up to `step` are done. Losses and shares are means since the last such event.

    kept: share of the open, taught keypoints that received a pseudo-target, in [0, 1]. peak: mean height of the offers
    for them, and distance: mean distance in heatmap cells between the two voters' peaks; these and uncertainty are
    None where no keypoint of the steps was open, or without pseudo-targets, distance with one voter too (0 in older
    runs).
    """

    step: int
    loss: float
    loss_labeled: float
    loss_unlabeled: float
    kept: float | None
    uncertainty: float | None
    images_per_second: float
    eta_seconds: float
    peak: float | None = None
    distance: float | None = None


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The students were scored on a stored fold or split; `metrics` maps a name to a number."""

    step: int
    split: str
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Saved:
    """A checkpoint that can be used and resumed from is on disk."""

    step: int


@dataclass(frozen=True, slots=True)
class Warned:
    """Something a person should look at; training goes on, unless Failed follows.

    code: "start" (what the students start from), "collapse" and "harm" (pseudo-targets are left out from here),
    "coupling" (the students are nearly one network), "empty_pool", "not_finite" (the loss or the weights).
    """

    step: int
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Stopped:
    """The run ended with a usable checkpoint. `reason` is "done" or "asked"."""

    step: int
    reason: str


@dataclass(frozen=True, slots=True)
class Failed:
    """The run ended by an error."""

    step: int
    message: str
    details: dict[str, str] = field(default_factory=dict)


Event = Started | Stepped | Evaluated | Saved | Warned | Stopped | Failed
KINDS: dict[str, type] = {
    cls.__name__.lower(): cls
    for cls in (Started, Stepped, Evaluated, Saved, Warned, Stopped, Failed)
}


def to_line(event: Event) -> str:
    """One line of JSON, newline included: {"kind": "stepped", "step": 1, ...}."""
    return json.dumps({"kind": type(event).__name__.lower(), **dataclasses.asdict(event)}) + "\n"


def from_line(line: str) -> Event:
    """The event that `to_line` wrote.

    Raises:
        ValueError: the line is not one event (half a line after a crash, say).
    """
    record = json.loads(line)
    if not isinstance(record, dict) or record.get("kind") not in KINDS:
        raise ValueError(f"not an event: {line[:80]!r}")
    kind = KINDS[record.pop("kind")]
    try:
        return kind(**record)
    except TypeError as error:
        raise ValueError(f"not an event: {line[:80]!r}") from error


def read(text: str) -> list[Event]:
    """All whole events of an events.jsonl; a torn last line is left out."""
    found = []
    for line in text.splitlines():
        try:
            found.append(from_line(line))
        except ValueError:
            continue
    return found
