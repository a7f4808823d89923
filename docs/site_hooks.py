"""What the site has beyond docs/: pages of the API, and of the files in the root.

MkDocs calls the functions; links that lead out of docs/ are led to these pages.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "src"
OF_THE_ROOT = {
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Documents beside docs/, and what the site calls them."""
INDEXES = {"docs/decisions": "architecture.md#decisions"}
"""Where links to folders lead."""
BESIDE = ("CITATION.cff",)
"""Files of the root that are linked to, and go along as they are."""
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?([^)]*\))")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """List the pages of the API in the navigation."""
    assert config.nav is not None
    for entry in config.nav:
        if "API" in entry:
            entry["API"] = [{name: page} for name, page in api_pages().items()]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what the site has beyond docs/."""
    from mkdocs.structure.files import File

    for document, page in OF_THE_ROOT.items():
        text = (ROOT / document).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    for name in BESIDE:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name, page in api_pages().items():
        files.append(File.generated(config, page, content=api_page(name)))
    return files


def on_page_markdown(
    markdown: str, page: Page, config: MkDocsConfig, files: Files
) -> str:
    """Lead links that leave docs/ to pages of the site."""
    return with_links_inside(markdown, page.file.src_uri)


def api_pages() -> dict[str, str]:
    """Return the pages of the API, by the package that they describe."""
    packages = sorted({path.parent for path in modules()})
    names = [module_name(path / "__init__.py") for path in packages]
    return {name: f"api/{name}.md" for name in names}


def api_page(package: str) -> str:
    """Return the page of a package: it and its modules, described by docstrings."""
    folder = SOURCES / package.replace(".", "/")
    names = [module_name(path) for path in modules() if path.parent == folder]
    described = [f"::: {name}\n    options: {{heading_level: 2}}" for name in names]
    return "\n\n".join([f"# {package}", *described]) + "\n"


def modules() -> Iterator[Path]:
    """Give the modules that are described: all but those with an underscore."""
    for path in sorted(SOURCES.rglob("*.py")):
        if path.name == "__init__.py" or not path.name.startswith("_"):
            yield path


def module_name(path: Path) -> str:
    """Return the name by which a file is imported."""
    parts = path.relative_to(SOURCES).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def with_links_inside(markdown: str, page: str) -> str:
    """Return a page's text with links that work on the site.

    Parameters
    ----------
    markdown : str
        As it stands in the repository.
    page : str
        The page, relative to docs/.
    """
    document = {page: name for name, page in OF_THE_ROOT.items()}.get(page)
    folder = posixpath.dirname(document or f"docs/{page}")

    def led(link: re.Match[str]) -> str:
        before, target, anchor, after = link.groups()
        if "://" in target:
            return link[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        there, _, section = place(path).partition("#")
        relative = posixpath.relpath(there, posixpath.dirname(page) or ".")
        ending = f"#{section}" if section else anchor or ""
        return f"{before}{relative}{ending}{after}"

    return LINK.sub(led, markdown)


def place(path: str) -> str:
    """Return where a file of the repository is on the site, relative to docs/."""
    if path in OF_THE_ROOT:
        return OF_THE_ROOT[path]
    if path in BESIDE:
        return path
    if path in INDEXES:
        return INDEXES[path]
    if path.startswith("src/") and path.endswith(".py"):
        name = module_name(ROOT / path)
        package = name if path.endswith("__init__.py") else name.rpartition(".")[0]
        return f"api/{package}.md#{name}"
    return os.path.relpath(path, "docs")
