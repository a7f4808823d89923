"""``memnet train``: train a model from clean images, or from pairs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.cli._options import parser_of
from memnet_core.cli._progress import EXIT_INTERRUPTED, StopSignal, told
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from memnet_core.training.config import TrainingConfig

__all__ = ["train"]

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_SHAPE = ("memory_blocks", "recursions", "channels", "unshuffle", "level_map", "color")


@click.command(short_help="Train a model on clean images or pairs.")
@click.option(
    "--task",
    type=click.Choice(list(TASKS)),
    help="What to learn.  [default: deblock]",
)
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    type=_FOLDER,
    help="Folder with clean images, which are degraded on the fly; may be repeated.",
)
@click.option(
    "--pairs",
    nargs=2,
    metavar="LOW HIGH",
    type=_FOLDER,
    help="Instead: folders with degraded and clean images of the same names.",
)
@click.option(
    "--val",
    "validation",
    multiple=True,
    metavar="DIR",
    type=_FOLDER,
    help="Folder with clean images to validate on.  [default: training images]",
)
@click.option(
    "--val-pairs", "validation_pairs", nargs=2, metavar="LOW HIGH", type=_FOLDER
)
@click.option(
    "--recipe",
    type=click.Choice(["fast", "tune", "paper", "noise"]),
    help="What learns most in a minute; a trained model (--init, or the one that "
    "ships) made to suit other images; the paper's protocol; the network that reads "
    "noise, which is no task.  [default: fast]",
)
@click.option(
    "--config",
    "file",
    metavar="FILE.yaml",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Settings; options given here take precedence.",
)
@click.option(
    "--minutes",
    type=float,
    help="How long to train, by the clock; validations come on top.",
)
@click.option("--steps", type=int, help="How long to train, reproducibly.")
@click.option("--epochs", type=int, help="The same for patches on a grid.")
@click.option(
    "--stop-at",
    type=click.IntRange(min=1),
    metavar="STEP",
    help="Pause at this step; the schedule stays that of the whole run.",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run, such as runs/NAME.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run in --out; with a greater --minutes, --steps or --epochs "
    "than it had, make it longer.",
)
@click.option(
    "--init",
    "start",
    metavar="MODEL",
    help="Start from a model (name or file), also one with fewer blocks or recursions, "
    "without a level map, or for gray planes.",
)
@click.option("--name", help="Name of the model.  [default: that of the folder]")
@click.option("--license", help="License of the model, for its card.")
@click.option(
    "--levels",
    metavar="LO-HI|A,B",
    help="Levels to learn: qualities, deviations or scales; a range or a list.",
)
@click.option(
    "--grain",
    type=click.Choice(["white", "correlated"]),
    help="Whether neighboring pixels share the noise to remove.  [default: white]",
)
@click.option(
    "--range",
    "value_range",
    type=parser_of("value_range"),
    metavar="auto|dtype|percentile|LO,HI",
    help="Values that count as 0 and 1 in images of other than 8 bits.",
)
@click.option("--memory-blocks", type=int)
@click.option("--recursions", type=int)
@click.option("--channels", type=int)
@click.option("--unshuffle", type=int)
@click.option(
    "--level-map",
    is_flag=True,
    default=None,
    help="Tell the network the level, so that its strength can be chosen.",
)
@click.option(
    "--color",
    is_flag=True,
    default=None,
    help="Restore the three colors together.  [default: gray planes]",
)
@click.option(
    "--optimizer",
    type=click.Choice(["muon", "adamw", "sgd"]),
    help="How weights are changed.  [default: that of the recipe]",
)
@click.option("--learning-rate", type=float)
@click.option(
    "--teacher",
    multiple=True,
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Learn from the answers of a network, too: a model of this program, or the "
    "weights (.npz) of FFDNet, DnCNN or SMFANet+; for sr one for each scale.",
)
@click.option(
    "--teacher-share",
    type=click.FloatRange(0, 1, min_open=True),
    help="Part of these answers in what is learned.  [default: 0.5]",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "bfloat16", "float32"]),
    help="What to compute in.  [default: auto, bfloat16 where that is faster]",
)
@click.option(
    "--checkpointing",
    "activation_checkpointing",
    is_flag=True,
    help="Need less memory and more time.",
)
@click.option("--seed", type=int, help="Determines weights and samples.  [default: 0]")
@click.option("--device", default="auto", show_default=True)
def train(
    *,
    file: Path | None,
    out: Path | None,
    resume: bool,
    stop_at: int | None,
    device: str,
    **options: Any,
) -> None:
    """Train a model on clean images, or on pairs of images.

    Ctrl-C saves the run; the same command with --resume goes on with it. The best
    model so far is always in the folder of the run, which can be made longer later.
    """
    from memnet_core.cli._noise_recipe import train_noise_network
    from memnet_core.training.distributed import joined_processes

    if options["recipe"] == "noise":
        given = options | {"file": file, "resume": resume or None, "stop_at": stop_at}
        if not train_noise_network(out, device, given):
            click.get_current_context().exit(EXIT_INTERRUPTED)
        return
    with joined_processes():
        config = _config(file, out, options, resume=resume)
        if not _run(config, device, stop_at):
            click.get_current_context().exit(EXIT_INTERRUPTED)


def _config(
    file: Path | None, out: Path | None, options: dict[str, Any], *, resume: bool
) -> TrainingConfig:
    """Return the configuration of a new run, or of the one that is resumed."""
    from memnet_core.errors import TrainingError, UsageError
    from memnet_core.training.loop import STATE_FILE
    from memnet_core.training.recipes import (
        config_from,
        config_of_run,
        parse_levels,
        read_settings,
    )

    given = {name: value for name, value in options.items() if value not in (None, ())}
    if not given.pop("activation_checkpointing"):
        shape: dict[str, Any] = {}
    else:
        shape = {"activation_checkpointing": True}
    architecture = {name: given.pop(name) for name in _SHAPE if name in given}
    if architecture.pop("color", False):
        architecture["image_channels"] = 3
    if architecture:
        given["architecture"] = architecture
    if "levels" in given:
        given["levels"] = parse_levels(given["levels"])
    given |= shape
    if out is not None:
        given["out"] = out
    settings = read_settings(file) if file else {}
    if not ("out" in given or "out" in settings):
        raise UsageError("Give the folder of the run with --out, such as runs/NAME.")
    folder = Path(given.get("out") or settings["out"])
    lengths = given.keys() - {"out"}
    if resume and lengths <= {"minutes", "steps", "epochs"} and not settings:
        return config_of_run(folder, **{name: given[name] for name in lengths})
    config = config_from(settings, given)
    if not resume and (folder / STATE_FILE).exists():
        raise TrainingError(
            f"{folder} holds a run; go on with it with --resume, or choose another "
            "folder."
        )
    return config


def _run(config: TrainingConfig, device: str, stop_at: int | None) -> bool:
    """Train, and return whether nobody interrupted it."""
    from contextlib import closing

    from memnet_core.training.distributed import is_first
    from memnet_core.training.loop import Trainer
    from memnet_core.training.recipes import write_config
    from memnet_core.training.runner import model_file, train_session

    trainer = Trainer(config, device)
    if is_first():
        write_config(config)
    stop = StopSignal()
    if not is_first():
        with closing(trainer.run(stop_at)) as events:
            for _ in events:
                if stop.requested:
                    break
        return not stop.requested
    at = f" from step {trainer.step}" if trainer.step else ""
    click.echo(
        f"Training on {trainer.images} images{at}, in "
        f"{escape_control_chars(config.out)}.",
        err=True,
    )
    command = _remember_command(config.out)
    with closing(train_session(trainer, stop_at, command)) as events:
        for event in events:
            if line := told(event):
                click.echo(escape_control_chars(line), err=True)
            if stop.requested:
                break
    if stop.requested:
        click.echo(f"Saved at step {trainer.step}; go on with --resume.", err=True)
    elif model_file(config).exists():
        click.echo(
            f"The best model is {escape_control_chars(model_file(config))}.", err=True
        )
    return not stop.requested


def _remember_command(out: Path) -> str:
    """Add this command to those of the run, and return all of them."""
    from memnet_core.errors import TrainingError

    path = out / "commands.txt"
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write(
                escape_control_chars(f"memnet {shlex.join(sys.argv[1:])}") + "\n"
            )
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise TrainingError(
            f"Cannot write to {path}: {error.strerror}; make room there."
        ) from error
    return "; ".join(lines)
