"""The documentation site: links that leave docs/ lead to pages of it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    path = ROOT / "docs" / "site_hooks.py"
    spec = importlib.util.spec_from_file_location("site_hooks", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "link", "led"),
    [
        ("plugin.md", "clusters.md", "clusters.md"),
        ("plugin.md", "https://arxiv.org/a#b", "https://arxiv.org/a#b"),
        ("tutorials/jpegs.md", "../plugin.md#compare", "../plugin.md#compare"),
        ("readme.md", "docs/gpu.md", "gpu.md"),
        ("readme.md", "docs/decisions", "architecture.md#decisions"),
        ("readme.md", "CITATION.cff", "CITATION.cff"),
        (
            "architecture.md",
            "../CONTRIBUTING.md#a-new-task",
            "contributing.md#a-new-task",
        ),
        ("contributing.md", "docs/architecture.md", "architecture.md"),
        (
            "decisions/chroma.md",
            "../../src/memnet_core/jpeg/chroma.py",
            "../api/memnet_core.jpeg.md#memnet_core.jpeg.chroma",
        ),
        (
            "architecture.md",
            "../src/memnet_core/tasks/base.py",
            "api/memnet_core.tasks.md#memnet_core.tasks.base",
        ),
    ],
)
def test_links_lead_to_pages_of_the_site(
    hooks: ModuleType, page: str, link: str, led: str
) -> None:
    text = f'See [this]({link}), ![that]({link} "title") and `[code]`.'
    expected = f'See [this]({led}), ![that]({led} "title") and `[code]`.'
    assert hooks.with_links_inside(text, page) == expected


def test_api_describes_every_package_and_no_private_module(hooks: ModuleType) -> None:
    pages = hooks.api_pages()
    assert pages["memnet_core.io"] == "api/memnet_core.io.md"
    assert {"memnet_core", "napari_memnet", "napari_memnet.widgets"} <= pages.keys()
    text = hooks.api_page("memnet_core.inference")
    assert "::: memnet_core.inference\n" in text
    assert "::: memnet_core.inference.runner\n" in text
    assert "._" not in hooks.api_page("memnet_core.cli")


def test_every_document_is_in_the_navigation(hooks: ModuleType) -> None:
    config = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
    named: set[str] = set()

    def collect(entry: object) -> None:
        if isinstance(entry, str):
            named.add(entry)
        elif isinstance(entry, dict):
            for value in entry.values():
                collect(value)
        elif isinstance(entry, list):
            for value in entry:
                collect(value)

    collect(config["nav"])
    documents = {
        path.relative_to(ROOT / "docs").as_posix()
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert documents | {*hooks.OF_THE_ROOT.values()} | {"api/"} == named
