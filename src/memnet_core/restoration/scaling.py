"""How the values of an image become the network's [0, 1], and back.

A scaling is chosen once for every channel of an input. Here it is linear; one that
stabilises the variance of photon noise would be another class with the same methods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, FiniteFloat

from memnet_core.errors import ImageError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.restoration.settings import RangeChoice

__all__ = ["Linear", "scaling_of"]

_PERCENTILES = (0.1, 99.9)


class Linear(BaseModel):
    """Two values that become 0 and 1.

    The network sees what lies beyond them only as far as noise reaches; as its change
    is added to the values themselves, the excess survives.

    Attributes
    ----------
    low, high : float
        In the unit of the pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["linear"] = "linear"
    low: FiniteFloat
    high: FiniteFloat

    def forward(
        self, values: NDArray[np.float64], beyond: float = math.inf
    ) -> NDArray[np.float32]:
        """Map values of any shape to [-beyond, 1 + beyond]."""
        mapped = (values - self.low) / (self.high - self.low)
        return np.clip(mapped, -beyond, 1 + beyond).astype(np.float32)

    def change(
        self, before: NDArray[np.float32], after: NDArray[np.float32]
    ) -> NDArray[np.float64]:
        """Return what to add to values, where the network made `after` of `before`.

        A network that changes nothing so gives back every value exactly.
        """
        return (after.astype(np.float64) - before) * (self.high - self.low)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


def scaling_of(
    blocks: Sequence[NDArray[Any]], dtype: np.dtype[Any], choice: RangeChoice
) -> Linear:
    """Return the scaling of a channel.

    Parameters
    ----------
    blocks : sequence of ndarray
        A sample of the pixels, without alpha; what is not finite does not count.
    dtype : dtype
        Their type: bool, integer or float.
    choice : str or (float, float)
        ``auto``: the type's values for 8 bits and bool, percentiles for wider types.
        ``dtype``: what the type can hold, for floats 0 to 1. ``percentile`` and
        ``plane``: the 0.1th and the 99.9th percentile. A pair: these two values.

    Raises
    ------
    ImageError
        If floats leave [0, 1] under ``dtype``.
    UsageError
        If the first value of a pair is not the smaller one.
    """
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    if not values.size and not isinstance(choice, tuple):
        return Linear(low=0.0, high=1.0)
    if choice == "auto":
        choice = "dtype" if dtype.itemsize == 1 else "percentile"
    if choice in ("percentile", "plane"):
        ends = np.percentile(values.astype(np.float64), _PERCENTILES)
        low, high = (float(end) for end in ends)
        return Linear(low=low, high=high if high > low else low + 1)
    if isinstance(choice, tuple):
        low, high = choice
        if not low < high:
            raise UsageError(f"The range {low:g},{high:g} does not rise.")
        return Linear(low=low, high=high)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return Linear(low=float(limits.min), high=float(limits.max))
    if dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            raise ImageError(
                f"The {dtype} values reach from {low:g} to {high:g}, not from 0 to 1; "
                "choose the range 'auto' or two values."
            )
    return Linear(low=0.0, high=1.0)
