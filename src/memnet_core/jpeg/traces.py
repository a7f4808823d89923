"""Find the JPEG compression that pixels went through, by combs in their coefficients.

Quantized DCT coefficients are multiples of their steps. Decoding rounds pixels, and a
later, finer compression adds its own errors, so that on the right 8×8 grid coefficients
scatter around the multiples, and on the 63 others they do not. For each grid, quality
and width of the scatter the log likelihood of this is compared with that of a uniform
distribution. The period of a comb is what Fan and de Queiroz, *Identification of bitmap
compression history*, IEEE TIP 2003, measure on a known grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from memnet_core.image_ops.color import full_range_luminance, without_alpha
from memnet_core.jpeg.coding import BLOCK, estimate_quality, luminance_table
from memnet_core.jpeg.dct_bounds import dct_rows

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.jpeg.chroma import Pixels
    from memnet_core.jpeg.coding import JpegCoding

__all__ = ["LEAST_SIDE", "EarlierJpeg", "find_earlier_jpeg"]

LEAST_SIDE = 71
"""Pixels that both sides need: eight whole blocks on each grid."""

_WINDOWS = 2
_SIDE = 160
"""Windows along each side, and their pixels: blocks enough for pictures half empty."""

# fmt: off
_FREQUENCIES = (
    (0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (2, 1), (1, 2),
    (2, 2), (0, 3), (3, 0), (1, 3), (3, 1), (0, 4), (4, 0),
)
# fmt: on
"""Row and column of coefficients that are seldom zero; the first few find the grid."""

_FIRST = 6
_QUALITIES = np.arange(4, 91)
_STEPS = np.array(
    [
        [table[BLOCK * v + u] for v, u in _FREQUENCIES]
        for table in map(luminance_table, _QUALITIES.tolist())
    ],
    np.float32,
)

_COARSE_SCATTERS = (0.6, 1.8, 5.0)
_SCATTERS = (0.35, 0.7, 1.4, 2.8, 5.6)
"""Standard deviations in gray levels: 0.35 for roundings, the largest for a second
compression of q 40."""

_OUTLIER = np.log(0.1)
"""Log likelihood ratio of a coefficient that the comb does not explain."""

_FEWEST_SCATTERS = 3
"""Steps of fewer scatters show no comb."""

_CANDIDATES = 3
"""Grids that are looked at closely."""

_SURE = 60.0
"""Least log likelihood ratio. Clean pictures stay below 15."""

_CLEARER = 2.0
"""Factor to the next best grid: drawings have combs on every grid."""

_FINER = 10
"""Points of quality that the last compression has to be finer by."""

_FLAT = 4
"""Range in gray levels below which a block says nothing: the next is the same."""


@dataclass(frozen=True)
class EarlierJpeg:
    """A compression that pixels show.

    Attributes
    ----------
    quality : int
        On libjpeg's scale, within a few points.
    rows, columns : int
        Where its first whole block begins, 0 to 7.
    """

    quality: int
    rows: int
    columns: int

    def __str__(self) -> str:
        moved = f", grid moved by {self.rows}, {self.columns}"
        return f"was a JPEG of about q {self.quality}" + (
            moved if self.rows or self.columns else ""
        )


def find_earlier_jpeg(
    source: Pixels, plane: int = 0, last: JpegCoding | None = None
) -> EarlierJpeg | None:
    """Find a JPEG compression by the luminance of a plane.

    Parameters
    ----------
    source : Pixels
        Whole gray levels in [0, 255], gray or in color.
    plane : int
        Which plane.
    last : JpegCoding, optional
        How the file that holds them is coded. Only what was compressed before, and
        coarser, is found then.

    Returns
    -------
    EarlierJpeg or None
        None where the evidence does not suffice, and for planes with a side of less
        than `LEAST_SIDE`.
    """
    _, height, width, _ = source.shape
    if min(height, width) < LEAST_SIDE:
        return None
    windows = [
        _coefficients(_luminance(source.read(plane, rows, columns)))
        for rows in _spread(height)
        for columns in _spread(width)
    ]
    coefficients = np.concatenate(windows, axis=-1)
    own, finest = -1, int(_QUALITIES[-1]) + 1
    if last is not None:
        places = (
            size % BLOCK * last.is_flipped(axis)
            for axis, size in enumerate((height, width))
        )
        own = BLOCK * next(places) + next(places)
        finest = estimate_quality(last.tables[0]).quality - _FINER
    found = _best(coefficients, own, finest)
    if found is None:
        return None
    grid, quality = found
    return EarlierJpeg(quality, *divmod(grid, BLOCK))


def _spread(length: int) -> list[slice]:
    """Return windows that begin at a multiple of a block."""
    if length <= _WINDOWS * _SIDE:
        return [slice(0, length)]
    middles = [(2 * n + 1) * length // (2 * _WINDOWS) for n in range(_WINDOWS)]
    starts = [(middle - _SIDE // 2) // BLOCK * BLOCK for middle in middles]
    return [slice(start, start + _SIDE) for start in starts]


def _luminance(pixels: NDArray[Any]) -> NDArray[np.float32]:
    colors = without_alpha(pixels).astype(np.float32)
    gray = colors[..., 0] if colors.shape[-1] == 1 else full_range_luminance(colors)
    return gray - 128


def _coefficients(plane: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return coefficients of the blocks on all grids, (frequencies, 64, n).

    They are zero where a block is flat or has clipped pixels.
    """
    down, across = ((side - BLOCK + 1) // BLOCK * BLOCK for side in plane.shape)
    rows = dct_rows().astype(np.float32)
    seen = sliding_window_view(plane, BLOCK, axis=1)[:, :across]
    ends = [seen.min(-1), seen.max(-1)]
    low, high = (sliding_window_view(end, BLOCK, axis=0)[:down] for end in ends)
    lowest, highest = low.min(-1), high.max(-1)
    tells = (lowest > -127) & (highest < 126) & (highest - lowest >= _FLAT)
    by_column = seen @ rows[: 1 + max(u for _, u in _FREQUENCIES)].T
    strips = sliding_window_view(by_column, BLOCK, axis=0)[:down]
    found = [np.where(tells, strips[:, :, u] @ rows[v], 0) for v, u in _FREQUENCIES]
    split = np.stack(found).reshape(len(found), down // BLOCK, BLOCK, -1, BLOCK)
    return split.transpose(0, 2, 4, 1, 3).reshape(len(found), BLOCK * BLOCK, -1)


def _evidence(
    coefficients: NDArray[np.float32], step: float, scatter: float
) -> NDArray[np.float32]:
    """Return the log likelihood ratio of a comb, summed over the last axis.

    Coefficients around zero are left out: there pictures have them anyway.
    """
    multiples = np.rint(coefficients / step)
    errors = (coefficients - step * multiples) / scatter
    peak = np.log(step / (scatter * np.sqrt(2 * np.pi)))
    ratios = np.maximum(peak - errors**2 / 2, _OUTLIER) * (multiples != 0)
    summed: NDArray[np.float32] = ratios.sum(-1)
    return summed


def _best(
    coefficients: NDArray[np.float32], own: int, finest: int
) -> tuple[int, int] | None:
    """Return grid and quality of the clearest comb, if it is clear enough.

    Parameters
    ----------
    coefficients : ndarray, shape (frequencies, 64, n)
        Those on all grids.
    own : int
        Grid of the last compression, or -1.
    finest : int
        Quality from which on nothing is looked for.
    """
    qualities = np.flatnonzero(finest > _QUALITIES)
    if not qualities.size:
        return None
    steps = _STEPS[qualities]
    rough = np.zeros((len(_COARSE_SCATTERS), BLOCK * BLOCK, len(qualities)), np.float32)
    for scores, scatter in zip(rough, _COARSE_SCATTERS, strict=True):
        for of_one, column in zip(coefficients[:_FIRST], steps.T, strict=False):
            for step in np.unique(column[column >= _FEWEST_SCATTERS * scatter]):
                scores[:, column == step] += _evidence(of_one, step, scatter)[:, None]
    best = rough.max(0)
    grids = np.argsort(-best.max(1))[:_CANDIDATES]
    close = [(*_closer(coefficients[:, g], best[g], steps), int(g)) for g in grids]
    (score, number, grid), (second, *_), *_ = sorted(close, reverse=True)
    if score < _SURE or score < _CLEARER * second:
        return None
    return grid, int(_QUALITIES[qualities[number]])


def _closer(
    coefficients: NDArray[np.float32],
    rough: NDArray[np.float32],
    steps: NDArray[np.float32],
) -> tuple[float, int]:
    """Return the best log likelihood ratio on a grid, and the number of its quality."""
    found = []
    for number in np.argsort(-rough)[:8]:
        for scatter in _SCATTERS:
            wide = np.flatnonzero(steps[number] >= _FEWEST_SCATTERS * scatter)
            scores = [
                float(_evidence(coefficients[n], steps[number, n], scatter))
                for n in wide
            ]
            found.append((sum(scores), int(number)))
    return max(found)
