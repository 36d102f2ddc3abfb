"""How the pages' own events are told: quietly, and errors of the program below as messages; the rest is in the log."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import functools
from collections.abc import Callable
from html import escape
from typing import Any, ParamSpec, TypeVar

import gradio as gr

from posestudio.errors import PoseStudioError

P = ParamSpec("P")
R = TypeVar("R")

QUIET: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
"""Options of the events of a page itself."""

POLL: dict[str, Any] = {**QUIET, "queue": False, "trigger_mode": "once"}
"""Options of a timer that asks what is new. Not queued: the queue's answers come over a stream a session, and in
Gradio 6 one that ends while the next begins can take the session with it, after which the page loads anew."""


def told(callback: Callable[P, R]) -> Callable[P, R]:
    """A callback whose PoseStudioError is shown as a message instead of an empty answer."""

    @functools.wraps(callback)
    def safe(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return callback(*args, **kwargs)
        except PoseStudioError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

    return safe
