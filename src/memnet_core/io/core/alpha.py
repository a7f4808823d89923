"""Alpha that was multiplied into the colours, taken out of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["straight"]


def straight(pixels: NDArray[Any]) -> NDArray[Any]:
    """Divide colours by alpha.

    Parameters
    ----------
    pixels : ndarray, shape (..., 2) or (..., 4)
        Premultiplied colours and alpha, the last, of an unsigned or a float type.

    Returns
    -------
    ndarray
        Of the same type; black where alpha is zero.
    """
    is_whole = pixels.dtype.kind in "ui"
    opaque = float(np.iinfo(pixels.dtype).max) if is_whole else 1.0
    alpha = pixels[..., -1:].astype(np.float64)
    visible = alpha > 0
    colours = pixels[..., :-1] * (opaque / np.where(visible, alpha, 1.0)) * visible
    if is_whole:
        colours = np.minimum(np.rint(colours), opaque)
    result = pixels.copy()
    result[..., :-1] = colours
    return result
