"""A sitting of a training run, which keeps logs and the best model in its folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core.errors import SettingRef, TrainingError
from memnet_core.progress import Notice
from memnet_core.training.events import Validated
from memnet_core.training.logs import RunLog
from memnet_core.training.loop import Trainer
from memnet_core.training.recipes import config_from, write_config
from memnet_core.training.save_model import export, model_file

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from pathlib import Path

    from memnet_core.training.events import Event

__all__ = ["train", "train_session"]


def train_session(
    trainer: Trainer, stop_at: int | None = None, command: str = ""
) -> Generator[Event, None, None]:
    """Train, and write the logs, the pictures and the best model so far.

    Parameters
    ----------
    trainer : Trainer
        The run.
    stop_at : int, optional
        Step at which to pause.
    command : str
        How to repeat the run, for the model's card.

    Yields
    ------
    Event
        A notice if there is something to remark, then as `Trainer.run`; closing the
        generator saves the run.

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
    told: Callable[[Event], object] | None = None,
    **settings: Any,
) -> Path:
    """Train a model to the end of its schedule, or go on with a run.

    Parameters
    ----------
    device : str
        ``auto`` or one of `memnet_core._util.devices.available_devices`.
    told : callable, optional
        Is called with every event.
    **settings
        As for `memnet_core.training.recipes.config_from`: at least ``task``, ``data``,
        ``out``, and ``minutes`` or ``steps``.

    Returns
    -------
    Path
        The file of the best model.

    Raises
    ------
    MemnetError
        If a setting is wrong, images do not serve, or the loss is no longer finite.
    """
    config = config_from(settings)
    trainer = Trainer(config, device)
    write_config(config)
    with closing(train_session(trainer)) as events:
        for event in events:
            if told:
                told(event)
    return model_file(config)
