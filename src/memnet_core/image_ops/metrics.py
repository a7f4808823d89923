"""PSNR and SSIM for a peak of 255, as published tables report them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["psnr", "ssim"]


def psnr(reference: ArrayLike, image: ArrayLike) -> float:
    """Compute the peak signal-to-noise ratio in dB; infinity for equal images.

    Parameters
    ----------
    reference, image : array_like
        Pixels of the same shape in [0, 255]; the mean is over all samples.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    first, second = np.asarray(reference, np.float64), np.asarray(image, np.float64)
    if first.shape != second.shape:
        raise ValueError(f"The shapes differ: {first.shape} and {second.shape}.")
    error = first - second
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(255.0**2 / np.mean(error**2)))


def ssim(reference: ArrayLike, image: ArrayLike) -> float:
    """Compute the structural similarity of Wang et al. 2004 (11×11 Gaussian, σ 1.5).

    Parameters
    ----------
    reference, image : array_like, shape (H, W) or (H, W, C)
        Pixels in [0, 255], at least 11×11; the result is the mean over channels.
    """
    from skimage.metrics import structural_similarity

    first, second = np.asarray(reference, np.float64), np.asarray(image, np.float64)
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        first,
        second,
        data_range=255,
        channel_axis=-1 if first.ndim > 2 else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)
