"""Running jobs in this process: writing behind while the network computes."""

from __future__ import annotations

import time
import zlib
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from memnet_core._util.atomic_write import remove_abandoned
from memnet_core.batch.executor import Step, StepExecutor, StepResult, first_step
from memnet_core.batch.report import (
    Event,
    FileFinished,
    FileProgress,
    FileStarted,
    Outcome,
    failure,
    skipped,
)
from memnet_core.inference.plan import check_model
from memnet_core.progress import GeneratorWithResult

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Sequence

    from memnet_core.batch.jobs import Job
    from memnet_core.inference.settings import RestoreOptions

__all__ = ["BatchRun", "Share", "catch_as_outcome"]

_MOST_UNWRITTEN = 2


@dataclass(frozen=True)
class Share:
    """One of several equal parts of the work, for jobs that know nothing of each other.

    Attributes
    ----------
    index : int
        Which part, from 0.
    count : int
        Into how many parts the work is divided.
    """

    index: int = 0
    count: int = 1

    def of_jobs(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs of this part, and those that are divided into blocks."""
        return [
            job
            for number, job in enumerate(jobs)
            if job.by_shards or number % self.count == self.index
        ]

    def of_blocks(self, blocks: Iterable[Step]) -> list[Step]:
        """Return the shards of the full resolution that belong to this part."""
        return [
            step
            for step in blocks
            if step.action != "block"
            or step.level > 0
            or (zlib.crc32(step.job.output.name.encode()) + step.index) % self.count
            == self.index
        ]


@dataclass
class BatchRun:
    """One run over a list of jobs, in this process.

    Attributes
    ----------
    jobs : sequence of Job
        What to do, in this order.
    settings : RestoreOptions
        How.
    share : Share
        Which part of results by shards to make; the jobs are those of the part already.
    outcomes : list of Outcome
        What became of the files so far; complete after the events have ended, also if
        their generator was closed before.
    """

    jobs: Sequence[Job]
    settings: RestoreOptions
    share: Share = field(default_factory=Share)
    outcomes: list[Outcome] = field(default_factory=list)
    _unwritten: deque[Future[Outcome]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._workshop = StepExecutor(self.settings)

    def events(self) -> Generator[Event, None, None]:
        """Restore the files; closing the generator ends the run within one strip.

        Files that were being written then are still completed.

        Raises
        ------
        MemnetError
            If no file could be restored: the model or the device does not serve.
        """
        todo = [job for job in self.jobs if not job.skip]
        if todo:
            from memnet_core._util.devices import select_device  # imports PyTorch

            select_device(self.settings.device)
            check_model(self.settings)
        for folder in {job.output.parent for job in todo}:
            remove_abandoned(folder)
        for job in self.jobs:
            if job.skip:
                yield self._finished(skipped(job))
        with ThreadPoolExecutor(1, "memnet-writer") as writer:
            try:
                for job in todo:
                    yield FileStarted(job)
                    for event in self._restored(job, writer):
                        yield event
                        yield from self._drain(_MOST_UNWRITTEN)
                    yield from self._drain(_MOST_UNWRITTEN)
                yield from self._drain(0)
            finally:
                self._workshop.close()
                self.outcomes.extend(future.result() for future in self._unwritten)
                self._unwritten.clear()

    def models(self) -> dict[str, str]:
        """Return the SHA-256 of the weights of each model used, by name."""
        return self._workshop.checksums()

    def _drain(self, most: int) -> Generator[FileFinished, None, None]:
        """Yield what is written; wait until at most `most` files are not."""
        while self._unwritten and (
            len(self._unwritten) > most or self._unwritten[0].done()
        ):
            outcome = self._unwritten[0].result()
            self._unwritten.popleft()
            yield self._finished(outcome)

    def _finished(self, outcome: Outcome) -> FileFinished:
        self.outcomes.append(outcome)
        return FileFinished(outcome)

    def _restored(
        self, job: Job, writer: ThreadPoolExecutor
    ) -> Generator[Event, None, None]:
        """Restore one file and leave its writing to the writer."""
        started = time.monotonic()
        events = GeneratorWithResult(self._steps(job))
        try:
            yield from events
        except Exception as error:  # noqa: BLE001 - one bad file never stops the others
            self._enqueue_outcome(failure(job, error))
            return
        answer = events.result
        if answer.complete:
            self._unwritten.append(
                writer.submit(catch_as_outcome(job, answer.complete))
            )
        elif answer.outcome:
            seconds = time.monotonic() - started
            self._enqueue_outcome(replace(answer.outcome, seconds=seconds))

    def _steps(self, job: Job) -> Generator[Event, None, StepResult]:
        """Take the steps of a job, stage by stage."""
        answer = yield from self._workshop.execute(first_step(job))
        total = answer.total
        stages = answer.stages
        left = sum(len(stage) for stage in stages[:-1])
        for stage in stages:
            todo = self.share.of_blocks(stage)
            # Last come those that others are making.
            for wait in (False, True):
                postponed = []
                for step in todo:
                    events = GeneratorWithResult(
                        self._workshop.execute(step, wait=wait)
                    )
                    for event in events:
                        yield self._overall(event, total - left, total)
                    answer = events.result
                    if answer.is_postponed:
                        postponed.append(step)
                    elif step.action == "block":
                        left -= 1
                        yield FileProgress(job, (total - left) / total)
                todo = postponed
            if to_go := self._workshop.left_over(stage):
                return StepResult(outcome=to_go)
        return answer

    @staticmethod
    def _overall(event: Event, done: int, total: int) -> Event:
        """Return the progress of a shard as that of the whole result."""
        if isinstance(event, FileProgress) and total:
            return FileProgress(event.job, (done + event.fraction) / total)
        return event

    def _enqueue_outcome(self, outcome: Outcome) -> None:
        """Put an outcome behind those of files that are being written."""
        known: Future[Outcome] = Future()
        known.set_result(outcome)
        self._unwritten.append(known)


def catch_as_outcome(
    job: Job, complete: Callable[[], Outcome]
) -> Callable[[], Outcome]:
    """Return what completes a job, where a failure is an outcome, too."""

    def run() -> Outcome:
        try:
            return complete()
        except Exception as error:  # noqa: BLE001 - as in `BatchRun`
            return failure(job, error)

    return run
