"""What the documents show works: blocks of Python run, commands run or parse."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import click
import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from memnet_core.cli import main
from memnet_core.model.registry import installed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parents[1]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
HISTORY = {"models.md"}
"""Pages that quote commands of the day when a model was trained."""
FOREIGN = {"dask_jobqueue", "spandrel"}
"""Modules of examples that need a machine, or a build, which is not here."""
CHEAP = {"batch", "restore", "info"}
"""Commands that are run on small inputs; of the others the arguments are parsed."""
ELSEWHERE = {"--workers", "--scheduler"}
PLACEHOLDERS = {"...", "…"}
SHORT = [
    "README.md",
    "docs/architecture.md",
    "docs/evaluate.md",
    "docs/folders.md",
    "docs/performance.md",
    "docs/python.md",
    "docs/stacks.md",
    "docs/train.md",
]
"""Documents in which no sentence has more than 25 words."""


@dataclass(frozen=True)
class Block:
    """A piece of code in a document."""

    document: Path
    line: int
    language: str
    code: str

    def __str__(self) -> str:
        return f"{self.document.name}:{self.line}"


def blocks() -> Iterator[Block]:
    """Find the fenced blocks of all documents."""
    fenced = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    for document in DOCUMENTS:
        text = document.read_text()
        for found in fenced.finditer(text):
            line = text.count("\n", 0, found.start()) + 1
            yield Block(document, line, *found.groups())


def prose(document: Path) -> str:
    """Return the text of a document without its blocks."""
    return re.sub(r"^```.*?^```$", "", document.read_text(), flags=re.M | re.S)


BLOCKS = list(blocks())
PYTHON = [block for block in BLOCKS if block.language == "python"]
SHELL = [block for block in BLOCKS if block.language == "sh"]
INLINE = [
    Block(document, 0, "sh", " ".join(code.split()))
    for document in DOCUMENTS
    if document.name not in HISTORY
    for code in re.findall(r"`([^`]+)`", prose(document))
    if re.match(r"(memnet|make|python|torchrun|pip) ", code)
]


def commands(code: str) -> Iterator[list[str]]:
    """Yield the words of each simple command of a script, variables being 0."""
    code = re.sub(r"\\\n", " ", code)
    code = re.sub(r"\$\{?\w+\}?", "0", code)
    for line in code.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if not set(word) <= set("&;|"):
                words.append(word)
                continue
            while words and (words[0] in ("do", "then") or "=" in words[0]):
                words.pop(0)
            if words:
                yield words
            words = []


def arguments_of(words: list[str]) -> list[str] | None:
    """Return the arguments of `memnet` in a command, if it is called there."""
    if "memnet" not in words:
        return None
    return words[words.index("memnet") + 1 :]


def check_arguments(arguments: list[str]) -> None:
    """Let click check the arguments of `memnet`, without doing anything.

    Files and folders need not exist.

    Raises
    ------
    click.UsageError
        If they are not valid.
    """
    command: click.Command = main
    context = click.Context(main, info_name="memnet")
    rest = list(arguments)
    while isinstance(command, click.Group) and rest:
        name = rest.pop(0)
        if name.startswith("-"):
            option = any(name in p.opts for p in command.get_params(context))
            assert option, f"no option {name}"
            continue
        if name in PLACEHOLDERS:
            return
        _, found, rest = command.resolve_command(context, [name, *rest])
        assert found, f"no command {name}"
        command = found
        context = click.Context(command, parent=context, info_name=found.name)
    if PLACEHOLDERS & set(rest) or not rest:  # a command is only mentioned
        known = {opt for p in command.get_params(context) for opt in p.opts}
        given = {word for word in rest if word.startswith("-")}
        assert given <= known
        return
    with patch.object(click.Path, "convert", lambda _, value, *__: Path(value)):
        command.make_context(context.info_name, rest, parent=context.parent)


def check_command(words: list[str]) -> None:
    """Check a command that is no `memnet`: what it names has to be there."""
    program, *rest = words
    if program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.M)
        assert {word for word in rest if not word.startswith("-")} <= {*targets}
    if Path(program).name == "python" and rest[0] != "-m":
        source = (ROOT / rest[0]).read_text()
        assert all(word in source for word in rest[1:] if word.startswith("-"))
    if program == "pip":
        project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        extras = re.findall(r"\[(.*?)\]", rest[-1])
        assert {*extras} <= project["optional-dependencies"].keys()


@pytest.fixture
def folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    install: Callable[..., Path],
    write_picture: Callable[..., Path],
) -> Path:
    """Make the inputs that the documents speak of, and small models for them."""
    import tifffile

    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    install("blocks", 1, 100)
    install("noise", 0, 255, task="denoise")
    install("large", 2, 4, task="sr")
    for name in ("in.jpg", "in/a.jpg", "photos/b/c.jpg", "scans/d.jpg", "e.png"):
        write_picture(Path(name), 24, 32, 3, quality=10)
    Path("list.txt").write_text("e.png\n")
    stack = np.random.default_rng(0).normal(1000, 60, (3, 24, 32)).astype(np.uint16)
    Path("stacks").mkdir()
    tifffile.imwrite("stacks/f.ome.tif", stack, metadata={"axes": "ZYX"})
    convert = "batch --task denoise --sigma 1 --format ome-zarr stacks ."
    run(*convert.split())
    Path("f.ome.zarr").rename("volume.ome.zarr")
    return work


def run(*arguments: str) -> None:
    """Run `memnet`, which has to succeed."""
    result = CliRunner().invoke(main, ["--debug", *arguments])
    assert result.exit_code == 0, result.stderr


def is_cheap(arguments: list[str]) -> bool:
    """Whether a command can be run here and now."""
    return (
        (arguments[0] in CHEAP or Path(arguments[0]).exists())
        and not ELSEWHERE & set(arguments)
        and not any(word.startswith("/") for word in arguments)
    )


@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_runs(block: Block, folder: Path) -> None:
    code = compile(block.code, str(block), "exec")
    if not any(f"from {module} " in block.code for module in FOREIGN):
        exec(code, {"__name__": "__main__"})


@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_parses(block: Block) -> None:
    subprocess.run(["bash", "-n"], input=block.code, text=True, check=True)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_commands_are_valid_and_cheap_ones_run(block: Block, folder: Path) -> None:
    for words in commands(block.code):
        arguments = arguments_of(words)
        if arguments is None:
            check_command(words)
        elif is_cheap(arguments):
            run(*arguments)
        else:
            check_arguments(arguments)


@pytest.mark.parametrize("block", INLINE, ids=lambda block: block.code)
def test_commands_in_sentences_are_valid(block: Block) -> None:
    (words,) = commands(block.code)
    arguments = arguments_of(words)
    if arguments is None:
        check_command(words)
    else:
        check_arguments(arguments)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", prose(document))
    local = [link for link in links if "://" not in link]
    missing = [link for link in local if not (document.parent / link).exists()]
    assert not missing


@pytest.mark.slow
@pytest.mark.parametrize("block", PYTHON, ids=str)
def test_python_has_types_that_mypy_knows(block: Block, tmp_path: Path) -> None:
    if any(f"from {module} " in block.code for module in FOREIGN):
        pytest.skip("needs a module that is not here")
    names = re.findall(r"^(\w+)\b[^=\n(]*= ", block.code, re.M)
    script = tmp_path / "block.py"
    reveal = "".join(f"reveal_type({name})\n" for name in dict.fromkeys(names))
    script.write_text(block.code + reveal)
    mypy = [sys.executable, "-m", "mypy", "--config-file", ROOT / "pyproject.toml"]
    checked = subprocess.run(
        [*map(str, mypy), str(script)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    revealed = re.findall(r'Revealed type is "(.*)"', checked.stdout)
    assert len(revealed) == reveal.count("\n")
    assert "Any" not in revealed


@pytest.mark.parametrize(
    ("document", "made"),
    [
        ("architecture.svg", "make_architecture.picture()"),
        ("models.md", "make_models.page()"),
        ("command.md", "make_command.page()"),
    ],
)
def test_document_is_what_its_script_makes(document: str, made: str) -> None:
    script = f"import {made.split('.')[0]}; print({made})"
    run = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT / "docs",
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == (ROOT / "docs" / document).read_text().strip()


def test_figures_are_of_the_models_that_ship() -> None:
    shipped = {entry.card.sha256 for entry in installed()[0] if entry.is_shipped}
    comparisons = json.loads((ROOT / "docs" / "quality.json").read_text())
    measured = {
        row["sha256"]
        for comparison in comparisons
        for row in comparison["rows"]
        if row["sha256"]
    }
    with Image.open(ROOT / "docs" / "pareto.png") as picture:
        drawn = {*str(picture.info["Models"]).split()}
    assert measured == drawn
    assert measured <= shipped


def test_readme_is_one_page() -> None:
    assert len((ROOT / "README.md").read_text().split()) <= 700


@pytest.mark.parametrize("document", SHORT, ids=str)
def test_sentences_are_short(document: str) -> None:
    text = re.sub(
        r"```.*?```|^[|#!].*?$", "", (ROOT / document).read_text(), flags=re.S | re.M
    )
    text = re.sub(r"\]\([^)]*\)", "]", text)
    sentences = [
        " ".join(sentence.split())
        for paragraph in re.split(r"\n\n|\n- ", text)
        for sentence in re.split(r"(?<=[.:;!?])\s", paragraph)
    ]
    assert not [sentence for sentence in sentences if len(sentence.split()) > 25]


def test_figures_of_the_readme_are_those_of_the_page_of_models() -> None:
    readme = (ROOT / "README.md").read_text()
    measured = (ROOT / "docs" / "models.md").read_text().splitlines()
    rows = re.findall(r"^\| [`*].+?[`*] \| (.+) \|$", readme, re.M)
    assert len(rows) >= 6
    for row in rows:
        figures = {*row.split(" | ")}
        assert any(figures <= {*re.split(r"[ /|]+", line)} for line in measured), row
