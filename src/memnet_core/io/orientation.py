"""How a picture is to be turned: the tag in EXIF and XMP, and the turning itself."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["EXIF_MARK", "oriented", "stored_orientation", "upright_exif", "upright_xmp"]

EXIF_MARK = b"Exif\0\0"
"""What EXIF begins with in a JPEG, and in `Metadata.exif`."""

_TAG = 0x0112
_NUMBERS = {3: "H", 4: "I"}
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


def oriented(pixels: NDArray[Any], orientation: int, y: int, x: int) -> NDArray[Any]:
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


def _exif_entry(exif: bytes) -> tuple[str, int] | None:
    """Return type and position of the orientation in the first directory."""
    start = len(EXIF_MARK)
    order = {b"II": "<", b"MM": ">"}.get(exif[start : start + 2])
    if order is None:
        return None
    try:
        (directory,) = struct.unpack_from(order + "I", exif, start + 4)
        (count,) = struct.unpack_from(order + "H", exif, start + directory)
        for index in range(count):
            entry = start + directory + 2 + 12 * index
            tag, kind = struct.unpack_from(order + "HH", exif, entry)
            if tag == _TAG and kind in _NUMBERS:
                form = order + _NUMBERS[kind]
                struct.unpack_from(form, exif, entry + 8)
                return form, entry + 8
    except struct.error:
        pass
    return None
