"""An image in memory: pixels in their own dtype, axes, and metadata carried along."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from memnet_core.io.calibration import Calibration, unit_name

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Image", "Metadata", "Probe"]


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
    jpeg_tables : tuple of tuple of int
        Quantisation tables of a JPEG, luminance first, in natural order.
    dropped : tuple of str
        What the file held that is not carried.
    """

    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    resolution: tuple[float, float] | None = None
    resolution_unit: str = "inch"
    description: str = ""
    jpeg_tables: tuple[tuple[int, ...], ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def calibration(self) -> Calibration:
        """What the resolution says of pixels, where it has a unit."""
        if self.resolution is None or self.resolution_unit == "none":
            return Calibration()
        spacing = {a: 1 / r for a, r in zip("XY", self.resolution, strict=True)}
        unit = unit_name(self.resolution_unit)
        return Calibration(spacing=spacing, units=dict.fromkeys(spacing, unit))


@dataclass(frozen=True)
class Image:
    """Pixels with named axes.

    Attributes
    ----------
    pixels : ndarray
        Any bool, integer or float dtype.
    axes : str
        One letter for each axis: ``YX`` or ``YXS`` behind any number of others; S
        holds 1 (gray), 2 (gray, alpha), 3 (colour) or 4 (colour, alpha) samples.
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
        metadata = self.metadata
        if metadata.resolution is not None and metadata.resolution_unit != "none":
            x, y = metadata.resolution
            metadata = replace(metadata, resolution=(x * scale, y * scale))
        return replace(self, pixels=stack.reshape(shape), metadata=metadata)


@dataclass(frozen=True)
class Probe:
    """What the header of a file says.

    Attributes
    ----------
    format : str
        Kind of file, such as ``PNG``.
    shape : tuple of int
        Sizes along the axes that `read_image` returns.
    dtype : str
        Type of a sample.
    megapixels : float
        Pixels of all planes, in millions.
    is_stack : bool
        Whether `memnet_core.io.open_stack` reads it plane by plane, with more of its
        metadata than `read_image`.
    """

    format: str
    shape: tuple[int, ...]
    dtype: str
    megapixels: float
    is_stack: bool = False
