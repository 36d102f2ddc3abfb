"""The settings of a run as form fields, each from `config.walk`, and what was changed of them."""

# pyright: reportPrivateImportUsage=false
# (gradio exports its names without saying so to type checkers)

import typing
from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr

from posestudio import config
from posestudio.config import Config, Setting

ELSEWHERE = ("train.steps", "train.minutes")
"""Settings that the page asks for by fields of its own."""

PART_WORDS = {
    "model": "Network", "data": "Crops, batches and easy views", "views": "Views and voters",
    "pool": "Pool: which offers are accepted", "select": "Choice: which offer teaches whom",
    "loss": "Weights of the losses", "train": "Schedule",
}  # fmt: skip

Fields = dict[str, Any]
"""Setting key to component."""


def shown() -> tuple[Setting, ...]:
    """The settings that have a field here, in order."""
    return tuple(setting for setting in config.walk() if setting.key not in ELSEWHERE)


def fields(start: Config) -> Fields:
    """A field for each setting, in a fold for each part, with the values of `start`."""
    values, made = config.flat(start), {}
    for part in config.PARTS:
        mine = [setting for setting in shown() if setting.key.startswith(f"{part}.")]
        with gr.Accordion(PART_WORDS[part], open=False, elem_classes="ps-fold"):
            for setting in mine:
                made[setting.key] = _field(setting, values[setting.key])
    return made


def _field(setting: Setting, value: Any) -> Any:
    about: dict[str, Any] = {"label": setting.key, "info": setting.doc, "value": value}
    choices = typing.get_args(setting.type)
    if choices:
        return gr.Dropdown([(str(choice), choice) for choice in choices], **about)
    if setting.type is bool:
        return gr.Checkbox(**about)
    return gr.Number(precision=0 if setting.type is int else None, **about)


def updates(made: Fields, to: Config) -> dict[Any, Any]:
    """What puts the fields to the values of `to`."""
    values = config.flat(to)
    return {field: gr.update(value=values[key]) for key, field in made.items()}


def changed(given: Sequence[Any], base: Config) -> dict[str, str]:
    """The settings whose field differs from `base`, as the command line would name them.

    Args:
        given: values of the fields, in the order of `shown`; an emptied field changes nothing.
        base: what holds when nothing is changed.
    """
    values = config.flat(base)
    found = {}
    for setting, value in zip(shown(), given, strict=True):
        if value is None or value == "":
            continue
        try:
            same = config.convert(value, setting) == values[setting.key]
        except ValueError:
            same = False  # config says what is wrong with it
        if not same:
            found[setting.key] = _word(value)
    return found


def words(changes: Mapping[str, str]) -> str:
    """Changes as one line: a=1, b=2."""
    return ", ".join(f"{key}={value}" for key, value in changes.items())


def _word(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
