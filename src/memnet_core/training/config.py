"""What a training run is made of, validated before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from memnet_core.checkpoint import Levels
from memnet_core.errors import TrainingError
from memnet_core.network import Architecture

__all__ = ["Phase", "TrainingConfig", "validated_config"]

Fraction = Annotated[float, Field(ge=0, le=1)]


class Phase(BaseModel):
    """Batches of one shape, used until a fraction of the run is over.

    Attributes
    ----------
    until : float
        Fraction of the run, in (0, 1], at which the phase ends.
    patch : int
        Side of the square patches in pixels.
    batch : int
        Patches in a step.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    until: Annotated[float, Field(gt=0, le=1)]
    patch: Annotated[int, Field(ge=8)]
    batch: Annotated[int, Field(ge=1)]


class TrainingConfig(BaseModel):
    """A run of the recipe ``fast``: what learns most in a minute on a CPU.

    AdamW with a warm-up and one cosine to zero, many small steps first and larger
    batches late, Charbonnier loss and then squared error, an exponential average of
    the weights, and BatchNorm frozen at recalibrated statistics towards the end.

    Attributes
    ----------
    task : str
        What to learn; clean images are degraded on the fly.
    data : tuple of Path
        Folders with clean images.
    out : Path
        Folder for the model, the log and the state of the run.
    name : str
        Name of the model.
    levels : Levels
        Degradation levels; drawn log-uniformly from a continuous range.
    architecture : Architecture
        The network to train.
    minutes : float
        How long the run takes; the schedule follows the clock.
    validation : Path, optional
        Folder with clean images to validate on.
    start : Path, optional
        Model file whose weights the run starts from.
    seed : int
        Determines the initial weights and every sample.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: Literal["deblock"] = "deblock"
    data: Annotated[tuple[Path, ...], Field(min_length=1)]
    out: Path
    name: str = "deblock"
    levels: Levels = Levels(values=(5, 75), continuous=True)
    architecture: Architecture = Architecture(
        memory_blocks=4, recursions=4, channels=48, unshuffle=2
    )
    minutes: Annotated[float, Field(gt=0)]
    validation: Path | None = None
    start: Path | None = None
    seed: Annotated[int, Field(ge=0)] = 0

    phases: tuple[Phase, ...] = (
        Phase(until=0.35, patch=48, batch=8),
        Phase(until=1.0, patch=64, batch=16),
    )
    learning_rate: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-4
    warmup_steps: Annotated[int, Field(ge=0)] = 300
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    average_decay: Fraction = 0.999
    squared_error_from: Fraction = 0.7
    freeze_norm_from: Fraction = 0.85
    recalibration_batches: Annotated[int, Field(ge=1)] = 60
    report_every: Annotated[float, Field(gt=0)] = 30.0
    validate_every: Annotated[float, Field(gt=0)] = 600.0

    @model_validator(mode="after")
    def _check(self) -> Self:
        ends = [phase.until for phase in self.phases]
        if not ends or ends[-1] != 1 or ends != sorted(set(ends)):
            raise ValueError(
                "the phases have to end at rising fractions of the run, the last at 1"
            )
        unshuffle = self.architecture.unshuffle
        if odd := [p.patch for p in self.phases if p.patch % unshuffle]:
            raise ValueError(
                f"a patch of {odd[0]} px is not a multiple of unshuffle {unshuffle}"
            )
        return self

    def phase(self, progress: float) -> Phase:
        """Return the phase at a fraction of the run in [0, 1]."""
        return next(p for p in self.phases if progress < p.until or p.until == 1)


def validated_config(**settings: object) -> TrainingConfig:
    """Return a configuration or say in one sentence what is wrong with it.

    Raises
    ------
    TrainingError
        If a setting is unknown, missing, or out of range.
    """
    try:
        return TrainingConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "settings"
        raise TrainingError(f"Training setting {field}: {first['msg']}.") from error
