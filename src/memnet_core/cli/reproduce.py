"""``memnet reproduce``: the paper's tables, trained and evaluated anew."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.cli._progress import EXIT_INTERRUPTED, StopSignal, told

if TYPE_CHECKING:
    from memnet_core.paper.run import Started

__all__ = ["reproduce"]


@click.command(short_help="Train and score the networks of the paper's tables.")
@click.argument(
    "tables",
    metavar="TABLE...",
    nargs=-1,
    required=True,
    type=click.IntRange(1, 6),
)
@click.option(
    "--data",
    metavar="DIR",
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder that holds the folders of images: T91, BSDS500_train, Set5, ...",
)
@click.option(
    "--out",
    metavar="DIR",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Where runs and tables go; the same command goes on with what is there.",
)
@click.option(
    "--scale-down",
    "factor",
    metavar="F",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Train networks of 64/F filters on 64/F patches a step, for 1/F⁴ of the "
    "steps; 1 is the paper's size, which takes weeks on a GPU.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), help="How long to train each network."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Determines weights, samples and noise.",
)
@click.option("--device", default="auto", show_default=True)
def reproduce(
    *,
    tables: tuple[int, ...],
    data: Path,
    out: Path,
    factor: int,
    steps: int | None,
    seed: int,
    device: str,
) -> None:
    """Train and score the networks of the paper's tables, TABLE being 1 to 6.

    1 is the ablation, 2 training images and supervision, 3 denoising, 4
    super-resolution, 5 deblocking, 6 depth. Each table is written with our columns
    beside the paper's: table-1.md, table-1.csv, table-1-curves.png. A network that
    several tables have is trained once. Ctrl-C saves; the same command goes on.
    """
    from contextlib import closing

    from memnet_core.paper.plan import ReproductionPlan
    from memnet_core.paper.run import Started
    from memnet_core.paper.run import reproduce as reproduced
    from memnet_core.progress import GeneratorWithResult

    plan = ReproductionPlan(
        tables=tuple(sorted(set(tables))),
        data=data.absolute(),
        out=out.absolute(),
        factor=factor,
        steps=steps,
        seed=seed,
    )
    stop = StopSignal()
    command = escape_control_chars(f"memnet {shlex.join(sys.argv[1:])}")
    generator = reproduced(plan, device, command)
    events = GeneratorWithResult(generator)
    with closing(generator):
        for event in events:
            line = _begins(event) if isinstance(event, Started) else told(event)
            if line:
                click.echo(escape_control_chars(line), err=True)
            if stop.requested:
                break
    if stop.requested:
        click.echo("Saved; the same command goes on.", err=True)
        click.get_current_context().exit(EXIT_INTERRUPTED)
    for path in events.result:
        if path.suffix == ".md":
            click.echo(path.read_text(encoding="utf-8"))
    click.echo(f"The tables are in {escape_control_chars(plan.out)}.", err=True)


def _begins(event: Started) -> str:
    at = f" from step {event.step}" if event.step else ""
    return f"Training {event.network} ({event.number} of {event.total}){at}."
