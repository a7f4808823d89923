"""How the noise of an image grows with its signal: variance = gain · mean + constant.

Photons make it grow: the gain is the values that one photo-electron raises a pixel by
(twice that behind the register of an EMCCD), and the constant is what the electronics
add, less gain times the black level, so that neither has to be known by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "PoissonGaussianNoise",
    "brightness_classes",
    "estimate_noise_model",
    "noise_points",
]

_ROOT = math.sqrt(3)
_LOW = np.array([1 - _ROOT, 3 - _ROOT, 3 + _ROOT, 1 + _ROOT]) / math.sqrt(32)
_HIGH = _LOW[::-1] * (-1, 1, -1, 1)
"""Daubechies' wavelet with two vanishing moments, which sees no linear ramps."""

_NORMAL_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normal variable with unit deviation."""

_FEWEST = 150
"""Minimum coefficients of a class; the standard error of its variance is then 12 %."""

_EVEN_CLASSES = 20
"""Number of classes of equal size; the brightest, with sparse signals, is split on."""

_SMOOTH = 1.6
"""Maximum activity of the surroundings, relative to the smoothest ones."""

_TRIMMED = 0.95
"""Share of squared coefficients that is averaged; the rest may be hot pixels."""

_TRIMMED_SHARE = 0.7588
"""Mean of the smallest 95 % of squared standard normal variables."""

_TIED = 10
"""Minimum number of pixels at the maximum that indicates saturation."""

_CLEAR_ERRORS = 4
"""Standard errors by which a significant slope exceeds zero."""

_CLEAR_RATIO = 1.1
"""Ratio of bright to dark noise from which on the model matters (0.1 dB)."""

_SMALLEST = 16
"""Minimum side of a usable block in pixels."""

_FLAT = 4
"""Reach of a constant neighborhood that counts as padding. Counts of few photons are
also equal over some pixels, but not that many."""

_ROUNDS = 30
"""Iterations of reweighting; three suffice without outliers."""

_LEAST = 0.02
"""Lower bound of the fitted variance, relative to the median variance."""

_CLEAR_MISFIT = 0.3
"""Maximum misfit of a clear model. Cameras have 0.03 to 0.15, an EMCCD at few photons
up to 0.28; clean images with more texture in bright parts 0.2 to 0.5."""

_LIKELY_MISFIT = 0.6
"""Maximum misfit of a likely model (noise grows, but not linearly); clean images reach
0.9."""

_HUBER = 1.345
"""Huber threshold in standard deviations (95 % efficiency for normal errors)."""


@dataclass(frozen=True)
class PoissonGaussianNoise:
    """Poisson-Gaussian noise model of a channel: variance = gain·mean + constant.

    Attributes
    ----------
    gain : float
        Variance over mean, in the unit of the pixels; not positive where noise does
        not grow with the signal.
    constant : float
        Variance at a mean of zero, which may lie far below the black level: it can be
        negative.
    error : float
        Standard error of the gain.
    misfit : float
        Median relative deviation of the variances from the line.
    dark, bright : float
        Means of the darkest and the brightest class.
    """

    gain: float
    constant: float
    error: float
    misfit: float
    dark: float
    bright: float

    def deviation(self, mean: float) -> float:
        """Return the standard deviation of noise at a mean pixel value."""
        return float(np.sqrt(max(self.gain * mean + self.constant, 0.0)))

    @property
    def is_clear(self) -> bool:
        """Whether noise grows with the signal, significantly and enough to matter."""
        return self._grows(_CLEAR_MISFIT)

    @property
    def is_likely(self) -> bool:
        """Whether noise grows with the signal, if not surely along this line."""
        return self._grows(_LIKELY_MISFIT)

    def _grows(self, misfit: float) -> bool:
        ratio = self.deviation(self.bright) > _CLEAR_RATIO * self.deviation(self.dark)
        return ratio and self.gain > _CLEAR_ERRORS * self.error and self.misfit < misfit

    def __str__(self) -> str:
        """Describe gain and standard deviations in a phrase."""
        ends = (self.deviation(self.dark), self.deviation(self.bright))
        gain, dark, bright = (f"{float(f'{n:.2g}'):g}" for n in (self.gain, *ends))
        grows = f"σ {dark} to {bright} from dark to bright"
        return f"{gain} values per photo-electron, {grows}"


def estimate_noise_model(blocks: Sequence[NDArray[Any]]) -> PoissonGaussianNoise | None:
    """Fit variance against mean of a channel.

    The variance of white noise is that of the finest diagonal wavelet coefficients.
    These are sorted into classes by the brightness around them; in each class those
    with the smoothest surroundings are used. Neither the brightness nor the activity
    contains the noise of the coefficient itself, so the fit is unbiased even at a few
    photo-electrons. Spatially correlated noise is underestimated.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (h, w, S)
        A sample of the pixels, in any unit. Those that are not finite, saturated or
        in areas of one value do not count.

    Returns
    -------
    NoiseLine or None
        None where there are too few pixels, or no noise.
    """
    mean, variance, count = noise_points(blocks)
    if len(mean) < 2:
        return None
    return _fitted(mean, variance, count)


def noise_points(
    blocks: Sequence[NDArray[Any]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the points that `estimate_noise_model` lays a line through.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (h, w, S)
        As for `estimate_noise_model`.

    Returns
    -------
    ndarray
        Mean of each class with noise, ascending.
    ndarray
        Variance of its noise.
    ndarray
        Number of coefficients used.
    """
    found = [
        _coefficients(block[..., sample].astype(np.float64))
        for block in blocks
        for sample in range(block.shape[-1])
        if min(block.shape[:2]) >= _SMALLEST
    ]
    if not found:
        return np.empty(0), np.empty(0), np.empty(0)
    columns = [np.concatenate(parts) for parts in zip(*found, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    _, means, squares, activity = (column[order] for column in columns)
    points = [
        _point(means[part], squares[part], activity[part])
        for part in brightness_classes(len(order), _EVEN_CLASSES, _FEWEST)
    ]
    mean, variance, count = np.array(points).reshape(-1, 3).T
    noisy = variance > 0
    return mean[noisy], variance[noisy], count[noisy]


def _coefficients(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return (surrounding mean, mean, squared value, activity) of each coefficient."""
    spoiled = ~np.isfinite(plane)
    spoiled |= _saturated(plane) | _flat(plane)
    low, high = (_halved(np.where(spoiled, 0.0, plane), taps) for taps in (_LOW, _HIGH))
    mean, across = (_halved(low.T, taps).T for taps in (_LOW, _HIGH))
    down, diagonal = (_halved(high.T, taps).T for taps in (_LOW, _HIGH))
    mean = mean / 2
    around = (_box(mean, 1) - mean) / 8
    energy = across**2 + down**2 + diagonal**2
    activity = _box(energy, 2) - diagonal**2
    # Coefficient k is of the pixels 2k to 2k + 3, pairs k and k + 1.
    rows, columns = (side // 2 for side in plane.shape)
    pairs = spoiled[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)
    kept = _box(pairs.sum((1, 3)).astype(np.float64), 3)[:-1, :-1] == 0
    # The activity at the borders lacks what is beyond them.
    for edge in (slice(None, 2), slice(-2, None)):
        kept[edge], kept[:, edge] = False, False
    return around[kept], mean[kept], diagonal[kept] ** 2, activity[kept]


def _halved(
    values: NDArray[np.float64], taps: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Filter the rows of a plane by four taps at every second place within them."""
    count = len(values) // 2 - 1
    moved = (values[3 - n : 2 * count + 3 - n : 2] for n in range(4))
    halved: NDArray[np.float64] = sum(
        (tap * rows for tap, rows in zip(taps, moved, strict=True)),
        np.zeros((count, values.shape[1])),
    )
    return halved


def _saturated(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask pixels at the maximum if it is more frequent than the next lower value."""
    finite: NDArray[np.float64] = plane[np.isfinite(plane)]
    top = finite.max(initial=-np.inf)
    lower: NDArray[np.float64] = np.where(finite == top, -np.inf, finite)
    below = lower.max(initial=-np.inf)
    often = int(np.count_nonzero(finite == top))
    if often < max(_TIED, 2 * int(np.count_nonzero(finite == below))):
        return np.zeros(plane.shape, bool)
    saturated: NDArray[np.bool_] = plane == top
    return saturated


def _flat(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Mask constant areas without camera noise, such as the padding of a mosaic."""
    same = np.zeros(plane.shape)
    same[1:, 1:] = (plane[1:, 1:] == plane[:-1, 1:]) & (plane[1:, 1:] == plane[1:, :-1])
    inside = _box(same, _FLAT) == (2 * _FLAT + 1) ** 2
    flat: NDArray[np.bool_] = _box(inside.astype(np.float64), _FLAT + 1) > 0
    return flat


def _box(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return box sums around each value, with zeros beyond the edge."""
    height, width = values.shape
    padded = np.pad(values, reach)
    across, summed = np.zeros((len(padded), width)), np.zeros((height, width))
    for step in range(2 * reach + 1):
        across += padded[:, step : step + width]
    for step in range(2 * reach + 1):
        summed += across[step : step + height]
    return summed


def brightness_classes(count: int, even: int, fewest: int) -> list[slice]:
    """Divide sorted values into classes; halve the brightest, which are sparse.

    Parameters
    ----------
    count : int
        Number of values.
    even : int
        Number of classes of equal size, at most.
    fewest : int
        Values in a class, at least; with fewer there is none.
    """
    even = min(even, count // fewest)
    cuts = [count * n // even for n in range(even)] if even else []
    while cuts and count - cuts[-1] >= 2 * fewest:
        cuts.append((cuts[-1] + count) // 2)
    return [slice(*ends) for ends in pairwise([*cuts, count])]


def _point(
    means: NDArray[np.float64],
    squares: NDArray[np.float64],
    activity: NDArray[np.float64],
) -> tuple[float, float, float]:
    """Return mean, variance and number of the smooth coefficients of a class."""
    smooth = activity <= _SMOOTH * np.percentile(activity, 5)
    least = np.sort(squares[smooth])[: max(1, int(_TRIMMED * smooth.sum()))]
    return means[smooth].mean(), least.mean() / _TRIMMED_SHARE, float(smooth.sum())


def _fitted(
    mean: NDArray[np.float64],
    variance: NDArray[np.float64],
    count: NDArray[np.float64],
) -> PoissonGaussianNoise:
    """Fit variance = gain·mean + constant by Huber-weighted least squares.

    The variance of a sample variance v of n coefficients is 2v²/n.
    """
    design = np.stack([mean, np.ones_like(mean)], 1)
    expected = np.full_like(variance, np.median(variance))
    weight = np.ones_like(variance)
    for _ in range(_ROUNDS):
        sure = np.sqrt(count / 2) / expected
        scaled = design * (sure * np.sqrt(weight))[:, None]
        line = np.linalg.lstsq(scaled, variance * sure * np.sqrt(weight), rcond=None)[0]
        expected = np.maximum(design @ line, _LEAST * np.median(variance))
        off = np.abs(variance - expected) * sure
        spread = max(float(np.median(off)) / _NORMAL_MEDIAN, 1.0)
        weight = np.minimum(1, _HUBER * spread / np.maximum(off, 1e-9))
    covariance = np.linalg.pinv(scaled.T @ scaled)
    return PoissonGaussianNoise(
        gain=float(line[0]),
        constant=float(line[1]),
        error=spread * float(np.sqrt(covariance[0, 0])),
        misfit=float(np.median(np.abs(variance / expected - 1))),
        dark=float(mean.min()),
        bright=float(mean.max()),
    )
