"""TIFF through tifffile: one image or a stack of pages of one shape."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import tifffile
from PIL import Image as PillowImage

from memnet_core.io.image import Image, Metadata, Probe, oriented

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["probe", "read", "write"]

_ICC = 34675
_XMP = 700
_UNITS = {1: "none", 2: "inch", 3: "cm"}
_LOST_TAGS = {34665: "EXIF of a TIFF", 34853: "GPS of a TIFF"}
_BIG = 2**32 - 2**25


def probe(path: Path) -> Probe:
    """Read the header of a TIFF."""
    with tifffile.TiffFile(path) as file:
        series = _only_series(file)
        samples = series.keyframe.samplesperpixel
        megapixels = math.prod(series.shape) / samples / 1e6
        return Probe("TIFF", series.shape, str(series.dtype), megapixels)


def read(path: Path) -> Image:
    """Read a TIFF whose pages have one shape."""
    with tifffile.TiffFile(path) as file:
        series = _only_series(file)
        page = series.keyframe
        _check_complete(file, series)
        dropped = _what_is_lost(file, series)
        pixels, axes = series.asarray(), series.axes
        pixels, axes = _samples_last(pixels, axes, page, dropped)
        orientation = int(page.tags.valueof(274) or 1)
        pixels = oriented(pixels, orientation, axes.index("Y"), axes.index("X"))
        pixels = _as_seen(pixels, page, dropped)
        axes = axes if pixels.ndim == len(axes) else axes + "S"
        resolution, unit = _resolution(page)
        return Image(
            pixels=np.ascontiguousarray(pixels),
            axes=axes,
            metadata=Metadata(
                icc=page.tags.valueof(_ICC),
                xmp=page.tags.valueof(_XMP),
                resolution=resolution,
                resolution_unit=unit,
                description="" if _is_machine_text(file) else page.description,
                dropped=tuple(dropped),
            ),
            format="TIFF",
        )


def write(path: Path, image: Image) -> tuple[str, ...]:
    """Write a TIFF, losslessly compressed; return what could not be kept."""
    metadata = image.metadata
    stack = image.stack
    samples = stack.shape[-1]
    pixels = stack[..., 0] if samples == 1 else stack
    extratags = []
    if metadata.xmp:
        extratags.append((_XMP, 1, len(metadata.xmp), metadata.xmp, True))
    tifffile.imwrite(
        path,
        pixels if len(pixels) > 1 else pixels[0],
        bigtiff=pixels.nbytes > _BIG,
        photometric="rgb" if samples >= 3 else "minisblack",
        planarconfig="contig" if samples > 1 else None,
        extrasamples=["unassalpha"] if samples in (2, 4) else None,
        compression="zlib",
        predictor=pixels.dtype.kind in "ui",
        resolution=metadata.resolution,
        resolutionunit=metadata.resolution_unit if metadata.resolution else None,
        description=metadata.description or None,
        iccprofile=metadata.icc,
        extratags=extratags,
        metadata=None,
        software=False,
    )
    dropped = ["EXIF (not written to TIFF)"] if metadata.exif else []
    leading = image.axes.rstrip("S").removesuffix("YX")
    if len(leading) > 1:
        dropped.append(f"axes {leading} (written as one row of pages)")
    return tuple(dropped)


def _only_series(file: tifffile.TiffFile) -> Any:
    """Return the one image or stack of a file.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    if not file.series:
        raise ValueError("the TIFF holds no image")
    if len(file.series) > 1:
        raise ValueError(
            f"its pages have {len(file.series)} different shapes or types; split it"
        )
    series = file.series[0]
    if not {"Y", "X"} <= set(series.axes) or series.keyframe.samplesperpixel > 4:
        raise ValueError(f"its axes {series.axes} {series.shape} are no picture's")
    return series


def _check_complete(file: tifffile.TiffFile, series: Any) -> None:
    """Raise ValueError if the file ends before its pixels do, or holds none."""
    size = file.filehandle.size
    for page in series.pages:
        offsets, counts = page.dataoffsets, page.databytecounts
        if not offsets or not all(counts) or not all(offsets):
            raise ValueError("a page has no pixels")
        if any(o + c > size for o, c in zip(offsets, counts, strict=False)):
            raise ValueError("the file is truncated")


def _samples_last(
    pixels: NDArray[Any], axes: str, page: Any, dropped: list[str]
) -> tuple[NDArray[Any], str]:
    """Move colour samples behind X; make other samples a leading axis."""
    if "S" not in axes:
        return pixels, axes
    position = axes.index("S")
    rest = axes.replace("S", "")
    colour = page.photometric in (2, 5, 6)
    gray_and_alpha = pixels.shape[position] == 2 and bool(page.extrasamples)
    if colour or gray_and_alpha:
        return np.moveaxis(pixels, position, -1), rest + "S"
    dropped.append("samples of a pixel (written as pages)")
    return np.moveaxis(pixels, position, 0), "C" + rest


def _as_seen(pixels: NDArray[Any], page: Any, dropped: list[str]) -> NDArray[Any]:
    """Turn inverted, palette and CMYK pixels into gray or RGB."""
    if page.photometric == 0 and pixels.dtype.kind in "ub":
        white = True if pixels.dtype.kind == "b" else np.iinfo(pixels.dtype).max
        inverted: NDArray[Any] = white ^ pixels
        return inverted
    if page.photometric == 3 and page.colormap is not None:
        dropped.append("palette (expanded)")
        colours = np.asarray(page.colormap).T
        table: NDArray[np.uint8] = (colours >> 8).astype(np.uint8)
        return np.take(table, pixels, axis=0)
    if page.photometric == 5:
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[-1] != 4:
            raise ValueError("CMYK is supported with 8 bits and one page only")
        dropped.append("CMYK (converted to RGB)")
        return np.asarray(PillowImage.fromarray(pixels, "CMYK").convert("RGB"))
    return pixels


def _what_is_lost(file: tifffile.TiffFile, series: Any) -> list[str]:
    lost = [name for tag, name in _LOST_TAGS.items() if tag in series.keyframe.tags]
    if file.is_ome:
        lost.append("OME metadata")
    if file.is_imagej:
        lost.append("ImageJ metadata")
    if len(series.levels) > 1:
        lost.append("pyramid levels")
    return lost


def _is_machine_text(file: tifffile.TiffFile) -> bool:
    """Whether the description belongs to a format that is not written."""
    return bool(file.is_ome or file.is_imagej or file.is_shaped)


def _resolution(page: Any) -> tuple[tuple[float, float] | None, str]:
    values = page.tags.valueof(282), page.tags.valueof(283)
    unit = _UNITS.get(int(page.tags.valueof(296) or 2), "none")
    if not all(values) or not all(denominator for _, denominator in values):
        return None, unit
    x, y = (numerator / denominator for numerator, denominator in values)
    return (x, y), unit
