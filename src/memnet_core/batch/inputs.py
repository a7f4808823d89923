"""Inputs of a batch: finding them, sets of files, images within a file."""

from __future__ import annotations

import fnmatch
import glob
import math
import os
from collections import Counter
from dataclasses import dataclass, field, replace
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from memnet_core.errors import UsageError
from memnet_core.io import (
    READABLE_SUFFIXES,
    REQUESTED_SUFFIXES,
    format_named,
    format_of_suffix,
    is_image_folder,
    is_known_kind,
    is_set_member,
    open_scenes,
    set_members,
)
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.registry import format_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from memnet_core.batch.jobs import Job
    from memnet_core.io import Probe
    from memnet_core.io.core.fingerprint import Fingerprint

__all__ = [
    "InputFile",
    "InputListing",
    "Survey",
    "expand_scenes",
    "find_inputs",
    "group_ome_filesets",
    "survey",
]


_LIST_SUFFIX = ".txt"
_NAMED_SUFFIXES = READABLE_SUFFIXES | REQUESTED_SUFFIXES
_MOST_LINKS = 20
"""Ways on which a folder is entered; links to links make thousands of millions."""


@dataclass(frozen=True)
class InputFile:
    """An input file and its place below the output folder."""

    path: Path
    relative: Path


@dataclass
class InputListing:
    """What a search brought to light.

    Attributes
    ----------
    sources : list of Source
        Image files by their suffix, and Zarr folders, each once.
    hidden : int
        Files passed over because their names begin with a dot.
    foreign : int
        Files passed over because of their suffix, or because they are pipes, sockets
        or devices.
    unreadable : list of str
        Folders that could not be read, each with the reason.
    """

    sources: list[InputFile] = field(default_factory=list)
    hidden: int = 0
    foreign: int = 0
    unreadable: list[str] = field(default_factory=list)

    @property
    def passed_over(self) -> str:
        """How many files were passed over, in words; empty if none."""
        counts = {"hidden": self.hidden, "of other kinds": self.foreign}
        parts = [f"{count} {kind}" for kind, count in counts.items() if count]
        return f"passed over: {', '.join(parts)}" if parts else ""


def find_inputs(
    arguments: Sequence[str], output: Path, *, recursive: bool
) -> InputListing:
    """Collect the images that the arguments of a command stand for.

    Parameters
    ----------
    arguments : sequence of str
        Image files, OME-Zarr images, folders, glob patterns (``**`` included), or
        ``.txt`` files with one path on each line, relative to the list.
    output : Path
        The output folder; a search does not descend into it.
    recursive : bool
        Whether to descend into subfolders, and to mirror their tree.

    Raises
    ------
    UsageError
        If an argument does not exist, matches nothing, or is the output folder.
    """
    found = InputListing()
    known: set[str] = set()
    for argument in arguments:
        # A folder of photographs is not meant to have its films restored as well.
        is_folder = os.path.isdir(argument)
        suffixes = READABLE_SUFFIXES if is_folder else _NAMED_SUFFIXES
        for path, relative in _expand(argument, output, recursive, found):
            is_folder = is_image_folder(path)
            if path.name.startswith("."):
                found.hidden += 1
            elif not is_folder and (
                _is_special(path)
                or not _is_meant(path, suffixes, is_named=Path(argument) == path)
            ):
                found.foreign += 1
            elif (absolute := os.path.abspath(path)) not in known:
                known.add(absolute)
                place = relative.with_name(_name(path)) if is_folder else relative
                found.sources.append(InputFile(path, place))
    return found


def _is_meant(path: Path, suffixes: frozenset[str], *, is_named: bool) -> bool:
    """Whether a file is to be opened: by its suffix, or if named by its content."""
    return path.suffix.lower() in suffixes or (is_named and is_known_kind(path))


def _name(folder: Path) -> str:
    """Return a name for the folder of an image, with the suffix that tells its format.

    Images in a collection are called by numbers: ``plate.zarr/A/1/0`` is
    ``plate_A_1_0.zarr``.
    """
    inner: list[str] = []
    for path in (folder, *Path(os.path.abspath(folder)).parents):
        if not is_image_folder(path):
            break
        inner.insert(0, path.name)
        for suffix in format_named("ome-zarr").suffixes:
            if path.name.lower().endswith(suffix):
                stem, suffix = path.name[: -len(suffix)], path.name[-len(suffix) :]
                return "_".join([stem, *inner[1:]]) + suffix
    return "_".join(inner) + format_named("ome-zarr").suffixes[-1]


def _expand(
    argument: str, output: Path, recursive: bool, found: InputListing
) -> Iterator[tuple[Path, Path]]:
    """Yield the files of one argument and their places below the output folder."""
    path = Path(argument)
    if is_image_folder(path):
        yield path, Path(path.name)
    elif os.path.isdir(argument):
        if _same(path, output):
            raise UsageError(
                f"{path} is both input and output; choose another output folder."
            )
        yield from _walk(path, output, math.inf if recursive else 0, found)
    elif os.path.isfile(argument) and path.suffix.lower() == _LIST_SUFFIX:
        yield from _listed(path)
    elif os.path.lexists(argument):
        yield path, Path(path.name)
    elif glob.has_magic(argument):
        yield from _matching(argument, output, recursive, found)
    else:
        raise UsageError(f"{argument!r} does not exist; check the path.")


def _walk(
    folder: Path, output: Path, depth: float, found: InputListing
) -> Iterator[tuple[Path, Path]]:
    """Yield files and Zarr images by name; links back into themselves end there."""
    entered: Counter[str] = Counter()

    def note(error: OSError) -> None:
        found.unreadable.append(f"{error.filename} cannot be read: {error.strerror}.")

    for parent, folders, files in os.walk(folder, followlinks=True, onerror=note):
        inner = Path(parent).relative_to(folder)
        images = [name for name in folders if is_image_folder(Path(parent, name))]
        folders[:] = sorted(
            name
            for name in set(folders).difference(images)
            if len(inner.parts) < depth
            and not name.startswith(".")
            and not _same(Path(parent, name), output)
            and not _is_loop(folder, inner / name)
        )
        for name in [*folders]:
            real = os.path.realpath(Path(parent, name))
            entered[real] += 1
            if entered[real] > _MOST_LINKS:
                folders.remove(name)
            if entered[real] == _MOST_LINKS + 1:
                found.unreadable.append(
                    f"{Path(parent, name)} is passed over: more than {_MOST_LINKS} "
                    "links lead to the same folder."
                )
        for name in sorted([*files, *images]):
            yield Path(parent, name), inner / name


def _matching(
    pattern: str, output: Path, recursive: bool, found: InputListing
) -> Iterator[tuple[Path, Path]]:
    """Yield the files that a glob pattern matches."""
    parts = Path(pattern).parts
    root = Path(*takewhile(lambda part: not glob.has_magic(part), parts))
    magic = parts[len(root.parts) :]
    depth = math.inf if "**" in magic else len(magic) - 1
    files = [
        (path, inner if recursive else Path(path.name))
        for path, inner in _walk(root, output, depth, found)
        if _fits(inner.parts, magic)
    ]
    if not files:
        raise UsageError(f"No file matches {pattern!r}; check the pattern.")
    yield from files


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether the parts of a path match those of a pattern."""
    if not pattern:
        return not parts
    if pattern[0] == "**" and _fits(parts, pattern[1:]):
        return True
    if not parts or not fnmatch.fnmatch(parts[0], pattern[0]):
        return False
    return _fits(parts[1:], pattern if pattern[0] == "**" else pattern[1:])


def _listed(path: Path) -> Iterator[tuple[Path, Path]]:
    """Yield the files that a list names."""
    try:
        lines = path.read_text("utf-8-sig", "surrogateescape").splitlines()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.") from error
    for line in filter(None, map(str.strip, lines)):
        listed = path.parent / line
        if not (os.path.isfile(listed) or is_image_folder(listed)):
            raise UsageError(f"{line}, listed in {path}, is no file; correct the list.")
        yield listed, Path(listed.name)


def _is_special(path: Path) -> bool:
    """Whether reading might wait for ever: a pipe, a socket, a device."""
    return os.path.exists(path) and not os.path.isfile(path)


def _is_loop(root: Path, inner: Path) -> bool:
    """Whether a folder below a root is one of those that lead to it, by a link."""
    real, *way = (os.path.realpath(root / part) for part in (inner, *inner.parents))
    return real in way


def _same(first: Path, second: Path) -> bool:
    return os.path.realpath(first) == os.path.realpath(second)


@dataclass(frozen=True)
class Survey:
    """What one look at an input tells the plan; nothing of a folder or a broken file.

    Attributes
    ----------
    members : tuple of Path
        The other files with planes of its images.
    header : Probe, optional
        What its header says.
    outline : Fingerprint, optional
        Its size and ends.
    """

    members: tuple[Path, ...] = ()
    header: Probe | None = None
    outline: Fingerprint | None = None


def survey(path: Path) -> Survey:
    """Open an input once and note what the plan needs to know of it."""
    try:
        with OpenedFile(path) as file:
            if not file.head:  # a folder
                return Survey()
            members, outline = set_members(path, file), file.outline
            try:
                kind = format_of(file)
                # The header of a movie takes a decoder; most need none to be planned.
                header = None if kind.on_request else kind.probe(file)
            except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
                header = None
            return Survey(members, header, outline)
    except (OSError, ValueError):
        return Survey()


def group_ome_filesets(
    sources: Sequence[InputFile],
) -> list[tuple[InputFile, Survey]]:
    """Return each input that begins an image, with what is known of it.

    The first file of a set of OME-TIFFs stands for all; its result holds every plane.
    """
    surveys: dict[InputFile, Survey] = {}
    owners: dict[str, InputFile] = {}
    for source in sources:
        if not _is_claimed(source, owners):
            surveys[source] = survey(source.path)
            for member in surveys[source].members:
                owners.setdefault(os.path.abspath(member), source)
    return [
        (source, surveys.get(source, Survey()))
        for source in sources
        if surveys.get(source, Survey()).members or not _is_claimed(source, owners)
    ]


def _is_claimed(source: InputFile, owners: Mapping[str, InputFile]) -> bool:
    """Whether another input names a file as a part of it, and the file agrees."""
    owner = owners.get(os.path.abspath(source.path))
    return owner is not None and is_set_member(source.path, owner.path)


def expand_scenes(job: Job, header: Probe | None = None) -> list[Job]:
    """Return the jobs that an input is: one for each image of a collection.

    A collection in OME-Zarr becomes one of the same tree, or a folder of files in
    another format. Scenes of a file become a collection in OME-Zarr; other formats have
    them in one file again, which is one job.

    Parameters
    ----------
    job : Job
        The input.
    header : Probe, optional
        What its header says; it is read if that is not known.
    """
    to_shards = format_of_suffix(job.output).by_shards
    if not (to_shards or is_image_folder(job.source)):
        return [job]
    if header and header.scenes == 1:
        return [job]
    try:
        with open_scenes(job.source) as scenes:
            names, are_folders = scenes.names, scenes.are_folders
            left_out = scenes.left_out
    except Exception:  # noqa: BLE001 - one bad file is its own FAILED line later
        return [job]
    if not are_folders and len(names) == 1:
        return [job]
    told = (*job.remarks, *(f"left out: {what}" for what in left_out))
    if are_folders and to_shards:
        parts = [
            replace(job, source=job.source / n, output=job.output / n, inside=n)
            for n in names
        ]
    elif are_folders:
        folder = job.output.with_name(job.output.stem.removesuffix(".ome"))
        suffix = job.output.suffix
        told = (*told, "attributes of the collection are not kept")
        parts = [
            replace(job, source=job.source / n, output=_with_suffix(folder / n, suffix))
            for n in names
        ]
    else:
        parts = [
            replace(job, output=job.output / str(n), inside=str(n), scene=n)
            for n in range(len(names))
        ]
    return [replace(parts[0], remarks=told), *parts[1:]]


def _with_suffix(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
