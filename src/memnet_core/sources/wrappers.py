"""Sources that change what they read: enlarged bicubically, without NaN."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.resize import resized_window
from memnet_core.sources.protocols import SourceWrapper
from memnet_core.sources.sampling import sampled_blocks

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

__all__ = ["BicubicUpsampled", "NaNFilled", "is_constant_plane"]


class BicubicUpsampled(SourceWrapper):
    """A source whose planes are enlarged by bicubic interpolation, as float64.

    Parameters
    ----------
    source : PixelSource
        What is enlarged.
    scale : int
        By which factor.
    """

    def __init__(self, source: PixelSource, scale: int) -> None:
        super().__init__(source)
        self._scale = scale
        count, height, width, samples = source.shape
        self.shape = (count, height * scale, width * scale, samples)
        self.dtype = np.dtype(np.float64)
        self.jpeg_coding = None

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return a window of the enlarged plane."""
        return resized_window(
            lambda y, x: self._source.read(plane, y, x),
            self._source.shape[1:3],
            self.shape[1:3],
            rows,
            columns,
        )


_REACH = 8
"""Pixels that surroundings are carried into a hole; deep inside nothing is restored."""

_ROWS = 256


class NaNFilled(SourceWrapper):
    """A source whose values that are not finite are filled from those around them.

    What a window holds does not depend on how large it is.

    Parameters
    ----------
    source : PixelSource
        What to fill.
    value : float
        What stands deep inside large holes, in the unit of the pixels.

    Attributes
    ----------
    found : bool
        Whether a window held such values so far.
    """

    def __init__(self, source: PixelSource, value: float) -> None:
        super().__init__(source)
        self._value = value
        self.found = False
        self._ahead: tuple[tuple[int, slice, slice], NDArray[Any]] | None = None

    def look_ahead(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return the window that is read next, not filled, and keep it until then."""
        pixels = self._source.read(plane, rows, columns)
        self._ahead = (plane, rows, columns), pixels
        return pixels

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window, filled."""
        ahead, self._ahead = self._ahead, None
        if ahead and ahead[0] == (plane, rows, columns):
            pixels = ahead[1]
        else:
            pixels = self._source.read(plane, rows, columns)
        if self.dtype.kind != "f" or np.isfinite(pixels).all():
            return pixels
        self.found = True
        around, inside = self._around(plane, rows, columns, _REACH)
        around = np.asarray(around, np.float64)
        filled = np.where(np.isfinite(around), around, np.nan)
        for _ in range(_REACH):
            filled = _grown(filled)
        filled = np.where(np.isnan(filled), self._value, filled)
        return filled[inside].astype(self.dtype)


def is_constant_plane(source: PixelSource, plane: int, seen: NDArray[Any]) -> bool:
    """Whether all finite values of a plane are the same, or there are none.

    Most planes show at a few pixels that they are not; the others are read as a whole.

    Parameters
    ----------
    source : PixelSource
        What holds the plane.
    plane : int
        Which one.
    seen : ndarray
        Some of its pixels.
    """
    _, height, width, _ = source.shape
    if not _same([seen]) or not _same(sampled_blocks(source, [plane], pixels=4096)):
        return False
    lowest, highest = np.inf, -np.inf
    for top in range(0, height, _ROWS):
        rows = slice(top, min(top + _ROWS, height))
        pixels = source.read(plane, rows, slice(0, width))
        values = pixels[np.isfinite(pixels)]
        if values.size:
            lowest, highest = min(lowest, values.min()), max(highest, values.max())
        if lowest < highest:
            return False
    return True


def _same(blocks: list[NDArray[Any]]) -> bool:
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    return not values.size or bool(values.min() == values.max())


def _grown(pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return pixels with holes one pixel smaller: the mean of the eight around."""
    hole = np.isnan(pixels)
    padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)), constant_values=np.nan)
    height, width, _ = pixels.shape
    total, count = np.zeros_like(pixels), np.zeros(pixels.shape, np.int64)
    for y in range(3):
        for x in range(3):
            near = padded[y : y + height, x : x + width]
            known = ~np.isnan(near)
            total += np.where(known, near, 0)
            count += known
    mean = np.divide(total, count, out=np.full_like(total, np.nan), where=count > 0)
    return np.where(hole, mean, pixels)
