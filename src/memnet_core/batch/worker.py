"""What the processes of a cluster do: idempotent tasks, with one model in each."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from memnet_core.batch.block_restorer import BlockRestorer
from memnet_core.batch.blocks import BlockWork, begin
from memnet_core.batch.events import Outcome, failure
from memnet_core.batch.models import LoadedModels
from memnet_core.batch.run import BatchRun
from memnet_core.batch.volumes import block_outcome
from memnet_core.engine import result_of
from memnet_core.errors import MemnetError

if TYPE_CHECKING:
    from memnet_core.batch.plan import Job
    from memnet_core.batch.settings import BatchSettings

__all__ = ["Answer", "Task", "run_task"]


@dataclass(frozen=True, kw_only=True)
class Task:
    """Something to do on any machine that sees the files; doing it twice is harmless.

    Attributes
    ----------
    job : Job
        With absolute paths.
    action : str
        ``file``: all of the job. For OME-Zarr ``begin``: plan it; ``block``: make a
        shard; ``finish``: put the image at its place.
    folder : str
        Where an OME-Zarr result is made.
    level, index : int
        Which shard of it.
    """

    job: Job
    action: Literal["file", "begin", "block", "finish"] = "file"
    folder: str = ""
    level: int = 0
    index: int = 0


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a task brought about.

    Attributes
    ----------
    outcome : Outcome, optional
        What became of the job, once that is decided.
    checksums : dict of str to str
        SHA-256 of the weights of the models used, by name.
    folder : str
        Where an OME-Zarr result is made that was begun.
    blocks : tuple of tuple of int
        Which shards it lacks, for each level.
    """

    outcome: Outcome | None = None
    checksums: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    blocks: tuple[tuple[int, ...], ...] = ()


@dataclass
class _Worker:
    """What a process keeps from task to task."""

    settings: BatchSettings
    models: LoadedModels
    blocks: dict[str, BlockRestorer] = field(default_factory=dict)

    def restorer(self, folder: str) -> BlockRestorer:
        """Return what makes the shards of a result; that of another one is closed."""
        known = self.blocks.get(folder)
        if known is None or known.work.is_complete():
            self.close()
            work = BlockWork(Path(folder))
            self.blocks[folder] = BlockRestorer(work, self.settings, self.models)
        return self.blocks[folder]

    def close(self) -> None:
        while self.blocks:
            _, restorer = self.blocks.popitem()
            restorer.close()


_workers: dict[BatchSettings, _Worker] = {}


def run_task(task: Task, settings: BatchSettings) -> Answer:
    """Do a task in this process; what goes wrong with the job is in the answer."""
    try:
        return _answered(task, _worker_for(settings))
    except (MemnetError, MemoryError) as error:
        return Answer(outcome=failure(task.job, error))


def _answered(task: Task, worker: _Worker) -> Answer:
    if task.action == "file":
        run = BatchRun([task.job], worker.settings, engines=worker.models)
        for _ in run.events():
            pass
        return Answer(outcome=run.outcomes[0], checksums=run.models())
    if task.action == "begin":
        return _begun(task.job, worker)
    try:
        if task.action == "block":
            restorer = worker.restorer(task.folder)
            result_of(restorer.make(task.level, task.index, wait=True))
            return Answer()
        return _finished(task, worker)
    except FileNotFoundError:
        remark = "completed by another run"
        outcome = Outcome(job=task.job, status="done", remark=remark)
        return Answer(outcome=outcome if task.action == "finish" else None)


def _worker_for(settings: BatchSettings) -> _Worker:
    """Return what this process keeps for the settings, and nothing for others."""
    if settings not in _workers:
        for worker in _workers.values():
            worker.close()
        _workers.clear()
        _workers[settings] = _Worker(settings, LoadedModels(settings))
    return _workers[settings]


def _begun(job: Job, worker: _Worker) -> Answer:
    if job.output.exists() and not job.overwrite:
        return Answer(outcome=Outcome(job=job, status="skipped"))
    work = result_of(begin(job, worker.settings, worker.models))
    blocks = tuple(tuple(work.remaining(level)) for level in work.levels)
    return Answer(folder=str(work.folder), blocks=blocks)


def _finished(task: Task, worker: _Worker) -> Answer:
    work = BlockWork(Path(task.folder))
    work.finish(task.job.output, overwrite=task.job.overwrite)
    outcome = block_outcome(task.job, work, time.monotonic())
    return Answer(outcome=outcome, checksums=worker.models.checksums())
