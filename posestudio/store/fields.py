"""Checks of what a client says beside the labels: ids, revisions that it has seen, seconds."""

import math
from collections.abc import Mapping
from typing import Any

from posestudio.errors import InputError

TEXT_LENGTH = 200

AFTER = 1000
"""Edits of one page that a later one may name."""

INDEX_DIGITS = 4

Base = int | Mapping[int, int] | None
"""Revisions that an author has seen: of all keypoints, or of each that is named (0 of others). None: no check."""


def require_text(value: Any, name: str) -> str:
    """A short text, such as an edit_id.

    Raises:
        InputError: it is empty, longer than TEXT_LENGTH, or not whole.
    """
    if not isinstance(value, str) or not 0 < len(value) <= TEXT_LENGTH or not is_whole(value):
        raise InputError(
            f"{name} must be a text of 1 to {TEXT_LENGTH} characters, got {value!r:.{TEXT_LENGTH}}."
        )
    return value


def is_whole(text: str) -> bool:
    """Whether a text can be kept: no half of a character (a lone surrogate) is in it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def require_after(value: Any) -> tuple[str, ...]:
    """Edit ids that come before this one: None, or a list of at most AFTER texts.

    Raises:
        InputError: it is neither.
    """
    if value is None:
        return ()
    if not isinstance(value, (list, tuple)) or len(value) > AFTER:
        raise InputError(f"after must be a list of at most {AFTER} edit ids, got {value!r:.200}.")
    return tuple(require_text(one, "after") for one in value)


def require_revision(value: Any) -> Base:
    """A base revision: None, a whole number from 0, or one for each of some keypoints; as JSON their keys are texts.

    Raises:
        InputError: it is none of these.
    """
    if isinstance(value, Mapping):
        return {_index(keypoint): _revision(one) for keypoint, one in value.items()}
    return None if value is None else _revision(value)


def base_of(base: Base, keypoint: int) -> int | None:
    """The newest revision of one keypoint that its author has seen; None for no check."""
    return base.get(keypoint, 0) if isinstance(base, Mapping) else base


def require_seconds(value: Any) -> float | None:
    """Time spent: None, or a finite number from 0.

    Raises:
        InputError: it is neither.
    """
    if value is not None and (not is_finite(value) or value < 0):
        raise InputError(f"seconds must be a finite number from 0, got {value!r}.")
    return None if value is None else float(value)


def is_finite(value: Any) -> bool:
    """Whether this is a number below 1e9 either way, and no bool."""
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and abs(value) < 1e9 and math.isfinite(value)


def _revision(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise InputError(f"base_revision must be a whole number from 0, got {value!r:.200}.")
    return value


def _index(key: Any) -> int:
    text = str(key)
    if type(key) not in (int, str) or not (text.isdecimal() and len(text) <= INDEX_DIGITS):
        raise InputError(f"base_revision names keypoints by their index, got {key!r:.200}.")
    return int(text)
