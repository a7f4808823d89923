"""How a picture is to be turned: the tag in EXIF and XMP, and the turning itself."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "EXIF_MARK",
    "apply_orientation",
    "exif_resolution",
    "number_of_pictures",
    "reset_orientation",
    "stored_orientation",
    "upright_exif",
    "upright_xmp",
]

EXIF_MARK = b"Exif\0\0"
"""What EXIF begins with in a JPEG, and in `Metadata.exif`."""

_TAG = 0x0112
_PICTURES = 0xB001
_RESOLUTION = (0x011A, 0x011B, 0x0128)
_PER_INCH = {2: 1.0, 3: 2.54}
_RATIONAL = 5
_NUMBERS = {3: "H", 4: "I", _RATIONAL: "II"}
_IN_XMP = re.compile(rb'(tiff:Orientation(?:="|>))([1-8])')


def stored_orientation(exif: bytes | None, xmp: bytes | None) -> int:
    """Return the orientation that EXIF names, else XMP, else 1.

    Parameters
    ----------
    exif : bytes, optional
        Begins with `EXIF_MARK`; what is damaged names nothing.
    xmp : bytes, optional
        An XMP packet.
    """
    entry = _exif_entry(exif or b"")
    if entry:
        form, position = entry
        return int(struct.unpack_from(form, exif or b"", position)[0])
    found = _IN_XMP.search(xmp or b"")
    return int(found[2]) if found else 1


def upright_exif(exif: bytes) -> bytes:
    """Return EXIF with its orientation set to 1 and no other byte changed."""
    entry = _exif_entry(exif)
    if not entry:
        return exif
    form, position = entry
    changed = bytearray(exif)
    struct.pack_into(form, changed, position, 1)
    return bytes(changed)


def upright_xmp(xmp: bytes) -> bytes:
    """Return XMP with its orientation set to 1 and no other byte changed."""
    return _IN_XMP.sub(rb"\g<1>1", xmp)


def reset_orientation(
    orientation: int,
    exif: bytes | None,
    xmp: bytes | None,
    resolution: tuple[float, float] | None,
) -> tuple[bytes | None, bytes | None, tuple[float, float] | None]:
    """Return EXIF, XMP and dots per inch along x and y of an upright picture."""
    if orientation == 1:
        return exif, xmp, resolution
    return (
        upright_exif(exif) if exif else None,
        upright_xmp(xmp) if xmp else None,
        resolution[::-1] if resolution and orientation >= 5 else resolution,
    )


def apply_orientation(
    pixels: NDArray[Any], orientation: int, y: int, x: int
) -> NDArray[Any]:
    """Return pixels as an EXIF orientation of 1 to 8 wants them to be seen.

    Parameters
    ----------
    pixels : ndarray
        Pixels as stored.
    orientation : int
        Value of the tag; others than 2 to 8 change nothing.
    y, x : int
        The two axes of the picture.
    """
    if orientation not in range(2, 9):
        return pixels
    if orientation in (5, 6, 7, 8):
        pixels = np.swapaxes(pixels, y, x)
    if orientation in (3, 4, 7, 8):
        pixels = np.flip(pixels, y)
    if orientation in (2, 3, 6, 7):
        pixels = np.flip(pixels, x)
    return pixels


def exif_resolution(exif: bytes | None) -> tuple[float, float] | None:
    """Return dots per inch along x and y that EXIF names; None if it names none."""
    data = exif or b""
    x, y, unit = (_number(data, len(EXIF_MARK), tag) or 0.0 for tag in _RESOLUTION)
    per_inch = _PER_INCH.get(int(unit))
    return (x * per_inch, y * per_inch) if x and y and per_inch else None


def number_of_pictures(index: bytes) -> int:
    """Return how many pictures the index of a multi-picture JPEG names, else 0."""
    return int(_number(index, 0, _PICTURES) or 0)


def _exif_entry(exif: bytes) -> tuple[str, int] | None:
    """Return type and position of the orientation in the first directory."""
    form, position = _entry(exif, len(EXIF_MARK), _TAG)
    return (form, position) if form[1:] in ("H", "I") else None


def _number(data: bytes, start: int, tag: int) -> float | None:
    """Return the value of a tag in the first directory, or None."""
    form, position = _entry(data, start, tag)
    if not form:
        return None
    first, *divisor = struct.unpack_from(form, data, position)
    if divisor == [0]:
        return None
    return float(first / divisor[0]) if divisor else float(first)


def _entry(data: bytes, start: int, tag: int) -> tuple[str, int]:
    """Return form and position of a value in the first directory; ("", 0) if none.

    Parameters
    ----------
    data : bytes
        Holds a TIFF header.
    start : int
        Where that begins.
    tag : int
        What to look for.
    """
    order = {b"II": "<", b"MM": ">"}.get(data[start : start + 2], "")
    try:
        (directory,) = struct.unpack_from(order + "I", data, start + 4)
        (count,) = struct.unpack_from(order + "H", data, start + directory)
        for index in range(count if order else 0):
            entry = start + directory + 2 + 12 * index
            found, kind = struct.unpack_from(order + "HH", data, entry)
            if found == tag and kind in _NUMBERS:
                form, position = order + _NUMBERS[kind], entry + 8
                if kind == _RATIONAL:
                    (offset,) = struct.unpack_from(order + "I", data, position)
                    position = start + offset
                struct.unpack_from(form, data, position)
                return form, position
    except struct.error:
        pass
    return "", 0
