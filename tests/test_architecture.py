"""Imports point one way, and no file imports itself by way of others."""

from __future__ import annotations

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCES = Path(__file__).resolve().parents[1] / "src"

LAYERS = (
    {"_util", "_version", "errors", "progress"},
    {"image_ops", "sources"},
    {"io", "jpeg", "model", "noise", "tasks"},
    {"inference"},
    {"batch", "evaluation", "training"},
    {"adaptation", "export", "paper"},
    {"cli", "napari_memnet"},
)
"""Packages, from those that import none of the others to those that nobody imports."""

FORBIDDEN = {
    "io": {"model", "noise", "tasks"},
    "jpeg": {"io", "model", "noise", "tasks"},
    "model": {"io", "noise"},
    "tasks": {"io", "model"},
}
"""What packages of the same layer may not import."""

ENTRY = {"memnet_core", "memnet_core.__main__"}
"""The front door and the command, which import all and are imported by none."""


def _name(path: Path) -> str:
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


MODULES = {_name(path): path for path in SOURCES.rglob("*.py")}


def _package(module: str) -> str:
    parts = module.split(".")
    return parts[0] if parts[0] != "memnet_core" or len(parts) == 1 else parts[1]


def _imports(path: Path) -> set[str]:
    """Return the modules of this project that a file imports, now or within functions.

    Imports for type checkers alone bind nobody, and are left out.
    """
    return {module for node in _run(ast.parse(path.read_text())) for module in node}


def _run(node: ast.AST) -> Iterator[list[str]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            yield from (found for other in child.orelse for found in _run(other))
        elif isinstance(child, ast.ImportFrom) and child.module:
            names = [f"{child.module}.{alias.name}" for alias in child.names]
            found = [n if n in MODULES else child.module for n in names]
            yield [module for module in found if module in MODULES]
        elif isinstance(child, ast.Import):
            yield [alias.name for alias in child.names if alias.name in MODULES]
        else:
            yield from _run(child)


IMPORTS = {module: _imports(path) for module, path in MODULES.items()}


def test_every_package_has_a_layer() -> None:
    named = set().union(*LAYERS)
    assert {_package(module) for module in set(MODULES) - ENTRY} == named


@pytest.mark.parametrize("module", sorted(set(MODULES) - ENTRY))
def test_imports_point_one_way(module: str) -> None:
    heights = {package: n for n, layer in enumerate(LAYERS) for package in layer}
    package = _package(module)
    for other in IMPORTS[module] - {"memnet_core"}:
        assert heights[_package(other)] <= heights[package], other
        assert _package(other) not in FORBIDDEN.get(package, set()), other


def test_the_core_takes_nothing_from_its_front_door() -> None:
    inside = [m for m in MODULES if m.startswith("memnet_core.") and m not in ENTRY]
    assert [m for m in inside if IMPORTS[m] & ENTRY] == []


def test_no_file_imports_itself_by_way_of_others() -> None:
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def _rows(heading: str) -> list[list[str]]:
    """Return the names in each row of a table of docs/renamed.md, but the oldest."""
    text = (SOURCES.parent / "docs" / "renamed.md").read_text()
    table = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[2:-1] for line in table.splitlines() if line[:3] == "| `"]
    return [
        [name for cell in row for name in re.findall("`(.*?)`", cell)] for row in rows
    ]


def test_modules_that_were_renamed_are_there() -> None:
    assert {module for row in _rows("Modules") for module in row} <= {*MODULES}


def test_names_that_were_renamed_are_where_the_table_says() -> None:
    missing = [
        (name, module)
        for name, *modules in filter(None, _rows("Functions and classes"))
        for module in modules
        if name not in MODULES[module].read_text()
    ]
    assert not missing
