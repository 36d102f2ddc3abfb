"""Write what the documents derive from the code: docs/settings.md, docs/cli.md, docs/errors.md, the README's file map.

Usage: python scripts/make_docs.py [--check]. With --check nothing is written; a page that is out of date is an error.
tests/test_docs.py runs the same comparison.
"""

import argparse
import ast
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
if str(PROJECT) not in sys.path:
    sys.path.insert(0, str(PROJECT))

from posestudio import config, errors, events  # noqa: E402
from posestudio.cli.main import parser as command_line  # noqa: E402

NOTE = "<!-- Written by scripts/make_docs.py. Change the code, then run it again. -->"


def settings_page() -> str:
    """Every setting with its type, default and meaning, then what presets and sizes change."""
    lines = [
        "# Settings",
        NOTE,
        "Given as `posestudio train --set KEY=VALUE`, after `--preset` (the method) and `--size` (the cost). "
        "A run keeps all of them in its `config.json`.",
    ]
    part = ""
    hints = typing.get_type_hints(config.Config)
    for setting in config.walk():
        head = setting.key.partition(".")[0]
        if head != part:
            part = head
            about = " ".join((inspect.getdoc(hints[part]) or "").split())
            table = "| key | type | default | meaning |\n|---|---|---|---|"
            lines += [f"## {part}", about, table]
        row = [f"`{setting.key}`", _type(setting.type), f"`{setting.default}`", setting.doc]
        lines[-1] += "\n| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |"
    lines += ["## Presets", *_changes(config.PRESETS), "## Sizes", *_changes(config.SIZES)]
    return "\n\n".join(lines) + "\n"


def _type(kind: typing.Any) -> str:
    choices = typing.get_args(kind)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    return {int: "whole number", float: "number", bool: "true or false"}[kind]


def _changes(groups: dict[str, dict[str, typing.Any]]) -> Iterator[str]:
    for name, changes in groups.items():
        listed = "\n".join(f"- `{key}` = `{value}`" for key, value in changes.items())
        yield f"### {name}"
        yield listed or "The defaults above."


def command_line_page() -> str:
    """The help of every verb, as the command line prints it."""
    lines = [
        "# Command line",
        NOTE,
        "Exit status: 0 done, 1 the request could not be met (one or two lines on stderr), 2 wrong usage. "
        "With `--json`, stdout holds one JSON document and nothing else; progress goes to stderr.",
        "## posestudio",
        _help(command_line()),
    ]
    for name, parser in verbs(command_line()):
        lines += [f"## {name}", _help(parser)]
    return "\n\n".join(lines) + "\n"


def verbs(parser: argparse.ArgumentParser, before: str = "") -> Iterator[tuple[str, typing.Any]]:
    """(name, parser) of every verb, "import coco" for a verb below a verb."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, below in action.choices.items():
                yield f"{before}{name}", below
                yield from verbs(below, f"{before}{name} ")


def _help(parser: argparse.ArgumentParser) -> str:
    parser.formatter_class = _formatter(parser.formatter_class)
    return f"```text\n{parser.format_help().rstrip()}\n```"


def _formatter(kind: typing.Any) -> typing.Any:
    """The parser's own form at a fixed width without color, so that a page does not depend on the terminal."""

    def make(prog: str, **options: typing.Any) -> argparse.HelpFormatter:
        made = kind(prog, **{**options, "width": 100})
        if hasattr(made, "_set_color"):
            made._set_color(False)
        return made

    return make


def errors_page() -> str:
    """Every error that a user can see and every event of a run, with its fields."""
    lines = [
        "# Errors and events",
        NOTE,
        "## Errors",
        "The command line prints the message and exits 1; the page shows it. Anything else is a bug.",
        "| class | when |\n|---|---|",
    ]
    for cls in _classes(errors, errors.PoseStudioError):
        lines[-1] += f"\n| `{cls.__name__}` | {' '.join((cls.__doc__ or '').split())} |"
    about = "A run's `events.jsonl` has one JSON object a line: `kind` and these fields."
    lines += ["## Events", about, "| kind | fields | meaning |\n|---|---|---|"]
    for kind, cls in events.KINDS.items():
        fields = ", ".join(f"`{name}`" for name in typing.get_type_hints(cls))
        lines[-1] += f"\n| `{kind}` | {fields} | {' '.join((cls.__doc__ or '').split())} |"
    return "\n\n".join(lines) + "\n"


def _classes(module: typing.Any, parent: type) -> list[type]:
    found = [value for value in vars(module).values() if inspect.isclass(value)]
    return [cls for cls in found if issubclass(cls, parent)]


MAP_START, MAP_END = "<!-- file map -->\n", "<!-- end of file map -->\n"


def readme() -> str:
    """The README with its file map made anew: one line a file, said by the file itself."""
    before, rest = (PROJECT / "README.md").read_text().split(MAP_START)
    after = rest.split(MAP_END)[1]
    rows = "".join(f"| `{name}` | {about} |\n" for name, about in file_map(PROJECT).items())
    return f"{before}{MAP_START}| file | what it holds |\n|---|---|\n{rows}{MAP_END}{after}"


def file_map(project: Path) -> dict[str, str]:
    """Each file by its path, and its first sentence: of the docstring, or of the first comment."""
    files = [
        project / "app.py",
        *(path for folder in MAPPED for path in sorted((project / folder).rglob("*"))),
    ]
    named = {path.relative_to(project).as_posix(): path for path in files if _counts(path)}
    return {name: _first_sentence(path).replace("|", "\\|") for name, path in named.items()}


def _counts(path: Path) -> bool:
    program = path.parent.name == "scripts" and not path.suffix
    return path.is_file() and (program or path.suffix in (".py", ".sh", ".js", ".css"))


def _first_sentence(path: Path) -> str:
    text = path.read_text()
    if path.suffix == ".py":
        text = ast.get_docstring(ast.parse(text)) or ""
    else:
        found = re.search(r"^(?:#|//) (.*)$|/\*+\s*(.*?)\s*(?:\*/|$)", text, re.MULTILINE)
        text = next(filter(None, found.groups())) if found else ""
    paragraph = " ".join(text.split("\n\n")[0].split())
    return re.split(r"(?<=[.])\s", paragraph)[0].rstrip(".:")


PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/cli.md": command_line_page,
    "docs/errors.md": errors_page,
    "README.md": readme,
}
MAPPED = ("posestudio", "scripts", "benchmarks")


def out_of_date(project: Path) -> list[str]:
    """Names of the pages that differ from what the code says now."""
    return [
        name
        for name, page in PAGES.items()
        if not (project / name).is_file() or (project / name).read_text() != page()
    ]


def main() -> int:
    """Write or check the pages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if out of date")
    old = out_of_date(PROJECT)
    if parser.parse_args().check:
        for name in old:
            print(f"{name} is out of date: run python scripts/make_docs.py", file=sys.stderr)
        return int(bool(old))
    for name in old:
        (PROJECT / name).write_text(PAGES[name]())
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
