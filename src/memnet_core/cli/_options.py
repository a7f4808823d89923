"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import math
import os
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from memnet_core.tasks import TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.tasks import Task

__all__ = [
    "max_pixels",
    "optional_restoration_options",
    "residual",
    "restoration_options",
    "settings_of",
]

AnyFunction = TypeVar("AnyFunction", bound="Callable[..., Any]")


def _bound_pixels(
    context: click.Context, parameter: click.Parameter, value: int | None
) -> None:
    """Set the bound for this process, and for those that it starts."""
    if value is not None:
        from memnet_core.io.core.limits import VARIABLE

        os.environ[VARIABLE] = str(value)


max_pixels = click.option(
    "--max-pixels",
    type=click.IntRange(1, 10**18),
    metavar="N",
    expose_value=False,
    callback=_bound_pixels,
    help="Pixels that a file of little data may claim to hold.  [default: 180000000]",
)


residual = click.option(
    "--residual",
    is_flag=True,
    help="Also write what was removed, in the source's values: NAME.residual.tif, of "
    "type float32, beside each result.",
)


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
    """Return ``auto``, ``dtype``, ``percentile``, ``plane``, or two values."""
    if text in ("auto", "dtype", "percentile", "plane"):
        return text
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError:
        low = high = 0.0
    if not (low < high and math.isfinite(high - low)):
        raise click.BadParameter(
            f"{text!r} is neither 'auto', 'dtype', 'percentile' nor 'plane', "
            "nor two rising values LO,HI."
        )
    return low, high


def parse_noise(text: str) -> str | tuple[float, float]:
    """Return ``auto``, ``gaussian``, ``photons``, or gain and constant."""
    if text in ("auto", "gaussian", "photons"):
        return text
    try:
        gain, constant = (float(part) for part in text.split(","))
    except ValueError:
        gain = constant = 0.0
    if not (gain > 0 and math.isfinite(gain) and math.isfinite(constant)):
        raise click.BadParameter(
            f"{text!r} is neither 'auto', 'gaussian' nor 'photons', nor A,B of the "
            "variance A·mean + B with A above 0."
        )
    return gain, constant


def parse_axes(text: str) -> str:
    """Return letters of axes in upper case."""
    axes = text.upper()
    if axes and (not {"Y", "X"} <= set(axes) <= set("TZCYXS") or _repeats(axes)):
        raise click.BadParameter(
            f"{text!r} are no axes; name each of Y, X and any of T, Z, C, S once."
        )
    return axes


def _repeats(text: str) -> bool:
    return len(set(text)) < len(text)


def _level_option(task: Task) -> Callable[[AnyFunction], AnyFunction]:
    """Return the option that gives the level of a task."""
    name, text = f"--{task.option}", f"{task.name}: {task.help}"
    if task.estimable:
        kind: Any = _number_or_auto
        return click.option(name, type=kind, metavar="N|auto", help=text)
    low, high = (int(end) for end in task.bounds)
    return click.option(name, type=click.IntRange(low, high), help=text)


def _task_option(*, required: bool) -> Callable[[AnyFunction], AnyFunction]:
    return click.option(
        "--task",
        type=click.Choice(list(TASKS)),
        required=required,
        help=", ".join(f"{task.name}: {task.title}" for task in TASKS.values()) + ".",
    )


_OPTIONS = (
    *(_level_option(task) for task in TASKS.values()),
    click.option(
        "--model", metavar="NAME|FILE", help="Model to use instead of the best fit."
    ),
    click.option(
        "--nearest", is_flag=True, help="Accept the model closest to the level."
    ),
    click.option(
        "--channels",
        type=click.Choice(["luminance", "each", "joint"]),
        help="What of colors to restore: their luminance, each channel by itself, or "
        "all together.  [default: what suits task and model]",
    ),
    click.option(
        "--strength",
        type=float,
        metavar="S",
        default=1.0,
        show_default=True,
        help="Do less (down to 0) or more (up to 1.5) than the level asks for, with a "
        "model that has a level map.",
    ),
    click.option(
        "--range",
        "value_range",
        type=parse_range,
        metavar="auto|dtype|percentile|plane|LO,HI",
        default="auto",
        show_default=True,
        help="Which values are black and white: all that the type holds, or what the "
        "image holds mostly (auto: beyond 8 bits), or each plane.",
    ),
    click.option(
        "--noise",
        type=parse_noise,
        metavar="auto|gaussian|photons|A,B",
        default="auto",
        show_default=True,
        help="denoise: the same everywhere (gaussian), or of variance A·mean + B, as "
        "photons make it, estimated (photons) or given (auto: estimated if it grows "
        "beyond doubt and no --sigma is given).",
    ),
    click.option(
        "--noise-grain",
        type=click.Choice(["auto", "white", "correlated"]),
        default="auto",
        show_default=True,
        help="denoise: whether neighboring pixels share the noise, as resizing and "
        "drift correction make it (auto: found out).",
    ),
    click.option(
        "--hot-pixels",
        type=click.Choice(["auto", "keep"]),
        default="auto",
        show_default=True,
        help="denoise: replace single pixels that are far too bright where noise is of "
        "photons (auto), or leave them.",
    ),
    click.option(
        "--context",
        type=click.Choice(["1", "3"]),
        callback=lambda _context, _parameter, value: int(value),
        default="1",
        show_default=True,
        help="denoise: each plane of a stack by itself, or averaged with the ones "
        "before and after it where these show the same and noise is of photons.",
    ),
    click.option(
        "--axes",
        type=parse_axes,
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
    click.option(
        "--consistency/--no-consistency",
        default=True,
        show_default=True,
        help="Hold a restored JPEG to the intervals that its file states.",
    ),
    max_pixels,
)


def restoration_options(function: AnyFunction) -> AnyFunction:
    """Add the options that say how to restore an image."""
    return _with_options(function, _task_option(required=True))


def optional_restoration_options(function: AnyFunction) -> AnyFunction:
    """Add the same to a command that also does without a task."""
    return _with_options(function, _task_option(required=False))


def _with_options(function: AnyFunction, task: Any) -> AnyFunction:
    options = reversed((task, *_OPTIONS))
    return reduce(lambda wrapped, option: option(wrapped), options, function)


def settings_of(*, task: str, **options: Any) -> RestoreOptions:
    """Return the settings that the options of `restoration_options` stand for.

    Raises
    ------
    click.UsageError
        If the level of another task is given, or none where it cannot be found out.
    LevelError
        If there is no such level.
    """
    from memnet_core.inference.settings import RestoreOptions

    wanted = TASKS[task]
    given = {other.option: options.pop(other.option) for other in TASKS.values()}
    for name, value in given.items():
        if name != wanted.option and value is not None:
            raise click.UsageError(
                f"--{name} does not go with --task {task}; give --{wanted.option}."
            )
    level = given[wanted.option]
    if level is None and not wanted.estimable:
        raise click.UsageError(f"--task {task} needs --{wanted.option}.")
    found = None if level == "auto" else level
    if found is not None:
        wanted.check(found)
    return RestoreOptions(task=task, level=found, **options)
