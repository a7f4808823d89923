"""Reading the next windows and writing the last ones while others are computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.sources.protocols import SourceWrapper

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource, Sink

    _Band = tuple[int, int]

__all__ = ["buffered_writes", "prefetched"]

_MOST_BYTES = 2**26
"""Pixels that wait in memory: some pages of a camera, or many strips."""

_BANDS = 4
"""Bands that make up what is read: two that a window touches, one below, one spare."""


class _Ahead(SourceWrapper):
    """A source that is read by bands of rows: those of a window, and the one below.

    What comes below is known however windows overlap; below the last band of a plane
    comes the first one of the next.
    """

    def __init__(
        self, source: PixelSource, reader: ThreadPoolExecutor, most_bytes: int
    ) -> None:
        super().__init__(source)
        self._reader = reader
        self._band_bytes = most_bytes // _BANDS
        self._columns = slice(0, 0)
        self._height = 1
        self._bands: dict[_Band, Future[NDArray[Any]]] = {}

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window out of its bands."""
        if columns != self._columns:
            self.forget()
            row = (columns.stop - columns.start) * self.shape[3] * self.dtype.itemsize
            self._columns = columns
            self._height = max(1, self._band_bytes // max(row, 1))
        first = rows.start // self._height
        last = max(first, (rows.stop - 1) // self._height)
        wanted = [(plane, index) for index in range(first, last + 1)]
        self._begin([*wanted, *self._after(wanted[-1])])
        parts = [self._bands[band].result() for band in wanted]
        pixels = parts[0] if len(parts) == 1 else np.concatenate(parts)
        top = first * self._height
        return pixels[rows.start - top : rows.stop - top]

    def forget(self) -> None:
        """Give up all bands; what has not begun is not read."""
        self._begin([])

    def _begin(self, bands: list[_Band]) -> None:
        """Read bands in this order, and forget all others."""
        for old in self._bands.keys() - set(bands):
            self._bands.pop(old).cancel()
        for plane, index in bands:
            if (plane, index) not in self._bands:
                top = index * self._height
                rows = slice(top, min(top + self._height, self.shape[1]))
                self._bands[plane, index] = self._reader.submit(
                    self._source.read, plane, rows, self._columns
                )

    def _after(self, band: _Band) -> list[_Band]:
        plane, index = band
        if (index + 1) * self._height < self.shape[1]:
            return [(plane, index + 1)]
        return [(plane + 1, 0)] if plane + 1 < self.shape[0] else []


class _Behind:
    """A sink whose last windows may still be on their way."""

    def __init__(self, sink: Sink, writer: ThreadPoolExecutor, most_bytes: int) -> None:
        self._sink = sink
        self._writer = writer
        self._most_bytes = most_bytes
        self._unwritten: deque[tuple[int, Future[None]]] = deque()
        self._failed = False

    def write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        """Take a window once there is room for it beside those that wait."""
        self.wait(self._most_bytes - pixels.nbytes)
        written = self._writer.submit(self._write, plane, rows, columns, pixels)
        self._unwritten.append((pixels.nbytes, written))

    def wait(self, most_bytes: int = 0) -> None:
        """Wait until so much, or nothing, is unwritten.

        Raises
        ------
        Exception
            What the sink raised first.
        """
        while self._unwritten and (
            self._unwritten[0][1].done()
            or sum(size for size, _ in self._unwritten) > max(most_bytes, 0)
        ):
            self._unwritten.popleft()[1].result()

    def stop(self) -> None:
        """Write nothing any more but for the window that is being written."""
        self._failed = True

    def _write(
        self, plane: int, rows: slice, columns: slice, pixels: NDArray[Any]
    ) -> None:
        if self._failed:
            return
        try:
            self._sink.write(plane, rows, columns, pixels)
        except BaseException:
            self._failed = True
            raise


@contextmanager
def prefetched(
    source: PixelSource, most_bytes: int = _MOST_BYTES
) -> Iterator[PixelSource]:
    """Give a source whose next windows are read while others are used.

    Parameters
    ----------
    source : PixelSource
        Read in one other thread only; an error comes out when a window near it is
        asked for.
    most_bytes : int
        How many bytes of pixels are read in advance or kept, as long as windows are
        no larger than a fourth of it.
    """
    with ThreadPoolExecutor(1, "memnet-window-reader") as reader:
        ahead = _Ahead(source, reader, most_bytes)
        try:
            yield ahead
        finally:
            ahead.forget()


@contextmanager
def buffered_writes(sink: Sink, most_bytes: int = _MOST_BYTES) -> Iterator[Sink]:
    """Give a sink that takes windows before the last ones are written.

    Windows must not be changed after they were given away. At the end all are written,
    unless the block raises. What the sink raises comes with a later window or at the
    end; nothing is written after the window that failed.

    Parameters
    ----------
    sink : Sink
        Written in one other thread only.
    most_bytes : int
        How many bytes of pixels may wait, but for one window, which always may.
    """
    with ThreadPoolExecutor(1, "memnet-window-writer") as writer:
        behind = _Behind(sink, writer, most_bytes)
        try:
            yield behind
            behind.wait()
        finally:
            behind.stop()
