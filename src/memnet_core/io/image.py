"""An image in memory: pixels in their own dtype, axes, and metadata carried along."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Image", "Metadata", "Probe", "oriented"]


@dataclass(frozen=True, kw_only=True)
class Metadata:
    """What belongs to an image besides its pixels.

    Attributes
    ----------
    icc, exif, xmp : bytes, optional
        As they stand in the file; the orientation is applied and reset.
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
        return self.pixels.reshape(-1, height, width, samples)

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
        Sizes along the axes, as stored.
    dtype : str
        Type of a sample.
    megapixels : float
        Pixels of all planes, in millions.
    """

    format: str
    shape: tuple[int, ...]
    dtype: str
    megapixels: float


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
