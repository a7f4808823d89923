"""Reading the next windows and writing the last ones while others are computed."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from memnet_core.restoration.source import Sink, Source

    _Window = tuple[int, slice, slice]

__all__ = ["read_ahead", "write_behind"]

_MOST_BYTES = 2**26
"""Pixels that wait in memory: a page of a large camera, or many strips."""


class _Ahead:
    """A source of which the windows that will be asked for next are read already.

    They are guessed: of the same height below the last one, and then those at the top
    of the next plane. A wrong guess costs time, never the right pixels.
    """

    def __init__(
        self, source: Source, reader: ThreadPoolExecutor, most_bytes: int
    ) -> None:
        self.shape = source.shape
        self.channels = source.channels
        self.jpeg_tables = source.jpeg_tables
        self._source = source
        self._reader = reader
        self._most_bytes = most_bytes
        self._guessed: deque[tuple[_Window, Future[NDArray[Any]]]] = deque()
        self._height = 0

    @property
    def dtype(self) -> np.dtype[Any]:
        return self._source.dtype

    def channel(self, plane: int) -> int:
        return self._source.channel(plane)

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window, which was read in advance if it was guessed."""
        window = (plane, rows, columns)
        if self._guessed and self._guessed[0][0] == window:
            _, ready = self._guessed.popleft()
        else:
            self.forget()
            ready = self._submitted(window)
        pixels = ready.result()
        height = rows.stop - rows.start
        # The last window of a plane is what remained, and says nothing of the next.
        is_last = rows.stop == self.shape[1]
        self._height = max(height, self._height) if is_last else height
        last = self._guessed[-1][0] if self._guessed else window
        most = max(1, self._most_bytes // max(pixels.nbytes, 1))
        while len(self._guessed) < most:
            following = self._after(last)
            if following is None:
                break
            self._guessed.append((following, self._submitted(following)))
            last = following
        return pixels

    def forget(self) -> None:
        """Give up what was guessed; what has not begun is not read."""
        for _, guess in self._guessed:
            guess.cancel()
        self._guessed.clear()

    def _submitted(self, window: _Window) -> Future[NDArray[Any]]:
        return self._reader.submit(self._source.read, *window)

    def _after(self, window: _Window) -> _Window | None:
        plane, rows, columns = window
        count, end = self.shape[:2]
        top = rows.stop
        if top == end:
            plane, top = plane + 1, 0
        below = slice(top, min(top + self._height, end))
        return (plane, below, columns) if plane < count else None


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
def read_ahead(source: Source, most_bytes: int = _MOST_BYTES) -> Iterator[Source]:
    """Give a source whose next windows are read while others are used.

    Parameters
    ----------
    source : Source
        Read in one other thread only; an error comes out when its window is asked for.
    most_bytes : int
        How many bytes of pixels are read in advance, but for one window, which
        always is.
    """
    with ThreadPoolExecutor(1, "memnet-window-reader") as reader:
        ahead = _Ahead(source, reader, most_bytes)
        try:
            yield ahead
        finally:
            ahead.forget()


@contextmanager
def write_behind(sink: Sink, most_bytes: int = _MOST_BYTES) -> Iterator[Sink]:
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
