"""Arrays on a disk: chunks decoded once, and a check that nothing changed meanwhile."""

from __future__ import annotations

import os
from bisect import bisect_left, bisect_right
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = ["ChangeGuardedArray", "ChangeGuardedZarr", "ChunkCache", "unchanged_file"]


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


class ChangeGuardedArray:
    """An array of which every part is checked after it was read.

    Parameters
    ----------
    array : array
        Anything with ``shape``, ``dtype`` and basic slicing.
    check : callable
        Is called after each part was read; raises OSError if it may be a wrong one.
    """

    def __init__(self, array: Any, check: Callable[[], None]) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self._array = array
        self._check = check

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        pixels = np.asarray(self._array[selection])
        self._check()
        return pixels


class ChangeGuardedZarr:
    """An array of Zarr, which reads chunks that are missing as nothing but zeros.

    Those that were there when the first part was read have to be there after each.

    Parameters
    ----------
    array : zarr.Array
        The array.
    folder : Path
        Where it is.
    """

    def __init__(self, array: Any, folder: Path) -> None:
        self.shape: tuple[int, ...] = array.shape
        self.dtype: np.dtype[Any] = array.dtype
        self._array = array
        self._folder = folder

    def __getitem__(self, selection: tuple[slice, ...]) -> NDArray[Any]:
        stored = self._stored
        pixels = np.asarray(self._array[selection])
        names = stored.intersection(self._names(selection))
        gone = [n for n in ("", *names) if not os.path.exists(self._folder / n)]
        if gone:
            raise FileNotFoundError(
                f"{self._folder / gone[0]} was there and is not any more; check that "
                "the disk is, and that nobody moves or deletes it"
            )
        return pixels

    @cached_property
    def _stored(self) -> frozenset[str]:
        """Names of all files below the folder."""
        return frozenset(
            Path(parent, name).relative_to(self._folder).as_posix()
            for parent, _, names in os.walk(self._folder)
            for name in names
        )

    def _names(self, selection: tuple[slice, ...]) -> list[str]:
        """Return the files that hold a part, and that which describes the array."""
        sides = getattr(self._array, "shards", None) or self._array.chunks
        grid = []
        for part, side, size in zip(selection, sides, self.shape, strict=True):
            start, stop, _ = part.indices(size)
            grid.append(range(start // side, -(-stop // side)))
        keys = map(self._array.metadata.encode_chunk_key, product(*grid))
        return ["zarr.json", ".zarray", *keys]


def unchanged_file(handle: int) -> Callable[[], None]:
    """Return what checks that an open file keeps its size and time of change.

    Parameters
    ----------
    handle : int
        Number of the open file.
    """
    known = os.fstat(handle)

    def check() -> None:
        now = os.fstat(handle)
        if (now.st_size, now.st_mtime_ns) != (known.st_size, known.st_mtime_ns):
            raise OSError(
                "it was changed while it was read; give the same command again"
            )

    return check
