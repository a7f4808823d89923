"""Whether neighbouring pixels share their noise, and how strong it is then."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["NORMAL_MEDIAN", "Grain", "NoiseFound", "estimate_noise"]

Grain = Literal["white", "correlated"]
"""How neighbouring pixels' noise goes together: not at all, or more or less."""

NORMAL_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normal variable with unit deviation."""

_CORRELATED_FROM = 1.6
"""White noise reads 1.0 to 1.3 where pictures are quiet; blurred by 0.4 px, 1.7."""

_FAINTEST = 3.0
"""Grey levels of 255 below which texture of clean photographs reads the same."""

_QUIET = 0.25
"""Fraction of the blocks that count, those with least in the coarser bands."""

_BLOCK = 8
"""Coefficients of the second level along a block's sides: 32 pixels."""


class NoiseFound(NamedTuple):
    """Grain of the noise and its standard deviation in grey levels of 255."""

    grain: Grain
    sigma: float


def estimate_noise(planes: Sequence[NDArray[np.float32]]) -> NoiseFound:
    """Find grain and deviation of the noise in the quiet parts of a picture.

    White noise is as strong in the finest diagonal wavelet band as in the next; noise
    that was blurred is missing from the finest. What is missing tells the width of the
    blur, and that how much of the noise the next band holds.

    Parameters
    ----------
    planes : sequence of ndarray of float32, shape (H, W)
        The picture or a sample of it, values in [0, 1].
    """
    found = [bands for plane in planes if (bands := _quiet_bands(plane)) is not None]
    if not found:
        return NoiseFound("white", 0.0)
    fine, coarse = (
        float(np.median(np.concatenate(band))) / NORMAL_MEDIAN * 255
        for band in zip(*found, strict=True)
    )
    ratio = coarse / fine
    ratios, gains = _by_width()
    sigma = coarse / float(np.interp(ratio, ratios, gains))
    if ratio < _CORRELATED_FROM or sigma < _FAINTEST:
        return NoiseFound("white", fine)
    return NoiseFound("correlated", sigma)


def _quiet_bands(
    plane: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    """Return the magnitudes of two diagonal bands in quiet blocks that hold noise."""
    import pywt

    if min(plane.shape) < 8 * _BLOCK:
        return None
    low, (_, _, fine) = pywt.dwt2(plane, "db2", mode="periodization")
    _, (across, down, coarse) = pywt.dwt2(low, "db2", mode="periodization")
    blocks = _blocks(fine, 2 * _BLOCK), _blocks(coarse, _BLOCK)
    activity = np.median(
        np.concatenate([_blocks(across, _BLOCK), _blocks(down, _BLOCK)], axis=1), axis=1
    )
    noisy = np.flatnonzero(np.median(blocks[0], axis=1) > 0)
    if not noisy.size:
        return None
    count = max(1, round(_QUIET * noisy.size))
    quiet = noisy[np.argsort(activity[noisy])[:count]]
    return blocks[0][quiet].ravel(), blocks[1][quiet].ravel()


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
