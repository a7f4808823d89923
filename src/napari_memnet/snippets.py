"""What a form says, as a command and as Python, to be run elsewhere; no Qt here."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from memnet_core.inference.settings import SETTINGS
from memnet_core.tasks import TASKS, find_task

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memnet_core.errors import SettingRef
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["as_command", "as_field", "as_python"]

_FIELDS = {
    **{row.option or name: row.label for name, row in SETTINGS.items()},
    **{task.option: task.field.label for task in TASKS.values()},
    "recursive": "subfolders, too",
}
"""Labels of fields, by the name that messages call the setting."""


def as_command(
    settings: RestoreOptions,
    source: str,
    output: str,
    *,
    verb: str = "restore",
    flags: Sequence[str] = (),
) -> str:
    """Return a line for the shell that restores files as a form says.

    Parameters
    ----------
    settings : RestoreOptions
        What the form says.
    source, output : str
        What is read and written.
    verb : str
        ``restore`` for a file, ``batch`` for a folder.
    flags : sequence of str
        Options that are no settings.
    """
    task = find_task(settings.task)
    words = ["memnet", verb, source, output, "--task", task.name]
    if settings.level is not None:
        words += [f"--{task.option}", f"{settings.level:g}"]
    for name, value in _chosen(settings).items():
        option = (SETTINGS[name].option or name).replace("_", "-")
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        elif isinstance(value, tuple):
            # Joined, as a range may begin with a minus.
            words.append(f"--{option}=" + ",".join(f"{end!r}" for end in value))
        else:
            words += [f"--{option}", str(value)]
    return shlex.join([*words, *flags])


def as_python(settings: RestoreOptions, source: str, output: str) -> str:
    """Return Python that restores a file as a form says.

    Parameters
    ----------
    settings : RestoreOptions
        What the form says.
    source, output : str
        What is read and written.
    """
    told: dict[str, Any] = {"task": settings.task}
    if settings.level is not None:
        told["level"] = settings.level
    told |= _chosen(settings)
    arguments = [repr(source), *(f"{name}={value!r}" for name, value in told.items())]
    return (
        "from pathlib import Path\n\n"
        "import memnet_core\n\n"
        f"result = memnet_core.restore({', '.join(arguments)})\n"
        f"memnet_core.save_image(Path({output!r}), result)\n"
    )


def as_field(setting: SettingRef) -> str:
    """Return a setting that a message names as the field of a window."""
    value = "" if setting.value in (None, True) else f" {setting.text}"
    if setting.name == "format":
        return f"the format{value}"
    label = _FIELDS.get(setting.name)
    return f"“{label}”{value}" if label else str(setting)


def _chosen(settings: RestoreOptions) -> dict[str, Any]:
    """Return the settings, but for task and level, that are not the default."""
    return {
        field.name: getattr(settings, field.name)
        for field in fields(settings)
        if field.name not in ("task", "level")
        and getattr(settings, field.name) != field.default
    }
