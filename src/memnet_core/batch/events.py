"""What a run tells while it goes on, and what became of each file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from memnet_core.batch.plan import Job
    from memnet_core.engine import Restorer
    from memnet_core.errors import MemnetError
    from memnet_core.model.zoo import Entry

__all__ = [
    "ClusterReady",
    "Event",
    "FileFinished",
    "FileStarted",
    "ModelReady",
    "Outcome",
    "TileFinished",
    "failure",
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of a file; `message` says why it failed.

    A file that is ``partial`` waits for other processes to do their share.
    """

    job: Job
    status: Literal["done", "partial", "skipped", "failed"]
    message: str = ""
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
    restorer: Restorer


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
class TileFinished:
    """A fraction in (0, 1] of a file is computed."""

    job: Job
    fraction: float


@dataclass(frozen=True)
class FileFinished:
    """A file is written, skipped, or given up."""

    outcome: Outcome


Event = ModelReady | ClusterReady | FileStarted | TileFinished | FileFinished


def failure(job: Job, error: MemnetError | MemoryError) -> Outcome:
    """Say which file failed, where the error does not."""
    memory = isinstance(error, MemoryError)
    reason = "it does not fit into memory." if memory else str(error)
    named = str(job.source) in reason or str(job.output) in reason
    message = reason if named else f"{job.source} cannot be restored: {reason}"
    return Outcome(job=job, status="failed", message=message)
