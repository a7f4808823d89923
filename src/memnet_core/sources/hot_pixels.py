"""Single pixels that are far too bright: hot ones of a camera, and hits of particles.

The network takes them for what noise cannot make, and keeps them. They are replaced
before it sees them; what has the width of a point seen through a lens stays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.color import without_alpha
from memnet_core.image_ops.dtype import to_dtype
from memnet_core.sources.protocols import SourceWrapper

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

__all__ = ["HotPixelsRemoved", "replaced"]

_CHANCE = math.log(1e9)
"""One pixel of so many may be so bright by chance, by Bernstein's inequality."""

_BESIDE = 0.4
"""Share of its brightness that the four pixels beside a hot one hold together. Points
blurred by a Gaussian of a pixel's full width at half maximum give them 0.6 or more."""

_AROUND = 0.35
"""Share of it that the third brightest of the 24 around may have, or it is texture."""

_REACH = 2
"""Pixels to each side that are looked at."""

_AROUND_IT = [
    (y, x)
    for y in range(-_REACH, _REACH + 1)
    for x in range(-_REACH, _REACH + 1)
    if (y, x) != (0, 0)
]
_NEXT = [max(abs(y), abs(x)) == 1 for y, x in _AROUND_IT]
_CROSS = [abs(y) + abs(x) == 1 for y, x in _AROUND_IT]


class HotPixelsRemoved(SourceWrapper):
    """A source whose hot pixels have the median of the eight around them.

    What a window holds does not depend on how large it is.

    Parameters
    ----------
    source : Source
        What holds them.
    gain, constant : float
        The noise: its variance is gain · mean + constant, in the unit of the pixels.
    """

    def __init__(self, source: PixelSource, gain: float, constant: float) -> None:
        super().__init__(source)
        self._noise = gain, constant

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window without hot pixels."""
        around, inside = self._around(plane, rows, columns, _REACH)
        pixels, _ = replaced(around, *self._noise)
        return pixels[inside]


def replaced(
    pixels: NDArray[Any], gain: float, constant: float
) -> tuple[NDArray[Any], int]:
    """Replace hot pixels by the median of the eight around them.

    A pixel is hot if it exceeds the brightest of the eight by more than noise ever
    does, the four beside it together hold little of its brightness, and hardly any of
    the 24 around come near it. Pairs of hot pixels and dark ones stay.

    Parameters
    ----------
    pixels : ndarray, shape (h, w, S)
        Of any integer or float type. Alpha stays, and what is near values that are not
        finite.
    gain, constant : float
        The noise: its variance is gain · mean + constant, in the unit of the pixels.

    Returns
    -------
    ndarray
        The pixels themselves if none is hot.
    int
        How many are hot.
    """
    values = without_alpha(pixels).astype(np.float64)
    padded = np.pad(values, (*[(_REACH, _REACH)] * 2, (0, 0)), mode="reflect")
    places = np.argwhere(_is_brighter(padded, gain, constant))
    if not len(places):
        return pixels, 0
    y, x, sample = places.T
    down, across = np.array(_AROUND_IT).T
    around = padded[
        y[:, None] + down + _REACH, x[:, None] + across + _REACH, sample[:, None]
    ]
    with np.errstate(invalid="ignore"):
        ground = np.median(around, axis=1)
        excess = pixels[y, x, sample] - ground
        beside = np.sum(around[:, _CROSS] - ground[:, None], axis=1)
        third = np.sort(around, axis=1)[:, -3] - ground
    is_hot = (beside < _BESIDE * excess) & (third < _AROUND * excess)
    is_hot &= np.isfinite(around).all(axis=1)
    if not is_hot.any():
        return pixels, 0
    result = pixels.copy()
    means = np.median(around[is_hot][:, _NEXT], axis=1)
    result[tuple(places[is_hot].T)] = to_dtype(means, pixels.dtype)
    return result, int(is_hot.sum())


def _is_brighter(
    padded: NDArray[np.float64], gain: float, constant: float
) -> NDArray[np.bool_]:
    """Return where pixels exceed the brightest beside them as noise never does."""
    height, width = (length - 2 * _REACH for length in padded.shape[:2])
    across = np.maximum(padded[:, 1:-3], padded[:, 3:-1])
    beside = np.maximum(across, padded[:, 2:-2])
    brightest = np.maximum(across[2:-2], np.maximum(beside[1:-3], beside[3:-1]))
    values = padded[2 : 2 + height, 2 : 2 + width]
    variance = np.maximum(gain * brightest + constant, 0)
    rare = _CHANCE * gain / 3
    most = rare + np.sqrt(rare**2 + 2 * _CHANCE * variance)
    with np.errstate(invalid="ignore"):
        excess = values - brightest
    brighter: NDArray[np.bool_] = np.isfinite(values) & (excess > most)
    return brighter
