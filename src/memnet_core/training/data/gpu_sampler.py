"""Samples that are cropped and degraded on a device, from images that stay there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from memnet_core.errors import TrainingError
from memnet_core.image_ops.resize import modcrop
from memnet_core.jpeg.dct_bounds import TO_YCC
from memnet_core.noise.synthesis import draw_noise
from memnet_core.training.data.gpu_degradations import (
    DEGRADATIONS,
    add_noise,
    compress_twice,
    compressed,
    shrunk,
    to_device_async,
    windows,
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
    from memnet_core.training.data.sampler import PatchLocation, Sample, Sampler
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
    teachers, their answers have a share in what is called clean. A teacher that
    enlarges is asked for whole images, each when it is first drawn.

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
        self._share = config.teacher_share
        self._teachers = read_teachers(config, device) if config.teacher else {}
        enlarging = any(teacher.scale > 1 for teacher in self._teachers.values())
        super().__init__(config, images, aligned=enlarging)
        self._device = device
        self._enlarged: dict[tuple[int, int], _Resident] = {}
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
        places = [self._place(patch, rng) for rng in rngs]
        if self._degraded is not None:
            resident = (self._degraded, self._clean)
            degraded, clean = (r.crops(places) / 255 for r in resident)
            told = [self._told(place.image) for place in places]
            return self._with_levels(degraded, told), clean
        entropy = np.random.SeedSequence([self._seed, step, chosen[0]])
        generator = torch.Generator(self._device)
        generator.manual_seed(int(entropy.generate_state(1, np.uint32)[0]))
        samples = [
            _Sample(self._sample(place, patch, rng), rng)
            for place, rng in zip(places, rngs, strict=True)
        ]
        groups = self._alike(samples)
        parts = [
            self._made([samples[number] for number in group], patch, generator)
            for group in groups
        ]
        order = to_device_async(np.argsort(np.concatenate(groups)), self._device)
        degraded, clean, levels = (
            torch.cat(planes)[order] for planes in zip(*parts, strict=True)
        )
        degraded = degraded / 255
        if self._level_map:
            degraded = torch.cat([degraded, levels], 1)
        return degraded, clean / 255

    def _alike(self, samples: Sequence[_Sample]) -> list[list[int]]:
        """Return the numbers of samples whose regions are degraded together."""
        groups: dict[tuple[Any, ...], list[int]] = {}
        for number, (sample, _) in enumerate(samples):
            (top, bottom), (left, right) = sample.frame
            history = sample.history
            source = history.source(bottom - top, right - left) if history else ()
            alike = self._task.period(sample.place.level), sample.frame, source
            groups.setdefault(alike, []).append(number)
        return [groups[key] for key in sorted(groups)]

    def _with_levels(self, degraded: Tensor, told: Sequence[list[float]]) -> Tensor:
        """Append the level plane, if the network has one."""
        if not self._level_map:
            return degraded
        values = [value[0] if value else 0.0 for value in told]
        plane = to_device_async(_column(values), self._device).expand_as(
            degraded[:, :1]
        )
        return torch.cat([degraded, plane], 1)

    def _made(
        self, samples: Sequence[_Sample], patch: int, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return (degraded, clean, level map) of samples of one shape.

        Pixels are in [0, 255]; levels are in the unit of the level map.
        """
        drawn, rngs = zip(*samples, strict=True)
        varieties = [sample.variety for sample in drawn]
        levels = [sample.place.level for sample in drawn]
        region = _varied(self._clean.crops([s.place for s in drawn]), varieties)
        rows, columns = (slice(*ends) for ends in drawn[0].frame)
        region = region[..., rows, columns]
        at = to_device_async(np.array([sample.start for sample in drawn]), self._device)
        clean = windows(region, at, (patch, patch))
        values = np.array([self._level_values(s) for s in drawn], np.float32)
        maps = to_device_async(values[..., None, None], self._device)
        taught = [not variety.is_plain for variety in varieties]
        if self._all_noise:
            noises = [*map(draw_noise, levels, rngs)]
            seen, deviations = add_noise(clean, noises, generator)
            told = deviations / 255
            taught = [t and n.is_white for t, n in zip(taught, noises, strict=True)]
        elif histories := [sample.history for sample in drawn if sample.history]:
            pair = compress_twice(region, [*map(round, levels)], histories)
            seen, clean = (windows(planes, at, (patch, patch)) for planes in pair)
            told = maps.expand(-1, -1, patch, patch)
            taught = [False] * len(levels)
        else:
            if self._chroma_level:
                chroma_levels = [sample.chroma_level for sample in drawn]
                degraded = compressed(region, levels, rngs, chroma_levels)
            else:
                degrade = DEGRADATIONS[type(self._task)]
                degraded = degrade(region, levels, rngs, generator)
            seen = windows(degraded, at, (patch, patch))
            told = maps.expand(-1, -1, patch, patch)
        if self._teachers and any(taught):
            these = to_device_async(np.flatnonzero(taught), self._device)
            teacher = self._teachers[self._task.scale(levels[0])]
            if teacher.scale > 1:
                whole = [self._enlargement(s.place, teacher) for s in drawn]
                answer = _varied(torch.cat(whole), varieties)[..., rows, columns]
                answer = windows(answer, at, (patch, patch))[these]
            else:
                # A teacher is told the level, also where the network is not.
                of = self._task.level_map_value
                known = [self._level_values(s) or [of(s.place.level)] for s in drawn]
                column = np.array(known, np.float32)[..., None, None]
                level_maps = to_device_async(column, self._device)
                answer = _restored(teacher, seen[these], level_maps[these])
            clean[these] = clean[these].lerp(answer, self._share)
        return seen, clean, told

    def _enlargement(self, place: PatchLocation, teacher: Teacher) -> Tensor:
        """Return what a teacher makes of the small image, cropped at a place.

        It sees the whole image once, which costs less than margins around each patch,
        and as a network that uses statistics of its input is meant to.
        """
        key = place.image, teacher.scale
        if key not in self._enlarged:
            clean = modcrop(self._pairs[place.image][0], teacher.scale)
            planes = np.atleast_3d(clean).transpose(2, 0, 1).astype(np.float32)[None]
            small = shrunk(to_device_async(planes, self._device), teacher.scale)
            answer = _restored(teacher, small, small[:, :1, :1, :1])[0]
            pixels = answer.round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy()
            self._enlarged[key] = _Resident([pixels], self._device)
        return self._enlarged[key].crops([place._replace(image=0)])


@torch.no_grad()
def _restored(teacher: Teacher, degraded: Tensor, values: Tensor) -> Tensor:
    """Return what a teacher makes of pixels in [0, 255], on that scale."""
    return 255 * teacher.restore(degraded / 255, values)


def _column(values: Sequence[float]) -> NDArray[np.float32]:
    """Return a number for each sample, of shape (N, 1, 1, 1)."""
    return np.array(values, np.float32).reshape(-1, 1, 1, 1)


class _Sample(NamedTuple):
    drawn: Sample
    rng: np.random.Generator


class _Resident:
    """Planes of several sizes in one tensor on a device."""

    def __init__(self, planes: Sequence[NDArray[Any]], device: torch.device) -> None:
        channels = np.atleast_3d(planes[0]).shape[2]
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
    """Replace a random subset of the crops by synthetic patches or tone tables."""
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
    if grays := [n for n, v in enumerate(varieties) if v.is_gray]:
        numbers = to_device_async(np.array(grays), device)
        weights = torch.from_numpy(TO_YCC[0]).to(region)
        gray = torch.einsum("c,nchw->nhw", weights, region[numbers]).round()
        region[numbers] = gray[:, None].expand(-1, 3, -1, -1)
    return region
