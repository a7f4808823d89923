"""Estimate whether noise is spatially correlated, and its standard deviation."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = [
    "NORMAL_MEDIAN",
    "Grain",
    "NoiseFound",
    "estimate_correlation",
    "estimate_sigma",
]

Grain = Literal["white", "correlated"]
"""Spatial correlation of the noise: none, or some."""

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normal variable with unit deviation."""

_CORRELATED_FROM = 1.6
"""Ratio of coarse to fine band above which noise counts as correlated. In quiet parts
white noise measures 1.0 to 1.3; blurred by 0.4 px, 1.7."""

_FAINTEST = 3.0
"""Smallest correlated noise in gray levels of 255; below, texture of clean photographs
measures the same."""

_QUIET = 0.25
"""Fraction of the blocks to use: those with the least energy in the coarser bands."""

_BLOCK = 8
"""Side of a block in second-level coefficients: 32 pixels."""

_CLIPPED = 0.03
"""Share of saturated pixels from which on a block is skipped: clipped noise looks
quiet."""

_FEWEST = 4
"""With fewer unclipped blocks, clipped ones are used, too."""

_ERRORS = 3
"""Standard errors by which the estimate of quiet parts must lie below that of the whole
image to attribute the difference to texture."""

_ERROR = 1.16
"""Relative standard error of a median-based deviation, times the root of the count."""


class _Quiet(NamedTuple):
    """Coefficient magnitudes of quiet blocks in two bands, and whether they clip."""

    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    is_clipped: bool


class NoiseFound(NamedTuple):
    """Correlation of the noise, and its standard deviation in gray levels of 255."""

    grain: Grain
    sigma: float


def estimate_correlation(planes: Sequence[NDArray[np.float32]]) -> NoiseFound:
    """Estimate correlation and standard deviation of noise in quiet parts of an image.

    White noise has equal power in the two finest diagonal wavelet bands; a blur
    attenuates the finest. The ratio of the bands determines the width of the blur, and
    the width determines the share of the noise that the second band holds.

    Parameters
    ----------
    planes : sequence of ndarray of float32, shape (H, W)
        The image or a sample of it, values in [0, 1].
    """
    found = [quiet for plane in planes if (quiet := _quiet(plane)) is not None]
    if not found:
        return NoiseFound("white", 0.0)
    fine = _deviation(np.concatenate([quiet.fine for quiet in found]))
    coarse = _deviation(np.concatenate([quiet.coarse for quiet in found]))
    ratio = coarse / fine
    ratios, gains = _by_width()
    sigma = coarse / float(np.interp(ratio, ratios, gains))
    if ratio < _CORRELATED_FROM or sigma < _FAINTEST:
        return NoiseFound("white", fine)
    return NoiseFound("correlated", sigma)


def estimate_sigma(plane: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of white noise in gray levels of 255.

    The median of the finest diagonal wavelet coefficients (Donoho and Johnstone, 1994)
    of quiet parts, or of the whole picture where texture makes no difference: clean
    images read 0 to 5; noise that was clipped all over reads low.

    Parameters
    ----------
    plane : ndarray of float32, shape (H, W)
        Values in [0, 1].
    """
    import pywt

    _, (_, _, diagonal) = pywt.dwt2(plane, "db2")
    magnitudes = np.abs(diagonal[diagonal != 0])
    if not magnitudes.size:
        return 0.0
    whole, quiet = _deviation(magnitudes), _quiet(plane)
    if quiet is None or quiet.is_clipped:
        return whole
    sigma = _deviation(quiet.fine)
    error = _ERROR / np.sqrt(quiet.fine.size)
    return whole if whole <= sigma * (1 + _ERRORS * error) else sigma


def _deviation(magnitudes: NDArray[np.float32]) -> float:
    """Estimate the deviation of normal variables by their median, in gray levels."""
    return float(np.median(magnitudes)) / NORMAL_MEDIAN * 255


def _quiet(plane: NDArray[np.float32]) -> _Quiet | None:
    """Select quiet, noisy blocks; return their coefficients in both diagonal bands."""
    import pywt

    if min(plane.shape) < 8 * _BLOCK:
        return None
    low, (_, _, fine) = pywt.dwt2(plane, "db2", mode="periodization")
    _, (across, down, coarse) = pywt.dwt2(low, "db2", mode="periodization")
    blocks = _blocks(fine, 2 * _BLOCK), _blocks(coarse, _BLOCK)
    activity = np.median(
        np.concatenate([_blocks(across, _BLOCK), _blocks(down, _BLOCK)], axis=1), axis=1
    )
    ends = (plane == plane.min()) | (plane == plane.max())
    even = [(0, length % 2) for length in plane.shape]
    clipped = _blocks(np.pad(ends.astype(np.float32), even), 4 * _BLOCK)
    noisy = np.median(blocks[0], axis=1) > 0
    whole = np.flatnonzero(noisy & (clipped.mean(axis=1) < _CLIPPED))
    is_clipped = len(whole) < _FEWEST
    seen = np.flatnonzero(noisy) if is_clipped else whole
    if not seen.size:
        return None
    count = max(1, round(_QUIET * seen.size))
    quiet = seen[np.argsort(activity[seen])[:count]]
    return _Quiet(blocks[0][quiet].ravel(), blocks[1][quiet].ravel(), is_clipped)


def _blocks(band: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    """Return the magnitudes of whole blocks, shape (blocks, side²)."""
    rows, columns = (length // side for length in band.shape)
    whole = np.abs(band[: rows * side, : columns * side])
    blocks: NDArray[np.float32] = (
        whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side**2)
    )
    return blocks


@functools.cache
def _by_width() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tabulate the ratio of the bands and the gain of the coarser one by blur width.

    Both follow from the spectrum of Gaussian-blurred noise and the responses of the
    wavelet's filters; all three are separable.
    """
    import pywt

    points = 512
    wavelet = pywt.Wavelet("db2")
    low, high = (
        np.abs(np.fft.fft(taps, points)) ** 2
        for taps in (wavelet.dec_lo, wavelet.dec_hi)
    )
    frequencies = np.fft.fftfreq(points)
    twice = np.arange(0, 2 * points, 2) % points
    ratios, gains = [], []
    for width in np.linspace(0, 1.5, 31):
        spectrum = np.exp(-((2 * np.pi * width * frequencies) ** 2))
        spectrum /= spectrum.mean()
        fine = np.mean(high * spectrum)
        coarse = np.mean(low * high[twice] * spectrum)
        ratios.append(coarse / fine)
        gains.append(coarse)
    return np.array(ratios), np.array(gains)
