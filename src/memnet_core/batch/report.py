"""A run as JSON, for scripts that want to know what became of each file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Protocol

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._version import __version__
from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from memnet_core.batch.events import Event, Outcome
    from memnet_core.batch.jobs import Job
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["Run", "counts_of", "out_of_date", "report_of", "write_report"]

_WORDS = {
    "done": "restored",
    "partial": "restored in part",
    "skipped": "skipped",
    "failed": "failed",
}


class Run(Protocol):
    """A run over jobs, wherever the work is done."""

    @property
    def jobs(self) -> Sequence[Job]:
        """What to do."""

    @property
    def settings(self) -> RestoreOptions:
        """How."""

    @property
    def outcomes(self) -> Sequence[Outcome]:
        """What became of the files so far."""

    def events(self) -> Generator[Event, None, None]:
        """Restore the files; closing the generator ends the run."""

    def models(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""


def report_of(run: Run) -> dict[str, Any]:
    """Return settings, models and outcomes as plain values."""
    finished = {outcome.job: outcome for outcome in run.outcomes}
    files = [
        _described(finished[job])
        if job in finished
        else {"source": str(job.source), "output": str(job.output), "status": "pending"}
        for job in run.jobs
    ]
    statuses = [file["status"] for file in files]
    return {
        "memnet": __version__,
        "settings": asdict(run.settings),
        "models": run.models(),
        "counts": {status: statuses.count(status) for status in sorted(set(statuses))},
        "files": files,
    }


def counts_of(run: Run) -> str:
    """Return how many files of a run were restored, skipped ... in words."""
    statuses = [outcome.status for outcome in run.outcomes]
    counts = [
        f"{statuses.count(status)} {word}"
        for status, word in _WORDS.items()
        if status in statuses
    ]
    if stale := out_of_date(run):
        counts.append(f"{stale} of these out of date")
    if waiting := len(run.jobs) - len(statuses):
        counts.append(f"{waiting} not done")
    return ", ".join(counts)


def out_of_date(run: Run) -> int:
    """Return how many results of a run stay though they would be others now."""
    return sum(o.status == "skipped" and bool(o.job.stale) for o in run.outcomes)


def write_report(path: Path, run: Run) -> None:
    """Write the report of a run, whole or not at all.

    Raises
    ------
    ImageError
        If the file cannot be written.
    """
    try:
        with replaced_when_complete(path) as temporary:
            temporary.write_text(json.dumps(report_of(run), indent=2) + "\n")
    except OSError as error:
        raise ImageError(f"{path} cannot be written: {error.strerror}.") from error


def _described(outcome: Outcome) -> dict[str, Any]:
    described = asdict(outcome)
    del described["job"], described["details"], described["declined"]
    del described["settings"]
    return {
        "source": str(outcome.job.source),
        "output": str(outcome.job.output),
        "stale": outcome.job.stale,
        **described,
        "seconds": round(outcome.seconds, 3),
    }
