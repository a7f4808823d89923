"""Training samples: clean patches and what degradation makes of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from memnet_core.color import rgb2ycbcr_luminance
from memnet_core.degradations import jpeg
from memnet_core.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.checkpoint import Levels
    from memnet_core.training.config import TrainingConfig

__all__ = ["Sampler", "read_luminance_folder"]

_JPEG_BLOCK = 8


def read_luminance_folder(folder: Path) -> list[NDArray[np.uint8]]:
    """Read the luminance of every image in a folder, by name.

    Parameters
    ----------
    folder : Path
        Files that are no images are passed over; colours become MATLAB's luminance.

    Returns
    -------
    list of ndarray of uint8, shape (H, W)

    Raises
    ------
    TrainingError
        If the folder is missing or holds no image.
    """
    if not folder.is_dir():
        raise TrainingError(f"{folder} is not a folder; give one with clean images.")
    planes = []
    for path in sorted(folder.iterdir()):
        if not path.is_file():
            continue
        try:
            with Image.open(path) as image:
                if image.mode == "L":
                    planes.append(np.asarray(image))
                else:
                    planes.append(rgb2ycbcr_luminance(np.asarray(image.convert("RGB"))))
        except UnidentifiedImageError:
            continue
        except OSError as error:
            raise TrainingError(f"Cannot read {path}: {error}.") from error
    if not planes:
        raise TrainingError(f"{folder} holds no image; give a folder of clean images.")
    return planes


class Sampler:
    """Batches of degraded and clean patches, each a pure function of seed and step.

    Large images also serve at half their size, which gives sharper detail.

    Parameters
    ----------
    config : TrainingConfig
        Folders, levels, phases and seed.

    Raises
    ------
    TrainingError
        If a folder holds no image, or none that is large enough.
    """

    def __init__(self, config: TrainingConfig) -> None:
        self._levels = config.levels
        self._seed = config.seed
        planes = [p for folder in config.data for p in read_luminance_folder(folder)]
        self.images = len(planes)
        largest = max(phase.patch for phase in config.phases) + _JPEG_BLOCK
        planes += [_halved(p) for p in planes if min(p.shape) >= 4 * largest]
        self._planes = [p for p in planes if min(p.shape) >= largest]
        if not self._planes:
            raise TrainingError(
                f"No training image has both sides of at least {largest} px."
            )
        areas = np.array([plane.size for plane in self._planes], np.float64)
        self._weights = areas / areas.sum()

    def batch(self, step: int, patch: int, count: int) -> tuple[Tensor, Tensor]:
        """Return the batch of a step.

        Parameters
        ----------
        step : int
            Number of the step; together with the seed it determines the batch.
        patch : int
            Side of the patches in pixels.
        count : int
            Number of patches.

        Returns
        -------
        degraded, clean : Tensor
            Each of shape (count, 1, patch, patch), values in [0, 1].
        """
        rng = np.random.default_rng([self._seed, step])
        pairs = [self._pair(patch, rng) for _ in range(count)]
        degraded, clean = (
            torch.from_numpy(np.stack(planes)[:, None]).float().div_(255)
            for planes in zip(*pairs, strict=True)
        )
        return degraded, clean

    def _pair(
        self, patch: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Compress a region of whole blocks, then crop at a random block phase."""
        plane = self._planes[rng.choice(len(self._planes), p=self._weights)]
        region = math.ceil(patch / _JPEG_BLOCK) * _JPEG_BLOCK + _JPEG_BLOCK
        clean = _augmented(_random_crop(plane, region, rng), rng)
        degraded = jpeg(clean, round(_draw_level(self._levels, rng)))
        top, left = rng.integers(0, region - patch + 1, 2)
        window = np.s_[top : top + patch, left : left + patch]
        return degraded[window], clean[window]


def _draw_level(levels: Levels, rng: np.random.Generator) -> float:
    if levels.continuous:
        low, high = np.log([levels.values[0], levels.values[-1]])
        return float(np.exp(rng.uniform(low, high)))
    return float(rng.choice(levels.values))


def _random_crop(
    plane: NDArray[np.uint8], side: int, rng: np.random.Generator
) -> NDArray[np.uint8]:
    top, left = (int(rng.integers(0, size - side + 1)) for size in plane.shape)
    return plane[top : top + side, left : left + side]


def _augmented(plane: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return one of the eight flips and rotations."""
    turned = np.rot90(plane, int(rng.integers(4)))
    return np.ascontiguousarray(turned.T if rng.integers(2) else turned)


def _halved(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = plane.shape
    image = Image.fromarray(plane).resize(
        (width // 2, height // 2), Image.Resampling.LANCZOS
    )
    return np.asarray(image)
