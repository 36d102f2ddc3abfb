"""The verbs as named endpoints of the Gradio app, for `gradio_client` and other scripts on this machine.

An endpoint is the verb itself: same name, same arguments, same JSON. Files are never named by a caller: what reads or
writes paths (imports, exports) stays with the command line and the pages.
"""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import inspect
import typing
from collections.abc import Callable
from typing import Any

import gradio as gr

from posestudio.errors import PoseStudioError
from posestudio.studio import verbs
from posestudio.studio.studio import Studio

OFFERED = (
    "project", "images", "image", "people", "person", "queue", "label", "accept", "undo", "history", "set_box",
    "add_person", "hide_person", "merge", "hand", "mark", "set_split", "runs", "run", "run_diff", "scores",
    "person_predictions",
)  # fmt: skip
"""Verbs that scripts may call."""


def endpoints(studio: Studio) -> None:
    """Offer the verbs; inside `gr.Blocks`."""
    for name in OFFERED:
        gr.api(endpoint(studio, name), api_name=name, concurrency_limit=None)


def endpoint(studio: Studio, name: str) -> Callable[..., Any]:
    """A verb as a function of its JSON-able arguments, which says a mistake as a message to the caller."""
    verb = verbs.VERBS[name]
    signature = inspect.signature(verb)
    wanted = [one for one in signature.parameters.values() if one.name != "store"]
    hints = typing.get_type_hints(verb)

    def call(*args: Any, **kwargs: Any) -> Any:
        given = signature.replace(parameters=wanted).bind(*args, **kwargs).arguments
        try:
            return studio.call(name, **given)
        except PoseStudioError as error:
            raise gr.Error(str(error)) from error

    call.__name__ = name
    call.__doc__ = inspect.getdoc(verb)
    call.__signature__ = signature.replace(parameters=wanted)  # pyright: ignore[reportFunctionMemberAccess]
    call.__annotations__ = {key: hint for key, hint in hints.items() if key != "store"}
    return call
