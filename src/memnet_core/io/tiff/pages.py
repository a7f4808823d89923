"""Pages of a TIFF: what they promise, how their pixels are seen, their tags.

The tags of a damaged file can be of any type, whatever tifffile makes of them.
"""

from __future__ import annotations

import contextlib
import logging
import math
import struct
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
import tifffile

from memnet_core.io.core.errors import wrap_parse_errors
from memnet_core.io.core.image import FormatMetadata, Metadata
from memnet_core.io.core.limits import check_compression_ratio, parsed_xml
from memnet_core.io.core.orientation import stored_orientation, upright_xmp
from memnet_core.io.tiff.color import CMYK, LAB, PALETTE, RGB, YCBCR, photometric_of
from memnet_core.io.tiff.jpeg import jpeg_of_pages
from memnet_core.io.tiff.streams import guard_decoders
from memnet_core.io.tiff.tags import calibration_of_vendor, check_developed, tags_of

if TYPE_CHECKING:
    from typing import BinaryIO

    from memnet_core.io.core.image import Calibration

__all__ = [
    "bytes_of_tag",
    "check_complete",
    "checked_series",
    "is_machine_text",
    "needs_bigtiff",
    "open_tiff_checked",
    "page_metadata",
    "page_options",
    "page_orientation",
    "page_resolution",
    "samples_last",
]


# Of classic TIFF and of BigTIFF: where the chain begins, how the number of tags and an
# offset are stored, bytes of a tag.
_LAYOUTS = {42: (4, "H", "I", 12), 43: (8, "Q", "Q", 20)}


def open_tiff_checked(
    source: Path | BinaryIO, omexml: str | None = None
) -> tifffile.TiffFile:
    """Open a TIFF whose pages come to an end, which tifffile takes for granted.

    Parameters
    ----------
    source : Path or BinaryIO
        The file; one that is open already is read through its handle, and stays open.
    omexml : str, optional
        OME-XML instead of its own.

    Raises
    ------
    ValueError
        If a page is followed by one of those before it.
    """
    if isinstance(source, Path):
        with source.open("rb") as stored:
            _check_chain(stored)
    else:
        source.seek(0)
        _check_chain(source)
        source.seek(0)  # where tifffile takes the file to begin
    # The index of Micro-Manager names other files wherever they lie.
    file = tifffile.TiffFile(source, omexml=omexml, is_mmstack=False, is_ndtiff=False)
    try:
        _check_vendor_xml(file)
    except BaseException:
        file.close()
        raise
    return file


def _check_vendor_xml(file: tifffile.TiffFile) -> None:
    """Check XML that tifffile parses itself; OME-XML is parsed within its bounds."""
    page: Any = file.pages.first if len(file.pages) else None
    if page is None or file.is_ome:
        return
    for text in (page.description, page.tags.valueof(_XMP)):
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        if isinstance(plain, str) and plain.lstrip()[:1] == "<":
            with contextlib.suppress(ElementTree.ParseError):
                parsed_xml(plain)


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


_ICC = 34675
_XMP = 700
_ORIENTATION = 274
_UNITS = {1: "none", 2: "inch", 3: "cm"}
_UNIT_NAMES = {"none": "NONE", "inch": "INCH", "cm": "CENTIMETER"}
_BIG = 2**32 - 2**25
_SUSPICIOUS_BYTES = 2**28
_LARGEST_COMPRESSION = 10_000
_DENSEST = 200
"""What pages that are decoded at once compress to, but for drawings and blank ones."""

_UNCOMPRESSED, _JPEG = 1, (6, 7)

logging.getLogger("tifffile").addHandler(logging.NullHandler())


@wrap_parse_errors("its tags")
def page_metadata(
    file: tifffile.TiffFile,
    series: Any,
    dropped: list[str],
    stated: Calibration | None = None,
    native: FormatMetadata | None = None,
) -> Metadata:
    """Return what the tags of a page tell besides its pixels.

    Parameters
    ----------
    file, series
        An open file and an image of it.
    dropped : list of str
        What is not carried.
    stated, native
        As in `Metadata`.
    """
    page = series.keyframe
    orientation = page_orientation(page)
    resolution, unit = page_resolution(page)
    told = calibration_of_vendor(file, dropped)
    if resolution and orientation >= 5:
        resolution = resolution[::-1]
    xmp = bytes_of_tag(page, _XMP)
    tables, coding = jpeg_of_pages(series, orientation)
    return Metadata(
        jpeg_tables=tables,
        jpeg_coding=coding,
        icc=None if photometric_of(page) in (CMYK, *LAB) else bytes_of_tag(page, _ICC),
        xmp=upright_xmp(xmp) if xmp and orientation != 1 else xmp,
        resolution=resolution,
        resolution_unit=unit,
        description=_description(file, series, dropped),
        tags=tags_of(file, series, dropped),
        dropped=tuple(dropped),
        stated=stated or told,
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
    xmp, tags = metadata.xmp, metadata.tags
    colormap = None
    if tags and samples == 1 and dtype == np.uint8:
        colormap = tags.colormap
    plain = "rgb" if samples >= 3 else "minisblack"
    return {
        "photometric": plain if colormap is None else "palette",
        "colormap": colormap,
        "planarconfig": "contig" if samples > 1 else None,
        "extrasamples": ["unassalpha"] if samples in (2, 4) else None,
        "compression": "zlib",
        "predictor": dtype.kind in "ui" and dtype.itemsize <= 4,
        "resolution": metadata.resolution,
        "resolutionunit": unit if metadata.resolution else None,
        "iccprofile": metadata.icc,
        "extratags": [(_XMP, 1, len(xmp), xmp, True)] if xmp else [],
        "metadata": None,
        "software": "; ".join(
            filter(None, (tags.software if tags else "", metadata.provenance))
        )
        or False,
    }


@wrap_parse_errors("its tags")
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
    samples, kind = page.samplesperpixel, photometric_of(page)
    check_developed(page)
    allowed = {RGB: (3, 4), PALETTE: (1,), CMYK: (4,), YCBCR: (3,)}
    allowed |= dict.fromkeys(LAB, (1, 3))
    if samples not in allowed.get(kind, (samples,)):
        raise ValueError(
            f"{samples} samples a pixel are not supported "
            f"in {tifffile.PHOTOMETRIC(kind).name} pictures"
        )
    if kind in LAB and series.dtype.name not in ("uint8", "uint16"):
        raise ValueError("CIELab is supported with 8 and 16 bits only")
    if kind == YCBCR and page.compression not in _JPEG:
        raise ValueError("YCbCr is supported with JPEG compression only")
    if kind == CMYK and (series.dtype != np.uint8 or len(axes) != 3):
        raise ValueError("CMYK is supported with 8 bits and one page only")
    return series


@wrap_parse_errors("its tags")
def check_complete(
    file: tifffile.TiffFile, series: Any, *, may_lack: bool = False
) -> None:
    """Check that what the directories promise can be in the file, and no more.

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
    guard_decoders(series.pages)
    at_once = math.prod(page.chunks if page.is_tiled else page.shape)
    check_compression_ratio(
        at_once // page.samplesperpixel,
        at_once * series.dtype.itemsize,
        lambda: size,
        _DENSEST,
    )


def _next_directory(file: tifffile.TiffFile) -> int:
    """Return where the last page that was found says that there is another."""
    layout, handle = file.tiff, file.filehandle
    handle.seek(file.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, handle.read(layout.tagnosize))
    handle.seek(tags * layout.tagsize, 1)
    (offset,) = struct.unpack(layout.offsetformat, handle.read(layout.offsetsize))
    return int(offset)


@wrap_parse_errors("its tags")
def samples_last(
    axes: str, page: Any, dropped: list[str]
) -> tuple[tuple[int, ...], str]:
    """Return the order of axes that puts color last and other samples first."""
    if "S" not in axes:
        return tuple(range(len(axes))), axes
    position = axes.index("S")
    others = tuple(i for i in range(len(axes)) if i != position)
    rest = axes.replace("S", "")
    gray_and_alpha = page.samplesperpixel == 2 and bool(page.extrasamples)
    if photometric_of(page) in (RGB, CMYK, YCBCR, *LAB) or gray_and_alpha:
        return (*others, position), rest + "S"
    dropped.append("samples of a pixel (written as pages)")
    return (position, *others), "C" + rest


@wrap_parse_errors("its tags")
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


def _description(file: tifffile.TiffFile, series: Any, dropped: list[str]) -> str:
    """Return the free text of the first page; name those of further pages."""
    page = series.keyframe
    second = next((one.aspage() for one in series.pages[1:2] if one), None)
    # In a set of OME-TIFFs the second page can be the first of another file.
    others = second.description if second and not second.is_ome else ""
    if others and others != page.description:
        dropped.append("descriptions of further pages")
    if is_machine_text(file) and not (file.is_shaped and page.description1):
        return ""
    return str(page.description)


def is_machine_text(file: tifffile.TiffFile) -> bool:
    """Whether the description belongs to a format that is not written."""
    return bool(file.is_ome or file.is_imagej or file.is_shaped)


@wrap_parse_errors("its tags")
def page_resolution(page: Any) -> tuple[tuple[float, float] | None, str]:
    """Return pixels per unit, and the unit; (1, 1) without a unit says nothing."""
    unit = _UNITS.get(int(page.tags.valueof(296, 2)), "none")
    values = page.tags.valueof(282), page.tags.valueof(283)
    if not all(values) or not all(n and d for n, d in values):
        return None, "inch"
    x, y = (numerator / denominator for numerator, denominator in values)
    return (None, "inch") if (x, y, unit) == (1, 1, "none") else ((x, y), unit)
