"""Test whether a residual is noise: of its strength, white, and without structure.

Where noise is of photons, what was removed is divided by the deviation that noise has
at the brightness of each pixel, so that bright parts do not count for more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.batch.residuals import difference
from memnet_core.inference.noise_map import readings_of
from memnet_core.noise.estimation import estimate_noise_model
from memnet_core.noise.file import shipped_noise_network

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Residual", "residual_of"]

_REACH = 7
"""Pixels in each direction up to which the correlation is drawn."""

_MOST = 5.0
"""Deviations beyond which a pixel counts as these, or one hot pixel would rule."""

_BROAD = 5
"""Side in pixels of the squares whose mean is the ground that details lie on."""


@dataclass(frozen=True)
class Residual:
    """A plane before and after restoration, and the residual.

    Attributes
    ----------
    before, after : ndarray of float, shape (H, W)
        In the unit of the image.
    removed : ndarray of float, shape (H, W)
        In deviations of the noise that was found.
    correlation : ndarray of float, shape (15, 15)
        Of what was removed with itself, moved by -7 to 7 pixels; 1 in the middle.
    structure : float
        Its correlation with details of the result, in [-1, 1].
    chance : float
        What a correlation of white noise stays below in 99.7 % of cases.
    noise : str
        The noise, in words.
    """

    before: NDArray[np.float64]
    after: NDArray[np.float64]
    removed: NDArray[np.float64]
    correlation: NDArray[np.float64]
    structure: float
    chance: float
    noise: str

    @property
    def across(self) -> float:
        """Correlation of pixels that are neighbors in a row."""
        return float(self.correlation[_REACH, _REACH + 1])

    @property
    def down(self) -> float:
        """Correlation of pixels that are neighbors in a column."""
        return float(self.correlation[_REACH + 1, _REACH])

    def words(self) -> list[str]:
        """Say it."""
        strength = float(self.removed.std())
        return [
            f"noise: {self.noise}",
            f"strength: {strength:.2f} of that noise was removed",
            f"whiteness: neighbors correlate by {self.across:+.3f} across and "
            f"{self.down:+.3f} down (by chance up to {self.chance:.3f})",
            f"structure: {self.structure:+.3f} with details of the result",
        ]


def residual_of(before: NDArray[Any], after: NDArray[Any]) -> Residual:
    """Analyze the residual of a restored plane.

    Parameters
    ----------
    before, after : ndarray, shape (H, W)
        Source and result, in one unit; at least 16 pixels along each side.
    """
    removed = difference(before, after).astype(np.float64)
    first, last = (np.nan_to_num(plane.astype(np.float64)) for plane in (before, after))
    line = estimate_noise_model([before[..., None]])
    if line and line.is_clear:
        variance = line.gain * last + line.constant
        deviation = np.sqrt(np.maximum(variance, line.deviation(line.dark) ** 2))
        noise = str(line)
    else:
        low, high = np.percentile(first, (0.1, 99.9))
        spread = max(high - low, 1e-9)
        seen = ((first - low) / spread).astype(np.float32)
        read = readings_of(shipped_noise_network(), [seen])
        white = line.deviation(float(first.mean())) if line else 0.0
        # What neighbors share, the finest details do not hold.
        sigma = max(read.level(read.curve()) / 255 * spread, white, 1e-9)
        deviation, noise = np.full_like(last, sigma), f"σ {sigma:.3g} everywhere"
    relative = np.clip(removed / deviation, -_MOST, _MOST)
    relative -= relative.mean()
    details = (last - _mean_around(last)) / deviation
    return Residual(
        before=first,
        after=last,
        removed=relative,
        correlation=_correlation(relative),
        structure=_alike(relative, np.clip(details, -_MOST, _MOST)),
        chance=3 / math.sqrt(relative.size),
        noise=noise,
    )


def _correlation(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the correlation of a plane with itself, moved by up to 7 pixels."""
    steps = range(-_REACH, _REACH + 1)
    return np.array([[_alike(*_moved(plane, y, x)) for x in steps] for y in steps])


def _moved(
    plane: NDArray[np.float64], down: int, across: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the overlap of a plane with a shifted copy of itself."""
    height, width = plane.shape
    here = plane[max(0, down) : height + min(0, down)]
    there = plane[max(0, -down) : height + min(0, -down)]
    return (
        here[:, max(0, across) : width + min(0, across)],
        there[:, max(0, -across) : width + min(0, -across)],
    )


def _alike(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of two planes; 0 if one is of one value."""
    a, b = first - first.mean(), second - second.mean()
    power = float(np.sqrt(np.mean(a**2) * np.mean(b**2)))
    return float(np.mean(a * b)) / power if power else 0.0


def _mean_around(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return box means, with mirrored borders."""
    padded = np.pad(plane, _BROAD // 2, mode="reflect")
    sums = np.lib.stride_tricks.sliding_window_view(padded, (_BROAD, _BROAD))
    return np.asarray(sums.mean((-2, -1)))
