"""How a verb enters the grammar."""

import argparse
from collections.abc import Callable
from typing import Any

Verbs = Any
"""What argparse's add_subparsers returns; its class has no public name."""


def add_verb(
    verbs: Verbs,
    common: argparse.ArgumentParser,
    name: str,
    run: Callable[[argparse.Namespace], Any],
    show: Callable[[Any], str],
    text: str,
) -> argparse.ArgumentParser:
    """Add a verb: `run` gives a JSON-able value, `show` turns it into text.

    A verb whose value can be bad news sets a default `fault`: what to say of the value on stderr, with exit code 1.
    """
    made = verbs.add_parser(
        name, parents=[common], help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    made.set_defaults(run=run, show=show, fault=lambda value: None)
    return made


def sub_verbs(verbs: Verbs, common: argparse.ArgumentParser, name: str, text: str) -> Verbs:
    """Add a verb that has kinds, such as `import coco` and `import images`."""
    made = verbs.add_parser(
        name, parents=[common], help=text, description=f"{text[0].upper()}{text[1:]}."
    )
    return made.add_subparsers(dest="kind", metavar="KIND", required=True)
