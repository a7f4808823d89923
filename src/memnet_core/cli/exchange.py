"""``memnet models export`` and ``import``: models that travel."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import shown
from memnet_core.errors import UsageError
from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from memnet_core.model.registry import Entry

__all__ = ["export_model", "import_model"]

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
    click.echo(f"Written to {shown(out)}. {checked}")


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
    "--licence",
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
    licence: str,
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
        licence=licence,
    )
    click.echo(_told(found, installed=out is None))


def _told(entry: Entry, *, installed: bool) -> str:
    from memnet_core.model.checkpoint import read_card

    network = read_card(entry.path).architecture
    verb = "Installed" if installed else "Wrote"
    return (
        f"{verb} {entry.card.name!r} ({entry.card.serves}; {network.memory_blocks} "
        f"memory blocks of {network.recursions} recursions, {network.channels} "
        f"channels) as {shown(entry.path)}."
    )
