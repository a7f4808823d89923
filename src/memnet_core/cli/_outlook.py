"""What would be done with a file, in a row: for ``info FOLDER`` and dry runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memnet_core.cli._options import as_option
from memnet_core.errors import MemnetError, NothingToDo

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.inference.steps import RestoreStep
    from memnet_core.io import ImageFile

__all__ = ["in_words", "outlook"]


def outlook(
    path: Path, settings: RestoreOptions, *, axes: str = "", scene: int | None = None
) -> str:
    """Return size, JPEG quality and noise of a file, seconds, and what would be done.

    A run decides by the same code. Why a file cannot be restored stands in the place
    of what would be done.

    Parameters
    ----------
    path : Path
        The file or folder of an image; of several images the first is looked at.
    settings : RestoreOptions
        What is asked for.
    axes, scene
        As for `memnet_core.io.open_image`.
    """
    from memnet_core.io import open_image

    try:
        with open_image(path, axes, scene=scene) as source:
            return _row(source, settings)
    except MemnetError as error:
        return f"FAILED: {error.spelled(as_option)}"


def in_words(step: RestoreStep) -> str:
    """Return what a step does, by which model, and why, or why it is left out."""
    if step.plan is None:
        return f"left out: {step.reason}"
    gain = f", about {step.gain:+.1f} dB" if step.gain else ""
    why = f": {step.reason}" if step.reason else ""
    return f"{step.plan.label} by {step.plan.entry().card.name}{gain}{why}"


def _row(source: ImageFile, settings: RestoreOptions) -> str:
    from memnet_core.inference.engine import bind_engine
    from memnet_core.inference.steps import joined, plan_steps
    from memnet_core.tasks import CLEANING, find_task

    size = f"{'×'.join(map(str, source.sizes))} {source.dtype}"
    levels, seconds = {}, "-"
    try:
        steps = plan_steps(source, settings)
        for step in steps:
            if step.level is not None:
                levels[step.task] = find_task(step.task).label(step.level)
        plan = joined(steps, settings)
    except NothingToDo as error:
        would = f"skipped: {error.spelled(as_option)}"
    except MemnetError as error:
        would = f"FAILED: {error.spelled(as_option)}"
    else:
        prepared = bind_engine(plan, settings.device)
        seconds = f"{prepared.seconds(source.shape):.1f} s"
        would = ", then ".join(
            f"{step.decision.label} by {step.entry.card.name}"
            for step in prepared.steps
        )
    found = [levels.get(task.name, "-") for task in CLEANING]
    row = [f"{size:<20}", *(f"{level:<6}" for level in found), f"{seconds:>7}", would]
    return "  ".join(row)
