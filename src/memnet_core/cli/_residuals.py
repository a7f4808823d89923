"""``--residual``: what was removed, written beside the results of a run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memnet_core._util.sanitize import shown
from memnet_core.cli._progress import EXIT_FAILED, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from memnet_core.batch import Run
    from memnet_core.inference.settings import Settings

__all__ = ["check_residual", "write_residuals"]


def check_residual(settings: Settings, *, asked: bool) -> None:
    """Refuse a residual of what gets more pixels.

    Raises
    ------
    UsageError
        If it is asked for.
    """
    from memnet_core.errors import UsageError
    from memnet_core.tasks import find_task

    task = find_task(settings.task)
    if asked and settings.level is not None and task.scale(settings.level) > 1:
        raise UsageError(
            f"--residual does not go with --task {task.name}, whose results have more "
            "pixels than their sources."
        )


def write_residuals(run: Run, code: int) -> int:
    """Write the residuals of all results that there are, and return the exit code.

    Parameters
    ----------
    run : Run
        It is over.
    code : int
        Its own exit code.
    """
    from memnet_core.batch.residuals import write_residual
    from memnet_core.errors import MemnetError

    if code == EXIT_INTERRUPTED:
        return code
    for outcome in run.outcomes:
        job = outcome.job
        if outcome.status not in ("done", "skipped") or not job.output.exists():
            continue
        try:
            path = write_residual(job)
        except MemnetError as error:
            click.echo(f"FAILED {shown(error)}", err=True)
            code = EXIT_FAILED
        else:
            click.echo(f"removed: {shown(path)}", err=True)
    return code
