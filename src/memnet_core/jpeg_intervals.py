"""What a JPEG file says of its pixels: an interval for every DCT coefficient.

The encoder rounded each coefficient to a multiple k of its step t, so that the picture
before had it in (k ± ½)·t. A restored picture is put back into these intervals.
Coefficients are not read from the file: its tables and the decoded pixels give them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BLOCK", "JpegCoding", "consistent", "quantised"]

BLOCK = 8

_HALF = 0.4995
"""Half an interval in steps; a little less than ½, so that rounding cannot leave it."""

_ROUNDS = 40
"""After which blocks are given up whose coefficients do not explain their pixels."""

_TOLERANCE = 0.1
"""Grey levels by which decoders differ from the exact transform, before they round."""

_TO_YCC = np.array(
    [
        [0.299, 0.587, 0.114],
        [-0.168736, -0.331264, 0.5],
        [0.5, -0.418688, -0.081312],
    ]
)
"""RGB to luminance, blue and red difference, as JFIF defines them."""


def _basis() -> NDArray[np.float64]:
    """Return the orthonormal DCT of a block, (64, 64): coefficients from pixels."""
    k, x = np.mgrid[:BLOCK, :BLOCK]
    rows = np.cos(np.pi * (2 * x + 1) * k / (2 * BLOCK)) / 2
    rows[0] /= np.sqrt(2)
    return np.kron(rows, rows)


_DCT = _basis()


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
    def is_gray(self) -> bool:
        """Whether there is luminance only."""
        return len(self.sampling) == 1

    def cell(self, *, chroma: bool) -> tuple[int, int]:
        """Return height and width, in pixels as read, of what is coded together.

        Parameters
        ----------
        chroma : bool
            Whether the blocks of chroma count as well.
        """
        across, down = (1, 1)
        if chroma and not self.is_gray:
            across = max(h for h, _ in self.sampling)
            down = max(v for _, v in self.sampling)
        sides = BLOCK * down, BLOCK * across
        return sides[::-1] if self._transposed else sides

    def aligned(
        self, part: slice, size: int, axis: int, *, chroma: bool
    ) -> slice:
        """Return the smallest run of whole cells that holds a part of an axis.

        Parameters
        ----------
        part : slice
            What is wanted.
        size : int
            Length of the axis.
        axis : int
            0 for rows, 1 for columns.
        chroma : bool
            As in `cell`.
        """
        side, offset = self._grid(size, axis, chroma)
        before = (part.start - offset) % side
        behind = (offset - part.stop) % side
        return slice(max(part.start - before, 0), min(part.stop + behind, size))

    def missing(
        self, part: slice, size: int, axis: int, *, chroma: bool
    ) -> tuple[int, int]:
        """Return what an aligned part lacks of whole cells, before and behind it."""
        side, offset = self._grid(size, axis, chroma)
        return (part.start - offset) % side, (offset - part.stop) % side

    def steps(self, component: int) -> NDArray[np.float64]:
        """Return the 64 steps of a component for blocks of pixels as read."""
        table = self.tables[min(component, len(self.tables) - 1)]
        square = np.array(table, np.float64).reshape(BLOCK, BLOCK)
        return (square.T if self._transposed else square).ravel()

    def reduction(self, component: int) -> tuple[int, int]:
        """Return how many rows and columns as read make one of a component."""
        across, down = self.sampling[component]
        most_across = max(h for h, _ in self.sampling)
        most_down = max(v for _, v in self.sampling)
        sides = most_down // down, most_across // across
        return sides[::-1] if self._transposed else sides

    @property
    def _transposed(self) -> bool:
        return self.orientation in (5, 6, 7, 8)

    def _grid(self, size: int, axis: int, chroma: bool) -> tuple[int, int]:
        """Return the side of the cells of an axis, and where the first whole one is."""
        side = self.cell(chroma=chroma)[axis]
        flipped = self.orientation in ((3, 4, 7, 8), (2, 3, 6, 7))[axis]
        return side, size % side if flipped else 0


def quantised(
    low: NDArray[np.float64], high: NDArray[np.float64], steps: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the coefficients of blocks of which bounds of the pixels are known.

    Pixels that were clipped, or that are not known, have no bound: there the picture
    and its coefficients are drawn to each other in turns until both fit.

    Parameters
    ----------
    low, high : ndarray, shape (n, 64)
        Bounds of the decoded pixels before they were rounded and clipped, in grey
        levels about 0 (less 128 for luminance); without a bound infinite, not both.
    steps : ndarray, shape (64,)
        Quantisation steps.

    Returns
    -------
    lowest, highest : ndarray, shape (n, 64)
        Ends of the intervals of the coefficients, in grey levels. Where no coefficients
        explain the pixels, wide enough for those found and for the pixels.
    """
    pixels = np.where(np.isinf(low), high - 0.5, low + 0.5)
    seen = pixels @ _DCT.T
    multiples = np.rint(seen / steps)
    open_ = np.flatnonzero((np.isinf(low) | np.isinf(high)).any(axis=1))
    for _ in range(_ROUNDS):
        decoded = (multiples[open_] * steps) @ _DCT
        floor, roof = low[open_], high[open_]
        fits = (decoded >= floor - _TOLERANCE) & (decoded <= roof + _TOLERANCE)
        kept = ~fits.all(axis=1)
        open_ = open_[kept]
        if not open_.size:
            break
        pulled = np.clip(decoded[kept], floor[kept], roof[kept])
        multiples[open_] = np.rint(pulled @ _DCT.T / steps)
    middle = multiples * steps
    lowest, highest = middle - _HALF * steps, middle + _HALF * steps
    lowest[open_] = np.minimum(lowest[open_], seen[open_] - _HALF * steps)
    highest[open_] = np.maximum(highest[open_], seen[open_] + _HALF * steps)
    return lowest, highest


def consistent(
    decoded: NDArray[np.float64],
    clipped: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    restored: NDArray[np.float64],
    steps: NDArray[np.float64],
    missing: tuple[tuple[int, int], tuple[int, int]] = ((0, 0), (0, 0)),
) -> NDArray[np.float64]:
    """Return a restored plane with every coefficient in the interval that is known.

    Blocks that the picture fills only in part were completed by the encoder, which
    repeats the border. So does this; but as the border it repeated is not known, the
    intervals of these blocks are twice as wide. A block that is white or black all over
    stays so.

    Parameters
    ----------
    decoded : ndarray, shape (h, w)
        Plane of the JPEG, rounded to whole grey levels about 0.
    clipped : pair of ndarray of bool, shape (h, w)
        Where the plane may have been lower, and where higher, before it was clipped.
    restored : ndarray, shape (h, w)
        What was made of it, on the same scale.
    steps : ndarray, shape (64,)
        Quantisation steps.
    missing : pair of (int, int)
        Rows above and below, columns before and behind, that complete the blocks.
    """
    height, width = decoded.shape
    low = np.where(clipped[0], -np.inf, decoded - 0.5)
    high = np.where(clipped[1], np.inf, decoded + 0.5)
    unbound = np.isinf(low) & np.isinf(high)
    low[unbound] = decoded[unbound] - BLOCK
    high[unbound] = decoded[unbound] + BLOCK
    low, high, completed = (np.pad(p, missing, "edge") for p in (low, high, restored))
    lowest, highest = quantised(_blocks(low), _blocks(high), steps)
    partial = _blocks(_outside((height, width), missing)).any(axis=1)
    lowest[partial] -= _HALF * steps
    highest[partial] += _HALF * steps
    coefficients = np.clip(_blocks(completed) @ _DCT.T, lowest, highest)
    blocks = coefficients @ _DCT
    for saturated in clipped:
        whole = _blocks(np.pad(saturated, missing, "edge")).all(axis=1)
        blocks[whole] = _blocks(np.pad(decoded, missing, "edge"))[whole]
    plane = _plane(blocks, completed.shape)
    (top, _), (left, _) = missing
    return plane[top : top + height, left : left + width]


def _outside(
    shape: tuple[int, int], missing: tuple[tuple[int, int], tuple[int, int]]
) -> NDArray[np.bool_]:
    """Return which pixels of the completed plane are no part of the picture."""
    return np.pad(np.zeros(shape, np.bool_), missing, constant_values=True)


def _blocks(plane: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return the blocks of a plane of whole blocks, (n, 64)."""
    height, width = plane.shape
    split = plane.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    return split.swapaxes(1, 2).reshape(-1, BLOCK * BLOCK)


def _plane(
    blocks: NDArray[np.float64], shape: tuple[int, int]
) -> NDArray[np.float64]:
    """Return the plane of which these are the blocks."""
    height, width = shape
    split = blocks.reshape(height // BLOCK, width // BLOCK, BLOCK, BLOCK)
    return split.swapaxes(1, 2).reshape(height, width)
