"""Bicubic resizing equal to MATLAB's ``imresize``."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["imresize", "modcrop", "resize_matrix", "resized_window"]


def modcrop(image: NDArray[np.uint8], scale: int) -> NDArray[np.uint8]:
    """Crop (H, W, ...) pixels at the lower right so that `scale` divides both sides."""
    height, width = (side - side % scale for side in image.shape[:2])
    return image[:height, :width]


def imresize(image: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.float64]:
    """Resize an image like MATLAB's ``imresize(..., 'bicubic')``.

    Cubic convolution with a = -0.5, widened against aliasing when shrinking; borders
    are extended by symmetric reflection.

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
    height, width = image.shape[:2]
    whole = slice(0, shape[0]), slice(0, shape[1])
    return resized_window(lambda y, x: image[y, x], (height, width), shape, *whole)


def resized_window(
    read: Callable[[slice, slice], NDArray[Any]],
    old: tuple[int, int],
    new: tuple[int, int],
    rows: slice,
    columns: slice,
) -> NDArray[np.float64]:
    """Compute a window of the output of `imresize` from the pixels it depends on.

    Parameters
    ----------
    read : callable
        Takes row and column slices of the original and returns their pixels, of shape
        (h, w) or (h, w, C). It is called once.
    old, new : (int, int)
        Height and width of the original and of the whole output.
    rows, columns : slice
        Window of the output, without steps.
    """
    parts = [
        _contributions(before, after, part)
        for before, after, part in zip(old, new, (rows, columns), strict=True)
    ]
    needed = [slice(int(i.min()), int(i.max()) + 1) for i, _ in parts]
    image = np.asarray(read(*needed), np.float64)
    scales = [after / before for before, after in zip(old, new, strict=True)]
    # MATLAB begins with the axis that shrinks most, which matters to rounding only.
    for axis in sorted((0, 1), key=lambda axis: scales[axis]):
        indices, weights = parts[axis]
        image = _combined(image, axis, indices - needed[axis].start, weights)
    return image


def resize_matrix(old: int, new: int) -> NDArray[np.float64]:
    """Return the matrix, shape (new, old), that `imresize` applies along an axis."""
    indices, weights = _contributions(old, new, slice(0, new))
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.arange(new)[:, None], indices), weights)
    return matrix


def _combined(
    image: NDArray[np.float64],
    axis: int,
    indices: NDArray[np.intp],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sum weighted samples along an axis; indices and weights are (out, taps)."""
    moved = np.moveaxis(image, axis, 0)
    resized = sum(
        weight.reshape(-1, *[1] * (moved.ndim - 1)) * moved[index]
        for index, weight in zip(indices.T, weights.T, strict=True)
    )
    return np.moveaxis(np.asarray(resized), 0, axis)


def _contributions(
    old: int, new: int, part: slice
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return indices and weights (out, taps) of the inputs of a part of the output."""
    scale = new / old
    stretch = min(scale, 1.0)
    width = 4 / stretch
    center = (np.arange(part.start, part.stop) + 0.5) / scale - 0.5
    first = np.floor(center - width / 2).astype(np.intp) + 1
    taps = first[:, None] + np.arange(math.ceil(width) + 1)
    weights = _cubic(stretch * (center[:, None] - taps))
    weights /= weights.sum(1, keepdims=True)
    # Symmetric reflection has a period of 2 * old: abc|cba|abc.
    folded = taps % (2 * old)
    return np.where(folded < old, folded, 2 * old - 1 - folded), weights


def _cubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel with a = -0.5."""
    x = np.abs(x)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))
