"""Students of runs that stay loaded, one set for all who look."""

import functools
import threading
from typing import TYPE_CHECKING

from posestudio.errors import NotFound
from posestudio.train.run_folder import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    from posestudio.predict import Predictor

KEPT_RUNS = 4

_lock = threading.Lock()


def students(folder: RunFolder) -> "Predictor":
    """The students of a run as they were saved last, in evaluation mode.

    Raises:
        NotFound: the run has none yet.
    """
    files = folder.students()
    if not files:
        raise NotFound(
            f"Run {folder.path.name} has no students yet. Train it to its first checkpoint."
        )
    newest = max(path.stat().st_mtime_ns for path in files.values())
    with _lock:
        return _load(folder.path, newest)


@functools.lru_cache(maxsize=KEPT_RUNS)
def _load(path: "Path", newest: int) -> "Predictor":
    """`newest` changes when the students are saved again, so that a training run's later ones are read."""
    from posestudio.predict import Predictor  # lazy: torch

    return Predictor.load(path)
