"""Chroma that is restored at its own resolution, beside luminance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.jpeg.chroma import SubsampledChroma

__all__ = ["ChromaRowReader", "ChromaSource"]


class ChromaSource:
    """A source of the samples of one difference, as float64.

    Parameters
    ----------
    chroma : SubsampledChroma
        The samples.
    planes : int
        Number of planes.
    difference : int
        0 for blue, 1 for red.
    gray : float
        What no difference is, in the middle of the range of values.
    """

    channels = 1
    jpeg_tables = ()
    jpeg_coding = None
    dtype = np.dtype(np.float64)

    def __init__(
        self, chroma: SubsampledChroma, planes: int, difference: int, gray: float
    ) -> None:
        self.shape = (planes, *chroma.shape, 1)
        self._chroma = chroma
        self._difference = difference
        self._gray = gray

    def channel(self, plane: int) -> int:
        """Return 0: there is one range."""
        return 0

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return samples of shape (h, w, 1)."""
        samples = self._chroma.read(plane, rows, columns)
        return samples[..., self._difference, None] + self._gray


class ChromaRowReader:
    """Restored samples of both differences, computed as far down as they are wanted.

    Parameters
    ----------
    streams : sequence of iterator
        Of each difference the restored rows in order, (h, w, 1), about `gray`.
    top : int
        Where they begin.
    gray : float
        As for `ChromaSource`.
    """

    def __init__(
        self, streams: Sequence[Iterator[NDArray[np.float64]]], top: int, gray: float
    ) -> None:
        self._streams = streams
        self._tops = [top] * len(streams)
        self._rows: list[list[NDArray[np.float64]]] = [[] for _ in streams]
        self._gray = gray

    def take(self, rows: slice) -> NDArray[np.float64]:
        """Return samples about 0, (h, w, 2), and forget those above `rows`."""
        both = [self._taken(n, rows) for n in range(len(self._streams))]
        return np.concatenate(both, axis=-1) - self._gray

    def _taken(self, n: int, rows: slice) -> NDArray[np.float64]:
        known = self._rows[n]
        while self._tops[n] + sum(map(len, known)) < rows.stop:
            known.append(next(self._streams[n]))
        while self._tops[n] + len(known[0]) <= rows.start:
            self._tops[n] += len(known.pop(0))
        together = np.concatenate([part for part in known if len(part)])
        return together[rows.start - self._tops[n] : rows.stop - self._tops[n]]
