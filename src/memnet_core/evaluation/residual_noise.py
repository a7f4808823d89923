"""Test whether a residual is noise: of its strength, white, and without structure.

For Poisson-Gaussian noise, the residual is divided by the standard deviation of the
noise at each pixel's brightness, so that bright parts do not dominate.
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
"""Maximum shift in pixels of the autocorrelation."""

_CLIP = 5.0
"""Standard deviations to which the residual is clipped, or one hot pixel dominates."""

_BOX = 5
"""Side in pixels of the box filter whose residual are the details of the result."""


@dataclass(frozen=True)
class Residual:
    """A plane before and after restoration, and the residual.

    Attributes
    ----------
    before, after : ndarray of float, shape (H, W)
        Pixels in the unit of the image.
    removed : ndarray of float, shape (H, W)
        Residual in standard deviations of the estimated noise.
    correlation : ndarray of float, shape (15, 15)
        Autocorrelation of `removed` at shifts of -7 to 7 pixels; 1 in the middle.
    structure : float
        Correlation of `removed` with details of the result, in [-1, 1].
    chance : float
        Bound that correlations of white noise keep in 99.7 % of cases.
    noise : str
        Description of the estimated noise.
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
        """Correlation of horizontal neighbors."""
        return float(self.correlation[_REACH, _REACH + 1])

    @property
    def down(self) -> float:
        """Correlation of vertical neighbors."""
        return float(self.correlation[_REACH + 1, _REACH])

    def words(self) -> list[str]:
        """Describe the noise and the statistics of the residual, a line each."""
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
        Source and result in the same unit; both sides are at least 16 pixels.
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
        scaled = ((first - low) / spread).astype(np.float32)
        read = readings_of(shipped_noise_network(), [scaled])
        white = line.deviation(float(first.mean())) if line else 0.0
        # What neighbors share, the finest details do not hold.
        sigma = max(read.level(read.curve()) / 255 * spread, white, 1e-9)
        deviation, noise = np.full_like(last, sigma), f"σ {sigma:.3g} everywhere"
    relative = np.clip(removed / deviation, -_CLIP, _CLIP)
    relative -= relative.mean()
    details = (last - _box_mean(last)) / deviation
    return Residual(
        before=first,
        after=last,
        removed=relative,
        correlation=_autocorrelation(relative),
        structure=_correlation(relative, np.clip(details, -_CLIP, _CLIP)),
        chance=3 / math.sqrt(relative.size),
        noise=noise,
    )


def _autocorrelation(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Correlate a plane with itself at shifts of up to 7 pixels."""
    steps = range(-_REACH, _REACH + 1)
    return np.array(
        [[_correlation(*_overlap(plane, y, x)) for x in steps] for y in steps]
    )


def _overlap(
    plane: NDArray[np.float64], down: int, across: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the overlap of a plane with a shifted copy of itself, from both."""
    height, width = plane.shape
    here = plane[max(0, down) : height + min(0, down)]
    there = plane[max(0, -down) : height + min(0, -down)]
    return (
        here[:, max(0, across) : width + min(0, across)],
        there[:, max(0, -across) : width + min(0, -across)],
    )


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the correlation of two planes; 0 if one is constant."""
    a, b = first - first.mean(), second - second.mean()
    power = float(np.sqrt(np.mean(a**2) * np.mean(b**2)))
    return float(np.mean(a * b)) / power if power else 0.0


def _box_mean(plane: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return box means, with mirrored borders."""
    padded = np.pad(plane, _BOX // 2, mode="reflect")
    boxes = np.lib.stride_tricks.sliding_window_view(padded, (_BOX, _BOX))
    return np.asarray(boxes.mean((-2, -1)))
