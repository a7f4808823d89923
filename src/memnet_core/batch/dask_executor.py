"""The same run on other processes, through dask.distributed."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from memnet_core._util.environment import ENVIRONMENT
from memnet_core._version import __version__
from memnet_core.batch.executor import Step, StepExecutor, StepResult, first_step
from memnet_core.batch.report import (
    ClusterReady,
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    Outcome,
    failure,
    skipped,
)
from memnet_core.batch.run import catch_as_outcome
from memnet_core.errors import ImageError, UsageError
from memnet_core.progress import result_of

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from memnet_core.batch.jobs import Job
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["ClusterRun", "perform"]

_PATIENCE = 30.0
"""Seconds to wait for a scheduler, for its first worker, and for one after the last."""

_LOOK_EVERY = 1.0
"""Seconds after which to see whether there still is a worker."""

_TASKS_AHEAD = 4
"""Steps in the queue of every worker's thread, so that none waits for the next one."""

_workshops: dict[RestoreOptions, StepExecutor] = {}


def perform(step: Step, settings: RestoreOptions) -> tuple[StepResult, dict[str, str]]:
    """Do a step in this process, which keeps its engine for the next one.

    Returns
    -------
    Answer
        What it brought about; what goes wrong with the job is in it.
    dict of str to str
        SHA-256 of the weights of the models used, by name.
    """
    if settings not in _workshops:
        for workshop in _workshops.values():
            workshop.close()
        _workshops.clear()
        _workshops[settings] = StepExecutor(settings)
    workshop = _workshops[settings]
    try:
        answer = result_of(workshop.execute(step))
    except Exception as error:  # noqa: BLE001 - one bad file never stops the others
        return StepResult(outcome=failure(step.job, error)), workshop.checksums()
    if answer.complete:
        answer = StepResult(outcome=catch_as_outcome(step.job, answer.complete)())
    return answer, workshop.checksums()


@dataclass
class _SubmittedWork:
    """How far a job is; `job` is what its steps are told."""

    job: Job
    started: float = field(default_factory=time.monotonic)
    stages: deque[tuple[Step, ...]] = field(default_factory=deque)
    open: int = 0
    done: int = 0
    total: int = 1
    is_finished: bool = False

    def following(self, step: Step, answer: StepResult) -> tuple[Step, ...]:
        """Return what can be done next, once a step has been answered."""
        if step.action == "begin":
            self.stages.extend(answer.stages)
            self.total = sum(map(len, answer.stages))
        else:
            self.open -= 1
            self.done += 1
        if self.open or not self.stages:
            return ()
        stage = self.stages.popleft()
        self.open = len(stage)
        return stage


@dataclass
class ClusterRun:
    """A run whose work is done by other processes; events and outcomes are the same.

    Attributes
    ----------
    jobs, settings, outcomes
        As for `memnet_core.batch.BatchRun`.
    workers : int
        How many processes to start on this machine.
    scheduler : str
        Address of a running scheduler to use instead, such as ``tcp://host:8786``.
    """

    jobs: Sequence[Job]
    settings: RestoreOptions
    workers: int = 1
    scheduler: str = ""
    outcomes: list[Outcome] = field(default_factory=list)
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
                yield self._finished(skipped(job))
        todo = [job for job in self.jobs if not job.skip]
        if not todo:
            return
        with self._client() as client:
            threads = client.nthreads()
            yield ClusterReady(client.scheduler.address, len(threads))
            yield from self._run(client, todo, _TASKS_AHEAD * sum(threads.values()))

    def _finished(self, outcome: Outcome) -> FileFinished:
        self.outcomes.append(outcome)
        return FileFinished(outcome)

    def _run(self, client: Any, todo: list[Job], most: int) -> Iterator[Event]:
        """Keep at most so many steps on the way, in the order of the jobs."""
        waiting = deque(first_step(absolute(job)) for job in todo)
        jobs = {absolute(job): job for job in todo}
        progress: dict[Job, _SubmittedWork] = {}
        running: dict[Any, Step] = {}
        completed: SimpleQueue[Any] = SimpleQueue()
        try:
            while waiting or running:
                batch: list[Step] = []
                while waiting and len(running) + len(batch) < most:
                    step = waiting.popleft()
                    if step.job not in progress:
                        progress[step.job] = _SubmittedWork(step.job)
                        yield FileStarted(jobs[step.job])
                    if not progress[step.job].is_finished:
                        batch.append(step)
                futures = client.map(perform, batch, settings=self.settings, pure=False)
                running.update(zip(futures, batch, strict=True))
                for future in futures:
                    future.add_done_callback(completed.put)
                if running:
                    future = self._next(client, completed)
                    step = running.pop(future)
                    job = jobs[step.job]
                    answer = self._answer_of(job, future)
                    noted = self._noted(job, progress[step.job], step, answer, waiting)
                    yield from noted
        finally:
            client.cancel(list(running))

    def _next(self, client: Any, completed: SimpleQueue[Any]) -> Any:
        """Return the next future that is done, as long as there is a worker.

        Raises
        ------
        UsageError
            If all workers have died, and no other one has come for a while.
        """
        last_seen = time.monotonic()
        while True:
            try:
                return completed.get(timeout=_LOOK_EVERY)
            except Empty:
                if _has_workers(client):
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > _PATIENCE:
                    raise UsageError(
                        f"No worker has answered for {_PATIENCE:g} s; start some, and "
                        "give the same command again to go on."
                    ) from None

    def _noted(
        self,
        job: Job,
        progress: _SubmittedWork,
        step: Step,
        answer: StepResult,
        waiting: deque[Step],
    ) -> Iterator[FileProgress | FileFinished]:
        """Note what a step brought about, and what follows from it."""
        if progress.is_finished:
            return
        if answer.outcome:
            progress.is_finished = True
            seconds = time.monotonic() - progress.started
            yield self._finished(replace(answer.outcome, job=job, seconds=seconds))
            return
        waiting.extendleft(reversed(progress.following(step, answer)))
        if progress.done:
            yield FileProgress(job, progress.done / progress.total)

    def _answer_of(self, job: Job, future: Any) -> StepResult:
        """Return the answer of a step, or the failure of its job."""
        from distributed import CancelledError, KilledWorker

        try:
            answer, checksums = future.result()
        except KilledWorker as error:
            reason = ImageError(
                f"{job.source} cannot be restored: {error.allowed_failures + 1} "
                "workers died over it, perhaps for lack of memory."
            )
            return StepResult(outcome=failure(job, reason))
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
        self._checksums |= checksums
        found: StepResult = answer
        return found

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """Connect to the scheduler, or start one with workers on this machine."""
        try:
            import cryptography  # noqa: F401 - what certificates are made with
            from distributed import Client
        except ImportError as error:
            raise UsageError(
                "Other processes need dask.distributed and cryptography; install with "
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


def _has_workers(client: Any) -> bool:
    """Whether there is a worker, as far as the scheduler answers."""
    try:
        return bool(client.nthreads())
    except OSError:
        return False


def absolute(job: Job) -> Job:
    """Return a job for processes in other folders, without what they do not need."""
    source, output = (Path(os.path.abspath(p)) for p in (job.source, job.output))
    return replace(job, source=source, output=output)


@contextmanager
def _local_cluster(workers: int) -> Iterator[Any]:
    """Start worker processes that share the processors of this machine.

    Whoever reaches a scheduler can have its workers run code, and any user of this
    machine reaches 127.0.0.1: the processes know each other by certificates of the run.
    """
    import dask.config
    from distributed import LocalCluster
    from distributed.security import Security

    threads = max(1, (os.cpu_count() or 1) // workers)
    environment = "distributed.nanny.pre-spawn-environ"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
    settings: dict[str, object] = {
        name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()
    }
    settings.update(dict.fromkeys(names, threads))
    options = {f"{environment}.{name}": value for name, value in settings.items()}
    for kind in ("scheduler", "worker"):
        options[f"distributed.{kind}.http.routes"] = []
    with (
        dask.config.set(options),
        LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            host="127.0.0.1",
            protocol="tls",
            security=Security.temporary(),
            # A port of its own, for two runs at once, and no pages on it that tell
            # every user of this machine what is restored.
            scheduler_kwargs={"dashboard": False, "dashboard_address": "127.0.0.1:0"},
            memory_limit=0,
            silence_logs=logging.CRITICAL,
        ) as cluster,
    ):
        yield cluster
