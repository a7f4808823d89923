"""Subsampled chroma of a JPEG.

Decoders upsample chroma linearly: a pixel is 3/4 of its own sample and 1/4 of the next
one. The mean over a cell of pixels thus is its sample filtered by (1/8, 3/4, 1/8). This
module inverts that filter to recover the sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from memnet_core.jpeg.dct_bounds import FROM_YCC, TO_YCC, project_chroma_to_bounds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.jpeg.coding import JpegCoding

__all__ = ["Pixels", "SubsampledChroma"]

_REACH = 8
"""Reach of the inverse filter in samples; its weights beyond are below 1e-6."""

_POLE = np.sqrt(8) - 3
_UNDOING = np.sqrt(2) * _POLE ** np.abs(np.arange(-_REACH, _REACH + 1))
"""Inverse of the kernel (1/8, 3/4, 1/8), truncated at `_REACH`."""

_UNEXPLAINED = 0.4
"""Mean difference in gray levels from which on another decoder is assumed. For libjpeg
0.01 to 0.3 were measured, due to rounding and clipped white."""

_LOOKED_AT = 256
"""Side in pixels of the window used to detect how chroma was upsampled."""


class Pixels(Protocol):
    """Color planes that can be read by window, such as a pixel source."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(N, H, W, 3 or 4)."""

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return pixels in [0, 255]."""


@dataclass(frozen=True)
class _Axis:
    """Pixels and samples along one axis; cells are what pixels share a sample.

    Attributes
    ----------
    size : int
        Pixels.
    cell : int
        Pixels to a sample, 1 or 2.
    lead : int
        Pixels that the first cell lacks.
    """

    size: int
    cell: int
    lead: int

    @property
    def samples(self) -> int:
        """Number of samples."""
        return -(-(self.size + self.lead) // self.cell)

    def sample_window(self, part: slice, more: int = 0) -> slice:
        """Return the samples of some pixels, and `more` around them."""
        more *= self.cell > 1
        first = (part.start + self.lead) // self.cell
        last = -(-(part.stop + self.lead) // self.cell)
        return slice(max(first - more, 0), min(last + more, self.samples))

    def widened(self, cells: slice, more: int) -> slice:
        """Return samples and, where they are coarser than pixels, `more` around."""
        more *= self.cell > 1
        return slice(max(cells.start - more, 0), min(cells.stop + more, self.samples))

    def pixels(self, cells: slice) -> tuple[slice, tuple[int, int]]:
        """Return the pixels of samples, and how many their cells lack at the ends."""
        first, last = (end * self.cell - self.lead for end in (cells.start, cells.stop))
        inside = slice(max(first, 0), min(last, self.size))
        return inside, (inside.start - first, last - inside.stop)


class SubsampledChroma:
    """Blue and red difference of a JPEG as samples, about 0.

    Windows do not matter: a sample is the same to the last bit in each.

    Parameters
    ----------
    source : Pixels
        The decoded colors, whole numbers in [0, 255].
    coding : JpegCoding
        How they were coded; it has chroma.

    Attributes
    ----------
    shape : (int, int)
        Rows and columns of samples.
    """

    def __init__(self, source: Pixels, coding: JpegCoding) -> None:
        self._source = source
        self._coding = coding
        _, height, width, _ = source.shape
        self._axes = tuple(
            _Axis(size, cell, -size % cell if coding.is_flipped(axis) else 0)
            for axis, size in enumerate((height, width))
            for cell in [coding.cell(axis)]
        )
        self.shape = self._axes[0].samples, self._axes[1].samples

    def sample_window(
        self, rows: slice, columns: slice, more: int = 0
    ) -> tuple[slice, slice]:
        """Return the samples of pixels, and `more` around them."""
        down, across = self._axes
        return down.sample_window(rows, more), across.sample_window(columns, more)

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[np.float64]:
        """Return samples of shape (h, w, 2); rows and columns count samples."""
        parts = rows, columns
        seen = [a.widened(p, _REACH) for a, p in zip(self._axes, parts, strict=True)]
        samples = self._means(_chroma(self._pixels(plane, seen)), seen)
        for n, (axis, part, around) in enumerate(
            zip(self._axes, parts, seen, strict=True)
        ):
            if axis.cell > 1:
                samples = _undone(samples, n, part, around)
        return samples

    def upsample(
        self, samples: NDArray[np.float64], rows: slice, columns: slice
    ) -> NDArray[np.float64]:
        """Return pixels as decoders make them of samples.

        Parameters
        ----------
        samples : ndarray, shape (h, w, 2)
            Those of ``cells(rows, columns, 1)``.
        rows, columns : slice
            Of pixels.
        """
        for n, (axis, part) in enumerate(zip(self._axes, (rows, columns), strict=True)):
            if axis.cell > 1:
                samples = _enlarged(samples, n, part, axis)
        return samples

    def is_explained(self, plane: int = 0) -> bool:
        """Whether the center of a plane matches libjpeg's upsampling of the samples."""
        rows, columns = (
            slice(max(middle - _LOOKED_AT // 2, 0), middle + _LOOKED_AT // 2)
            for middle in (axis.size // 2 for axis in self._axes)
        )
        rows, columns = (
            slice(part.start, min(part.stop, axis.size))
            for part, axis in zip((rows, columns), self._axes, strict=True)
        )
        pixels = self._source.read(plane, rows, columns)[..., :3].astype(np.float64)
        sure = ((pixels > 0) & (pixels < 255)).all(axis=-1)
        if not sure.any():
            return True
        samples = self.read(plane, *self.sample_window(rows, columns, 1))
        rest = _chroma(pixels) - self.upsample(samples, rows, columns)
        return bool(np.abs(rest[sure]).mean() < _UNEXPLAINED)

    def project_to_bounds(
        self,
        plane: int,
        changed: NDArray[np.float64],
        rows: slice,
        columns: slice,
    ) -> NDArray[np.float64]:
        """Project the chroma of colors onto the intervals of its DCT coefficients.

        Brought to samples as by an encoder, which takes the mean of each cell.

        Parameters
        ----------
        plane : int
            Which plane they were made of.
        changed : ndarray, shape (h, w, 3)
            Restored colors in whole blocks of samples, or up to the borders.
        rows, columns : slice
            Where they belong.
        """
        cells = self.sample_window(rows, columns)
        before = self.read(plane, *cells)
        unsure, still = self._saturated(plane, cells)
        after = self._means(_chroma(changed), cells)
        down, across = (
            self._coding.missing(part, axis.samples, n)
            for n, (part, axis) in enumerate(zip(cells, self._axes, strict=True))
        )
        result = changed.copy()
        for n in range(2):
            held = project_chroma_to_bounds(
                before[..., n],
                after[..., n],
                self._coding.steps(n + 1),
                (down, across),
                still,
                unsure,
            )
            moved = self._repeated(held - after[..., n], cells)
            result += moved[..., None] * FROM_YCC[n + 1]
        return result

    def _pixels(self, plane: int, cells: Any) -> NDArray[np.float64]:
        """Return the pixels of samples."""
        rows, columns = (
            axis.pixels(part)[0] for axis, part in zip(self._axes, cells, strict=True)
        )
        pixels = self._source.read(plane, rows, columns)
        return pixels[..., :3].astype(np.float64)

    def _split(self, pixels: NDArray[Any], cells: Any) -> NDArray[Any]:
        """Return (h, cell, w, cell, …) pixels; a cut cell repeats the one it has."""
        lacking = [a.pixels(p)[1] for a, p in zip(self._axes, cells, strict=True)]
        ends = [*lacking, *[(0, 0)] * (pixels.ndim - 2)]
        whole = np.pad(pixels, ends, "edge")
        (high, wide), shape = (a.cell for a in self._axes), whole.shape
        return whole.reshape(shape[0] // high, high, shape[1] // wide, wide, *shape[2:])

    def _means(self, pixels: NDArray[np.float64], cells: Any) -> NDArray[np.float64]:
        split = self._split(pixels, cells)
        means: NDArray[np.float64] = split.mean(axis=3).mean(axis=1)
        return means

    def _repeated(self, samples: NDArray[np.float64], cells: Any) -> NDArray[Any]:
        """Return pixels, all of a cell alike."""
        pixels = samples
        for n, (axis, part) in enumerate(zip(self._axes, cells, strict=True)):
            (before, behind) = axis.pixels(part)[1]
            pixels = np.repeat(pixels, axis.cell, axis=n)
            kept = [slice(None)] * n + [slice(before, pixels.shape[n] - behind)]
            pixels = pixels[tuple(kept)]
        return pixels

    def _saturated(
        self, plane: int, cells: Any
    ) -> tuple[NDArray[np.bool_], tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
        """Return which samples clipped pixels make unsure, and black and white ones."""
        seen = [a.widened(p, 1) for a, p in zip(self._axes, cells, strict=True)]
        split = self._split(self._pixels(plane, seen), seen)
        black, white = split <= 0, split >= 255
        clipped = np.asarray((black | white).any(axis=(1, 3, 4)))
        for n, axis in enumerate(self._axes):
            if axis.cell > 1:  # samples are found from their neighbors, too
                clipped = _with_neighbors(clipped, n)
        inner = tuple(
            slice(p.start - s.start, p.stop - s.start)
            for p, s in zip(cells, seen, strict=True)
        )
        dark, bright = (
            np.asarray(ends.all(axis=(1, 3, 4)))[inner] for ends in (black, white)
        )
        return clipped[inner], (dark, bright)


def _chroma(colors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cb and Cr, (h, w, 2), in a summation order independent of the window."""
    red, green, blue = (colors[..., n, None] * TO_YCC[1:, n] for n in range(3))
    chroma: NDArray[np.float64] = red + green + blue
    return chroma


def _with_neighbors(found: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Return what is found there or next to it along an axis."""
    along = np.moveaxis(found, axis, 0)
    result = along.copy()
    result[1:] |= along[:-1]
    result[:-1] |= along[1:]
    return np.moveaxis(result, 0, axis)


def _undone(
    samples: NDArray[np.float64], axis: int, part: slice, seen: slice
) -> NDArray[np.float64]:
    """Invert the decoder's (1/8, 3/4, 1/8) upsampling filter along an axis."""
    before = _REACH - (part.start - seen.start)
    behind = _REACH - (seen.stop - part.stop)
    ends = [(0, 0)] * samples.ndim
    ends[axis] = before, behind
    # Decoders repeat the last sample, which equals mirroring the signal.
    mirrored = np.moveaxis(np.pad(samples, ends, "symmetric"), axis, 0)
    length = part.stop - part.start
    undone = np.zeros((length, *mirrored.shape[1:]))
    for n, weight in enumerate(_UNDOING):
        undone += weight * mirrored[n : n + length]
    return np.moveaxis(undone, 0, axis)


def _enlarged(
    samples: NDArray[np.float64], axis: int, part: slice, along: _Axis
) -> NDArray[np.float64]:
    """Upsample along an axis: 3/4 of the own sample, 1/4 of the next one."""
    cells, seen = along.sample_window(part), along.sample_window(part, 1)
    lacking = 1 - (cells.start - seen.start), 1 - (seen.stop - cells.stop)
    ends = [(0, 0)] * samples.ndim
    ends[axis] = lacking
    around = np.moveaxis(np.pad(samples, ends, "edge"), axis, 0)
    middle = 0.75 * around[1:-1]
    pairs = np.stack([middle + 0.25 * around[:-2], middle + 0.25 * around[2:]], axis=1)
    pixels = pairs.reshape(-1, *around.shape[1:])
    first = part.start + along.lead - cells.start * along.cell
    return np.moveaxis(pixels[first : first + part.stop - part.start], 0, axis)
