"""Which files a user means by files, folders, globs and lists."""

from __future__ import annotations

import glob
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from memnet_core.errors import UsageError
from memnet_core.io import READABLE_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Found", "Source", "find_inputs"]

_LIST_SUFFIX = ".txt"


@dataclass(frozen=True)
class Source:
    """An input file and its place below the output folder."""

    path: Path
    relative: Path


@dataclass
class Found:
    """What a search brought to light.

    Attributes
    ----------
    sources : list of Source
        Image files by their suffix, each once.
    hidden : int
        Files passed over because their names begin with a dot.
    foreign : int
        Files passed over because of their suffix.
    unreadable : list of str
        Folders that could not be read, each with the reason.
    """

    sources: list[Source] = field(default_factory=list)
    hidden: int = 0
    foreign: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def passed_over(self) -> str:
        """How many files were passed over, in words; empty if none."""
        counts = {"hidden": self.hidden, "of other kinds": self.foreign}
        parts = [f"{count} {kind}" for kind, count in counts.items() if count]
        return f"passed over: {', '.join(parts)}" if parts else ""


def find_inputs(arguments: Sequence[str], output: Path, *, recursive: bool) -> Found:
    """Collect the images that the arguments of a command stand for.

    Parameters
    ----------
    arguments : sequence of str
        Image files, folders, glob patterns (``**`` included), or ``.txt`` files with
        one path on each line, relative to the list.
    output : Path
        The output folder; a search does not descend into it.
    recursive : bool
        Whether to descend into subfolders; their tree is mirrored.

    Raises
    ------
    UsageError
        If an argument does not exist, matches nothing, or is the output folder.
    """
    found = Found()
    known: set[str] = set()
    for argument in arguments:
        for path, relative in _expand(argument, output, recursive, found):
            if path.name.startswith("."):
                found.hidden += 1
            elif path.suffix.lower() not in READABLE_SUFFIXES:
                found.foreign += 1
            elif (real := os.path.realpath(path)) not in known:
                known.add(real)
                found.sources.append(Source(path, relative))
    return found


def _expand(
    argument: str, output: Path, recursive: bool, found: Found
) -> Iterator[tuple[Path, Path]]:
    """Yield the files of one argument and their places below the output folder."""
    path = Path(argument)
    if path.is_dir():
        if _same(path, output):
            raise UsageError(
                f"{path} is both input and output; choose another output folder."
            )
        yield from _walk(path, output, recursive, found)
    elif path.is_file() and path.suffix.lower() == _LIST_SUFFIX:
        yield from _listed(path)
    elif path.is_file() or path.is_symlink():
        yield path, Path(path.name)
    elif glob.has_magic(argument):
        matches = [Path(m) for m in sorted(glob.glob(argument, recursive=True))]
        files = [match for match in matches if match.is_file()]
        if not files:
            raise UsageError(f"No file matches {argument!r}; check the pattern.")
        yield from ((file, Path(file.name)) for file in files)
    else:
        raise UsageError(f"{argument} does not exist; check the path.")


def _walk(
    folder: Path, output: Path, recursive: bool, found: Found
) -> Iterator[tuple[Path, Path]]:
    """Yield the files of a folder by name, entering every real folder once."""
    visited: set[str] = set()

    def note(error: OSError) -> None:
        found.unreadable.append(f"{error.filename} cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=note):
        visited.add(os.path.realpath(parent))
        folders[:] = sorted(
            name
            for name in folders
            if recursive
            and not name.startswith(".")
            and os.path.realpath(Path(parent, name)) not in visited
            and not _same(Path(parent, name), output)
        )
        for name in sorted(files):
            path = Path(parent, name)
            yield path, path.relative_to(folder)


def _listed(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that a list names."""
    lines = path.read_text("utf-8", "surrogateescape").splitlines()
    for line in filter(None, map(str.strip, lines)):
        listed = path.parent / line
        if not listed.is_file():
            raise UsageError(f"{line}, listed in {path}, does not exist.")
        yield listed, Path(listed.name)


def _same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)
