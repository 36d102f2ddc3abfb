"""Small rooms: bounds on functions, files and classes, and names that say what a file holds."""

import ast
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "posestudio"

LIMITS = {"function": 60, "file": 400, "class": 250}
"""Most lines, docstrings and blank lines included."""

FORBIDDEN = {"utils", "util", "common", "helpers", "misc", "base", "manager", "engine"}

EXCEPTIONS: dict[str, str] = {
    "posestudio/config.py": "the tree of all settings: each is said once, with its docstring and range, in one place",
}
"""What may be larger, such as "posestudio/core/x.py:long_one", and the reason."""


def sizes(file: Path, root: Path) -> list[tuple[str, str, int]]:
    """(kind, name, lines) of the file and of everything defined in it."""
    text = file.read_text()
    name = file.relative_to(root).as_posix()
    found = [("file", name, len(text.splitlines()))]
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            kind = "class" if isinstance(node, ast.ClassDef) else "function"
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            found.append((kind, f"{name}:{node.name}", lines))
    return found


def too_large(root: Path, files: list[Path]) -> list[str]:
    """Everything over its limit and not excepted, one line each."""
    return [
        f"{name} has {lines} lines; a {kind} may have {LIMITS[kind]}"
        for file in files
        for kind, name, lines in sizes(file, root)
        if lines > LIMITS[kind] and name not in EXCEPTIONS
    ]


def python_files() -> list[Path]:
    """The package, its programs and its benchmarks; tests are free."""
    folders = ("posestudio", "scripts", "benchmarks")
    return sorted(file for name in folders for file in (PROJECT / name).rglob("*.py")) + [
        PROJECT / "app.py"
    ]


def test_nothing_is_too_large():
    found = too_large(PROJECT, python_files())
    assert not found, "\n".join(found)


def test_every_exception_is_needed_and_explained():
    known = {
        name: (kind, lines) for file in python_files() for kind, name, lines in sizes(file, PROJECT)
    }
    for name, reason in EXCEPTIONS.items():
        assert name in known, f"{name} is gone: take it out of EXCEPTIONS"
        kind, lines = known[name]
        assert lines > LIMITS[kind], f"{name} fits now: take it out of EXCEPTIONS"
        assert len(reason) > 20, f"{name} needs a reason"


def test_no_module_is_a_drawer():
    drawers = [
        path.relative_to(PROJECT).as_posix()
        for path in [*PACKAGE.rglob("*.py"), *(p for p in PACKAGE.rglob("*") if p.is_dir())]
        if path.stem in FORBIDDEN
    ]
    assert not drawers, drawers


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("def f():\n" + "    x = 1\n" * 60, "function may have 60"),
        ("async def f():\n" + "    x = 1\n" * 60, "function may have 60"),
        ("class A:\n" + "    x = 1\n" * 250, "class may have 250"),
        ("x = 1\n" * 401, "file may have 400"),
    ],
)
def test_the_measure_can_fail(tmp_path: Path, code: str, fault: str):
    file = tmp_path / "long.py"
    file.write_text(code)
    assert any(fault in line for line in too_large(tmp_path, [file]))
    file.write_text("x = 1\n" * 400)
    assert too_large(tmp_path, [file]) == []
