"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import os
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

import click

from memnet_core.errors import UsageError
from memnet_core.inference.settings import (
    NO_GRAIN,
    SETTINGS,
    RestoreOptions,
    options_from,
)
from memnet_core.tasks import AUTO, TASKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from memnet_core.errors import SettingRef
    from memnet_core.inference.settings import Setting
    from memnet_core.tasks import Task

__all__ = [
    "GroupedCommand",
    "as_option",
    "max_pixels",
    "option_of",
    "optional_restoration_options",
    "parser_of",
    "residual",
    "restoration_options",
    "settings_of",
]

AnyFunction = TypeVar("AnyFunction", bound="Callable[..., Any]")


_GROUPS = {
    "Task and level": ("task", "q", "sigma", "scale", "clean", "strength"),
    "Files and results": (
        *("recursive", "file_format", "overwrite", "update", "dry_run", "quiet"),
        *("report", "residual"),
    ),
    "Model and colors": ("model", "nearest", "channels", "consistency"),
    "Microscopy": ("value_range", "noise", "hot_pixels", "cyclic", "context", "axes"),
    "Speed and limits": ("device", "precision", "exit_block", "tta", "max_pixels"),
    "Many machines": ("workers", "scheduler", "share"),
}
"""Parameters by the heading that they stand under in the help, in this order."""

_DAILY = ("Task and level", "Files and results")
_OTHERS = "Others"


class GroupedCommand(click.Command):
    """A command whose help groups its options, and shows the daily ones first."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self.params.append(
            click.Option(
                ["--help-all"],
                is_flag=True,
                is_eager=True,
                expose_value=False,
                callback=_show_all,
                help="Show every option and exit.",
            )
        )

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the options group by group, all of them after ``--help-all``."""
        records: dict[str, list[tuple[str, str]]] = {name: [] for name in _GROUPS}
        headings = {name: group for group, names in _GROUPS.items() for name in names}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record and isinstance(parameter, click.Option):
                heading = headings.get(parameter.name or "", _OTHERS)
                records.setdefault(heading, []).append(record)
        for heading, rows in records.items():
            is_shown = heading in (*_DAILY, _OTHERS) or ctx.meta.get(_SHOW_ALL)
            if rows and is_shown:
                with formatter.section(heading):
                    formatter.write_dl(rows)


_SHOW_ALL = "memnet.show_all"


def _show_all(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        ctx.meta[_SHOW_ALL] = True
        click.echo(ctx.get_help(), color=ctx.color)
        ctx.exit()


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


def parser_of(name: str) -> Callable[[str], Any]:
    """Return what reads the text of a setting that also takes two numbers."""
    setting = SETTINGS[name]

    def parse(text: str) -> Any:
        try:
            return setting.convert(text)
        except ValueError:
            *most, last = map(repr, setting.choices)
            pair = "" if setting.pair is None else setting.pair.words
            raise click.BadParameter(
                f"{text!r} is neither {', '.join(most)} nor {last}, nor {pair}."
            ) from None

    return parse


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
        type=click.Choice([AUTO, *TASKS]),
        required=required,
        help=", ".join(
            [
                f"{AUTO}: What each file needs",
                *(f"{task.name}: {task.title}" for task in TASKS.values()),
            ]
        )
        + ".",
    )


def option_of(name: str) -> Callable[[AnyFunction], AnyFunction]:
    """Return the option of the command that gives a setting of the table."""
    row, default = SETTINGS[name], RestoreOptions(task="denoise")
    option = f"--{(row.option or name).replace('_', '-')}"
    value = getattr(default, name)
    given: dict[str, Any] = {"help": row.help}
    if row.kind is bool and (value or row.optional):
        option += f"/--no-{option.removeprefix('--')}"
        given |= {"default": value, "show_default": not row.optional}
    elif row.kind is bool:
        given["is_flag"] = True
    else:
        given["type"] = _type_of(name)
        if metavar := _metavar_of(row):
            given["metavar"] = metavar
        if value is not None:
            text = str(value) if row.choices else value
            given |= {"default": text, "show_default": True}
    if row.choices and not isinstance(row.choices[0], str):
        given["callback"] = lambda _context, _parameter, text: row.convert(text)
    return click.option(option, name, **given)


def _type_of(name: str) -> Any:
    row = SETTINGS[name]
    if row.pair:
        return parser_of(name)
    if row.choices:
        return click.Choice([str(choice) for choice in row.choices])
    if row.kind is int:
        return click.IntRange(int(row.low))
    return row.kind


def _metavar_of(row: Setting) -> str:
    if row.pair:
        return "|".join([*map(str, row.choices), row.pair.metavar])
    return row.metavar


def _no_grain(_context: click.Context, _option: object, value: str | None) -> None:
    if value is not None:
        raise click.UsageError(NO_GRAIN)


no_grain = click.option(
    "--noise-grain", hidden=True, expose_value=False, callback=_no_grain
)

_AXES = click.option(
    "--axes",
    type=parse_axes,
    default="",
    metavar="LETTERS",
    help="Axes of stacks, out of TZCYXS, if their files tell them wrongly.",
)

_OPTIONS = (
    *(_level_option(task) for task in TASKS.values()),
    *(option_of(name) for name in SETTINGS),
    no_grain,
    _AXES,
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
    wanted = TASKS.get(task)
    for other in TASKS.values():
        if options[other.option] is None:
            del options[other.option]
    needs = wanted and wanted.option not in options and not wanted.estimable
    try:
        settings = options_from(task, keywords=options)
    except UsageError as error:
        raise click.UsageError(error.spelled(as_option)) from error
    if wanted and needs:
        raise click.UsageError(f"--task {task} needs --{wanted.option}.")
    if wanted and settings.level is not None:
        wanted.check(settings.level)
    return settings


def as_option(setting: SettingRef) -> str:
    """Return a setting as the command spells it: ``--range percentile``."""
    option = f"--{setting.name.replace('_', '-')}"
    if setting.name == "max_pixels":
        return f"{option} or {setting}"
    return option if setting.value in (None, True) else f"{option} {setting.text}"
