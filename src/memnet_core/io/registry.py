"""The formats that the house knows, and which of them serves a file."""

from __future__ import annotations

import errno
import os
import re
from typing import TYPE_CHECKING

from memnet_core.errors import ImageError
from memnet_core.io.core.errors import wrap_read_errors
from memnet_core.io.core.format import HEAD_BYTES
from memnet_core.io.core.opened import OpenedFile
from memnet_core.io.raster.reader import BMP, GIF, JPEG, PNG, WEBP
from memnet_core.io.tiff.format import TIFF
from memnet_core.io.video import MOVIE
from memnet_core.io.zarr.format import OME_ZARR

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.io.core.format import Format

__all__ = [
    "FORMATS",
    "READABLE_SUFFIXES",
    "REQUESTED_SUFFIXES",
    "describe_unsupported",
    "format_named",
    "format_of",
    "format_of_content",
    "format_of_suffix",
    "is_image_folder",
    "is_known_kind",
    "suffix_of_format",
]


_OME = "export it as OME-TIFF, with Fiji, the program of its microscope or bfconvert"
_PICTURE = "convert it to PNG or TIFF"
_RAW = "develop it and save it as TIFF"

_STARTS: tuple[tuple[bytes, str, str], ...] = (
    (rb"....ftyp(?:avif|avis)", "an AVIF", _PICTURE),
    (rb"....ftyp(?:heic|heix|hevc|heim|heis|mif1|msf1)", "a HEIC", _PICTURE),
    (rb"....ftypcrx ", "a raw picture of a Canon camera (CR3)", _RAW),
    (rb"....ftyp", "a film (MP4 or QuickTime)", "save its frames as TIFF"),
    (rb"\0\0\0\x0cJXL \r\n\x87\n|\xff\x0a", "a JPEG XL", _PICTURE),
    (rb"\0\0\0\x0cjP  \r\n\x87\n|\xff\x4f\xff\x51", "a JPEG 2000", _PICTURE),
    (rb"ZISRAWFILE", "a CZI of a Zeiss microscope", _OME),
    (rb"\xda\xce\xbe\x0a", "an ND2 of a Nikon microscope", _OME),
    (rb"\x70\0\0\0....\x2a", "a LIF of a Leica microscope", _OME),
    (rb"\xd0\xcf\x11\xe0", "a compound file (OIB, ZVI or an office document)", _OME),
    (rb"\x89HDF\r\n\x1a\n", "an HDF5 file (such as Imaris)", _OME),
    (rb"SIMPLE  =", "a FITS", "convert it to TIFF"),
    (rb"\0\0\0[\x03\x04].{4,8}\0\0\0[\0\x01]", "a DM3 or DM4 of a Gatan camera", _OME),
    (rb"%PDF", "a PDF", "take its pictures out, with pdfimages"),
    (rb"%!PS|\xc5\xd0\xd3\xc6", "a PostScript file", "render it as PNG"),
    (rb"8BPS", "a Photoshop file (PSD)", _PICTURE),
    (rb"\x76\x2f\x31\x01", "an OpenEXR", "convert it to TIFF"),
    (rb"#\?(?:RADIANCE|RGBE)", "a Radiance HDR", "convert it to TIFF"),
    (rb"P[1-7fF]\s", "a PNM (PBM, PGM, PPM or PFM)", _PICTURE),
    (rb"\0\0[\x01\x02]\0", "an icon or cursor", _PICTURE),
    (rb"FUJIFILMCCD-RAW", "a raw picture of a Fujifilm camera (RAF)", _RAW),
    (rb"II(?:U\0|RO|RS)|MMOR", "a raw picture of a camera (RW2 or ORF)", _RAW),
    (rb"\x93NUMPY", "a NumPy array", "save it as TIFF, with tifffile.imwrite"),
    (rb"PK\x03\x04", "a ZIP archive", "unpack it"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ|\x28\xb5\x2f\xfd|7z\xbc\xaf", "an archive", "unpack it"),
    (rb"(?:\xef\xbb\xbf)?\s*<svg", "an SVG", "render it as PNG"),
    (rb"(?:\xef\xbb\xbf)?\s*<!DOCTYPE html|(?i:\s*<html)", "a web page", _PICTURE),
    (rb"\x5c\x01\0\0.{340}n[i+]1\0", "a NIfTI", "convert it to TIFF"),
)
_NAMED = {
    ".cr2": ("a raw picture of a Canon camera (CR2)", _RAW),
    ".nef": ("a raw picture of a Nikon camera (NEF)", _RAW),
    ".nrw": ("a raw picture of a Nikon camera (NRW)", _RAW),
    ".arw": ("a raw picture of a Sony camera (ARW)", _RAW),
    ".sr2": ("a raw picture of a Sony camera (SR2)", _RAW),
    ".pef": ("a raw picture of a Pentax camera (PEF)", _RAW),
    ".srw": ("a raw picture of a Samsung camera (SRW)", _RAW),
    ".3fr": ("a raw picture of a Hasselblad camera (3FR)", _RAW),
    ".iiq": ("a raw picture of a Phase One camera (IIQ)", _RAW),
    ".dng": ("a raw picture of a camera (DNG)", _RAW),
    ".vsi": ("a VSI of an Olympus slide scanner", _OME),
}
"""Kinds that are TIFFs by their content, but hold only a preview that one can read."""

_CR2 = re.compile(rb"II\*\0....CR", re.DOTALL)
_DICOM = slice(128, 132)
_MRC = slice(208, 212)


def describe_unsupported(file: OpenedFile, *, is_tiff: bool) -> str:
    """Return what a file is and what to do with it; nothing if that is not known.

    Parameters
    ----------
    file : OpenedFile
        A file that is of no kind that is read, or a TIFF.
    is_tiff : bool
        Whether its content begins as a TIFF.
    """
    path, head = file.path, file.head
    if is_tiff:
        suffix = ".cr2" if _CR2.match(head) else path.suffix.lower()
        return _sentence(*_NAMED[suffix]) if suffix in _NAMED else ""
    for start, name, advice in _STARTS:
        if re.match(start, head, re.DOTALL):
            return _sentence(name, advice)
    if head[_DICOM] == b"DICM":
        return _sentence("a DICOM", "convert it to TIFF")
    if head[_MRC] == b"MAP ":
        return _sentence("an MRC of an electron microscope", "convert it to TIFF")
    if path.suffix.lower() == ".vsi":
        return _sentence(*_NAMED[".vsi"])
    return ""


def _sentence(name: str, advice: str) -> str:
    return f"it is {name}, which is not read here; {advice}"


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
    with wrap_read_errors(path), OpenedFile(path) as file:
        return format_of(file)


def format_of(file: OpenedFile) -> Format:
    """Return the format of an open file or of a folder, whatever its suffix.

    Raises
    ------
    ImageError
        If it is of no kind that is known.
    """
    path, head = file.path, file.head[:HEAD_BYTES]
    with wrap_read_errors(path):
        if not head and not is_image_folder(path):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        found = next((known for known in FORMATS if known.sniff(path, head)), None)
        is_tiff = found is TIFF
        if head and (is_tiff or not found):
            reason = describe_unsupported(file, is_tiff=is_tiff)
            if reason:
                raise ValueError(reason)
        if found:
            return found
        *others, last = (known.title for known in FORMATS if not known.is_folder)
        raise ValueError(f"it is no {', '.join(others)} or {last}")


def is_known_kind(path: Path) -> bool:
    """Whether the content of a file is of a kind that is read, or has a name."""
    try:
        with OpenedFile(path) as file:
            try:
                format_of(file)
            except ImageError:
                kinds = (False, True)
                return any(describe_unsupported(file, is_tiff=kind) for kind in kinds)
    except (OSError, ValueError):
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
