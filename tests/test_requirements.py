"""What the code imports is what the lists name, what is pinned is installed, and nothing is there unused."""

import ast
import importlib.metadata
import re
import sys
import tomllib
from collections import Counter
from pathlib import Path

from packaging.requirements import Requirement

PROJECT = Path(__file__).resolve().parents[1]
NAMES = {"cv2": "opencv-python-headless", "PIL": "pillow"}
"""Imports whose package has another name."""


EXPORTER = {"onnxscript": "torch.onnx.export needs it"}
"""Of the extra for ONNX, what no import statement names, with the reason."""

KEPT = {
    "pycocotools": "core/coco.py loads it by name, to keep it quiet",
}
"""Listed, but in no import statement, with the reason."""


def listed(name: str) -> dict[str, Requirement]:
    """The requirements of a file by package name, those of files that it includes left out."""
    lines = (PROJECT / name).read_text().splitlines()
    kept = [Requirement(line) for line in lines if line and not line.startswith(("#", "-"))]
    return {requirement.name: requirement for requirement in kept}


def declared() -> dict[str, dict[str, Requirement]]:
    """The ranges of pyproject.toml: {"run": ..., "onnx": ..., "test": the tools and what is optional}."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    groups = {
        "run": project["dependencies"],
        "onnx": extras["onnx"],
        "test": [*extras["test"], *extras["onnx"]],
    }
    return {
        group: {Requirement(line).name: Requirement(line) for line in lines}
        for group, lines in groups.items()
    }


def imported() -> set[str]:
    """Packages that the package and app.py import, the standard library left out."""
    tops: set[str] = set()
    for file in [*(PROJECT / "posestudio").rglob("*.py"), PROJECT / "app.py"]:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                tops |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                tops.add(node.module.partition(".")[0])
    return {
        NAMES.get(top, top) for top in tops if top not in {*sys.stdlib_module_names, "posestudio"}
    }


def test_every_import_is_listed_and_every_listed_package_is_used():
    used, ranges, optional = imported(), declared()["run"], declared()["onnx"]
    assert used - set(ranges) - set(optional) == set(), "imported, but not in pyproject.toml"
    assert set(ranges) - used == set(KEPT), "in pyproject.toml, but not imported"
    assert set(optional) - used == set(EXPORTER), "in the extra for ONNX, but not imported"


def test_pins_and_ranges_agree():
    for group, file in (("run", "requirements.txt"), ("test", "requirements-test.txt")):
        pins, ranges = listed(file), declared()[group]
        assert set(pins) == set(ranges), file
        for name, pin in pins.items():
            (exact,) = pin.specifier
            assert exact.operator == "==", f"{file}: {name} is not pinned"
            assert exact.version in ranges[name].specifier, f"{name} {exact} is outside its range"


def test_the_tests_run_with_what_is_pinned():
    for file in ("requirements.txt", "requirements-test.txt"):
        for name, pin in listed(file).items():
            version = importlib.metadata.version(name)
            assert version.split("+")[0] in pin.specifier, (
                f"{name} {version} is installed, not {pin}"
            )


def test_every_pattern_of_package_data_brings_something_along():
    tools = tomllib.loads((PROJECT / "pyproject.toml").read_text())["tool"]
    patterns = tools["setuptools"]["package-data"]["posestudio"]
    for pattern in patterns:
        assert any((PROJECT / "posestudio").glob(pattern)), f"{pattern} matches no file"
    kinds = {path.suffix for path in (PROJECT / "posestudio").rglob("*") if path.is_file()}
    brought = {Path(pattern).suffix for pattern in patterns}
    assert kinds - {".py", ".pyc", ""} == brought, "these would be left out"


def test_every_function_and_class_is_used_by_more_than_tests():
    folders = ("posestudio", "benchmarks", "scripts")
    texts = {
        path: path.read_text() for name in folders for path in (PROJECT / name).rglob("*.py")
    } | {PROJECT / "app.py": (PROJECT / "app.py").read_text()}
    words = Counter(word for text in texts.values() for word in re.findall(r"\w+", text))
    alone = [
        f"{path.name}: {node.name}"
        for path, text in texts.items()
        if path.is_relative_to(PROJECT / "posestudio")
        for node in ast.parse(text).body
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.decorator_list
        if words[node.name] == 1
    ]
    assert alone == []
