"""The paper's protocol for one image (section 4): what is degraded, what is scored."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.bicubic import modcrop
from memnet_core.degradations import degrade
from memnet_core.metrics import psnr, ssim

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["degraded_input", "reference", "scores", "smallest_side"]

_SSIM_WINDOW = 11


def reference(plane: NDArray[Any], task: str, level: float) -> NDArray[Any]:
    """Return the part of a clean plane that counts.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Clean pixels in [0, 255].
    task, level
        For super-resolution both sides are cropped to multiples of the scale.
    """
    return modcrop(plane, int(level)) if task == "sr" else plane


def smallest_side(task: str, level: float) -> int:
    """Return how many pixels each side of an image needs for `scores`."""
    if task != "sr":
        return _SSIM_WINDOW
    scale = int(level)
    return scale * math.ceil((_SSIM_WINDOW + 2 * scale) / scale)


def degraded_input(
    clean: NDArray[Any], task: str, level: float, *, seed: int, number: int
) -> NDArray[np.float64]:
    """Return what a network is to restore to a `reference`, in [0, 255].

    Parameters
    ----------
    clean : ndarray, shape (H, W)
        A reference.
    task, level
        As for `memnet_core.degradations.degrade`.
    seed, number : int
        Determine the noise: the seed of the evaluation and the number of the image.
    """
    rng = np.random.default_rng([seed, number, round(1000 * level)])
    return degrade(clean, task, level, rng)


def scores(
    clean: NDArray[Any], image: NDArray[Any], task: str, level: float
) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of a degraded or restored image.

    For super-resolution pixels are rounded to 8 bits and `level` pixels are shaved off
    each side; the other tasks are scored as they are.

    Parameters
    ----------
    clean : ndarray, shape (H, W)
        A reference.
    image : ndarray of float, shape (H, W)
        The same on the same scale of 0 to 255.
    task : str
        ``deblock``, ``denoise`` or ``sr``.
    level : float
        Quality, deviation or scale.
    """
    if task == "sr":
        shave = int(level)
        image = np.clip(np.floor(np.asarray(image) + 0.5), 0, 255)
        window = np.s_[shave:-shave, shave:-shave]
        clean, image = clean[window], image[window]
    return psnr(clean, image), ssim(clean, image)
