"""Conversion of restored values to the dtype of an image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["check_finite", "to_dtype"]


def to_dtype(values: NDArray[np.float64], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cast values to a dtype: integers are rounded and clipped, bool is >= 0.5.

    Integers of 64 bits are exact up to 2**53.
    """
    if dtype.kind == "b":
        return values >= 0.5
    if dtype.kind == "f":
        return values.astype(dtype)
    limits = np.iinfo(dtype)
    high = float(limits.max)
    if high > limits.max:  # 2**64 - 1 becomes 2**64 in float64
        high = float(np.nextafter(high, 0))
    return np.clip(np.rint(values), float(limits.min), high).astype(dtype)


def check_finite(pixels: NDArray[Any]) -> None:
    """Raise ImageError with their number if pixels are NaN or infinite."""
    bad = pixels.size - int(np.isfinite(pixels).sum())
    if bad:
        raise ImageError(
            f"{bad} of {pixels.size} values are NaN or infinite; replace them first."
        )
