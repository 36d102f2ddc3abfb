"""Values as JSON knows them, so that a verb answers the same here and from another process."""

import dataclasses
import json
import math
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from posestudio.errors import InputError


def plain(value: Any) -> Any:
    """The value as JSON would bring it back: lists, dicts with text keys, None for what is not finite."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {spec.name: plain(getattr(value, spec.name)) for spec in dataclasses.fields(value)}
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    return json.loads(json.dumps(value))


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, under another name first.

    Raises:
        InputError: it cannot be written there.
    """
    part = path.with_name(f".{path.name}.part")
    try:
        part.write_text(json.dumps(value), "utf-8")
        os.replace(part, path)
    except OSError as error:
        raise InputError(f"Cannot write {path}: {error.strerror}.") from error
