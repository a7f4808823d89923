"""Fine-tuning: choose the initial model, and decide if a data set is small."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from memnet_core.errors import ModelError, SettingRef, TrainingError
from memnet_core.io import open_scenes
from memnet_core.model.registry import find_model, installed
from memnet_core.training.data.clean_images import image_files

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from memnet_core.model.card import Card
    from memnet_core.tasks import Grain

__all__ = ["FEW_MEGAPIXELS", "is_small_dataset", "start_card"]

FEW_MEGAPIXELS = 50
"""Data sets up to this size start from a trained model; about 300 images of BSD."""


def start_card(start: str | None, task: str | None, grain: Grain = "white") -> Card:
    """Return the card of the model that a run starts from.

    Parameters
    ----------
    start : str, optional
        Name or file of the model; by default the shipped model for the task.
    task : str, optional
        Required task of the model.
    grain : str
        Noise correlation of the shipped model: ``white`` or ``correlated``.

    Raises
    ------
    ModelError
        If there is none.
    TrainingError
        If it is for another task.
    """
    if start is None:
        cards = [e.card for e in installed()[0] if e.is_shipped and e.card.task == task]
        fitting = [c for c in cards if c.grain == grain] or cards
        if not fitting:
            init = SettingRef("init")
            raise ModelError(
                f"No model for {task} ships; give one to start from with {init}",
                settings=[init],
            )
        return fitting[0]
    card = find_model(start).card
    if task is not None and card.task != task:
        raise TrainingError(
            f"The model {card.name!r} to start from is for {card.task}, not for {task}."
        )
    return card


def is_small_dataset(folders: Iterable[Path]) -> bool:
    """Whether the images of the folders hold too few pixels to train from scratch.

    Raises
    ------
    MemnetError
        If a folder holds no image, or one cannot be opened.
    """
    pixels = 0
    for folder in folders:
        for path in image_files(folder):
            with open_scenes(path) as scenes:
                for number in range(len(scenes)):
                    with scenes.open(number) as image:
                        pixels += math.prod(image.shape[:3])
            if pixels > FEW_MEGAPIXELS * 1e6:
                return False
    return True
