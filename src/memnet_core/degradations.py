"""What training and evaluation do to clean images: noise, JPEG, bicubic resizing."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from memnet_core.bicubic import imresize

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = [
    "degrade",
    "gaussian_noise",
    "jpeg",
    "level_value",
]


def degrade(
    plane: NDArray[Any], task: str, level: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Make of a clean plane what the network of a task is to restore (section 2).

    Parameters
    ----------
    plane : ndarray of uint8 or float, shape (H, W)
        Clean pixels in [0, 255]; for super-resolution `level` divides both sides.
    task : str
        ``deblock``, ``denoise`` or ``sr``.
    level : float
        JPEG quality, noise deviation in grey levels of 255, or scale.
    rng : numpy.random.Generator
        Source of the noise.

    Returns
    -------
    ndarray of float, shape (H, W)
        Degraded pixels on the same scale; super-resolution gives the small image
        enlarged by bicubic interpolation. Only JPEG rounds and clips.
    """
    if task == "deblock":
        pixels = np.clip(np.rint(plane), 0, 255).astype(np.uint8)
        return jpeg(pixels, round(level)).astype(np.float64)
    clean = plane.astype(np.float64)
    if task == "denoise":
        return gaussian_noise(clean, level, rng)
    height, width = plane.shape
    scale = int(level)
    return imresize(imresize(clean, (height // scale, width // scale)), (height, width))


def level_value(task: str, level: float) -> float:
    """Return what the plane of a level map holds for a level, in [0, 1].

    Parameters
    ----------
    task : str
        ``deblock``, ``denoise`` or ``sr``.
    level : float
        JPEG quality q: log(1 + s)/log(51), where s is libjpeg's factor of the
        quantisation steps (q 50 has 1, q 1 has 50). Noise deviation: over 255. Scale:
        1 - 1/scale.
    """
    if task == "deblock":
        factor = 50 / level if level < 50 else 2 - level / 50
        return math.log(1 + factor) / math.log(51)
    return level / 255 if task == "denoise" else 1 - 1 / level


def gaussian_noise(
    plane: NDArray[np.float64], sigma: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add white Gaussian noise, without clipping.

    Parameters
    ----------
    plane : ndarray of float
        Pixels in [0, 255].
    sigma : float
        Standard deviation in grey levels of 255.
    rng : numpy.random.Generator
        Source of the noise.
    """
    return plane + rng.normal(0.0, sigma, plane.shape)


def jpeg(plane: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """Compress and decompress one gray plane as baseline JPEG (libjpeg, islow DCT).

    Parameters
    ----------
    plane : ndarray of uint8, shape (H, W)
        Gray pixels; its 8×8 blocks begin at the upper left corner.
    quality : int
        Quality 1 to 100 on the scale of libjpeg and MATLAB's ``imwrite``.
    """
    buffer = io.BytesIO()
    Image.fromarray(plane).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as image:
        return np.asarray(image)
