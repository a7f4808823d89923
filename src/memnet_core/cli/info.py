"""``memnet info``: what a file is, and which model would serve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.io import ImageFile
    from memnet_core.restoration.scaling import Linear

__all__ = ["info"]


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
def info(*, file: Path) -> None:
    """Tell what FILE is, how degraded it is, and which model would serve."""
    from memnet_core.io import open_image

    with open_image(file) as image:
        facts = [*_facts(image), *_judgement(image)]
    for name, value in facts:
        click.echo(f"{name:<12} {shown(value)}")


def _facts(image: ImageFile) -> Iterator[tuple[str, str]]:
    """Yield what the file says of itself."""
    metadata = image.metadata
    yield "format", image.format
    yield "axes", f"{image.axes} {'×'.join(map(str, image.sizes))}"
    if metadata.resolution:
        x, y = metadata.resolution
        yield "resolution", f"{x:g} × {y:g} per {metadata.resolution_unit}"
    known = metadata.calibration
    for axis, size in known.spacing.items() if image.is_stack else ():
        yield f"step of {axis}", f"{size:g} {known.units.get(axis, '')}".rstrip()
    if known.channel_names:
        yield "channels", ", ".join(known.channel_names)
    carried = [name for name in ("icc", "exif", "xmp") if getattr(metadata, name)]
    yield "metadata", ", ".join(carried).upper() or "none"
    if metadata.dropped:
        yield "not kept", ", ".join(metadata.dropped)


def _judgement(image: ImageFile) -> Iterator[tuple[str, str]]:
    """Yield what the pixels tell, by the sample that restoration judges by."""
    from memnet_core.errors import ImageError
    from memnet_core.restoration.sample import sampled_blocks, sampled_planes
    from memnet_core.restoration.scaling import scaling_of

    planes = [sampled_planes(image, channel) for channel in range(image.channels)]
    blocks = [sampled_blocks(image, numbers) for numbers in planes]
    low = min(float(block.min()) for found in blocks for block in found)
    high = max(float(block.max()) for found in blocks for block in found)
    looked_at = sum(block.shape[0] * block.shape[1] for b in blocks for block in b)
    count, height, width, _ = image.shape
    sample = " (in a sample)" if looked_at < count * height * width else ""
    yield "values", f"{image.dtype}, {low:g} to {high:g}{sample}"
    try:
        scalings = [scaling_of(found, image.dtype, "auto") for found in blocks]
    except ImageError as error:
        yield "level", f"unknown: {error}"
        return
    ranges = ", ".join(dict.fromkeys(map(str, scalings)))
    yield "range", f"{ranges} (of which σ counts 255 levels)"
    middles = [numbers[len(numbers) // 2] for numbers in planes]
    yield from _levels(image, middles, scalings)


def _levels(
    image: ImageFile, planes: list[int], scalings: list[Linear]
) -> Iterator[tuple[str, str]]:
    """Yield the level for every task that can find it, and the model for it."""
    import numpy as np

    from memnet_core.errors import LevelError
    from memnet_core.restoration.sample import sampled_blocks
    from memnet_core.tasks import TASKS

    normalized = [
        [
            values
            for block in sampled_blocks(image, [plane])
            for values in scaling.forward(np.moveaxis(block, -1, 0).astype(np.float64))
        ]
        for plane, scaling in zip(planes, scalings, strict=True)
    ]
    for task in TASKS.values():
        try:
            found = [task.estimate(values, image.jpeg_tables) for values in normalized]
        except LevelError:
            continue
        yield task.quantity, "; ".join(dict.fromkeys(one.remark for one in found))
        strongest = max((one.level for one in found), key=task.map_value)
        yield task.name, _serving(task.name, strongest)


def _serving(task: str, level: float) -> str:
    """Return the name of the model for a level, or why there is none."""
    from memnet_core.errors import LevelError
    from memnet_core.model.zoo import model_for

    try:
        return f"model {model_for(task, level).card.name!r} would serve"
    except LevelError as error:
        return str(error)
