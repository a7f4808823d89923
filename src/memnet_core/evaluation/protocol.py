"""Evaluation protocol of one image: degrade, restore, score.

Gray planes follow the paper (section 5). Colors are scored on all three channels, and
on luminance.
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


def reference(plane: NDArray[Any], task: Task, level: float) -> NDArray[Any]:
    """Return the part of a clean plane that counts.

    Parameters
    ----------
    plane : ndarray, shape (H, W) or (H, W, 3)
        Clean pixels in [0, 255].
    task, level
        Both sides are cropped to multiples of what they have to be.
    """
    return modcrop(plane, task.multiple(level))


def smallest_side(task: Task, level: float) -> int:
    """Return how many pixels each side of an image needs for `scores`."""
    multiple = task.multiple(level)
    return multiple * math.ceil((_SSIM_WINDOW + 2 * task.shave(level)) / multiple)


def degraded_input(
    clean: NDArray[Any], task: Task, level: float, *, seed: int, number: int
) -> NDArray[np.float64]:
    """Degrade a `reference`, in [0, 255].

    Parameters
    ----------
    clean : ndarray, shape (H, W)
        A reference.
    task, level
        How it is degraded.
    seed, number : int
        As for `noise`.
    """
    return task.degrade(clean, level, noise(level, seed=seed, number=number))


def noise(level: float, *, seed: int, number: int) -> np.random.Generator:
    """Return the source of an image's noise.

    Parameters
    ----------
    level : float
        How the image is degraded.
    seed, number : int
        The seed of the evaluation and the number of the image.
    """
    return np.random.default_rng([seed, number, round(1000 * level)])


def scores(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[float, float]:
    """Return PSNR in dB and SSIM of a degraded or restored image.

    The task says whether pixels are rounded to 8 bits and shaved off each side.

    Parameters
    ----------
    clean : ndarray, shape (H, W)
        A reference.
    image : ndarray of float, shape (H, W)
        The same on the same scale of 0 to 255.
    task, level
        What was done.
    """
    clean, image = _counted(clean, image, task, level)
    return psnr(clean, image), ssim(clean, image)


def color_scores(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return PSNR in dB and SSIM of colors, and those of their luminance.

    The PSNR of colors is that of the mean squared error over all three channels, their
    SSIM the mean of the channels'. Luminance is not rounded.

    Parameters
    ----------
    clean : ndarray, shape (H, W, 3)
        A reference.
    image, task, level
        As for `scores`.
    """
    clean, image = _counted(clean, image, task, level)
    luminances = [
        scored_luminance(p, full_range=task.full_range) for p in (clean, image)
    ]
    return (psnr(clean, image), ssim(clean, image)), (
        psnr(*luminances),
        ssim(*luminances),
    )


def _counted(
    clean: NDArray[Any], image: NDArray[Any], task: Task, level: float
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Round a plane and shave its border, as the task requires for scoring."""
    if task.rounded:
        image = np.clip(np.floor(np.asarray(image) + 0.5), 0, 255)
    if shave := task.shave(level):
        window = np.s_[shave:-shave, shave:-shave]
        clean, image = clean[window], image[window]
    return clean, image
