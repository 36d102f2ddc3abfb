"""Read the command line, do what it asks, answer in text or JSON. Exit 0 done, 1 could not be met, 2 usage."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from posestudio import __version__
from posestudio.cli import data, keep, labels, runs
from posestudio.errors import InputError, PoseStudioError

DEFAULT_PROJECT = "data/project"

Serve = Callable[[Path, str, int], None]


def parser() -> argparse.ArgumentParser:
    """The whole grammar. Building it imports neither torch nor the store."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--project",
        metavar="DIR",
        default=argparse.SUPPRESS,
        help=f"project folder (default: {DEFAULT_PROJECT})",
    )
    common.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print one JSON document and nothing else",
    )
    top = argparse.ArgumentParser(
        prog="posestudio",
        parents=[common],
        description="Human pose from few labels: import, train two students, look, correct, repeat.",
        epilog="posestudio VERB --help tells more about each.",
    )
    top.add_argument("--version", action="version", version=f"posestudio {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for theme in (data, runs, labels, keep):
        theme.add(verbs, common)
    return top


def main(argv: Sequence[str] | None = None, *, serve: Serve | None = None) -> int:
    """Run one command line; returns the exit code. `serve` opens the page, which this room does not know."""
    args = parser().parse_args(argv)
    args.serve = serve
    args.project = getattr(args, "project", DEFAULT_PROJECT)
    args.json = getattr(args, "json", False)
    try:
        value = args.run(args)
        _print(json.dumps(value, indent=1) if args.json else args.show(value))
        if fault := args.fault(value):
            raise InputError(fault)
    except PoseStudioError as error:
        print(f"posestudio: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("posestudio: interrupted", file=sys.stderr)
        return 1
    except BrokenPipeError:
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def _print(text: Any) -> None:
    if text:
        print(text, flush=True)
