"""``memnet batch``: restore files and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memnet_core.cli._display import EXIT_FAILED, follow, shown
from memnet_core.cli._options import restoration_options, settings_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memnet_core.batch import Job

__all__ = ["batch"]


@click.command()
@click.argument("inputs", nargs=-1, required=True)
@click.argument("output", type=click.Path(path_type=Path))
@restoration_options
@click.option("-r", "--recursive", is_flag=True, help="Descend into subfolders.")
@click.option(
    "--format",
    "file_format",
    type=click.Choice(
        ["auto", "same", "png", "tiff", "jpeg", "webp", "bmp", "ome-zarr"]
    ),
    default="auto",
    show_default=True,
    help="Format of the results; auto is that of the input, but PNG for JPEG.",
)
@click.option("--overwrite", is_flag=True, help="Redo results that exist.")
@click.option("--dry-run", is_flag=True, help="Only print what would be done.")
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
    overwrite: bool,
    dry_run: bool,
    report: Path | None,
    **options: Any,
) -> None:
    """Restore INPUTS (files, folders, "globs", .txt lists) into the folder OUTPUT.

    Results that exist are skipped, so the same command goes on where it was
    interrupted.

    \b
    memnet batch --task deblock --q 10 in/ out/
    memnet batch --task denoise --sigma 30 in/ out/
    memnet batch --task sr --scale 3 in/ out/
    """  # noqa: D301
    from memnet_core.batch import BatchRun, find_inputs, plan_jobs, write_report
    from memnet_core.errors import UsageError

    settings = settings_of(**options)
    if os.path.lexists(output) and not os.path.isdir(output):
        raise UsageError(f"{output} is a file; the output has to be a folder.")
    if report and report.suffix.lower() != ".json":
        raise UsageError(f"{report} is no name for a report; give it the suffix .json.")
    if report and not os.access(report.parent, os.W_OK):
        raise UsageError(f"{report} cannot be written; name an existing folder.")
    found = find_inputs(inputs, output, recursive=recursive)
    if found.passed_over:
        click.echo(found.passed_over, err=True)
    for problem in found.unreadable:
        click.echo(f"FAILED {shown(problem)}", err=True)
    if not found.sources:
        deeper = not recursive and any(map(os.path.isdir, inputs))
        hint = "; --recursive also looks into subfolders" if deeper else ""
        raise UsageError(f"No images found in {', '.join(inputs)}{hint}.")
    jobs = plan_jobs(found.sources, output, file_format, overwrite=overwrite)
    if dry_run:
        for job in jobs:
            click.echo(_planned(job))
        return
    run = BatchRun(jobs, settings)
    code = follow(run, resumes=not overwrite)
    if report:
        write_report(report, run)
    raise SystemExit(code or (EXIT_FAILED if found.unreadable else 0))


def _planned(job: Job) -> str:
    arrow = f"{shown(job.source)} -> {shown(job.output)}"
    if job.skip:
        return f"{arrow}  (exists, skipped)"
    if job.header is None:
        return f"{arrow}  (cannot be read)"
    shape = "×".join(map(str, job.header.shape))
    return f"{arrow}  ({shape} {job.header.dtype} {job.header.format})"
