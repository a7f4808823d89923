"""Where pixels come from and where they go: the two seams of restoration.

Files, stacks, Zarr shards, napari layers and arrays are sources and sinks and nothing
else. A new kind of input or output implements one of these protocols.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.jpeg.coding import JpegCoding

__all__ = ["ArraySink", "ArraySource", "PixelSource", "Sink", "SourceWrapper"]


class PixelSource(Protocol):
    """Planes of pixels of which any window can be read, in any order.

    Reading windows of a plane one after the other, from its top to its bottom, must not
    decode the plane once for each window.
    """

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, S): planes, rows, columns, samples of a pixel (1 to 4)."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample: bool, integer or float."""

    @property
    def channels(self) -> int:
        """Number of channels, of which each has its own range of values; at least 1."""

    @property
    def jpeg_tables(self) -> tuple[tuple[int, ...], ...]:
        """Quantization tables of a JPEG in natural order, luminance first, or ()."""

    @property
    def jpeg_coding(self) -> JpegCoding | None:
        """How a JPEG codes the planes; None if they are not on its grid of blocks."""

    @property
    def missing_planes(self) -> frozenset[int]:
        """Planes that are missing and hold zeros instead; most sources have none."""

    def channel(self, plane: int) -> int:
        """Return the number of the channel that a plane belongs to, from 0."""

    def neighbors(self, plane: int) -> list[int]:
        """Return the planes before and after one in time, else in depth."""

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels of shape (h, w, S) in the source's dtype.

        Parameters
        ----------
        plane : int
            0 to N - 1.
        rows, columns : slice
            Start and stop inside the plane, without a step.
        """


class Sink(Protocol):
    """Takes restored pixels: planes in order, each pixel of a plane once.

    Windows of a plane mostly come from top to bottom, and in bands one beside the other
    where it is wide. Opening, completing and giving up a sink is its owner's.
    """

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Take pixels of shape (h, w, S), in coordinates of the whole result.

        Parameters
        ----------
        plane : int
            0 to N - 1.
        rows, columns : slice
            Where they belong, without a step.
        pixels : ndarray
            In the dtype of the source.
        """


class SourceWrapper:
    """All that a source has of the one that it is made of, but for the pixels.

    Parameters
    ----------
    source : PixelSource
        What it is made of.
    """

    def __init__(self, source: PixelSource) -> None:
        self._source = source
        self.shape = source.shape
        self.dtype = source.dtype
        self.channels = source.channels
        self.channel = source.channel
        self.neighbors = source.neighbors
        self.missing_planes = source.missing_planes
        self.jpeg_tables = source.jpeg_tables
        self.jpeg_coding = source.jpeg_coding

    def _around(
        self, plane: int, rows: slice, columns: slice, reach: int
    ) -> tuple[NDArray[Any], tuple[slice, slice]]:
        """Return a window with `reach` pixels around it, and where it lies in that.

        There are fewer around it at the borders of the plane.
        """
        _, height, width, _ = self.shape
        seen, across = (
            slice(max(part.start - reach, 0), min(part.stop + reach, size))
            for part, size in ((rows, height), (columns, width))
        )
        inside = (
            slice(rows.start - seen.start, rows.stop - seen.start),
            slice(columns.start - across.start, columns.stop - across.start),
        )
        return self._source.read(plane, seen, across), inside


class ArraySource:
    """Planes in memory, or in anything that is sliced like an array.

    Parameters
    ----------
    stack : array, shape (N, H, W, S)
        The planes.
    jpeg_tables : tuple of tuple of int
        Quantization tables of the JPEG that the planes come from.
    jpeg_coding : JpegCoding, optional
        How it codes them, if they lie on its grid of blocks.
    """

    channels = 1
    missing_planes: frozenset[int] = frozenset()

    def __init__(
        self,
        stack: NDArray[Any],
        jpeg_tables: tuple[tuple[int, ...], ...] = (),
        jpeg_coding: JpegCoding | None = None,
    ) -> None:
        self.stack = stack
        self.jpeg_tables = jpeg_tables
        self.jpeg_coding = jpeg_coding

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, S)."""
        count, height, width, samples = self.stack.shape
        return count, height, width, samples

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""
        return self.stack.dtype

    def channel(self, plane: int) -> int:
        """Return 0: all planes share one range."""
        return 0

    def neighbors(self, plane: int) -> list[int]:
        """Return none: how planes follow each other is not known."""
        return []

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window as a view."""
        window: NDArray[Any] = self.stack[plane, rows, columns]
        return window


class ArraySink:
    """Puts windows into an array.

    Parameters
    ----------
    stack : array, shape (N, H, W, S)
        Where they go.
    """

    def __init__(self, stack: NDArray[Any]) -> None:
        self.stack = stack

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Put a window at its place."""
        self.stack[plane, rows, columns] = pixels
