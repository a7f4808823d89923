"""Bicubic resizing as MATLAB does it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["imresize", "modcrop"]


def modcrop(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Crop (H, W, ...) pixels at the lower right until `scale` divides both sides."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def imresize(image: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resize as MATLAB's ``imresize(..., 'bicubic')`` does.

    Cubic convolution with a = -0.5, widened against aliasing when shrinking, and a
    border extended by symmetric reflection.

    Parameters
    ----------
    image : ndarray of float, shape (H, W) or (H, W, C)
        Pixels on any scale.
    shape : tuple of int
        Height and width of the result.

    Returns
    -------
    ndarray of float, shape (*shape) or (*shape, C)
        Resized pixels, neither clipped nor rounded.
    """
    scales = [new / old for new, old in zip(shape, image.shape, strict=False)]
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        image = _resize_axis(image, shape[axis], axis)
    return image


def _resize_axis(
    image: NDArray[np.float64], length: int, axis: int
) -> NDArray[np.float64]:
    indices, weights = _contributions(image.shape[axis], length)
    moved = np.moveaxis(image, axis, 0)
    resized = sum(
        weight.reshape(-1, *[1] * (moved.ndim - 1)) * moved[index]
        for index, weight in zip(indices.T, weights.T, strict=True)
    )
    return np.moveaxis(np.asarray(resized), 0, axis)


def _contributions(old: int, new: int) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return which of `old` samples make each of `new`, and with what weights."""
    scale = new / old
    stretch = min(scale, 1.0)
    width = 4 / stretch
    centre = (np.arange(new) + 0.5) / scale - 0.5
    first = np.floor(centre - width / 2).astype(np.intp) + 1
    taps = first[:, None] + np.arange(math.ceil(width) + 1)
    weights = _cubic(stretch * (centre[:, None] - taps))
    weights /= weights.sum(1, keepdims=True)
    folded = taps % (2 * old)
    return np.where(folded < old, folded, 2 * old - 1 - folded), weights


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
