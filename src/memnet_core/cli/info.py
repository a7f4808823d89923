"""``memnet info``: what a file is, and what each task would do with it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from memnet_core._util.sanitize import escape_control_chars, join_limited
from memnet_core.cli._options import (
    GroupedCommand,
    as_option,
    optional_restoration_options,
    settings_of,
)
from memnet_core.cli._outlook import in_words, outlook

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from memnet_core.inference.analysis import SourceAnalysis
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import ImageFile, Provenance, Scenes
    from memnet_core.tasks import Task

__all__ = ["info"]


_MOST_SCENES = 24
"""Images of which a line is shown; a plate can have thousands."""


_COLORS = {
    "single": "one, gray",
    "luminance": "the luminance of colors",
    "chroma": "luminance, and chroma at the resolution of the JPEG",
    "each": "each by itself",
    "joint": "all together",
}

_WITHOUT_TASK = {"file", "scene", "axes", "task"}
"""What also says something where no task is named."""


@click.command(
    cls=GroupedCommand, short_help="Say what a file is and what would be done."
)
@click.argument("file", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--scene", help="Which image of a file with several: number or name.")
@optional_restoration_options
def info(
    *, file: Path, scene: str | None, task: str | None, axes: str, **options: Any
) -> None:
    """Say what FILE is, how degraded it is, and which model would serve.

    With --task, say what batch and restore would do with the same options. Of a file,
    plate or collection with several images, list these; --scene describes one of them.
    Of a folder, print a row for each file: size, JPEG quality, noise, seconds, and what
    would be done.
    """
    from memnet_core.io import is_image_folder, open_scenes

    settings = settings_of(task=task, **options) if task else None
    if settings is None:
        _refuse_others(click.get_current_context())
    if file.is_dir() and not is_image_folder(file):
        from memnet_core.inference.settings import RestoreOptions
        from memnet_core.tasks import AUTO

        for row in _rows(file, settings or RestoreOptions(task=AUTO)):
            click.echo(escape_control_chars(row))
        return
    with open_scenes(file) as scenes:
        several = scene is None and len(scenes) > 1
        facts = _images(scenes) if several else _of_one(scenes, scene, axes, settings)
        for name, value in facts:
            click.echo(f"{name:<15} {escape_control_chars(value)}")


def _rows(folder: Path, settings: RestoreOptions) -> Iterator[str]:
    """Yield a row for each image in a folder."""
    from memnet_core.batch import find_inputs
    from memnet_core.errors import UsageError

    sources = find_inputs([str(folder)], Path(os.devnull), recursive=False).sources
    if not sources:
        raise UsageError(f"No images found in {folder}.")
    width = max(len(source.path.name) for source in sources)
    for source in sources:
        yield f"{source.path.name:<{width}}  {outlook(source.path, settings)}"


def _refuse_others(context: click.Context) -> None:
    """Raise click.UsageError if an option was given that says nothing without a task.

    The bound of pixels is no value of the command, but has done its work.
    """
    for name in context.params.keys() - _WITHOUT_TASK:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            option = name.replace("value_", "").replace("_", "-")
            raise click.UsageError(f"--{option} needs a --task to say something of.")


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
            told = error.spelled(as_option)
        name = scenes.names[number]
        yield label, told if scenes.are_folders or not name else f"{told}, {name!r}"
    if len(scenes) > _MOST_SCENES:
        yield "", f"and {len(scenes) - _MOST_SCENES} more"
    if scenes.left_out:
        yield "left out", join_limited(scenes.left_out)


def _of_one(
    scenes: Scenes, scene: str | None, axes: str, settings: RestoreOptions | None
) -> Iterator[tuple[str, str]]:
    """Yield what is known of one image, and what a task, or each, would do with it."""
    from memnet_core.errors import ImageError
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.inference.steps import plan_steps
    from memnet_core.io import provenance_of
    from memnet_core.tasks import AUTO, TASKS

    number = scenes.number(scene)
    if scenes.are_folders:
        yield "collection", f"{scenes.title}, image {scenes.names[number]}"
        if scenes.left_out:
            yield "left out", join_limited(scenes.left_out)
    with scenes.open(number, axes) as source:
        yield from _facts(source)
        with suppress(ImageError):  # its pixels can be read, whatever else is missing
            if made := provenance_of(source.path):
                yield "made by", _told(made)
        if settings:
            yield from _planned(source, settings)
            return
        judged = {}
        for task in TASKS.values():
            if not task.estimable:
                yield from _offered(task)
            elif found := (yield from _found(source, task)):
                judged[task.name] = found
        steps = plan_steps(source, RestoreOptions(task=AUTO), judged)
        done = [step.plan.label for step in steps if step.plan]
        yield "auto", ", then ".join(done) or "would do nothing"


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


def _done(made: Provenance) -> str:
    """Return task and levels of a step."""
    from memnet_core.tasks import TASKS

    symbol = TASKS[made.task].symbol if made.task in TASKS else ""
    levels = " and ".join(f"{level:g}" for level in dict.fromkeys(made.levels))
    return f"{made.task} {symbol} {levels}"


def _told(made: Provenance) -> str:
    """Return in words how a file was made."""
    ranges = dict.fromkeys(f"{r[0]:g} to {r[1]:g}" for r in made.ranges if r)
    before = [f"{_done(step)}, then " for step in made.before]
    parts = [
        f"memnet {made.memnet}, {''.join(before)}{_done(made)}",
        f"values {' and '.join(ranges)}" if ranges else "",
        f"model {made.model} ({made.sha256[:12]})",
        *(f"{name.replace('_', ' ')} {value}" for name, value in made.options.items()),
    ]
    return ", ".join(filter(None, parts))


def _values(source: ImageFile) -> str:
    """Return type and values, for large files by a sample."""
    from memnet_core.sources.sampling import sampled_blocks, sampled_planes

    planes = [p for n in range(source.channels) for p in sampled_planes(source, n)]
    blocks = sampled_blocks(source, planes)
    low = min(float(block.min()) for block in blocks)
    high = max(float(block.max()) for block in blocks)
    count, height, width, _ = source.shape
    seen = sum(block.shape[0] * block.shape[1] for block in blocks)
    is_sample = seen < count * height * width
    sample = f" (a sample of {len(planes)} of {count} planes)" if is_sample else ""
    return f"{source.dtype}, {low:g} to {high:g}{sample}"


def _planned(source: ImageFile, settings: RestoreOptions) -> Iterator[tuple[str, str]]:
    """Yield all that is decided for an image: each step, and more of the last."""
    from memnet_core._util.devices import select_device
    from memnet_core.errors import NothingToDo
    from memnet_core.inference.steps import plan_steps

    try:
        steps = plan_steps(source, settings)
    except NothingToDo as error:
        yield "would be done", f"nothing: {error.spelled(as_option)}"
        return
    for step in steps:
        yield step.task, in_words(step)
    plans = [step.plan for step in steps if step.plan]
    if not plans:
        yield "would be done", "nothing"
        return
    decision = plans[-1]
    card = decision.entry().card
    card.architecture.check_exit_block(settings.exit_block)
    yield "model", f"{decision.model} ({card.serves})"
    yield "planes", _COLORS[decision.colors]
    if card.takes_strength:
        yield "strength", f"{decision.strength:g}"
    ranges = dict.fromkeys(str(c.scaling) for c in decision.channels if c.scaling)
    yield "range", " and ".join(ranges) or "of each plane"
    if any(plan.coding and plan.consistency for plan in plans):
        yield "held to", "the intervals of the JPEG"
    yield "device", str(select_device(settings.device))


def _found(
    source: ImageFile, task: Task
) -> Generator[tuple[str, str], None, SourceAnalysis | None]:
    """Yield the level of a file, and what would be done; return what was found."""
    from memnet_core.errors import LevelError, MemnetError, NothingToDo
    from memnet_core.inference.analysis import analyze
    from memnet_core.inference.plan import plan_restore
    from memnet_core.inference.settings import RestoreOptions

    settings = RestoreOptions(task=task.name)
    try:
        judged = analyze(source, settings)
    except (LevelError, NothingToDo):
        return None
    except MemnetError as error:
        yield task.quantity, f"unknown: {error.spelled(as_option)}"
        return None
    ranges = dict.fromkeys(str(channel.scaling) for channel in judged.channels)
    noise = [r for r in judged.remarks if r.startswith("noise: ")]
    if noise:
        yield "noise", " and ".join(r.removeprefix("noise: ") for r in noise)
    remarks = [remark for remark in judged.remarks if remark not in noise]
    found = (*remarks, f"values {' and '.join(ranges)}")
    yield task.quantity, ", ".join(found)
    try:
        decision = plan_restore(source, settings, judged)
    except MemnetError as error:
        yield task.name, error.spelled(as_option)
        return judged
    told = [f"model {decision.entry().card.name!r} would serve", *decision.remarks]
    yield task.name, ", ".join(t for t in told if t not in judged.remarks)
    return judged


def _offered(task: Task) -> Iterator[tuple[str, str]]:
    """Yield what models there are for a task of which no file tells the level."""
    from memnet_core.model.registry import installed

    cards = [e.card for e in installed()[0] if e.card.task == task.name]
    models = ", ".join(f"{card.name!r} ({card.serves})" for card in cards)
    yield task.name, f"as --{task.option} says, by {models or 'no model yet'}"
