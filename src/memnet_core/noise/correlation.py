"""Whether neighboring pixels share their noise, and how strong it is then."""

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
"""How neighboring pixels' noise goes together: not at all, or more or less."""

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normal variable with unit deviation."""

_CORRELATED_FROM = 1.6
"""White noise reads 1.0 to 1.3 where pictures are quiet; blurred by 0.4 px, 1.7."""

_FAINTEST = 3.0
"""Gray levels of 255 below which texture of clean photographs reads the same."""

_QUIET = 0.25
"""Fraction of the blocks that count, those with least in the coarser bands."""

_BLOCK = 8
"""Coefficients of the second level along a block's sides: 32 pixels."""

_CLIPPED = 0.03
"""Share of a block's pixels at an end of the values from which on it is not looked at:
there noise was cut off, which makes it look quiet."""

_FEWEST = 4
"""Blocks below which those that were clipped have to do."""

_ERRORS = 3
"""Standard errors by which quiet parts have to read less than a whole picture, for the
difference to be one of texture."""

_ERROR = 1.16
"""Standard error of a deviation found by a median, times the root of their number."""


class _Quiet(NamedTuple):
    """Magnitudes in two bands of quiet blocks, and whether noise was cut off there."""

    fine: NDArray[np.float32]
    coarse: NDArray[np.float32]
    is_clipped: bool


class NoiseFound(NamedTuple):
    """Grain of the noise and its standard deviation in gray levels of 255."""

    grain: Grain
    sigma: float


def estimate_correlation(planes: Sequence[NDArray[np.float32]]) -> NoiseFound:
    """Find grain and deviation of the noise in the quiet parts of a picture.

    White noise is as strong in the finest diagonal wavelet band as in the next; noise
    that was blurred is missing from the finest. What is missing tells the width of the
    blur, and that how much of the noise the next band holds.

    Parameters
    ----------
    planes : sequence of ndarray of float32, shape (H, W)
        The picture or a sample of it, values in [0, 1].
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
    """Return the standard deviation of white noise in gray levels of 255.

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
    """Return the deviation in gray levels of 255 of normal variables."""
    return float(np.median(magnitudes)) / NORMAL_MEDIAN * 255


def _quiet(plane: NDArray[np.float32]) -> _Quiet | None:
    """Return two diagonal bands in quiet blocks that hold noise."""
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
    """Return magnitudes, one row for each whole block."""
    rows, columns = (length // side for length in band.shape)
    whole = np.abs(band[: rows * side, : columns * side])
    blocks: NDArray[np.float32] = (
        whole.reshape(rows, side, columns, side).swapaxes(1, 2).reshape(-1, side**2)
    )
    return blocks


@functools.cache
def _by_width() -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return ratio of the bands and share in the coarser one, for widths of a blur.

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
