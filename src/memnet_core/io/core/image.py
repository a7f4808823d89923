"""Images in memory, and what belongs to their pixels."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from memnet_core.io.tiff.tags import TiffTags
    from memnet_core.jpeg.coding import JpegCoding

__all__ = [
    "Animation",
    "Calibration",
    "FormatMetadata",
    "Image",
    "Metadata",
    "Probe",
    "chunk_names",
    "unit_name",
    "unit_symbol",
]


_SYMBOLS = {
    "angstrom": "Å",
    "nanometer": "nm",
    "micrometer": "µm",
    "millimeter": "mm",
    "centimeter": "cm",
    "meter": "m",
    "inch": "in",
    "nanosecond": "ns",
    "microsecond": "µs",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
}
_NAMES = {symbol: name for name, symbol in _SYMBOLS.items()} | {
    "um": "micrometer",
    "μm": "micrometer",  # the Greek letter; that above is the micro sign
    "micron": "micrometer",
    "microns": "micrometer",
    "us": "microsecond",
    "μs": "microsecond",
    "sec": "second",
}


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Steps and units of axes, and the names of channels.

    Attributes
    ----------
    spacing : mapping of str to float
        Size of a step along an axis, by its letter; what is not known is not in it.
    units : mapping of str to str
        Unit of a step by the axis's letter, with the names that OME-Zarr uses, such as
        ``micrometer`` or ``second``.
    channel_names : tuple of str
        One name for each channel, or none.
    """

    spacing: Mapping[str, float] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()

    def magnified(self, scale: int) -> Calibration:
        """Return the calibration for `scale` times the rows and columns."""
        finer = {
            axis: self.spacing[axis] / scale for axis in "YX" if axis in self.spacing
        }
        return replace(self, spacing={**self.spacing, **finer})


def unit_name(unit: str) -> str:
    """Return the name of a unit given by name or symbol; what is unknown stays."""
    return _NAMES.get(unit, unit)


def unit_symbol(unit: str) -> str:
    """Return the symbol of a unit given by name; what is unknown stays."""
    return _SYMBOLS.get(unit, unit)


_SCREENS = (1, 72, 96)
"""Dots per inch."""


class FormatMetadata:
    """What only its own kind of file can hold, carried as it is.

    Attributes
    ----------
    name : str
        What it is, for the report of what was dropped.
    describes_axes : bool
        Whether it tells what the axes are.
    gives_unit : bool
        Whether it tells the unit of the resolution.
    """

    name: str
    describes_axes: bool = True
    gives_unit: bool = False


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What belongs to an image besides its pixels.

    Attributes
    ----------
    icc, exif, xmp : bytes, optional
        As they stand in the file, EXIF with the mark that it has in a JPEG; the
        orientation is applied to the pixels and reset.
    resolution : (float, float), optional
        Pixels per unit along x and y.
    resolution_unit : str
        ``inch``, ``cm`` or ``none``.
    description : str
        Free text of a TIFF page.
    tags : TiffTags, optional
        Tags of a TIFF that say how it was made.
    png_chunks : tuple of (bytes, bytes)
        Kind and content of what a PNG says besides: text, and what its colors mean.
    jpeg_tables : tuple of tuple of int
        Quantization tables of a JPEG, luminance first, in natural order.
    jpeg_coding : JpegCoding, optional
        How a JPEG codes the pixels, turned as they are.
    dropped : tuple of str
        What the file held that is not carried.
    stated : Calibration, optional
        What the file says of its axes elsewhere than in its resolution.
    native : FormatMetadata, optional
        What only its own kind of file can hold.
    provenance : str
        How the pixels were made, in one line of ASCII.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: tuple[float, float] | None = None
    resolution_unit: str = "inch"
    description: str = ""
    tags: TiffTags | None = None
    png_chunks: tuple[tuple[bytes, bytes], ...] = ()
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    jpeg_coding: JpegCoding | None = None
    dropped: tuple[str, ...] = ()
    stated: Calibration | None = None
    native: FormatMetadata | None = None
    provenance: str = ""

    @property
    def calibration(self) -> Calibration:
        """What a step along each axis means, as far as the file tells."""
        if self.stated is not None:
            return self.stated
        if self.resolution is None or self.resolution_unit == "none":
            return Calibration()
        if self._has_placeholder:
            return Calibration()
        spacing = {a: 1 / r for a, r in zip("XY", self.resolution, strict=True)}
        unit = unit_name(self.resolution_unit)
        return Calibration(spacing=spacing, units=dict.fromkeys(spacing, unit))

    @property
    def other_metadata(self) -> list[str]:
        """What tags of a TIFF and chunks of a PNG say, to name it where it is lost."""
        names = [f"TIFF {name}" for name in self.tags.names] if self.tags else []
        names += ["TIFF description"] if self.description else []
        return names + chunk_names(self.png_chunks)

    @property
    def _has_placeholder(self) -> bool:
        """Whether the resolution is a screen's, which writers put who know none."""
        factor = {"inch": 1.0, "cm": 2.54}.get(self.resolution_unit, 0.0)
        return any(
            all(math.isclose(v * factor, dots, rel_tol=0.005) for v in self.resolution)
            for dots in _SCREENS
            if self.resolution
        )

    def magnified(self, scale: int) -> Metadata:
        """Return the metadata for `scale` times the rows and columns.

        A resolution without a unit, or that of a screen, says nothing of lengths, and
        stays. An enlarged
        picture does not lie on the grid of its JPEG any more.
        """
        has_unit = self.resolution_unit != "none" or (
            self.native is not None and self.native.gives_unit
        )
        coding = self.jpeg_coding if scale == 1 else None
        if self.resolution is None or not has_unit or self._has_placeholder:
            return replace(self, jpeg_coding=coding)
        x, y = self.resolution
        resolution = x * scale, y * scale
        return replace(self, jpeg_coding=coding, resolution=resolution)


@dataclass(frozen=True)
class Image:
    """Pixels with named axes.

    Attributes
    ----------
    pixels : ndarray
        Any bool, integer or float dtype.
    axes : str
        One letter for each axis: ``YX`` or ``YXS`` behind any number of others; S
        holds 1 (gray), 2 (gray, alpha), 3 (color) or 4 (color, alpha) samples.
    metadata : Metadata
        What is carried to the result.
    format : str
        Kind of the file it came from, such as ``JPEG``.
    """

    pixels: NDArray[Any]
    axes: str
    metadata: Metadata = field(default_factory=Metadata)
    format: str = ""

    @property
    def stack(self) -> NDArray[Any]:
        """The pixels as (N, H, W, S), with N and S at least 1."""
        height, width = (self.pixels.shape[self.axes.index(axis)] for axis in "YX")
        samples = self.pixels.shape[-1] if self.axes.endswith("S") else 1
        count = math.prod(self.pixels.shape) // max(height * width * samples, 1)
        return self.pixels.reshape(count, height, width, samples)

    def with_stack(self, stack: NDArray[Any], scale: int = 1) -> Image:
        """Return the image with other pixels, enlarged by `scale`.

        Parameters
        ----------
        stack : ndarray, shape (N, H', W', S)
            New pixels for the same axes.
        scale : int
            How many pixels stand for one of before; pixels shrink by it.
        """
        height, width = stack.shape[1:3]
        sizes = {"Y": height, "X": width}
        shape = [
            sizes.get(axis, size)
            for axis, size in zip(self.axes, self.pixels.shape, strict=True)
        ]
        metadata = self.metadata.magnified(scale)
        return replace(self, pixels=stack.reshape(shape), metadata=metadata)


@dataclass(frozen=True)
class Probe:
    """What the header of a file says.

    Attributes
    ----------
    format : str
        Kind of file, such as ``PNG``.
    shape : tuple of int
        Sizes along the axes of the image.
    dtype : str
        Type of a sample.
    megapixels : float
        Pixels of all planes of all images, in millions.
    is_stack : bool
        Whether there are axes besides those of one picture, or a description of them.
    scenes : int
        How many images there are; shape and type are those of the first.
    """

    format: str
    shape: tuple[int, ...]
    dtype: str
    megapixels: float
    is_stack: bool = False
    scenes: int = 1


_TEXTS = (b"tEXt", b"zTXt", b"iTXt")

_COLORS = {
    b"cICP": "cICP (colors of HDR)",
    b"mDCV": "mastering display",
    b"cLLI": "light levels of HDR",
    b"gAMA": "gamma",
    b"cHRM": "chromaticities",
    b"sRGB": "rendering intent",
}


def chunk_names(chunks: Sequence[tuple[bytes, bytes]]) -> list[str]:
    """Return what chunks hold, for the report of what another format cannot hold."""
    kinds = dict.fromkeys(kind for kind, _ in chunks)
    names = [_COLORS[kind] for kind in kinds if kind in _COLORS and kind != b"sRGB"]
    if b"sRGB" in kinds:  # what every format without a profile is taken for
        names = [name for name in names if name not in ("gamma", "chromaticities")]
    texts = sorted(
        data.partition(b"\0")[0].decode("latin-1")
        for kind, data in chunks
        if kind in _TEXTS
    )
    if texts:
        names.append(f"PNG text ({', '.join(dict.fromkeys(texts))})")
    return names


@dataclass(frozen=True)
class Animation(FormatMetadata):
    """How long each frame is shown, and how often all of them.

    Attributes
    ----------
    durations : tuple of float
        Milliseconds of each frame.
    plays : int
        How often; 0 for ever.
    """

    durations: tuple[float, ...]
    plays: int
    name = "times of frames and number of repetitions"
    describes_axes = False
