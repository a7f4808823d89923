"""Arrays on a disk that may go away, or be changed, while they are read."""

from __future__ import annotations

import os
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["ChangeGuardedArray", "ChangeGuardedZarr", "unchanged_file"]


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
