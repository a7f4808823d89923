"""Windows of a result, put together to planes that a format can write."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError
from memnet_core.io.core.errors import writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from memnet_core.io.core.format import PlaneWriter

__all__ = ["FileSink"]


class FileSink:
    """Takes windows of planes that come one after the other.

    One plane is held until it is complete. It is a
    `memnet_core.sources.protocols.Sink`.

    Parameters
    ----------
    path : Path
        The result, to name it in errors.
    writer : PlaneWriter
        Takes the planes.
    sizes : sequence of int
        Sizes along the axes.
    axes : str
        One letter for each axis; Y and X last, or before S.

    Attributes
    ----------
    path : Path
        As given.
    sizes : tuple of int
        Sizes along the axes.
    shape : (int, int, int, int)
        (N, H, W, S): planes, height, width, samples.
    dropped : tuple of str
        What of the source could not be kept.
    """

    def __init__(
        self, path: Path, writer: PlaneWriter, sizes: Sequence[int], axes: str
    ) -> None:
        count = axes.index("Y")
        height, width, samples = (*sizes[count:], 1)[:3]
        self.path = path
        self.sizes = tuple(sizes)
        self.shape = (math.prod(sizes[:count]), height, width, samples)
        self.dropped: tuple[str, ...] = ()
        self._writer = writer
        self._plane: NDArray[Any] | None = None
        self._next = 0
        self._filled = 0

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Take a window, (h, w, S), of the plane that is next; each pixel once.

        It may be used until the plane is complete.

        Raises
        ------
        ImageError
            If it is another plane's turn, or the file cannot be written.
        """
        count, height, width, samples = self.shape
        expected = (rows.stop - rows.start, columns.stop - columns.start, samples)
        is_inside = plane < count and rows.stop <= height and columns.stop <= width
        if plane != self._next or pixels.shape != expected or not is_inside:
            raise ImageError(
                f"{self.path} cannot be written: a window of plane {plane} of shape "
                f"{pixels.shape} at row {rows.start}, column {columns.start} came "
                f"where plane {self._next} of planes of shape {self.shape} is next.",
                path=self.path,
            )
        if expected[:2] == (height, width):
            self._put(pixels)
            return
        if self._plane is None:
            self._plane = np.empty((height, width, samples), pixels.dtype)
        self._plane[rows, columns] = pixels
        self._filled += expected[0] * expected[1]
        if self._filled == height * width:
            self._put(self._plane)

    def check_complete(self) -> None:
        """Check that nothing is missing.

        Raises
        ------
        ImageError
            If a window is.
        """
        if self._next != self.shape[0]:
            raise ImageError(
                f"{self.path} cannot be written: there are {self._next} planes "
                f"instead of {self.shape[0]}.",
                path=self.path,
            )

    def _put(self, pixels: NDArray[Any]) -> None:
        with writing(self.path):
            self._writer.put(pixels)
        self._plane = None
        self._next += 1
        self._filled = 0
