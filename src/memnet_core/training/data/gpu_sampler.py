"""Samples that are cropped and degraded on a device, from images that stay there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from memnet_core.errors import TrainingError
from memnet_core.training.data.gpu_degradations import (
    DEGRADATIONS,
    shrunk,
    to_device_async,
)
from memnet_core.training.data.sampler import RandomPatches, make_sampler
from memnet_core.training.distillation import read_teachers

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray
    from torch import Tensor

    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.data.augment import SyntheticAugment
    from memnet_core.training.data.images import TrainingImages
    from memnet_core.training.data.sampler import PatchLocation, Sampler
    from memnet_core.training.distillation import Teacher

__all__ = ["DevicePatches", "sampler_on"]


def sampler_on(
    device: torch.device, config: TrainingConfig, images: TrainingImages
) -> Sampler:
    """Return the sampler that suits a device, or that the configuration asks for.

    Raises
    ------
    TrainingError
        If no image is large enough, the task is not learned from device batches, or a
        teacher does not serve.
    """
    can = config.stride is None and (
        images.degraded is not None or type(config.kind) in DEGRADATIONS
    )
    if config.batches == "device" and not can:
        raise TrainingError(
            f"Batches for {config.task} are not made on the device; leave out "
            "'batches: device'."
        )
    suits = config.batches == "auto" and device.type == "cuda"
    if can and (suits or config.batches == "device" or config.teacher):
        return DevicePatches(config, images, device)
    return make_sampler(config, images)


class DevicePatches(RandomPatches):
    """The samples of `RandomPatches`, made on a device.

    Which they are follows from the seed, the step and the number in the same way; the
    noise comes from the device, and differs with the numbers asked for. Where there are
    teachers, their answers have a share in what is called clean.

    Parameters
    ----------
    config, images
        As for `RandomPatches`.
    device : torch.device
        Where the images are kept, 8 bits a sample, and batches made.
    """

    def __init__(
        self, config: TrainingConfig, images: TrainingImages, device: torch.device
    ) -> None:
        task = config.kind
        self._share = config.teacher_share
        self._teachers = read_teachers(config, device) if config.teacher else {}
        margins = {s: s * each.margin for s, each in self._teachers.items()}
        super().__init__(
            config, images, lambda level: margins.get(task.scale(level), 0)
        )
        self._device = device
        self._clean = _Resident([clean for clean, _ in self._pairs], device)
        self._degraded = (
            _Resident([degraded for _, degraded in self._pairs], device)
            if self._paired
            else None
        )

    def batch(
        self, step: int, patch: int, numbers: Iterable[int]
    ) -> tuple[Tensor, Tensor]:
        """Return some samples of a step, on the device; see `Sampler.batch`."""
        chosen = list(numbers)
        rngs = [np.random.default_rng([self._seed, step, number]) for number in chosen]
        samples = [_Sample(self._place(patch, rng), rng) for rng in rngs]
        if self._degraded is not None:
            places = [sample.place for sample in samples]
            resident = (self._degraded, self._clean)
            degraded, clean = (r.crops(places) / 255 for r in resident)
            told = [self._told(place.image) for place in places]
            return self._with_levels(degraded, told), clean
        entropy = np.random.SeedSequence([self._seed, step, chosen[0]])
        generator = torch.Generator(self._device)
        generator.manual_seed(int(entropy.generate_state(1, np.uint32)[0]))
        periods = [self._task.period(sample.place.level) for sample in samples]
        groups = [np.flatnonzero(np.equal(periods, p)) for p in sorted(set(periods))]
        parts = [
            self._made([samples[number] for number in group], patch, generator)
            for group in groups
        ]
        order = to_device_async(np.argsort(np.concatenate(groups)), self._device)
        degraded, clean = (
            torch.cat(planes)[order] / 255 for planes in zip(*parts, strict=True)
        )
        told = [self._task.level_map_value(sample.place.level) for sample in samples]
        return self._with_levels(degraded, told), clean

    def _with_levels(self, degraded: Tensor, told: Sequence[float | None]) -> Tensor:
        """Put the level's plane behind the others, if there is one."""
        if not self._level_map:
            return degraded
        values = [value or 0.0 for value in told]
        plane = to_device_async(_column(values), self._device).expand_as(
            degraded[:, :1]
        )
        return torch.cat([degraded, plane], 1)

    def _made(
        self, samples: Sequence[_Sample], patch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return degraded and clean patches of samples of one period, in [0, 255]."""
        places, rngs = zip(*samples, strict=True)
        region = self._clean.crops(places)
        varieties = [
            self._variety(self._pairs[place.image][0], place.side, rng)
            for place, rng in samples
        ]
        region = _varied(region, varieties)
        levels = [place.level for place in places]
        starts = [self._start(place.level, rng) for place, rng in samples]
        degraded = DEGRADATIONS[type(self._task)](region, levels, rngs, generator)
        at = to_device_async(np.array(starts), self._device)
        seen, clean = _windows(degraded, at, patch), _windows(region, at, patch)
        if not self._teachers:
            return seen, clean
        teacher = self._teachers[self._task.scale(levels[0])]
        values = [self._task.level_map_value(level) for level in levels]
        answer = _answered(
            teacher, region, seen, to_device_async(_column(values), self._device)
        )
        if teacher.scale > 1:
            answer = _windows(answer, at, patch)
        shares = [0 if v.is_plain else self._share for v in varieties]
        return seen, clean.lerp(answer, to_device_async(_column(shares), self._device))


@torch.no_grad()
def _answered(
    teacher: Teacher, region: Tensor, degraded: Tensor, values: Tensor
) -> Tensor:
    """Return what a teacher makes of degraded patches, or of small clean regions."""
    given = shrunk(region, teacher.scale) if teacher.scale > 1 else degraded
    return 255 * teacher.restore(given / 255, values)


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    """Return a number for each sample, of shape (N, 1, 1, 1)."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


class _Sample(NamedTuple):
    place: PatchLocation
    rng: np.random.Generator


class _Resident:
    """Planes of several sizes in one tensor on a device."""

    def __init__(self, planes: Sequence[NDArray[Any]], device: torch.device) -> None:
        channels = 3 if planes[0].ndim == 3 else 1
        self._widths = [plane.shape[1] for plane in planes]
        areas = [plane.shape[0] * plane.shape[1] for plane in planes]
        self._firsts = np.cumsum([0, *areas])
        pixels = np.concatenate([plane.reshape(-1, channels) for plane in planes])
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32)
        self._pixels = torch.from_numpy(pixels).to(device)

    def crops(self, places: Sequence[PatchLocation]) -> Tensor:
        """Return squares of one side, turned: float32 of shape (N, C, side, side)."""
        device, side = self._pixels.device, places[0].side
        walks = np.array([self._walk(place) for place in places], np.int64)
        first, down, right = to_device_async(walks, device)[:, :, None, None].unbind(1)
        steps = torch.arange(side, device=device)
        pixels = self._pixels[first + down * steps[:, None] + right * steps]
        return pixels.permute(0, 3, 1, 2).contiguous().float()

    def _walk(self, place: PatchLocation) -> tuple[int, int, int]:
        """Return the first pixel of a turned square, and the steps down and right."""
        width, last = self._widths[place.image], place.side - 1
        corner, down, right = (
            (0, width, 1),
            (last, -1, width),
            (last * (width + 1), -width, -1),
            (last * width, 1, -width),
        )[place.turn % 4]
        if place.turn >= 4:
            down, right = right, down
        origin = int(self._firsts[place.image]) + place.top * width + place.left
        return origin + corner, down, right


def _varied(region: Tensor, varieties: Sequence[SyntheticAugment]) -> Tensor:
    """Return crops of which some become others."""
    device = region.device
    pictures = {n: v.picture for n, v in enumerate(varieties) if v.picture is not None}
    tables = {n: v.table for n, v in enumerate(varieties) if v.table is not None}
    if pictures:
        made = np.stack([np.atleast_3d(picture) for picture in pictures.values()])
        planes = to_device_async(made, device).permute(0, 3, 1, 2).float()
        region[to_device_async(np.array([*pictures]), device)] = planes
    if tables:
        numbers = to_device_async(np.array([*tables]), device)
        tones = to_device_async(np.stack([*tables.values()]), device).float()
        old = region[numbers]
        region[numbers] = tones.gather(1, old.flatten(1).long()).view_as(old)
    return region


def _windows(planes: Tensor, starts: Tensor, side: int) -> Tensor:
    """Return a square of each of (N, C, H, W) planes, which begins at (N, 2) starts."""
    count, channels, _, width = planes.shape
    steps = torch.arange(side, device=planes.device)
    rows = (starts[:, :1] + steps)[:, None, :, None]
    columns = (starts[:, 1:] + steps)[:, None, None, :]
    high = planes.gather(2, rows.expand(count, channels, side, width))
    return high.gather(3, columns.expand(count, channels, side, side))
