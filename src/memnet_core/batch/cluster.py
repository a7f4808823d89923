"""The same run on other processes, through dask.distributed."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memnet_core._version import __version__
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
    """How far a job is; `job` is what its tasks are told."""

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
            job=self.job,
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
        progress: dict[Job, _Progress] = {}
        running: dict[Any, Task] = {}
        completed = as_completed()
        try:
            while waiting or running:
                batch: list[Task] = []
                while waiting and len(running) + len(batch) < most:
                    task = waiting.popleft()
                    if task.job not in progress:
                        progress[task.job] = _Progress(task.job)
                        yield FileStarted(jobs[task.job])
                    if not progress[task.job].is_finished:
                        batch.append(task)
                futures = client.map(
                    run_task, batch, settings=self.settings, pure=False
                )
                running.update(zip(futures, batch, strict=True))
                completed.update(futures)
                if running:
                    future = next(completed)
                    task = running.pop(future)
                    answer = self._answer_of(jobs[task.job], future)
                    yield from self._noted(
                        jobs[task.job], progress[task.job], answer, waiting
                    )
        finally:
            client.cancel(list(running))

    def _noted(
        self, job: Job, progress: _Progress, answer: Answer, waiting: deque[Task]
    ) -> Iterator[TileFinished | FileFinished]:
        """Note what a task brought about, and what follows from it."""
        if progress.is_finished:
            return
        self._checksums |= answer.checksums
        if answer.outcome:
            progress.is_finished = True
            seconds = time.monotonic() - progress.started
            yield self._finished(replace(answer.outcome, job=job, seconds=seconds))
            return
        waiting.extendleft(reversed(progress.tasks(answer)))
        if progress.done:
            yield TileFinished(job, progress.done / progress.total)

    def _answer_of(self, job: Job, future: Any) -> Answer:
        """Return the answer of a task, or the failure of its job."""
        from distributed import CancelledError, KilledWorker

        try:
            answer: Answer = future.result()
        except KilledWorker as error:
            reason = ImageError(
                f"{job.source} cannot be restored: {error.allowed_failures + 1} "
                "workers died over it, perhaps for lack of memory."
            )
            return Answer(outcome=failure(job, reason))
        except CancelledError as error:
            raise UsageError(
                "The connection to the scheduler was lost; give the same command "
                "again to go on."
            ) from error
        except ImportError as error:
            raise UsageError(
                f"The workers cannot import what they need: {error}. Install "
                f"napari-memnet {__version__} where they run."
            ) from error
        return answer

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
        # What it logs, with tracebacks, is told in one sentence by what is raised.
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
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
    import dask.config
    from distributed import LocalCluster

    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = "distributed.nanny.pre-spawn-environ"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    with (
        dask.config.set({f"{environment}.{name}": threads for name in names}),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster


def _first_task(job: Job) -> Task:
    in_blocks = suffix_format(job.output) == "ome-zarr"
    return Task(job=absolute(job), action="begin" if in_blocks else "file")
