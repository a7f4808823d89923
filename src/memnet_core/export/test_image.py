"""A picture to try exported models on: drawn, so that nobody's license matters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from memnet_core.image_ops.resize import modcrop
from memnet_core.tasks import find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.model.card import Card

__all__ = ["drawing", "sample_input", "typical_level"]


def drawing(height: int, width: int) -> NDArray[np.uint8]:
    """Draw rings that get finer outwards, discs and stripes.

    Parameters
    ----------
    height, width : int
        Size in pixels.
    """
    y, x = np.mgrid[:height, :width].astype(np.float64)
    side = min(height, width)
    radius2 = (y - height / 2) ** 2 + (x - width / 2) ** 2
    # At half a side from the middle a ring is four pixels wide.
    pixels = 120 + 70 * np.cos(np.pi * radius2 / (4 * side))
    for row, column, size, value in (
        (0.2, 0.2, 0.12, 235),
        (0.75, 0.25, 0.16, 40),
        (0.3, 0.8, 0.1, 10),
        (0.8, 0.8, 0.14, 200),
    ):
        disc = np.hypot(y - row * height, x - column * width) < size * side
        pixels[disc] = value
    stripes = (y > 0.45 * height) & (y < 0.55 * height) & (x > 0.65 * width)
    pixels[stripes] = np.where((x[stripes] // 3) % 2, 220, 60)
    drawn: NDArray[np.uint8] = np.rint(pixels).astype(np.uint8)
    return drawn


def typical_level(card: Card) -> float:
    """Return a usual level that a model serves."""
    task = find_task(card.task)
    middle = task.standard_levels[len(task.standard_levels) // 2]
    return card.levels.nearest(middle)


def sample_input(
    card: Card, shape: tuple[int, int], level: float | None = None
) -> NDArray[np.float32]:
    """Return the drawing as a model gets it: degraded, pixels of 0 to 255.

    Parameters
    ----------
    card : Card
        Of the model.
    shape : (int, int)
        Height and width in pixels.
    level : float, optional
        How strongly; the `typical_level` by default.

    Returns
    -------
    ndarray of float32, shape (1, C, H, W)
        The same plane for each color.
    """
    task = find_task(card.task)
    chosen = typical_level(card) if level is None else level
    multiple = task.multiple(chosen)
    height, width = (-(-side // multiple) * multiple for side in shape)
    clean: NDArray[Any] = modcrop(drawing(height, width), multiple)
    degraded = task.degrade(clean, chosen, np.random.default_rng(0))
    plane = degraded[: shape[0], : shape[1]].astype(np.float32)
    return np.repeat(plane[None, None], card.architecture.image_channels, axis=1)
