"""How the values of an image become the network's [0, 1], and back.

A scaling is chosen once for every channel of an input: a linear one, one after which
noise of photons is the same everywhere, or the sine and cosine of values that come
around. Another would be a class with the same methods.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from memnet_core.errors import ImageError, SettingRef, UsageError
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

__all__ = [
    "AnscombeScaling",
    "CyclicScaling",
    "LinearScaling",
    "Scaling",
    "cyclic_scaling_of",
    "looks_cyclic",
    "scaling_of",
    "stabilized_of",
]

_PERCENTILES = (0.1, 99.9)

_NOISE = 4
"""Standard deviations below black that may be noise; what is lower stands for none."""

_PERIODS = ((-math.pi, math.pi), (0, 2 * math.pi), (-180, 180), (0, 360))
"""Ends of phases and angles."""

_SLACK = 1e-6
"""Share of a period by which rounded values may leave it."""

_FULL = 0.98
"""Share of a period that wrapped values fill at least."""

_JUMP, _STEP = 0.75, (0.35, 0.65)
"""Differences of neighbors, as shares of a period: where values come around, and where
only edges of an object or strong noise lead."""

_JUMPS, _RATIO = 20, 3
"""Jumps that are no chance, and how many times as many as steps."""

_AT_ENDS = 0.1
"""Share of the pixels within 1 % of the ends from which on an image is of black and
white; of wrapped values there are about 0.02."""


class _Ends(BaseModel):
    """Two values between which the others lie, in the unit of the pixels.

    Attributes
    ----------
    images : int
        How many images the network sees in place of one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    images: ClassVar[int] = 1

    low: FiniteFloat
    high: FiniteFloat

    def wrapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return restored values between the ends, if these mean the same."""
        return values

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}"


class LinearScaling(_Ends):
    """Two values that become 0 and 1.

    The network sees what lies beyond them only as far as noise reaches; as its change
    is added to the values themselves, the excess survives.

    Attributes
    ----------
    low, high : float
        In the unit of the pixels.
    """

    kind: Literal["linear"] = "linear"

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


class AnscombeScaling(_Ends):
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

    kind: Literal["anscombe"] = "anscombe"
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

    @property
    def _ends(self) -> NDArray[np.float64]:
        """What becomes 0 and 1, stabilized."""
        return self._stabilized(np.array([self.low, self.high]))

    def _stabilized(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        electrons = (values - self.black) / self.gain
        return forward(electrons, self.read_noise / self.gain)


class CyclicScaling(_Ends):
    """Values that come around, such as phases, as their cosine and their sine.

    The network sees two images in place of one: where values jump from one end of the
    period to the other, neither has an edge.

    Attributes
    ----------
    low, high : float
        Ends of the period, which mean the same, in the unit of the pixels.
    """

    images: ClassVar[int] = 2

    kind: Literal["cyclic"] = "cyclic"

    def forward(
        self, values: NDArray[np.float64], beyond: float = math.inf
    ) -> NDArray[np.float32]:
        """Return cosines and sines in [0, 1], one behind the other on the first axis.

        Parameters
        ----------
        values : ndarray, shape (1, ...)
            Any values.
        beyond : float
            Does not matter: nothing lies beyond.
        """
        angles = (values - self.low) * (2 * math.pi / (self.high - self.low))
        parts = np.concatenate([np.cos(angles), np.sin(angles)])
        return ((1 + parts) / 2).astype(np.float32)

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

        It is at most half a period, and `wrapped` brings the sum back between the ends.
        """
        turns = (_turns(after) - _turns(self.forward(values))) % 1
        return np.where(turns > 0.5, turns - 1, turns) * (self.high - self.low)

    def wrapped(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return values between the ends; what lies there stays exactly."""
        period = self.high - self.low
        outside = (values < self.low) | (values > self.high)
        return np.where(outside, self.low + (values - self.low) % period, values)


def _turns(parts: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return angles as fractions of a turn; no length shows in them."""
    cosines, sines = np.split(2 * parts.astype(np.float64) - 1, 2)
    turns: NDArray[np.float64] = np.arctan2(sines, cosines) / (2 * math.pi)
    return turns


Scaling = Annotated[
    LinearScaling | AnscombeScaling | CyclicScaling, Field(discriminator="kind")
]
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


def looks_cyclic(blocks: Sequence[NDArray[Any]], dtype: np.dtype[Any]) -> bool:
    """Whether floats are wrapped phases or angles beyond doubt.

    They fill a period, and neighbors are either alike or nearly a period apart.

    Parameters
    ----------
    blocks : sequence of ndarray, shape (h, w, S)
        A sample of a channel.
    dtype : dtype
        Their type.
    """
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    ends = _period(values) if dtype.kind == "f" and values.size else None
    if ends is None or blocks[0].shape[-1] > 1:
        return False
    low, high = ends
    period = high - low
    inner = np.minimum(values - low, high - values) > 0.01 * period
    if np.ptp(values) < _FULL * period or np.mean(~inner) > _AT_ENDS:
        return False
    finite = [np.where(np.isfinite(block), block, np.nan) for block in blocks]
    differences = [np.diff(block, axis=axis) for block in finite for axis in (0, 1)]
    apart = np.concatenate([np.abs(found).ravel() / period for found in differences])
    jumps = np.count_nonzero(apart > _JUMP)
    steps = np.count_nonzero((apart > _STEP[0]) & (apart < _STEP[1]))
    return bool(jumps >= _JUMPS and jumps > _RATIO * steps)


def cyclic_scaling_of(
    blocks: Sequence[NDArray[Any]], dtype: np.dtype[Any], choice: RangeChoice
) -> CyclicScaling:
    """Return the scaling of values that come around.

    Parameters
    ----------
    blocks, dtype
        As for `looks_cyclic`.
    choice : str or (float, float)
        Two values are the ends; else they are those of the integer type, or the first
        of -π to π, 0 to 2π, -180 to 180 and 0 to 360 that holds all values.

    Raises
    ------
    UsageError
        If floats lie in none of these, or values are not numbers that can come around.
    """
    if isinstance(choice, tuple):
        linear = scaling_of(blocks, dtype, choice)
        return CyclicScaling(low=linear.low, high=linear.high)
    if dtype.kind in "ui":
        limits = np.iinfo(dtype)  # behind the highest value follows the lowest
        return CyclicScaling(low=limits.min - 0.5, high=limits.max + 0.5)
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    ends = _period(values) if dtype.kind == "f" and values.size else None
    if ends is None:
        given = SettingRef("range", "LO,HI")
        raise UsageError(
            "The values lie in no period of phases or angles; give the two values that "
            f"mean the same with {given}.",
            settings=[given],
        )
    return CyclicScaling(low=ends[0], high=ends[1])


def _period(values: NDArray[Any]) -> tuple[float, float] | None:
    """Return the first of the usual periods that holds all values."""
    for low, high in _PERIODS:
        slack = _SLACK * (high - low)
        if values.min() >= low - slack and values.max() <= high + slack:
            return low, high
    return None
