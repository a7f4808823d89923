"""``memnet batch``: restore files and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memnet_core._util.sanitize import escape_control_chars
from memnet_core.cli._options import (
    GroupedCommand,
    as_option,
    residual,
    restoration_options,
    settings_of,
)
from memnet_core.cli._outlook import outlook
from memnet_core.cli._progress import EXIT_FAILED, EXIT_INTERRUPTED, follow

if TYPE_CHECKING:
    from memnet_core.batch import Run
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["batch", "check_residual", "write_residuals"]


def check_residual(settings: RestoreOptions, *, asked: bool) -> None:
    """Refuse a residual of what gets more pixels.

    Raises
    ------
    UsageError
        If it is asked for.
    """
    from memnet_core.errors import UsageError
    from memnet_core.tasks import TASKS

    task = TASKS.get(settings.task)
    if asked and task and settings.level and task.scale(settings.level) > 1:
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
            message = escape_control_chars(error.spelled(as_option))
            click.echo(f"FAILED {message}", err=True)
            code = EXIT_FAILED
        else:
            click.echo(f"removed: {escape_control_chars(path)}", err=True)
    return code


if TYPE_CHECKING:
    from collections.abc import Sequence

    from memnet_core.batch import Job, Run

    _Names = click.ParamType[str]
else:
    _Names = click.ParamType


def _share(text: str) -> tuple[int, int]:
    """Return which part of how many from ``0/4``."""
    try:
        index, count = map(int, text.split("/"))
    except ValueError:
        index, count = 0, 0
    if not 0 <= index < count:
        raise click.BadParameter(f"{text!r} is no part; of 4 they are 0/4 to 3/4.")
    return index, count


_SUFFIXES = {"jpg": "jpeg", "tif": "tiff"}
"""Formats by the names that people type."""


class _FormatName(_Names):
    """The name of a format; the list, which imports readers, waits until it is needed.

    That is when a name is given, or the help of this command is asked for.
    """

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str | None:
        return self._choice().get_metavar(param, ctx)

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        # The default needs no list, and a command with a usage error no readers.
        if value == "auto":
            return value
        return self._choice().convert(_SUFFIXES.get(value, value), param, ctx)

    def _choice(self) -> click.Choice[str]:
        from memnet_core.io import FORMATS

        return click.Choice(
            ["auto", "same", *(f.name for f in FORMATS if f.is_written)]
        )


@click.command(cls=GroupedCommand, short_help="Restore files and folders.")
@click.argument("inputs", nargs=-1, metavar="INPUTS...")
@click.argument("output", type=click.Path(path_type=Path))
@restoration_options
@click.option("-r", "--recursive", is_flag=True, help="Descend into subfolders.")
@click.option(
    "--format",
    "file_format",
    type=_FormatName(),
    default="auto",
    show_default=True,
    help="Format of the results; auto is that of the input, but PNG for JPEG.",
)
@residual
@click.option("--overwrite", is_flag=True, help="Redo results that exist.")
@click.option(
    "--update",
    is_flag=True,
    help="Redo results that are out of date: made of an older input, or with another "
    "task, model or settings.",
)
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Print failures and the summary only."
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Share the work between so many processes on this machine.",
)
@click.option(
    "--scheduler",
    metavar="tcp://HOST:PORT",
    help="Share the work between the workers of this Dask scheduler.",
)
@click.option(
    "--shard",
    "share",
    type=_share,
    metavar="I/N",
    help="Do the Ith of N parts, from 0/N: for job arrays.",
)
@click.option(
    "--report",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write what became of each file to this JSON file.",
)
def batch(
    *,
    inputs: Sequence[str],
    output: Path,
    recursive: bool,
    file_format: str,
    residual: bool,
    overwrite: bool,
    update: bool,
    dry_run: bool,
    quiet: bool,
    workers: int | None,
    scheduler: str | None,
    share: tuple[int, int] | None,
    report: Path | None,
    axes: str,
    **options: Any,
) -> None:
    """Restore INPUTS (files, folders, "globs", .txt lists) into the folder OUTPUT.

    With --task auto each file gets what it needs: blocks of a JPEG are removed, then
    noise; one that needs nothing is skipped. `memnet in/ out/` is short for that.

    Results that exist are skipped, so the same command goes on where it was
    interrupted; those that are out of date are named, and redone with --update. Every
    image of a file, a plate or a collection is restored, and a set of OME-TIFFs once.

    \b
    memnet batch --task deblock --q 10 in/ out/
    memnet batch --task denoise --sigma 30 in/ out/
    memnet batch --task sr --scale 3 in/ out/
    memnet batch --task denoise --sigma auto --format ome-zarr in/ out/ --workers 4
    """  # noqa: D301
    from memnet_core.batch import (
        BatchRun,
        Share,
        find_inputs,
        plan_jobs,
        write_report,
    )
    from memnet_core.errors import UsageError

    if not inputs:  # click gives the only argument to OUTPUT
        raise click.UsageError("Missing argument 'OUTPUT'.")
    settings = settings_of(**options)
    check_residual(settings, asked=residual)
    if overwrite and update:
        raise click.UsageError("--overwrite redoes everything; leave --update out.")
    _check_sharing(workers, scheduler, share, overwrite=overwrite)
    _check_writable(output, report)
    found = find_inputs(inputs, output, recursive=recursive)
    if found.passed_over:
        click.echo(escape_control_chars(found.passed_over), err=True)
    for problem in found.unreadable:
        click.echo(f"FAILED {escape_control_chars(problem)}", err=True)
    if not found.sources:
        deeper = not recursive and any(map(os.path.isdir, inputs))
        hint = "; --recursive also looks into subfolders" if deeper else ""
        raise UsageError(f"No images found in {', '.join(inputs)}{hint}.")
    jobs = plan_jobs(
        found.sources,
        output,
        file_format,
        overwrite=overwrite,
        update=update,
        settings=settings,
        axes=axes,
    )
    part = Share(*share) if share else Share()
    jobs = part.of_jobs(jobs)
    if dry_run:
        from memnet_core.inference.plan import check_model

        check_model(settings)
        for job in jobs:
            click.echo(_planned(job, settings))
        return
    run: Run = BatchRun(jobs, settings, part)
    if workers or scheduler:
        from memnet_core.batch.dask_executor import ClusterRun

        run = ClusterRun(
            jobs, settings, workers=workers or 0, scheduler=scheduler or ""
        )
    code = follow(run, resumes=not overwrite, quiet=quiet)
    if residual:
        code = write_residuals(run, code)
    if report:
        write_report(report, run)
    raise SystemExit(code or (EXIT_FAILED if found.unreadable else 0))


def _check_writable(output: Path, report: Path | None) -> None:
    """Refuse an output that is no folder, and a report that cannot be written.

    Raises
    ------
    UsageError
        If there is one.
    """
    from memnet_core.errors import UsageError

    if os.path.lexists(output) and not os.path.isdir(output):
        raise UsageError(f"{output} is a file; the output has to be a folder.")
    if report and report.suffix.lower() != ".json":
        raise UsageError(f"{report} is no name for a report; give it the suffix .json.")
    if report and not os.access(report.parent, os.W_OK):
        raise UsageError(f"{report} cannot be written; name an existing folder.")


def _check_sharing(
    workers: int | None,
    scheduler: str | None,
    share: tuple[int, int] | None,
    *,
    overwrite: bool,
) -> None:
    """Refuse ways to share the work that do not go together.

    Raises
    ------
    click.UsageError
        If there is more than one, or parts would undo each other's work.
    """
    if sum(map(bool, (workers, scheduler, share))) > 1:
        raise click.UsageError("Give one of --workers, --scheduler and --shard.")
    if scheduler and "://" not in scheduler:
        raise click.UsageError(
            f"--scheduler {scheduler} is no address; give one like tcp://host:8786."
        )
    if share and overwrite:
        raise click.UsageError(
            "--shard does not go with --overwrite: parts would redo each other's "
            "results; delete these instead."
        )


def _planned(job: Job, settings: RestoreOptions) -> str:
    arrow = f"{escape_control_chars(job.source)} -> {escape_control_chars(job.output)}"
    for remark in job.remarks:
        arrow += f"  {escape_control_chars(remark)}"
    if job.skip:
        but = (
            f", but is out of date: {escape_control_chars(job.stale)}"
            if job.stale
            else ""
        )
        return f"{arrow}  (exists{but}, skipped)"
    if job.header is None:
        return f"{arrow}  (cannot be read)"
    several = f"{job.header.scenes} images, first " if job.header.scenes > 1 else ""
    would = outlook(job.source, settings, axes=job.axes, scene=job.scene)
    return f"{arrow}  {several}{escape_control_chars(would)}"
