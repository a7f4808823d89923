"""Removing white Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from memnet_core.errors import LevelError, SettingRef
from memnet_core.noise.correlation import estimate_sigma
from memnet_core.tasks.base import LevelField, LevelFound, Levels, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from memnet_core.tasks.base import Tables

__all__ = ["Denoise", "gaussian_noise"]


class Denoise(Task):
    """Removing noise; a level is its standard deviation in gray levels of 255."""

    name = "denoise"
    title = "Remove noise"
    result = "denoised"
    quantity = "noise deviation"
    symbol = "σ"
    option = "sigma"
    help = "standard deviation in gray levels of 255.  [default: auto, estimated]"
    bounds = (0, 255)
    noisy = True
    channels = "each"
    field = LevelField(
        label="noise σ",
        value=25,
        low=0.1,
        high=255,
        step=5,
        tooltip="Standard deviation in gray levels of 255 over the value range.",
    )
    recipe_levels: ClassVar = {
        "fast": Levels.between(5, 75),
        "paper": Levels.listed(30, 50, 70),
        "pairs": Levels.between(0, 255),
    }
    validation_levels = (15, 30, 50)
    standard_levels = (30, 50, 70)
    full_range = True
    # Between seeds of the noise a set's mean differs by 0.013 dB and 0.0012.
    slack = (0.05, 0.003)
    table = 3

    def level_map_value(self, level: float) -> float:
        """Return the deviation where white is 1."""
        return level / 255

    def clip_margin(self, level: float) -> float:
        """Return four deviations, which noise hardly ever exceeds."""
        return 4 * level / 255

    def estimate(
        self, planes: Sequence[NDArray[np.float32]], jpeg_tables: Tables = ()
    ) -> LevelFound:
        """Find the deviation, a mean over the planes; see `Task.estimate`."""
        if not planes:
            sigma = SettingRef(self.option)
            raise LevelError(
                f"There are no pixels to estimate σ from; give it with {sigma}.",
                settings=[sigma],
            )
        found = float(np.mean([estimate_sigma(plane) for plane in planes]))
        return LevelFound(round(found, 1), f"σ estimated as {found:.1f}")

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Add noise that is not clipped; see `Task.degrade`."""
        return gaussian_noise(plane.astype(np.float64), level, rng)

    def draw_level(self, levels: Levels, rng: np.random.Generator) -> float:
        """Draw from a range evenly and, where zero is left out, half on a log scale.

        Weak noise is what most pictures have; strong noise takes the most learning.
        """
        if levels.continuous and (levels.values[0] == 0 or rng.random() < 0.5):
            return float(rng.uniform(levels.values[0], levels.values[-1]))
        return super().draw_level(levels, rng)


def gaussian_noise(
    plane: NDArray[np.float64], sigma: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Add white Gaussian noise, without clipping.

    Parameters
    ----------
    plane : ndarray of float
        Pixels in [0, 255].
    sigma : float
        Standard deviation in gray levels of 255.
    rng : numpy.random.Generator
        Source of the noise.
    """
    return plane + rng.normal(0.0, sigma, plane.shape)
