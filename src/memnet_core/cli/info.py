"""``memnet info``: what a file is, and which model would serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.io import Image, Stack
    from memnet_core.values import RangeChoice

__all__ = ["info"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(*, file: Path) -> None:
    """Tell what FILE is, how degraded it is, and which model would serve."""
    from memnet_core.io import open_stack, probe, read_image

    if probe(file).is_stack:
        with open_stack(file) as stack:
            facts = [*_stack_facts(stack)]
    else:
        facts = [*_facts(read_image(file))]
    for name, value in facts:
        click.echo(f"{name:<12} {shown(value)}")


def _stack_facts(stack: Stack) -> Iterator[tuple[str, str]]:
    """Yield what a stack tells, and a sample of its planes."""
    from memnet_core._old_tasks import plane_sigma
    from memnet_core.io import PlaneCrops
    from memnet_core.values import stack_range

    yield "format", stack.format
    yield "axes", f"{stack.axes} {'×'.join(map(str, stack.sizes))}"
    crops = PlaneCrops(stack)
    values = stack_range(crops, "percentile")
    sample = f"(a sample of {crops.shape[0]} of {stack.shape[0]} planes)"
    yield "values", f"{stack.dtype}, mostly {values.low:g} to {values.high:g} {sample}"
    known = stack.metadata.calibration
    for axis, size in known.spacing.items():
        yield f"step of {axis}", f"{size:g} {known.units.get(axis, '')}".rstrip()
    if known.channel_names:
        yield "channels", ", ".join(known.channel_names)
    if dropped := stack.metadata.page.dropped:
        yield "not kept", ", ".join(dropped)
    sigma = round(plane_sigma(crops[crops.shape[0] // 2], values), 1)
    yield "noise", f"σ about {sigma} of 255 (range: percentile)"
    yield "denoise", _serving("denoise", sigma)


def _facts(image: Image) -> Iterator[tuple[str, str]]:
    from memnet_core._old_tasks import jpeg_quality

    yield "format", image.format
    yield "axes", f"{image.axes} {'×'.join(map(str, image.pixels.shape))}"
    low, high = float(image.pixels.min()), float(image.pixels.max())
    yield "values", f"{image.pixels.dtype}, {low:g} to {high:g}"
    metadata = image.metadata
    if metadata.resolution:
        x, y = metadata.resolution
        yield "resolution", f"{x:g} × {y:g} per {metadata.resolution_unit}"
    carried = [name for name in ("icc", "exif", "xmp") if getattr(metadata, name)]
    yield "metadata", ", ".join(carried).upper() or "none"
    if metadata.dropped:
        yield "not kept", ", ".join(metadata.dropped)
    if quality := jpeg_quality(image):
        fit = "exactly" if quality.misfit == 0 else f"within {quality.misfit:.0%}"
        yield "JPEG quality", f"{quality.quality} (its table fits {fit})"
        yield "deblock", _serving("deblock", quality.quality)
    yield from _noise(image)


def _noise(image: Image) -> Iterator[tuple[str, str]]:
    from memnet_core._old_tasks import image_sigma
    from memnet_core.errors import ImageError

    choices: tuple[RangeChoice, ...] = ("dtype", "percentile")
    problem = ""
    for choice in choices:
        try:
            sigma = round(image_sigma(image, choice), 1)
        except ImageError as error:
            problem = str(error)
        else:
            yield "noise", f"σ about {sigma} of 255 (range: {choice})"
            yield "denoise", _serving("denoise", sigma)
            return
    yield "noise", f"unknown: {problem}"


def _serving(task: str, level: float) -> str:
    """Return the name of the model for a level, or why there is none."""
    from memnet_core.errors import LevelError
    from memnet_core.model.zoo import model_for

    try:
        return f"model {model_for(task, level).card.name!r} would serve"
    except LevelError as error:
        return str(error)
