"""``memnet train --recipe noise``: what it takes, and how it is run."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.cli._progress import StopSignal, told

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.training.noise_recipe import NoiseRecipe

__all__ = ["train_noise_network"]

_TAKEN = (
    *("data", "minutes", "steps", "name", "license", "seed", "learning_rate"),
    "start",
)


def train_noise_network(out: Path | None, device: str, options: dict[str, Any]) -> bool:
    """Train the network that reads noise, and return whether nobody interrupted it.

    Parameters
    ----------
    out : Path
        Folder for the model.
    device : str
        What to compute on.
    options : dict of str to object
        Those of ``memnet train``.

    Raises
    ------
    MemnetError
        If an option is missing or belongs to another recipe, or pictures do not serve.
    """
    from contextlib import closing

    from memnet_core.training.noise_recipe import NoiseTrainer

    recipe = _recipe(out, options)
    command = f"memnet {shlex.join(sys.argv[1:])}"
    trainer = NoiseTrainer(recipe, device, command)
    click.echo(
        f"Training on {trainer.images} images, in {escape_control_chars(recipe.out)}.",
        err=True,
    )
    stop = StopSignal()
    with closing(trainer.run()) as events:
        for event in events:
            if line := told(event):
                click.echo(escape_control_chars(line), err=True)
            if stop.requested:
                break
    which = f"of step {trainer.step} " if stop.requested else ""
    click.echo(f"The model {which}is {escape_control_chars(recipe.file)}.", err=True)
    return not stop.requested


def _recipe(out: Path | None, options: dict[str, Any]) -> NoiseRecipe:
    """Return the settings of a run."""
    from memnet_core.errors import UsageError
    from memnet_core.training.config import file_name
    from memnet_core.training.noise_recipe import NoiseRecipe

    given = {name: value for name, value in options.items() if value not in (None, ())}
    del given["recipe"]
    given = {name: value for name, value in given.items() if value is not False}
    if foreign := [name for name in given if name not in _TAKEN]:
        raise UsageError(
            f"The recipe noise takes no {foreign[0].replace('_', ' ')}; give --data, "
            "--out, and --minutes or --steps."
        )
    if out is None:
        raise UsageError("Give the folder of the run with --out, such as runs/noise.")
    if "data" not in given:
        raise UsageError("Give a folder with clean images with --data.")
    if ("minutes" in given) == ("steps" in given):
        raise UsageError("Give either --minutes or --steps.")
    if not all(given[name] > 0 for name in ("minutes", "steps") if name in given):
        raise UsageError("A run takes more than 0 minutes or steps.")
    name = given.setdefault("name", os.path.basename(os.path.abspath(out)))
    try:
        file_name(name)
    except ValueError as error:
        raise UsageError(f"Setting name: {error}.") from error
    return NoiseRecipe(out=out, **given)
