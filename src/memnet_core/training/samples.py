"""Training samples: patches, degraded on the fly, each from the seed and a number."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from memnet_core.bicubic import modcrop
from memnet_core.degradations import degrade, level_value
from memnet_core.errors import TrainingError
from memnet_core.training.variety import plain_patch, studio_range

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.tasks import Levels
    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.data import TrainingImages

    Patch = tuple[NDArray[Any], NDArray[Any], float | None]
    """Degraded, clean, and what the level's plane holds, if there is one."""

__all__ = ["GridPatches", "RandomPatches", "Sampler", "degraded_window", "make_sampler"]

_JPEG_BLOCK = 8


class Sampler(Protocol):
    """A source of samples that has no state."""

    def batch(self, step: int, patch: int, numbers: Iterable[int]) -> _Batch:
        """Return some samples of a step.

        Parameters
        ----------
        step : int
            Number of the step.
        patch : int
            Side of the patches in pixels.
        numbers : iterable of int
            Which samples of the step; with the seed and the step each determines a
            sample, whatever else is asked for.

        Returns
        -------
        degraded, clean : Tensor
            Each of shape (N, 1, patch, patch), values in [0, 1]; for a network with a
            level map the degraded ones have the level's plane behind their own.
        """
        ...


_Batch = tuple["Tensor", "Tensor"]


def make_sampler(config: TrainingConfig, images: TrainingImages) -> Sampler:
    """Return the sampler that a configuration asks for.

    Raises
    ------
    TrainingError
        If no image is large enough.
    """
    if config.stride is None:
        return RandomPatches(config, images)
    return GridPatches(config, images)


class RandomPatches:
    """Patches from anywhere; large images count for more.

    Parameters
    ----------
    config : TrainingConfig
        Task, levels, phases and seed.
    images : TrainingImages
        What to draw from.
    """

    def __init__(self, config: TrainingConfig, images: TrainingImages) -> None:
        self._task = config.task
        self._levels = config.levels
        self._seed = config.seed
        self._paired = images.degraded is not None
        self._level_map = config.architecture.level_map
        self._plain_share = config.plain_share
        is_scored = config.task == "denoise" or config.luminance == "studio"
        self._studio_share = 0.0 if is_scored else 0.5
        largest = self._region(
            max(phase.patch for phase in config.phases), config.levels.values[-1]
        )
        pairs = zip(images.clean, images.degraded or images.clean, strict=True)
        self._pairs = [pair for pair in pairs if min(pair[0].shape) >= largest]
        if not self._pairs:
            raise TrainingError(
                f"No image to {images.use} on has both sides of at least {largest} px; "
                "give larger images or smaller patches (phases)."
            )
        areas = np.array([clean.size for clean, _ in self._pairs], np.float64)
        self._cumulated = np.cumsum(areas) / areas.sum()

    def batch(self, step: int, patch: int, numbers: Iterable[int]) -> _Batch:
        """Return some samples of a step; see `Sampler.batch`."""
        return _stacked(
            self._patch(patch, np.random.default_rng([self._seed, step, number]))
            for number in numbers
        )

    def _patch(self, patch: int, rng: np.random.Generator) -> Patch:
        """Crop a region larger than the patch, degrade it, and crop the patch.

        JPEG's blocks begin anywhere in the patch; the pixels of the small image begin
        with it; and what a border does to a degradation stays outside of it.
        """
        index = int(np.searchsorted(self._cumulated, rng.random(), side="right"))
        level = _draw_level(self._task, self._levels, rng)
        side = self._region(patch, level)
        grid = int(level) if self._task == "sr" and self._paired else 1
        top, left = (
            grid * int(rng.integers(0, (size - side) // grid + 1))
            for size in self._pairs[index][0].shape
        )
        turn = int(rng.integers(8))
        clean, degraded = (
            _turned(plane[top : top + side, left : left + side], turn)
            for plane in self._pairs[index]
        )
        if self._paired:
            return degraded, clean, None
        if clean.dtype == np.uint8:
            clean = self._varied(clean, rng)
        period, margin = _reach(self._task, level)
        phase = rng.integers(0, period, 2) if self._task == "deblock" else (0, 0)
        start = (margin + int(phase[0]), margin + int(phase[1]))
        pair = degraded_window(clean, start, patch, self._task, level, rng)
        return *pair, level_value(self._task, level) if self._level_map else None

    def _varied(
        self, clean: NDArray[np.uint8], rng: np.random.Generator
    ) -> NDArray[np.uint8]:
        """Return a plain picture at times, and studio range for some."""
        if rng.random() < self._plain_share:
            clean = plain_patch(clean, rng)
        return studio_range(clean) if rng.random() < self._studio_share else clean

    def _region(self, patch: int, level: float) -> int:
        """Return the side of what has to be cropped for a patch."""
        if self._paired:
            return patch
        period, margin = _reach(self._task, level)
        return math.ceil((patch + period - 1) / period) * period + 2 * margin


class GridPatches:
    """Patches on a regular grid, in all orientations and levels, in shuffled epochs.

    Parameters
    ----------
    config : TrainingConfig
        Task, levels, the one phase, stride and seed.
    images : TrainingImages
        Clean images.
    """

    def __init__(self, config: TrainingConfig, images: TrainingImages) -> None:
        self._task = config.task
        self._levels = config.levels
        self._level_map = config.architecture.level_map
        self._seed = config.seed
        self._batch = config.phases[0].batch
        self._patch = config.phases[0].patch
        assert config.stride is not None
        self._stride = config.stride
        smallest = self._patch + 15
        self._planes = [p for p in images.clean if min(p.shape) >= smallest]
        if not self._planes:
            raise TrainingError(
                f"No image to {images.use} on has both sides of at least "
                f"{smallest} px; give larger images."
            )
        self._ends = np.cumsum([self._positions(p).prod() for p in self._planes])
        levels = 1 if config.levels.continuous else len(config.levels.values)
        self._samples = int(self._ends[-1]) * 8 * levels

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the samples."""
        return max(1, self._samples // self._batch)

    def batch(self, step: int, patch: int, numbers: Iterable[int]) -> _Batch:
        """Return some samples of a step; see `Sampler.batch`."""
        epoch, within = divmod(step, self.steps_per_epoch)
        order = _epoch_order(self._seed, epoch, self._samples)
        return _stacked(
            self._sample(
                int(order[(within * self._batch + number) % self._samples]),
                np.random.default_rng([self._seed, step, number]),
            )
            for number in numbers
        )

    def _sample(self, sample: int, rng: np.random.Generator) -> Patch:
        sample, position = divmod(sample, int(self._ends[-1]))
        sample, turn = divmod(sample, 8)
        level = (
            _draw_level(self._task, self._levels, rng)
            if self._levels.continuous
            else self._levels.values[sample]
        )
        index = int(np.searchsorted(self._ends, position, side="right"))
        plane = self._planes[index]
        position -= int(self._ends[index]) - int(self._positions(plane).prod())
        turned = _turned(plane, turn)
        row, column = divmod(position, int(self._positions(turned)[1]))
        start = (row * self._stride, column * self._stride)
        pair = degraded_window(turned, start, self._patch, self._task, level, rng)
        return *pair, level_value(self._task, level) if self._level_map else None

    def _positions(self, plane: NDArray[Any]) -> NDArray[np.int64]:
        """Return the rows and columns of the grid on what every scale leaves."""
        sides = np.array(plane.shape, np.int64)
        if self._task == "sr":
            sides = sides - max(int(v) for v in self._levels.values) + 1
        return (sides - self._patch) // self._stride + 1


def degraded_window(
    plane: NDArray[Any],
    start: tuple[int, int],
    patch: int,
    task: str,
    level: float,
    rng: np.random.Generator,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a patch of the degraded plane, and of the plane.

    Only what the patch depends on is degraded; the result is that of degrading the
    whole plane first and cropping then, at the same phase of JPEG's blocks or of the
    small image's pixels.

    Parameters
    ----------
    plane : ndarray, shape (H, W)
        Clean pixels in [0, 255].
    start : (int, int)
        Row and column at which the patch begins.
    patch : int
        Side of the patch in pixels.
    task, level, rng
        As for `memnet_core.degradations.degrade`.
    """
    period, margin = _reach(task, level)
    whole = modcrop(plane, period) if task == "sr" else plane
    firsts = [max(0, (s - margin) // period * period) for s in start]
    ends = [-(-(s + patch + margin) // period) * period for s in start]
    region = np.ascontiguousarray(whole[firsts[0] : ends[0], firsts[1] : ends[1]])
    top, left = (s - first for s, first in zip(start, firsts, strict=True))
    window = np.s_[top : top + patch, left : left + patch]
    return degrade(region, task, level, rng)[window], region[window]


def _reach(task: str, level: float) -> tuple[int, int]:
    """Return the period of a degradation and how far it reaches, in pixels."""
    if task == "deblock":
        return _JPEG_BLOCK, 0
    if task == "sr":
        return int(level), 5 * int(level)
    return 1, 0


def _draw_level(task: str, levels: Levels, rng: np.random.Generator) -> float:
    """Draw from the listed levels, or a range: qualities evenly on a log scale.

    Deviations are drawn evenly, and half of those that may be small on a log scale.
    """
    if not levels.continuous:
        return float(rng.choice(levels.values))
    low, high = levels.values[0], levels.values[-1]
    if task == "denoise" and (low == 0 or rng.random() < 0.5):
        return float(rng.uniform(low, high))
    return float(np.exp(rng.uniform(math.log(low), math.log(high))))


def _turned(plane: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return one of the eight flips and rotations, 0 to 7."""
    rotated = np.rot90(plane, turn % 4)
    return rotated.T if turn >= 4 else rotated


def _stacked(patches: Iterable[Patch]) -> _Batch:
    degraded, clean, levels = zip(*patches, strict=True)
    planes = _planes(degraded)
    if levels[0] is not None:
        level = torch.tensor(levels).reshape(-1, 1, 1, 1).expand_as(planes)
        planes = torch.cat([planes, level], 1)
    return planes, _planes(clean)


def _planes(patches: tuple[NDArray[Any], ...]) -> Tensor:
    pixels = np.stack(patches)[:, None].astype(np.float32)
    return torch.from_numpy(pixels).div_(255)


@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(np.arange(samples, dtype=np.int64))
