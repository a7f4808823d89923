"""``memnet models``: the models that are installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import shown
from memnet_core.cli.exchange import export_model, import_model

if TYPE_CHECKING:
    from memnet_core.model.checkpoint import Card

__all__ = ["models"]


@click.group()
def models() -> None:
    """List, describe, add, rename, delete, import and export models."""


@models.command("list")
def list_models() -> None:
    """List the installed models."""
    from memnet_core.model.registry import installed

    entries, problems = installed()
    for entry in entries:
        origin = "shipped" if entry.is_shipped else "added"
        if entry.hides_shipped:
            origin += ", taken instead of the shipped one"
        click.echo(f"{entry.card.name:<20} {entry.card.serves:<24} {origin}")
    if not entries:
        click.echo("No model is installed; add one with 'memnet models add FILE'.")
    for problem in problems:
        click.echo(f"Unusable: {shown(problem)}", err=True)


@models.command("info")
@click.argument("model", metavar="NAME_OR_FILE")
def model_info(*, model: str) -> None:
    """Print the card of a model, after checking its weights."""
    from memnet_core.model.checkpoint import load_model
    from memnet_core.model.registry import find_model

    entry = find_model(model)
    _, card = load_model(entry.path)
    _print_card(card)
    click.echo(f"{'file':<14} {shown(entry.path)}")


@models.command("add")
@click.argument("file", type=click.Path(path_type=Path))
def add(*, file: Path) -> None:
    """Check the model FILE and install it."""
    from memnet_core.model.registry import add_model

    entry = add_model(file)
    click.echo(
        f"Added {entry.card.name!r} ({entry.card.serves}) as {shown(entry.path)}."
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
    from memnet_core.model.own import rename_model

    entry = rename_model(name, new)
    click.echo(f"Renamed {name!r} to {new!r}, {shown(entry.path)}.")


@models.command("delete")
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def delete(*, name: str, yes: bool) -> None:
    """Delete the added model NAME, after a question."""
    from memnet_core.model.own import delete_model, own_model

    entry = own_model(name)
    told = f"{name!r} ({entry.card.serves}), {shown(entry.path)}"
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
        "licence": card.licence,
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
            click.echo(f"{name:<14} {shown(value)}")
    for score in card.scores:
        click.echo(
            f"{'score':<14} {shown(score.dataset)} {score.level:g}: "
            f"{score.input_psnr:.2f} -> {score.psnr:.2f} dB, "
            f"SSIM {score.input_ssim:.4f} -> {score.ssim:.4f}"
        )
    click.echo(f"{'sha256':<14} {card.sha256}")
