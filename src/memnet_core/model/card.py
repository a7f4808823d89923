"""Model card: architecture, task, levels, training and scores of a model file."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    field_validator,
    model_validator,
)

from memnet_core.errors import LevelError
from memnet_core.model.architecture import Architecture
from memnet_core.tasks import TASKS, Grain, Levels

__all__ = ["Card", "CurvePoint", "Score", "TrainingSummary"]

_EARLIER_FILES = {
    "image_channels": 1,
    "level_map": False,
    "batch_norm": True,
    "chroma_level": False,
}
"""Defaults for files written before these fields existed."""
Text = Annotated[str, Field(max_length=100_000)]
Number = Annotated[int, Field(ge=0, lt=2**63)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CurvePoint(_Strict):
    """Mean PSNR in dB on the validation images at some time of training, by level."""

    minutes: float
    megapixels: float
    psnr: dict[str, FiniteFloat]


class TrainingSummary(_Strict):
    """How a model was trained; `value_range` is that of `memnet train --range`.

    `teacher` names the networks whose outputs were training targets in addition to
    clean images.
    """

    data: Text
    steps: Number
    megapixels: float
    minutes: float
    hardware: Text
    command: Text
    started_from: Text = ""
    teacher: Text = ""
    curve: tuple[CurvePoint, ...] = ()
    value_range: str = ""


class Score(_Strict):
    """Mean PSNR in dB and SSIM over a set, of the degraded input and of the output."""

    dataset: Text
    level: float
    input_psnr: FiniteFloat
    input_ssim: FiniteFloat
    psnr: FiniteFloat
    ssim: FiniteFloat


class Card(_Strict):
    """Everything known about a model without loading its weights.

    `adapted_to` names the user data that the model was adapted to. Such a model is
    never chosen automatically, only by its name or file.
    """

    format: Literal[1, 2] = 2
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=200)]
    task: str
    levels: Levels
    grain: Grain = "white"
    architecture: Architecture
    version: Text
    license: Text = Field(validation_alias=AliasChoices("license", "licence"))
    description: Text = ""
    adapted_to: Text = ""
    training: TrainingSummary | None = None
    scores: tuple[Score, ...] = ()
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("architecture", mode="before")
    @classmethod
    def _complete(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        complete = _EARLIER_FILES | value
        names = {field.name for field in fields(Architecture)}
        if set(complete) != names:
            differing = ", ".join(sorted(names ^ set(complete)))
            raise ValueError(f"missing or unknown: {differing}")
        return complete

    @field_validator("task")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in TASKS:
            raise ValueError(f"{name!r} is none of {', '.join(TASKS)}")
        return name

    @model_validator(mode="after")
    def _exist(self) -> Self:
        try:
            for level in self.levels.values:
                TASKS[self.task].check(level)
        except LevelError as error:
            raise ValueError(str(error).removesuffix(".")) from error
        return self

    @property
    def takes_strength(self) -> bool:
        """Whether the strength of what it does can be chosen."""
        return self.architecture.level_map and TASKS[self.task].graded

    def gain(self, level: float) -> float | None:
        """Return by how many dB a level was improved, between the scores of the card.

        None without scores. Toward no degradation it falls to 0.
        """
        value = TASKS[self.task].level_map_value
        points = sorted((value(s.level), s.psnr - s.input_psnr) for s in self.scores)
        if not points:
            return None
        levels, gains = zip((0.0, 0.0), *points, strict=True)
        return float(np.interp(value(level), levels, gains))

    @property
    def serves(self) -> str:
        """Task and levels as a phrase, such as ``deblock q 5-75``."""
        grain = " of any noise" if self.grain == "correlated" else ""
        return f"{self.task} {TASKS[self.task].symbol} {self.levels}{grain}"
