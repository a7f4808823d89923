"""``memnet restore``: restore one image."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from memnet_core.cli._options import (
    GroupedCommand,
    residual,
    restoration_options,
    settings_of,
)
from memnet_core.cli._progress import follow
from memnet_core.cli.batch import check_residual, write_residuals

__all__ = ["restore"]


@click.command(cls=GroupedCommand, short_help="Restore one image.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@restoration_options
@residual
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
def restore(
    *,
    source: Path,
    output: Path,
    residual: bool,
    overwrite: bool,
    axes: str,
    **options: Any,
) -> None:
    """Restore the image IN to OUT, in the format of OUT's suffix."""
    from memnet_core._util.atomic_write import remove_abandoned
    from memnet_core.batch import BatchRun, Job, expand_scenes
    from memnet_core.errors import ImageError, UsageError
    from memnet_core.io import format_of_suffix, probe

    settings = settings_of(**options)
    check_residual(settings, asked=residual)
    try:
        format_of_suffix(output)
    except ImageError as error:
        raise UsageError(str(error), settings=error.settings) from error
    job = Job(source, output, overwrite=overwrite, axes=axes)
    jobs = [
        replace(part, header=probe(part.source, scene=part.scene))
        for part in expand_scenes(job)
    ]
    if os.path.realpath(output) == os.path.realpath(source):
        raise UsageError(f"{output} is the input itself; choose another output.")
    remove_abandoned(output.parent)  # which may put OUT back to its place
    if os.path.exists(output) and not overwrite:
        raise UsageError(f"{output} exists; replace it with --overwrite.")
    run = BatchRun(jobs, settings)
    code = follow(run, resumes=False)
    raise SystemExit(write_residuals(run, code) if residual else code)
