"""What a task is: its levels, its degradation, and how a result is scored."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from memnet_core.errors import LevelError, SettingRef

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from memnet_core.jpeg.traces import EarlierJpeg

    Tables = Sequence[Sequence[int]]
    """Quantization tables of a JPEG, 64 steps each in natural order."""

__all__ = ["Grain", "LevelField", "LevelFound", "Levels", "Task"]


Grain = Literal["white", "correlated"]
"""Noise that a model was trained on: white, or of any kind, which includes noise that
neighbors share."""


class Levels(BaseModel):
    """Degradation levels, such as those that a model was trained on.

    Attributes
    ----------
    values : tuple of float
        In ascending order; the two ends of the range when `continuous`.
    continuous : bool
        Whether everything between the ends is covered, too.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    values: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)]
    continuous: bool

    @field_validator("values")
    @classmethod
    def _ascending(cls, values: tuple[float, ...]) -> tuple[float, ...]:
        if list(values) != sorted(set(values)):
            raise ValueError("the levels have to be in ascending order")
        return values

    @classmethod
    def between(cls, low: float, high: float) -> Levels:
        """Return the range from `low` to `high`."""
        return cls(values=(low, high), continuous=True)

    @classmethod
    def listed(cls, *values: float) -> Levels:
        """Return some levels and none between them."""
        return cls(values=values, continuous=False)

    def covers(self, level: float) -> bool:
        """Whether `level` is one of these."""
        if self.continuous:
            return self.values[0] <= level <= self.values[-1]
        return level in self.values

    def nearest(self, level: float) -> float:
        """Return the covered level that is closest to `level`."""
        if self.continuous:
            return min(max(level, self.values[0]), self.values[-1])
        return min(self.values, key=lambda value: abs(value - level))

    def __str__(self) -> str:
        joint = "-" if self.continuous else ", "
        return joint.join(f"{value:g}" for value in self.values)


@dataclass(frozen=True)
class LevelFound:
    """The degradation level of an image, and how it was found."""

    level: float
    remark: str = ""


@dataclass(frozen=True, kw_only=True)
class LevelField:
    """Properties of the form field for a level.

    Attributes
    ----------
    label : str
        Label of the field.
    value, low, high, step : float
        Initial value, bounds and step size.
    offered : bool
        Whether to choose from the levels of installed models instead.
    tooltip : str
        Explanation of the number.
    """

    label: str
    value: float
    low: float
    high: float
    step: float = 1
    offered: bool = False
    tooltip: str = ""


class Task(ABC):
    """A kind of restoration; `memnet_core.tasks.TASKS` holds one object of each.

    Levels are numbers in the task's own unit: JPEG quality, noise deviation in gray
    levels of 255, scale. Pixels are on a scale of 0 to 255 unless said otherwise.

    Attributes
    ----------
    name : str
        Identifier in files and commands.
    title : str
        Display name: ``Remove noise``.
    result : str
        Participle for restored images: ``denoised``.
    quantity, symbol, option : str
        Quantity that a level measures, its symbol, and its command-line option.
    help : str
        Help text of the option.
    bounds : (float, float)
        Smallest and largest valid level.
    whole : bool
        Whether levels are whole numbers.
    ranges : bool
        Whether a model can be trained for a range of levels.
    estimable : bool
        Whether `estimate` can find the level of some image.
    channels : str
        Part of color images to restore by default: ``luminance`` or ``each`` channel.
    noisy : bool
        Whether levels are deviations of noise in gray levels of 255.
    graded : bool
        Whether the result can be blended with the input by a strength.
    undoes_jpeg : bool
        Whether the result must not contradict the JPEG file it was made of.
    needs_clean : bool
        Whether blocks and noise are removed first: they would be made larger, too.
    mildest : float, optional
        Level from which on the task is a part of ``auto``, or goes before another
        task; without it, an image never needs the task.
    field : LevelField
        Form field for the level.
    recipe_levels : mapping of str to Levels
        Training levels by name of the recipe. The key ``pairs`` is for training on
        pairs of unknown level; without it, such training requires a level.
    validation_levels : tuple of float
        Levels of validation, restricted to those trained for.
    standard_levels : tuple of float
        Levels of the evaluation protocol, restricted to those the model covers.
    full_range : bool
        Whether the protocol scores colors by MATLAB's ``rgb2gray`` (0 to 255) rather
        than the luminance of its ``rgb2ycbcr`` (16 to 235).
    rounded : bool
        Whether the protocol rounds results to 8 bits.
    slack : (float, float)
        Tolerance of PSNR (dB) and SSIM of degraded images against published values.
    table : int
        Number of the table in the paper that holds its figures.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    result: ClassVar[str]
    quantity: ClassVar[str]
    symbol: ClassVar[str]
    option: ClassVar[str]
    help: ClassVar[str]
    bounds: ClassVar[tuple[float, float]]
    whole: ClassVar[bool] = False
    ranges: ClassVar[bool] = True
    estimable: ClassVar[bool] = True
    channels: ClassVar[Literal["luminance", "each"]] = "luminance"
    noisy: ClassVar[bool] = False
    graded: ClassVar[bool] = True
    undoes_jpeg: ClassVar[bool] = False
    needs_clean: ClassVar[bool] = False
    mildest: ClassVar[float | None] = None
    field: ClassVar[LevelField]
    recipe_levels: ClassVar[Mapping[str, Levels]]
    validation_levels: ClassVar[tuple[float, ...]]
    standard_levels: ClassVar[tuple[float, ...]]
    full_range: ClassVar[bool] = False
    rounded: ClassVar[bool] = False
    slack: ClassVar[tuple[float, float]] = (0.015, 0.0003)
    table: ClassVar[int]

    def check(self, level: float) -> None:
        """Check that there is such a level.

        Raises
        ------
        LevelError
            If there is none.
        """
        low, high = self.bounds
        if not low <= level <= high or (self.whole and level % 1):
            number = "whole number" if self.whole else "number"
            raise LevelError(
                f"{level:g} is no {self.quantity}; give a {number} from {low:g} to "
                f"{high:g}."
            )

    def check_levels(self, levels: Levels) -> None:
        """Check that a model can be trained for some levels.

        Raises
        ------
        LevelError
            If it cannot.
        """
        if levels.continuous and not self.ranges:
            raise LevelError(
                f"A {self.quantity} is one of a list, not of a range; write them as a "
                "list such as 2,3,4."
            )
        for level in levels.values:
            self.check(level)

    def label(self, level: float) -> str:
        """Return a level with its sign, such as ``q 10``."""
        return f"{self.symbol} {level:g}"

    def scale(self, level: float) -> int:
        """Return how many times higher and wider a result is than its input."""
        return 1

    @abstractmethod
    def level_map_value(self, level: float) -> float:
        """Return what the plane of a level map holds for a level, in [0, 1]."""

    def at_strength(self, level: float, strength: float) -> float:
        """Return the level whose `level_map_value` is `strength` times that of another.

        Strength 0 is no degradation; the level may lie beyond `bounds`.
        """
        return strength * level

    def accepts_nearest(self, level: float, nearest: float) -> bool:
        """Whether a model's nearest level serves another one without being asked."""
        return False

    def clip_margin(self, level: float) -> float:
        """Return how far degraded values leave [0, 1] in training, as fractions."""
        return 0.25

    def estimate(
        self, jpeg_tables: Tables, earlier: EarlierJpeg | None = None
    ) -> LevelFound:
        """Find the level of an image by how it was compressed.

        Parameters
        ----------
        jpeg_tables : sequence of sequence of int
            Quantization tables of the file, luminance first, where it is a JPEG.
        earlier : EarlierJpeg, optional
            A JPEG compression before that, which the pixels show.

        Raises
        ------
        LevelError
            If the level cannot be found out.
        """
        given = SettingRef(self.option)
        raise LevelError(
            f"The {self.quantity} has to be given, with {given}.", settings=[given]
        )

    @abstractmethod
    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Make of a clean plane what a network of this task is to restore.

        Parameters
        ----------
        plane : ndarray of uint8 or float, shape (H, W) or (H, W, 3)
            Clean pixels in [0, 255]; both sides are multiples of `multiple`.
        level : float
            How strongly.
        rng : numpy.random.Generator
            Source of the noise.

        Returns
        -------
        ndarray of float, of the same shape
            Degraded pixels on the same scale, which may leave [0, 255].
        """

    def ground_truth(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Return what a file holds before anything is restored.

        It is what `degrade` makes, with the same arguments; for super-resolution not
        yet enlarged.
        """
        return self.degrade(plane, level, rng)

    def period(self, level: float) -> int:
        """Return after how many pixels the grid of the degradation repeats."""
        return 1

    def receptive_margin(self, level: float) -> int:
        """Return how many pixels far the degradation reaches, beyond its grid."""
        return 0

    def multiple(self, level: float) -> int:
        """Return what the sides of a clean image have to be multiples of."""
        return 1

    def shave(self, level: float) -> int:
        """Return how many pixels at each side the protocol does not score."""
        return 0

    def draw_level(self, levels: Levels, rng: np.random.Generator) -> float:
        """Draw a level to train on: one of a list, or of a range on a log scale."""
        if not levels.continuous:
            return float(rng.choice(levels.values))
        low, high = levels.values[0], levels.values[-1]
        return float(np.exp(rng.uniform(math.log(low), math.log(high))))
