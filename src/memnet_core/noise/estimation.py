"""How the noise of an image grows with its signal: variance = gain · mean + constant.

Photons make it grow: the gain is the values that one photo-electron raises a pixel by
(twice that behind the register of an EMCCD), and the constant is what the electronics
add, less gain times the black level, so that neither has to be known by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.noise.correlation import NORMAL_MEDIAN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["PoissonGaussianNoise", "estimate_noise_model", "noise_points"]

_FEWEST = 150
"""Coefficients in a class: its variance is then sure to 12 %."""

_EVEN_CLASSES = 20
"""Classes of equal size; the brightest, where sparse signals are, is halved on."""

_SMOOTH = 1.6
"""Activity up to which surroundings are taken, where that of the smoothest is 1."""

_TRIMMED = 0.95
"""Share of squared coefficients that is averaged; the rest may be hot pixels."""

_TRIMMED_SHARE = 0.7588
"""What this share of the smallest squares of unit normal variables averages to."""

_TIED = 10
"""Pixels that hold the very highest value where the camera was saturated."""

_CLEAR_ERRORS = 4
"""Standard errors that a slope has to differ from none by."""

_CLEAR_RATIO = 1.1
"""Ratio of bright to dark noise from which on it matters: a tenth of a decibel."""

_MARGIN = 2
"""Coefficients at each border that are left out: the transform extends the image."""

_SMALLEST = 16
"""Pixels along the shorter side of a block that tells anything."""

_FLAT = 4
"""Pixels to each side that hold one value where no camera was; counts of few photons
also are the same over some pixels."""

_ROUNDS = 30
"""Rounds of reweighting; classes without outliers need three."""

_LEAST = 0.02
"""Part of the median variance that a line is taken to stay above."""

_CLEAR_MISFIT = 0.3
"""Cameras have a misfit of 0.03 to 0.15, an EMCCD of few photons up to 0.28; texture of
clean pictures, if there is more of it in bright parts, of 0.2 to 0.5."""

_LIKELY_MISFIT = 0.6
"""Up to which noise still grows, if not along a line; clean pictures have up to 0.9."""

_HUBER = 1.345
"""Standard deviations up to which a class counts in full (95 % efficiency)."""


@dataclass(frozen=True)
class PoissonGaussianNoise:
    """The noise of a channel.

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
        By how much the variances differ from the line, as a fraction.
    dark, bright : float
        Means of the darkest and the brightest parts that were looked at.
    """

    gain: float
    constant: float
    error: float
    misfit: float
    dark: float
    bright: float

    def deviation(self, mean: float) -> float:
        """Return the standard deviation of noise where the mean is `mean`."""
        return float(np.sqrt(max(self.gain * mean + self.constant, 0.0)))

    @property
    def is_clear(self) -> bool:
        """Whether noise grows with the signal, beyond doubt and enough to matter."""
        return self._grows(_CLEAR_MISFIT)

    @property
    def is_likely(self) -> bool:
        """Whether noise grows with the signal, if not surely along this line."""
        return self._grows(_LIKELY_MISFIT)

    def _grows(self, misfit: float) -> bool:
        ratio = self.deviation(self.bright) > _CLEAR_RATIO * self.deviation(self.dark)
        return ratio and self.gain > _CLEAR_ERRORS * self.error and self.misfit < misfit

    def __str__(self) -> str:
        """Say it in words."""
        ends = (self.deviation(self.dark), self.deviation(self.bright))
        gain, dark, bright = (f"{float(f'{n:.2g}'):g}" for n in (self.gain, *ends))
        grows = f"σ {dark} to {bright} from dark to bright"
        return f"{gain} values per photo-electron, {grows}"


def estimate_noise_model(blocks: Sequence[NDArray[Any]]) -> PoissonGaussianNoise | None:
    """Estimate how the noise of a channel grows with its signal.

    The finest diagonal wavelet coefficients of white noise tell its variance. They are
    sorted by the brightness around them into classes; in each, those with the
    smoothest surroundings count. As neither the surroundings nor the mean of a class
    contain the noise of the coefficients themselves, even images of a few
    photo-electrons give an unbiased line. Noise that neighbors share reads too low.

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
        Mean of each class of brightness that holds noise, rising.
    ndarray
        Variance of its noise.
    ndarray
        Number of coefficients that tell it.
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
        for part in _classes(len(order))
    ]
    mean, variance, count = np.array(points).reshape(-1, 3).T
    noisy = variance > 0
    return mean[noisy], variance[noisy], count[noisy]


def _coefficients(plane: NDArray[np.float64]) -> tuple[NDArray[np.float64], ...]:
    """Return of each coefficient the brightness around, mean, square and activity."""
    import pywt

    spoiled = ~np.isfinite(plane)
    spoiled |= _saturated(plane) | _flat(plane)
    low, details = pywt.dwt2(np.where(np.isfinite(plane), plane, 0.0), "db2")
    mean, diagonal = low / 2, details[2]
    around = (_box(mean, 1) - mean) / 8
    energy = sum(detail**2 for detail in details)
    activity = _box(energy, 2) - diagonal**2
    # Coefficient k is of pixels 2k - 2 to 2k + 1, cells k and k + 1 behind a margin.
    rows, columns = (side + 1 for side in mean.shape)
    cells = np.zeros((2 * rows, 2 * columns))
    cells[2 : 2 + plane.shape[0], 2 : 2 + plane.shape[1]] = spoiled
    cells = cells.reshape(rows, 2, columns, 2).sum((1, 3))
    kept = _box(cells, 3)[:-1, :-1] == 0
    for edge in (slice(None, _MARGIN), slice(-_MARGIN, None)):
        kept[edge], kept[:, edge] = False, False
    return around[kept], mean[kept], diagonal[kept] ** 2, activity[kept]


def _saturated(plane: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where the highest value is, if more often than the one below it."""
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
    """Return where no camera was: areas of one value, such as those beside a mosaic."""
    same = np.zeros(plane.shape)
    same[1:, 1:] = (plane[1:, 1:] == plane[:-1, 1:]) & (plane[1:, 1:] == plane[1:, :-1])
    inside = _box(same, _FLAT) == (2 * _FLAT + 1) ** 2
    flat: NDArray[np.bool_] = _box(inside.astype(np.float64), _FLAT + 1) > 0
    return flat


def _box(values: NDArray[np.float64], reach: int) -> NDArray[np.float64]:
    """Return sums over squares around each value; there is nothing beyond the edge."""
    height, width = values.shape
    padded = np.pad(values, reach)
    across, summed = np.zeros((len(padded), width)), np.zeros((height, width))
    for step in range(2 * reach + 1):
        across += padded[:, step : step + width]
    for step in range(2 * reach + 1):
        summed += across[step : step + height]
    return summed


def _classes(count: int) -> list[slice]:
    """Divide sorted coefficients into classes, the brightest into ever smaller ones."""
    even = min(_EVEN_CLASSES, count // _FEWEST)
    cuts = [count * n // even for n in range(even)] if even else []
    while cuts and count - cuts[-1] >= 2 * _FEWEST:
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
    """Return the line through variances, of which each is as sure as it is small."""
    design = np.stack([mean, np.ones_like(mean)], 1)
    expected = np.full_like(variance, np.median(variance))
    weight = np.ones_like(variance)
    for _ in range(_ROUNDS):
        sure = np.sqrt(count / 2) / expected
        scaled = design * (sure * np.sqrt(weight))[:, None]
        line = np.linalg.lstsq(scaled, variance * sure * np.sqrt(weight), rcond=None)[0]
        expected = np.maximum(design @ line, _LEAST * np.median(variance))
        off = np.abs(variance - expected) * sure
        spread = max(float(np.median(off)) / NORMAL_MEDIAN, 1.0)
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
