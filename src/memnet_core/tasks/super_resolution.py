"""Enlarging: what bicubic interpolation of a small image lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from memnet_core.image_ops.resize import imresize
from memnet_core.tasks.base import LevelField, Levels, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray


__all__ = ["SuperResolution"]

_USUAL = Levels.listed(2, 3, 4)


class SuperResolution(Task):
    """Enlarging; a level is how many times higher and wider the result is."""

    name = "sr"
    title = "Enlarge"
    result = "enlarged"
    quantity = "scale"
    symbol = "×"
    option = "scale"
    help = "how much larger."
    bounds = (2, 16)
    whole = True
    ranges = False
    estimable = False
    graded = False
    needs_clean = True
    field = LevelField(
        label="scale",
        value=2,
        low=2,
        high=16,
        offered=True,
        tooltip="How many times higher and wider the result is.",
    )
    recipe_levels: ClassVar = {
        "fast": Levels.listed(2, 3, 4),
        "paper": Levels.listed(2, 3, 4),
    }
    validation_levels = _USUAL.values
    standard_levels = _USUAL.values
    rounded = True
    table = 4

    def scale(self, level: float) -> int:
        """Return the level as the whole number that it is."""
        return int(level)

    def level_map_value(self, level: float) -> float:
        """Return 1 - 1/scale: the share of a side's samples that are made up."""
        return 1 - 1 / level

    def degrade(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Shrink and enlarge by bicubic interpolation; see `Task.degrade`."""
        height, width = plane.shape[:2]
        return imresize(self.ground_truth(plane, level, rng), (height, width))

    def ground_truth(
        self, plane: NDArray[Any], level: float, rng: np.random.Generator
    ) -> NDArray[np.float64]:
        """Shrink by bicubic interpolation; see `Task.ground_truth`."""
        height, width = plane.shape[:2]
        scale = int(level)
        return imresize(plane.astype(np.float64), (height // scale, width // scale))

    def period(self, level: float) -> int:
        """Return the side of a pixel of the small image."""
        return int(level)

    def receptive_margin(self, level: float) -> int:
        """Return five pixels of the small image.

        Enlarging reaches two of them, and each of these two more, to which rounding up
        to whole ones adds the fifth.
        """
        return 5 * int(level)

    def multiple(self, level: float) -> int:
        """Return the scale, so that the small image has whole pixels."""
        return int(level)

    def shave(self, level: float) -> int:
        """Return the scale, as in the published figures."""
        return int(level)
