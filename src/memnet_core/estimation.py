"""How strongly an image is degraded: JPEG quality and noise level."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["QualityEstimate", "estimate_quality", "estimate_sigma", "luminance_table"]

_NORMAL_MEDIAN = 0.6744897501960817
"""Median of the magnitude of a normal variable with unit deviation."""

# ITU-T T.81, Table K.1, in natural order.
# fmt: off
_STANDARD_LUMINANCE = np.array([
    16, 11, 10, 16,  24,  40,  51,  61,
    12, 12, 14, 19,  26,  58,  60,  55,
    14, 13, 16, 24,  40,  57,  69,  56,
    14, 17, 22, 29,  51,  87,  80,  62,
    18, 22, 37, 56,  68, 109, 103,  77,
    24, 35, 55, 64,  81, 104, 113,  92,
    49, 64, 78, 87, 103, 121, 120, 101,
    72, 92, 95, 98, 112, 100, 103,  99,
], np.int64)
# fmt: on


@dataclass(frozen=True)
class QualityEstimate:
    """The JPEG quality whose standard table is closest.

    Attributes
    ----------
    quality : int
        Quality 1 to 100 on libjpeg's scale.
    misfit : float
        Mean difference of the 64 steps from that table, relative to it; 0 for
        encoders that scale the standard table.
    """

    quality: int
    misfit: float


def luminance_table(quality: int) -> NDArray[np.int64]:
    """Return the 64 luminance steps that libjpeg uses at a quality of 1 to 100."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    return np.clip((_STANDARD_LUMINANCE * scale + 50) // 100, 1, 255)


def estimate_quality(table: Sequence[int]) -> QualityEstimate:
    """Return the JPEG quality of a quantisation table.

    Parameters
    ----------
    table : sequence of int
        The 64 luminance steps in natural order. They tell of the last compression
        only.
    """
    steps = np.asarray(table, np.float64)
    misfits = [
        float(np.mean(np.abs(steps - standard) / standard))
        for standard in map(luminance_table, range(1, 101))
    ]
    best = int(np.argmin(misfits))
    return QualityEstimate(best + 1, misfits[best])


def estimate_sigma(plane: NDArray[np.float32]) -> float:
    """Return the standard deviation of the noise in grey levels of 255.

    The median of the finest diagonal wavelet coefficients (Donoho and Johnstone, 1994):
    clean images read 2 to 7; noise that was clipped reads a little low.

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
    return float(np.median(magnitudes)) / _NORMAL_MEDIAN * 255
