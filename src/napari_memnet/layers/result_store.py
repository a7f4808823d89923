"""Results that do not fit into memory: arrays on disk that fill as pixels come."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core.errors import UsageError
from napari_memnet.form_state import preferences

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

__all__ = ["LARGEST_PLANE", "MEMORY_LIMIT", "ResultStore", "is_for_disk"]

MEMORY_LIMIT = 2 * 2**30
"""Bytes above which a result is stored on disk."""

LARGEST_PLANE = 2**26
"""Pixels of a plane above which napari gets resolution levels."""

_CHUNK = (256, 1024)
"""Rows and columns: strips are written as they come, so a chunk has few rows."""

_SMALLEST_LEVEL = 1024


def is_for_disk(
    shape: Sequence[int], dtype: np.dtype[Any], *, rgb: bool, memory_limit: int
) -> bool:
    """Whether a result of a shape, with samples behind if `rgb`, goes to disk."""
    size = math.prod(shape) * dtype.itemsize
    return size > memory_limit or _plane(shape, rgb) > LARGEST_PLANE


class ResultStore:
    """A result on disk; a plane that is too large to be shown has levels.

    What has not come yet is 0. A level has every second row and column of the one
    before, so that any window can be written by itself.

    Parameters
    ----------
    shape : sequence of int
        (..., H, W), with samples behind if `rgb`.
    dtype : dtype
        Type of a sample.
    rgb : bool
        Whether the last axis is color.

    Attributes
    ----------
    path : Path
        Folder of the arrays. It is removed when Python ends.

    Raises
    ------
    UsageError
        If the disk has no room for it.
    """

    def __init__(
        self, shape: Sequence[int], dtype: np.dtype[Any], *, rgb: bool
    ) -> None:
        import zarr

        leading = len(shape) - 2 - rgb
        sizes = [tuple(int(size) for size in shape)]
        if _plane(shape, rgb) > LARGEST_PLANE:
            while max(sizes[-1][leading : leading + 2]) > _SMALLEST_LEVEL:
                sizes.append(_halved(sizes[-1], leading))
        folder = preferences().folder or None
        _check_room(folder, sum(map(math.prod, sizes)) * dtype.itemsize)
        try:
            self.path = Path(
                tempfile.mkdtemp(prefix="memnet-", suffix=".zarr", dir=folder)
            )
        except OSError as error:
            raise UsageError(
                f"Large results cannot go to {folder}: {error.strerror}; choose "
                "another folder in the preferences."
            ) from error
        atexit.register(shutil.rmtree, self.path, ignore_errors=True)
        self._levels: list[Any] = [
            zarr.create_array(
                store=self.path / str(number),
                shape=size,
                chunks=(1,) * leading
                + tuple(
                    min(most, side)
                    for most, side in zip(
                        _CHUNK, size[leading : leading + 2], strict=True
                    )
                )
                + size[leading + 2 :],
                dtype=dtype,
                fill_value=0,
            )
            for number, size in enumerate(sizes)
        ]

    @property
    def data(self) -> Any:
        """What napari shows: an array, or those of all levels, read when looked at."""
        return self._levels[0] if len(self._levels) == 1 else [*self._levels]

    def write(
        self, place: tuple[int, ...], top: int, left: int, pixels: NDArray[Any]
    ) -> None:
        """Put a window of a plane at its place, on all levels.

        Parameters
        ----------
        place : tuple of int
            Which plane.
        top, left : int
            First row and column.
        pixels : ndarray
            (h, w), or (h, w, samples).
        """
        height, width = pixels.shape[:2]
        for number, level in enumerate(self._levels):
            step = 2**number
            first_row, first_column = -(-top // step), -(-left // step)
            part = pixels[first_row * step - top :: step]
            part = part[:, first_column * step - left :: step]
            if 0 not in part.shape:
                rows = slice(first_row, -(-(top + height) // step))
                columns = slice(first_column, -(-(left + width) // step))
                level[(*place, rows, columns)] = part

    def discard(self) -> None:
        """Remove what is on disk."""
        shutil.rmtree(self.path, ignore_errors=True)


def _plane(shape: Sequence[int], rgb: bool) -> int:
    """Return the pixels of a plane."""
    height, width = shape[-2 - rgb : len(shape) - rgb]
    return height * width


def _halved(size: tuple[int, ...], leading: int) -> tuple[int, ...]:
    height, width = (-(-side // 2) for side in size[leading : leading + 2])
    return (*size[:leading], height, width, *size[leading + 2 :])


def _check_room(folder: str | None, size: int) -> None:
    place = folder or tempfile.gettempdir()
    if not Path(place).is_dir():
        raise UsageError(
            f"{place}, where large results go, is no folder; choose another in the "
            "preferences."
        )
    free = shutil.disk_usage(place).free
    if size > free:
        raise UsageError(
            f"The result needs {size / 2**30:.1f} GiB on disk, and {place} has "
            f"{free / 2**30:.1f} GiB free; restore a smaller area, or choose another "
            "folder for large results in the preferences."
        )
