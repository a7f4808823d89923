"""A run as JSON, for scripts that want to know what became of each file."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from memnet_core._version import __version__
from memnet_core.atomic import replaced_when_complete
from memnet_core.errors import ImageError

if TYPE_CHECKING:
    from pathlib import Path

    from memnet_core.batch.events import Outcome
    from memnet_core.batch.run import BatchRun

__all__ = ["counts_of", "report_of", "write_report"]

_WORDS = {
    "done": "restored",
    "partial": "restored in part",
    "skipped": "skipped (they exist)",
    "failed": "failed",
}


def report_of(run: BatchRun) -> dict[str, Any]:
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


def counts_of(run: BatchRun) -> str:
    """Return how many files of a run were restored, skipped ... in words."""
    statuses = [outcome.status for outcome in run.outcomes]
    counts = [
        f"{statuses.count(status)} {word}"
        for status, word in _WORDS.items()
        if status in statuses
    ]
    if waiting := len(run.jobs) - len(statuses):
        counts.append(f"{waiting} not done")
    return ", ".join(counts)


def write_report(path: Path, run: BatchRun) -> None:
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
    del described["job"]
    return {
        "source": str(outcome.job.source),
        "output": str(outcome.job.output),
        **described,
        "seconds": round(outcome.seconds, 3),
    }
