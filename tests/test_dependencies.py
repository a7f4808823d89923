"""What is imported is declared, and what everybody has to install is imported."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = {"memnet_core", "napari_memnet"}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
EXTRAS = PROJECT["project"]["optional-dependencies"]


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names_of(requirements: list[str | dict[str, str]]) -> set[str]:
    """Return the distributions that are required, those of included groups, too."""
    names = set()
    for requirement in requirements:
        if isinstance(requirement, dict):
            names |= group(requirement["include-group"])
        else:
            match = re.match(r"[\w.-]+", requirement)
            assert match
            names.add(normalized(match[0]))
    return names


def group(name: str) -> set[str]:
    return names_of(PROJECT["dependency-groups"][name])


BASE = names_of(PROJECT["project"]["dependencies"])


@cache
def imported_by(folder: str) -> frozenset[str]:
    """Return the distributions whose modules are imported anywhere in a folder."""
    found = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                found.add((node.module or "").partition(".")[0])
    foreign = found - sys.stdlib_module_names - OURS - local_modules(folder)
    known = installed()
    if missing := sorted(foreign - known.keys()):
        pytest.skip(f"not installed here: {', '.join(missing)}")
    return frozenset(normalized(known[module][0]) for module in foreign)


@cache
def installed() -> dict[str, list[str]]:
    return dict(packages_distributions())


def local_modules(folder: str) -> set[str]:
    """Return what scripts beside each other can import by its bare name."""
    if folder.startswith("src/"):
        return OURS
    return {path.stem for path in (ROOT / folder).rglob("*.py")}


@pytest.mark.parametrize(
    ("folder", "declared"),
    [
        (
            "src/memnet_core",
            BASE.union(
                *(
                    names_of(EXTRAS[e])
                    for e in ("distributed", "export", "spandrel", "tensorboard")
                )
            ),
        ),
        ("src/napari_memnet", BASE | names_of(EXTRAS["napari"])),
        ("tests/core", BASE | group("test")),
        ("tests/plugin", BASE | group("plugin-test")),
        ("benchmarks", BASE | group("benchmark") | group("plugin-test")),
    ],
)
def test_what_is_imported_is_declared(folder: str, declared: set[str]) -> None:
    assert imported_by(folder) <= declared


def test_what_everybody_installs_is_imported_by_the_core() -> None:
    assert imported_by("src/memnet_core") >= BASE


def test_what_the_plugin_installs_is_imported_by_it() -> None:
    assert imported_by("src/napari_memnet") >= names_of(EXTRAS["napari"])


def test_cluster_is_the_only_reason_for_what_it_installs() -> None:
    assert imported_by("src/memnet_core") >= names_of(EXTRAS["distributed"])
