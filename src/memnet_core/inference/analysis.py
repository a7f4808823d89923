"""What is found out about an input by a sample of it: range, noise and level."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

from memnet_core.errors import ImageError, NothingToDo, SettingRef, UsageError
from memnet_core.inference.noise_choice import (
    check_noise,
    is_poisson_gaussian,
    noise_of,
)
from memnet_core.inference.noise_map import NoiseCurve, Readings, readings_of
from memnet_core.inference.scaling import (
    AnscombeScaling,
    CyclicScaling,
    LinearScaling,
    Scaling,
    cyclic_scaling_of,
    looks_cyclic,
    scaling_of,
    stabilized_of,
)
from memnet_core.jpeg.coding import JpegCoding
from memnet_core.jpeg.traces import LEAST_SIDE, find_earlier_jpeg
from memnet_core.noise.file import shipped_noise_network
from memnet_core.sources.frame_average import TemporalAverage
from memnet_core.sources.hot_pixels import HotPixelsRemoved, replaced
from memnet_core.sources.sampling import sampled_blocks, sampled_planes
from memnet_core.sources.wrappers import NaNFilled
from memnet_core.tasks import LevelFound, find_task

if TYPE_CHECKING:
    from collections.abc import Callable

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

_READ_PIXELS = 1_000_000
"""Pixels of a channel whose noise is read by the network."""

_APART = 3
"""Deviations of the noise in the dark by which a value that is none lies below others;
where noise is cut off, there is no gap at all."""

_TIED, _OFTEN = 10, 2
"""Pixels at the highest value that indicate saturation, and how many times as many as
at the next lower one."""

_FEW_VALUES = 64
"""Span of 8-bit values below which rounding each to the nearest shifts sums by some
percent; above it spread rounding would cost clean pictures more than it brings."""

_VARIES = 1.3
"""Ratio of the strongest to the weakest noise from which on both are told."""


class ChannelParams(BaseModel):
    """What was found out about one channel.

    Attributes
    ----------
    level : float
        Degradation level.
    scaling : LinearScaling, AnscombeScaling or CyclicScaling, optional
        What becomes 0 and 1; None where every plane has its own.
    frames : float
        Planes in the means that the network sees; 1 where it sees single ones.
    curve : NoiseCurve, optional
        Deviation of the noise by brightness, where it was measured and is told to the
        network as a map.
    is_shared : bool
        Whether neighboring pixels were found to share the noise.
    may_be_texture : bool
        Whether what was read as noise may be texture.
    ceiling : float, optional
        Value at which the image is saturated; no result exceeds it.
    spreads_rounding : bool
        Whether the error of rounding to whole values is spread, so that sums are kept.
    padding : float, optional
        Lowest value, where it lies so far below the others that it stands for no
        light, as beside the tiles of a mosaic; such pixels stay.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_grain(cls, value: Any) -> Any:
        """Read plans of earlier versions, which chose by the grain of the noise."""
        if isinstance(value, dict):
            return {name: v for name, v in value.items() if name != "grain"}
        return value

    level: FiniteFloat
    scaling: Scaling | None
    frames: Annotated[FiniteFloat, Field(ge=1)] = 1.0
    curve: NoiseCurve | None = None
    is_shared: bool = False
    may_be_texture: bool = False
    ceiling: FiniteFloat | None = None
    padding: FiniteFloat | None = None
    spreads_rounding: bool = False

    def at_most(self, level: float) -> ChannelParams:
        """Return parameters whose noise is nowhere stronger than a level."""
        curve = self.curve
        if curve:
            sigmas = tuple(min(sigma, level) for sigma in curve.sigmas)
            curve = NoiseCurve(means=curve.means, sigmas=sigmas)
        return self.model_copy(update={"level": min(self.level, level), "curve": curve})

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
    def is_mapped(self) -> bool:
        """Whether the noise of a channel is told as a map, be it white or shared."""
        return any(channel.curve for channel in self.channels)

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
    planes = sampled_planes(source, channel)
    blocks = sampled_blocks(source, planes)
    is_cyclic = settings.cyclic
    if is_cyclic is None:
        is_open = settings.value_range == settings.noise == "auto"
        is_cyclic = is_open and looks_cyclic(blocks, source.dtype)
    if is_cyclic and task.noisy:
        return _cyclic(source, planes, blocks, settings)
    scaling = scaling_of(blocks, source.dtype, settings.value_range)
    line = noise_of(blocks, task, settings)
    by_sample: list[Readings] = []
    if task.noisy and settings.level is None:
        # Hot pixels would read as noise that neighbors share.
        cold = HotPixelsRemoved(source, line.gain, line.constant) if line else source
        by_sample = _read(cold, planes, scaling)
    read = Readings.joined(by_sample)
    finest = _finest(line, scaling) if line else None
    shared = bool(finest and read.is_shared(finest))
    is_counted = line and is_poisson_gaussian(
        line, blocks, source, settings, is_read=bool(finest and read.holds(finest))
    )
    told = ["values seem to come around; jumps are taken for edges"] * is_cyclic
    if line and is_counted and (settings.noise != "auto" or not shared):
        found, said = _counted(source, channel, planes, blocks, line, settings)
    else:
        is_wide = source.dtype.itemsize > 1
        is_likely = line and line.is_likely and is_wide and not shared
        floor = finest if is_likely else None
        curve, level = None, settings.level
        if by_sample:
            curve = read.curve(floor)
            level = float(np.mean([r.level(r.curve(floor)) for r in by_sample]))
        found, said = _even(source, planes, blocks, scaling, curve, level, settings)
    told += said
    update: dict[str, Any] = {
        "is_shared": shared,
        "may_be_texture": read.may_be_texture,
    }
    if task.noisy:
        dark = line.deviation(line.dark) if line else None
        noise = (
            found.level / 255 * (scaling.high - scaling.low) if dark is None else dark
        )
        values = np.concatenate([block[np.isfinite(block)] for block in blocks])
        update |= {
            "ceiling": _saturation(values),
            "padding": _padding(values, _APART * noise),
            "spreads_rounding": _spreads_rounding(values),
        }
    told += ["noise shared by neighbors"] if shared else []
    return found.model_copy(update=update), told


def _cyclic(
    source: PixelSource,
    planes: list[int],
    blocks: list[NDArray[Any]],
    settings: RestoreOptions,
) -> tuple[ChannelParams, list[str]]:
    """Return the parameters of a channel whose values come around."""
    if blocks[0].shape[-1] > 1:
        named = SettingRef("cyclic", True)
        raise UsageError(
            f"Colors do not come around; {named} is for images of one channel.",
            settings=[named],
        )
    scaling = cyclic_scaling_of(blocks, source.dtype, settings.value_range)
    level, curve, spread = settings.level, None, ""
    if level is None:
        read = Readings.joined(_read(source, planes, scaling))
        curve = read.curve()
        level, spread = round(read.level(curve), 1), _spread(curve)
    found = ChannelParams(level=level, scaling=scaling, curve=curve)
    return found, [
        f"values come around at {scaling}: restored as sine and cosine",
        f"σ {level:g} of 255 in these{spread}",
    ]


def _counted(
    source: PixelSource,
    channel: int,
    planes: list[int],
    blocks: list[NDArray[Any]],
    line: PoissonGaussianNoise,
    settings: RestoreOptions,
) -> tuple[ChannelParams, list[str]]:
    """Return the parameters of a channel whose noise is that of photons."""
    hot: list[str] = []
    even_line, frames = line, 1.0
    if settings.hot_pixels == "auto":
        blocks, hot = _without_hot_pixels(source, blocks, channel, line)
        source = HotPixelsRemoved(source, line.gain, line.constant)
    if settings.context > 1 and source.neighbors(planes[0]):
        source = TemporalAverage(source, line.gain, line.constant)
        step = -(-len(planes) // _AVERAGED)
        few = planes[step // 2 :: step]
        frames = float(np.mean([source.frames(plane) for plane in few]))
        blocks = sampled_blocks(source, few)
        even_line = replace(
            line, gain=line.gain / frames, constant=line.constant / frames
        )
        hot.append(f"means of {frames:.1f} planes")
    choice = settings.value_range
    scaling = scaling_of(
        blocks, source.dtype, "percentile" if choice == "auto" else choice
    )
    even = stabilized_of(scaling, even_line)
    level = round(even.level, 1)
    told = [f"noise: {line}", f"made the same everywhere: σ {level:g} of 255"]
    return ChannelParams(level=level, scaling=even, frames=frames), told + hot


def _even(
    source: PixelSource,
    planes: list[int],
    blocks: list[NDArray[Any]],
    scaling: LinearScaling,
    curve: NoiseCurve | None,
    level: float | None,
    settings: RestoreOptions,
) -> tuple[ChannelParams, list[str]]:
    """Return the parameters of a channel whose values are scaled linearly."""
    task, remarks = find_task(settings.task), []
    if settings.value_range == "plane":
        remarks.append("each plane by its own percentiles")
    if level is None:
        earlier = _earlier_jpeg(source, planes, task)
        found = task.estimate(source.jpeg_tables, earlier)
    elif curve is None:
        found = LevelFound(level)
    else:
        level = round(level, 1)
        found = LevelFound(level, f"σ estimated as {level:.1f}{_spread(curve)}")
    remarks += [found.remark] if found.remark else []
    if task.noisy and source.dtype.itemsize > 1 and settings.value_range != "plane":
        _check_range(blocks, scaling, found.level)
        noise = found.level / 255 * (scaling.high - scaling.low)
        remarks.append(f"σ {found.level:g} of 255, {noise:.3g} in values of the image")
    kept = None if settings.value_range == "plane" else scaling
    return ChannelParams(level=found.level, scaling=kept, curve=curve), remarks


def _spread(curve: NoiseCurve) -> str:
    """Say between what the noise lies at dark and at bright places."""
    low, high = min(curve.sigmas), max(curve.sigmas)
    if high < max(_VARIES * low, 1):
        return ""
    return f", {low:.1f} to {high:.1f} by brightness"


def _finest(
    line: PoissonGaussianNoise, scaling: LinearScaling
) -> Callable[[NDArray[Any]], NDArray[Any]]:
    """Return the deviation that a line gives at a brightness, in gray levels."""
    unit = (scaling.high - scaling.low) / 255

    def deviation(means: NDArray[Any]) -> NDArray[Any]:
        variance = line.gain * (scaling.low + unit * means) + line.constant
        return np.asarray(np.sqrt(np.maximum(variance, 0)) / unit)

    return deviation


def _spreads_rounding(values: NDArray[Any]) -> bool:
    """Whether sums of a restored sample would shift if each value were just rounded."""
    if values.dtype.kind not in "ui" or not values.size:
        return False
    if values.dtype.itemsize > 1:
        return True
    low, high = np.percentile(values, (0.1, 99.9))
    return bool(high - low < _FEW_VALUES)


def _padding(values: NDArray[Any], apart: float) -> float | None:
    """Return the lowest value if many pixels have it and no other comes near it."""
    if not values.size:
        return None
    lowest = float(values.min())
    others = values[values > lowest]
    if values.size - others.size < _TIED or not others.size:
        return None
    # Whole values of few photons are one apart, however little their noise.
    apart = max(apart, float(values.dtype.kind in "ui"))
    return lowest if others.min() - lowest > apart else None


def _saturation(values: NDArray[Any]) -> float | None:
    """Return the highest value if so many pixels have it that it is a limit."""
    if not values.size:
        return None
    top = values.max()
    below = values[values < top]
    often = values.size - below.size
    lower = np.count_nonzero(below == below.max()) if below.size else often
    return float(top) if often >= max(_TIED, _OFTEN * lower) else None


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


def _read(
    source: PixelSource, planes: list[int], scaling: LinearScaling | CyclicScaling
) -> list[Readings]:
    """Read the noise of a sample of the middle plane, by sample of a pixel."""
    filled = NaNFilled(source, (scaling.low + scaling.high) / 2)
    middle = [planes[len(planes) // 2]]
    blocks = sampled_blocks(filled, middle, pixels=_READ_PIXELS)
    network = shipped_noise_network()
    return [
        readings_of(
            network,
            [
                plane
                for block in blocks
                for plane in scaling.forward(block[None, ..., n].astype(np.float64))
            ],
        )
        for n in range(blocks[0].shape[-1])
    ]


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
