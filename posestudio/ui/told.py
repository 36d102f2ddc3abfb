"""Errors of the program below become messages on the page; anything else stays in the log."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import functools
from collections.abc import Callable
from html import escape
from typing import ParamSpec, TypeVar

import gradio as gr

from posestudio.errors import PoseStudioError

P = ParamSpec("P")
R = TypeVar("R")


def told(callback: Callable[P, R]) -> Callable[P, R]:
    """A callback whose PoseStudioError is shown as a message instead of an empty answer."""

    @functools.wraps(callback)
    def safe(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return callback(*args, **kwargs)
        except PoseStudioError as error:
            raise gr.Error(escape(str(error)), print_exception=False) from error

    return safe
