"""The architecture is one line of posestudio/__init__.py; these tests hold it, and prove that they could fail."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "posestudio"

HOMES = {"gradio": {"ui"}, "duckdb": {"store"}, "argparse": {"cli"}}
"""An outside library and the rooms that may import it, at the top of a file or inside a function."""

LIGHT = ("cli", "studio", "store", "ui", "config", "events", "errors", "core/skeleton")
"""Rooms and files that load neither torch nor torchvision when they are imported."""

HEAVY = {"torch", "torchvision"}
WORKER = "train/worker.py"
"""A program of its own (torchrun starts it), so it may read its own command line."""


@dataclass(frozen=True)
class Import:
    """One import: the file that says it, the line, the full name, and whether it runs with the file."""

    file: Path
    line: int
    name: str
    at_import: bool


def law(package: Path) -> list[set[str]]:
    """Rooms from the highest to the lowest, from the docstring line that starts with 'Layers:'."""
    doc = ast.get_docstring(ast.parse((package / "__init__.py").read_text())) or ""
    line = next(line for line in doc.splitlines() if line.startswith("Layers:"))
    return [{name.strip() for name in group.split(",")} for group in line[7:].split(">")]


def imports(file: Path, package: Path) -> Iterator[Import]:
    """Every import of a file: absolute, relative, lazy, `from . import x` and importlib by a literal name."""
    tree = ast.parse(file.read_text())
    lazy = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _type_only(node)
        for inner in ast.walk(node)
        if inner is not node
    }
    folder = [package.name, *file.relative_to(package).with_suffix("").parts[:-1]]
    for node in ast.walk(tree):
        for name in _names(node, folder):
            yield Import(file, getattr(node, "lineno", 0), name, id(node) not in lazy)


def _type_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")


def _names(node: ast.AST, folder: list[str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = folder[: len(folder) - node.level + 1] if node.level else []
        stem = ".".join([*start, *([node.module] if node.module else [])])
        return [f"{stem}.{alias.name}" for alias in node.names]
    if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(
        ("import_module", "__import__")
    ):
        return [str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)]
    return []


def room_of(file: Path, package: Path) -> str:
    """The subpackage, or the name of a file at the top of the package."""
    return file.relative_to(package).with_suffix("").parts[0]


def broken(package: Path) -> list[str]:
    """Every import that breaks a law, one line each."""
    levels = law(package)
    depth = {room: level for level, group in enumerate(levels) for room in group}
    found = []
    for file in sorted(package.rglob("*.py")):
        here = room_of(file, package)
        where = file.relative_to(package).as_posix()
        if here in ("__init__", "__main__"):
            continue
        if here not in depth:
            found.append(f"{where}: room {here} is not in the Layers line")
            continue
        for item in imports(file, package):
            spot = f"{where}:{item.line}"
            found += [f"{spot}: {fault}" for fault in _faults(item, here, where, depth, package)]
    return found


def _faults(
    item: Import, here: str, where: str, depth: dict[str, int], package: Path
) -> Iterator[str]:
    top, _, rest = item.name.partition(".")
    if top == package.name:
        there = rest.partition(".")[0]
        if there in depth and there != here and depth[there] <= depth[here]:
            yield f"{here} may not import {there}"
        elif there and there not in depth and not there.startswith("__"):
            yield f"there is no room {there}"
    if top in HOMES and here not in HOMES[top] and not (top == "argparse" and where == WORKER):
        yield f"{top} belongs to {', '.join(sorted(HOMES[top]))} only"
    light = here in LIGHT or where.removesuffix(".py") in LIGHT
    if top in HEAVY and item.at_import and light:
        yield f"{top} may be imported inside a function only"


def test_imports_go_down():
    found = broken(PACKAGE)
    assert not found, "\n".join(found)


def test_every_room_of_the_law_is_there():
    rooms = {room for group in law(PACKAGE) for room in group}
    there = {room_of(file, PACKAGE) for file in PACKAGE.rglob("*.py")}
    assert rooms == there - {"__init__", "__main__"}


def test_subpackages_re_export_nothing():
    for file in PACKAGE.glob("*/**/__init__.py"):
        body = ast.parse(file.read_text()).body
        assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{file}: only a docstring"


def test_snapshots_and_media_do_not_open_the_store():
    """Training reads a snapshot without the store's file, so these files know nothing of Database."""
    for name in ("snapshots.py", "coco_read.py", "media.py"):
        file = PACKAGE / "store" / name
        names = {item.name for item in imports(file, PACKAGE)}
        assert not any(name.startswith("posestudio.store.database") for name in names), file


@pytest.mark.parametrize(
    ("file", "code", "fault"),
    [
        ("core/bad.py", "import toy.store.rows", "core may not import store"),
        ("core/bad.py", "from toy.store import rows", "core may not import store"),
        ("core/bad.py", "from .. import store", "core may not import store"),
        ("core/bad.py", "from ..store.rows import Row", "core may not import store"),
        ("core/bad.py", "def f():\n    from toy import store", "core may not import store"),
        ("core/bad.py", "async def f():\n    import toy.ui", "core may not import ui"),
        (
            "core/bad.py",
            "import importlib\nimportlib.import_module('toy.ui')",
            "core may not import ui",
        ),
        ("core/bad.py", "from toy import nowhere", "there is no room nowhere"),
        ("models/bad.py", "from toy.store.rows import Row", "models may not import store"),
        ("evaluate.py", "from toy.train import loop", "evaluate may not import train"),
        ("store/bad.py", "import gradio as gr", "gradio belongs to ui only"),
        ("ui/bad.py", "def f():\n    import duckdb", "duckdb belongs to store only"),
        ("studio/bad.py", "from argparse import ArgumentParser", "argparse belongs to cli only"),
        ("cli/bad.py", "from torch import nn", "torch may be imported inside a function only"),
        ("core/skeleton.py", "import torch", "torch may be imported inside a function only"),
        ("surprise.py", "import os", "surprise is not in the Layers line"),
    ],
)
def test_the_checker_sees_a_breach(tmp_path: Path, file: str, code: str, fault: str):
    package = toy(tmp_path)
    (package / file).write_text(code + "\n")
    found = broken(package)
    assert any(fault in line and file in line for line in found), found


def test_the_checker_lets_good_imports_pass(tmp_path: Path):
    package = toy(tmp_path)
    (package / "ui" / "good.py").write_text("import gradio\nfrom toy.studio import verbs\n")
    (package / "studio" / "verbs.py").write_text(
        "def train():\n    import torch\n    from toy.train import loop\n"
    )
    (package / "evaluate.py").write_text("import torch\nfrom toy.core import metrics\n")
    (package / "train" / "loop.py").write_text("from . import optim\nfrom toy import errors\n")
    assert broken(package) == []


def toy(folder: Path) -> Path:
    """A package with the real law and empty rooms."""
    package = folder / "toy"
    for room in ("ui", "cli", "studio", "train", "models", "store", "core"):
        (package / room).mkdir(parents=True)
    (package / "__init__.py").write_text((PACKAGE / "__init__.py").read_text())
    return package


@pytest.mark.parametrize("verb", [[], ["train"]])
def test_help_loads_nothing_heavy(verb: list[str]):
    code = (
        "import runpy, sys\n"
        f"sys.argv = ['posestudio', *{verb!r}, '--help']\n"
        "try:\n    runpy.run_module('posestudio', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'gradio', 'duckdb', 'cv2', 'plotly'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "usage" in done.stdout.lower()


@pytest.mark.parametrize("room", ["cli", "studio", "store"])
def test_light_rooms_load_without_torch(room: str):
    """Through everything that they import in turn, too."""
    names = [
        f"posestudio.{room}.{file.stem}"
        for file in sorted((PACKAGE / room).glob("*.py"))
        if file.stem != "__init__"
    ]
    assert names
    code = f"import sys, {', '.join(names)}\nassert 'torch' not in sys.modules"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
