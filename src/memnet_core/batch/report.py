"""What a run tells while it goes on, and at the end: events, outcomes, a report."""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from memnet_core._util.atomic_write import replaced_when_complete
from memnet_core._version import __version__
from memnet_core.errors import ImageError, MemnetError, NotCovered, NothingToDo

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

    from memnet_core.batch.jobs import Job
    from memnet_core.errors import SettingRef
    from memnet_core.inference.settings import RestoreOptions
    from memnet_core.model.registry import Entry

__all__ = [
    "ClusterReady",
    "Event",
    "FileFinished",
    "FileNotice",
    "FileProgress",
    "FileStarted",
    "ModelReady",
    "Outcome",
    "Run",
    "counts_of",
    "failure",
    "out_of_date",
    "report_of",
    "skipped",
    "write_report",
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a file.

    Attributes
    ----------
    job : Job
        The file.
    status : str
        A file that is ``partial`` waits for other processes to do their share.
    message : str
        Why it failed, or was skipped; in Python's spelling of settings.
    settings : tuple of SettingRef
        The settings that the message names.
    details : str
        Where it failed in the program, for those who look for the cause.
    declined : bool
        Whether the model that comes closest would have restored it, had that been
        accepted.
    level, remark, model, shape, dtype, seconds, dropped
        How it was restored, how long that took, and what could not be kept.
    """

    job: Job
    status: Literal["done", "partial", "skipped", "failed"]
    message: str = ""
    settings: tuple[SettingRef, ...] = ()
    details: str = ""
    declined: bool = False
    level: float | None = None
    remark: str = ""
    model: str = ""
    shape: tuple[int, ...] = ()
    dtype: str = ""
    seconds: float = 0.0
    dropped: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelReady:
    """A model is loaded and the device chosen, before the first file that needs it."""

    entry: Entry
    device: str


@dataclass(frozen=True)
class ClusterReady:
    """Other processes are ready for the work; `address` is that of their scheduler."""

    address: str
    workers: int


@dataclass(frozen=True)
class FileStarted:
    """The network begins with a file."""

    job: Job


@dataclass(frozen=True)
class FileProgress:
    """A fraction in (0, 1] of a file is computed."""

    job: Job
    fraction: float


@dataclass(frozen=True)
class FileNotice:
    """Something to know of a file, which goes on."""

    job: Job
    text: str


@dataclass(frozen=True)
class FileFinished:
    """A file is written, skipped, or given up."""

    outcome: Outcome


Event = (
    ModelReady | ClusterReady | FileStarted | FileProgress | FileNotice | FileFinished
)


def skipped(job: Job) -> Outcome:
    """Return what becomes of a file whose result exists and stays."""
    but = f"{job.output} exists, but is out of date: {job.stale}" if job.stale else ""
    return Outcome(job=job, status="skipped", message=but)


def failure(job: Job, error: Exception) -> Outcome:
    """Return what becomes of a file over an error of any kind.

    What is no `MemnetError` is a fault of this program or of a library; the run goes on
    with the next file all the same.
    """
    details = "".join(traceback.format_exception(error))
    if isinstance(error, NothingToDo):
        return Outcome(
            job=job,
            status="skipped",
            message=str(error),
            settings=error.settings,
            declined=True,
        )
    if isinstance(error, MemoryError):
        reason = "it does not fit into memory."
    elif isinstance(error, MemnetError):
        reason = str(error)
    else:
        reason = f"unexpected {type(error).__name__} ({error}); please report this."
    path = getattr(error, "path", None)
    named = path is not None or str(job.source) in reason or str(job.output) in reason
    message = reason if named else f"{job.source} cannot be restored: {reason}"
    return Outcome(
        job=job,
        status="failed",
        message=message,
        settings=getattr(error, "settings", ()),
        details=details,
        declined=isinstance(error, NotCovered),
    )


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
