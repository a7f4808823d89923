"""``memnet models``: the models that are installed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.errors import UsageError
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from memnet_core.model.card import Card
    from memnet_core.model.registry import Entry

__all__ = ["export_model", "import_model", "models"]


_FORMATS = ("onnx", "torchscript", "bioimageio")
_OURS = "The napari-memnet developers"


@click.command("export")
@click.argument("model", metavar="NAME_OR_FILE")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "--format",
    "kind",
    type=click.Choice(_FORMATS),
    required=True,
    help="onnx: free height and width. bioimageio: a package of the BioImage Model "
    "Zoo, for ilastik, deepImageJ and others.",
)
@click.option(
    "--level",
    type=float,
    help="Fix the level, for a model that has to be told.",
)
@click.option(
    "--author",
    "authors",
    metavar="NAME",
    multiple=True,
    help="Who made the model, for bioimageio; may be repeated.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it is there.")
def export_model(
    *,
    model: str,
    out: Path,
    kind: str,
    level: float | None,
    authors: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Write a model for other programs to the file OUT, and check what it computes.

    Values are in [0, 1] and not clipped; sides are multiples of the model's
    pixel-unshuffle. A package of bioimageio takes and gives values of 0 to 255.
    """
    from memnet_core.export.api import export
    from memnet_core.model.checkpoint import load_model
    from memnet_core.model.registry import find_model

    if os.path.lexists(out) and not overwrite:
        raise UsageError(f"{out} exists already; replace it with --overwrite.")
    entry = find_model(model)
    network, card = load_model(entry.path)
    made_by = authors or ((_OURS,) if entry.is_shipped else ())
    checked = export(network, card, kind, out, level=level, authors=made_by)
    click.echo(f"Written to {escape_control_chars(out)}. {checked}")


@click.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--task",
    type=click.Choice(list(TASKS)),
    required=True,
    help="What it was trained for; the file does not say.",
)
@click.option(
    "--levels",
    metavar="LOW-HIGH|A,B",
    required=True,
    help="Levels that it was trained for.",
)
@click.option("--name", metavar="NAME", help="Its name.  [default: that of FILE]")
@click.option(
    "--license",
    default="not stated",
    show_default=True,
    help="Under which it may be used.",
)
@click.option(
    "--out",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a model file instead of installing it.",
)
def import_model(
    *,
    file: Path,
    task: str,
    levels: str,
    name: str | None,
    license: str,
    out: Path | None,
) -> None:
    """Make a model of the weights in FILE, and install it.

    FILE is a .caffemodel of the authors' networks, or the tensors of a MemNet of ours
    in a safetensors file without a card. No code of a file is ever run.
    """
    from memnet_core.export.import_weights import import_file
    from memnet_core.training.recipes import parse_levels

    found = import_file(
        file,
        out,
        task=task,
        levels=parse_levels(levels),
        name=name,
        license=license,
    )
    click.echo(_told(found, installed=out is None))


def _told(entry: Entry, *, installed: bool) -> str:
    from memnet_core.model.checkpoint import read_card

    network = read_card(entry.path).architecture
    verb = "Installed" if installed else "Wrote"
    return (
        f"{verb} {entry.card.name!r} ({entry.card.serves}; {network.memory_blocks} "
        f"memory blocks of {network.recursions} recursions, {network.channels} "
        f"channels) as {escape_control_chars(entry.path)}."
    )


@click.group(short_help="List, describe, add, rename and export models.")
def models() -> None:
    """List, describe, add, rename, delete, import and export models."""


@models.command("list")
def list_models() -> None:
    """List the installed models."""
    from memnet_core.model.registry import installed

    entries, problems = installed()
    rows = [
        (entry.card.name, _purpose(entry.card), entry.card.serves, _origin(entry))
        for entry in entries
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(" ".join(cells).rstrip())
    if not entries:
        click.echo("No model is installed; add one with 'memnet models add FILE'.")
    for problem in problems:
        click.echo(f"Unusable: {escape_control_chars(problem)}", err=True)


def _purpose(card: Card) -> str:
    title = TASKS[card.task].title
    return f"{title}, color" if card.architecture.image_channels > 1 else title


def _origin(entry: Entry) -> str:
    if entry.hides_shipped:
        return "added, in place of the shipped one"
    return "shipped" if entry.is_shipped else "added"


@models.command("info")
@click.argument("model", metavar="NAME_OR_FILE")
def model_info(*, model: str) -> None:
    """Print the card of a model, after checking its weights."""
    from memnet_core.model.checkpoint import load_model
    from memnet_core.model.registry import find_model

    entry = find_model(model)
    _, card = load_model(entry.path)
    _print_card(card)
    click.echo(f"{'file':<14} {escape_control_chars(entry.path)}")


@models.command("add")
@click.argument("file", type=click.Path(path_type=Path))
def add(*, file: Path) -> None:
    """Check the model FILE and install it."""
    from memnet_core.model.registry import add_model

    entry = add_model(file)
    click.echo(
        f"Added {entry.card.name!r} ({entry.card.serves}) as "
        f"{escape_control_chars(entry.path)}."
    )
    if entry.hides_shipped:
        click.echo(
            f"It is taken instead of the shipped model {entry.card.name!r}; delete "
            "the file to have that one back.",
            err=True,
        )


@models.command("rename")
@click.argument("name")
@click.argument("new")
def rename(*, name: str, new: str) -> None:
    """Give the added model NAME the name NEW."""
    from memnet_core.model.registry import rename_model

    entry = rename_model(name, new)
    click.echo(f"Renamed {name!r} to {new!r}, {escape_control_chars(entry.path)}.")


@models.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(*, name: str, yes: bool) -> None:
    """Delete the added model NAME, after a question."""
    from memnet_core.model.registry import delete_model, own_model

    entry = own_model(name)
    told = f"{name!r} ({entry.card.serves}), {escape_control_chars(entry.path)}"
    if not yes and not click.confirm(f"Delete {told}?", err=True):
        click.echo("Kept.")
        return
    delete_model(name)
    click.echo(f"Deleted {told}.")


models.add_command(export_model)
models.add_command(import_model)


def _print_card(card: Card) -> None:
    network = card.architecture
    facts = {
        "name": f"{card.name} {card.version}",
        "serves": card.serves,
        "network": (
            f"{network.memory_blocks} memory blocks, {network.recursions} recursions, "
            f"{network.channels} channels, unshuffle {network.unshuffle}; "
            f"{network.multiply_adds() / 1e3:.0f} K multiply-adds a pixel, "
            f"halo {network.radius()} px"
        ),
        "strength": "can be chosen, --strength" if card.takes_strength else "",
        "adapted to": card.adapted_to,
        "description": card.description,
        "license": card.license,
    }
    if training := card.training:
        facts["trained on"] = f"{training.data}, {training.megapixels:g} megapixels"
        facts["trained for"] = (
            f"{training.minutes:g} minutes, {training.steps} steps, on "
            f"{training.hardware}"
        )
        facts["started from"] = training.started_from
        facts["taught by"] = training.teacher
        facts["command"] = training.command
    for name, value in facts.items():
        if value:
            click.echo(f"{name:<14} {escape_control_chars(value)}")
    for score in card.scores:
        click.echo(
            f"{'score':<14} {escape_control_chars(score.dataset)} {score.level:g}: "
            f"{score.input_psnr:.2f} -> {score.psnr:.2f} dB, "
            f"SSIM {score.input_ssim:.4f} -> {score.ssim:.4f}"
        )
    click.echo(f"{'sha256':<14} {card.sha256}")
