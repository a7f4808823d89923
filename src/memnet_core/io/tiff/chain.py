"""The chain of a TIFF's directories, which may lead back into itself."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import tifffile

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

__all__ = ["opened_tiff"]

# Of classic TIFF and of BigTIFF: where the chain begins, how the number of tags and an
# offset are stored, bytes of a tag.
_LAYOUTS = {42: (4, "H", "I", 12), 43: (8, "Q", "Q", 20)}


def opened_tiff(path: Path, omexml: str | None = None) -> tifffile.TiffFile:
    """Open a TIFF whose pages come to an end, which tifffile takes for granted.

    Parameters
    ----------
    path : Path
        The file.
    omexml : str, optional
        OME-XML instead of its own.

    Raises
    ------
    ValueError
        If a page is followed by one of those before it.
    """
    with path.open("rb") as file:
        _check_chain(file)
    # The index of Micro-Manager names other files wherever they lie.
    return tifffile.TiffFile(path, omexml=omexml, is_mmstack=False, is_ndtiff=False)


def _check_chain(file: BinaryIO) -> None:
    """Check that no directory comes twice; what is cut or damaged is left to others."""
    head = file.read(16)
    order = "<" if head.startswith(b"II") else ">"
    known: set[int] = set()
    try:
        (version,) = struct.unpack_from(f"{order}H", head, 2)
        start, counts, offsets, size = _LAYOUTS[version]
        count, place = struct.Struct(order + counts), struct.Struct(order + offsets)
        (offset,) = place.unpack_from(head, start)
        while offset:
            if offset in known:
                raise ValueError(
                    f"page {len(known) + 1} of it is one of those before it, so that "
                    "its pages have no end"
                )
            known.add(offset)
            file.seek(offset)
            (tags,) = count.unpack(file.read(count.size))
            file.seek(offset + count.size + tags * size)
            (offset,) = place.unpack(file.read(place.size))
    except (KeyError, OSError, OverflowError, struct.error):
        return
