"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import math
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.batch import BatchSettings

__all__ = ["restoration_options", "settings_of"]

AnyFunction = TypeVar("AnyFunction", bound="Callable[..., Any]")

_LEVEL_OPTIONS = {"deblock": "q", "denoise": "sigma", "sr": "scale"}


def _number_or_auto(text: str) -> float | str:
    """Return a level, or ``auto``."""
    if text == "auto":
        return text
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1000:
        raise click.BadParameter(f"{text!r} is neither a level nor 'auto'.")
    return number


def parse_range(text: str) -> str | tuple[float, float]:
    """Return ``dtype``, ``percentile``, ``plane``, or two values."""
    if text in ("dtype", "percentile", "plane"):
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not (low < high and math.isfinite(high - low)):
        raise click.BadParameter(
            f"{text!r} is neither 'dtype', 'percentile' nor 'plane', "
            "nor two rising values LO,HI."
        )
    return low, high


def _tile(text: str) -> tuple[int, int]:
    """Return height and width of a tile from ``256`` or ``256x512``."""
    parts = text.lower().split("x")
    if len(parts) > 2 or not all(part.isdigit() and int(part) for part in parts):
        raise click.BadParameter(f"{text!r} is neither a side in pixels nor HxW.")
    return int(parts[0]), int(parts[-1])


def _axes(text: str) -> str:
    """Return letters of axes in upper case."""
    axes = text.upper()
    if axes and (not {"Y", "X"} <= set(axes) <= set("TZCYXS") or _repeats(axes)):
        raise click.BadParameter(
            f"{text!r} are no axes; name each of Y, X and any of T, Z, C, S once."
        )
    return axes


def _repeats(text: str) -> bool:
    return len(set(text)) < len(text)


_OPTIONS = (
    click.option(
        "--task",
        type=click.Choice(list(_LEVEL_OPTIONS)),
        required=True,
        help="Remove JPEG blocks, remove noise, or enlarge.",
    ),
    click.option(
        "--q",
        type=_number_or_auto,
        metavar="N|auto",
        help="deblock: JPEG quality 1-100.  [default: auto, read from the JPEG file]",
    ),
    click.option(
        "--sigma",
        type=_number_or_auto,
        metavar="N|auto",
        help="denoise: standard deviation in grey levels of 255.  "
        "[default: auto, estimated]",
    ),
    click.option("--scale", type=click.IntRange(2, 8), help="sr: how much larger."),
    click.option(
        "--model", metavar="NAME|FILE", help="Model to use instead of the best fit."
    ),
    click.option(
        "--nearest", is_flag=True, help="Accept the model closest to the level."
    ),
    click.option(
        "--channels",
        type=click.Choice(["luminance", "all"]),
        help="What of colours to restore.  [default: all for denoise, else luminance]",
    ),
    click.option(
        "--range",
        "value_range",
        type=parse_range,
        metavar="dtype|percentile|plane|LO,HI",
        default="dtype",
        show_default=True,
        help="Which values are black and white; plane: percentiles of each plane.",
    ),
    click.option(
        "--axes",
        type=_axes,
        default="",
        metavar="LETTERS",
        help="Axes of stacks, out of TZCYXS, if their files tell them wrongly.",
    ),
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, cuda, cuda:N or mps.",
    ),
    click.option(
        "--tile",
        type=_tile,
        metavar="N|HxW",
        help="Tile size in pixels.  [default: what fits memory]",
    ),
    click.option(
        "--halo",
        type=click.IntRange(0),
        help="Context around a tile.  [default: what makes the result exact]",
    ),
    click.option(
        "--exit-block",
        type=click.IntRange(1),
        metavar="M",
        help="Stop after memory block M: faster, less restored.",
    ),
    click.option(
        "--tta",
        is_flag=True,
        help="Average eight flips and rotations: takes eight times as long.",
    ),
    click.option(
        "--precision",
        type=click.Choice(["float32", "bfloat16", "float16"]),
        default="float32",
        show_default=True,
        help="Number format of the network.",
    ),
)


def restoration_options(function: AnyFunction) -> AnyFunction:
    """Add the options that say how to restore an image."""
    return reduce(lambda wrapped, option: option(wrapped), reversed(_OPTIONS), function)


def settings_of(
    *,
    task: str,
    channels: str | None,
    value_range: str | tuple[float, float],
    **options: Any,
) -> BatchSettings:
    """Return the settings that the options of `restoration_options` stand for.

    Raises
    ------
    click.UsageError
        If the level of another task is given, or that of super-resolution is not.
    """
    from memnet_core._old_tasks import TaskSettings
    from memnet_core.batch import BatchSettings

    given = {name: options.pop(name) for name in _LEVEL_OPTIONS.values()}
    wanted = _LEVEL_OPTIONS[task]
    for name, value in given.items():
        if name != wanted and value is not None:
            raise click.UsageError(
                f"--{name} does not go with --task {task}; give --{wanted}."
            )
    level = given[wanted]
    if task == "sr" and level is None:
        raise click.UsageError("--task sr needs --scale.")
    if task == "deblock" and isinstance(level, float) and not 1 <= level <= 100:
        raise click.UsageError(f"--q {level:g} is no JPEG quality from 1 to 100.")
    settings = TaskSettings(
        task=task,  # type: ignore[arg-type]
        level=None if level == "auto" else level,
        channels=channels,  # type: ignore[arg-type]
        value_range=value_range,  # type: ignore[arg-type]
    )
    return BatchSettings(task=settings, **options)
