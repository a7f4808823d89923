"""``memnet evaluate``: PSNR and SSIM by the paper's protocol."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from memnet_core.evaluation.report import Evaluation
    from memnet_core.inference.settings import Channels

__all__ = ["evaluate"]

_FILE = click.Path(dir_okay=False, path_type=Path)


@click.command(short_help="Score a model by the paper's protocol.")
@click.argument("model", metavar="MODEL")
@click.argument(
    "folders",
    metavar="FOLDER...",
    nargs=-1,
    required=True,
    type=click.Path(path_type=Path),
)
@click.option(
    "--levels",
    metavar="A,B",
    help="Levels to score.  [default: those with published figures, or usual ones]",
)
@click.option(
    "--color/--gray",
    "color",
    default=None,
    help="Degrade, restore and score all three colors, or gray planes.  [default: "
    "colors, where the model is for color and an image has some]",
)
@click.option(
    "--channels",
    type=click.Choice(["luminance", "each", "joint"]),
    help="What of colors is restored, as of memnet batch; scores colors.",
)
@click.option("--json", "json_file", metavar="FILE", type=_FILE)
@click.option("--csv", "csv_file", metavar="FILE", type=_FILE)
@click.option(
    "--png", "png_file", metavar="FILE", type=_FILE, help="Plot of the gain by level."
)
@click.option(
    "--html", hidden=True, expose_value=False, callback=lambda *args: _no_html(args[2])
)
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Determines the noise.",
)
def evaluate(
    *,
    model: str,
    folders: tuple[Path, ...],
    levels: str | None,
    color: bool | None,
    channels: Channels | None,
    json_file: Path | None,
    csv_file: Path | None,
    png_file: Path | None,
    device: str,
    seed: int,
) -> None:
    """Score MODEL (a name or file) on the clean images of each FOLDER.

    Gray planes are scored by the paper's protocol. Colors become JPEG files with 4:2:0
    chroma, or get noise in each channel, and are restored as memnet batch does; PSNR
    and SSIM are over RGB, with those of luminance beside.

    Known sets (Classic5, LIVE1, Set5, ..., recognized by the folder's name) are
    compared with published figures; they are refused if their degraded images do not
    score as published.
    """
    from memnet_core.evaluation.report import as_csv, as_json, as_text, draw_gains
    from memnet_core.evaluation.run import evaluate as evaluations
    from memnet_core.evaluation.run import evaluate_colors, has_colors
    from memnet_core.inference.engine import Engine
    from memnet_core.model.checkpoint import load_model
    from memnet_core.model.registry import find_model

    chosen = _levels(levels)
    for file in (json_file, csv_file, png_file):
        if file is not None:
            _check_writable(file)
    if channels and color is False:
        raise click.UsageError("--channels is for colors; leave --gray out.")
    entry = find_model(model)
    network, card = load_model(entry.path)
    engine = Engine(network, device=device)
    found: list[Evaluation] = []
    try:
        for folder in folders:
            colored = color or channels is not None
            if color is None and card.architecture.image_channels > 1:
                colored = colored or has_colors(folder)
            scored = (
                evaluate_colors(
                    entry, folder, chosen, channels=channels, device=device, seed=seed
                )
                if colored
                else evaluations(engine, card, folder, chosen, seed=seed)
            )
            for evaluation in scored:
                found.append(evaluation)
                click.echo(as_text(card, evaluation) + "\n")
    finally:
        if found and json_file:
            _write(json_file, as_json(card, found))
        if found and csv_file:
            _write(csv_file, as_csv(found))
        if found and png_file:
            _draw(png_file, draw_gains(card, found))


def _no_html(value: str | None) -> None:
    if value is not None:
        raise click.UsageError(
            "--html is no longer there; write scores with --csv or --json, and a plot "
            "with --png."
        )


def _check_writable(file: Path) -> None:
    """Refuse a file that cannot be made, before anything is computed."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise click.UsageError(
            f"There is no folder {escape_control_chars(folder)} to write to; "
            "create it first."
        )
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise click.UsageError(_unwritable(file, error)) from error


def _write(file: Path, text: str) -> None:
    from memnet_core._util.atomic_write import replaced_when_complete

    try:
        with replaced_when_complete(file) as temporary:
            temporary.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise UsageError(_unwritable(file, error)) from error


def _draw(file: Path, figure: Figure) -> None:
    from memnet_core._util.atomic_write import replaced_when_complete

    try:
        with replaced_when_complete(file) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
    except OSError as error:
        raise UsageError(_unwritable(file, error)) from error


def _unwritable(file: Path, error: OSError) -> str:
    name = escape_control_chars(file)
    return f"{name} cannot be written: {error.strerror}; name another file."


def _levels(text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise click.UsageError(
            f"{text!r} are no levels; write a list such as 10,20."
        ) from None
