"""Spectral densities of restored images by concentric circles (Fig. 4 of the paper)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["BANDS", "Spectrum", "decibels", "spectrum_of"]

BANDS = {"low": (0, 1 / 6), "middle": (1 / 6, 1 / 3), "high": (1 / 3, 0.5)}
"""Thirds of the frequencies, in cycles a pixel."""


@dataclass(frozen=True)
class Spectrum:
    """Power of an image on concentric circles around frequency 0.

    Attributes
    ----------
    frequency : ndarray of float, shape (K,)
        Radius of the circles in cycles a pixel, up to 0.5.
    power : ndarray of float, shape (K,)
        Sum of |F|² over each circle, a part of the mean square of the image's values.
    """

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]

    def band(self, name: str) -> float:
        """Return the power within one of `BANDS`."""
        low, high = BANDS[name]
        inside = (self.frequency >= low) & (self.frequency < high)
        return float(self.power[inside].sum())


def spectrum_of(plane: NDArray[Any]) -> Spectrum:
    """Integrate the centred power spectrum of an image over concentric circles.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Pixels on any scale; their mean is taken away first.

    Notes
    -----
    Circles are 1 / min(H, W) cycles a pixel wide; the first one is around 0. The image
    is taken as it is, without a window: what its borders add is the same for all
    networks that are compared.
    """
    values = np.asarray(plane, np.float64)
    values = values - values.mean()
    height, width = values.shape
    power = np.abs(np.fft.fft2(values) / values.size) ** 2
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    side = min(height, width)
    circle = np.rint(radius * side).astype(int)
    circles = side // 2 + 1
    sums = np.bincount(circle.ravel(), power.ravel(), minlength=circles)[:circles]
    frequency = np.arange(circles, dtype=np.float64) / side
    return Spectrum(frequency, sums.astype(np.float64))


def decibels(power: Any, reference: Any) -> Any:
    """Return a ratio of powers in dB; nothing to nothing is 0.

    Parameters
    ----------
    power, reference : float or ndarray
        Powers on one scale.
    """
    # Far below what 8 bits can hold (1/12 spread over all circles), far above rounding.
    floor = 1e-12
    return 10 * np.log10((power + floor) / (reference + floor))
