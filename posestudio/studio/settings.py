"""What a user said about a run, checked and completed. No torch unless the size is left to the device."""

from collections.abc import Mapping
from typing import Any

from posestudio import config


def advised(start: bool, unlabeled: int) -> str:
    """The method for the next run: labels alone until there are students to start from, who can teach each other.

    From 40 labels of lspet and fresh students, 4 minutes of `supervised` found 54 % of the keypoints (PCK@0.2), 4 of
    `best` 41 %.

    Args:
        start: whether there are students to start from.
        unlabeled: people without labels.
    """
    return "best" if start and unlabeled else "supervised"


def check(preset: str | None, size: str | None, changes: Mapping[str, str]) -> None:
    """See that every name and value is known, before anything slow happens.

    Raises:
        ConfigError: with one line for each problem, and the nearest match.
    """
    config.make(preset or advised(False, 0), size or "small", changes)


def complete(preset: str, size: str | None, changes: Mapping[str, Any]) -> config.Config:
    """All settings; the size comes from the device when none is given: small on a CPU, full on a graphics card.

    Raises:
        ConfigError: with one line for each problem.
    """
    return config.make(preset, size or default_size(), changes)


def inherited(before: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an earlier run that its students bring along: what they are made of and what crops they take."""
    kept = {key: value for key, value in before.items() if key.startswith(("model.", "data."))}
    kept.pop("data.cross_fit", None)
    return kept


def default_size() -> str:
    """What this machine trains in reasonable time."""
    import torch  # lazy: torch

    return "full" if torch.cuda.is_available() else "small"
