"""Evaluation protocol of one image: crop, degrade, score.

Gray planes follow the paper's section 5. Colors are scored over all three channels,
and on luminance.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.color import scored_luminance
from memnet_core.image_ops.metrics import psnr, ssim
from memnet_core.image_ops.resize import modcrop

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.tasks import Task

__all__ = [
    "color_scores",
    "degraded_input",
    "noise",
    "reference",
    "scores",
    "smallest_side",
]

_SSIM_WINDOW = 11
"""Minimum side in pixels: the window of skimage's SSIM with a Gaussian of sigma 1.5."""


def reference(plane: NDArray[Any], task: Task, level: float) -> NDArray[Any]:
    """Crop a clean plane, (H, W) or (H, W, 3), to sides that the task can degrade."""
    return modcrop(plane, task.multiple(level))


def smallest_side(task: Task, level: float) -> int:
    """Return the pixels that each side of an image needs for `scores`."""
    multiple = task.multiple(level)
    return multiple * math.ceil((_SSIM_WINDOW + 2 * task.shave(level)) / multiple)


def degraded_input(
    clean: NDArray[Any], task: Task, level: float, *, seed: int, number: int
) -> NDArray[np.float64]:
    """Degrade a `reference` of shape (H, W) in [0, 255]; see `noise` for the seed."""
    return task.degrade(clean, level, noise(level, seed=seed, number=number))


def noise(level: float, *, seed: int, number: int) -> np.random.Generator:
    """Return the generator of an image's noise, given its number and level."""
    # Seeds are integers; levels may have decimals.
    return np.random.default_rng([seed, number, round(1000 * level)])


def scores(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[float, float]:
    """Compute PSNR in dB and SSIM of a degraded or restored image.

    Parameters
    ----------
    clean : ndarray, shape (H, W)
        Reference in [0, 255].
    image : ndarray of float, shape (H, W)
        Degraded or restored pixels on the same scale.
    task, level
        Determine whether pixels are rounded to 8 bits, and how many are shaved off.
    """
    clean, image = _scored_window(clean, image, task, level)
    return psnr(clean, image), ssim(clean, image)


def color_scores(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Compute PSNR in dB and SSIM of (H, W, 3) images, and those of their luminance.

    The PSNR of colors is over all three channels, their SSIM is the mean over channels.
    Luminance is not rounded.
    """
    clean, image = _scored_window(clean, image, task, level)
    luma = [scored_luminance(p, full_range=task.full_range) for p in (clean, image)]
    return (psnr(clean, image), ssim(clean, image)), (psnr(*luma), ssim(*luma))


def _scored_window(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Round a plane and shave its border, as the task requires for scoring."""
    if task.rounded:  # as MATLAB's uint8, halves up
        image = np.clip(np.floor(np.asarray(image) + 0.5), 0, 255)
    if shave := task.shave(level):
        window = np.s_[shave:-shave, shave:-shave]
        clean, image = clean[window], image[window]
    return clean, image
