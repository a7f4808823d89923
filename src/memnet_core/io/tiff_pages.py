"""Pages of a TIFF: what they promise, how their pixels are seen, their tags.

The tags of a damaged file can be of any type, whatever tifffile makes of them.
"""

from __future__ import annotations

import logging
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image as PillowImage

from memnet_core.io.cmyk import rgb_of_cmyk
from memnet_core.io.faults import parsing
from memnet_core.io.image import Metadata, Native
from memnet_core.io.orientation import stored_orientation, upright_xmp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.io.calibration import Calibration

__all__ = [
    "as_seen",
    "bytes_of_tag",
    "check_complete",
    "checked_series",
    "is_expanded",
    "is_machine_text",
    "needs_bigtiff",
    "page_metadata",
    "page_options",
    "page_orientation",
    "page_resolution",
    "samples_last",
    "what_is_lost",
]

_ICC = 34675
_XMP = 700
_ORIENTATION = 274
_UNITS = {1: "none", 2: "inch", 3: "cm"}
_UNIT_NAMES = {"none": "NONE", "inch": "INCH", "cm": "CENTIMETER"}
_LOST_TAGS = {
    315: "artist",
    33432: "copyright",
    33723: "IPTC data",
    34377: "Photoshop data",
    34665: "EXIF of a TIFF",
    34735: "GeoTIFF reference",
    34853: "GPS of a TIFF",
}
_BIG = 2**32 - 2**25
_SUSPICIOUS_BYTES = 2**28
_LARGEST_COMPRESSION = 10_000

_WHITE_IS_ZERO, _RGB, _PALETTE, _CMYK, _YCBCR = 0, 2, 3, 5, 6
_UNCOMPRESSED, _JPEG = 1, (6, 7)
_PREMULTIPLIED = 1

logging.getLogger("tifffile").addHandler(logging.NullHandler())


@parsing("its tags")
def page_metadata(
    file: tifffile.TiffFile,
    page: Any,
    dropped: list[str],
    stated: Calibration | None = None,
    native: Native | None = None,
) -> Metadata:
    """Return what the tags of a page tell besides its pixels.

    Parameters
    ----------
    file, page
        An open file and its first page.
    dropped : list of str
        What is not carried.
    stated, native
        As in `Metadata`.
    """
    orientation = page_orientation(page)
    resolution, unit = page_resolution(page)
    if resolution and orientation >= 5:
        resolution = resolution[::-1]
    xmp = bytes_of_tag(page, _XMP)
    return Metadata(
        icc=None if page.photometric == _CMYK else bytes_of_tag(page, _ICC),
        xmp=upright_xmp(xmp) if xmp and orientation != 1 else xmp,
        resolution=resolution,
        resolution_unit=unit,
        description="" if is_machine_text(file) else page.description,
        dropped=tuple(dropped),
        stated=stated,
        native=native,
    )


def needs_bigtiff(size: int) -> bool:
    """Whether so many bytes of pixels need the offsets of BigTIFF."""
    return size > _BIG


def page_options(
    metadata: Metadata, samples: int, dtype: np.dtype[Any]
) -> dict[str, Any]:
    """Return how a page is written: losslessly compressed, with its tags.

    Parameters
    ----------
    metadata : Metadata
        What the tags tell.
    samples : int
        Samples of a pixel.
    dtype : dtype
        Type of a sample.
    """
    unit = _UNIT_NAMES[metadata.resolution_unit]
    xmp = metadata.xmp
    return {
        "photometric": "rgb" if samples >= 3 else "minisblack",
        "planarconfig": "contig" if samples > 1 else None,
        "extrasamples": ["unassalpha"] if samples in (2, 4) else None,
        "compression": "zlib",
        "predictor": dtype.kind in "ui" and dtype.itemsize <= 4,
        "resolution": metadata.resolution,
        "resolutionunit": unit if metadata.resolution else None,
        "iccprofile": metadata.icc,
        "extratags": [(_XMP, 1, len(xmp), xmp, True)] if xmp else [],
        "metadata": None,
        "software": metadata.provenance or False,
    }


@parsing("its tags")
def checked_series(series: Any) -> Any:
    """Return an image or stack of a file whose pixels are supported.

    Raises
    ------
    ValueError
        If they are not.
    """
    page, axes = series.keyframe, series.axes
    if not {"Y", "X"} <= set(axes) or 0 in series.shape:
        raise ValueError(f"its shape {series.shape}, {axes}, is not that of a picture")
    if series.dtype is None or series.dtype.kind not in "buif":
        raise ValueError(f"pixels of type {series.dtype} are not supported")
    if not isinstance(page.bitspersample, int):
        raise ValueError("samples of different sizes are not supported")
    samples = page.samplesperpixel
    allowed = {_RGB: (3, 4), _PALETTE: (1,), _CMYK: (4,), _YCBCR: (3,)}
    if samples not in allowed.get(page.photometric, (samples,)):
        raise ValueError(
            f"{samples} samples a pixel are not supported "
            f"in {tifffile.PHOTOMETRIC(page.photometric).name} pictures"
        )
    if page.photometric == _YCBCR and page.compression not in _JPEG:
        raise ValueError("YCbCr is supported with JPEG compression only")
    if page.photometric == _CMYK and (series.dtype != np.uint8 or len(axes) != 3):
        raise ValueError("CMYK is supported with 8 bits and one page only")
    return series


@parsing("its tags")
def check_complete(
    file: tifffile.TiffFile, series: Any, *, may_lack: bool = False
) -> None:
    """Check that what the directories promise can be in the file.

    Parameters
    ----------
    file, series
        An open file and an image of it, which may have pages in other files.
    may_lack : bool
        Whether pages may be missing, because their files are.

    Raises
    ------
    ValueError
        If the file ends before its pixels do, or holds none.
    """
    size = file.filehandle.size
    for page in series.pages:
        if page is None and may_lack:
            continue
        if page is None:
            raise ValueError("a page is missing")
        size = page.parent.filehandle.size
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) != len(counts) or not all(counts) or not all(offsets):
            raise ValueError("a page has no pixels")
        if any(o + c > size for o, c in zip(offsets, counts, strict=True)):
            raise ValueError("the file is truncated")
    if _next_directory(file) >= file.filehandle.size:
        raise ValueError("the file is truncated, and pages are missing")
    page = series.keyframe
    size = page.parent.filehandle.size
    largest = max(math.prod(page.shape), math.prod(page.chunks))
    if page.compression == _UNCOMPRESSED:
        too_much = largest * page.bitspersample // 8 > size
    else:
        promised = max(largest * series.dtype.itemsize, series.nbytes)
        too_much = promised > max(_SUSPICIOUS_BYTES, _LARGEST_COMPRESSION * size)
    if too_much:
        raise ValueError(
            f"it promises {page.imagewidth} × {page.imagelength} pixels, "
            f"which its {size} bytes cannot hold"
        )


def _next_directory(file: tifffile.TiffFile) -> int:
    """Return where the last page that was found says that there is another."""
    layout, handle = file.tiff, file.filehandle
    handle.seek(file.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(tags * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    return int(offset)


@parsing("its tags")
def samples_last(
    axes: str, page: Any, dropped: list[str]
) -> tuple[tuple[int, ...], str]:
    """Return the order of axes that puts colour last and other samples first."""
    if "S" not in axes:
        return tuple(range(len(axes))), axes
    position = axes.index("S")
    others = tuple(i for i in range(len(axes)) if i != position)
    rest = axes.replace("S", "")
    gray_and_alpha = page.samplesperpixel == 2 and bool(page.extrasamples)
    if page.photometric in (_RGB, _CMYK, _YCBCR) or gray_and_alpha:
        return (*others, position), rest + "S"
    dropped.append("samples of a pixel (written as pages)")
    return (position, *others), "C" + rest


@parsing("its tags")
def as_seen(pixels: NDArray[Any], page: Any, dropped: list[str]) -> NDArray[Any]:
    """Turn inverted, palette, CMYK and 2- to 7-bit pixels into plain gray or RGB."""
    if page.photometric == _PALETTE:
        dropped.append("palette (expanded)")
        table: NDArray[np.uint8] = (np.asarray(page.colormap).T >> 8).astype(np.uint8)
        return np.take(table, pixels, axis=0)
    if page.photometric == _CMYK:
        dropped.append("CMYK (converted to RGB)")
        cmyk = PillowImage.fromarray(np.ascontiguousarray(pixels), "CMYK")
        return np.asarray(rgb_of_cmyk(cmyk, bytes_of_tag(page, _ICC)))
    if page.photometric == _WHITE_IS_ZERO:
        pixels = _inverted(pixels, page.bitspersample, dropped)
    if pixels.dtype == np.uint8 and page.bitspersample < 8:
        white = 2**page.bitspersample - 1
        spread: NDArray[np.uint8] = (pixels * np.uint16(255) // white).astype(np.uint8)
        return spread
    return pixels


def _inverted(pixels: NDArray[Any], bits: int, dropped: list[str]) -> NDArray[Any]:
    if pixels.dtype.kind == "b":
        return ~pixels
    if pixels.dtype.kind == "u":
        inverted: NDArray[Any] = pixels.dtype.type(2**bits - 1) - pixels
        return inverted
    dropped.append("white is zero (not inverted)")
    return pixels


@parsing("its tags")
def page_orientation(page: Any) -> int:
    """Return how a page is to be turned: 1 to 8, as in EXIF."""
    tag = page.tags.valueof(_ORIENTATION)
    return int(tag or stored_orientation(None, bytes_of_tag(page, _XMP)))


def bytes_of_tag(page: Any, tag: int) -> bytes | None:
    """Return the value of a tag that holds bytes or text."""
    value = page.tags.valueof(tag)
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None


@parsing("its tags")
def what_is_lost(page: Any) -> list[str]:
    """Name what the tags of a page hold that is not carried."""
    lost = [name for tag, name in _LOST_TAGS.items() if tag in page.tags]
    if _PREMULTIPLIED in page.extrasamples:
        lost.append("premultiplied alpha (taken for straight)")
    return lost


def is_expanded(page: Any) -> bool:
    """Whether samples become colours: by a table, or from inks."""
    return page.photometric in (_PALETTE, _CMYK)


def is_machine_text(file: tifffile.TiffFile) -> bool:
    """Whether the description belongs to a format that is not written."""
    return bool(file.is_ome or file.is_imagej or file.is_shaped)


@parsing("its tags")
def page_resolution(page: Any) -> tuple[tuple[float, float] | None, str]:
    """Return pixels per unit, and the unit; (1, 1) without a unit says nothing."""
    unit = _UNITS.get(int(page.tags.valueof(296, 2)), "none")
    values = page.tags.valueof(282), page.tags.valueof(283)
    if not all(values) or not all(n and d for n, d in values):
        return None, "inch"
    x, y = (numerator / denominator for numerator, denominator in values)
    return (None, "inch") if (x, y, unit) == (1, 1, "none") else ((x, y), unit)
