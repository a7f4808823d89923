"""What was asked for, decided for one input: level, range, model, colors.

Every door decides here, once, on the same sample, so that the same pixels give the same
result wherever they come from.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from memnet_core.errors import ModelError, NothingToDo, SettingRef
from memnet_core.inference.analysis import ChannelParams, SourceAnalysis, analyze
from memnet_core.inference.channels import IMAGES, ColorMode, color_mode
from memnet_core.inference.noise_choice import check_noise, lowest_useful_sigma
from memnet_core.inference.scaling import LinearScaling, scaling_of
from memnet_core.inference.settings import (
    HotPixels,
    Precision,
    check_strength,
    strength_in_words,
)
from memnet_core.inference.tta import TURNS
from memnet_core.jpeg.chroma import SubsampledChroma
from memnet_core.jpeg.coding import JpegCoding, chroma_table, estimate_quality
from memnet_core.model.registry import (
    Entry,
    choose_model,
    find_model,
    general_models,
    installed,
)
from memnet_core.sources.sampling import sampled_blocks
from memnet_core.tasks import AUTO, find_task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from memnet_core.inference.engine import Engine
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.model.card import Card
    from memnet_core.sources.protocols import PixelSource
    from memnet_core.tasks import Task

__all__ = ["Prepared", "RestorePlan", "check_model", "plan_restore", "plane_scaling"]


_GRAY_CHECK_ROWS = 256

_FAINTEST = 0.5, 0.1
"""Measured σ in gray levels of 255 below which there is nothing to remove: of 8 bits,
whose rounding makes 0.3, and of wider types."""

_OLDER = 0.05
"""Difference of level map values from which on a level is not that of a file's table
but of an earlier compression: 5 to 15 points of quality."""


class RestorePlan(BaseModel):
    """All that the pixels of a result depend on, besides its source; JSON both ways.

    Attributes
    ----------
    task : str
        Name of the task.
    model, checksum : str
        Name of the model, or its file if it did not come with the package, and the
        SHA-256 of its weights.
    channels : tuple of ChannelParams
        One for each channel of the source.
    colors : str
        Which planes of colors the network sees.
    remarks : tuple of str
        How level and range were found, and what else has to be said.
    hot_pixels, strength, exit_block, tta, precision, consistency
        As in `memnet_core.inference.settings.RestoreOptions`.
    coding : JpegCoding, optional
        How a JPEG codes the source, as far as it matters.
    chroma_level : float, optional
        Level of its chroma, where it is known to be another.
    before : tuple of RestorePlan
        What is done first, one after the other: this restores their result.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    model: str
    checksum: str
    channels: Annotated[tuple[ChannelParams, ...], Field(min_length=1)]
    colors: ColorMode = Field(validation_alias=AliasChoices("colors", "colours"))
    remarks: tuple[str, ...] = ()
    hot_pixels: HotPixels = "auto"
    strength: float = 1.0
    exit_block: int | None = None
    tta: bool = False
    precision: Precision = "float32"
    consistency: bool = True
    coding: JpegCoding | None = None
    chroma_level: float | None = None
    before: tuple[RestorePlan, ...] = ()

    @field_validator("task")
    @classmethod
    def _known(cls, task: str) -> str:
        return find_task(task).name

    @property
    def level(self) -> float:
        """The level, of several the strongest."""
        task = find_task(self.task)
        return max((c.level for c in self.channels), key=task.level_map_value)

    @property
    def label(self) -> str:
        """Task and levels in a few words, such as ``denoise σ 8.5``."""
        label = find_task(self.task).label
        levels = dict.fromkeys(label(channel.level) for channel in self.channels)
        return f"{self.task} {' and '.join(levels)}"

    @property
    def images(self) -> int:
        """How many images the network sees of a plane, at most."""
        scalings = (channel.scaling for channel in self.channels)
        each = max(scaling.images if scaling else 1 for scaling in scalings)
        return IMAGES.get(self.colors, 1) * each

    @property
    def scale(self) -> int:
        """How many times higher and wider the result is."""
        return find_task(self.task).scale(self.level)

    def applied(self, level: float) -> float:
        """Return the level that the network is told where it found one."""
        if self.strength == 1:
            return level
        return find_task(self.task).at_strength(level, self.strength)

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


def plan_restore(
    source: PixelSource, settings: RestoreOptions, judged: SourceAnalysis | None = None
) -> RestorePlan:
    """Find out what is not given for one task, and choose the model.

    Parameters
    ----------
    source : Source
        Any input.
    settings : RestoreOptions
        What was asked for.
    judged : SourceAnalysis, optional
        What `analyze` made of them, if that is known already.

    Raises
    ------
    ImageError
        As `analyze`.
    LevelError
        If the level cannot be found out, or no model covers it.
    NothingToDo
        If the level that was found is so mild that no model is trained for it.
    UsageError
        If settings do not fit each other.
    """
    judged = judged or analyze(source, settings)
    task = find_task(settings.task)
    remarks = [*judged.remarks]
    strongest = judged.strongest(task)
    photons = any(channel.is_stabilized for channel in judged.channels)
    if settings.level is None and not settings.nearest:
        faintest = _FAINTEST[source.dtype.itemsize > 1] if task.noisy else 0.0
        _check_need(task, strongest, settings.model, faintest, photons=photons)
    grayish = settings.channels != "luminance" and _is_gray(source)
    coding = _coding(source) if task.undoes_jpeg else None
    is_open = settings.channels is None and not grayish
    colored = is_open and source.shape[-1] > 2 and not _has_fine_chroma(coding)
    entry = choose_model(
        task.name,
        strongest,
        settings.model,
        nearest=settings.nearest or (task.noisy and settings.level is None),
        colors=colored or settings.channels == "joint",
        grain="correlated" if judged.is_mapped else "white",
    )
    card = entry.card
    check_strength(settings, card)
    channels = judged.channels
    if not card.levels.covers(strongest):
        nearest = card.levels.nearest(strongest)
        remarks.append(f"beyond {task.symbol} {nearest:g}, the nearest of the model")
        if task.noisy and settings.level is None and strongest > nearest:
            channels = tuple(channel.at_most(nearest) for channel in channels)
    if settings.strength != 1:
        remarks.append(strength_in_words(settings.strength, strongest, card))
    mode = color_mode(
        source.shape[-1] - (source.shape[-1] in (2, 4)),
        settings.channels,
        task.channels,
        card.architecture.image_channels,
    )
    if mode in ("each", "joint") and grayish:
        mode = "single"
    is_last = not coding or _is_of_last(coding, strongest, task)
    consistency = settings.consistency and is_last
    if settings.consistency and not is_last:
        remarks.append("not held to the last compression, which is not the coarsest")
    if is_open and mode == "luminance" and coding and coding.has_chroma:
        mode = "chroma"
        remarks.append("chroma restored at its own resolution")
    return RestorePlan(
        task=task.name,
        model=card.name if entry.is_shipped else str(Path(entry.path).absolute()),
        checksum=card.sha256,
        channels=channels,
        colors=mode,
        remarks=tuple(remarks),
        hot_pixels=settings.hot_pixels,
        strength=settings.strength,
        exit_block=settings.exit_block,
        tta=settings.tta,
        precision=settings.precision,
        consistency=consistency,
        coding=coding if consistency or mode == "chroma" else None,
        chroma_level=_chroma_level(source, settings, card) if is_last else None,
    )


def check_model(settings: RestoreOptions) -> None:
    """Check that a model serves, as far as that is known without an input.

    Raises
    ------
    MemnetError
        If none is for the task or the level that is given, or has the exit block.
    """
    if settings.task == AUTO:  # what each file needs is known with the file
        return
    level, task = settings.level, find_task(settings.task)
    check_noise(task, settings)
    entry = choose_model(
        task.name,
        0.0 if level is None else level,
        settings.model,
        nearest=settings.nearest or level is None,
    )
    entry.card.architecture.check_exit_block(settings.exit_block)
    entries = [entry] if settings.model else installed()[0]
    if not any(e.card.takes_strength for e in entries if e.card.task == settings.task):
        check_strength(settings, entry.card)


def plane_scaling(source: PixelSource, plane: int) -> LinearScaling:
    """Return the scaling of a plane by its own percentiles.

    Raises
    ------
    ImageError
        If the plane's sample is not finite.
    """
    return scaling_of(sampled_blocks(source, [plane]), source.dtype, "plane")


def _coding(source: PixelSource) -> JpegCoding | None:
    """Return how a JPEG codes the pixels, as far as these bear it out."""
    coding = source.jpeg_coding
    if coding is None or source.dtype != np.uint8:
        return None
    if len(coding.sampling) > source.shape[-1]:
        return None  # colors that are read as planes of their own
    if coding.has_chroma and not SubsampledChroma(source, coding).is_explained():
        return replace(coding, sampling=coding.sampling[:1])
    return coding


def _is_of_last(coding: JpegCoding, quality: float, task: Task) -> bool:
    """Whether a quality is that of the last compression, and of no coarser one."""
    last = estimate_quality(coding.tables[0]).quality
    return task.level_map_value(quality) <= _OLDER + task.level_map_value(last)


def _has_fine_chroma(coding: JpegCoding | None) -> bool:
    """Whether chroma is coded at more than half the resolution along any axis.

    There chroma restored at its own resolution gains more than all colors together: on
    Set5 up to 0.6 dB at 4:4:4 (benchmarks/jpegs.py); at 4:2:0 it gains 0.2 dB less.
    """
    return bool(coding and coding.has_chroma and 1 in (coding.cell(0), coding.cell(1)))


def _chroma_level(
    source: PixelSource, settings: RestoreOptions, card: Card
) -> float | None:
    """Return the JPEG quality of chroma by its table, unless a quality is given."""
    tables = source.jpeg_tables[1:2]
    if settings.level is not None or not (card.architecture.chroma_level and tables):
        return None
    found = estimate_quality(tables[0], chroma_table)
    return card.levels.nearest(found.quality)


def _check_need(
    task: Task, level: float, model: str | None, faintest: float, *, photons: bool
) -> None:
    """Raise NothingToDo if a level is milder than models serve, or nearly serve."""
    entries = [find_model(model)] if model else general_models(task.name)
    cards = [e.card for e in entries if e.card.task == task.name]
    served = [v for card in cards for v in card.levels.values]
    if not served:
        return
    least = min(served, key=task.level_map_value)
    if photons:
        least = lowest_useful_sigma(least)
    if task.noisy:
        least = max(least, faintest)
    is_milder = task.level_map_value(level) < task.level_map_value(least)
    if is_milder and not task.accepts_nearest(level, least):
        nearest = SettingRef("nearest", True)
        raise NothingToDo(
            f"needs none: {task.symbol} {level:g} is milder than {task.symbol} "
            f"{least:g}, the mildest that is served ({nearest} applies it all the "
            "same)",
            settings=[nearest],
        )


def _is_gray(source: PixelSource) -> bool:
    """Whether colors are those of a gray picture; most end at the first rows."""
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


@dataclass(frozen=True)
class Prepared:
    """A decision and the engine that carries it out.

    Attributes
    ----------
    decision : RestorePlan
        What the result depends on.
    engine : Engine
        The network on its device.
    entry : Entry
        The model.
    before : tuple of Prepared
        What is done first, in this order.
    """

    decision: RestorePlan
    engine: Engine
    entry: Entry = field(compare=False)
    before: tuple[Prepared, ...] = ()

    @property
    def steps(self) -> tuple[Prepared, ...]:
        """All that is done, in this order."""
        return (*self.before, self)

    @property
    def task(self) -> Task:
        """What is done."""
        return find_task(self.decision.task)

    @property
    def scale(self) -> int:
        """How many times higher and wider the result is."""
        return self.decision.scale

    def result_shape(self, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Return the shape that a source of shape (N, H, W, S) is restored to."""
        count, height, width, samples = shape
        return count, height * self.scale, width * self.scale, samples

    def seconds(self, shape: tuple[int, ...]) -> float:
        """Return about how long all steps take for a source of shape (N, H, W, S)."""
        return sum(
            step.engine.pace
            * math.prod(step.result_shape(shape)[:3])
            * step.decision.images
            * (TURNS if step.decision.tta else 1)
            for step in self.steps
        )

    def __str__(self) -> str:
        """Say it in one line."""
        card, decision = self.entry.card, self.decision
        ranges = dict.fromkeys(str(c.scaling) for c in decision.channels if c.scaling)
        parts = [
            *decision.remarks,
            f"model {card.name} ({card.serves})",
            f"on {self.engine.device}",
            f"values {' and '.join(ranges)}" if ranges else "",
        ]
        return ", ".join(filter(None, parts))
