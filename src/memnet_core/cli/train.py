"""``memnet train``: train a model from clean images."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from memnet_core.training.loop import Progress, Validated

__all__ = ["train"]


@click.command()
@click.option(
    "--task",
    type=click.Choice(["deblock"]),
    default="deblock",
    show_default=True,
    help="What to learn; the clean images are degraded on the fly.",
)
@click.option(
    "--data",
    required=True,
    multiple=True,
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with clean images; may be given several times.",
)
@click.option(
    "--val",
    "validation",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with clean images to validate on.",
)
@click.option(
    "--out",
    required=True,
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder of the run; a run found there is resumed.",
)
@click.option("--name", help="Name of the model.  [default: that of the folder]")
@click.option("--minutes", type=float, required=True, help="How long to train.")
@click.option(
    "--init",
    "start",
    metavar="MODEL",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Model file of the same shape to start from.",
)
@click.option(
    "--q",
    "levels",
    nargs=2,
    type=float,
    default=(5, 75),
    show_default=True,
    help="Lowest and highest JPEG quality.",
)
@click.option("--memory-blocks", type=int, default=4, show_default=True)
@click.option("--recursions", type=int, default=4, show_default=True)
@click.option("--channels", type=int, default=48, show_default=True)
@click.option("--unshuffle", type=int, default=2, show_default=True)
@click.option("--learning-rate", type=float, default=2e-3, show_default=True)
@click.option(
    "--licence",
    default="unspecified",
    show_default=True,
    help="Licence of the model, for its card.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def train(
    *,
    data: tuple[Path, ...],
    out: Path,
    name: str | None,
    levels: tuple[float, float],
    memory_blocks: int,
    recursions: int,
    channels: int,
    unshuffle: int,
    licence: str,
    **settings: object,
) -> None:
    """Train a model on clean images.

    Ctrl-C saves the run; the same command goes on with it.
    """
    from memnet_core.checkpoint import TrainingSummary, save_model
    from memnet_core.training.config import validated_config
    from memnet_core.training.hardware import describe_hardware
    from memnet_core.training.loop import Finished, Trainer

    config = validated_config(
        data=data,
        out=out,
        name=name or out.name,
        levels={"values": sorted(levels), "continuous": True},
        architecture={
            "memory_blocks": memory_blocks,
            "recursions": recursions,
            "channels": channels,
            "unshuffle": unshuffle,
        },
        **settings,
    )
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(config)
    (out / "config.json").write_text(config.model_dump_json(indent=2))
    click.echo(f"Training on {trainer.images} images; the run is in {out}.", err=True)
    for event in trainer.run():
        if not isinstance(event, Finished):
            click.echo(_line(event), err=True)
            _log(out / "log.csv", event)
            continue
        path = out / f"{config.name}.safetensors"
        card = save_model(
            path,
            event.model,
            name=config.name,
            task=config.task,
            levels=config.levels,
            version="1",
            licence=licence,
            training=TrainingSummary(
                data=", ".join(folder.name for folder in data),
                steps=event.steps,
                megapixels=round(event.megapixels, 1),
                minutes=round(event.minutes, 1),
                hardware=describe_hardware(),
                command=_command(),
                started_from=config.start.name if config.start else "",
            ),
        )
        click.echo(f"Wrote {path} ({card.serves}).", err=True)


def _line(event: Progress | Validated) -> str:
    from memnet_core.training.loop import Progress

    if isinstance(event, Progress):
        return (
            f"{event.minutes:6.1f} min {event.fraction:4.0%}  step {event.step:6d}  "
            f"loss {event.loss:.6f}  lr {event.learning_rate:.1e}  "
            f"{event.pixels_per_second / 1e3:.0f} kpx/s"
        )
    gains = "  ".join(
        f"{level:g}: {event.input_psnr[level]:.2f} -> {event.psnr[level]:.2f} dB"
        for level in event.psnr
    )
    return f"{event.minutes:6.1f} min validation  {gains}"


def _log(path: Path, event: Progress | Validated) -> None:
    """Append an event to the log: one row for each number."""
    from memnet_core.training.loop import Progress

    if isinstance(event, Progress):
        rows = [("loss", event.loss), ("learning_rate", event.learning_rate)]
    else:
        rows = [(f"psnr_{level:g}", value) for level, value in event.psnr.items()]
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        for quantity, value in rows:
            writer.writerow([event.step, f"{event.minutes:.3f}", quantity, value])


def _command() -> str:
    import shlex
    import sys

    return "memnet " + shlex.join(sys.argv[1:])
