"""Runs of before, which can be made longer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from memnet_core.errors import MemnetError, TrainingError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

__all__ = ["has_its_model_installed", "longer", "name_of_run", "runs_in"]


def runs_in(folder: Path) -> list[Path]:
    """Return the folders of runs in a folder, by name."""
    from memnet_core.training.recipes import CONFIG_FILE

    return sorted(path.parent for path in folder.glob(f"*/{CONFIG_FILE}"))


def name_of_run(out: Path) -> str:
    """Return the name of the model of a run.

    Raises
    ------
    TrainingError
        If its settings cannot be read.
    """
    from memnet_core.training.recipes import CONFIG_FILE, read_settings

    return str(read_settings(out / CONFIG_FILE).get("name", out.name))


def longer(out: Path, minutes: float, device: str) -> Generator[Any, None, None]:
    """Train a run for some minutes more than it was to take, or had taken.

    Parameters
    ----------
    out : Path
        Folder of the run.
    minutes : float
        How much longer.
    device : str
        ``auto`` or the name of a device.

    Yields
    ------
    Event
        As `memnet_core.training.loop.Trainer.run`.

    Raises
    ------
    MemnetError
        If there is no run, it was not trained by the clock, or its images are not those
        of before.
    """
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import config_of_run, write_config
    from memnet_core.training.runner import train_session

    before = config_of_run(out)
    if before.minutes is None:
        raise TrainingError(
            f"The run in {out} counts steps, not minutes; make it longer with "
            "'memnet train --resume'."
        )
    total = before.minutes + minutes
    count = max(before.validation_count, round(total / 5))
    longest = config_of_run(out, minutes=total)
    config = longest.model_copy(update={"validations": count})
    trainer = Trainer(config, device)
    write_config(config)
    yield from train_session(trainer)


def has_its_model_installed(out: Path, name: str) -> bool:
    """Whether the user's model of a name is the one in the folder of a run."""
    from memnet_core.model.checkpoint import read_card
    from memnet_core.model.registry import own_model

    try:
        written = read_card(out / f"{name}.safetensors")
        return own_model(name).card.sha256 == written.sha256
    except MemnetError:
        return False
