"""Noise that neighbouring pixels share, as resizing, demosaicing and drift make it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.tasks.denoise import Denoise

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["CorrelatedDenoise", "correlated_noise"]

_MARGIN = 6
"""Pixels that the widest blur reaches, and some."""

_WIDTHS = (0.3, 1.1)
_WHITE_SHARE = 0.25
_ROWS_SHARE = 0.2
_HOT_SHARE = 0.2


class CorrelatedDenoise(Denoise):
    """Removing noise whose grain is anything from white to a blur of a pixel.

    Levels are those of `Denoise`: the deviation of a single pixel.
    """

    def margin(self, level: float) -> int:
        """Return how many pixels far a blur reaches."""
        return _MARGIN

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Add noise of one grain drawn at random; see `Task.degrade`."""
        noise = level * correlated_noise(plane.shape, rng)
        degraded: NDArray[np.float64] = plane + noise
        return degraded


def correlated_noise(
    shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return noise of unit deviation and a grain drawn at random.

    A quarter is white; the rest is blurred by a Gaussian of 0.3 to 1.1 pixels, which
    may differ along rows and columns. At times rows have an offset of their own, or one
    pixel in some thousand is hot.

    Parameters
    ----------
    shape : tuple of int
        (H, W) or (H, W, 3).
    rng : numpy.random.Generator
        Source of the noise.
    """
    noise = rng.standard_normal(shape)
    if rng.random() >= _WHITE_SHARE:
        width = rng.uniform(*_WIDTHS)
        other = rng.uniform(*_WIDTHS) if rng.random() < 0.2 else width
        noise = _blurred(noise, width, other)
    noise /= noise.std()
    if rng.random() < _ROWS_SHARE:
        rows = rng.standard_normal((shape[0], *(1,) * (len(shape) - 1)))
        share = rng.uniform(0.1, 0.5)
        noise = np.sqrt(1 - share**2) * noise + share * rows
    if rng.random() < _HOT_SHARE:
        hot = rng.random(shape) < 10 ** rng.uniform(-4, -2.5)
        noise[hot] += rng.exponential(6, int(hot.sum()))
    return noise


def _blurred(
    noise: NDArray[np.float64], down: float, across: float
) -> NDArray[np.float64]:
    """Blur rows and columns by Gaussians of these deviations, edges joined."""
    rows, columns = (np.fft.fftfreq(length) for length in noise.shape[:2])
    kept = np.exp(
        -2 * np.pi**2 * ((down * rows[:, None]) ** 2 + (across * columns) ** 2)
    )
    kept = kept.reshape(*kept.shape, *(1,) * (noise.ndim - 2))
    blurred: NDArray[np.float64] = np.fft.ifft2(
        np.fft.fft2(noise, axes=(0, 1)) * kept, axes=(0, 1)
    ).real
    return blurred
