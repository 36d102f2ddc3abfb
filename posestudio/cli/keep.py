"""Keeping a project safe, and forgetting on request: backup, restore, delete."""

import argparse
import sys
from pathlib import Path
from typing import Any

from posestudio.cli import show
from posestudio.cli.grammar import Verbs, add_verb
from posestudio.cli.session import absolute, open_studio, who
from posestudio.errors import InputError


def add(verbs: Verbs, common: argparse.ArgumentParser) -> None:
    """Add this theme's verbs to the grammar."""
    text = "save labels, images, snapshots and runs to one file, also while the studio is open"
    verb = add_verb(verbs, common, "backup", backup, _show_saved, text)
    verb.add_argument("file", metavar="FILE")
    text = "bring a backup back; the store that it replaces is kept in backups/"
    verb = add_verb(verbs, common, "restore", restore, show.pairs, text)
    verb.add_argument("file", metavar="FILE")
    text = "erase people, or an image with everybody in it, for good"
    verb = add_verb(verbs, common, "delete", delete, _show_deleted, text)
    verb.add_argument("people", type=int, nargs="*", metavar="INSTANCE")
    verb.add_argument("--image", type=int, help="this image, its file and everybody in it")
    verb.add_argument("--yes", action="store_true", help="do not ask")


def backup(args: argparse.Namespace) -> dict[str, Any]:
    """Save the project to a file."""
    with open_studio(args) as studio:
        return studio.call("backup", file=absolute(args.file))


def restore(args: argparse.Namespace) -> dict[str, Any]:
    """Bring a project back from a file."""
    from posestudio.studio import verbs_keep  # lazy: duckdb

    return verbs_keep.restore(Path(absolute(args.project)), Path(absolute(args.file)))


def delete(args: argparse.Namespace) -> dict[str, Any]:
    """Erase people or an image, after a question.

    Raises:
        InputError: the answer was no, or nobody is there to be asked.
    """
    with open_studio(args) as studio:
        if not args.yes:
            _ask(f"image {args.image}" if args.image is not None else _listed(args.people))
        return studio.call("delete", who=who(), people=args.people or None, image=args.image)


def _listed(people: list[int]) -> str:
    return f"{'person' if len(people) == 1 else 'people'} {', '.join(map(str, people))}"


def _ask(what: str) -> None:
    if not sys.stdin.isatty():
        raise InputError(f"Deleting {what} cannot be undone. Say --yes if you mean it.")
    print(f"Delete {what} for good? Type yes: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise InputError("Nothing was deleted.")


def _show_saved(found: dict[str, Any]) -> str:
    lines = [show.pairs(found, leave_out=("missing",))]
    if found["missing"]:
        lines += [
            "Not in it, for these are gone or changed:",
            show.listed(found["missing"]),
        ]
    return "\n".join(lines)


def _show_deleted(found: dict[str, Any]) -> str:
    lines = [
        f"{len(found['deleted'])} people deleted" + (", and their image" if found["image"] else "")
    ]
    if found["kept_in"]:
        lines += [
            "Copies from before may still be in these folders; delete what you must:",
            *found["kept_in"],
        ]
    return "\n".join(lines)
