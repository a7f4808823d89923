"""Pixels as numbers: types, luminance and chroma, alpha.

Luminance is MATLAB's for the protocol, JPEG's for restoration.
"""

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
    """Return the luminance that MATLAB's ``rgb2ycbcr`` gives, rounded to 8 bits.

    Y = 16 + (65.481 R + 128.553 G + 24.966 B) / 255: what the published figures for
    deblocking and super-resolution are measured on.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (..., 3)
        Colors in [0, 255].

    Returns
    -------
    ndarray of uint8, shape (...)
        Studio-range luminance in [16, 235].
    """
    y = scored_luminance(rgb, full_range=False)
    rounded: NDArray[np.uint8] = np.floor(y + 0.5).astype(np.uint8)
    return rounded


def rgb2gray(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the full-range gray that MATLAB's ``rgb2gray`` gives, in 8 bits.

    It is what the published denoising figures are measured on.

    Parameters
    ----------
    rgb : ndarray of uint8, shape (..., 3)
        Colors in [0, 255].

    Returns
    -------
    ndarray of uint8, shape (...)
        Gray levels in [0, 255].
    """
    gray = scored_luminance(rgb, full_range=True)
    rounded: NDArray[np.uint8] = np.floor(gray + 0.5).astype(np.uint8)
    return rounded


def scored_luminance(rgb: NDArray[Any], *, full_range: bool) -> NDArray[np.float64]:
    """Return the luminance that the protocol scores, before rounding.

    Parameters
    ----------
    rgb : ndarray, shape (..., 3)
        Colors in about [0, 255].
    full_range : bool
        Whether as MATLAB's ``rgb2gray`` gives it, else as its ``rgb2ycbcr``, from 16 to
        235.
    """
    colors = rgb.astype(np.float64)
    if full_range:
        gray: NDArray[np.float64] = colors @ np.array(_MATLAB_GRAY)
        return gray
    y: NDArray[np.float64] = 16 + colors @ np.array(_MATLAB_YCBCR)
    return y


def full_range_luminance(rgb: NDArray[FloatT]) -> NDArray[FloatT]:
    """Return the luminance plane that JPEG codes (ITU-R BT.601, full range).

    Parameters
    ----------
    rgb : ndarray of float, shape (..., 3)
        Colors on any scale.

    Returns
    -------
    ndarray, shape (...)
        Luminance on the same scale; equal to R where R = G = B, up to rounding.
    """
    luminance: NDArray[FloatT] = rgb @ np.array([0.299, 0.587, 0.114], rgb.dtype)
    return luminance


def add_luminance(rgb: NDArray[FloatT], difference: NDArray[FloatT]) -> NDArray[FloatT]:
    """Change the luminance of colors and keep their chroma.

    In YCbCr with fixed Cb and Cr every one of R, G and B moves as Y does.

    Parameters
    ----------
    rgb : ndarray of float, shape (..., 3)
        Colors on any scale.
    difference : ndarray of float, shape (...)
        New luminance minus old luminance, on the same scale.

    Returns
    -------
    ndarray, shape (..., 3)
        The new colors; gray stays gray.
    """
    return rgb + difference[..., None]


def without_alpha(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the 1 or 3 color samples of (..., S) pixels, as a view."""
    samples = pixels.shape[-1]
    return pixels[..., : samples if samples in (1, 3) else samples - 1]
