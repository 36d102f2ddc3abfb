"""From parsed arguments to a project and files."""

import argparse
import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from posestudio.errors import InputError

if TYPE_CHECKING:
    from posestudio.studio.studio import Studio


def open_studio(args: argparse.Namespace) -> "Studio":
    """The project that the command line names."""
    from posestudio.studio.studio import Studio  # lazy: duckdb

    return Studio(args.project)


def absolute(path: str | Path) -> str:
    """The path as another process understands it."""
    return str(Path(path).expanduser().absolute())


def read_json(path: str, what: str) -> Any:
    """A JSON file.

    Raises:
        InputError: it is not there or not JSON.
    """
    try:
        return json.loads(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(f"Cannot read the {what} {path}: {error.strerror}.") from error
    except ValueError as error:
        raise InputError(f"The {what} {path} is not JSON: {error}.") from error


def who() -> str:
    """The user's name on this machine, for the journal."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "command line"
