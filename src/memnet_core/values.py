"""How the values of an image map to the network's [0, 1], and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from memnet_core.errors import ImageError, UsageError
from memnet_core.pixels import check_finite, without_alpha

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "PlaneSource",
    "RangeChoice",
    "ValueRange",
    "stack_range",
    "value_range",
]

RangeChoice = Literal["dtype", "percentile", "plane"] | tuple[float, float]

_PERCENTILES = (0.1, 99.9)
_SAMPLE = 4_000_000
_SAMPLED_PLANES = 16


class PlaneSource(Protocol):
    """Planes that are read one by one; every array of shape (N, H, W, S) is."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W, S): planes, height, width, samples."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of a sample."""

    def __getitem__(self, index: int, /) -> NDArray[Any]: ...


@dataclass(frozen=True)
class ValueRange:
    """The values that become 0 and 1; one for a whole image or stack."""

    low: float
    high: float

    @property
    def span(self) -> float:
        """High minus low."""
        return self.high - self.low

    def normalized(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Map values linearly, without clipping."""
        return ((values - self.low) / self.span).astype(np.float32)


def value_range(pixels: NDArray[Any], choice: RangeChoice) -> ValueRange:
    """Return the range of an image or stack.

    Parameters
    ----------
    pixels : ndarray, shape (..., W, S)
        All pixels, of any bool, integer or float dtype, without alpha.
    choice : str or (float, float)
        ``dtype``: what the type can hold, for floats 0 to 1. ``percentile``: the
        0.1th and the 99.9th percentile, of a sample of rows where there are more than
        four million values; ``plane`` is the same, as for one plane. A pair: these two
        values.

    Raises
    ------
    ImageError
        If pixels are not finite, or floats leave [0, 1] under ``dtype``.
    UsageError
        If the first value of a pair is not the smaller one.
    """
    dtype = pixels.dtype
    if dtype.kind == "f":
        check_finite(pixels)
    if choice == "percentile" or choice == "plane":
        rows = pixels.reshape(-1, pixels.shape[-2] * pixels.shape[-1])
        sample = rows[:: max(1, pixels.size // _SAMPLE)].astype(np.float64)
        low, high = (float(v) for v in np.percentile(sample, _PERCENTILES))
        return ValueRange(low, high if high > low else low + 1)
    if choice != "dtype":
        low, high = choice
        if not low < high:
            raise UsageError(f"The range {low:g},{high:g} does not rise.")
        return ValueRange(low, high)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return ValueRange(float(limits.min), float(limits.max))
    if dtype.kind == "f":
        low, high = float(pixels.min()), float(pixels.max())
        if low < 0 or high > 1:
            raise ImageError(
                f"The {dtype} values reach from {low:g} to {high:g}, not from 0 to 1; "
                "choose the range 'percentile' or two values."
            )
    return ValueRange(0.0, 1.0)


def stack_range(stack: PlaneSource, choice: RangeChoice) -> ValueRange:
    """Return the one range of a stack that is not in memory.

    Parameters
    ----------
    stack : PlaneSource
        Planes, of which 16 at most are read, evenly spaced, and none at all where the
        dtype or the choice decides.
    choice : str or (float, float)
        As for `value_range`.

    Raises
    ------
    ImageError, UsageError
        As `value_range`, as far as the planes that are read tell.
    """
    count, height, width, samples = stack.shape
    if isinstance(choice, tuple) or (choice == "dtype" and stack.dtype.kind != "f"):
        return value_range(np.zeros((1, 1, 1), stack.dtype), choice)
    planes = np.unique(np.linspace(0, count - 1, min(count, _SAMPLED_PLANES)).round())
    step = max(1, len(planes) * height * width * samples // _SAMPLE)
    sample = [without_alpha(stack[int(index)][::step]) for index in planes]
    return value_range(np.stack(sample), choice)
