"""What would be done with a file, in a few words: for ``info FOLDER`` and dry runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.cli._options import as_option
from memnet_core.errors import MemnetError, NothingToDo

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.io import ImageFile

__all__ = ["levels_in", "looked_at", "outlook"]


def looked_at(
    path: Path,
    say: Callable[[ImageFile], str],
    *,
    axes: str = "",
    scene: int | None = None,
) -> str:
    """Return what is said of a file, or why it cannot be read.

    Parameters
    ----------
    path : Path
        The file or folder of an image; of several images the first is looked at.
    say : callable
        Says it of the open image.
    axes, scene
        As for `memnet_core.io.open_image`.
    """
    from memnet_core.io import open_image

    try:
        with open_image(path, axes, scene=scene) as source:
            return say(source)
    except MemnetError as error:
        return _failed(error)


def _failed(error: MemnetError) -> str:
    return f"FAILED: {error.spelled(as_option)}"


def outlook(source: ImageFile, settings: RestoreOptions) -> str:
    """Return what would be done with an open image, as a run decides it."""
    from memnet_core.inference.plan import plan_restore
    from memnet_core.tasks import find_task

    try:
        plan = plan_restore(source, settings)
    except NothingToDo as error:
        return f"skipped: {error.spelled(as_option)}"
    except MemnetError as error:
        return _failed(error)
    label = find_task(settings.task).label
    levels = dict.fromkeys(label(channel.level) for channel in plan.channels)
    return f"{settings.task} {' and '.join(levels)} by {plan.entry().card.name}"


def levels_in(source: ImageFile) -> dict[str, str]:
    """Return the levels that can be found in an image, by what they are called."""
    from memnet_core.inference.analysis import analyze
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.tasks import TASKS

    found = {}
    for task in TASKS.values():
        if not task.estimable:
            continue
        try:
            channels = analyze(source, RestoreOptions(task=task.name)).channels
        except MemnetError:
            found[task.quantity] = "-"
        else:
            levels = dict.fromkeys(task.label(c.level) for c in channels)
            found[task.quantity] = " ".join(levels)
    return found
