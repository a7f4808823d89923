"""How the values of an image become the network's [0, 1], and back.

A scaling is chosen once for every channel of an input: a linear one, or one after which
noise of photons is the same everywhere. Another would be a class with the same methods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from memnet_core.errors import ImageError, UsageError
from memnet_core.noise.anscombe import (
    electrons_of,
    exact_unbiased_inverse,
    forward,
    mean_stabilized,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.inference.settings import RangeChoice
    from memnet_core.noise.estimation import PoissonGaussianNoise

__all__ = ["AnscombeScaling", "LinearScaling", "Scaling", "scaling_of", "stabilized_of"]

_PERCENTILES = (0.1, 99.9)

_NOISE = 4
"""Standard deviations below black that may be noise; what is lower stands for none."""


class LinearScaling(BaseModel):
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

    def forward_mean(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Map values without noise to what the network is to make of noisy ones."""
        return self.forward(values)

    def inverse_difference(
        self,
        values: NDArray[np.float64],
        after: NDArray[np.float32],
        beyond: float = math.inf,
    ) -> NDArray[np.float64]:
        """Return what to add to values, of which the network made `after`.

        A network that changes nothing of what `forward` showed it, with the same
        `beyond`, so gives back every value exactly.
        """
        before = self.forward(values, beyond)
        return (after.astype(np.float64) - before) * (self.high - self.low)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class AnscombeScaling(BaseModel):
    """Two values that become 0 and 1, on a scale where noise is the same everywhere.

    A camera is taken to show `black` and noise of a deviation of `read_noise` in the
    dark, and for every photo-electron `gain` more. Means go back as means, so that
    counts are kept; see `memnet_core.noise.anscombe`.

    Attributes
    ----------
    low, high : float
        In the unit of the pixels.
    gain, black, read_noise : float
        In the unit of the pixels.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Literal["anscombe"] = "anscombe"
    low: FiniteFloat
    high: FiniteFloat
    gain: Annotated[FiniteFloat, Field(gt=0)]
    black: FiniteFloat
    read_noise: Annotated[FiniteFloat, Field(ge=0)]

    @property
    def constant(self) -> float:
        """Variance that the noise would have at a mean of zero."""
        return self.read_noise**2 - self.gain * self.black

    @property
    def level(self) -> float:
        """Standard deviation of the noise that the network sees, in levels of 255."""
        zero, one = self._ends
        return float(255 / (one - zero))

    def forward(
        self, values: NDArray[np.float64], beyond: float = math.inf
    ) -> NDArray[np.float32]:
        """Map values of any shape to [-beyond, 1 + beyond]."""
        zero, one = self._ends
        mapped = (self._stabilized(values) - zero) / (one - zero)
        clipped: NDArray[np.float64] = np.clip(mapped, -beyond, 1 + beyond)
        return clipped.astype(np.float32)

    def forward_mean(self, values: NDArray[np.float64]) -> NDArray[np.float32]:
        """Map values without noise to what the network is to make of noisy ones."""
        zero, one = self._ends
        electrons = (values - self.black) / self.gain
        means = mean_stabilized(electrons, self.read_noise / self.gain)
        mapped: NDArray[np.float64] = (means - zero) / (one - zero)
        return mapped.astype(np.float32)

    def inverse_difference(
        self,
        values: NDArray[np.float64],
        after: NDArray[np.float32],
        beyond: float = math.inf,
    ) -> NDArray[np.float64]:
        """Return what to add to values, of which the network made `after`.

        What lies beyond the network's reach is added to what it made of the rest. A
        value that it left as it was stays exactly.
        """
        zero, one = self._ends
        read = self.read_noise / self.gain
        means = after.astype(np.float64) * (one - zero) + zero
        restored = self.black + self.gain * exact_unbiased_inverse(means, read)
        reach = beyond * (one - zero)
        seen = electrons_of(np.array([zero - reach, one + reach]), read)
        shown = np.clip(values, *(self.black + self.gain * seen))
        unchanged = after == self.forward(values, beyond)
        return np.where(unchanged, 0.0, restored - shown)

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"

    @property
    def _ends(self) -> NDArray[np.float64]:
        """What becomes 0 and 1, stabilized."""
        return self._stabilized(np.array([self.low, self.high]))

    def _stabilized(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        electrons = (values - self.black) / self.gain
        return forward(electrons, self.read_noise / self.gain)


Scaling = Annotated[LinearScaling | AnscombeScaling, Field(discriminator="kind")]
"""Any of them, told apart by `kind`."""


def scaling_of(
    blocks: Sequence[NDArray[Any]], dtype: np.dtype[Any], choice: RangeChoice
) -> LinearScaling:
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
        return LinearScaling(low=0.0, high=1.0)
    if choice == "auto":
        choice = "dtype" if dtype.itemsize == 1 else "percentile"
    if choice in ("percentile", "plane"):
        ends = np.percentile(values.astype(np.float64), _PERCENTILES)
        low, high = (float(end) for end in ends)
        return LinearScaling(low=low, high=high if high > low else low + 1)
    if isinstance(choice, tuple):
        low, high = choice
        if not low < high:
            raise UsageError(f"The range {low:g},{high:g} does not rise.")
        return LinearScaling(low=low, high=high)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)
        return LinearScaling(low=float(limits.min), high=float(limits.max))
    if dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if low < 0 or high > 1:
            raise ImageError(
                f"The {dtype} values reach from {low:g} to {high:g}, not from 0 to 1; "
                "choose the range 'auto' or two values."
            )
    return LinearScaling(low=0.0, high=1.0)


def stabilized_of(
    scaling: LinearScaling, line: PoissonGaussianNoise
) -> AnscombeScaling:
    """Return the scaling between the same values that makes noise the same everywhere.

    Parameters
    ----------
    scaling : LinearScaling
        Which values are to become 0 and 1; those so far below black that they are no
        noise, such as zeros beside a mosaic, do not count.
    line : PoissonGaussianNoise
        The noise; its gain is positive.
    """
    # There is no noise below the value at which its variance ends.
    black = max(line.dark, -line.constant / line.gain)
    read_noise = line.deviation(black)
    low = max(scaling.low, black - _NOISE * read_noise)
    return AnscombeScaling(
        low=low,
        high=max(scaling.high, low + line.gain),
        gain=line.gain,
        black=black,
        read_noise=read_noise,
    )
