"""The store verbs by name: short deeds on the label store, with JSON-able arguments and results.

The page, the command line and other processes all reach the store through this table.
"""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from posestudio.config import unknown
from posestudio.errors import InputError, NotFound
from posestudio.studio import (
    documents,
    gallery,
    hindsight,
    plan,
    ranking,
    sheet,
    verbs_data,
    verbs_keep,
    verbs_labels,
    verbs_queue,
    verbs_runs,
)

if TYPE_CHECKING:
    from posestudio.store.database import Store

VERBS: dict[str, Callable[..., Any]] = {
    **verbs_data.OFFERED,
    **verbs_labels.OFFERED,
    **verbs_queue.OFFERED,
    **sheet.OFFERED,
    **documents.OFFERED,
    **gallery.OFFERED,
    **verbs_runs.OFFERED,
    **hindsight.OFFERED,
    **verbs_keep.OFFERED,
    **plan.OFFERED,
    **ranking.OFFERED,
}


LARGEST = 2**63 - 1
"""The largest whole number that the store knows, as an id or anything else."""


def check(name: str, args: dict[str, Any]) -> None:
    """See that a verb and its arguments are known and its numbers fit the store, before anything is opened.

    Raises:
        NotFound: no such verb. InputError: an argument is missing, unknown or out of range.
    """
    if name not in VERBS:
        raise NotFound(unknown("verb", name, VERBS))
    try:
        inspect.signature(VERBS[name]).bind(None, **args)
    except TypeError as error:
        raise InputError(f"The verb {name} was called wrongly: {error}.") from error
    for key, value in args.items():
        for one in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(one, int) and abs(one) > LARGEST:
                raise InputError(f"{key}: {one} is out of range. Numbers go up to {LARGEST}.")
        if key in ("limit", "offset") and isinstance(value, (int, float)) and value < 0:
            raise InputError(f"{key} must be 0 or more, got {value}.")


def run(store: "Store", name: str, args: dict[str, Any]) -> Any:
    """Run a verb on an open store."""
    check(name, args)
    return VERBS[name](store, **args)
