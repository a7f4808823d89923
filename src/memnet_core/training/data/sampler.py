"""Draw training patches and degrade them; seed and number determine each sample."""

from __future__ import annotations

import functools
import math
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
import torch

from memnet_core.image_ops.resize import modcrop
from memnet_core.noise.synthesis import add_noise, draw_noise
from memnet_core.tasks import find_task
from memnet_core.tasks.deblock import draw_whole_chroma, jpeg
from memnet_core.training.data.augment import SyntheticAugment, draw_variety
from memnet_core.training.data.jpeg_histories import compress_twice, draw_history

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.tasks import Task
    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.data.images import TrainingImages
    from memnet_core.training.data.jpeg_histories import JpegHistory

    Patch = tuple[NDArray[Any], NDArray[Any], Sequence[float | NDArray[Any]]]
    """Degraded, clean, and what the planes of levels hold: a number each, or one for
    each pixel."""

__all__ = [
    "GridPatches",
    "PatchLocation",
    "RandomPatches",
    "Sample",
    "Sampler",
    "degraded_window",
    "make_sampler",
    "network_planes",
]


_BORDERS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if y or x]
"""Sides and corners of a picture: before, at neither border, behind."""


_GRAY_SHARE = 0.15
"""Patches with neutral chroma for a network with chroma, which restores gray JPEGs."""

_OTHER_CHROMA_SHARE = 0.2
"""Patches whose chroma has another quality than luminance: programs with tables of
their own differ in it by far."""


class PatchLocation(NamedTuple):
    """Where a sample comes from.

    Attributes
    ----------
    image : int
        Number of the image.
    level : float
        How it is degraded.
    top, left, side : int
        Square of pixels around the patch.
    turn : int
        One of the eight flips and rotations.
    """

    image: int
    level: float
    top: int
    left: int
    side: int
    turn: int


class Sample(NamedTuple):
    """Everything that determines a sample, except its noise.

    Attributes
    ----------
    place : PatchLocation
        Image, position and level of the patch.
    variety : SyntheticAugment
        Augmentation of the photograph.
    frame : ((int, int), (int, int))
        Row and column ranges (end exclusive) of the square that lie inside the image:
        all of it, unless the patch is at the border.
    start : (int, int)
        Row and column in the frame at which the patch begins.
    chroma_level : float
        Level of chroma, for a network that is told it.
    history : JpegHistory, optional
        Processing after the first JPEG compression.
    """

    place: PatchLocation
    variety: SyntheticAugment
    frame: tuple[tuple[int, int], tuple[int, int]]
    start: tuple[int, int]
    chroma_level: float
    history: JpegHistory | None = None


class Sampler(Protocol):
    """A source of samples that has no state.

    Attributes
    ----------
    images : int
        Number of planes to draw from.
    remark : str
        Which images are too small, and how they are handled.
    """

    images: int
    remark: str

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
            Each of shape (N, C, patch, patch), values in [0, 1]; for a network with a
            level map the degraded ones have the planes of levels behind their own.
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
    aligned : bool
        Whether regions begin at multiples of the scale, as those of pairs do.
    """

    def __init__(
        self, config: TrainingConfig, images: TrainingImages, *, aligned: bool = False
    ) -> None:
        self._task = config.kind
        self._levels = config.levels
        self._seed = config.seed
        self._paired = images.degraded is not None
        self._aligned = aligned or self._paired
        self._level_map = config.architecture.level_map
        self._chroma_level = config.architecture.chroma_level
        self._all_noise = config.noise == "all"
        self._plain_share = config.plain_share
        self._dim_share = config.dim_share
        self._border_share = config.border_share
        self._history_share = config.history_share
        as_it_is = (
            self._task.full_range
            or config.luminance == "studio"
            or config.architecture.image_channels > 1
        )
        self._studio_share = 0.0 if as_it_is else 0.5
        largest = self._region(
            max(phase.patch for phase in config.phases), config.levels.values[-1]
        )
        fitted, self.remark = images.fitted(largest)
        self.images = len(fitted.clean)
        self._image_levels = fitted.levels
        self._pairs = [*zip(fitted.clean, fitted.degraded or fitted.clean, strict=True)]
        areas = np.array([math.prod(c.shape[:2]) for c, _ in self._pairs], np.float64)
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
        place = self._place(patch, rng)
        image, level, top, left, side, turn = place
        clean, degraded = (
            _turned(plane[top : top + side, left : left + side], turn)
            for plane in self._pairs[image]
        )
        if self._paired:
            return degraded, clean, self._told(image)
        sample = self._sample(place, patch, rng)
        rows, columns = (slice(*ends) for ends in sample.frame)
        clean = sample.variety.of(clean)[rows, columns]
        if self._all_noise:
            degraded, deviation = add_noise(clean, draw_noise(level, rng), rng)
            return degraded, clean, [deviation / 255] if self._level_map else []
        if sample.history:
            whole = compress_twice(clean, round(level), sample.history)
            window = tuple(slice(s, s + patch) for s in sample.start)
            pair = whole[0][window], whole[1][window]
        elif self._chroma_level:
            pair = compressed_window(
                clean, sample.start, patch, (level, sample.chroma_level), rng
            )
        else:
            pair = degraded_window(clean, sample.start, patch, self._task, level, rng)
        return *pair, self._level_values(sample)

    def _level_values(self, sample: Sample) -> list[float]:
        """Return the values of the level planes, none for a network without them."""
        levels = [sample.place.level, sample.chroma_level]
        planes = self._level_map + self._chroma_level
        return [self._task.level_map_value(level) for level in levels[:planes]]

    def _place(self, patch: int, rng: np.random.Generator) -> PatchLocation:
        """Draw where a sample comes from."""
        image = int(np.searchsorted(self._cumulated, rng.random(), side="right"))
        level = self._task.draw_level(self._levels, rng)
        side = self._region(patch, level)
        grid = self._task.multiple(level) if self._aligned else 1
        top, left = (
            grid * int(rng.integers(0, (size - side) // grid + 1))
            for size in self._pairs[image][0].shape[:2]
        )
        return PatchLocation(image, level, top, left, side, int(rng.integers(8)))

    def _told(self, image: int) -> list[float]:
        """Return what the level's plane holds for a pair, if there is one."""
        levels = self._image_levels
        return [self._task.level_map_value(levels[image])] if levels else []

    def _variety(
        self, clean: NDArray[Any], side: int, rng: np.random.Generator
    ) -> SyntheticAugment:
        """Draw the augmentation of a square crop; only 8-bit images get one."""
        if clean.dtype != np.uint8:
            return SyntheticAugment()
        variety = draw_variety(
            (side, side, *clean.shape[2:]),
            rng,
            plain=self._plain_share,
            dim=self._dim_share,
            studio=self._studio_share,
        )
        is_gray = self._chroma_level and rng.random() < _GRAY_SHARE
        return variety._replace(is_gray=is_gray)

    def _sample(
        self, place: PatchLocation, patch: int, rng: np.random.Generator
    ) -> Sample:
        """Draw what is made of a place."""
        variety = self._variety(self._pairs[place.image][0], place.side, rng)
        starts = self._start(place.level, rng)
        borders = [0, 0]
        if place.side > patch and rng.random() < self._border_share:
            borders = [*_BORDERS[rng.integers(len(_BORDERS))]]
        multiple = self._task.multiple(place.level)
        frame = [(0, place.side), (0, place.side)]
        begins = [*starts]
        for axis, (start, border) in enumerate(zip(starts, borders, strict=True)):
            if border < 0:
                frame[axis], begins[axis] = (start, place.side), 0
            elif border > 0 and (start + patch) % multiple == 0:
                frame[axis] = (0, start + patch)
        chroma_level = place.level
        if self._chroma_level and rng.random() < _OTHER_CHROMA_SHARE:
            chroma_level = self._task.draw_level(self._levels, rng)
        sample = Sample(
            place, variety, (frame[0], frame[1]), (begins[0], begins[1]), chroma_level
        )
        if self._history_share and rng.random() < self._history_share:
            is_color = self._pairs[place.image][0].ndim == 3
            history = draw_history(round(place.level), is_color, rng)
            if history:
                return sample._replace(history=history, chroma_level=place.level)
        return sample

    def _start(self, level: float, rng: np.random.Generator) -> tuple[int, int]:
        """Draw where in its region a patch begins.

        Where sides have to be multiples, so do the places of patches; otherwise the
        grid of the degradation may begin at any pixel.
        """
        phases = self._task.period(level) // self._task.multiple(level)
        margin = self._task.receptive_margin(level)
        phase = rng.integers(0, phases, 2)
        return margin + int(phase[0]), margin + int(phase[1])

    def _region(self, patch: int, level: float) -> int:
        """Return the side of what has to be cropped for a patch."""
        if self._paired:
            return patch
        period = self._task.period(level)
        whole = math.ceil((patch + period - 1) / period) * period
        return whole + 2 * self._task.receptive_margin(level)


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
        self._task = config.kind
        self._levels = config.levels
        self._level_map = config.architecture.level_map
        self._seed = config.seed
        self._batch = config.phases[0].batch
        self._patch = config.phases[0].patch
        assert config.stride is not None
        self._stride = config.stride
        self._spare = max(self._task.multiple(v) for v in config.levels.values) - 1
        fitted, self.remark = images.fitted(self._patch + self._spare)
        self._planes = fitted.clean
        self.images = len(self._planes)
        self._ends = np.cumsum([self._positions(p).prod() for p in self._planes])
        levels = 1 if config.levels.continuous else len(config.levels.values)
        self._samples = int(self._ends[-1]) * 8 * levels

    @property
    def steps_per_epoch(self) -> int:
        """Number of full batches in the samples."""
        return max(1, self._samples // self._batch)

    def batch(self, step: int, patch: int, numbers: Iterable[int]) -> _Batch:
        """Return some samples of a step; see `Sampler.batch`."""
        if patch != self._patch:
            raise ValueError(f"The grid has patches of {self._patch} px, not {patch}.")
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
            self._task.draw_level(self._levels, rng)
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
        told = [self._task.level_map_value(level)] if self._level_map else []
        return *pair, told

    def _positions(self, plane: NDArray[Any]) -> NDArray[np.int64]:
        """Return the rows and columns of the grid on what every scale leaves."""
        sides = np.array(plane.shape[:2], np.int64) - self._spare
        return (sides - self._patch) // self._stride + 1


def degraded_window(
    plane: NDArray[Any],
    start: tuple[int, int],
    patch: int,
    task: Task,
    level: float,
    rng: np.random.Generator,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a patch of the degraded plane, and of the plane.

    Only what the patch depends on is degraded; the result is that of degrading the
    whole plane first and cropping then, at the same phase of JPEG's blocks or of the
    small image's pixels.

    Parameters
    ----------
    plane : ndarray, shape (H, W) or (H, W, 3)
        Clean pixels in [0, 255].
    start : (int, int)
        Row and column at which the patch begins.
    patch : int
        Side of the patch in pixels.
    task, level, rng
        How it is degraded; see `memnet_core.tasks.Task.degrade`.
    """
    region, window = _degraded_region(plane, start, patch, task, level)
    return task.degrade(region, level, rng)[window], region[window]


def compressed_window(
    plane: NDArray[Any],
    start: tuple[int, int],
    patch: int,
    levels: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a patch of a color JPEG, and of what it was made of.

    Parameters
    ----------
    plane, start, patch
        As for `degraded_window`.
    levels : (float, float)
        Quality of luminance and of chroma.
    rng : numpy.random.Generator
        Decides on the sampling of chroma.
    """
    quality, chroma_quality = map(round, levels)
    task = find_task("deblock")
    region, window = _degraded_region(plane, start, patch, task, quality)
    compressed = jpeg(
        np.clip(np.rint(region), 0, 255).astype(np.uint8),
        quality,
        subsampled=not draw_whole_chroma(rng),
        chroma_quality=chroma_quality,
    )
    return compressed.astype(np.float64)[window], region[window]


def _degraded_region(
    plane: NDArray[Any], start: tuple[int, int], patch: int, task: Task, level: float
) -> tuple[NDArray[Any], tuple[slice, slice]]:
    """Return the part of a plane that a patch depends on, and where the patch is."""
    period, margin = task.period(level), task.receptive_margin(level)
    whole = modcrop(plane, task.multiple(level))
    firsts = [max(0, (s - margin) // period * period) for s in start]
    ends = [-(-(s + patch + margin) // period) * period for s in start]
    region = np.ascontiguousarray(whole[firsts[0] : ends[0], firsts[1] : ends[1]])
    top, left = (s - first for s, first in zip(start, firsts, strict=True))
    return region, (slice(top, top + patch), slice(left, left + patch))


def _turned(plane: NDArray[Any], turn: int) -> NDArray[Any]:
    """Return one of the eight flips and rotations, 0 to 7."""
    rotated = np.rot90(plane, turn % 4)
    return rotated.swapaxes(0, 1) if turn >= 4 else rotated


def _stacked(patches: Iterable[Patch]) -> _Batch:
    degraded, clean, levels = zip(*patches, strict=True)
    planes = _planes(degraded)
    size = planes.shape[-2:]
    for plane in zip(*levels, strict=True):
        maps = [np.broadcast_to(np.asarray(v, np.float32), size) for v in plane]
        planes = torch.cat([planes, torch.from_numpy(np.stack(maps)[:, None])], 1)
    return planes, _planes(clean)


def _planes(patches: tuple[NDArray[Any], ...]) -> Tensor:
    return torch.stack([network_planes(patch) for patch in patches])


def network_planes(pixels: NDArray[Any]) -> Tensor:
    """Return (H, W) or (H, W, 3) pixels in [0, 255] as planes (C, H, W) in [0, 1]."""
    planes = np.moveaxis(np.atleast_3d(pixels), -1, 0).astype(np.float32, order="C")
    return torch.from_numpy(planes).div_(255)


@functools.lru_cache(maxsize=2)
def _epoch_order(seed: int, epoch: int, samples: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed, epoch])
    return rng.permutation(np.arange(samples, dtype=np.int64))
