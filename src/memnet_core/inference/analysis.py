"""What is found out about an input by a sample of it: range, noise and level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from memnet_core.errors import ImageError, NothingToDo, SettingRef, UsageError
from memnet_core.inference.noise_choice import (
    check_noise,
    is_poisson_gaussian,
    mean_level,
    noise_of,
)
from memnet_core.inference.scaling import (
    AnscombeScaling,
    LinearScaling,
    Scaling,
    scaling_of,
    stabilized_of,
)
from memnet_core.jpeg.coding import JpegCoding
from memnet_core.jpeg.traces import LEAST_SIDE, find_earlier_jpeg
from memnet_core.noise.correlation import Grain
from memnet_core.sources.frame_average import TemporalAverage
from memnet_core.sources.hot_pixels import HotPixelsRemoved, replaced
from memnet_core.sources.sampling import sampled_blocks, sampled_planes
from memnet_core.sources.wrappers import NaNFilled
from memnet_core.tasks import LevelFound, NoiseFound, estimate_correlation, find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.jpeg.traces import EarlierJpeg
    from memnet_core.noise.estimation import PoissonGaussianNoise
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.tasks import Task

__all__ = ["ChannelParams", "SourceAnalysis", "analyze"]

_AVERAGED = 3
"""Planes that are averaged with their neighbors to see what that brings."""

_JUDGED = 1024
"""Values from which on what they spread over says something of their noise."""

_ALIKE = 1.5
"""Factor that a σ which is given and one that is found may differ by."""


class ChannelParams(BaseModel):
    """What was found out about one channel.

    Attributes
    ----------
    level : float
        Degradation level.
    scaling : LinearScaling or AnscombeScaling, optional
        What becomes 0 and 1; None where every plane has its own.
    frames : float
        Planes in the means that the network sees; 1 where it sees single ones.
    grain : str
        Whether neighboring pixels share the noise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: FiniteFloat
    scaling: Scaling | None
    frames: Annotated[FiniteFloat, Field(ge=1)] = 1.0
    grain: Grain = "white"

    @property
    def is_stabilized(self) -> bool:
        """Whether noise of photons is made the same everywhere."""
        return isinstance(self.scaling, AnscombeScaling)


@dataclass(frozen=True)
class SourceAnalysis:
    """What was found out about an input.

    Attributes
    ----------
    channels : tuple of ChannelParams
        One for each channel of the source.
    remarks : tuple of str
        How level and range were found.
    """

    channels: tuple[ChannelParams, ...]
    remarks: tuple[str, ...]

    @property
    def grain(self) -> Grain:
        """Grain of the noise: ``correlated`` if a channel's is, which serves all."""
        return max((c.grain for c in self.channels), key=["white", "correlated"].index)

    def strongest(self, task: Task) -> float:
        """Return the level of the channel that needs most."""
        return max((c.level for c in self.channels), key=task.level_map_value)


def analyze(source: PixelSource, settings: RestoreOptions) -> SourceAnalysis:
    """Find out range and level of an input by a sample of its planes.

    Parameters
    ----------
    source : Source
        Any input.
    settings : RestoreOptions
        What was asked for.

    Raises
    ------
    ImageError
        If the planes are no image, or the sample holds values that cannot be restored.
    LevelError
        If the level cannot be found out, or is none.
    """
    if 0 in source.shape or source.dtype.kind not in "buif":
        raise ImageError(
            f"Pixels of type {source.dtype} and shape {source.shape} cannot be "
            "restored; convert them to integers or floats."
        )
    task = find_task(settings.task)
    if settings.level is not None:
        task.check(settings.level)
    check_noise(task, settings)
    judged = [_judged(source, n, task, settings) for n in range(source.channels)]
    return SourceAnalysis(
        channels=tuple(channel for channel, _ in judged),
        remarks=tuple(dict.fromkeys(remark for _, told in judged for remark in told)),
    )


def _judged(
    source: PixelSource, channel: int, task: Task, settings: RestoreOptions
) -> tuple[ChannelParams, list[str]]:
    """Return level and scaling of a channel, and how they were found."""
    remarks: list[str] = []
    hot: list[str] = []
    planes = sampled_planes(source, channel)
    blocks = sampled_blocks(source, planes)
    line = noise_of(blocks, task, settings)
    photons = bool(line and is_poisson_gaussian(line, blocks, source, settings))
    choice = settings.value_range
    if photons and choice == "auto":
        choice = "percentile"
    if line and photons and settings.hot_pixels == "auto":
        blocks, hot = _without_hot_pixels(source, blocks, channel, line)
        source = HotPixelsRemoved(source, line.gain, line.constant)
    even_line, frames = line, 1.0
    if line and photons and settings.context > 1 and source.neighbors(planes[0]):
        source = TemporalAverage(source, line.gain, line.constant)
        step = -(-len(planes) // _AVERAGED)
        few = planes[step // 2 :: step]
        frames = float(np.mean([source.frames(plane) for plane in few]))
        blocks = sampled_blocks(source, few)
        even_line = replace(
            line, gain=line.gain / frames, constant=line.constant / frames
        )
        hot.append(f"means of {frames:.1f} planes")
    scaling = scaling_of(blocks, source.dtype, choice)
    even = stabilized_of(scaling, even_line) if even_line and photons else scaling
    is_open = task.noisy and settings.noise_grain != "white"
    seen = _seen(source, planes, even) if is_open or settings.level is None else []
    grain = _noise_of_grain(seen, settings) if is_open else None
    shared = ["noise shared by neighbors"] if grain else []
    kind: Grain = "correlated" if grain else "white"
    if line and isinstance(even, AnscombeScaling):
        level = round(grain.sigma if grain else even.level, 1)
        remarks += [f"noise: {line}", f"made the same everywhere: σ {level:g} of 255"]
        channel_found = ChannelParams(
            level=level, scaling=even, frames=frames, grain=kind
        )
        return channel_found, remarks + shared + hot
    if settings.value_range == "plane":
        remarks.append("each plane by its own percentiles")
    if settings.level is not None:
        found = LevelFound(settings.level)
    elif grain:
        found = LevelFound(round(grain.sigma, 1), f"σ estimated as {grain.sigma:.1f}")
    else:
        earlier = _earlier_jpeg(source, planes, task)
        found = task.estimate(seen, source.jpeg_tables, earlier)
        is_wide = source.dtype.itemsize > 1
        if line and (line.is_likely if is_wide else line.is_clear):
            found = mean_level(blocks, scaling, line)
    remarks += [found.remark] if found.remark else []
    if task.noisy and source.dtype.itemsize > 1 and settings.value_range != "plane":
        _check_range(blocks, scaling, found.level)
        noise = found.level / 255 * (scaling.high - scaling.low)
        remarks.append(f"σ {found.level:g} of 255, {noise:.3g} in values of the image")
    kept = None if settings.value_range == "plane" else scaling
    return ChannelParams(level=found.level, scaling=kept, grain=kind), remarks + shared


def _earlier_jpeg(
    source: PixelSource, planes: list[int], task: Task
) -> EarlierJpeg | None:
    """Return the JPEG compression that pixels show, if that matters to a task.

    Raises
    ------
    NothingToDo
        If there was none.
    """
    if not task.undoes_jpeg or source.dtype != np.uint8:
        return None
    tables = source.jpeg_tables
    last = source.jpeg_coding or (JpegCoding(tables[:1]) if tables else None)
    earlier = find_earlier_jpeg(source, planes[len(planes) // 2], last)
    if earlier or tables or min(source.shape[1:3]) < LEAST_SIDE:
        return earlier
    asked = SettingRef("level")
    raise NothingToDo(
        "needs none: there are no JPEG quantization tables, and the pixels show no "
        f"earlier compression (a quality given by {asked} is applied all the same)",
        settings=[asked],
    )


def _without_hot_pixels(
    source: PixelSource,
    blocks: list[NDArray[Any]],
    channel: int,
    line: PoissonGaussianNoise,
) -> tuple[list[NDArray[Any]], list[str]]:
    """Return a sample of a channel without hot pixels, and say how many there are."""
    cool = [replaced(block, line.gain, line.constant) for block in blocks]
    seen = sum(block.shape[0] * block.shape[1] for block in blocks)
    planes = sum(source.channel(plane) == channel for plane in range(source.shape[0]))
    part = seen / (planes * source.shape[1] * source.shape[2])
    count = round(sum(hot for _, hot in cool) / part)
    number = f"{count} hot pixel{'s' * (count != 1)} replaced"
    said = f"about {number}" if part < 1 else number
    return [block for block, _ in cool], [said] if count else []


def _seen(
    source: PixelSource, planes: list[int], scaling: LinearScaling | AnscombeScaling
) -> list[NDArray[np.float32]]:
    """Return a sample of the middle plane as the network sees it, by sample."""
    filled = NaNFilled(source, (scaling.low + scaling.high) / 2)
    middle = sampled_blocks(filled, [planes[len(planes) // 2]])
    return [
        plane
        for block in middle
        for plane in scaling.forward(np.moveaxis(block, -1, 0).astype(np.float64))
    ]


def _noise_of_grain(
    seen: list[NDArray[np.float32]], settings: RestoreOptions
) -> NoiseFound | None:
    """Return the noise if neighboring pixels are to be taken to share it.

    Texture reads like such noise; so noise that is given has to be about as strong.
    """
    found = estimate_correlation(seen)
    if settings.noise_grain == "correlated":
        return found
    given = settings.level
    alike = given is None or found.sigma / _ALIKE < given < found.sigma * _ALIKE
    return found if found.grain == "correlated" and alike else None


def _check_range(
    blocks: list[NDArray[Any]], scaling: LinearScaling, level: float
) -> None:
    """Raise UsageError if all that an image holds is little beside its noise.

    Then black and white lie so far from its values that a restoration smooths all of
    them away.
    """
    values = np.concatenate([block[np.isfinite(block)] for block in blocks])
    if values.size < _JUDGED:
        return
    ends = np.percentile(values.astype(np.float64), (0.1, 99.9))
    low, high = (float(end) for end in ends)
    spread = 255 * (high - low) / (scaling.high - scaling.low)
    # A range by percentiles is as wide as it can be, whatever the noise.
    if 0 < spread < min(level, 254):
        auto = SettingRef("range", "auto")
        raise UsageError(
            f"The values of the image, mostly {low:g} to {high:g}, make up "
            f"{spread:.1f} of 255 levels of the range {scaling}, fewer than the noise "
            f"of σ {level:g}; choose {auto}, or a range that suits them.",
            settings=[auto],
        )
