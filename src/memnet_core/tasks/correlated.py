"""Noise that neighboring pixels share, as resizing, demosaicing and drift make it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from memnet_core.tasks.denoise import Denoise

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "HOT_MEAN",
    "CorrelatedDenoise",
    "NoiseKind",
    "correlated_noise",
    "draw_noise_kind",
]

_MARGIN = 6
"""Pixels that the widest blur reaches, and some."""

_WIDTHS = (0.3, 1.1)
_WHITE_SHARE = 0.25
_ROWS_SHARE = 0.2
_HOT_SHARE = 0.2

HOT_MEAN = 6.0
"""By how many deviations a hot pixel is brighter, on average."""


class CorrelatedDenoise(Denoise):
    """Removing noise whose grain is anything from white to a blur of a pixel.

    Levels are those of `Denoise`: the deviation of a single pixel.
    """

    def receptive_margin(self, level: float) -> int:
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
    """Return noise of unit deviation and a kind drawn at random.

    Parameters
    ----------
    shape : tuple of int
        (H, W) or (H, W, 3).
    rng : numpy.random.Generator
        Source of the noise.
    """
    down, across, rows, hot = draw_noise_kind(rng)
    noise = rng.standard_normal(shape)
    if down:
        noise = _blurred(noise, down, across)
    noise /= noise.std()
    if rows:
        offsets = rng.standard_normal((shape[0], *(1,) * (len(shape) - 1)))
        noise = np.sqrt(1 - rows**2) * noise + rows * offsets
    if hot:
        is_hot = rng.random(shape) < hot
        noise[is_hot] += rng.exponential(HOT_MEAN, int(is_hot.sum()))
    return noise


class NoiseKind(NamedTuple):
    """What noise is like.

    Attributes
    ----------
    down, across : float
        Deviations in pixels of the Gaussian that it was blurred by along columns and
        rows; 0 if it is white.
    rows : float
        Share of the offsets that whole rows have.
    hot : float
        Fraction of the pixels that are hot.
    """

    down: float
    across: float
    rows: float
    hot: float


def draw_noise_kind(rng: np.random.Generator) -> NoiseKind:
    """Draw what noise is like.

    A quarter is white; the rest is blurred by a Gaussian of 0.3 to 1.1 pixels, which
    may differ along rows and columns. At times rows have an offset of their own, or one
    pixel in some thousand is hot.
    """
    down = across = 0.0
    if rng.random() >= _WHITE_SHARE:
        down = across = rng.uniform(*_WIDTHS)
        if rng.random() < 0.2:
            across = rng.uniform(*_WIDTHS)
    rows = rng.uniform(0.1, 0.5) if rng.random() < _ROWS_SHARE else 0.0
    hot = 10 ** rng.uniform(-4, -2.5) if rng.random() < _HOT_SHARE else 0.0
    return NoiseKind(down, across, rows, hot)


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
