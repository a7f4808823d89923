"""What a run tells while it goes on, and what became of each file."""

from __future__ import annotations

import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memnet_core.errors import MemnetError, NotCovered, NothingToDo

if TYPE_CHECKING:
    from memnet_core.batch.jobs import Job
    from memnet_core.errors import SettingRef
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
    "failure",
    "skipped",
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
