"""Windows of planes that are stored in chunks, each of which is decoded once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["ChunkCache"]


class ChunkCache:
    """Reads windows of planes, and keeps the row of chunks that was decoded last.

    A strip mostly ends within chunks that the next strip needs, too. To decode them
    again for every strip would take far longer than the network.

    Parameters
    ----------
    decode : callable
        Returns a window of a plane, of shape (h, w, S): plane, rows, columns.
    rows, columns : sequence of int
        Where chunks begin along Y and X, and last where the plane ends.
    """

    def __init__(
        self,
        decode: Callable[[int, slice, slice], NDArray[Any]],
        rows: Sequence[int],
        columns: Sequence[int],
    ) -> None:
        self._decode = decode
        self._edges = rows, columns
        self._kept: tuple[int, slice, slice, NDArray[Any]] | None = None

    def clear(self) -> None:
        """Keep nothing."""
        self._kept = None

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window of a plane, of shape (h, w, S)."""
        wide = _widened(columns, self._edges[1])
        kept = self._kept
        if not (kept and kept[0] == plane and _inside(wide, kept[2])):
            kept = None
        if not (kept and _inside(rows, kept[1])):
            high = _widened(rows, self._edges[0])
            kept = (plane, high, wide, self._grown(kept, plane, high, wide))
            self._kept = kept
        _, high, wide, pixels = kept
        return pixels[
            rows.start - high.start : rows.stop - high.start,
            columns.start - wide.start : columns.stop - wide.start,
        ]

    def _grown(
        self,
        kept: tuple[int, slice, slice, NDArray[Any]] | None,
        plane: int,
        rows: slice,
        columns: slice,
    ) -> NDArray[Any]:
        """Decode a part of a plane, but for those rows of it that are kept."""
        if (
            kept is None
            or columns != kept[2]
            or not kept[1].start <= rows.start < kept[1].stop <= rows.stop
        ):
            return self._decode(plane, rows, columns)
        below = self._decode(plane, slice(kept[1].stop, rows.stop), columns)
        return np.concatenate([kept[3][rows.start - kept[1].start :], below])


def _widened(part: slice, edges: Sequence[int]) -> slice:
    """Return a part of an axis with all of the chunks that it touches."""
    first = bisect_right(edges, part.start) - 1
    return slice(edges[first], edges[bisect_left(edges, part.stop)])


def _inside(part: slice, whole: slice) -> bool:
    return bool(whole.start <= part.start and part.stop <= whole.stop)
