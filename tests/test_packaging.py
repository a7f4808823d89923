"""What is built for other people: recipe, bill of materials, lists of files."""

from __future__ import annotations

import importlib.util
import re
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import memnet_core

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
"""Where conda-forge calls a package by another name."""


@pytest.fixture(scope="module")
def recipe() -> Any:
    text = (ROOT / "recipe" / "recipe.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


@pytest.fixture(scope="module")
def sbom() -> ModuleType:
    path = ROOT / "release" / "sbom.py"
    spec = importlib.util.spec_from_file_location("sbom", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_recipe_needs_what_the_wheel_needs(recipe: Any) -> None:
    declared = set()
    for requirement in PROJECT["project"]["dependencies"]:
        found = re.fullmatch(r"([\w.-]+)(.*)", requirement)
        assert found
        name, bound = found.groups()
        declared.add(f"{CONDA_NAMES.get(name, name.lower())} {bound}")
    python, *run = recipe["requirements"]["run"]
    assert {*run} == declared
    assert python == "python >=${{ python_min }}"
    build = [need.replace(">=", " >=") for need in PROJECT["build-system"]["requires"]]
    assert {*build} < {*recipe["requirements"]["host"]}


def test_recipe_is_of_this_version_and_starts_the_command(recipe: Any) -> None:
    assert recipe["context"]["version"] == memnet_core.__version__
    assert recipe["about"]["license"] == PROJECT["project"]["license"]
    assert recipe["about"]["summary"] == PROJECT["project"]["description"]
    scripts = [f"{k} = {v}" for k, v in PROJECT["project"]["scripts"].items()]
    assert recipe["build"]["python"]["entry_points"] == scripts


def test_source_archive_takes_what_lies_in_the_root_alone() -> None:
    listed = PROJECT["tool"]["hatch"]["build"]["targets"]["sdist"]["include"]
    assert all(pattern.startswith("/") for pattern in listed)
    assert all((ROOT / pattern[1:]).exists() for pattern in listed)


def test_every_supported_python_has_its_classifier() -> None:
    minor = range(11, 15)
    for number in minor:
        classifier = f"Programming Language :: Python :: 3.{number}"
        assert classifier in PROJECT["project"]["classifiers"]
    assert PROJECT["project"]["requires-python"] == f">=3.{minor[0]}"


def test_bill_names_what_the_wheel_needs_and_no_tools(
    sbom: ModuleType, tmp_path: Path
) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    metadata = (
        "Metadata-Version: 2.4\nName: x\nVersion: 1\nRequires-Dist: PyYAML>=6\n"
        'Requires-Dist: napari; extra == "napari"\n'
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("x-1.dist-info/METADATA", metadata)
    names = sbom.needed_by(wheel)
    assert names == {"pyyaml"}
    parts = [{"bom-ref": n, "name": n} for n in ("PyYAML", "libyaml", "napari", "qt")]
    depends = {
        "root": ["PyYAML", "napari"],
        "PyYAML": ["libyaml"],
        "libyaml": ["PyYAML"],
        "napari": ["qt"],
        "qt": [],
    }
    bill = {
        "metadata": {"component": {"bom-ref": "root"}},
        "components": parts,
        "dependencies": [
            {"ref": ref, "dependsOn": needs} if needs else {"ref": ref}
            for ref, needs in depends.items()
        ],
    }
    found = sbom.kept(bill, {"pyyaml", "libyaml"})
    assert [part["name"] for part in found["components"]] == ["PyYAML", "libyaml"]
    assert found["dependencies"] == [
        {"ref": "root", "dependsOn": ["PyYAML"]},
        {"ref": "PyYAML", "dependsOn": ["libyaml"]},
        {"ref": "libyaml", "dependsOn": ["PyYAML"]},
    ]


def test_bill_follows_needs_but_no_extras(sbom: ModuleType) -> None:
    needed = sbom.with_all_below({"scikit-image"})
    assert {"scikit-image", "scipy", "numpy", "pillow"} <= needed
    assert not {"pytest", "matplotlib", "dask"} & needed
