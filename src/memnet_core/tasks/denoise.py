"""Removal of Gaussian noise: white, or shared by neighboring pixels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from memnet_core.tasks.base import LevelField, Levels, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = [
    "HOT_MEAN",
    "CorrelatedDenoise",
    "Denoise",
    "NoiseKind",
    "correlated_noise",
    "draw_noise_kind",
    "gaussian_noise",
]


class Denoise(Task):
    """Removing noise; a level is its standard deviation in gray levels of 255."""

    name = "denoise"
    title = "Remove noise"
    result = "denoised"
    quantity = "noise deviation"
    symbol = "σ"
    option = "sigma"
    help = "standard deviation in gray levels of 255.  [default: auto, estimated]"
    bounds = (0, 255)
    noisy = True
    # Of 25 clean pictures 23 read as less; one has grain, one texture (see
    # `Readings.may_be_texture`). benchmarks/steps.py prints what is done.
    mildest = 3
    channels = "each"
    field = LevelField(
        label="noise σ",
        value=25,
        low=0.1,
        high=255,
        step=5,
        tooltip="Standard deviation in gray levels of 255 over the value range.",
    )
    recipe_levels: ClassVar = {
        "fast": Levels.between(5, 75),
        "paper": Levels.listed(30, 50, 70),
        "pairs": Levels.between(0, 255),
    }
    validation_levels = (15, 30, 50)
    standard_levels = (30, 50, 70)
    full_range = True
    # Between seeds of the noise a set's mean differs by 0.013 dB and 0.0012.
    slack = (0.05, 0.003)
    table = 3

    def level_map_value(self, level: float) -> float:
        """Return the deviation where white is 1."""
        return level / 255

    def clip_margin(self, level: float) -> float:
        """Return four deviations, which noise hardly ever exceeds."""
        return 4 * level / 255

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Add noise that is not clipped; see `Task.degrade`."""
        return gaussian_noise(plane.astype(np.float64), level, rng)

    def draw_level(self, levels: Levels, rng: np.random.Generator) -> float:
        """Draw from a range evenly and, where zero is left out, half on a log scale.

        Weak noise is what most pictures have; strong noise takes the most learning.
        """
        if levels.continuous and (levels.values[0] == 0 or rng.random() < 0.5):
            return float(rng.uniform(levels.values[0], levels.values[-1]))
        return super().draw_level(levels, rng)


def gaussian_noise(
    plane: NDArray[np.float64], sigma: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add white Gaussian noise, without clipping.

    Parameters
    ----------
    plane : ndarray of float
        Pixels in [0, 255].
    sigma : float
        Standard deviation in gray levels of 255.
    rng : numpy.random.Generator
        Source of the noise.
    """
    return plane + rng.normal(0.0, sigma, plane.shape)


_MARGIN = 6
"""Reach of the widest blur in pixels, with some reserve (5 standard deviations)."""

_WIDTHS = (0.3, 1.1)
_WHITE_SHARE = 0.25
_ROWS_SHARE = 0.2
_HOT_SHARE = 0.2

HOT_MEAN = 6.0
"""Mean excess of hot pixels, in standard deviations of the noise."""


class CorrelatedDenoise(Denoise):
    """Removal of noise that is white or blurred by up to 1.1 pixels.

    Levels are those of `Denoise`: the standard deviation of a single pixel.
    """

    def receptive_margin(self, level: float) -> int:
        """Return the reach of the widest blur in pixels."""
        return _MARGIN

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Add noise with a random correlation; see `Task.degrade`."""
        noise = level * correlated_noise(plane.shape, rng)
        degraded: NDArray[np.float64] = plane + noise
        return degraded


def correlated_noise(
    shape: tuple[int, ...], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw noise of unit standard deviation and of a random kind.

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
    """Spatial properties of noise.

    Attributes
    ----------
    down, across : float
        Standard deviations in pixels of the Gaussian blur along columns and rows; 0
        for white noise.
    rows : float
        Standard deviation of row offsets relative to the noise.
    hot : float
        Fraction of the pixels that are hot.
    """

    down: float
    across: float
    rows: float
    hot: float


def draw_noise_kind(rng: np.random.Generator) -> NoiseKind:
    """Draw spatial properties of noise.

    A quarter is white; the rest is blurred by a Gaussian of 0.3 to 1.1 pixels, which
    may differ along rows and columns. A fifth has row offsets, a fifth hot pixels (one
    in 300 to 10,000).
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
    """Blur by Gaussians of these standard deviations, with periodic borders."""
    rows, columns = (np.fft.fftfreq(length) for length in noise.shape[:2])
    kept = np.exp(
        -2 * np.pi**2 * ((down * rows[:, None]) ** 2 + (across * columns) ** 2)
    )
    kept = kept.reshape(*kept.shape, *(1,) * (noise.ndim - 2))
    blurred: NDArray[np.float64] = np.fft.ifft2(
        np.fft.fft2(noise, axes=(0, 1)) * kept, axes=(0, 1)
    ).real
    return blurred
