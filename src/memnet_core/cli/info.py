"""``memnet info``: what a file is, and what each task would do with it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memnet_core.cli._options import max_pixels
from memnet_core.text import listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from memnet_core.io import ImageFile, Provenance, Scenes
    from memnet_core.tasks import Task

__all__ = ["info"]


_MOST_SCENES = 24
"""Images of which a line is shown; a plate can have thousands."""


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@max_pixels
@click.option("--scene", help="Which image of a file with several: number or name.")
def info(*, file: Path, scene: str | None) -> None:
    """Tell what FILE is, how degraded it is, and which model would serve.

    Of a file, plate or collection with several images, tell which these are; --scene
    tells more of one of them.
    """
    from memnet_core.io import open_scenes

    with open_scenes(file) as scenes:
        several = scene is None and len(scenes) > 1
        facts = _images(scenes) if several else _of_one(scenes, scene)
        for name, value in facts:
            click.echo(f"{name:<15} {shown(value)}")


def _images(scenes: Scenes) -> Iterator[tuple[str, str]]:
    """Yield the images of a file."""
    from memnet_core.errors import ImageError

    yield "format", scenes.title
    yield "images", str(len(scenes))
    for number in range(min(len(scenes), _MOST_SCENES)):
        label = scenes.names[number] if scenes.are_folders else f"scene {number}"
        try:
            with scenes.open(number) as source:
                told = (
                    f"{source.axes} {'×'.join(map(str, source.sizes))} {source.dtype}"
                )
        except ImageError as error:
            told = str(error)
        name = scenes.names[number]
        yield label, told if scenes.are_folders or not name else f"{told}, {name!r}"
    if len(scenes) > _MOST_SCENES:
        yield "", f"and {len(scenes) - _MOST_SCENES} more"
    if scenes.left_out:
        yield "left out", listed(scenes.left_out)


def _of_one(scenes: Scenes, scene: str | None) -> Iterator[tuple[str, str]]:
    """Yield what is known of one image, and what each task would do with it."""
    from memnet_core.errors import ImageError
    from memnet_core.io import provenance_of
    from memnet_core.tasks import TASKS

    number = scenes.number(scene)
    if scenes.are_folders:
        yield "collection", f"{scenes.title}, image {scenes.names[number]}"
        if scenes.left_out:
            yield "left out", listed(scenes.left_out)
    with scenes.open(number) as source:
        yield from _facts(source)
        with suppress(ImageError):  # its pixels can be read, whatever else is missing
            if made := provenance_of(source.path):
                yield "made by", _told(made)
        for task in TASKS.values():
            yield from _found(source, task) if task.estimable else _offered(task)


def _facts(source: ImageFile) -> Iterator[tuple[str, str]]:
    """Yield what a file tells, and what a sample of its planes holds."""
    yield "format", source.format
    yield "axes", f"{source.axes} {'×'.join(map(str, source.sizes))}"
    yield "values", _values(source)
    metadata, known = source.metadata, source.metadata.calibration
    if metadata.resolution and not metadata.stated:
        x, y = metadata.resolution
        yield "resolution", f"{x:g} × {y:g} per {metadata.resolution_unit}"
    else:
        for axis, size in known.spacing.items():
            yield f"step of {axis}", f"{size:g} {known.units.get(axis, '')}".rstrip()
    if known.channel_names:
        yield "channels", ", ".join(known.channel_names)
    carried = [name for name in ("icc", "exif", "xmp") if getattr(metadata, name)]
    yield "metadata", ", ".join(carried).upper() or "none"
    if metadata.dropped:
        yield "not kept", ", ".join(metadata.dropped)


def _told(made: Provenance) -> str:
    """Return in words how a file was made."""
    from memnet_core.tasks import TASKS

    symbol = TASKS[made.task].symbol if made.task in TASKS else ""
    levels = " and ".join(f"{level:g}" for level in dict.fromkeys(made.levels))
    ranges = dict.fromkeys(f"{r[0]:g} to {r[1]:g}" for r in made.ranges if r)
    parts = [
        f"memnet {made.memnet}, {made.task} {symbol} {levels}",
        f"values {' and '.join(ranges)}" if ranges else "",
        f"model {made.model} ({made.sha256[:12]})",
        *(f"{name.replace('_', ' ')} {value}" for name, value in made.options.items()),
    ]
    return ", ".join(filter(None, parts))


def _values(source: ImageFile) -> str:
    """Return type and values, for large files by a sample."""
    from memnet_core.restoration.sample import sampled_blocks, sampled_planes

    planes = [p for n in range(source.channels) for p in sampled_planes(source, n)]
    blocks = sampled_blocks(source, planes)
    low = min(float(block.min()) for block in blocks)
    high = max(float(block.max()) for block in blocks)
    count, height, width, _ = source.shape
    seen = sum(block.shape[0] * block.shape[1] for block in blocks)
    is_sample = seen < count * height * width
    sample = f" (a sample of {len(planes)} of {count} planes)" if is_sample else ""
    return f"{source.dtype}, {low:g} to {high:g}{sample}"


def _found(source: ImageFile, task: Task) -> Iterator[tuple[str, str]]:
    """Yield the level of a file, and what would be done about it."""
    from memnet_core.errors import LevelError, MemnetError
    from memnet_core.restoration.decision import decide, judge
    from memnet_core.restoration.settings import Settings

    settings = Settings(task=task.name)
    try:
        judged = judge(source, settings)
    except LevelError:
        return
    except MemnetError as error:
        yield task.quantity, f"unknown: {error}"
        return
    ranges = dict.fromkeys(str(channel.scaling) for channel in judged.channels)
    noise = [r for r in judged.remarks if r.startswith("noise: ")]
    if noise:
        yield "noise", " and ".join(r.removeprefix("noise: ") for r in noise)
    remarks = [remark for remark in judged.remarks if remark not in noise]
    found = (*remarks, f"values {' and '.join(ranges)}")
    yield task.quantity, ", ".join(found)
    try:
        decision = decide(source, settings, judged)
    except MemnetError as error:
        yield task.name, str(error)
        return
    told = [f"model {decision.entry().card.name!r} would serve", *decision.remarks]
    yield task.name, ", ".join(t for t in told if t not in judged.remarks)


def _offered(task: Task) -> Iterator[tuple[str, str]]:
    """Yield what models there are for a task of which no file tells the level."""
    from memnet_core.model.zoo import installed

    cards = [e.card for e in installed()[0] if e.card.task == task.name]
    models = ", ".join(f"{card.name!r} ({card.serves})" for card in cards)
    yield task.name, f"as --{task.option} says, by {models or 'no model yet'}"
