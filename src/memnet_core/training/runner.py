"""Run a training: write logs and the best model into its folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core._util.devices import describe_hardware
from memnet_core.errors import SettingRef, TrainingError
from memnet_core.model.card import Card, TrainingSummary
from memnet_core.model.checkpoint import save_model
from memnet_core.model.flat_field import remove_fixed_pattern
from memnet_core.progress import Notice
from memnet_core.training.events import Validated
from memnet_core.training.logs import RunLog
from memnet_core.training.loop import Trainer
from memnet_core.training.recipes import config_from, write_config

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from memnet_core.training.config import TrainingConfig
    from memnet_core.training.events import Event

__all__ = ["export", "model_file", "train", "train_session"]


def train_session(
    trainer: Trainer, stop_at: int | None = None, command: str = ""
) -> Generator[Event, None, None]:
    """Train, and write the logs, the plots and the best model so far.

    Parameters
    ----------
    trainer : Trainer
        The run.
    stop_at : int, optional
        Step at which to pause.
    command : str
        Command for the model card.

    Yields
    ------
    Event
        A notice if the trainer has a remark, then the events of `Trainer.run`. Closing
        the generator saves the run.

    Raises
    ------
    MemnetError
        If the loss is no longer finite, or a file cannot be written.
    """
    config = trainer.config
    remove_abandoned(config.out)
    if trainer.remark:
        yield Notice(trainer.remark)
    try:
        with (
            RunLog(config.out, trainer.step) as log,
            closing(trainer.run(stop_at)) as run,
        ):
            for event in run:
                log.add(event)
                if isinstance(event, Validated) and event.is_best:
                    export(config, event, command)
                yield event
    except OSError as error:
        resume = SettingRef("resume", True)
        raise TrainingError(
            f"Cannot write the logs in {config.out}: {error.strerror or error}; make "
            f"room there, and go on with {resume}.",
            settings=[resume],
        ) from error


def train(
    *,
    device: str = "auto",
    on_event: Callable[[Event], object] | None = None,
    **settings: Any,
) -> Path:
    """Train a model to the end of its schedule, or resume a run.

    Parameters
    ----------
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    on_event : callable, optional
        Called with every event.
    **settings
        Settings of `memnet_core.training.recipes.config_from`: at least ``task``,
        ``data``, ``out``, and ``minutes`` or ``steps``.

    Returns
    -------
    Path
        File of the best model.

    Raises
    ------
    MemnetError
        If a setting is wrong, images cannot be used, or the loss is no longer finite.
    """
    config = config_from(settings)
    trainer = Trainer(config, device)
    write_config(config)
    with closing(train_session(trainer)) as events:
        for event in events:
            if on_event:
                on_event(event)
    return model_file(config)


def model_file(config: TrainingConfig) -> Path:
    """Return the path of the best model of a run."""
    return config.out / f"{config.name}.safetensors"


def export(config: TrainingConfig, validated: Validated, command: str = "") -> Card:
    """Remove the fixed pattern of a validated model, and write it with its card.

    Raises
    ------
    ModelError
        If the file cannot be written.
    """
    limits = config.value_range
    folders = config.data or config.pairs or ()
    teachers = ", ".join(path.name for path in config.teacher)
    if teachers:
        teachers += f" ({config.teacher_share:g} of the target)"
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
            teacher=teachers,
            curve=validated.curve,
            value_range=(
                limits
                if isinstance(limits, str)
                else ",".join(f"{value:g}" for value in limits)
            ),
        ),
    )
