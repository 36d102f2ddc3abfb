"""The documents say what the code is: file map, settings, verbs, errors, links and the README's commands."""

import dataclasses
import importlib.util
import re
import shlex
import sys
import typing
from pathlib import Path
from types import ModuleType

import pytest

from posestudio import config, errors, events

PROJECT = Path(__file__).resolve().parents[1]
README = PROJECT / "README.md"
PAGES_MADE_WITH = (3, 11)
MAPPED = ("posestudio", "scripts", "benchmarks")


@pytest.fixture(scope="module")
def make_docs() -> ModuleType:
    """scripts/make_docs.py as a module."""
    spec = importlib.util.spec_from_file_location("make_docs", PROJECT / "scripts" / "make_docs.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["make_docs"] = module
    spec.loader.exec_module(module)
    return module


def test_generated_pages_are_current(make_docs: ModuleType):
    old = make_docs.out_of_date(PROJECT)
    if sys.version_info[:2] != PAGES_MADE_WITH:
        old = [
            name for name in old if name != "docs/cli.md"
        ]  # argparse words its help anew at times
    assert not old, f"{old} are out of date: run python scripts/make_docs.py"


def test_an_old_page_is_noticed(make_docs: ModuleType, tmp_path: Path):
    (tmp_path / "docs").mkdir()
    for name, page in make_docs.PAGES.items():
        (tmp_path / name).write_text(page())
    assert make_docs.out_of_date(tmp_path) == []
    settings = tmp_path / "docs" / "settings.md"
    settings.write_text(settings.read_text().replace("threshold", "limit"))
    (tmp_path / "docs" / "cli.md").unlink()
    assert make_docs.out_of_date(tmp_path) == ["docs/settings.md", "docs/cli.md"]


def test_every_setting_is_described():
    page = (PROJECT / "docs" / "settings.md").read_text()
    for setting in config.walk():
        assert f"| `{setting.key}` |" in page
        assert len(setting.doc) > 10, f"{setting.key} has no docstring under it"
    for name in [*config.PRESETS, *config.SIZES]:
        assert f"### {name}" in page


def test_every_error_and_event_is_described():
    page = (PROJECT / "docs" / "errors.md").read_text()
    for name, value in vars(errors).items():
        if isinstance(value, type):
            assert f"| `{name}` |" in page and value.__doc__
    for kind, cls in events.KINDS.items():
        assert f"| `{kind}` |" in page
        for field in dataclasses.fields(cls):
            assert f"`{field.name}`" in page


def test_every_verb_has_its_help(make_docs: ModuleType):
    page = (PROJECT / "docs" / "cli.md").read_text()
    names = [name for name, _ in make_docs.verbs(make_docs.command_line())]
    assert {"init", "demo", "import coco", "train", "evaluate", "export coco"} <= set(names)
    for name in names:
        assert f"\n## {name}\n" in page, f"docs/cli.md does not describe {name}"


def file_map(text: str) -> dict[str, str]:
    """Path to meaning, from the README's lines of the form `path` - meaning, under '## File map'."""
    section = text.partition("\n## File map\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([^`]+)` \| (.+) \|$", section, re.MULTILINE)
    assert rows, "the README has no file map"
    return dict(rows)


def test_the_file_map_names_every_file_once():
    text = README.read_text()
    mapped = file_map(text)
    there = {
        path.relative_to(PROJECT).as_posix()
        for name in MAPPED
        for path in (PROJECT / name).rglob("*.py")
    } | {"app.py", "scripts/run", "scripts/test"}
    missing = sorted(there - set(mapped))
    gone = sorted(name for name in mapped if not (PROJECT / name).exists())
    assert not missing, f"not in the README's file map: {missing}"
    assert not gone, f"in the README's file map, but not there: {gone}"
    assert all(len(meaning) > 8 for meaning in mapped.values())


def documents() -> list[Path]:
    """Every tracked Markdown page."""
    return sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").rglob("*.md")])


def test_links_lead_somewhere():
    broken = []
    for page in documents():
        for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text()):
            if not re.match(r"[a-z]+:", target) and not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert not broken, broken


def commands(text: str) -> list[list[str]]:
    """Arguments of every `posestudio` line in a sh block; a line that ends in a backslash goes on."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    heads = ("posestudio ", ".venv/bin/posestudio ")
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(heads)]


@pytest.mark.parametrize("name", ["README.md", "docs/first-run.md"])
def test_the_commands_in_the_documents_parse(make_docs: ModuleType, name: str):
    parser: typing.Any = make_docs.command_line()
    found = commands((PROJECT / name).read_text())
    assert found
    for arguments in found:
        try:
            parser.parse_args(arguments)
        except SystemExit:
            pytest.fail(f"{name}: the command line does not know: posestudio {arguments}")
