"""How a JPEG file codes its pixels: tables, sampling, grid of blocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "JpegCoding"]


BLOCK = 8

_SUBSAMPLED = {((2, 2), (1, 1), (1, 1)), ((2, 1), (1, 1), (1, 1))}
"""Factors of 4:2:0 and 4:2:2; others are rare, and decoders enlarge them in their way.
"""


@dataclass(frozen=True)
class JpegCoding:
    """How a JPEG file codes its pixels.

    Attributes
    ----------
    tables : tuple of tuple of int
        The 64 steps of each component in natural order, luminance first.
    sampling : tuple of (int, int)
        Horizontal and vertical sampling factor of each component.
    orientation : int
        EXIF's, by which the pixels were turned when they were read; their blocks turned
        with them.
    """

    tables: tuple[tuple[int, ...], ...]
    sampling: tuple[tuple[int, int], ...] = ((1, 1),)
    orientation: int = 1

    @property
    def has_chroma(self) -> bool:
        """Whether the grid of the samples of chroma is known: 4:4:4, 4:2:2, 4:2:0."""
        is_full = len(self.sampling) == 3 and len(set(self.sampling)) == 1
        return is_full or self.sampling in _SUBSAMPLED

    def cell(self, axis: int) -> int:
        """Return how many pixels along an axis share a sample of chroma, 1 or 2."""
        if not self.has_chroma:
            return 1
        is_turned = self.orientation in (5, 6, 7, 8)
        along = 0 if (axis == 1) != is_turned else 1
        return self.sampling[0][along] // self.sampling[1][along]

    def is_flipped(self, axis: int) -> bool:
        """Whether blocks are counted from the end of an axis of pixels as read."""
        return self.orientation in ((3, 4, 7, 8), (2, 3, 6, 7))[axis]

    def aligned(self, part: slice, size: int, axis: int, cell: int = 1) -> slice:
        """Return the smallest run of whole blocks that holds a part of an axis.

        Parameters
        ----------
        part : slice
            What is wanted.
        size : int
            Length of the axis.
        axis : int
            0 for rows, 1 for columns.
        cell : int
            Pixels to a sample of the blocks.
        """
        before, behind = self.missing(part, size, axis, cell)
        return slice(max(part.start - before, 0), min(part.stop + behind, size))

    def missing(
        self, part: slice, size: int, axis: int, cell: int = 1
    ) -> tuple[int, int]:
        """Return what a part lacks of whole blocks, before and behind it."""
        first = size if self.is_flipped(axis) else 0
        side = BLOCK * cell
        return (part.start - first) % side, (first - part.stop) % side

    def steps(self, component: int) -> NDArray[np.float64]:
        """Return the 64 steps of a component for blocks of pixels as read."""
        table = self.tables[min(component, len(self.tables) - 1)]
        square = np.array(table, np.float64).reshape(BLOCK, BLOCK)
        return (square.T if self.orientation in (5, 6, 7, 8) else square).ravel()
