"""Kinds of files that are not read here, called by their name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["foreign_kind"]

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
_LONGEST = 352
_DICOM = slice(128, 132)
_MRC = slice(208, 212)


def foreign_kind(path: Path, *, is_tiff: bool) -> str:
    """Return what a file is and what to do with it; nothing if that is not known.

    Parameters
    ----------
    path : Path
        A file that is of no kind that is read, or a TIFF.
    is_tiff : bool
        Whether its content begins as a TIFF.
    """
    with path.open("rb") as file:
        head = file.read(_LONGEST)
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
