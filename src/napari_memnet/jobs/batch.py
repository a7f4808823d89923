"""Restoring folders: the command's engine as one generator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from memnet_core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from memnet_core.batch import BatchRun, Job
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["JobProgress", "Planned", "restore_folder"]


@dataclass(frozen=True)
class Planned:
    """What will be done, before the first file."""

    run: BatchRun


def restore_folder(
    folder: Path,
    output: Path,
    settings: RestoreOptions,
    *,
    recursive: bool,
    file_format: str,
    overwrite: bool,
    update: bool = False,
) -> Generator[Any, None, BatchRun]:
    """Restore the images of a folder, as ``memnet batch`` does.

    Parameters
    ----------
    folder, output : Path
        Where to read and where to write; results that exist are skipped.
    settings : RestoreOptions
        How.
    recursive : bool
        Whether to descend into subfolders.
    file_format : str
        As in `memnet_core.io.suffix_of_format`.
    overwrite, update : bool
        Whether to redo all results that exist, or those that are out of date.

    Yields
    ------
    Planned, Event
        The plan, and then the events of `memnet_core.batch.BatchRun`.

    Raises
    ------
    MemnetError
        If there is nothing to do, or nothing can be done.
    """
    from memnet_core.batch import BatchRun, find_inputs, plan_jobs

    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder; choose one with images.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"{output} is a file; the output has to be a folder.")
    found = find_inputs([str(folder)], output, recursive=recursive)
    if not found.sources:
        raise UsageError(f"No images found in {folder}; choose another folder.")
    jobs = plan_jobs(
        found.sources,
        output,
        file_format,
        overwrite=overwrite,
        update=update,
        settings=settings,
    )
    run = BatchRun(jobs, settings)
    yield Planned(run)
    yield from run.events()
    return run


class JobProgress:
    """How much of a plan is done, measured in pixels."""

    def __init__(self) -> None:
        self._left: dict[Job, float] = {}
        self._total = 0.0

    def __call__(self, event: Any) -> float | None:
        """Return the fraction that is done after an event."""
        from memnet_core.batch import FileFinished, FileProgress

        if isinstance(event, Planned):
            self._left = {job: job.megapixels for job in event.run.jobs if not job.skip}
            self._total = sum(self._left.values())
        elif isinstance(event, FileProgress):
            self._left[event.job] = (1 - event.fraction) * event.job.megapixels
        elif isinstance(event, FileFinished):
            self._left.pop(event.outcome.job, None)
        return 1 - sum(self._left.values()) / self._total if self._total else None
