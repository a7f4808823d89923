"""Luminance of color pixels: MATLAB's for the protocol, JPEG's for restoration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "add_luminance",
    "full_range_luminance",
    "rgb2gray",
    "rgb2ycbcr_luminance",
    "scored_luminance",
    "without_alpha",
]


_MATLAB_GRAY = (0.298936021293775, 0.587043074451121, 0.114020904255103)
_MATLAB_YCBCR = (65.481 / 255, 128.553 / 255, 24.966 / 255)

FloatT = TypeVar("FloatT", bound="np.floating[Any]")


def rgb2ycbcr_luminance(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compute the luminance of MATLAB's ``rgb2ycbcr``, rounded to 8 bits.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255. Published scores of deblocking
    and super-resolution are measured on it.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (..., 3)
        Colors in [0, 255].

    Returns
    -------
    ndarray of uint8, shape (...)
        Studio-range luminance in [16, 235].
    """
    return _rounded(scored_luminance(rgb, full_range=False))


def rgb2gray(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compute the full-range gray of MATLAB's ``rgb2gray``, rounded to 8 bits.

    Published scores of denoising are measured on it.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (..., 3)
        Colors in [0, 255].

    Returns
    -------
    ndarray of uint8, shape (...)
        Gray levels in [0, 255].
    """
    return _rounded(scored_luminance(rgb, full_range=True))


def _rounded(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    # Halves are rounded up, as MATLAB does; np.rint rounds them to even.
    return np.asarray(np.floor(values + 0.5), np.uint8)


def scored_luminance(rgb: NDArray[Any], *, full_range: bool) -> NDArray[np.float64]:
    """Compute the luminance that the protocol scores, before rounding.

    Parameters
    ----------
    rgb : ndarray, shape (..., 3)
        Colors in about [0, 255].
    full_range : bool
        True for MATLAB's ``rgb2gray``; False for its ``rgb2ycbcr``, in [16, 235].
    """
    black, weights = (0, _MATLAB_GRAY) if full_range else (16, _MATLAB_YCBCR)
    return np.asarray(black + rgb.astype(np.float64) @ np.array(weights))


def full_range_luminance(rgb: NDArray[FloatT]) -> NDArray[FloatT]:
    """Compute the luminance that JPEG codes (ITU-R BT.601, full range).

    Parameters
    ----------
    rgb : ndarray of float, shape (..., 3)
        Colors on any scale.

    Returns
    -------
    ndarray, shape (...)
        Luminance on the same scale; equals R where R = G = B, up to rounding.
    """
    luminance: NDArray[FloatT] = rgb @ np.array([0.299, 0.587, 0.114], rgb.dtype)
    return luminance


def add_luminance(rgb: NDArray[FloatT], difference: NDArray[FloatT]) -> NDArray[FloatT]:
    """Change the luminance of colors and keep their chroma.

    In YCbCr with fixed Cb and Cr, each of R, G and B changes by as much as Y.

    Parameters
    ----------
    rgb : ndarray of float, shape (..., 3)
        Colors on any scale.
    difference : ndarray of float, shape (...)
        New luminance minus old luminance, on the same scale.

    Returns
    -------
    ndarray, shape (..., 3)
        New colors; gray stays gray.
    """
    return rgb + difference[..., None]


def without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the 1 or 3 color samples of (..., S) pixels, as a view."""
    samples = pixels.shape[-1]
    return pixels[..., : samples if samples in (1, 3) else samples - 1]
