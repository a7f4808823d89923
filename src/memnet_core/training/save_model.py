"""The model file of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.model.card import Card, TrainingSummary
from memnet_core.model.checkpoint import save_model
from memnet_core.model.flat_field import remove_fixed_pattern
from memnet_core.training.precision import describe_hardware

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.events import Validated

__all__ = ["export", "model_file"]


def model_file(config: TrainingConfig) -> Path:
    """Return where the best model of a run is kept."""
    return config.out / f"{config.name}.safetensors"


def export(config: TrainingConfig, validated: Validated, command: str = "") -> Card:
    """Write the model of a validation, with a card that tells how it came to be.

    Its pattern on flat areas is taken out.

    Parameters
    ----------
    config : TrainingConfig
        The run.
    validated : Validated
        What to write.
    command : str
        How to repeat the run.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    chosen = config.value_range
    folders = config.data or config.pairs or ()
    return save_model(
        model_file(config),
        remove_fixed_pattern(validated.model, config.kind, config.levels),
        name=config.name,
        task=config.task,
        levels=config.levels,
        grain=config.grain,
        version="1",
        license=config.license,
        training=TrainingSummary(
            data=", ".join(folder.name for folder in folders),
            steps=validated.step,
            megapixels=round(validated.megapixels, 1),
            minutes=round(validated.minutes, 1),
            hardware=describe_hardware(validated.model.fenet.weight.device),
            command=command,
            started_from=config.start or "",
            teacher=_taught_by(config),
            curve=validated.curve,
            value_range=(
                chosen
                if isinstance(chosen, str)
                else ",".join(f"{value:g}" for value in chosen)
            ),
        ),
    )


def _taught_by(config: TrainingConfig) -> str:
    """Return whose answers a model learned, and what their share was."""
    names = ", ".join(path.name for path in config.teacher)
    return f"{names} ({config.teacher_share:g} of the target)" if names else ""
