"""TIFF through tifffile: one image or a stack of pages of one shape."""

from __future__ import annotations

import logging
import math
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image as PillowImage

from memnet_core.io.cmyk import rgb_of_cmyk
from memnet_core.io.image import Image, Metadata, Probe
from memnet_core.io.orientation import oriented, stored_orientation, upright_xmp

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = [
    "as_seen",
    "check_complete",
    "is_upright_and_plain",
    "needs_bigtiff",
    "only_series",
    "page_metadata",
    "page_options",
    "probe",
    "read",
    "samples_last",
    "what_is_lost",
    "write",
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


def probe(path: Path) -> Probe:
    """Read the header of a TIFF."""
    with tifffile.TiffFile(path) as file:
        series = only_series(file)
        page = series.keyframe
        order, axes = samples_last(series.axes, page, [])
        shape = [series.shape[i] for i in order]
        planes = shape[: len(axes) - axes.endswith("S")]
        if page_orientation(page) >= 5:
            y, x = axes.index("Y"), axes.index("X")
            shape[y], shape[x] = shape[x], shape[y]
        if page.photometric == _PALETTE:
            shape.append(3)
        elif page.photometric == _CMYK:
            shape[-1] = 3
        return Probe(
            format="TIFF",
            shape=tuple(shape),
            dtype="uint8" if page.photometric == _PALETTE else str(series.dtype),
            megapixels=math.prod(planes) / 1e6,
            is_stack=is_upright_and_plain(page)
            and (len(planes) > 2 or bool(_machine_texts(file))),
        )


def read(path: Path) -> Image:
    """Read a TIFF whose pages have one shape."""
    with tifffile.TiffFile(path) as file:
        series = only_series(file)
        page = series.keyframe
        check_complete(file, series)
        dropped = what_is_lost(page)
        dropped += [f"{kind} metadata" for kind in _machine_texts(file)]
        if len(series.levels) > 1:
            dropped.append("pyramid levels")
        order, axes = samples_last(series.axes, page, dropped)
        orientation = page_orientation(page)
        pixels = series.asarray().transpose(order)
        pixels = oriented(pixels, orientation, axes.index("Y"), axes.index("X"))
        pixels = as_seen(pixels, page, dropped)
        return Image(
            pixels=np.ascontiguousarray(pixels, pixels.dtype.newbyteorder("=")),
            axes=axes if pixels.ndim == len(axes) else axes + "S",
            metadata=page_metadata(file, page, dropped),
            format="TIFF",
        )


def page_metadata(file: tifffile.TiffFile, page: Any, dropped: list[str]) -> Metadata:
    """Return what the tags of a page tell besides its pixels."""
    orientation = page_orientation(page)
    resolution, unit = _resolution(page)
    if resolution and orientation >= 5:
        resolution = resolution[::-1]
    xmp = bytes_of_tag(page, _XMP)
    return Metadata(
        icc=None if page.photometric == _CMYK else bytes_of_tag(page, _ICC),
        xmp=upright_xmp(xmp) if xmp and orientation != 1 else xmp,
        resolution=resolution,
        resolution_unit=unit,
        description="" if _is_machine_text(file) else page.description,
        dropped=tuple(dropped),
    )


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write a TIFF, losslessly compressed; return what could not be kept."""
    metadata = image.metadata
    stack = image.stack
    pixels = stack[..., 0] if stack.shape[-1] == 1 else stack
    tifffile.imwrite(
        path,
        pixels if len(pixels) > 1 else pixels[0],
        bigtiff=needs_bigtiff(pixels.nbytes),
        description=metadata.description.encode() or None,
        **page_options(metadata, stack.shape[-1], pixels.dtype),
    )
    dropped = ["EXIF (not written to TIFF)"] if metadata.exif else []
    leading = image.axes.rstrip("S").removesuffix("YX")
    if len(leading) > 1:
        dropped.append(f"axes {leading} (written as one row of pages)")
    return tuple(dropped)


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
        "software": False,
    }


def only_series(file: tifffile.TiffFile) -> Any:
    """Return the one image or stack of a file.

    Raises
    ------
    ValueError
        If there is none, or more than one, or none whose pixels are supported.
    """
    if not file.series:
        raise ValueError("the TIFF holds no image")
    if len(file.series) > 1:
        raise ValueError(
            f"its pages have {len(file.series)} different shapes or types; split it"
        )
    series = file.series[0]
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


def check_complete(file: tifffile.TiffFile, series: Any) -> None:
    """Check that what the directories promise can be in the file.

    Raises
    ------
    ValueError
        If the file ends before its pixels do, or holds none.
    """
    size = file.filehandle.size
    for page in series.pages:
        if page is None:
            raise ValueError("a page is missing")
        offsets, counts = page.dataoffsets, page.databytecounts
        if len(offsets) != len(counts) or not all(counts) or not all(offsets):
            raise ValueError("a page has no pixels")
        if any(o + c > size for o, c in zip(offsets, counts, strict=True)):
            raise ValueError("the file is truncated")
    if _next_directory(file) >= size:
        raise ValueError("the file is truncated, and pages are missing")
    page = series.keyframe
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


def page_orientation(page: Any) -> int:
    tag = page.tags.valueof(_ORIENTATION)
    return int(tag or stored_orientation(None, bytes_of_tag(page, _XMP)))


def bytes_of_tag(page: Any, tag: int) -> bytes | None:
    value = page.tags.valueof(tag)
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) else None


def what_is_lost(page: Any) -> list[str]:
    """Name what the tags of a page hold that is not carried."""
    lost = [name for tag, name in _LOST_TAGS.items() if tag in page.tags]
    if _PREMULTIPLIED in page.extrasamples:
        lost.append("premultiplied alpha (taken for straight)")
    return lost


def is_upright_and_plain(page: Any) -> bool:
    """Whether pixels need no table, no profile and no turning to be seen."""
    return page.photometric not in (_PALETTE, _CMYK) and page_orientation(page) == 1


def _machine_texts(file: tifffile.TiffFile) -> list[str]:
    return [k for k, held in (("OME", file.is_ome), ("ImageJ", file.is_imagej)) if held]


def _is_machine_text(file: tifffile.TiffFile) -> bool:
    """Whether the description belongs to a format that is not written."""
    return bool(file.is_ome or file.is_imagej or file.is_shaped)


def _resolution(page: Any) -> tuple[tuple[float, float] | None, str]:
    """Return pixels per unit, and the unit; (1, 1) without a unit says nothing."""
    unit = _UNITS.get(int(page.tags.valueof(296, 2)), "none")
    values = page.tags.valueof(282), page.tags.valueof(283)
    if not all(values) or not all(n and d for n, d in values):
        return None, "inch"
    x, y = (numerator / denominator for numerator, denominator in values)
    return (None, "inch") if (x, y, unit) == (1, 1, "none") else ((x, y), unit)
