"""The formats that the house knows, and which of them serves a file."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from memnet_core.errors import ImageError
from memnet_core.io.core.errors import reading
from memnet_core.io.core.format import HEAD_BYTES
from memnet_core.io.core.limits import check_regular
from memnet_core.io.raster.reader import BMP, GIF, JPEG, PNG, WEBP
from memnet_core.io.tiff.format import TIFF
from memnet_core.io.unsupported import foreign_kind
from memnet_core.io.video import MOVIE
from memnet_core.io.zarr.format import OME_ZARR

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.io.core.format import Format

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "REQUESTED_SUFFIXES",
    "format_named",
    "format_of_content",
    "format_of_suffix",
    "is_image_folder",
    "is_known_kind",
    "suffix_of_format",
]

FORMATS: tuple[Format, ...] = (PNG, TIFF, JPEG, WEBP, BMP, GIF, MOVIE, OME_ZARR)
"""All formats; the first is the one for what its own format would harm."""

REQUESTED_SUFFIXES = frozenset().union(
    *(known.endings for known in FORMATS if known.on_request)
)
"""Suffixes of files that are taken for images where they are named."""

READABLE_SUFFIXES = (
    frozenset().union(*(known.endings for known in FORMATS if not known.is_folder))
    - REQUESTED_SUFFIXES
)
"""Suffixes of files that are taken for images."""


def format_named(name: str) -> Format:
    """Return the format that ``--format`` calls so.

    Raises
    ------
    KeyError
        If there is none.
    """
    return {known.name: known for known in FORMATS}[name]


def format_of_suffix(path: Path) -> Format:
    """Return the format that the suffix of a path stands for.

    Raises
    ------
    ImageError
        If no format that can be written has this suffix.
    """
    written = [known for known in FORMATS if known.is_written]
    for known in written:
        if known.names(path):
            return known
    suffixes = ", ".join(known.suffix for known in written)
    raise ImageError(
        f"{path} cannot be written: the suffix {path.suffix!r} is none of {suffixes}.",
        path=path,
    )


def format_of_content(path: Path) -> Format:
    """Return the format of a file or folder, whatever its suffix.

    Raises
    ------
    ImageError
        If it cannot be opened, is empty, or of no kind that is known.
    """
    with reading(path):
        if is_image_folder(path):
            head = b""
        else:
            check_regular(path)
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
            if not head:
                raise ValueError("the file is empty")
        found = next((known for known in FORMATS if known.sniff(path, head)), None)
        is_tiff = found is TIFF
        if head and (is_tiff or not found):
            reason = foreign_kind(path, is_tiff=is_tiff)
            if reason:
                raise ValueError(reason)
        if found:
            return found
        *others, last = (known.title for known in FORMATS if not known.is_folder)
        raise ValueError(f"it is no {', '.join(others)} or {last}")


def is_known_kind(path: Path) -> bool:
    """Whether the content of a file is of a kind that is read, or has a name."""
    try:
        format_of_content(path)
    except ImageError:
        with contextlib.suppress(OSError):
            return any(foreign_kind(path, is_tiff=kind) for kind in (False, True))
        return False
    return True


def is_image_folder(path: Path) -> bool:
    """Whether a folder is an image."""
    return any(known.is_folder and known.sniff(path, b"") for known in FORMATS)


def suffix_of_format(name: str, source: Path) -> str:
    """Return the suffix of an output.

    Parameters
    ----------
    name : str
        Name of one of `FORMATS`, ``same`` for the suffix of the source, or ``auto``,
        which differs from ``same`` in that no picture is compressed a second time
        with loss.
    source : Path
        The input; its content decides where no result has its suffix.
    """
    if name not in ("same", "auto"):
        return format_named(name).suffix
    own = next((known for known in FORMATS if known.names(source)), None)
    suffix = source.suffix
    if own is None:
        own = _format_of_unusual(source)
        suffix = own.suffix
    if name == "auto" and own.on_request:
        return TIFF.suffix
    return FORMATS[0].suffix if name == "auto" and own.lossy else suffix


def _format_of_unusual(source: Path) -> Format:
    """Return the format of a file whose suffix no result has.

    A file that cannot be read fails later, and needs a name until then.
    """
    try:
        return format_of_content(source)
    except ImageError:
        return FORMATS[0]
