"""The same run on other processes, through dask.distributed."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core.batch.events import (
    ClusterReady,
    Event,
    FileFinished,
    FileStarted,
    Outcome,
    TileFinished,
    failure,
)
from memnet_core.batch.run import BatchRun
from memnet_core.batch.worker import Answer, Task, run_task
from memnet_core.errors import ImageError, UsageError
from memnet_core.io import suffix_format

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from memnet_core.batch.plan import Job

__all__ = ["ClusterRun"]

_PATIENCE = 30.0
_TASKS_AHEAD = 4


@dataclass
class _Progress:
    """How far a job is."""

    job: Job
    started: float = field(default_factory=time.monotonic)
    folder: str = ""
    levels: deque[tuple[int, tuple[int, ...]]] = field(default_factory=deque)
    open: int = 0
    done: int = 0
    total: int = 1
    is_finished: bool = False

    def tasks(self, answer: Answer) -> list[Task]:
        """Return what has to be done next, once a task has been answered."""
        if answer.folder:
            self.folder = answer.folder
            self.levels.extend(enumerate(answer.blocks))
            self.total = sum(map(len, answer.blocks)) + 1
        else:
            self.open -= 1
            self.done += 1
        if self.open > 0:
            return []
        while self.levels:
            level, blocks = self.levels.popleft()
            if blocks:
                self.open = len(blocks)
                return [self._task("block", level, index) for index in blocks]
        self.open = 1
        return [self._task("finish")]

    def _task(self, action: Any, level: int = 0, index: int = 0) -> Task:
        return Task(
            job=absolute(self.job),
            action=action,
            folder=self.folder,
            level=level,
            index=index,
        )


@dataclass
class ClusterRun(BatchRun):
    """A run whose work is done by other processes; events and outcomes are the same.

    Attributes
    ----------
    workers : int
        How many processes to start on this machine.
    scheduler : str
        Address of a running scheduler to use instead, such as ``tcp://host:8786``.
    """

    workers: int = 1
    scheduler: str = ""
    _checksums: dict[str, str] = field(default_factory=dict)
    _progress: dict[Job, _Progress] = field(default_factory=dict)

    def models(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""
        return self._checksums

    def events(self) -> Generator[Event, None, None]:
        """Have the files restored; closing the generator takes back what has not begun.

        Raises
        ------
        UsageError
            If dask.distributed is not installed, or no scheduler or worker answers.
        """
        for job in self.jobs:
            if job.skip:
                yield self._finished(Outcome(job=job, status="skipped"))
        todo = [job for job in self.jobs if not job.skip]
        if not todo:
            return
        with self._client() as client:
            threads = client.nthreads()
            yield ClusterReady(client.scheduler.address, len(threads))
            yield from self._run(client, todo, _TASKS_AHEAD * sum(threads.values()))

    def _run(self, client: Any, todo: list[Job], most: int) -> Iterator[Event]:
        """Keep at most so many tasks on the way, in the order of the jobs."""
        from distributed import as_completed

        waiting = deque(_first_task(job) for job in todo)
        jobs = {absolute(job): job for job in todo}
        running: dict[Any, Task] = {}
        completed = as_completed()
        try:
            while waiting or running:
                batch: list[Task] = []
                while waiting and len(running) + len(batch) < most:
                    task = waiting.popleft()
                    job = jobs[task.job]
                    if job not in self._progress:
                        self._progress[job] = _Progress(job)
                        yield FileStarted(job)
                    if not self._progress[job].is_finished:
                        batch.append(task)
                futures = client.map(
                    run_task, batch, settings=self.settings, pure=False
                )
                running.update(zip(futures, batch, strict=True))
                completed.update(futures)
                if running:
                    future = next(completed)
                    task = running.pop(future)
                    job = jobs[task.job]
                    yield from self._answered(job, future, waiting)
        finally:
            client.cancel(list(running))

    def _answered(
        self, job: Job, future: Any, waiting: deque[Task]
    ) -> Iterator[TileFinished | FileFinished]:
        """Note what a task brought about, and what follows from it."""
        progress = self._progress[job]
        if progress.is_finished:
            return
        answer = _answer_of(job, future)
        self._checksums |= answer.checksums
        if answer.outcome:
            progress.is_finished = True
            seconds = time.monotonic() - progress.started
            yield self._finished(replace(answer.outcome, job=job, seconds=seconds))
            return
        waiting.extendleft(reversed(progress.tasks(answer)))
        if progress.done:
            yield TileFinished(job, progress.done / progress.total)

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect to the scheduler, or start one with workers on this machine."""
        try:
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                "Other processes need dask.distributed; install it with "
                "pip install 'napari-memnet[distributed]'."
            ) from error
        if not self.scheduler:
            with _local_cluster(self.workers) as cluster, Client(cluster) as client:
                yield client
            return
        try:
            client = Client(self.scheduler, timeout=_PATIENCE)
        except (OSError, ValueError, TimeoutError) as error:
            raise UsageError(
                f"No Dask scheduler answers at {self.scheduler}; start one with "
                "'dask scheduler', and give the address that it prints."
            ) from error
        with client:
            try:
                client.wait_for_workers(1, timeout=_PATIENCE)
            except TimeoutError as error:
                raise UsageError(
                    f"The scheduler at {self.scheduler} has no workers; start some "
                    f"with 'dask worker {self.scheduler} --nthreads 1'."
                ) from error
            yield client


def absolute(job: Job) -> Job:
    """Return a job for processes in other folders, without what they do not need."""
    source, output = (Path(os.path.abspath(p)) for p in (job.source, job.output))
    return replace(job, source=source, output=output)


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """Start worker processes that share the processors of this machine."""
    import logging

    from distributed import LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    with LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        memory_limit=0,
        silence_logs=logging.CRITICAL,
        env={"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
    ) as cluster:
        yield cluster


def _first_task(job: Job) -> Task:
    in_blocks = suffix_format(job.output) == "ome-zarr"
    return Task(job=absolute(job), action="begin" if in_blocks else "file")


def _answer_of(job: Job, future: Any) -> Answer:
    """Return the answer of a task, or the failure of its job."""
    from distributed import KilledWorker

    try:
        answer: Answer = future.result()
    except KilledWorker as error:
        reason = ImageError(
            f"{job.source} cannot be restored: {error.allowed_failures + 1} workers "
            "died over it, perhaps for lack of memory."
        )
        return Answer(outcome=failure(job, reason))
    return answer
