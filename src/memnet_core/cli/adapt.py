"""``memnet adapt``: adapt a model to noisy frames of one's own."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.cli._options import max_pixels, no_grain, parse_axes, parser_of
from memnet_core.cli._progress import EXIT_FAILED

if TYPE_CHECKING:
    from memnet_core.adaptation.result import Event

__all__ = ["adapt"]


@click.command(short_help="Adapt a model to noisy data alone.")
@click.argument("stack", metavar="STACK", type=click.Path(path_type=Path))
@click.option(
    "--axis",
    type=click.Choice(["T", "Z"], case_sensitive=False),
    help="Along which frames show the same.  [default: T, or else Z]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="How long to learn, by the clock.  [default: 1]",
)
@click.option(
    "--steps", type=click.IntRange(1), help="How long to learn, reproducibly."
)
@click.option(
    "--objective",
    metavar="noise2noise|noise2void",
    default="noise2noise",
    show_default=True,
    help="What to learn from: the next frame, or, for a single image and with little "
    "gain, the surrounding pixels.",
)
@click.option(
    "--model",
    metavar="NAME|FILE",
    help="Model to begin with.  [default: the one that suits the noise]",
)
@click.option("--name", help="Name of the model.  [default: that of STACK, -adapted]")
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Model file to write.  [default: in the folder of your models]",
)
@click.option("--overwrite", is_flag=True, help="Replace the model if it exists.")
@click.option(
    "--despite-motion",
    is_flag=True,
    help="Write the model if the held-out loss falls, also where frames move.",
)
@click.option(
    "--noise",
    type=parser_of("noise"),
    metavar="auto|gaussian|A,B",
    default="auto",
    show_default=True,
    help="As for memnet restore.",
)
@no_grain
@click.option(
    "--axes",
    type=parse_axes,
    default="",
    metavar="LETTERS",
    help="Axes of STACK, out of TZCYXS, if it tells them wrongly.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option("--device", default="auto", show_default=True)
@max_pixels
def adapt(*, stack: Path, axis: str | None, **options: Any) -> None:
    """Adapt a model to STACK: frames that show the same, all of them noisy.

    Some frames are held out. If what is learned serves them better, a model file and a
    picture beside it are written; else nothing is, and the exit code is 1.
    """
    from memnet_core.adaptation.api import adapt as adapted_to
    from memnet_core.adaptation.result import draw

    command = escape_control_chars(f"memnet {shlex.join(sys.argv[1:])}")
    adapted = adapted_to(
        stack, axis and axis.upper(), on_event=_tell, command=command, **options
    )
    for sentence in adapted.sentences:
        click.echo(escape_control_chars(sentence))
    if adapted.path is None:
        raise SystemExit(EXIT_FAILED)
    picture = draw(adapted, adapted.path.with_suffix(".png"))
    click.echo(
        f"Written: {escape_control_chars(adapted.path)}, "
        f"{escape_control_chars(picture)}."
    )


def _tell(event: Event) -> None:
    from memnet_core.adaptation.result import HoldoutRetest
    from memnet_core.progress import Notice
    from memnet_core.training.events import TrainingProgress

    line = ""
    if isinstance(event, Notice):
        line = event.text
    elif isinstance(event, TrainingProgress):
        line = (
            f"{event.minutes:6.2f} min {event.fraction:4.0%}  step {event.step:5d}  "
            f"training loss {event.loss:.4f}  {event.minutes_left:.1f} min left"
        )
    elif isinstance(event, HoldoutRetest):
        point = event.point
        training = f"training {point.training:.4f}, " if event.step else ""
        line = f"{point.minutes:6.2f} min loss: {training}held out {point.held_out:.4f}"
        line += "" if event.is_best else "  (not better than before)"
    if line:
        click.echo(escape_control_chars(line), err=True)
