"""JPEG coding: quantization tables, sampling, block grid, quality estimation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "BLOCK",
    "JpegCoding",
    "QualityEstimate",
    "chroma_table",
    "estimate_quality",
    "luminance_table",
]

BLOCK = 8

_SUBSAMPLED = {((2, 2), (1, 1), (1, 1)), ((2, 1), (1, 1), (1, 1))}
"""Factors of 4:2:0 and 4:2:2; others are rare, and decoders enlarge them in their way.
"""


@dataclass(frozen=True)
class JpegCoding:
    """Coding parameters of a JPEG file.

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
        """Return the chroma subsampling factor along an axis, 1 or 2."""
        if not self.has_chroma:
            return 1
        is_turned = self.orientation in (5, 6, 7, 8)
        along = 0 if (axis == 1) != is_turned else 1
        return self.sampling[0][along] // self.sampling[1][along]

    def is_flipped(self, axis: int) -> bool:
        """Whether blocks are counted from the end of an axis of pixels as read."""
        return self.orientation in ((3, 4, 7, 8), (2, 3, 6, 7))[axis]

    def aligned(self, part: slice, size: int, axis: int, cell: int = 1) -> slice:
        """Extend a slice of an axis to block boundaries.

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
        """Return (before, after): pixels that extend the slice to block boundaries."""
        first = size if self.is_flipped(axis) else 0
        side = BLOCK * cell
        return (part.start - first) % side, (first - part.stop) % side

    def steps(self, component: int) -> NDArray[np.float64]:
        """Return the 64 steps of a component, oriented like the pixels as read."""
        table = self.tables[min(component, len(self.tables) - 1)]
        square = np.array(table, np.float64).reshape(BLOCK, BLOCK)
        return (square.T if self.orientation in (5, 6, 7, 8) else square).ravel()


_WELL_FITTING = 0.02
"""Misfit below which an encoder differs from libjpeg by roundings only."""

# ITU-T T.81, Table K.1, in natural order.
# fmt: off
_STANDARD_LUMINANCE = np.array([
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
], np.int64)
# fmt: on

# Table K.2: coarse but for the lowest frequencies.
_STANDARD_CHROMA = np.full((8, 8), 99, np.int64)
_STANDARD_CHROMA[:4, :4] = [
    [17, 18, 24, 47],
    [18, 21, 26, 66],
    [24, 26, 56, 99],
    [47, 66, 99, 99],
]


@dataclass(frozen=True)
class QualityEstimate:
    """The JPEG quality whose standard table is closest.

    Attributes
    ----------
    quality : int
        Quality 1 to 100 on libjpeg's scale.
    misfit : float
        Mean difference of the 64 steps from that table, relative to it; 0 for
        encoders that scale the standard table.
    """

    quality: int
    misfit: float


def luminance_table(quality: int) -> NDArray[np.int64]:
    """Return the 64 luminance steps that libjpeg uses at a quality of 1 to 100."""
    return _scaled(_STANDARD_LUMINANCE, quality)


def chroma_table(quality: int) -> NDArray[np.int64]:
    """Return the 64 steps of both chroma planes, as `luminance_table` does."""
    return _scaled(_STANDARD_CHROMA.ravel(), quality)


def _scaled(standard: NDArray[np.int64], quality: int) -> NDArray[np.int64]:
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((standard * scale + 50) // 100, 1, 255)


def estimate_quality(
    table: Sequence[int],
    standard: Callable[[int], NDArray[np.int64]] = luminance_table,
) -> QualityEstimate:
    """Estimate the JPEG quality of a quantization table.

    Parameters
    ----------
    table : sequence of int
        The 64 steps in natural order, which are those of the last compression.
    standard : callable
        Steps by quality: `luminance_table` or `chroma_table`.
    """
    steps = np.asarray(table, np.float64)
    misfits = [
        float(np.mean(np.abs(steps - expected) / expected))
        for expected in map(standard, range(1, 101))
    ]
    best = int(np.argmin(misfits))
    return QualityEstimate(best + 1, misfits[best])
