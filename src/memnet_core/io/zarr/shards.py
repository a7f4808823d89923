"""Blocks of an OME-Zarr image in the making: written, on the disk, made smaller."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core._util.atomic_write import sync
from memnet_core.image_ops.dtype import to_dtype

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

__all__ = ["discard_block", "open_level", "shrink_block", "stored_bytes", "sync_block"]


def open_level(path: Path, level: int) -> Any:
    """Open the array of a level of an image in the making, to read and write it."""
    import zarr

    from memnet_core.io.zarr.limits import BoundedStore

    return zarr.open_array(BoundedStore(path / str(level)), mode="r+")


def sync_block(path: Path, level: int, block: tuple[slice, ...]) -> int:
    """Have the files of a block, then their folders, written to the disk.

    Returns
    -------
    int
        As `stored_bytes`.
    """
    root = path / str(level)
    folders = {root}
    files = _block_files(open_level(path, level), root, block)
    for file in files:
        sync(file)
        folders.update(f for f in file.parents if f.is_relative_to(root))
    for folder in sorted(folders, reverse=True):
        sync(folder)
    return sum(file.stat().st_size for file in files)


def stored_bytes(path: Path, level: int, block: tuple[slice, ...]) -> int:
    """Return how large the files of a block are; one of nothing but zeros has none."""
    files = _block_files(open_level(path, level), path / str(level), block)
    return sum(file.stat().st_size for file in files)


def discard_block(path: Path, level: int, block: tuple[slice, ...]) -> None:
    """Delete what there is of a block: Zarr would read it, and it may be damaged."""
    for file in _block_files(open_level(path, level), path / str(level), block):
        file.unlink(missing_ok=True)


def _block_files(array: Any, root: Path, block: tuple[slice, ...]) -> list[Path]:
    sides = array.shards or array.chunks
    grid = [
        range(part.start // side, -(-part.stop // side))
        for part, side in zip(block, sides, strict=True)
    ]
    files = (root / array.metadata.encode_chunk_key(place) for place in product(*grid))
    return [file for file in files if file.is_file()]


def shrink_block(finer: Any, block: tuple[slice, ...]) -> NDArray[Any]:
    """Return a block of a level: the means of 2×2 pixels of the next finer one.

    Parameters
    ----------
    finer : array
        The finer level.
    block : tuple of slice
        Part of the level to make.
    """
    *leading, rows, columns = block
    fine = (*leading, *(slice(2 * s.start, 2 * s.stop) for s in (rows, columns)))
    pixels = np.asarray(finer[tuple(fine)])
    odd = [(0, pixels.shape[axis] % 2) for axis in (-2, -1)]
    pixels = np.pad(pixels, [(0, 0)] * len(leading) + odd, "edge")
    # Sums of four integers of 16 bits are exact in float32, which is half as large.
    is_short = pixels.dtype.kind != "f" and pixels.dtype.itemsize <= 2
    shape = (*pixels.shape[:-2], *(s // 2 for s in pixels.shape[-2:]))
    total: Any = np.zeros(shape, np.float32 if is_short else np.float64)
    for y, x in product((0, 1), (0, 1)):
        total += pixels[..., y::2, x::2]
    return to_dtype(total / 4, pixels.dtype)
