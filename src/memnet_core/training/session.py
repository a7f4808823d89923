"""A sitting of a training run, which keeps logs and the best model in its folder."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from memnet_core.training.events import Validated
from memnet_core.training.export import export
from memnet_core.training.logs import RunLog

if TYPE_CHECKING:
    from collections.abc import Generator

    from memnet_core.training.events import Event
    from memnet_core.training.loop import Trainer

__all__ = ["sitting"]


def sitting(
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
        As `Trainer.run`; closing the generator saves the run.

    Raises
    ------
    MemnetError
        If the loss is no longer finite, or a file cannot be written.
    """
    config = trainer.config
    with RunLog(config.out, trainer.step) as log, closing(trainer.run(stop_at)) as run:
        for event in run:
            log.add(event)
            if isinstance(event, Validated) and event.is_best:
                export(config, event, command)
            yield event
