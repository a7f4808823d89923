"""Quantization tables of the JPEGs that tiles and strips of a TIFF are."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.io.raster.reader import jpeg_of
from memnet_core.io.tiff.color import RGB, photometric_of
from memnet_core.jpeg.coding import BLOCK, estimate_quality

if TYPE_CHECKING:
    from memnet_core.io.raster.reader import JpegFrame
    from memnet_core.jpeg.coding import JpegCoding

    Tables = tuple[tuple[int, ...], ...]

__all__ = ["jpeg_of_pages"]

_JPEG = 7
_TABLES = 347
_HEADER = 2**16
"""Bytes of a tile that are read: its header is shorter."""

_SAMPLED = 3
"""Pages, and tiles of each, that are looked at: scanners write all alike."""

_SEGMENT_END = b"\xff\xd9"


def jpeg_of_pages(series: Any, orientation: int) -> tuple[Tables, JpegCoding | None]:
    """Return the tables of JPEG-compressed pages, and how they code the pixels.

    Parameters
    ----------
    series
        An image of an open file.
    orientation : int
        How its pages are turned when they are read, as in EXIF.

    Returns
    -------
    tables : tuple of tuple of int
        Those of the coarsest tile that was looked at; none if pages are no JPEGs of
        8 bits.
    coding : JpegCoding or None
        None if tiles differ, do not end with a block, or hold no luminance. Without
        chroma where that is subsampled: at the border of a tile it is enlarged in
        another way than inside a picture.
    """
    page = series.keyframe
    if page.compression != _JPEG or series.dtype != np.uint8:
        return (), None
    shared = page.tags.valueof(_TABLES)
    pages = (series.pages[n] for n in _spread(len(series.pages)))
    headers = (
        _header(one, number, shared)
        for one in pages
        if one is not None
        for number in _spread(len(one.dataoffsets))
    )
    frames = [frame for frame in headers if frame]
    if not frames:
        return (), None
    coarsest = min(frames, key=lambda f: estimate_quality(f.tables[0]).quality)
    coding = coarsest.coding
    sides = page.chunks[:2] if page.is_tiled else (page.rowsperstrip,)
    if (
        coding is None
        or photometric_of(page) == RGB
        or len({frame.tables for frame in frames}) > 1
        or any(side % (2 * BLOCK) for side in sides if side < page.imagelength)
    ):
        return coarsest.tables, None
    if len(set(coding.sampling)) > 1:
        coding = replace(coding, sampling=coding.sampling[:1])
    return coarsest.tables, replace(coding, orientation=orientation)


def _spread(count: int) -> list[int]:
    """Return evenly spaced numbers below a count, with the first and the last."""
    return sorted({n * (count - 1) // (_SAMPLED - 1) for n in range(_SAMPLED)})


def _header(page: Any, number: int, shared: bytes | None) -> JpegFrame | None:
    """Read the header of a tile, completed by the tables that all tiles share."""
    size = min(page.databytecounts[number], _HEADER)
    if not size:
        return None
    handle = page.parent.filehandle
    handle.seek(page.dataoffsets[number])
    data: bytes = handle.read(size)
    if shared:
        data = shared.removesuffix(_SEGMENT_END) + data[2:]
    try:
        return jpeg_of(io.BytesIO(data))
    except (ValueError, OSError):
        return None
