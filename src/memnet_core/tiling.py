"""Tiles that a network can restore one by one: pure geometry."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise, product

__all__ = ["Tile", "plan_tiles", "round_up"]


@dataclass(frozen=True)
class Tile:
    """A window that is read and the core of it that is kept.

    Attributes
    ----------
    window : tuple of slice
        Rows and columns of the image that the network sees.
    core : tuple of slice
        Rows and columns of the image that this tile provides.
    """

    window: tuple[slice, slice]
    core: tuple[slice, slice]

    @property
    def inner(self) -> tuple[slice, slice]:
        """The core in coordinates of the window."""
        rows, columns = (
            slice(core.start - window.start, core.stop - window.start)
            for window, core in zip(self.window, self.core, strict=True)
        )
        return rows, columns

    @property
    def window_pixels(self) -> int:
        """Number of pixels in the window."""
        rows, columns = self.window
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


def plan_tiles(
    shape: tuple[int, int], tile: tuple[int, int], halo: int, multiple: int = 1
) -> list[Tile]:
    """Cover an image with overlapping windows of one shape.

    Every core pixel is at least `halo` pixels away from those sides of its window
    that are not sides of the image. Windows begin at multiples of `multiple`.

    Parameters
    ----------
    shape : tuple of int
        Height and width of the image, divisible by `multiple`.
    tile : tuple of int
        Height and width of what a tile in the middle of the image provides.
    halo : int
        Context in pixels around it.
    multiple : int
        Grid that the network needs its input to be aligned to.

    Returns
    -------
    list of Tile
        Their cores partition the image, row by row.
    """
    rows, columns = (
        _plan_axis(length, side, halo, multiple)
        for length, side in zip(shape, tile, strict=True)
    )
    return [
        Tile((window_y, window_x), (core_y, core_x))
        for (window_y, core_y), (window_x, core_x) in product(rows, columns)
    ]


def round_up(value: int, multiple: int) -> int:
    """Return the smallest multiple that is not below `value`."""
    return -(-value // multiple) * multiple


def _plan_axis(
    length: int, side: int, halo: int, multiple: int
) -> list[tuple[slice, slice]]:
    """Return windows and cores along one axis, evenly spaced."""
    side = round_up(side, multiple)
    window = side + 2 * round_up(halo, multiple)
    if window >= length:
        return [(slice(0, length), slice(0, length))]
    gaps = -(-(length - window) // side)
    starts = [
        (length - window) * i // gaps // multiple * multiple for i in range(gaps + 1)
    ]
    cuts = [(start + previous + window) // 2 for previous, start in pairwise(starts)]
    edges = [0, *cuts, length]
    return [
        (slice(start, start + window), slice(low, high))
        for start, (low, high) in zip(starts, pairwise(edges), strict=True)
    ]
