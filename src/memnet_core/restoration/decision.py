"""What was asked for, decided for one input: level, range, model, colours.

Every door decides here, once, on the same sample, so that the same pixels give the same
result wherever they come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, field_validator

from memnet_core.errors import ImageError, ModelError, NothingToDo, UsageError
from memnet_core.jpeg_intervals import JpegCoding
from memnet_core.model.zoo import Entry, choose_model, find_model, installed
from memnet_core.restoration.colour import ColourMode, colour_mode
from memnet_core.restoration.holes import Filled
from memnet_core.restoration.photons import (
    MILDEST,
    check_noise,
    is_of_photons,
    mean_level,
    noise_of,
)
from memnet_core.restoration.sample import sampled_blocks, sampled_planes
from memnet_core.restoration.scaling import (
    Linear,
    Scaling,
    Stabilized,
    scaling_of,
    stabilized_of,
)
from memnet_core.restoration.settings import Precision
from memnet_core.tasks import LevelFound, find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.restoration.settings import Settings
    from memnet_core.restoration.source import Source
    from memnet_core.tasks import Task

__all__ = [
    "Channel",
    "Decision",
    "Judged",
    "check_model",
    "decide",
    "judge",
    "plane_scaling",
]

_GRAY_CHECK_ROWS = 256

_JUDGED = 1024
"""Values from which on what they spread over says something of their noise."""


class Channel(BaseModel):
    """What was found out about one channel.

    Attributes
    ----------
    level : float
        Degradation level.
    scaling : Linear or Stabilized, optional
        What becomes 0 and 1; None where every plane has its own.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: FiniteFloat
    scaling: Scaling | None

    @property
    def is_stabilized(self) -> bool:
        """Whether noise of photons is made the same everywhere."""
        return isinstance(self.scaling, Stabilized)


class Decision(BaseModel):
    """All that the pixels of a result depend on, besides its source; JSON both ways.

    Attributes
    ----------
    task : str
        Name of the task.
    model, checksum : str
        Name of the model, or its file if it did not come with the package, and the
        SHA-256 of its weights.
    channels : tuple of Channel
        One for each channel of the source.
    colours : str
        Which planes of colours the network sees.
    remarks : tuple of str
        How level and range were found, and what else has to be said.
    exit_block, tta, precision
        As in `memnet_core.restoration.settings.Settings`.
    coding : JpegCoding, optional
        The JPEG coding that the result must not contradict.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    model: str
    checksum: str
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)]
    colours: ColourMode
    remarks: tuple[str, ...] = ()
    exit_block: int | None = None
    tta: bool = False
    precision: Precision = "float32"
    coding: JpegCoding | None = None

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        return find_task(task).name

    @property
    def level(self) -> float:
        """The level, of several the strongest."""
        task = find_task(self.task)
        return max((c.level for c in self.channels), key=task.map_value)

    @property
    def scale(self) -> int:
        """How many times higher and wider the result is."""
        return find_task(self.task).scale(self.level)

    def entry(self) -> Entry:
        """Return the model.

        Raises
        ------
        ModelError
            If it is not the one that was decided for.
        """
        entry = find_model(self.model)
        if entry.card.sha256 != self.checksum:
            raise ModelError(
                f"The model {self.model} is not the one that the work was begun with; "
                "install that one, or begin anew."
            )
        return entry


@dataclass(frozen=True)
class Judged:
    """What was found out about an input.

    Attributes
    ----------
    channels : tuple of Channel
        One for each channel of the source.
    remarks : tuple of str
        How level and range were found.
    """

    channels: tuple[Channel, ...]
    remarks: tuple[str, ...]

    def strongest(self, task: Task) -> float:
        """Return the level of the channel that needs most."""
        return max((c.level for c in self.channels), key=task.map_value)


def judge(source: Source, settings: Settings) -> Judged:
    """Find out range and level of an input by a sample of its planes.

    Parameters
    ----------
    source : Source
        Any input.
    settings : Settings
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
    return Judged(
        channels=tuple(channel for channel, _ in judged),
        remarks=tuple(dict.fromkeys(remark for _, told in judged for remark in told)),
    )


def decide(
    source: Source, settings: Settings, judged: Judged | None = None
) -> Decision:
    """Find out what is not given, and choose the model.

    Parameters
    ----------
    source : Source
        Any input.
    settings : Settings
        What was asked for.
    judged : Judged, optional
        What `judge` made of them, if that is known already.

    Raises
    ------
    ImageError
        As `judge`.
    LevelError
        If the level cannot be found out, or no model covers it.
    NothingToDo
        If the level that was found is so mild that no model is trained for it.
    UsageError
        If settings do not fit each other.
    """
    judged = judged or judge(source, settings)
    task = find_task(settings.task)
    remarks = [*judged.remarks]
    strongest = judged.strongest(task)
    photons = any(channel.is_stabilized for channel in judged.channels)
    if settings.level is None and not settings.nearest:
        _check_need(task, strongest, settings.model, MILDEST if photons else 1.0)
    grayish = settings.channels != "luminance" and _is_gray(source)
    coloured = settings.channels == "joint" or (
        settings.channels is None and source.shape[-1] > 2 and not grayish
    )
    entry = choose_model(
        task.name,
        strongest,
        settings.model,
        nearest=settings.nearest or photons,
        colours=coloured,
    )
    card = entry.card
    if not card.levels.covers(strongest):
        nearest = card.levels.nearest(strongest)
        remarks.append(f"beyond {task.symbol} {nearest:g}, the nearest of the model")
    mode = colour_mode(
        source.shape[-1] - (source.shape[-1] in (2, 4)),
        settings.channels,
        task.channels,
        card.architecture.image_channels,
    )
    if mode in ("each", "joint") and grayish:
        mode = "single"
    keeps = settings.consistency and task.undoes_jpeg
    return Decision(
        task=task.name,
        model=card.name if entry.is_shipped else str(Path(entry.path).absolute()),
        checksum=card.sha256,
        channels=judged.channels,
        colours=mode,
        remarks=tuple(remarks),
        exit_block=settings.exit_block,
        tta=settings.tta,
        precision=settings.precision,
        coding=source.jpeg_coding if keeps and source.dtype == np.uint8 else None,
    )


def check_model(settings: Settings) -> None:
    """Check that a model serves, as far as that is known without an input.

    Raises
    ------
    MemnetError
        If none is for the task or the level that is given, or has the exit block.
    """
    level, task = settings.level, find_task(settings.task)
    check_noise(task, settings)
    entry = choose_model(
        task.name,
        0.0 if level is None else level,
        settings.model,
        nearest=settings.nearest or level is None,
    )
    entry.card.architecture.check_exit_block(settings.exit_block)


def plane_scaling(source: Source, plane: int) -> Linear:
    """Return the scaling of a plane by its own percentiles.

    Raises
    ------
    ImageError
        If the plane's sample is not finite.
    """
    return scaling_of(sampled_blocks(source, [plane]), source.dtype, "plane")


def _judged(
    source: Source, channel: int, task: Task, settings: Settings
) -> tuple[Channel, list[str]]:
    """Return level and scaling of a channel, and how they were found."""
    remarks = []
    planes = sampled_planes(source, channel)
    blocks = sampled_blocks(source, planes)
    line = noise_of(blocks, task, settings)
    photons = bool(line and is_of_photons(line, source.dtype, settings))
    choice = settings.value_range
    if photons and choice == "auto":
        choice = "percentile"
    scaling = scaling_of(blocks, source.dtype, choice)
    if line and photons:
        even = stabilized_of(scaling, line)
        level = round(even.level, 1)
        remarks += [f"noise: {line}", f"made the same everywhere: σ {level:g} of 255"]
        return Channel(level=level, scaling=even), remarks
    if settings.value_range == "plane":
        remarks.append("each plane by its own percentiles")
    found = LevelFound(settings.level) if settings.level is not None else None
    if found is None:
        filled = Filled(source, (scaling.low + scaling.high) / 2)
        middle = sampled_blocks(filled, [planes[len(planes) // 2]])
        normalized = [
            plane
            for block in middle
            for plane in scaling.forward(np.moveaxis(block, -1, 0).astype(np.float64))
        ]
        found = task.estimate(normalized, source.jpeg_tables)
        if line and line.is_clear:
            found = mean_level(blocks, scaling, line)
        remarks.append(found.remark)
    if task.noisy and source.dtype.itemsize > 1 and settings.value_range != "plane":
        _check_range(blocks, scaling, found.level)
        noise = found.level / 255 * (scaling.high - scaling.low)
        remarks.append(f"σ {found.level:g} of 255, {noise:.3g} in values of the image")
    kept = None if settings.value_range == "plane" else scaling
    return Channel(level=found.level, scaling=kept), remarks


def _check_range(blocks: list[NDArray[Any]], scaling: Linear, level: float) -> None:
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
        raise UsageError(
            f"The values of the image, mostly {low:g} to {high:g}, make up "
            f"{spread:.1f} of 255 levels of the range {scaling}, fewer than the noise "
            f"of σ {level:g}; choose --range auto, or a range that suits them."
        )


def _check_need(
    task: Task, level: float, model: str | None, share: float = 1.0
) -> None:
    """Raise NothingToDo if a level is milder than a share of what models serve."""
    entries = [find_model(model)] if model else installed()[0]
    cards = [e.card for e in entries if e.card.task == task.name]
    served = [v for card in cards for v in card.levels.values]
    if not served:
        return
    least = min(served, key=task.map_value) * share
    if task.map_value(level) < task.map_value(least):
        raise NothingToDo(
            f"needs none: {task.symbol} {level:g} is milder than {task.symbol} "
            f"{least:g}, the mildest that is served (--nearest applies it all the same)"
        )


def _is_gray(source: Source) -> bool:
    """Whether colours are those of a gray picture; most end at the first rows."""
    count, height, width, samples = source.shape
    if samples < 3:
        return False
    return all(
        _is_gray_window(source.read(plane, slice(top, bottom), slice(0, width)))
        for plane in range(count)
        for top in range(0, height, _GRAY_CHECK_ROWS)
        for bottom in [min(top + _GRAY_CHECK_ROWS, height)]
    )


def _is_gray_window(pixels: NDArray[np.generic]) -> bool:
    return bool(np.all(pixels[..., :1] == pixels[..., 1:3]))
