"""What the planes before and after show of a plane: a mean, where nothing moved.

The plane's neighbors along time, or along depth, are registered to it and averaged
with it, pixel by pixel only as far as they differ by no more than noise makes them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.color import without_alpha
from memnet_core.sources.protocols import SourceWrapper

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.sources.protocols import PixelSource

__all__ = ["TemporalAverage", "averaged"]

_SMOOTH = 1.5
"""Deviation in pixels of the Gaussian before registration, or noise would rule it."""

_STEPS = 10
"""Parts of a pixel to which shifts are found."""

_FARTHEST = 16.0
"""Pixels of a shift beyond which a neighbor shows something else."""

_REGISTERED = 512
"""Pixels along a side of the middle of a plane, by which it is registered."""

_GATE = 2
"""Pixels to each side over which differences are compared with noise."""

_ALIKE, _OTHER = 1.5, 2.5
"""Mean squares of the difference, in those of noise, up to which a neighbor counts in
full, and from which on not at all."""


class TemporalAverage(SourceWrapper):
    """A source whose planes are averaged with their neighbors.

    It reads whole planes, and keeps three of them and one that is averaged.

    Parameters
    ----------
    source : Source
        One that knows which planes are `neighbors` another.
    gain, constant : float
        The noise: its variance is gain · mean + constant, in the unit of the pixels.
    """

    def __init__(self, source: PixelSource, gain: float, constant: float) -> None:
        super().__init__(source)
        self._noise = gain, constant
        self._read: dict[int, NDArray[Any]] = {}
        self._made: tuple[int, NDArray[Any], float] | None = None

    def read(self, plane: int, rows: slice, columns: slice) -> NDArray[Any]:
        """Return a window of a mean, as floats."""
        pixels: NDArray[Any] = self._mean(plane)[1][rows, columns]
        return pixels

    def frames(self, plane: int) -> float:
        """Return how many planes there are in a mean, on average over its pixels."""
        return self._mean(plane)[2]

    def _mean(self, plane: int) -> tuple[int, NDArray[Any], float]:
        if self._made is None or self._made[0] != plane:
            near = sorted([plane, *self._source.neighbors(plane)])
            _, height, width, _ = self.shape
            whole = slice(0, height), slice(0, width)
            self._read = {
                n: self._read[n] if n in self._read else self._source.read(n, *whole)
                for n in near
            }
            others = [self._read[n] for n in near if n != plane]
            self._made = (plane, *averaged(self._read[plane], others, *self._noise))
        return self._made


def averaged(
    plane: NDArray[Any], others: Sequence[NDArray[Any]], gain: float, constant: float
) -> tuple[NDArray[np.float64], float]:
    """Average a plane with others as far as they show the same.

    Parameters
    ----------
    plane : ndarray, shape (H, W, S)
        What stays where it is, alpha as it is.
    others : sequence of ndarray, shape (H, W, S)
        What is moved to it. Those with values that are not finite do not count.
    gain, constant : float
        The noise: its variance is gain · mean + constant, in the unit of the pixels.

    Returns
    -------
    ndarray of float, shape (H, W, S)
        The mean.
    float
        How many planes there are in it, on average.
    """
    result = plane.astype(np.float64)
    here = without_alpha(result)
    total, weights = here.copy(), np.ones(here.shape[:2])
    if np.isfinite(here).all():
        for other in others:
            there = _moved_to(here, without_alpha(other).astype(np.float64))
            if there is None:
                continue
            weight = _likeness(here, there, gain, constant)
            total += weight[..., None] * there
            weights += weight
    here[...] = total / weights[..., None]
    return result, float(weights.mean())


def _moved_to(
    here: NDArray[np.float64], there: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Register a plane to another one; None if it shows something else."""
    from skimage import transform
    from skimage.registration import phase_cross_correlation

    if not np.isfinite(there).all():
        return None
    middle = tuple(
        slice(max(0, n - _REGISTERED) // 2, max(0, n - _REGISTERED) // 2 + _REGISTERED)
        for n in here.shape[:2]
    )
    first, second = (_smoothed(p[middle].mean(-1), _SMOOTH) for p in (here, there))
    if min(np.ptp(first), np.ptp(second)) == 0:
        return there
    correlate: Any = phase_cross_correlation
    made: Any = transform
    (down, across), _, _ = correlate(
        first, second, upsample_factor=_STEPS, normalization=None
    )
    if max(abs(down), abs(across)) > _FARTHEST:
        return None
    if down == across == 0:
        return there
    back = made.AffineTransform(translation=(-across, -down))
    moved: NDArray[np.float64] = made.warp(
        there, back, order=3, mode="reflect", preserve_range=True, clip=False
    )
    return moved


def _likeness(
    here: NDArray[np.float64],
    there: NDArray[np.float64],
    gain: float,
    constant: float,
) -> NDArray[np.float64]:
    """Return from 1 to 0 how far two planes differ by no more than noise."""
    ground = _smoothed(((here + there) / 2).mean(-1), 1.0)
    least = max(gain * float(np.percentile(ground, 1)) + constant, 1e-12)
    variance = np.maximum(gain * ground + constant, least)
    square = ((here - there) ** 2).mean(-1) / (2 * variance)
    padded = np.pad(square, _GATE, mode="symmetric")
    side = 2 * _GATE + 1
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
    apart = windows.mean((-2, -1))
    weight: NDArray[np.float64] = np.clip((_OTHER - apart) / (_OTHER - _ALIKE), 0, 1)
    return weight


def _smoothed(plane: NDArray[np.float64], deviation: float) -> NDArray[np.float64]:
    from skimage.filters import gaussian

    smooth: Any = gaussian
    result: NDArray[np.float64] = smooth(
        plane, deviation, mode="reflect", preserve_range=True
    )
    return result
