"""What a JPEG file says of the pixels that are restored from it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from memnet_core.jpeg.chroma import SubsampledChroma
from memnet_core.jpeg.coding import BLOCK
from memnet_core.jpeg.dct_bounds import project_colors_to_bounds

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.runner import ChangedRows
    from memnet_core.jpeg.coding import JpegCoding
    from memnet_core.sources.protocols import PixelSource

__all__ = ["ChromaRowReader", "ChromaSource", "JpegConstraint"]


class JpegConstraint:
    """Holds restored pixels to the intervals of a JPEG file's coefficients.

    Parameters
    ----------
    source : Source
        Pixels of the file.
    coding : JpegCoding
        How they are coded.
    has_chroma : bool
        Whether chroma is restored, too, so that blocks of its samples matter.
    projects : bool
        Whether results are held to the file; otherwise only blocks are known.

    Attributes
    ----------
    chroma : SubsampledChroma, optional
        The samples of chroma, if it is restored.
    """

    def __init__(
        self,
        source: PixelSource,
        coding: JpegCoding,
        *,
        has_chroma: bool,
        projects: bool,
    ) -> None:
        self._sides: tuple[int, int] = source.shape[1:3]
        self._coding = coding
        self._projects = projects
        self.chroma: SubsampledChroma | None = None
        if has_chroma and coding.has_chroma:
            self.chroma = SubsampledChroma(source, coding)

    def aligned(self, part: slice, axis: int) -> slice:
        """Extend a part of an axis to whole blocks."""
        return self._coding.aligned(part, self._sides[axis], axis, self._cell(axis))

    def complete(self, rows: slice) -> int:
        """Return up to where the blocks of some rows end within them."""
        cell = self._cell(0)
        _, lacking = self._coding.missing(rows, self._sides[0], 0, cell)
        unfinished = BLOCK * cell - lacking if lacking else 0
        return int(rows.stop) - unfinished

    def project(
        self,
        plane: int,
        decoded: NDArray[np.float64],
        restored: NDArray[np.float64],
        rows: slice,
        columns: slice,
    ) -> NDArray[np.float64]:
        """Project restored colors onto the intervals of their coefficients.

        Parameters
        ----------
        plane : int
            Number of the plane.
        decoded, restored : ndarray, shape (h, w, 1 or 3)
            Colors of the file, and what was made of them, in whole blocks.
        rows, columns : slice
            Where they are.
        """
        if not self._projects:
            return restored
        height, width = self._sides
        missing = (
            self._coding.missing(rows, height, 0),
            self._coding.missing(columns, width, 1),
        )
        held = project_colors_to_bounds(decoded, restored, self._coding, missing)
        if self.chroma is None:
            return held
        return self.chroma.project_to_bounds(plane, held, rows, columns)

    def _cell(self, axis: int) -> int:
        """Return how many pixels a sample of the blocks has that are restored."""
        return self._coding.cell(axis) if self.chroma else 1


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
    missing_planes: frozenset[int] = frozenset()
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

    def neighbors(self, plane: int) -> list[int]:
        """Return none: a JPEG is no stack."""
        return []

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return samples of shape (h, w, 1)."""
        samples = self._chroma.read(plane, rows, columns)
        return samples[..., self._difference, None] + self._gray


class ChromaRowReader:
    """Changes of both differences, computed as far down as they are wanted.

    Parameters
    ----------
    streams : sequence of iterator
        Changes of the samples of each difference, as `PlaneRunner.changes` yields them.
    top : int
        Row of samples where they begin.
    """

    def __init__(
        self,
        streams: Sequence[Iterator[tuple[float, ChangedRows | None]]],
        top: int,
    ) -> None:
        self._streams = streams
        self._tops = [top] * len(streams)
        self._rows: list[list[NDArray[np.float64]]] = [[] for _ in streams]

    def take(self, rows: slice) -> NDArray[np.float64]:
        """Return changes of samples, (h, w, 2), and forget those above `rows`."""
        return np.stack([self._taken(n, rows) for n in range(len(self._streams))], -1)

    def _taken(self, n: int, rows: slice) -> NDArray[np.float64]:
        known = self._rows[n]
        while self._tops[n] + sum(map(len, known)) < rows.stop:
            _, changed = next(self._streams[n])
            if changed:
                known.append(changed.change.mean(1)[0])
        while self._tops[n] + len(known[0]) <= rows.start:
            self._tops[n] += len(known.pop(0))
        together = np.concatenate(known)
        return together[rows.start - self._tops[n] : rows.stop - self._tops[n]]
